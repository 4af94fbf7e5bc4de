//! What a sweep tries: grids of recipes.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{
    BoolDeserializer, F64Deserializer, I64Deserializer, SeqAccessDeserializer, StrDeserializer, U64Deserializer,
};
use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};

use super::{Concepts, Error, Method, MethodName, TowerOptions};
use crate::onnx::Modality;
use crate::uwm::{Budget, Measure, Score, ScoreOption};

/// The grids of each tower; a tower without one is only tried as it is.
#[derive(Debug, Clone, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SweepOptions {
    /// Grids of the text tower.
    pub text: Vec<Grid>,
    /// Grids of the vision tower.
    pub vision: Vec<Grid>,
}

/// Values for the options of a recipe, of which every combination is tried. What is left out has the paper's value; what
/// a score does not go by is not multiplied with.
#[derive(Debug, Clone, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grid {
    /// Whether scores or a search find the elements.
    pub method: Axis<MethodName>,
    /// Selections of layers, each as `layers` in a recipe.
    pub layers: Axis<String>,
    /// Scores.
    pub score: Axis<Score>,
    /// Whether the score divides by the standard deviation.
    pub std: Axis<bool>,
    /// What safe content weighs.
    pub lambda: Axis<f32>,
    /// What unsafe energy counts for; how far a search moves unsafe content ([`GAINS`] where nothing is said).
    pub gain: Axis<f32>,
    /// What a negation costs in a search ([`RIDGES`] where nothing is said).
    pub ridge: Axis<f64>,
    /// Whether scores are multiplied by `|W|`.
    pub weight_prior: Axis<bool>,
    /// Whether mass or number is selected.
    pub selection: Axis<Measure>,
    /// Whether a layer or the tower is selected in.
    pub budget: Axis<Budget>,
    /// What is done with concepts.
    pub concepts: Axis<Concepts>,
    /// Factors.
    pub alpha: Axis<f64>,
    /// Shares.
    pub tau: Axis<f64>,
}

/// How far a search moves unsafe content, where nothing is said.
pub const GAINS: [f64; 11] = [1.0, 1.5, 2.0, 2.25, 2.5, 2.75, 3.0, 3.5, 4.0, 5.0, 6.0];
/// What a negation costs in a search, where nothing is said.
pub const RIDGES: [f64; 4] = [0.03, 0.1, 0.3, 1.0];

/// Combinations of a grid's values at most: lists multiply, and each combination is an edit that is made and measured.
const MOST: usize = 10_000;

/// One value or several; none where nothing is said.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis<T>(pub Vec<T>);

impl<T> Default for Axis<T> {
    fn default() -> Self {
        Self(vec![])
    }
}

impl SweepOptions {
    /// What is tried where a configuration does not say: the paper's scores in the paper's layers, each over a range of
    /// `tau`, and what the presets `contrast` and `contrast-text` are points of.
    pub fn usual() -> Self {
        let (out_proj, fc2) = ("out_proj", "fc2");
        let ratio = |layers: &str, score: &str, std: bool| Grid {
            layers: Axis(vec![layers.to_owned()]),
            score: Axis(score.parse().into_iter().collect()),
            std: Axis(vec![std]),
            tau: Axis(vec![0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3]),
            ..Grid::default()
        };
        let contrast = |lambda: Vec<f32>, tau: Vec<f64>| Grid {
            layers: Axis(vec![fc2.to_owned()]),
            score: Axis("energy-contrast".parse().into_iter().collect()),
            lambda: Axis(lambda),
            gain: Axis(vec![4.0]),
            selection: Axis(vec![Measure::Hard]),
            tau: Axis(tau),
            ..Grid::default()
        };
        let ways = vec![MethodName::Aimed, MethodName::Steer];
        let aimed = || Grid { method: Axis(ways.clone()), ridge: Axis(vec![0.3]), ..Grid::default() };
        Self {
            text: vec![
                ratio(out_proj, "pairwise", true),
                ratio(out_proj, "dataset", false),
                contrast(vec![8.0], vec![0.02, 0.04, 0.06, 0.08, 0.1, 0.13]),
                aimed(),
            ],
            vision: vec![
                ratio(fc2, "pairwise", true),
                ratio(fc2, "dataset", false),
                contrast(vec![16.0, 32.0], vec![0.003, 0.006, 0.01, 0.015, 0.02, 0.03]),
                aimed(),
            ],
        }
    }

    /// All that is tried on a tower, each once.
    ///
    /// # Errors
    /// [`Error::Range`] if a number is out of range or there are too many combinations, [`Error::Unused`] if no score of a
    /// grid goes by an option.
    pub fn methods(&self, tower: Modality) -> Result<Vec<Method>, Error> {
        let grids = match tower {
            Modality::Text => &self.text,
            Modality::Vision => &self.vision,
        };
        let mut all: Vec<Method> = vec![];
        for grid in grids {
            grid.check_used(tower)?;
            grid.check_size(tower)?;
            for options in grid.options() {
                let method = options.method(tower)?;
                all.extend(method.filter(|method| !all.contains(method)));
            }
        }
        Ok(all)
    }
}

