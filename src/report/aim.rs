//! What was known of a layer before it was aimed at: whether unsafe content shows there, and what edits of it would do.

use std::fmt::Write;

use serde::Serialize;
use serde_json::{Value, json};

use super::look::Look;
use super::table::wrapped;
use crate::onnx::Modality;
use crate::uwm::aim::Separation;

/// A layer that was looked at for an aimed edit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Aim {
    /// Its tower.
    pub tower: Modality,
    /// Its role.
    pub role: String,
    /// Its node.
    pub node: String,
    /// How well held-out unsafe samples can be told there; `None` if there are too few pairs.
    pub separation: Option<Separation>,
    /// The same by concept.
    pub by_concept: Vec<(String, Separation)>,
    /// The same by style.
    pub by_style: Vec<(String, Separation)>,
    /// What is to be done: `aimed` or `steer`.
    pub method: String,
    /// Points of PS and of recall@1 in a gallery of 256 that a setting may lose; none where the setting was said.
    pub limit: Option<f64>,
    /// The pairs as the model embeds them.
    pub before: Option<AimPoint>,
    /// What settings do to pairs that they were not made from, in the order of gain and ridge.
    pub curve: Vec<AimPoint>,
    /// The setting that was taken; none where the tower is left as it is.
    pub chosen: Option<[f64; 2]>,
}

/// A setting, cross-validated on the calibration pairs; percentages.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[allow(non_snake_case)]
pub struct AimPoint {
    /// How far unsafe content is moved.
    pub gain: f64,
    /// What a negation costs.
    pub ridge: f64,
    /// Elements negated, on average over the folds.
    pub negated: usize,
    /// Safe queries of both modalities prefer what is safe.
    pub PS: f64,
    /// Unsafe queries of both do.
    pub PU: f64,
    /// All four do.
    pub GS: f64,
    /// Recall@1 from safe texts to safe images.
    pub recall: f64,
    /// Recall@1 from safe images to safe texts.
    pub image_recall: f64,
    /// What recall@1 would be in a gallery of 256, both directions on average.
    pub recall_of_256: f64,
}

/// From this area under the curve on, unsafe content counts as visible.
const VISIBLE: f64 = 0.75;
/// From this difference of areas on, two styles are not told alike.
const APART: f64 = 0.1;

impl Aim {
    /// As JSON.
    pub fn to_json(&self) -> Value {
        let mut value = json!(self);
        let object = |groups: &[(String, Separation)]| {
            Value::Object(groups.iter().map(|(name, found)| (name.clone(), json!(found))).collect())
        };
        value["by_concept"] = object(&self.by_concept);
        value["by_style"] = object(&self.by_style);
        let negates = self.method == "aimed";
        value["chosen"] =
            json!(self.chosen.map(|[gain, ridge]| json!({"gain": gain, "ridge": negates.then_some(ridge)})));
        value["sentence"] = json!(self.sentence());
        value
    }

    /// It as text: the sentence, and the settings of the ridge that was chosen.
    pub fn to_text(&self, look: Look) -> String {
        let mut out = wrapped(&self.sentence(), look.width);
        out.push('\n');
        let (Some(before), Some([gain, ridge])) = (&self.before, self.chosen) else { return out };
        let ridges = if self.method == "aimed" { format!(", ridge {ridge}") } else { String::new() };
        let limit = match self.limit {
            Some(limit) => format!("at most {limit} points of PS and R@1/256 may be lost"),
            None => "the setting as it was said, whatever it costs".to_owned(),
        };
        let _ = writeln!(
            out,
            "\nheld-out pairs{ridges}; {limit}\n    gain  changed{:>9}{:>9}{:>9}{:>11}{:>11}{:>9}",
            "PS", "PU", "GS", "Ts-Vs R@1", "Vs-Ts R@1", "R@1/256"
        );
        let curve = self.curve.iter().filter(|point| point.ridge.to_bits() == ridge.to_bits());
        for point in std::iter::once(before).chain(curve) {
            let AimPoint { negated, PS, PU, GS, recall, image_recall, recall_of_256, .. } = point;
            let taken = if point.gain.to_bits() == gain.to_bits() { "*" } else { " " };
            let _ = writeln!(
                out,
                "  {taken} {:<4} {negated:>8}{PS:>9.1}{PU:>9.1}{GS:>9.1}{recall:>11.1}{image_recall:>11.1}{recall_of_256:>9.1}",
                if point.gain > 0.0 { point.gain.to_string() } else { "-".to_owned() }
            );
        }
        out.push_str("R@1/256: recall@1 as it would be in a gallery of 256, both directions on average\n");
        out
    }

