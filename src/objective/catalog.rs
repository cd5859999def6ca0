//! One line per loss or penalty; the line gives its enum variant, its name in CLI and JSON, and its WGSL twin.

/// Generates the enum of a catalog from its lines `Variant(file) "word"`.
macro_rules! catalog {
    ($(#[$meta:meta])* $Enum:ident, $kind:literal, $with:ident, $($Variant:ident($file:ident, $word:literal)),+ $(,)?) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub enum $Enum { $(
            #[doc = concat!("`", $word, "`, see `src/objective/", $kind, "/", $word, ".rs`.")]
            $Variant($file::$Variant),
        )+ }

        impl $Enum {
            /// Every name of the catalog, as it is written in the CLI and in JSON.
            pub const NAMES: &'static [&'static str] = &[$($word),+];

            /// Every entry, with its default parameters.
            pub fn all() -> Vec<$Enum> {
                vec![$($Enum::$Variant($file::$Variant::default())),+]
            }

            /// Every entry, with the parameters that it declares to be representative.
            pub fn examples() -> Vec<$Enum> {
                let mut all = Vec::new();
                $(all.extend($file::$Variant::examples().into_iter().map($Enum::$Variant));)+
                all
            }

            /// The name without parameters.
            pub fn name(&self) -> &'static str {
                match self { $($Enum::$Variant(_) => $word),+ }
            }

            /// The parameters, as (name, value).
            pub fn parameters(&self) -> Vec<(&'static str, f64)> {
                match self { $($Enum::$Variant(f) => f.parameters()),+ }
            }

            /// The WGSL twin of this entry.
            pub fn shader(&self) -> (&'static str, &'static str) {
                match self { $($Enum::$Variant(_) => (
                    concat!("shaders/", $kind, "/", $word, ".wgsl"),
                    include_str!(concat!("../../../shaders/", $kind, "/", $word, ".wgsl")),
                )),+ }
            }
        }

        impl std::str::FromStr for $Enum {
            type Err = $crate::error::Error;
            /// Reads `name` or `name:parameter:…`.
            fn from_str(text: &str) -> $crate::error::Result<Self> {
                let (name, values) = $crate::objective::catalog::split(concat!("--", $kind), text)?;
                match name {
                    $($word => $file::$Variant::default().with_parameters(&values).map($Enum::$Variant)
                        .map_err(|e| $crate::error::Error { at: concat!("--", $kind).into(), found: format!("'{text}'"), ..e }),)+
                    _ => Err($crate::error::Error::unknown(
                        $crate::error::ErrorKind::Usage, concat!("--", $kind), name, $Enum::NAMES)),
                }
            }
        }

        impl std::fmt::Display for $Enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())?;
                self.parameters().iter().try_for_each(|(_, v)| write!(f, ":{v}"))
            }
        }

        /// Calls `$body` with the concrete function behind a catalog entry, so that inner loops are monomorphic.
        macro_rules! $with {
            ($entry:expr, $f:ident => $body:expr) => {
                match $entry { $($crate::objective::$Enum::$Variant($f) => $body),+ }
            };
        }
        pub(crate) use $with;
    };
}
pub(crate) use catalog;

use crate::error::{Error, Result};

/// Splits `name:v1:v2` into the name and its numbers.
pub(crate) fn split<'a>(at: &str, text: &'a str) -> Result<(&'a str, Vec<f64>)> {
    let mut parts = text.split(':');
    let name = parts.next().unwrap_or_default().trim();
    let values = parts
        .map(|v| {
            v.trim().parse::<f64>().ok().filter(|v| !v.is_nan()).ok_or_else(|| {
                Error::usage(
                    at,
                    format!("'{v}' in '{text}'"),
                    "a number",
                    "Write name:number, for example huber:1.35.",
                )
            })
        })
        .collect::<Result<_>>()?;
    Ok((name, values))
}

/// The error of a parameter list of the wrong length or range; `at` and `found` are filled in by the caller.
pub(crate) fn bad_parameters(expected: &str) -> Error {
    Error::usage("", "", expected, "")
}