impl Grid {
    /// The ways that are tried.
    fn ways(&self) -> Vec<MethodName> {
        if self.method.0.is_empty() { vec![MethodName::default()] } else { self.method.0.clone() }
    }

    /// Checks that there are not more combinations than can be tried.
    fn check_size(&self, tower: Modality) -> Result<(), Error> {
        let values = [
            self.method.0.len(),
            self.layers.0.len(),
            self.score.0.len(),
            self.std.0.len(),
            self.lambda.0.len(),
            self.gain.0.len(),
            self.ridge.0.len(),
            self.weight_prior.0.len(),
            self.selection.0.len(),
            self.budget.0.len(),
            self.concepts.0.len(),
            self.alpha.0.len(),
            self.tau.0.len(),
        ];
        match values.into_iter().fold(1, |all: usize, values| all.saturating_mul(values.max(1))) {
            0..=MOST => Ok(()),
            all => {
                let (name, range) = ("the number of combinations in a grid", "1 to 10000");
                Err(Error::Range { name, tower, value: all as f64, range })
            }
        }
    }

    /// Every combination.
    fn options(&self) -> Vec<TowerOptions> {
        let of = |way: &MethodName| match way {
            MethodName::Scored => self.scored(),
            MethodName::Aimed | MethodName::Steer => self.aimed(*way),
        };
        self.ways().iter().flat_map(of).collect()
    }

    /// Every combination of what scores go by; `tau` varies first.
    fn scored(&self) -> Vec<TowerOptions> {
        let mut all = vec![TowerOptions::default()];
        multiply(&mut all, &self.layers, |options, value| options.layers = value);
        multiply(&mut all, &self.score, |options, value| options.score = value);
        multiply(&mut all, &self.std, |options, value| options.std = value);
        multiply(&mut all, &self.lambda, |options, value| options.lambda = value);
        multiply(&mut all, &self.gain, |options, value| options.gain = value);
        multiply(&mut all, &self.weight_prior, |options, value| options.weight_prior = value);
        multiply(&mut all, &self.selection, |options, value| options.selection = value);
        multiply(&mut all, &self.budget, |options, value| options.budget = value);
        multiply(&mut all, &self.concepts, |options, value| options.concepts = value);
        multiply(&mut all, &self.alpha, |options, value| options.alpha = value);
        multiply(&mut all, &self.tau, |options, value| options.tau = value);
        all
    }

    /// Every combination of what a search goes by. A sweep cross-validates nothing: it has a split to choose by.
    fn aimed(&self, way: MethodName) -> Vec<TowerOptions> {
        let mut all = vec![TowerOptions { method: Some(way), ..TowerOptions::default() }];
        let or = |own: &Axis<f64>, usual: &[f64]| if own.0.is_empty() { Axis(usual.to_vec()) } else { own.clone() };
        let gains =
            if self.gain.0.is_empty() { Axis(GAINS.map(|gain| gain as f32).to_vec()) } else { self.gain.clone() };
        multiply(&mut all, &self.layers, |options, value| options.layers = value);
        if way == MethodName::Aimed {
            multiply(&mut all, &or(&self.ridge, &RIDGES), |options, value| options.ridge = value);
        }
        multiply(&mut all, &gains, |options, value| options.gain = value);
        all
    }

    /// Checks that one of the ways goes by each option.
    fn check_used(&self, tower: Modality) -> Result<(), Error> {
        let scores = match (self.ways().contains(&MethodName::Scored), self.score.0.is_empty()) {
            (false, _) => vec![],
            (true, true) => vec![Score::default()],
            (true, false) => self.score.0.clone(),
        };
        let (scored, aimed) = (!scores.is_empty(), self.ways().contains(&MethodName::Aimed));
        let moving: Vec<MethodName> = self.ways().into_iter().filter(|way| *way != MethodName::Scored).collect();
        let takes = |option| scores.iter().any(|score| score.takes(option));
        let given = [
            ("score", scored, self.score.0.is_empty()),
            ("std", takes(ScoreOption::Std), self.std.0.is_empty()),
            ("lambda", takes(ScoreOption::Lambda), self.lambda.0.is_empty()),
            ("gain", takes(ScoreOption::Gain) || !moving.is_empty(), self.gain.0.is_empty()),
            ("ridge", aimed, self.ridge.0.is_empty()),
            ("weight_prior", scored, self.weight_prior.0.is_empty()),
            ("selection", scored, self.selection.0.is_empty()),
            ("budget", scored, self.budget.0.is_empty()),
            ("concepts", scored, self.concepts.0.is_empty()),
            ("alpha", scored, self.alpha.0.is_empty()),
            ("tau", scored, self.tau.0.is_empty()),
        ];
        let names = scores.iter().map(ToString::to_string).chain(moving.iter().map(ToString::to_string));
        match given.into_iter().find(|(_, taken, absent)| !absent && !taken) {
            Some((name, ..)) => Err(Error::Unused { name, tower, score: crate::few::few(names) }),
            None => Ok(()),
        }
    }
}