    /// How well unsafe content shows, group by group.
    pub fn separation_text(&self, look: Look) -> String {
        let mut out = format!(
            "{}\n\n  {:<24}{:>7}{:>8}{:>18}{:>8}\n",
            wrapped(&self.sentence(), look.width),
            "",
            "pairs",
            "AUC",
            "95 %",
            "d'"
        );
        let all = self.separation.iter().map(|all| ("all", all));
        let groups = self.by_concept.iter().chain(&self.by_style).map(|(name, group)| (name.as_str(), group));
        for (name, group) in all.chain(groups) {
            let Separation { samples, auc, auc_interval: [low, high], d_prime, .. } = group;
            let interval = format!("{low:.3} to {high:.3}");
            let name = shown(name);
            let _ = writeln!(
                out,
                "  {:<24}{:>7}{auc:>8.3}{interval:>18}{d_prime:>8.1}",
                crate::few::cut(&name),
                samples[0]
            );
        }
        out
    }

    /// Whether it can work, in a sentence.
    pub fn sentence(&self) -> String {
        let Self { tower, role, .. } = self;
        let Some(all) = &self.separation else {
            return format!("Whether unsafe content shows in the {tower} tower's {role} cannot be told.");
        };
        let Separation { d_prime, auc, auc_interval: [low, high], .. } = all;
        let figures = format!("AUC {auc:.3} ({low:.3} to {high:.3}), d' {d_prime:.1}, held out");
        if !visible(all) {
            return format!(
                "Unsafe content hardly shows in the {tower} tower's {role}: {figures}. Aimed negation cannot do much here."
            );
        }
        let groups = self.by_concept.iter().chain(&self.by_style);
        let hidden: Vec<String> = groups
            .filter(|(_, separation)| !visible(separation))
            .map(|(name, separation)| format!("'{}' (AUC {:.3})", shown(name), separation.auc))
            .collect();
        let but = match hidden.is_empty() {
            true => String::new(),
            false => format!(", but not {}", crate::few::few(hidden)),
        };
        format!("Unsafe content shows in the {tower} tower's {role}: {figures}{but}.{}", self.look())
    }

    /// A word of warning where one style is told far better than another.
    fn look(&self) -> String {
        let by_auc = |a: &&(String, Separation), b: &&(String, Separation)| a.1.auc.total_cmp(&b.1.auc);
        let ends = self.by_style.iter().min_by(by_auc).zip(self.by_style.iter().max_by(by_auc));
        match ends {
            Some(((worst, low), (best, high))) if high.auc - low.auc >= APART => format!(
                " It shows far better in '{best}' samples (AUC {:.3}) than in '{worst}' ones ({:.3}): what is told may be a look more than a content.",
                high.auc,
                low.auc,
                best = shown(best),
                worst = shown(worst),
            ),
            _ => String::new(),
        }
    }
}

/// A name from a manifest, fit for a terminal.
fn shown(name: &str) -> String {
    crate::few::cut(&name.chars().filter(|c| !c.is_control()).collect::<String>())
}

fn visible(separation: &Separation) -> bool {
    separation.auc >= VISIBLE && separation.auc_interval[0] > 0.5
}
