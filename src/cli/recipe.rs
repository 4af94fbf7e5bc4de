//! The recipe on the command line.

use std::str::FromStr;

use clap::Args;

use crate::config::{Concepts, Config, Preset, TowerOptions};
use crate::onnx::Modality;
use crate::pass::Error;
use crate::uwm::{Budget, Measure, Score};

/// How elements are scored and selected. A value may be for one tower: `text:0.05`.
#[derive(Args, Clone)]
pub struct RecipeArgs {
    /// A recipe by name: paper, paper-captioning, contrast, contrast-text, aimed or steer; instead of the configuration's recipe [default: paper].
    #[arg(long, value_name = "NAME")]
    preset: Option<Preset>,
    /// The preset aimed (negate) or steer, by what is done to the last layer: it takes the place of the configuration's recipe.
    #[arg(long, value_name = "NAME", value_parser = edit, conflicts_with = "preset")]
    edit: Option<Preset>,
    /// How elements are scored: pairwise, dataset, unsafe-only, saliency-only, difference, contrast, concept-contrast or
    /// energy-contrast.
    #[arg(long, value_name = "[TOWER:]NAME", value_parser = of_tower::<Score>)]
    score: Vec<OfTower<Score>>,
    /// Whether the score divides by the standard deviation over tokens: true or false.
    #[arg(long, value_name = "[TOWER:]BOOL", value_parser = of_tower::<bool>)]
    std: Vec<OfTower<bool>>,
    /// What safe content weighs against unsafe content in the contrast scores.
    #[arg(long, value_name = "[TOWER:]NUMBER", value_parser = of_tower::<f32>, allow_negative_numbers = true)]
    lambda: Vec<OfTower<f32>>,
    /// Edit this tower only.
    #[arg(long, value_name = "TOWER", value_parser = tower)]
    tower: Option<Modality>,
    /// What unsafe energy counts for in energy-contrast; how far aimed negation moves unsafe content [default there: found
    /// by cross-validation].
    #[arg(long, value_name = "[TOWER:]NUMBER", value_parser = of_tower::<f32>, allow_negative_numbers = true)]
    gain: Vec<OfTower<f32>>,
    /// What a negation costs in aimed negation [default: found by cross-validation].
    #[arg(long, value_name = "[TOWER:]NUMBER", value_parser = of_tower::<f64>, allow_negative_numbers = true)]
    ridge: Vec<OfTower<f64>>,
    /// Points of recall@1 and of PS that aimed negation and steering may give away where they find their gain by
    /// cross-validation [default: 2].
    #[arg(long, value_name = "[TOWER:]POINTS", value_parser = of_tower::<f64>, allow_negative_numbers = true)]
    max_loss: Vec<OfTower<f64>>,
    /// Whether scores are multiplied by the weights' magnitudes: true or false.
    #[arg(long, value_name = "[TOWER:]BOOL", value_parser = of_tower::<bool>)]
    weight_prior: Vec<OfTower<bool>>,
    /// Whether tau is a share of the scores' mass (adaptive) or of the number of elements (hard).
    #[arg(long, value_name = "[TOWER:]NAME", value_parser = of_tower::<Measure>)]
    selection: Vec<OfTower<Measure>>,
    /// Whether tau is a share of each layer or of all chosen layers of the tower: layer or tower.
    #[arg(long, value_name = "[TOWER:]NAME", value_parser = of_tower::<Budget>)]
    budget: Vec<OfTower<Budget>>,
    /// The share to select, in (0, 1) [default: 0.02].
    #[arg(long, value_name = "[TOWER:]SHARE", value_parser = of_tower::<f64>, allow_negative_numbers = true)]
    tau: Vec<OfTower<f64>>,
    /// Factor for the selected weights [default: -1].
    #[arg(long, value_name = "[TOWER:]FACTOR", value_parser = of_tower::<f64>, allow_negative_numbers = true)]
    alpha: Vec<OfTower<f64>>,
    /// Whether all pairs are one pool (all), or each concept selects for itself with the whole tau (union) or an equal
    /// share of it (each).
    #[arg(long, value_name = "[TOWER:]NAME", value_parser = of_tower::<Concepts>)]
    concepts: Vec<OfTower<Concepts>>,
}

/// A value for one tower, or for both.
#[derive(Clone, Copy)]
struct OfTower<T> {
    tower: Option<Modality>,
    value: T,
}

