//! A rule about a figure.

use serde_saphyr::Spanned;

use serde::Deserialize;

use super::Error;
use super::reading::{Reading, given, place};
use crate::few::few;
use crate::report::checked::Bound;
use crate::safeground::figure::{self, Unit};

/// Of which quadruplets a rule speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within {
    /// All.
    Overall,
    /// Those of each concept.
    Concepts,
    /// Those of the concept that does worst by the rule.
    WorstConcept,
}

impl Within {
    /// The key that such rules stand under.
    fn key(self) -> &'static str {
        match self {
            Self::Overall => "metrics",
            Self::Concepts => "concepts.metrics",
            Self::WorstConcept => "worst_concept.metrics",
        }
    }
}

/// One bound of one figure.
#[derive(Debug, Clone, PartialEq)]
pub struct FigureRule {
    /// The figure.
    pub figure: &'static str,
    /// What it counts in.
    pub unit: Unit,
    /// Of what.
    pub within: Within,
    /// What is bounded.
    pub bound: Bound,
    /// By how much: points of the figure, or for a relative drop a share from 0 to 1.
    pub limit: f64,
    /// Whether it is skipped where the figure was not measured.
    pub optional: bool,
    /// Of fewer quadruplets or images nothing is concluded.
    pub min_samples: usize,
    /// Line and column.
    pub place: [usize; 2],
}

/// The bounds of a figure, as they stand in the file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    #[serde(deserialize_with = "given")]
    min: Option<Spanned<f64>>,
    #[serde(deserialize_with = "given")]
    max: Option<Spanned<f64>>,
    #[serde(deserialize_with = "given")]
    max_drop: Option<Spanned<f64>>,
    #[serde(deserialize_with = "given")]
    min_drop: Option<Spanned<f64>>,
    #[serde(deserialize_with = "given")]
    max_gain: Option<Spanned<f64>>,
    #[serde(deserialize_with = "given")]
    min_gain: Option<Spanned<f64>>,
    #[serde(deserialize_with = "given")]
    max_relative_drop: Option<Spanned<f64>>,
    optional: bool,
    #[serde(deserialize_with = "given")]
    min_samples: Option<usize>,
}

impl Bound {
    /// The key of the policy.
    pub fn key(self) -> &'static str {
        match self {
            Self::Min => "min",
            Self::Max => "max",
            Self::MaxDrop => "max_drop",
            Self::MinDrop => "min_drop",
            Self::MaxGain => "max_gain",
            Self::MinGain => "min_gain",
            Self::MaxRelativeDrop => "max_relative_drop",
        }
    }

    /// The code of a finding.
    pub(super) fn code(self) -> String {
        format!("metric-{}", self.key().replace('_', "-"))
    }

    /// Whether it compares with a baseline.
    pub fn compares(self) -> bool {
        !matches!(self, Self::Min | Self::Max)
    }
}

impl FigureRule {
    /// Where it stands in the policy.
    pub fn path(&self) -> String {
        format!("{}.{}.{}", self.within.key(), self.figure, self.bound.key())
    }

    /// The rules of a figure.
    ///
    /// # Errors
    /// If there is no such figure, or a bound is out of its range.
    pub fn read(
        reading: &Reading,
        within: Within,
        name: &Spanned<String>,
        bounds: &Bounds,
        min_samples: usize,
    ) -> Result<Vec<Self>, Error> {
        let names = figure::names();
        let Some((figure, unit)) = names.iter().copied().find(|(known, _)| *known == name.value) else {
            return Err(Error::Unknown {
                path: reading.path.to_owned(),
                place: place(name),
                name: crate::few::cut(&name.value),
                known: names.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "),
            });
        };
        let all = [
            (Bound::Min, &bounds.min),
            (Bound::Max, &bounds.max),
            (Bound::MaxDrop, &bounds.max_drop),
            (Bound::MinDrop, &bounds.min_drop),
            (Bound::MaxGain, &bounds.max_gain),
            (Bound::MinGain, &bounds.min_gain),
            (Bound::MaxRelativeDrop, &bounds.max_relative_drop),
        ];
        let given: Vec<_> = all.into_iter().filter_map(|(bound, limit)| Some((bound, limit.as_ref()?))).collect();
        if given.is_empty() {
            let keys = few(all.map(|(bound, _)| bound.key()));
            return Err(reading.wrong(place(name), format!("'{figure}' has no bound: give one of {keys}")));
        }
        if within != Within::Overall && figure.starts_with("zero_shot") {
            let reason = format!("'{figure}' is of images that have no concept: it can stand under metrics only");
            return Err(reading.wrong(place(name), reason));
        }
        let rule = |(bound, limit): (Bound, &Spanned<f64>)| {
            let [low, high] = range(unit, bound);
            if !(low..=high).contains(&limit.value) {
                let reason = format!("{} is {}, outside {low} to {high}", bound.key(), limit.value);
                return Err(reading.wrong(place(limit), reason));
            }
            if bound.compares() && figure.contains("drift") {
                let reason = format!("'{figure}' is between baseline and model itself: it can have min or max only");
                return Err(reading.wrong(place(limit), reason));
            }
            if bound == Bound::MaxRelativeDrop && unit == Unit::Cosine {
                let reason = format!("a share of '{figure}', a cosine, means nothing: give max_drop");
                return Err(reading.wrong(place(limit), reason));
            }
            Ok(Self {
                figure,
                unit,
                within,
                bound,
                limit: limit.value,
                optional: bounds.optional,
                min_samples: bounds.min_samples.unwrap_or(min_samples),
                place: place(limit),
            })
        };
        given.into_iter().map(rule).collect()
    }
}

/// What limits make sense.
fn range(unit: Unit, bound: Bound) -> [f64; 2] {
    match (bound, unit) {
        (Bound::MaxRelativeDrop, _) => [0.0, 1.0],
        (Bound::Min | Bound::Max, Unit::Percent) => [0.0, 100.0],
        (Bound::Min | Bound::Max, Unit::Cosine) => [-1.0, 1.0],
        (_, Unit::Percent) => [0.0, 100.0],
        (_, Unit::Cosine) => [0.0, 2.0],
    }
}
