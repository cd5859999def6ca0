//! The hot loop of a kernel, from the text of its machine code.

/// The share of multiply-adds among the operations of the loop that has most of them, where a dual
/// instruction is two operations; 0 if no loop has any.
pub(crate) fn hot_loop_share(text: &str) -> f64 {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let label = |line: &str| line.strip_suffix(':').map(str::to_string);
    let mut places = std::collections::HashMap::new();
    let mut best = (0, 0.0);
    for (at, line) in lines.iter().enumerate() {
        if let Some(name) = label(line) {
            places.insert(name, at);
        }
        // A jump back to a label closes a loop.
        let jump = line.split_whitespace().collect::<Vec<_>>();
        let target = jump.first().filter(|op| op.starts_with("s_cbranch") || **op == "s_branch");
        let Some(from) = target.and_then(|_| jump.get(1)).and_then(|name| places.get(*name)) else {
            continue;
        };
        let (mut fused, mut all) = (0usize, 0usize);
        for line in lines[*from..=at].iter().filter(|line| label(line).is_none()) {
            for operation in line.split("::").filter_map(|part| part.split_whitespace().next()) {
                all += 1;
                fused += usize::from(operation.contains("_fma"));
            }
        }
        if fused > best.0 {
            best = (fused, fused as f64 / all as f64);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::hot_loop_share;

    #[test]
    fn the_loop_with_most_multiply_adds_counts() {
        let text = "
            v_fma_f32 v0, v1, v2, v3
        BB1:
            v_mov_b32 v0, v1
            v_fmac_f32 v0, v1, v2
            s_cbranch_scc0 BB1
        BB2:
            v_fmac_f32 v0, v1, v2
            v_dual_fmac_f32 v0, v1, v2 :: v_dual_mov_b32 v3, v4
            s_cbranch_scc1 BB3
            s_branch BB2
        BB3:
            s_endpgm
        ";
        assert_eq!(hot_loop_share(text), 0.4);
        assert_eq!(hot_loop_share("v_fma_f32 v0, v1, v2, v3\nBB0:\ns_cbranch_scc1 BB0"), 0.0);
        assert_eq!(hot_loop_share(""), 0.0);
    }
}
