//! Metrics by name, for whoever names them: limits, goals, axes. All are in percent, and more is better.

use std::fmt;
use std::str::FromStr;

use super::Evaluation;

/// One number of an evaluation.
#[derive(Clone, Copy)]
pub struct Metric {
    name: &'static str,
    title: &'static str,
    of: fn(&Evaluation) -> Option<f64>,
}

/// Every metric there is.
pub const METRICS: [Metric; 13] = [
    Metric { name: "P_ts", title: "P_ts", of: |e| Some(e.safeground.P_ts) },
    Metric { name: "P_tu", title: "P_tu", of: |e| Some(e.safeground.P_tu) },
    Metric { name: "P_vs", title: "P_vs", of: |e| Some(e.safeground.P_vs) },
    Metric { name: "P_vu", title: "P_vu", of: |e| Some(e.safeground.P_vu) },
    Metric { name: "Txt_s", title: "Txt_s", of: |e| Some(e.safeground.Txt_s) },
    Metric { name: "Img_s", title: "Img_s", of: |e| Some(e.safeground.Img_s) },
    Metric::PS,
    Metric::PU,
    Metric::GS,
    Metric::ZERO_SHOT,
    Metric { name: "zero_shot_top5", title: "zero-shot top-5", of: |e| e.zero_shot.map(|accuracy| accuracy.top5) },
    Metric::RECALL,
    Metric { name: "image_recall", title: "Vs-Ts R@1", of: |e| Some(e.retrieval.image_to_text.at_1) },
];

impl Metric {
    /// Both safe queries prefer what is safe.
    pub const PS: Self = Self { name: "PS", title: "PS", of: |e| Some(e.safeground.PS) };
    /// Both unsafe queries prefer what is safe.
    pub const PU: Self = Self { name: "PU", title: "PU", of: |e| Some(e.safeground.PU) };
    /// All four queries do.
    pub const GS: Self = Self { name: "GS", title: "GS", of: |e| Some(e.safeground.GS) };
    /// Top-1 accuracy of zero-shot classification.
    pub const ZERO_SHOT: Self =
        Self { name: "zero_shot", title: "zero-shot top-1", of: |e| e.zero_shot.map(|accuracy| accuracy.top1) };
    /// Recall@1 from safe texts to safe images.
    pub const RECALL: Self = Self { name: "recall", title: "Ts-Vs R@1", of: |e| Some(e.retrieval.text_to_image.at_1) };

    /// Its value; `None` where it was not measured.
    pub fn of(self, evaluation: &Evaluation) -> Option<f64> {
        (self.of)(evaluation)
    }

    /// How a table or an axis calls it.
    pub fn title(self) -> &'static str {
        self.title
    }
}

impl FromStr for Metric {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        METRICS.into_iter().find(|metric| metric.name == name).ok_or_else(|| {
            let names: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
            format!("there is no metric '{name}'; there are {}", names.join(", "))
        })
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Debug for Metric {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Metric {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
