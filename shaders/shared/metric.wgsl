// The metric of a lane4 and its tangents (t > 0), as a matrix in memory.
fn metric_at(j: u32, t: u32, lane4: u32) -> real4 {
    return metric[place(j, lane4) + t * LANE4S];
}
