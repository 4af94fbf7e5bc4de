//! Scores: how much an element of a weight carries unsafe content. Each is an elementwise function of a few
//! [products](super::Product), and a file of its own; a new one is such a file and a line in [`ALL`].

mod contrast;
mod dataset;
mod difference;
mod energy_contrast;
mod pairwise;
mod saliency_only;
mod unsafe_only;

use std::fmt;
use std::str::FromStr;

use ndarray::{Array2, Axis, Zip};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Error;
use super::product::Product;
use super::sums::{Means, Undefined};
use crate::few::few;

/// Every score there is.
pub const ALL: [Score; 8] = [
    Score(&pairwise::SCORE),
    Score(&dataset::SCORE),
    Score(&unsafe_only::SCORE),
    Score(&saliency_only::SCORE),
    Score(&difference::SCORE),
    Score(&contrast::PER_PAIR),
    Score(&contrast::PER_CONCEPT),
    Score(&energy_contrast::SCORE),
];

/// What a score is.
struct Definition {
    /// Its name.
    name: &'static str,
    /// Whether it is a ratio of unsafe to safe, in which the size of the weight itself cancels.
    ratio: bool,
    /// Whether it weighs gain against loss, so that an element may be worth nothing.
    trades: bool,
    /// The options that it goes by.
    options: &'static [ScoreOption],
    /// The products it is made of.
    products: fn(&Scoring) -> Vec<Product>,
    /// The score of each element, of the means of these products (in that order) and `W`.
    combine: Combine,
}

/// From the means of a score's products and the weight to its values, `[O, I]`.
type Combine = fn(&Scoring, &[&Array2<f32>], &Array2<f32>) -> Array2<f32>;

/// What can be said of a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoreOption {
    /// [`Scoring::std`]
    Std,
    /// [`Scoring::lambda`]
    Lambda,
    /// [`Scoring::gain`]
    Gain,
}

/// A score by its name.
#[derive(Clone, Copy)]
pub struct Score(&'static Definition);

/// A score with its options.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scoring {
    /// Which score.
    pub score: Score,
    /// Whether it divides by the standard deviation over tokens, where it knows one.
    pub std: bool,
    /// What safe content weighs against unsafe content, where that is traded.
    pub lambda: f32,
    /// What unsafe energy counts for in a score that rewards it.
    #[serde(default)]
    pub gain: f32,
    /// Whether safe and unsafe change places: a control.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub swapped: bool,
}

/// The scores of one layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// `R [O, I]`; 0 where there is none, which is never selected.
    pub values: Array2<f32>,
    /// What was left out.
    pub undefined: Undefined,
}

impl Score {
    /// Whether it is a ratio of unsafe to safe, in which the size of the weight itself cancels.
    pub fn is_ratio(self) -> bool {
        self.0.ratio
    }

    /// Whether it weighs gain against loss, so that an element may be worth nothing.
    pub fn trades(self) -> bool {
        self.0.trades
    }

    /// Whether it goes by an option.
    pub fn takes(self, option: ScoreOption) -> bool {
        self.0.options.contains(&option)
    }
}

/// The reference code's.
impl Default for Score {
    fn default() -> Self {
        Self(&pairwise::SCORE)
    }
}

impl Scoring {
    /// The products it needs.
    pub fn products(&self) -> Vec<Product> {
        let products = (self.score.0.products)(self);
        if self.swapped { products.into_iter().map(Product::swapped).collect() } else { products }
    }

    /// The same with safe and unsafe in each other's place.
    #[must_use]
    pub fn swapped(self) -> Self {
        Self { swapped: !self.swapped, ..self }
    }

    /// Whether it asks for the concepts of the pairs.
    pub fn needs_concepts(&self) -> bool {
        self.products().contains(&Product::ConceptDifference)
    }
}

/// The score's name, and what is not as usual.
impl fmt::Display for Scoring {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { score, std, lambda, gain, swapped } = self;
        let mut unusual = vec![];
        if !std {
            unusual.push("without std".to_owned());
        }
        if *lambda != 1.0 {
            unusual.push(format!("lambda {lambda}"));
        }
        if *gain != 0.0 {
            unusual.push(format!("gain {gain}"));
        }
        if *swapped {
            unusual.push("roles swapped".to_owned());
        }
        match unusual.is_empty() {
            true => write!(f, "{score}"),
            false => write!(f, "{score} ({})", unusual.join(", ")),
        }
    }
}

impl Means {
    /// The scores that are made of these products.
    ///
    /// # Errors
    /// [`Error::NoPairs`] if no pair could be scored.
    ///
    /// # Panics
    /// If a product was not asked for when the sums began.
    pub fn score(&self, scoring: &Scoring, weight: &Array2<f32>) -> Result<Scores, Error> {
        let find = |product: Product| {
            let found = self.products.iter().find(|(own, ..)| *own == product);
            found.expect("the sums hold the products of each score that was asked for")
        };
        let parts: Vec<_> = scoring.products().into_iter().map(find).collect();
        let undefined = parts.iter().fold(Undefined::default(), |all, (.., undefined)| all.or(*undefined));
        if undefined.short_pairs.saturating_add(undefined.not_finite) >= self.pairs {
            return Err(Error::NoPairs { pairs: self.pairs });
        }
        let means: Vec<&Array2<f32>> = parts.iter().map(|(_, mean, _)| mean).collect();
        Ok(Scores { values: (scoring.score.0.combine)(scoring, &means, weight), undefined })
    }
}

impl Scores {
    /// Multiplies by `|W|`, the weight prior of the text tower.
    pub fn weigh(&mut self, weight: &Array2<f32>) {
        Zip::from(&mut self.values).and(weight).for_each(|score, w| *score *= w.abs());
    }
}

/// Only what is above 0 is worth a flip. NaN stays, which no selection takes for a score.
fn worth(score: f32) -> f32 {
    if score < 0.0 { 0.0 } else { score }
}

/// `mean_o |W[o, j]|` for each input, which turns `out[o] n[j]` into the saliency `phi = out in` of the paper.
fn input_magnitudes(weight: &Array2<f32>) -> Array2<f32> {
    let mean = weight.fold_axis(Axis(0), 0.0_f64, |sum, w| sum + f64::from(w.abs()));
    mean.mapv(|sum| (sum / weight.nrows() as f64) as f32).insert_axis(Axis(0))
}

impl FromStr for Score {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = ALL.into_iter().find(|score| score.0.name == name);
        known.ok_or_else(|| {
            format!("there is no score '{name}'; there are {}", few(ALL.iter().map(|score| score.0.name)))
        })
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl fmt::Debug for Score {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl PartialEq for Score {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Serialize for Score {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name)
    }
}

impl<'de> Deserialize<'de> for Score {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
