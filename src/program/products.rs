//! Passes that all strategies use: products, stored or with epilogues, and epilogues without a product.

use super::passes::{Binding, Cost, Part, Pass, When, count, file, read, update, write};
use super::{ActiveSet, BufferId, Columns, Product, Rowwise, Shape, Side, Tile, rows_per_sum, sparse};

/// The part of a product with epilogues that is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// All of it.
    Whole,
    /// Only the listed terms of its sums.
    Terms,
    /// Only the columns of the iterates.
    Iterate,
    /// Only the columns of the tangents, in the listed rows.
    Tangents,
}

/// A product of a matrix with the columns of lanes.
pub(super) struct Operation {
    /// Name of the kernel.
    pub(super) kernel: &'static str,
    pub(super) when: When,
    pub(super) side: Side,
    pub(super) matrix: BufferId,
    pub(super) operand: Binding,
    /// The result, if it is stored.
    pub(super) result: Option<Binding>,
}

impl Operation {
    /// A stored product, with the reduce pass if it is split.
    pub(super) fn stored(self, s: &Shape) -> Vec<Pass> {
        if s.is_sparse() && self.matrix != BufferId::Gram {
            return sparse::product(s, self);
        }
        let split_k = self.split_k(s);
        let Some(result) = self.result.clone().filter(|_| split_k > 1) else {
            return vec![self.pass(s, Cut::Whole, Vec::new())];
        };
        let (when, rows) = (self.when, self.shape(s, true).0);
        let parts = write("split_partials", BufferId::SplitPartials);
        let split = Operation { result: Some(parts), ..self };
        vec![split.pass(s, Cut::Whole, Vec::new()), reduce(s.columns() / 4, when, (rows, split_k), result)]
    }

    /// Rows of the result, and rows of the operand.
    pub(super) fn shape(&self, s: &Shape, stored: bool) -> (usize, usize) {
        match (self.side, self.matrix) {
            (Side::Plain, BufferId::ValidationDesign) => (s.request.validation_rows, s.stride()),
            (Side::Plain, BufferId::Gram) => (s.state_rows(), s.stride()),
            (Side::Plain, _) => (s.rows(), s.stride()),
            // The padding rows of a stored gradient are stored as well.
            (Side::Transposed, _) => (if stored { s.stride() } else { s.state_rows() }, s.rows()),
        }
    }

    fn split_k(&self, s: &Shape) -> usize {
        match (self.side, self.matrix) {
            (_, BufferId::ValidationDesign | BufferId::Gram) => 1,
            (Side::Plain, _) => s.request.split_k()[0],
            (Side::Transposed, _) => s.request.split_k()[1],
        }
    }

    /// The product with its epilogues, if any; the caller adds their bindings and parts.
    pub(super) fn pass(self, s: &Shape, cut: Cut, epilogues: Vec<&'static str>) -> Pass {
        let stored = epilogues.is_empty();
        let shape = self.shape(s, stored);
        let (columns, active_set, tile) = cut_of(s, cut, stored, self.side);
        let result = self.result.as_ref().map(|b| b.variable);
        let product = Product {
            names: (self.matrix.name(), self.operand.variable, result),
            shape,
            side: self.side,
            columns,
            split_k: self.split_k(s),
            active_set,
            tile: tile.for_rows(shape.0),
            epilogues,
            rows_per_sum: rows_per_sum(s.d()),
        };
        let lane4s = if columns == Columns::Each { s.columns() / 4 } else { s.lane4s() };
        let of_lane = if let Columns::OfLane { count, .. } = columns { count } else { 1 + s.d() };
        // Padding terms of the sums are not counted.
        let (rows, terms) = match self.side {
            Side::Plain => (shape.0, s.state_rows()),
            Side::Transposed => (s.state_rows(), shape.1),
        };
        let flops = 2.0 * rows as f64 * terms as f64 * s.slots as f64 * of_lane as f64;
        let values = (!stored).then_some(file!("shared/values.wgsl"));
        Pass {
            grid: product.grid(lane4s),
            cost: Cost { product_flops: flops, flops, ..Cost::default() },
            bindings: vec![read(self.matrix.name(), self.matrix), self.operand],
            parts: vec![Part::Product(product)],
            ..Pass::new(self.kernel, self.when)
        }
        .binds(self.result)
        .with(values)
    }
}

/// Columns, active set and tile of a product.
fn cut_of(s: &Shape, cut: Cut, stored: bool, side: Side) -> (Columns, ActiveSet, Tile) {
    let d = s.d();
    let tiles = if stored { s.tiles.stored } else { s.tiles.fused };
    let tile = match side {
        Side::Plain => tiles[0],
        Side::Transposed => tiles[1],
    };
    let all = Columns::OfLane { first: 0, count: 1 + d };
    match cut {
        Cut::Whole if stored => (Columns::Each, ActiveSet::None, tile),
        Cut::Whole => (all, ActiveSet::None, tile),
        Cut::Terms => (all, ActiveSet::Terms, tile),
        Cut::Iterate => {
            let lane4s = tile.lane4s.max(2.min(s.lane4s()));
            let tile = tile.with_columns(1 + d, 1, lane4s, rows_per_sum(d));
            (Columns::OfLane { first: 0, count: 1 }, ActiveSet::None, tile)
        }
        Cut::Tangents => {
            // Each list is for the lanes of one workgroup of the prediction.
            let tile = s.tiles.fused[0];
            let tile = tile.with_columns(1 + d, d, tile.lane4s, 4);
            (Columns::OfLane { first: 1, count: d }, ActiveSet::Rows, tile)
        }
    }
}

