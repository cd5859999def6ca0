// Takes the last step back in the lanes of `on`, if steps are measured.
fn restore_where(on: vec4<bool>, j: u32, t: u32, lane4: u32) {
    let c = place(j, lane4) + t * LANE4S;
    x[c] = select(x[c], x_previous[c], on);
}
