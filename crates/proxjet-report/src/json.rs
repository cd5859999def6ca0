//! `result.json`.

use serde::Serialize;

use crate::{Model, id};

use proxjet::data::{Standardization, Validation};
use proxjet::diff::LaneAnalysis;
use proxjet::objective::Objective;
use proxjet::solve::{CrossValidated, LaneResult, RunInfo, SweepResult};

/// The description of the data in `result.json`.
#[derive(Debug, Clone, Serialize)]
pub struct DataInfo {
    /// File or bundled name.
    pub source: String,
    /// Target column.
    pub target: String,
    /// The two classes, the positive one last.
    pub classes: Option<[String; 2]>,
    /// Names of the features, in the order of `coef`.
    pub features: Vec<String>,
    /// The standardisation of the fit: coefficients of the trace are in these units.
    pub standardize: Option<Standardization>,
    /// The held-out split.
    pub validation: Option<Validation>,
    /// The rows that are held out, by their numbers in the data, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out_rows: Option<Vec<usize>>,
}

impl DataInfo {
    /// The description of a problem's data.
    pub fn new(problem: &Objective, validation: Option<Validation>) -> Self {
        DataInfo {
            source: problem.source().into(),
            target: problem.target_name().into(),
            classes: problem.classes().cloned(),
            features: problem.feature_names().to_vec(),
            standardize: problem.standardization().cloned(),
            validation,
            held_out_rows: problem.held_out_rows().map(<[usize]>::to_vec),
        }
    }
}

/// The content of `result.json`. A number that is not finite is written as null.
#[derive(Debug, Clone, Serialize)]
pub struct ResultFile<'a> {
    /// Version of proxjet.
    pub proxjet: &'static str,
    /// The id of the run, also in `trace.npz`: a hash of settings, data, device and trace.
    pub id: String,
    /// The settings and the device of the run.
    #[serde(flatten)]
    pub info: &'a RunInfo,
    /// The data.
    pub data: DataInfo,
    /// Every lane.
    pub lanes: &'a [LaneResult],
    /// The candidates' losses over their folds, in the order of the alphas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cross_validation: Option<&'a [CrossValidated]>,
    /// The model of the best or only lane, with names, in the units of the original data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<&'a Model>,
    /// Rates, identification, margin and the bound of a late start, lane by lane, if requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub convergence: Option<&'a [LaneAnalysis]>,
}

impl<'a> ResultFile<'a> {
    /// The file of a sweep.
    pub fn new(result: &'a SweepResult, data: DataInfo) -> Self {
        ResultFile {
            proxjet: env!("CARGO_PKG_VERSION"),
            id: id::id(&result.info, &data, &result.trace),
            info: &result.info,
            data,
            lanes: &result.lanes,
            cross_validation: None,
            model: None,
            convergence: None,
        }
    }

    /// The same with the losses over folds.
    pub fn with_cross_validation(mut self, candidates: &'a [CrossValidated]) -> Self {
        self.cross_validation = Some(candidates);
        self
    }

    /// The same with a model.
    pub fn with_model(mut self, model: Option<&'a Model>) -> Self {
        self.model = model;
        self
    }

    /// The same with the convergence of the lanes.
    pub fn with_convergence(mut self, lanes: Option<&'a [LaneAnalysis]>) -> Self {
        self.convergence = lanes;
        self
    }
}
