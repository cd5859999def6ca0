// Does nothing: steps are not measured, so none is taken back.
fn restore_where(on: vec4<bool>, j: u32, t: u32, lane4: u32) {
}
