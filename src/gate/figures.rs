//! Figures against their bounds.

use super::policy::Policy;
use super::rule::{FigureRule, Within};
use crate::few::{cut, few};
use crate::report::checked::{Bound, Confidence, Finding, Judged, Outcome, Scope};
use crate::report::{Estimate, Evaluated, FigureGroup, FigureLine};
use crate::safeground::FEWEST;
use crate::safeground::figure::Unit;
use crate::safeground::normal::widening;

/// What came of every rule about figures, in the order of the policy; a finding a concept, where a rule is about each.
pub fn judge(policy: &Policy, evaluated: &Evaluated) -> Vec<Finding> {
    policy.figures.iter().flat_map(|rule| Rule { rule, policy, evaluated }.findings()).collect()
}

/// A rule, and what it is judged with.
#[derive(Clone, Copy)]
struct Rule<'a> {
    rule: &'a FigureRule,
    policy: &'a Policy,
    evaluated: &'a Evaluated,
}

/// A figure that is bounded: at least, or at most, within these two. Between them it is open what the bound is.
struct Asked {
    /// From here on it holds.
    holds: f64,
    /// From here on, the other way, it is broken.
    breaks: f64,
    /// Whether more is better.
    least: bool,
}

impl<'a> Rule<'a> {
    fn findings(self) -> Vec<Finding> {
        match self.rule.within {
            Within::Overall => vec![self.of_group(Scope::Overall, &self.evaluated.overall, 1)],
            Within::Concepts => self.concepts(),
            Within::WorstConcept => vec![self.worst()],
        }
    }

    /// Concepts that the rule speaks of, and names of such that there are not.
    fn spoken_of(self) -> (Vec<&'a FigureGroup>, Vec<&'a String>) {
        let named = &self.policy.concepts[usize::from(self.rule.within == Within::WorstConcept)];
        let concepts = &self.evaluated.concepts;
        let is = |group: &FigureGroup, name: &String| group.name.as_ref() == Some(name);
        let unknown = named.iter().filter(|name| !concepts.iter().any(|group| is(group, name))).collect();
        let wanted = |group: &&FigureGroup| named.is_empty() || named.iter().any(|name| is(group, name));
        (concepts.iter().filter(wanted).collect(), unknown)
    }

    fn concepts(self) -> Vec<Finding> {
        let (concepts, unknown) = self.spoken_of();
        if concepts.is_empty() && unknown.is_empty() {
            return vec![self.absent("no row of the data tells its concept", true)];
        }
        let all = concepts.len();
        let of = |group: &FigureGroup| self.of_group(Scope::Concept(name(group)), group, all);
        concepts.iter().map(|group| of(group)).chain(unknown.into_iter().map(|name| self.unknown(name))).collect()
    }

    /// The concept that is nearest to breaking the rule, by the end of the interval that counts; before it, what cannot be
    /// told of any: a concept that is too small to be judged is not left out.
    fn worst(self) -> Finding {
        let (concepts, unknown) = self.spoken_of();
        let all = concepts.len();
        let of = |group: &&FigureGroup| {
            let finding = self.of_group(Scope::WorstConcept(name(group)), group, all);
            let gravity = match (finding.outcome, finding.code.as_str()) {
                (Outcome::Fail, _) => 0,
                (Outcome::Inconclusive, "interval-straddles-bound") => 1,
                (Outcome::Inconclusive | Outcome::Error(_), _) => 2,
                (Outcome::Pass | Outcome::Skipped, _) => 3,
            };
            (gravity, self.slack(group), finding)
        };
        let found = concepts.iter().map(of).min_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        match (found, unknown.first()) {
            (Some((0 | 1, _, finding)), _) => finding,
            (_, Some(name)) => self.unknown(name),
            (Some((_, _, finding)), None) => finding,
            (None, None) => self.absent("no row of the data tells its concept", true),
        }
    }

    /// How far the judged end is within the bound; below 0 where it is not.
    fn slack(self, group: &FigureGroup) -> f64 {
        let Some((line, estimate)) = self.estimate(group) else { return f64::INFINITY };
        let asked = self.asked(line);
        let [low, high] = match self.policy.used.confidence {
            Confidence::Point => [estimate.value; 2],
            Confidence::Interval(_) => estimate.interval.unwrap_or([estimate.value; 2]),
        };
        if asked.least { low - asked.holds } else { asked.holds - high }
    }

    fn unknown(self, concept: &str) -> Finding {
        Finding {
            code: "concept-unknown".to_owned(),
            help: Some(format!("concepts are {}", few(self.evaluated.concepts.iter().map(name)))),
            ..self.finding(
                Outcome::Inconclusive,
                &Scope::Concept(concept.to_owned()),
                format!("No row of the data has the concept '{}'.", cut(concept)),
            )
        }
    }

