// Steps and momenta as the host tabulates them, lane by lane, for the iterations of a chunk.
fn rule_field(stage: u32, lane: u32, field: u32) -> real {
    return rules[((params.table_row * STAGES + stage) * (RULE_FIELDS + 2u) + field) * LANES4 + lane];
}

fn rule_code(stage: u32, lane: u32, k: u32) -> Code {
    return Code(u32(rule_field(stage, lane, 0u)), u32(rule_field(stage, lane, 1u)));
}

fn rule_step(stage: u32, lane: u32, k: u32) -> real {
    return rule_field(stage, lane, 2u);
}

fn rule_momentum(stage: u32, lane: u32, k: u32) -> real {
    return rule_field(stage, lane, 3u);
}

fn rule_dstep(stage: u32, lane: u32, k: u32, t: u32) -> real {
    return rule_field(stage, lane, 4u + 2u * t);
}

fn rule_dmomentum(stage: u32, lane: u32, k: u32, t: u32) -> real {
    return rule_field(stage, lane, 5u + 2u * t);
}
