//! `trace.npz`: the recorded sequence, for numpy.

use std::io::{BufWriter, Seek, Write};

use ndarray::{ArrayBase, Data, Dimension};
use npyz::WriterBuilder;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use proxjet::diff::Differentiated;
use proxjet::result::Trace;

/// Writes a trace as a NPZ archive: float64, C order, `iteration`, `recorded`, `fold` and `fold_id` as int64,
/// and `id` as text, the [id](crate::ResultFile::id) of the run. Shapes are those of [`Trace`].
///
/// # Errors
/// Errors of the writer.
pub fn write_trace<W: Write + Seek>(trace: &Trace, id: &str, out: W) -> std::io::Result<()> {
    let mut archive = Archive { zip: ZipWriter::new(out) };
    archive.text("id", id)?;
    let iteration: Vec<i64> = trace.iteration.iter().map(|k| *k as i64).collect();
    archive.put("iteration", &[iteration.len()], iteration)?;
    archive.array("coef", &trace.coef)?;
    archive.array("dcoef", &trace.dcoef)?;
    archive.array("intercept", &trace.intercept)?;
    archive.array("dintercept", &trace.dintercept)?;
    archive.array("alpha", &trace.alpha)?;
    archive.array("l1_ratio", &trace.l1_ratio)?;
    if let Some(fold) = &trace.fold {
        archive.put("fold", &[fold.len()], fold.iter().map(|f| *f as i64))?;
    }
    if let Some(ids) = &trace.fold_id {
        archive.put("fold_id", ids.shape(), ids.iter().copied())?;
    }
    archive.put("recorded", &[trace.recorded.len()], trace.recorded.iter().map(|k| *k as i64))?;
    archive.array("step", &trace.step)?;
    archive.array("momentum", &trace.momentum)?;
    archive.array("objective", &trace.objective)?;
    archive.array("change", &trace.change)?;
    archive.array("derivative_change", &trace.derivative_change)?;
    archive.array("support", &trace.support)?;
    archive.array("active_change", &trace.active_change)?;
    if let Some(loss) = &trace.validation_loss {
        archive.array("validation_loss", loss)?;
    }
    if let Some(hypergradient) = &trace.hypergradient {
        archive.array("hypergradient", hypergradient)?;
    }
    archive.zip.finish().map_err(std::io::Error::from)?.flush()
}

/// Writes derivatives as a NPZ archive, float64 in C order: `coef [b, p]`, `intercept [b]`, `alpha [b]`,
/// `l1_ratio [b]`; where there are, `fold [b]` (int64), `dcoef [b, h, p]`, `dintercept [b, h]` and
/// `gradient [b, h]`.
///
/// # Errors
/// Errors of the writer.
pub fn write_gradient<W: Write + Seek>(found: &Differentiated, out: W) -> std::io::Result<()> {
    let mut archive = Archive { zip: ZipWriter::new(out) };
    archive.array("coef", &found.coef)?;
    archive.array("intercept", &found.intercept)?;
    archive.array("alpha", &found.sweep.trace.alpha)?;
    archive.array("l1_ratio", &found.sweep.trace.l1_ratio)?;
    if let Some(fold) = &found.sweep.trace.fold {
        archive.put("fold", &[fold.len()], fold.iter().map(|f| *f as i64))?;
    }
    if let Some(dcoef) = &found.dcoef {
        archive.array("dcoef", dcoef)?;
    }
    if let Some(dintercept) = &found.dintercept {
        archive.array("dintercept", dintercept)?;
    }
    if let Some(gradient) = &found.gradient {
        archive.array("gradient", gradient)?;
    }
    archive.zip.finish().map_err(std::io::Error::from)?.flush()
}

struct Archive<W: Write + Seek> {
    zip: ZipWriter<W>,
}

impl<W: Write + Seek> Archive<W> {
    fn array<S: Data<Elem = f64>, D: Dimension>(
        &mut self,
        name: &str,
        array: &ArrayBase<S, D>,
    ) -> std::io::Result<()> {
        self.put(name, array.shape(), array.iter().copied())
    }

    /// A text, as an array without dimensions.
    fn text(&mut self, name: &str, text: &str) -> std::io::Result<()> {
        self.start(name)?;
        let letters: Vec<char> = text.chars().collect();
        let dtype = format!("<U{}", letters.len()).parse().map_err(std::io::Error::other)?;
        let options = npyz::WriteOptions::new().dtype(npyz::DType::Plain(dtype)).shape(&[]);
        let mut npy = options.writer(&mut self.zip).begin_nd()?;
        npy.push(&letters)?;
        npy.finish()
    }

    fn start(&mut self, name: &str) -> std::io::Result<()> {
        let options = SimpleFileOptions::default().large_file(true).compression_level(Some(3));
        Ok(self.zip.start_file(format!("{name}.npy"), options)?)
    }

    fn put<T: npyz::AutoSerialize>(
        &mut self,
        name: &str,
        shape: &[usize],
        values: impl IntoIterator<Item = T>,
    ) -> std::io::Result<()> {
        self.start(name)?;
        let shape: Vec<u64> = shape.iter().map(|s| *s as u64).collect();
        // Numbers come one by one, and the compressor takes long to be called.
        let mut buffer = BufWriter::with_capacity(1 << 16, &mut self.zip);
        // The shape is known, so the header is written first, without seeking back into the archive.
        let options = npyz::WriteOptions::new().default_dtype().shape(&shape);
        let mut npy = options.writer(&mut buffer).begin_nd()?;
        npy.extend(values)?;
        npy.finish()?;
        buffer.flush()
    }
}
