//! A small language for what a value is computed by, and its matcher.
//!
//! * `(Op a b)`: the result of the operator, of operands that match; `Op|Other` for one of several. `Add` and `Mul`
//!   match in either order. Operands that are left over must be constants; with `...` at the end they may be anything.
//! * `?name`: activations; where the name comes again, the same ones. `*name`: activations or parameters, but no matrix.
//! * `1.702`: a constant of that value, to a part in 200 (codes are not exact).
//! * `_`: anything.
//! * `~(Op ..)`: such a value, or one that is handed on from it through operators that mix nothing. `~name(Op ..)` gives
//!   it a name.
//! * `@name`: what one of the patterns of that name matches.
//!
//! Nodes that change the type only (`Cast`, `QuantizeLinear`, ...) are looked through everywhere.

use std::collections::{BTreeMap, HashSet};

use super::flow::Flow;
use super::view::{View, view};
use crate::onnx::scalar::{code, scalar};

/// A pattern.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Pattern {
    Anything,
    Variable { name: &'static str, parameters: bool },
    Number(f64),
    Named(&'static str),
    Node { name: Option<&'static str>, ops: Vec<&'static str>, operands: Vec<Pattern>, open: bool, through: bool },
}

/// Patterns by name, in the order in which they are tried.
pub(super) struct Book(Vec<(&'static str, Pattern)>);

/// The activations that the variables stand for.
pub(super) type Bindings<'m> = BTreeMap<&'static str, &'m str>;

/// Values that `~` looks at.
const THROUGH: usize = 64;

impl Book {
    /// Reads lines of a name and a pattern.
    ///
    /// # Panics
    /// If a line is no pattern, or a name that it refers to is none of an earlier line.
    pub fn read(text: &'static str) -> Self {
        let mut book = Self(vec![]);
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (name, rest) = line.split_once(char::is_whitespace).expect("a name and a pattern");
            let mut words = words(rest).into_iter().peekable();
            let pattern = book.parse(&mut words);
            assert!(words.next().is_none(), "more than one pattern: {line}");
            book.0.push((name, pattern));
        }
        book
    }

    fn parse(&self, words: &mut std::iter::Peekable<std::vec::IntoIter<&'static str>>) -> Pattern {
        let word = words.next().expect("a pattern");
        match word {
            bracket if bracket.ends_with('(') => {
                let through = bracket.starts_with('~');
                let name = Some(bracket.trim_matches(['~', '('])).filter(|name| !name.is_empty());
                let ops = words.next().expect("an operator").split('|').collect();
                let (mut operands, mut open) = (vec![], false);
                loop {
                    match *words.peek().expect("a closing bracket") {
                        ")" => break,
                        "..." => open = true,
                        _ => {
                            operands.push(self.parse(words));
                            continue;
                        }
                    }
                    words.next();
                }
                words.next();
                Pattern::Node { name, ops, operands, open, through }
            }
            "_" => Pattern::Anything,
            word => match word.split_at(1) {
                ("?", name) => Pattern::Variable { name, parameters: false },
                ("*", name) => Pattern::Variable { name, parameters: true },
                ("@", name) => {
                    assert!(self.0.iter().any(|(known, _)| *known == name), "no pattern @{name} so far");
                    Pattern::Named(name)
                }
                _ => Pattern::Number(word.parse().expect("a number")),
            },
        }
    }

    /// Names and bindings of the first pattern in `names` that matches the value.
    pub fn first<'m>(
        &self,
        flow: &Flow<'_, 'm>,
        value: &'m str,
        names: &[&str],
    ) -> Option<(&'static str, Bindings<'m>)> {
        // Another type of a value is no other value.
        if flow.settle(value) != value {
            return None;
        }
        let mut wanted = self.0.iter().filter(|(name, _)| names.contains(name));
        wanted.find_map(|(name, pattern)| {
            let bound = self.matches(flow, value, pattern, Bindings::new())?;
            Some((*name, bound))
        })
    }

    fn matches<'m>(
        &self,
        flow: &Flow<'_, 'm>,
        value: &'m str,
        pattern: &Pattern,
        bound: Bindings<'m>,
    ) -> Option<Bindings<'m>> {
        match pattern {
            Pattern::Anything => Some(bound),
            Pattern::Variable { name, parameters } => {
                let value = flow.settle(value);
                let mut bound = bound;
                let known = *bound.entry(name).or_insert(value);
                let fits = flow.is_computed(value) || *parameters && !value.is_empty() && !is_matrix(flow, value);
                (fits && known == value).then_some(bound)
            }
            Pattern::Number(number) => {
                let value = scalar(flow.graph, value)?;
                near(value, *number).then_some(bound)
            }
            Pattern::Named(name) => self
                .0
                .iter()
                .filter(|(known, _)| known == name)
                .find_map(|(_, pattern)| self.matches(flow, value, pattern, bound.clone())),
            Pattern::Node { through: false, .. } => self.matches_node(flow, flow.settle(value), pattern, bound),
            Pattern::Node { through: true, .. } => {
                let (mut open, mut seen) = (std::collections::VecDeque::from([value]), HashSet::new());
                while let Some(value) = open.pop_front().filter(|_| seen.len() < THROUGH) {
                    if !seen.insert(value) {
                        continue;
                    }
                    if let Some(bound) = self.matches_node(flow, value, pattern, bound.clone()) {
                        return Some(bound);
                    }
                    if let Some(node) = flow.graph.producer(value) {
                        open.extend(flow.before(node, value));
                    }
                }
                None
            }
        }
    }

    fn matches_node<'m>(
        &self,
        flow: &Flow<'_, 'm>,
        value: &'m str,
        pattern: &Pattern,
        bound: Bindings<'m>,
    ) -> Option<Bindings<'m>> {
        let Pattern::Node { name, ops, operands: wanted, open, .. } = pattern else { return None };
        let node = flow.graph.producer(value).filter(|node| node.output.first().is_some_and(|first| first == value))?;
        let View { op, operands, codes } = view(node);
        if !ops.contains(&op) || operands.len() < wanted.len() {
            return None;
        }
        if !open && operands[wanted.len()..].iter().any(|operand| flow.is_computed(operand)) {
            return None;
        }
        let operand = |bound, pattern: &Pattern, k: usize| match (pattern, codes.get(k)) {
            (Pattern::Number(number), Some(parameters)) => {
                near(code(flow.graph, operands[k], *parameters)?, *number).then_some(bound)
            }
            _ => self.matches(flow, operands[k], pattern, bound),
        };
        let in_order = |order: &[usize]| {
            wanted.iter().zip(order).try_fold(bound.clone(), |bound, (pattern, &k)| operand(bound, pattern, k))
        };
        let either = matches!(op, "Add" | "Mul") && wanted.len() == 2;
        let straight: Vec<usize> = (0..wanted.len()).collect();
        let mut bound = in_order(&straight).or_else(|| if either { in_order(&[1, 0]) } else { None })?;
        if let Some(name) = name {
            bound.insert(name, value);
        }
        Some(bound)
    }
}

