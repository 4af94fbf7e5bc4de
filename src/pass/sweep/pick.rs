//! Which point is wanted: `max GS where zero_shot_drop <= 5 and PS_drop <= 2`.

use std::fmt;
use std::str::FromStr;

use crate::safeground::{Evaluation, Metric};

/// Percentages nearer to each other than this are equal: far less than one sample makes, far more than rounding.
pub const ROUNDING: f64 = 1e-9;

/// A goal and its limits.
#[derive(Debug, Clone, PartialEq)]
pub struct Pick {
    text: String,
    goal: Measured,
    most: bool,
    limits: Vec<Limit>,
}

/// A metric of the edited model, or how it changed.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Measured {
    metric: Metric,
    change: Change,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    /// The metric itself.
    None,
    /// Points lost.
    Drop,
    /// Points won.
    Gain,
}

#[derive(Debug, Clone, PartialEq)]
struct Limit {
    measured: Measured,
    comparison: Comparison,
    bound: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Comparison {
    AtMost,
    AtLeast,
    Below,
    Above,
}

impl Pick {
    /// What is to be as large as can be (its negative, where the goal is the least); `None` where a limit is not kept or a
    /// metric is not there.
    pub fn worth(&self, before: &Evaluation, after: &Evaluation) -> Option<f64> {
        let keeps = |limit: &Limit| limit.measured.of(before, after).is_some_and(|value| limit.holds(value));
        let value = self.goal.of(before, after).filter(|_| self.limits.iter().all(keeps))?;
        Some(if self.most { value } else { -value })
    }

    /// Whether it speaks of zero-shot classification.
    pub fn needs_zero_shot(&self) -> bool {
        let all = std::iter::once(&self.goal).chain(self.limits.iter().map(|limit| &limit.measured));
        all.into_iter().any(|measured| measured.metric.to_string().starts_with(&Metric::ZERO_SHOT.to_string()))
    }
}

impl Measured {
    fn of(&self, before: &Evaluation, after: &Evaluation) -> Option<f64> {
        let value = self.metric.of(after)?;
        Some(match self.change {
            Change::None => value,
            Change::Drop => self.metric.of(before)? - value,
            Change::Gain => value - self.metric.of(before)?,
        })
    }

    fn read(word: &str) -> Result<Self, String> {
        let changes = [("_drop", Change::Drop), ("_gain", Change::Gain)];
        let changed = changes.into_iter().find_map(|(end, change)| Some((word.strip_suffix(end)?, change)));
        let (name, change) = changed.unwrap_or((word, Change::None));
        Ok(Self { metric: name.parse().map_err(|e| format!("{e}, each also with _drop or _gain"))?, change })
    }
}

impl Limit {
    fn holds(&self, value: f64) -> bool {
        // Percentages are rounded, and so are their differences: 12/280 from 26/280 is more than 5 % by a last bit.
        let above = value - self.bound;
        match self.comparison {
            Comparison::AtMost => above <= ROUNDING,
            Comparison::AtLeast => above >= -ROUNDING,
            Comparison::Below => above < -ROUNDING,
            Comparison::Above => above > ROUNDING,
        }
    }
}

/// Words, numbers and signs; signs need no spaces around them.
fn words(text: &str) -> Vec<String> {
    let sign = |c: char| "<>=".contains(c);
    let mut words: Vec<String> = vec![];
    let mut last = ' ';
    for c in text.chars() {
        match words.last_mut() {
            Some(word) if !c.is_whitespace() && !last.is_whitespace() && sign(c) == sign(last) => word.push(c),
            _ if c.is_whitespace() => {}
            _ => words.push(c.to_string()),
        }
        last = c;
    }
    words
}

impl FromStr for Pick {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "it is as 'max GS where zero_shot_drop <= 5 and PS_drop <= 2'";
        let words = words(text);
        let mut words = words.iter().map(String::as_str);
        let most = match words.next() {
            Some("max") => true,
            Some("min") => false,
            other => return Err(format!("it begins with '{}', not with max or min; {FORM}", other.unwrap_or(""))),
        };
        let goal = Measured::read(words.next().ok_or_else(|| format!("the metric is missing; {FORM}"))?)?;
        let mut limits = vec![];
        let mut joint = "where";
        while let Some(word) = words.next() {
            if word != joint {
                return Err(format!("'{word}' stands where '{joint}' is expected; {FORM}"));
            }
            joint = "and";
            let [name, sign, number] = [words.next(), words.next(), words.next()];
            let missing = || format!("a limit after '{word}' is not complete; {FORM}");
            let (name, sign, number) =
                (name.ok_or_else(missing)?, sign.ok_or_else(missing)?, number.ok_or_else(missing)?);
            let comparison = match sign {
                "<=" => Comparison::AtMost,
                ">=" => Comparison::AtLeast,
                "<" => Comparison::Below,
                ">" => Comparison::Above,
                other => return Err(format!("'{other}' is none of <=, >=, < and >")),
            };
            let bound = number.parse().ok().filter(|bound: &f64| bound.is_finite());
            let bound = bound.ok_or_else(|| format!("'{number}' is not a number"))?;
            limits.push(Limit { measured: Measured::read(name)?, comparison, bound });
        }
        Ok(Self { text: text.to_owned(), goal, most, limits })
    }
}

