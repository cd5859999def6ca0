// The results of a product for one row and lane4: the iterates' numbers, then the tangents'.
var<private> values: array<real4, WIDTH>;
