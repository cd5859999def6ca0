// Steps and momenta from tables of the host, one row per iteration of a chunk, lane by lane.
fn rule_field(stage: u32, lane: u32, field: u32, ahead: u32) -> real {
    let row = (table_row + ahead) * STAGES + stage;
    return rules[(row * (CODE_FIELDS + RULE_FIELDS) + field) * PADDED_LANES + lane];
}

fn rule_code(stage: u32, lane: u32, k: u32, ahead: u32) -> Code {
    let bits = rule_field(stage, lane, CODE_BITS, ahead);
    return Code(u32(bits), u32(rule_field(stage, lane, CODE_BASE, ahead)));
}

fn rule_step(stage: u32, lane: u32, k: u32, ahead: u32) -> real {
    return rule_field(stage, lane, CODE_FIELDS + RULE_STEP, ahead);
}

fn rule_momentum(stage: u32, lane: u32, k: u32, ahead: u32) -> real {
    return rule_field(stage, lane, CODE_FIELDS + RULE_MOMENTUM, ahead);
}

fn rule_dstep(stage: u32, lane: u32, k: u32, t: u32, ahead: u32) -> real {
    return rule_field(stage, lane, CODE_FIELDS + RULE_DSTEP + t, ahead);
}

fn rule_dmomentum(stage: u32, lane: u32, k: u32, t: u32, ahead: u32) -> real {
    return rule_field(stage, lane, CODE_FIELDS + RULE_DMOMENTUM + t, ahead);
}