    /// `questions`: of how many groups the rule asks at once.
    fn of_group(self, scope: Scope, group: &FigureGroup, questions: usize) -> Finding {
        let Some(line) = group.lines.iter().find(|line| line.figure == self.rule.figure) else {
            let absent = self.evaluated.absent.iter().find(|absent| absent.figures.contains(&self.rule.figure));
            return match absent {
                Some(absent) => self.absent(&absent.reason, true),
                None if self.rule.figure.contains("drift") => {
                    self.absent("the tower is the same in model and baseline, or one of them has none", false)
                }
                None => self.absent("model or data have not what it takes", false),
            };
        };
        // What the model shows and the baseline does not is no reason to skip a comparison.
        let Some((_, estimate)) = self.estimate(group) else {
            return self.absent("the baseline does not have it, so that nothing can be compared", false);
        };
        let asked = self.asked(line);
        let judged = Judged {
            figure: self.rule.figure,
            scope: scope.clone(),
            bound: self.rule.bound,
            limit: self.rule.limit,
            value: estimate.value,
            interval: estimate.interval,
            items: line.items,
        };
        let least = self.rule.min_samples.max(match self.policy.used.confidence {
            Confidence::Interval(_) => FEWEST,
            Confidence::Point => 1,
        });
        let finding = if line.items < least {
            self.too_few(&scope, "there are", line.items, least)
        } else {
            let range = match self.policy.used.confidence {
                Confidence::Point => Some([estimate.value; 2]),
                Confidence::Interval(_) => estimate.interval,
            };
            self.within_range(&scope, &asked, range, estimate, questions)
        };
        Finding { judged: Some(judged), ..finding }
    }

    fn within_range(
        self,
        scope: &Scope,
        asked: &Asked,
        range: Option<[f64; 2]>,
        estimate: Estimate,
        questions: usize,
    ) -> Finding {
        // A figure that is no number has no place.
        let range = range.filter(|[low, high]| low.is_finite() && high.is_finite());
        let Some([low, high]) = range else {
            return self.absent("it has no interval, which a bound is judged on", false);
        };
        // All of several questions hold as certainly as the least certain of them; that one of them is broken is only as
        // certain as that none of them was by chance.
        let wider = match self.policy.used.confidence {
            Confidence::Interval(level) => widening(level, questions),
            Confidence::Point => 1.0,
        };
        let further = |end: f64| estimate.value + wider * (end - estimate.value);
        let (holds, broken) = match asked.least {
            true => (low >= asked.holds, further(high) < asked.breaks),
            false => (high <= asked.holds, further(low) > asked.breaks),
        };
        let said = self.said(scope, estimate);
        let limit = self.limit();
        let (code, outcome, message, help) = match (holds, broken) {
            (true, _) => (self.rule.bound.code(), Outcome::Pass, format!("{said}; {limit}."), None),
            (_, true) => (self.rule.bound.code(), Outcome::Fail, format!("{said}; {limit}."), None),
            _ => (
                "interval-straddles-bound".to_owned(),
                Outcome::Inconclusive,
                format!("{said}, which leaves open whether it keeps the bound: {limit}."),
                Some("more samples make the interval narrower; or choose a bound that is not so near".to_owned()),
            ),
        };
        Finding { code, help, ..self.finding(outcome, scope, message) }
    }

    /// The line and what of it is bounded.
    fn estimate(self, group: &FigureGroup) -> Option<(&FigureLine, Estimate)> {
        let line = group.lines.iter().find(|line| line.figure == self.rule.figure)?;
        let estimate = if self.rule.bound.compares() { line.change? } else { line.value };
        Some((line, estimate))
    }

    fn asked(self, line: &FigureLine) -> Asked {
        let limit = self.rule.limit;
        let (least, at) = match self.rule.bound {
            Bound::Min | Bound::MinGain => (true, limit),
            Bound::MaxDrop => (true, -limit),
            Bound::Max | Bound::MaxGain => (false, limit),
            Bound::MinDrop => (false, -limit),
            Bound::MaxRelativeDrop => {
                // Of the baseline only an interval is known too. It holds where it does at the baseline's low end, which
                // allows least, and is broken where it is at the high end.
                let baseline = line.baseline.unwrap_or(line.value);
                let [low, high] = match self.policy.used.confidence {
                    Confidence::Point => [baseline.value; 2],
                    Confidence::Interval(_) => baseline.interval.unwrap_or([baseline.value; 2]),
                };
                return Asked { holds: -limit * low, breaks: -limit * high, least: true };
            }
        };
        Asked { holds: at, breaks: at, least }
    }

