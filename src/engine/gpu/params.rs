//! Uniform parameters of kernels as the host writes them: twins of the WGSL structures of the same name.

use crate::program::PARAMS_STRIDE;

/// Bytes of a parameters entry that a kernel binds: the largest structure, in whole vec4s.
pub(super) const PARAMS_BYTES: u64 = 16;

macro_rules! params {
    ($($(#[$meta:meta])* $Name:ident { $($(#[$doc:meta])* $field:ident,)+ })+) => {
        $(
            $(#[$meta])*
            #[repr(C)]
            #[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
            pub(super) struct $Name { $($(#[$doc])* pub(super) $field: u32,)+ }
        )+

        /// Name, size, and the offset of each field, of every structure.
        #[cfg(test)]
        fn structures() -> Vec<(&'static str, usize, Vec<(&'static str, usize)>)> {
            vec![$((
                stringify!($Name),
                size_of::<$Name>(),
                vec![$((stringify!($field), std::mem::offset_of!($Name, $field))),+],
            )),+]
        }
    };
}

params! {
    /// Of `finalize`.
    FinalizeParams {
        /// Row in the chunk's records for the iteration just done.
        record_row,
        /// Row in its tables for the next one.
        table_row,
        /// Tasks, as bits.
        flags,
    }
    /// Of `residual`.
    ResidualParams {
        /// 1: at the extrapolated point; 0: at the iterate.
        extrapolates,
    }
    /// Of `load`.
    LoadParams {
        /// Number of lanes to be loaded.
        arrivals,
        /// Length of the columns of each lane.
        columns,
    }
    /// Of `persistent`.
    PersistentParams {
        /// Row in the chunk's tables for the first iteration.
        table_row,
        /// Iterations of the dispatch.
        iterations,
    }
    /// Of `metric_table`.
    MetricParams {
        /// Row in the chunk's table.
        table_row,
    }
    /// Of `gram`.
    GramParams {
        /// First block of rows and first block of columns.
        first_row,
        first_column,
    }
}

/// Entries of a buffer of parameters.
pub(super) fn entries<P: bytemuck::Pod>(list: impl IntoIterator<Item = P>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (i, entry) in list.into_iter().enumerate() {
        bytes.resize(i * PARAMS_STRIDE as usize, 0);
        bytes.extend_from_slice(bytemuck::bytes_of(&entry));
    }
    bytes.resize(bytes.len().next_multiple_of(PARAMS_STRIDE as usize), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The structure called `name` in a WGSL text: its size, and the offset of each field.
    fn in_wgsl(name: &str, text: &str) -> Option<(usize, Vec<(String, usize)>)> {
        let begin = text.find(&format!("struct {name} {{"))?;
        let end = begin + text[begin..].find("\n}")? + 2;
        let module = naga::front::wgsl::parse_str(&text[begin..end]).unwrap();
        let (_, found) = module.types.iter().find(|(_, t)| t.name.as_deref() == Some(name))?;
        let naga::TypeInner::Struct { members, span } = &found.inner else { return None };
        let fields = members.iter().map(|m| (m.name.clone().unwrap(), m.offset as usize)).collect();
        Some((*span as usize, fields))
    }

    #[test]
    fn the_host_writes_parameters_as_the_shaders_read_them() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
        let mut texts = Vec::new();
        for folder in ["kernel", "shared"] {
            for entry in std::fs::read_dir(root.join(folder)).unwrap() {
                texts.push(std::fs::read_to_string(entry.unwrap().path()).unwrap());
            }
        }
        let in_files = texts.iter().map(|t| t.matches("Params {\n").count()).sum::<usize>();
        assert_eq!(in_files, structures().len(), "every structure has a twin");
        for (name, size, fields) in structures() {
            let (span, found) = texts.iter().find_map(|text| in_wgsl(name, text)).expect(name);
            assert_eq!(span, size, "{name}");
            assert!(span as u64 <= PARAMS_BYTES, "{name}");
            let found: Vec<(&str, usize)> = found.iter().map(|(n, at)| (n.as_str(), *at)).collect();
            assert_eq!(found, fields, "{name}");
        }
    }

    #[test]
    fn entries_are_a_stride_apart() {
        let bytes = entries([ResidualParams { extrapolates: 7 }, ResidualParams { extrapolates: 9 }]);
        assert_eq!(bytes.len(), 2 * PARAMS_STRIDE as usize);
        assert_eq!((bytes[0], bytes[PARAMS_STRIDE as usize]), (7, 9));
    }
}
