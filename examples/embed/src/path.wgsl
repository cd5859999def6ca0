// The regularisation path, drawn from the solver's state: a strip for each coefficient, two vertices for each
// lane. The layout's constants and `state_index` are put in front of this text.

struct View {
    // Left, top, right and bottom of the plot, in pixels of the viewport.
    plot: vec4<f32>,
    // Pixels of the viewport.
    viewport: vec2<f32>,
    // Values at the bottom and at the top.
    range: vec2<f32>,
    // Change of log alpha that the band shows.
    band: f32,
    // Half the width of a curve, in pixels.
    half_width: f32,
    // 1 where the target takes linear light, 0 where it takes the bytes of a picture.
    linear: f32,
    opacity: f32,
}

@group(0) @binding(0) var<uniform> view: View;
@group(0) @binding(1) var<storage, read> state: array<f32>;

struct Vertex {
    @builtin(position) position: vec4<f32>,
    @location(0) @interpolate(flat) color: vec4<f32>,
}

// Colours that colour-blind people can tell apart (Okabe & Ito 2008), and two more.
const COLORS = array<vec3<f32>, 10>(
    vec3(0.0, 114.0, 178.0), vec3(213.0, 94.0, 0.0), vec3(0.0, 158.0, 115.0), vec3(204.0, 121.0, 167.0),
    vec3(230.0, 159.0, 0.0), vec3(86.0, 180.0, 233.0), vec3(120.0, 94.0, 60.0), vec3(90.0, 90.0, 90.0),
    vec3(140.0, 80.0, 200.0), vec3(150.0, 160.0, 30.0),
);

fn color(row: u32, opacity: f32) -> vec4<f32> {
    var colors = COLORS;
    let c = colors[row % 10u] / 255.0;
    let bright = pow((c + 0.055) / 1.055, vec3(2.4));
    return vec4(select(c, select(bright, c / 12.92, c <= vec3(0.04045)), view.linear > 0.5), opacity);
}

// Lane 0 has the largest alpha, which is on the right.
fn place(lane: u32, value: f32) -> vec2<f32> {
    let across = 1.0 - f32(lane) / f32(max(STATE_LANES, 2u) - 1u);
    let up = (value - view.range.x) / (view.range.y - view.range.x);
    return vec2(mix(view.plot.x, view.plot.z, across), mix(view.plot.w, view.plot.y, up));
}

fn clip(pixel: vec2<f32>) -> vec4<f32> {
    let at = pixel / view.viewport;
    return vec4(2.0 * at.x - 1.0, 1.0 - 2.0 * at.y, 0.0, 1.0);
}

@vertex
fn band(@builtin(vertex_index) index: u32, @builtin(instance_index) row: u32) -> Vertex {
    let lane = index / 2u;
    let side = f32(index % 2u) * 2.0 - 1.0;
    let value = state[state_index(row, lane, 0u)];
    let slope = state[state_index(row, lane, 1u)];
    return Vertex(clip(place(lane, value + side * view.band * slope)), color(row, view.opacity));
}

@vertex
fn curve(@builtin(vertex_index) index: u32, @builtin(instance_index) row: u32) -> Vertex {
    let lane = index / 2u;
    let side = f32(index % 2u) * 2.0 - 1.0;
    let next = min(lane + 1u, STATE_LANES - 1u);
    let last = max(lane, 1u) - 1u;
    let here = place(lane, state[state_index(row, lane, 0u)]);
    let left = place(last, state[state_index(row, last, 0u)]);
    let right = place(next, state[state_index(row, next, 0u)]);
    let along = normalize(right - left);
    let normal = vec2(-along.y, along.x);
    // At a corner the strip is as wide as the segments it joins.
    let segment = select(normalize(right - here), along, next == lane);
    let width = view.half_width / max(abs(dot(along, segment)), 0.5);
    return Vertex(clip(here + side * width * normal), color(row, 1.0));
}

@fragment
fn paint(vertex: Vertex) -> @location(0) vec4<f32> {
    return vertex.color;
}