    fn finding(self, outcome: Outcome, scope: &Scope, message: String) -> Finding {
        Finding {
            code: self.rule.bound.code(),
            outcome,
            rule: Some(self.rule.path()),
            place: Some(self.rule.place),
            subject: self.subject(scope),
            message,
            help: None,
            judged: None,
        }
    }

    fn subject(self, scope: &Scope) -> String {
        match scope {
            Scope::Overall if self.rule.within == Within::WorstConcept => {
                format!("{} of the worst concept", self.rule.figure)
            }
            Scope::Overall => self.rule.figure.to_owned(),
            Scope::Concept(concept) => format!("{} of '{}'", self.rule.figure, cut(concept)),
            Scope::WorstConcept(concept) => format!("{} of the worst concept, '{}'", self.rule.figure, cut(concept)),
        }
    }

    /// `optional` rules may be skipped for what is `lacking` from the data, and for nothing else.
    fn absent(self, reason: &str, lacking: bool) -> Finding {
        let outcome = if self.rule.optional && lacking { Outcome::Skipped } else { Outcome::Inconclusive };
        let help = match lacking {
            true => format!("give data that it can be measured on, or say `optional: true` for {}", self.rule.figure),
            false => format!("give what it takes, or leave the rule for {} out", self.rule.figure),
        };
        Finding {
            code: "metric-not-measured".to_owned(),
            help: (outcome == Outcome::Inconclusive).then_some(help),
            ..self.finding(
                outcome,
                &Scope::Overall,
                format!("{} cannot be judged: {reason}.", self.subject(&Scope::Overall)),
            )
        }
    }

    fn too_few(self, scope: &Scope, what: &str, items: usize, least: usize) -> Finding {
        let kind = if self.rule.figure.starts_with("zero_shot") { "images" } else { "quadruplets" };
        let message =
            format!("{} is not judged: {what} {items} {kind}, and {least} are asked for.", self.subject(scope));
        Finding {
            code: "too-few-samples".to_owned(),
            help: Some(format!("give more {kind}, or ask for fewer with min_samples (an interval needs {FEWEST})")),
            ..self.finding(Outcome::Inconclusive, scope, message)
        }
    }

    /// What is, in words.
    fn said(self, scope: &Scope, estimate: Estimate) -> String {
        let value = match self.rule.bound.compares() {
            true => match estimate.value {
                change if change < 0.0 => format!("fell by {}", self.number(-change)),
                change => format!("rose by {}", self.number(change)),
            },
            false => format!("is {}", self.number(estimate.value)),
        };
        let interval = match (self.policy.used.confidence, estimate.interval) {
            (Confidence::Interval(level), Some([low, high])) if self.rule.bound.compares() => {
                format!(" ({level} % interval of the change {} to {})", self.signed(low), self.signed(high))
            }
            (Confidence::Interval(level), Some([low, high])) => {
                format!(" ({level} % interval {} to {})", self.number(low), self.number(high))
            }
            (Confidence::Point, Some(_)) => " (the figure alone, without its interval)".to_owned(),
            _ => String::new(),
        };
        format!("{} {value}{interval}", self.subject(scope))
    }

    /// What is asked for, in words.
    fn limit(self) -> String {
        let limit = self.number(self.rule.limit);
        match self.rule.bound {
            Bound::Min => format!("at least {limit} is asked for"),
            Bound::Max => format!("at most {limit} is allowed"),
            Bound::MaxDrop => format!("it may fall by {limit}"),
            Bound::MinDrop => format!("it is to fall by at least {limit}"),
            Bound::MaxGain => format!("it may rise by {limit}"),
            Bound::MinGain if self.rule.limit == 0.0 => "it is to rise".to_owned(),
            Bound::MinGain => format!("it is to rise by at least {limit}"),
            Bound::MaxRelativeDrop => format!("it may fall by {} % of what it was", 100.0 * self.rule.limit),
        }
    }

    fn number(self, value: f64) -> String {
        match self.rule.unit {
            Unit::Percent => format!("{value:.1}"),
            Unit::Cosine => format!("{value:.3}"),
        }
    }

    fn signed(self, value: f64) -> String {
        match self.rule.unit {
            Unit::Percent => format!("{value:+.1}"),
            Unit::Cosine => format!("{value:+.3}"),
        }
    }
}

fn name(group: &FigureGroup) -> String {
    group.name.clone().unwrap_or_default()
}
