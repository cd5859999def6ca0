//! The id of a run, which ties its files together.

use std::hash::Hasher;

use ndarray::{ArrayBase, Data, Dimension};
use siphasher::sip128::{Hasher128, SipHasher13};

use proxjet::result::Trace;
use proxjet::solve::RunInfo;

use crate::DataInfo;

/// 32 hexadecimal digits computed from settings, data, device and trace of a run; the same for the same run.
pub(crate) fn id(info: &RunInfo, data: &DataInfo, trace: &Trace) -> String {
    let mut hasher = SipHasher13::new();
    let mut settings = info.clone();
    settings.seconds = 0.0;
    let text = serde_json::to_vec(&(settings, data)).expect("plain data becomes JSON");
    hasher.write(&text);
    trace.iteration.iter().for_each(|k| hasher.write_u64(*k as u64));
    add(&mut hasher, &trace.coef);
    add(&mut hasher, &trace.dcoef);
    add(&mut hasher, &trace.intercept);
    add(&mut hasher, &trace.dintercept);
    add(&mut hasher, &trace.alpha);
    add(&mut hasher, &trace.l1_ratio);
    trace.recorded.iter().for_each(|k| hasher.write_u64(*k as u64));
    add(&mut hasher, &trace.step);
    add(&mut hasher, &trace.momentum);
    add(&mut hasher, &trace.objective);
    format!("{:032x}", hasher.finish128().as_u128())
}

fn add<S: Data<Elem = f64>, D: Dimension>(hasher: &mut SipHasher13, array: &ArrayBase<S, D>) {
    array.iter().for_each(|v| hasher.write_u64(v.to_bits()));
}
