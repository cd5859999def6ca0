//! The lane-independent part of an iteration: its operations, and its factors of step and momentum.

/// The operations of an iteration, the same for all lanes of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) bits: u32,
    /// Index of the phase's first number among the constants: unit, shrink, then momenta by count.
    pub(crate) base: u32,
}

impl Code {
    /// Names and values of the bits, as in WGSL.
    #[cfg(feature = "gpu")]
    pub(crate) const BITS: [(&'static str, u32); 8] = [
        ("EXTRAPOLATES", 1),
        ("COUNTS", 2),
        ("RESTARTS_BY_FUNCTION", 4),
        ("RESTARTS_BY_GRADIENT", 8),
        ("BACKTRACKS", 16),
        ("USES_SECANT_STEP", 32),
        ("STARTS", 64),
        ("WAITS", 128),
    ];
    pub(crate) const EXTRAPOLATES: u32 = 1;
    pub(crate) const COUNTS: u32 = 2;
    pub(crate) const RESTARTS_BY_FUNCTION: u32 = 4;
    pub(crate) const RESTARTS_BY_GRADIENT: u32 = 8;
    pub(crate) const BACKTRACKS: u32 = 16;
    pub(crate) const USES_SECANT_STEP: u32 = 32;
    pub(crate) const STARTS: u32 = 64;
    /// The phase ends with identification.
    pub(crate) const WAITS: u32 = 128;

    pub(crate) fn has(self, bit: u32) -> bool {
        self.bits & bit != 0
    }
}

/// An iteration in a stage, the same for all lanes: its operations, and its factors of step and momentum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Unit {
    pub(crate) code: Code,
    /// The phase, which selects the lane's own factors.
    pub(crate) phase: usize,
    pub(crate) step: f64,
    pub(crate) momentum: f64,
}