/// Reduces the partial results of a split-K product: `rows` rows, `split_k` parts.
fn reduce(columns4: usize, when: When, (rows, split_k): (usize, usize), result: Binding) -> Pass {
    let kernel = if result.buffer == BufferId::Prediction { "reduce_z" } else { "reduce_g" };
    let constants = vec![("SPLIT_K", split_k), ("REDUCED_ROWS", rows)];
    Pass {
        bindings: vec![
            read("split_partials", BufferId::SplitPartials),
            Binding { variable: "whole", ..result },
        ],
        parts: vec![file!("kernel/reduce.wgsl"), Part::Constants(constants)],
        grid: [count(columns4.div_ceil(64)), count(rows), 1],
        ..Pass::new(kernel, when)
    }
}

impl Pass {
    /// A stored product without epilogues, `design` times `operand` in `result`, and its reduce pass if it is
    /// split. For measuring: the caller provides the buffers.
    #[cfg(feature = "gpu")]
    pub(crate) fn of_product(product: Product, columns4: usize, lane4s: usize) -> Vec<Pass> {
        let (split_k, rows) = (product.split_k, product.shape.0);
        let result = write("result", BufferId::Gradient);
        let parts = write("split_partials", BufferId::SplitPartials);
        let is_split = split_k > 1;
        let names =
            (product.names.0, product.names.1, Some(if is_split { parts.variable } else { result.variable }));
        let product = Product { names, ..product };
        let own = Pass {
            bindings: vec![
                read(names.0, BufferId::Design),
                read(names.1, BufferId::State),
                if is_split { parts } else { result.clone() },
            ],
            grid: product.grid(lane4s),
            parts: vec![Part::Product(product)],
            ..Pass::new("product", When::Iteration)
        };
        let reduce = is_split.then(|| reduce(columns4, When::Iteration, (rows, split_k), result));
        std::iter::once(own).chain(reduce).collect()
    }
}

/// Epilogues without a product, over blocks of rows of a matrix.
pub(super) fn rowwise(
    s: &Shape,
    (kernel, when): (&'static str, When),
    matrix: Binding,
    (rows, block): (usize, usize),
    epilogues: Vec<&'static str>,
) -> Pass {
    let text = Rowwise { matrix: matrix.variable, rows, block, epilogues };
    Pass {
        grid: s.blocks(rows, block),
        parts: vec![Part::Rowwise(text), file!("shared/values.wgsl")],
        bindings: vec![matrix],
        ..Pass::new(kernel, when)
    }
}

impl Pass {
    /// Adds bindings.
    pub(super) fn binds(mut self, bindings: impl IntoIterator<Item = Binding>) -> Self {
        self.bindings.extend(bindings);
        self
    }
    /// Adds parts.
    pub(super) fn with(mut self, parts: impl IntoIterator<Item = Part>) -> Self {
        self.parts.extend(parts);
        self
    }
    /// Adds the weights of rows, which are those of the lane's fold if there are folds.
    pub(super) fn weighs_rows(self, s: &Shape) -> Self {
        if s.request.folds == 0 {
            return self.with([file!("shared/row_weight.wgsl")]);
        }
        let bound = self.bindings.iter().any(|b| b.buffer == BufferId::LaneState);
        let missing =
            (!bound).then(|| (read("lane_state", BufferId::LaneState), file!("shared/lane_state4.wgsl")));
        let (binding, part) = missing.unzip();
        self.binds(binding).with(part).with([file!("shared/fold_weight.wgsl")])
    }
    /// Adds to the cost.
    pub(super) fn costs(mut self, work: Cost) -> Self {
        self.cost.flops += work.flops;
        self.cost.entries += work.entries;
        self
    }
}

/// The bindings of a step besides its gradient.
pub(super) fn step_bindings(s: &Shape) -> Vec<Binding> {
    let x = if s.request.measures_curvature { update } else { read };
    let mut list = vec![
        x("x", BufferId::State).current(),
        update("x_previous", BufferId::State).other(),
        read("lanes", BufferId::Lanes),
        read("lane_state", BufferId::LaneState),
        write("partials", BufferId::Partials),
    ];
    if s.has_metric() {
        list.push(read("metric", BufferId::Metric));
    }
    list
}

/// The parts of a step, including its penalty.
pub(super) fn step_parts(s: &Shape) -> Vec<Part> {
    vec![
        file!("epilogue/step.wgsl"),
        file!("shared/iterates.wgsl"),
        metric_part(s),
        restore_part(s),
        file!("shared/lane_state4.wgsl"),
        file!("shared/step_params.wgsl"),
        file!("shared/partials.wgsl"),
        file!("shared/strength.wgsl"),
        file!("shared/prox.wgsl"),
        Part::Penalty,
    ]
}

fn metric_part(s: &Shape) -> Part {
    if s.has_metric() { file!("shared/metric.wgsl") } else { file!("shared/metric_none.wgsl") }
}

fn restore_part(s: &Shape) -> Part {
    if s.request.measures_curvature {
        file!("shared/restore.wgsl")
    } else {
        file!("shared/restore_none.wgsl")
    }
}
