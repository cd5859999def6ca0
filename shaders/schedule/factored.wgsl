// Steps and momenta as products of a factor of the iteration, for each stage, and a factor of the lane in its
// phase. `ahead` is 1 if k is the iteration after the next; only tabulated rules use it.
fn rule_unit(stage: u32, lane: u32, k: u32, field: u32) -> real {
    return rules[(k * STAGES + stage) * UNIT_FIELDS + field];
}

fn rule_code(stage: u32, lane: u32, k: u32, ahead: u32) -> Code {
    let bits = rule_unit(stage, lane, k, UNIT_CODE_BITS);
    return Code(u32(bits), u32(rule_unit(stage, lane, k, UNIT_CODE_BASE)));
}

fn rule_phase(stage: u32, lane: u32, k: u32) -> u32 {
    return u32(rule_unit(stage, lane, k, UNIT_PHASE));
}

// The lane's factor in the phase of iteration k.
fn rule_base(stage: u32, lane: u32, k: u32, field: u32) -> real {
    return lane_base(lane, rule_phase(stage, lane, k), field);
}

fn rule_step(stage: u32, lane: u32, k: u32, ahead: u32) -> real {
    return rule_unit(stage, lane, k, UNIT_STEP) * rule_base(stage, lane, k, RULE_STEP);
}

fn rule_momentum(stage: u32, lane: u32, k: u32, ahead: u32) -> real {
    return rule_unit(stage, lane, k, UNIT_MOMENTUM) * rule_base(stage, lane, k, RULE_MOMENTUM);
}

fn rule_dstep(stage: u32, lane: u32, k: u32, t: u32, ahead: u32) -> real {
    let own = rule_unit(stage, lane, k, UNIT_STEP) * rule_base(stage, lane, k, RULE_DSTEP + t);
    if (SCHEDULE_SEEDS[t] == SEED_EVERY_STEP) {
        return own + rule_step(stage, lane, k, ahead);
    }
    return own + select(real(0.0), real(1.0), SCHEDULE_SEEDS[t] == SEED_STEP && SEED_ITERATIONS[t] == k);
}

fn rule_dmomentum(stage: u32, lane: u32, k: u32, t: u32, ahead: u32) -> real {
    let own = rule_unit(stage, lane, k, UNIT_MOMENTUM) * rule_base(stage, lane, k, RULE_DMOMENTUM + t);
    return own + select(real(0.0), real(1.0), SCHEDULE_SEEDS[t] == SEED_MOMENTUM && SEED_ITERATIONS[t] == k);
}