fn of_tower<T: FromStr>(text: &str) -> Result<OfTower<T>, String>
where
    T::Err: ToString,
{
    let named = [Modality::Text, Modality::Vision].into_iter().find_map(|tower| {
        let rest = text.strip_prefix(tower.name())?.strip_prefix(':')?;
        Some((Some(tower), rest))
    });
    let (tower, value) = named.unwrap_or((None, text));
    Ok(OfTower { tower, value: value.parse().map_err(|e: T::Err| e.to_string())? })
}

fn edit(text: &str) -> Result<Preset, String> {
    match text {
        "negate" => Ok(Preset::Aimed),
        "steer" => Ok(Preset::Steer),
        _ => Err("it is negate or steer".to_owned()),
    }
}

fn tower(text: &str) -> Result<Modality, String> {
    let towers = [Modality::Text, Modality::Vision];
    towers.into_iter().find(|tower| tower.name() == text).ok_or_else(|| "it is text or vision".to_owned())
}

/// What is said of a tower: the last that names it, else the last that names none.
fn said<T: Copy>(values: &[OfTower<T>], tower: Modality) -> Option<T> {
    let last = |named| values.iter().rev().find(|value| value.tower == named).map(|value| value.value);
    last(Some(tower)).or_else(|| last(None))
}

/// Another tower that a value names.
fn other<T>(values: &[OfTower<T>], only: Modality) -> Option<Modality> {
    values.iter().filter_map(|value| value.tower).find(|tower| *tower != only)
}

impl RecipeArgs {
    /// A configuration with what is said here instead: a preset for its whole recipe, then option by option.
    ///
    /// # Errors
    /// [`Error::Conflict`] if something is said of a tower that stays as it is.
    pub fn over(&self, mut config: Config) -> Result<Config, Error> {
        self.check()?;
        if let Some(preset) = self.preset.or(self.edit) {
            config = config.with_preset(preset);
        }
        for (tower, options) in [(Modality::Text, &mut config.text), (Modality::Vision, &mut config.vision)] {
            let own = TowerOptions {
                edit: self.tower.filter(|only| *only != tower).map(|_| false),
                method: None,
                layers: None,
                score: said(&self.score, tower),
                std: said(&self.std, tower),
                lambda: said(&self.lambda, tower),
                gain: said(&self.gain, tower),
                ridge: said(&self.ridge, tower),
                max_loss: said(&self.max_loss, tower),
                weight_prior: said(&self.weight_prior, tower),
                selection: said(&self.selection, tower),
                budget: said(&self.budget, tower),
                tau: said(&self.tau, tower),
                alpha: said(&self.alpha, tower),
                concepts: said(&self.concepts, tower),
                length: None,
            };
            // What is said of both towers means the one that is edited.
            let own =
                if own.edit == Some(false) { TowerOptions { edit: own.edit, ..TowerOptions::default() } } else { own };
            *options = own.or(std::mem::take(options));
        }
        Ok(config)
    }

    /// Nothing may be said of a tower that `--tower` leaves alone.
    fn check(&self) -> Result<(), Error> {
        let Some(only) = self.tower else { return Ok(()) };
        let options = [
            ("--score", other(&self.score, only)),
            ("--std", other(&self.std, only)),
            ("--lambda", other(&self.lambda, only)),
            ("--gain", other(&self.gain, only)),
            ("--ridge", other(&self.ridge, only)),
            ("--max-loss", other(&self.max_loss, only)),
            ("--weight-prior", other(&self.weight_prior, only)),
            ("--selection", other(&self.selection, only)),
            ("--budget", other(&self.budget, only)),
            ("--tau", other(&self.tau, only)),
            ("--alpha", other(&self.alpha, only)),
            ("--concepts", other(&self.concepts, only)),
        ];
        match options.into_iter().find_map(|(name, tower)| Some((name, tower?))) {
            None => Ok(()),
            Some((name, tower)) => Err(Error::Conflict {
                reason: format!("{name} is given for the {tower} tower, and --tower {only} leaves that as it is"),
                help: "leave one of them out",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_a_tower_goes_first() {
        let values = ["vision:0.5", "0.1", "text:0.2", "0.3"].map(|text| of_tower::<f64>(text).ok().unwrap());
        assert_eq!([Modality::Text, Modality::Vision].map(|tower| said(&values, tower)), [Some(0.2), Some(0.5)]);
        assert_eq!(said(&values[1..2], Modality::Text), Some(0.1));
        assert_eq!(said::<f64>(&[], Modality::Text), None);
        assert!(of_tower::<Score>("text:nonsense").err().unwrap().contains("there are pairwise, dataset"));
        assert!(of_tower::<Measure>("soft").err().unwrap().contains("one of adaptive, hard"));
    }
}
