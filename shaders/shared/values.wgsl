// What a product has computed for one row and group of four lanes: the iterates' numbers, then the tangents'.
var<private> values: array<real4, WIDTH>;
