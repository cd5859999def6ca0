// What changes from one iteration to the next.
struct Params {
    // The iterate being made, from 1.
    iteration: u32,
    // Row of the chunk's tables and records.
    row: u32,
    // Whether the stop rule is tested.
    check: u32,
    // Whether the gradient is taken at e, where the lane's directive says, and not at x.
    ahead: u32,
    // For each stage: what the iteration does, and where the phase's constants begin.
    codes: array<vec4<u32>, 2>,
}
