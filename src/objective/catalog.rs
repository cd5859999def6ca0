//! One line per loss or penalty; the line gives its enum variant, its name in CLI and JSON, and its WGSL
//! twin.

/// Generates the enum of a catalog from its lines `Variant(file) "word"`.
macro_rules! catalog {
    (
        $(#[$meta:meta])* $Enum:ident, $kind:literal, $with:ident,
        $($Variant:ident($file:ident, $word:literal)),+ $(,)?
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq)]
        #[non_exhaustive]
        pub enum $Enum { $(
            #[doc = concat!("`", $word, "`, see `src/objective/", $kind, "/", $word, ".rs`.")]
            $Variant($file::$Variant),
        )+ }

        impl $Enum {
            /// Every name of the catalog, as in the CLI and in JSON.
            pub const NAMES: &'static [&'static str] = &[$($word),+];

            /// Every entry, with its default parameters.
            pub fn all() -> Vec<$Enum> {
                vec![$($Enum::$Variant($file::$Variant::default())),+]
            }

            /// The syntax of every entry, as in `huber[:DELTA]`.
            pub fn usage() -> String {
                let of = |entry: &$Enum| {
                    let upper = |(name, _): &(&str, f64)| format!(":{}", name.to_uppercase());
                    let names: String = entry.parameters().iter().map(upper).collect();
                    let optional = if names.is_empty() { names } else { format!("[{names}]") };
                    format!("{}{optional}", entry.name())
                };
                Self::all().iter().map(of).collect::<Vec<_>>().join(", ")
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
                let (name, values) = $crate::objective::catalog::split($kind, text)?;
                match name {
                    $($word => {
                        let found = format!("'{text}'");
                        let at = |e| $crate::error::Error { field: $kind.into(), found, ..e };
                        $file::$Variant::default().with_parameters(&values).map($Enum::$Variant).map_err(at)
                    })+
                    _ => Err($crate::error::Error::unknown(
                        $crate::error::ErrorKind::Usage, $kind, name, $Enum::NAMES)),
                }
            }
        }

        impl std::fmt::Display for $Enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())?;
                self.parameters().iter().try_for_each(|(_, v)| write!(f, ":{v}"))
            }
        }

        /// Calls `$body` with the concrete function behind a catalog entry, so that inner loops are
        /// monomorphic.
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

#[cfg(test)]
mod tests {
    use crate::objective::{
        Loss, LossDual, LossFunction, Penalty, PenaltyDual, PenaltyFunction, Real, with_loss, with_penalty,
    };

    fn near(found: f32, expected: f64, what: &str) {
        let bound = 1e-5 * expected.abs().max(1.0);
        let equal = found.f64() == expected || (found.is_nan() && expected.is_nan());
        assert!(equal || (found.f64() - expected).abs() <= bound, "{what}: {found}, expected {expected}");
    }

    /// Points that f32 represents exactly, so that both precisions are on the same side of every kink.
    fn points() -> impl Iterator<Item = f64> + Clone {
        (-20..=20).map(|i| 0.125 * f64::from(i))
    }

    #[test]
    fn losses_in_f32_are_those_in_f64() {
        fn compare<L: LossFunction>(loss: L, name: &str) {
            for (z, y) in points().flat_map(|z| [-1.0, 1.0].map(|y| (z, y))) {
                let (a, b) = (z as f32, y as f32);
                near(loss.value(a, b), loss.value(z, y), name);
                near(loss.d1(a, b), loss.d1(z, y), name);
                near(loss.d2(a, b), loss.d2(z, y), name);
                near(loss.d3(a, b), loss.d3(z, y), name);
                near(loss.d1_by_target(a, b), loss.d1_by_target(z, y), name);
                near(loss.dual().gap(a, b, 0.75), loss.dual().gap(z, y, 0.75), name);
            }
        }
        Loss::examples().into_iter().for_each(|loss| with_loss!(loss, f => compare(f, &loss.to_string())));
    }

    #[test]
    fn penalties_in_f32_are_those_in_f64() {
        fn compare<P: PenaltyFunction>(penalty: P, name: &str) {
            for x in points() {
                let a = x as f32;
                near(penalty.value(a, 0.375, 0.25), penalty.value(x, 0.375, 0.25), name);
                let (narrow, wide) = (penalty.prox(a, 0.5, 0.375, 0.25), penalty.prox(x, 0.5, 0.375, 0.25));
                near(narrow.value, wide.value, name);
                near(narrow.by_input, wide.by_input, name);
                near(narrow.by_l1, wide.by_l1, name);
                near(narrow.by_l2, wide.by_l2, name);
                assert_eq!(penalty.is_active(a), penalty.is_active(x), "{name} at {x}");
                let dual = penalty.dual();
                near(dual.dual_ratio(a, 0.375, 0.25), dual.dual_ratio(x, 0.375, 0.25), name);
                near(dual.gap(0.5, a, 0.375, 0.25), dual.gap(0.5, x, 0.375, 0.25), name);
            }
        }
        let all = Penalty::examples().into_iter();
        all.for_each(|penalty| with_penalty!(penalty, f => compare(f, &penalty.to_string())));
    }
}
