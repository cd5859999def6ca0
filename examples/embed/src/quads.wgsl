// Rectangles with a colour, whose opacity is that of a part of the atlas.

@group(0) @binding(0) var<uniform> viewport: vec4<f32>;
@group(0) @binding(1) var atlas: texture_2d<f32>;
@group(0) @binding(2) var nearest: sampler;

struct Vertex {
    @builtin(position) position: vec4<f32>,
    @location(0) uv: vec2<f32>,
    @location(1) color: vec4<f32>,
}

@vertex
fn corner(
    @builtin(vertex_index) index: u32,
    @location(0) place: vec4<f32>,
    @location(1) source: vec4<f32>,
    @location(2) color: vec4<f32>,
) -> Vertex {
    let at = vec2(f32(index & 1u), f32(index >> 1u));
    let pixel = mix(place.xy, place.zw, at) / viewport.xy;
    let position = vec4(2.0 * pixel.x - 1.0, 1.0 - 2.0 * pixel.y, 0.0, 1.0);
    return Vertex(position, mix(source.xy, source.zw, at), color);
}

@fragment
fn paint(vertex: Vertex) -> @location(0) vec4<f32> {
    return vec4(vertex.color.rgb, vertex.color.a * textureSample(atlas, nearest, vertex.uv).r);
}
