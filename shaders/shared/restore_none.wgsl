// No step is taken back, as none is measured.
fn restore_where(on: vec4<bool>, j: u32, t: u32, lane4: u32) {
}