#[cfg(test)]
impl Book {
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|(name, _)| *name).collect()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn line(&self, line: usize) -> &(&'static str, Pattern) {
        &self.0[line]
    }

    pub fn line_matches<'m>(&self, line: usize, flow: &Flow<'_, 'm>, value: &'m str) -> bool {
        self.matches(flow, value, &self.0[line].1, Bindings::new()).is_some()
    }
}

/// Whether a value is a constant of two dimensions, as the weight of a linear layer.
fn is_matrix(flow: &Flow, value: &str) -> bool {
    let constant = flow.graph.constant(value).and_then(Result::ok);
    constant.is_some_and(|constant| constant.tensor.dims.len() == 2)
}

/// Codes are not exact.
fn near(value: f64, wanted: f64) -> bool {
    (value - wanted).abs() <= wanted.abs() / 200.0
}

/// Brackets and what stands between them.
fn words(text: &'static str) -> Vec<&'static str> {
    let (mut words, mut rest) = (vec![], text.trim_start());
    while !rest.is_empty() {
        let length = match rest.as_bytes() {
            [b'(' | b')', ..] => 1,
            [b'~', ..] => rest.find('(').expect("a bracket") + 1,
            _ => rest.find(|c: char| c.is_whitespace() || matches!(c, '(' | ')')).unwrap_or(rest.len()),
        };
        let (word, after) = rest.split_at(length);
        words.push(word);
        rest = after.trim_start();
    }
    words
}
