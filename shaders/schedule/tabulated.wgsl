// Steps and momenta as the host tabulates them, lane by lane, for the iterations of a chunk.
fn rule_field(stage: u32, lane: u32, field: u32, ahead: u32) -> real {
    return rules[(((table_row + ahead) * STAGES + stage) * (RULE_FIELDS + 2u) + field) * PADDED_LANES + lane];
}

fn rule_code(stage: u32, lane: u32, k: u32, ahead: u32) -> Code {
    return Code(u32(rule_field(stage, lane, 0u, ahead)), u32(rule_field(stage, lane, 1u, ahead)));
}

fn rule_step(stage: u32, lane: u32, k: u32, ahead: u32) -> real {
    return rule_field(stage, lane, 2u, ahead);
}

fn rule_momentum(stage: u32, lane: u32, k: u32, ahead: u32) -> real {
    return rule_field(stage, lane, 3u, ahead);
}

fn rule_dstep(stage: u32, lane: u32, k: u32, t: u32, ahead: u32) -> real {
    return rule_field(stage, lane, 4u + 2u * t, ahead);
}

fn rule_dmomentum(stage: u32, lane: u32, k: u32, t: u32, ahead: u32) -> real {
    return rule_field(stage, lane, 5u + 2u * t, ahead);
}