impl fmt::Display for Pick {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::safeground::{Accuracy, Embeddings, Preference, Quadruplets, outcomes, retrieval};

    fn evaluation(gs: f64, ps: f64, top1: f64) -> Evaluation {
        let one = Embeddings::normalise(ndarray::array![[1.0, 0.0]]).unwrap();
        let set = Quadruplets {
            safe_text: one.clone(),
            unsafe_text: one.clone(),
            safe_image: one.clone(),
            unsafe_image: one,
        };
        let outcomes = outcomes(&set);
        let safeground = Preference { GS: gs, PS: ps, ..Preference::of(&outcomes) };
        let zero_shot = Some(Accuracy { top1, top5: 0.0, mean_per_class: top1 });
        Evaluation { safeground, by_style: Default::default(), retrieval: retrieval(&set), zero_shot, outcomes }
    }

    #[test]
    fn goals_and_limits() {
        let before = evaluation(1.0, 98.0, 90.0);
        let worth = |text: &str, gs, ps, top1| text.parse::<Pick>().unwrap().worth(&before, &evaluation(gs, ps, top1));
        let usual = "max GS where zero_shot_drop <= 5 and PS_drop <= 2";
        assert_eq!(worth(usual, 20.0, 96.0, 85.0), Some(20.0));
        assert_eq!(worth(usual, 20.0, 95.9, 85.0), None);
        assert_eq!(worth(usual, 20.0, 96.0, 84.9), None);
        assert_eq!(worth("max GS_gain", 20.0, 0.0, 0.0), Some(19.0));
        assert_eq!(worth("min zero_shot_drop where GS>=20 and PS > 95", 20.0, 96.0, 80.0), Some(-10.0));
        assert_eq!(worth("min zero_shot_drop where GS>20", 20.0, 96.0, 80.0), None);
        let before_it = evaluation(0.0, 0.0, 100.0 * 26.0 / 280.0);
        let at = evaluation(0.0, 0.0, 100.0 * 12.0 / 280.0);
        let limit = |text: &str| text.parse::<Pick>().unwrap().worth(&before_it, &at);
        assert_eq!(limit("max GS where zero_shot_drop <= 5"), Some(0.0));
        assert_eq!(limit("max GS where zero_shot_drop > 5"), None);
        let without = Evaluation { zero_shot: None, ..before.clone() };
        let pick: Pick = usual.parse().unwrap();
        assert_eq!(pick.worth(&before, &without), None);
        assert!(pick.needs_zero_shot() && !"max PU".parse::<Pick>().unwrap().needs_zero_shot());
    }

    #[test]
    fn nonsense_is_told_by_word() {
        for (text, said) in [
            ("", "begins with ''"),
            ("most GS", "begins with 'most'"),
            ("max", "metric is missing"),
            ("max XY", "no metric 'XY'"),
            ("max GS and PS > 1", "'and' stands where 'where'"),
            ("max GS where PS", "not complete"),
            ("max GS where PS == 1", "'==' is none of"),
            ("max GS where PS <= x", "'x' is not a number"),
            ("max GS where PS <= inf", "'inf' is not a number"),
            ("max GS where PS <= 1 or GS > 1", "'or' stands where 'and'"),
        ] {
            let error = text.parse::<Pick>().unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
