// What a product has computed for one row and lane: the iterate's number, then the tangents'.
var<private> values: array<real, WIDTH>;