fn multiply<T: Clone>(all: &mut Vec<TowerOptions>, axis: &Axis<T>, set: impl Fn(&mut TowerOptions, Option<T>)) {
    if axis.0.is_empty() {
        return;
    }
    let with = |options: &TowerOptions, value: &T| {
        let mut options = options.clone();
        set(&mut options, Some(value.clone()));
        options
    };
    *all = all.iter().flat_map(|options| axis.0.iter().map(move |value| with(options, value))).collect();
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Axis<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMore(PhantomData))
    }
}

struct OneOrMore<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMore<T> {
    type Value = Axis<T>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value or a list of values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, sequence: A) -> Result<Axis<T>, A::Error> {
        let values = Vec::deserialize(SeqAccessDeserializer::new(sequence))?;
        match values.is_empty() {
            true => Err(A::Error::custom("the list of values is empty")),
            false => Ok(Axis(values)),
        }
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Axis<T>, E> {
        T::deserialize(BoolDeserializer::new(value)).map(|value| Axis(vec![value]))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Axis<T>, E> {
        T::deserialize(I64Deserializer::new(value)).map(|value| Axis(vec![value]))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Axis<T>, E> {
        T::deserialize(U64Deserializer::new(value)).map(|value| Axis(vec![value]))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Axis<T>, E> {
        T::deserialize(F64Deserializer::new(value)).map(|value| Axis(vec![value]))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Axis<T>, E> {
        T::deserialize(StrDeserializer::new(value)).map(|value| Axis(vec![value]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipes(yaml: &str) -> Result<Vec<String>, String> {
        let options: SweepOptions = serde_saphyr::from_str(yaml).map_err(|e| e.without_snippet().to_string())?;
        let recipes = options.methods(Modality::Vision).map_err(|e| e.to_string())?;
        Ok(recipes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_combination_once_and_only_what_a_score_goes_by() {
        let got = recipes(
            "vision: [{score: [dataset, contrast], std: [true, false], lambda: [1, 2.5], alpha: -1, tau: [0.01, 0.1]}]",
        )
        .unwrap();
        // 2 x 2 for dataset, 2 x 2 for contrast.
        assert_eq!(got.len(), 8, "{got:#?}");
        assert_eq!(got.iter().filter(|recipe| recipe.contains("score: dataset, std: false")).count(), 2);
        assert_eq!(got.iter().filter(|recipe| recipe.contains("lambda: 2.5")).count(), 2);
        assert_eq!(recipes("text: [{tau: 0.1}]").unwrap().len(), 0);
        assert_eq!(recipes("vision: [{layers: fc2, tau: 0.1}, {tau: [0.1, 0.2]}]").unwrap().len(), 2);
    }

    #[test]
    fn what_is_printed_can_be_put_into_a_configuration() {
        let usual = SweepOptions::usual();
        for tower in [Modality::Text, Modality::Vision] {
            for method in usual.methods(tower).unwrap() {
                let options: TowerOptions = serde_saphyr::from_str(&format!("{method:#}")).unwrap();
                assert_eq!(options.method(tower).unwrap().unwrap(), method);
            }
        }
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(recipes("vision: [{tau: []}]").unwrap_err().contains("empty"));
        assert!(recipes("vision: [{tau: 2}]").unwrap_err().contains("tau of the vision tower is 2"));
        assert!(recipes("vision: [{tau: x}]").unwrap_err().contains('x'));
        assert!(recipes("vision: [{score: nonsense}]").unwrap_err().contains("there is no score"));
        assert!(recipes("vision: [{method: aimed, tau: 0.1}]").unwrap_err().contains("'aimed' does not go by it"));
        assert!(recipes("vision: [{ridge: 0.1}]").unwrap_err().contains("'pairwise' does not go by it"));
        assert_eq!(recipes("vision: [{method: [scored, aimed], gain: 2, ridge: [0, 1], tau: 0.1}]").unwrap().len(), 3);
        assert_eq!(recipes("vision: [{method: aimed}]").unwrap().len(), GAINS.len() * RIDGES.len());
        assert!(recipes("vision: [{gain: 1}]").unwrap_err().contains("does not go by it"));
        assert!(recipes("vision: [{shade: 1}]").unwrap_err().contains("shade"));
        let many = vec!["0.1"; 101].join(", ");
        let grid = format!("vision: [{{score: contrast, lambda: [{many}], tau: [{many}]}}]");
        assert!(recipes(&grid).unwrap_err().contains("combinations in a grid of the vision tower is 10201"));
    }
}
