//! Rows dealt out to splits: by chance and concept, those that share an image or a text together.

use std::collections::{BTreeMap, HashMap};

use fastrand::Rng;

/// How rows are dealt out.
#[derive(Debug, Clone, PartialEq)]
pub struct Divide {
    /// Names of the splits, and the share of each; together 1.
    pub parts: Vec<(String, f64)>,
    /// What chance goes by.
    pub seed: u64,
    /// Whether each concept is dealt out for itself.
    pub by_concept: bool,
}

/// Where rows went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divided {
    /// The part of each row.
    pub parts: Vec<usize>,
    /// Groups of rows that had to stay together; a row alone is one too.
    pub groups: usize,
    /// Rows of the largest.
    pub largest: usize,
}

/// A row: its concept, and what no other split may have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Item {
    /// Its concept.
    pub concept: Option<String>,
    /// Hashes of images, and texts.
    pub contents: Vec<Vec<u8>>,
}

impl Divide {
    /// Checks names and shares.
    ///
    /// # Errors
    /// If there are none, one comes twice, or they are not 1 together.
    pub fn check(&self) -> Result<(), String> {
        let sum: f64 = self.parts.iter().map(|(_, share)| share).sum();
        let twice = |(n, (name, _)): (usize, &(String, f64))| self.parts[..n].iter().any(|(other, _)| other == name);
        if self.parts.iter().any(|(name, share)| name.trim().is_empty() || !(*share > 0.0 && *share <= 1.0)) {
            return Err("each part has a name and a share above 0".to_owned());
        }
        if self.parts.iter().enumerate().any(twice) {
            return Err("a part is named twice".to_owned());
        }
        if (sum - 1.0).abs() > 1e-6 {
            return Err(format!("the shares are {sum} together, and should be 1"));
        }
        Ok(())
    }
}

/// Deals rows out. The same rows, options and seed give the same parts.
pub fn divide(items: &[Item], how: &Divide) -> Divided {
    let groups = groups(items);
    let largest = groups.iter().map(Vec::len).max().unwrap_or(0);
    let mut strata = BTreeMap::<Option<&str>, Vec<&Vec<usize>>>::new();
    for group in &groups {
        let concept = if how.by_concept { main_concept(items, group) } else { None };
        strata.entry(concept).or_default().push(group);
    }
    let mut rng = Rng::with_seed(how.seed);
    let mut parts = vec![0; items.len()];
    // What rounding gave to one stratum it takes from the next, so that many small ones do not add up.
    let mut owed = vec![0.0; how.parts.len()];
    for stratum in strata.values_mut() {
        rng.shuffle(stratum);
        // Large groups first, while there is room for them.
        stratum.sort_by_key(|group| std::cmp::Reverse(group.len()));
        let rows: usize = stratum.iter().map(|group| group.len()).sum();
        let wanted: Vec<f64> =
            how.parts.iter().zip(&owed).map(|((_, share), owed)| share * rows as f64 + owed).collect();
        let targets = rounded(&wanted, rows);
        let mut given = vec![0_usize; how.parts.len()];
        for group in stratum.iter() {
            let lacks = |part: usize| targets[part] as i64 - given[part] as i64;
            // Of several that lack as much, the first.
            let part = (0..targets.len()).rev().max_by_key(|&part| lacks(part)).unwrap_or(0);
            given[part] += group.len();
            group.iter().for_each(|&row| parts[row] = part);
        }
        owed = wanted.iter().zip(&given).map(|(wanted, given)| wanted - *given as f64).collect();
    }
    Divided { parts, groups: groups.len(), largest }
}

/// Whole numbers near `wanted`, `total` together: rounded down, and one more where the largest remainders are.
fn rounded(wanted: &[f64], total: usize) -> Vec<usize> {
    let mut whole: Vec<usize> = wanted.iter().map(|wanted| wanted.max(0.0).floor() as usize).collect();
    while whole.iter().sum::<usize>() != total {
        let remainder = |part: usize| wanted[part] - whole[part] as f64;
        let order = |a: &usize, b: &usize| remainder(*a).total_cmp(&remainder(*b));
        if whole.iter().sum::<usize>() < total {
            let part = (0..whole.len()).rev().max_by(order).unwrap_or(0);
            whole[part] += 1;
        } else {
            let part = (0..whole.len()).filter(|&part| whole[part] > 0).min_by(order).unwrap_or(0);
            whole[part] -= 1;
        }
    }
    whole
}

/// Rows that are linked by what they share, in the order of their first rows.
fn groups(items: &[Item]) -> Vec<Vec<usize>> {
    let mut parent: Vec<usize> = (0..items.len()).collect();
    fn root(parent: &mut [usize], mut row: usize) -> usize {
        while parent[row] != row {
            parent[row] = parent[parent[row]];
            row = parent[row];
        }
        row
    }
    let mut first = HashMap::<&[u8], usize>::new();
    for (row, item) in items.iter().enumerate() {
        for content in &item.contents {
            let other = *first.entry(content).or_insert(row);
            let (a, b) = (root(&mut parent, other), root(&mut parent, row));
            parent[a.max(b)] = a.min(b);
        }
    }
    let mut groups = BTreeMap::<usize, Vec<usize>>::new();
    for row in 0..items.len() {
        groups.entry(root(&mut parent, row)).or_default().push(row);
    }
    groups.into_values().collect()
}

/// The concept that most rows of a group have; of several, the first by name.
fn main_concept<'i>(items: &'i [Item], group: &[usize]) -> Option<&'i str> {
    let mut counts = BTreeMap::<Option<&str>, usize>::new();
    for &row in group {
        *counts.entry(items[row].concept.as_deref()).or_default() += 1;
    }
    counts.into_iter().rev().max_by_key(|(_, count)| *count).and_then(|(concept, _)| concept)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn how(seed: u64, by_concept: bool) -> Divide {
        let parts = [("calibration", 0.5), ("validation", 0.2), ("evaluation", 0.3)];
        Divide { parts: parts.map(|(name, share)| (name.to_owned(), share)).to_vec(), seed, by_concept }
    }

    fn counts(parts: &[usize]) -> [usize; 3] {
        [0, 1, 2].map(|part| parts.iter().filter(|own| **own == part).count())
    }

    #[test]
    fn shares_are_kept_in_each_concept_and_over_all() {
        let item = |row: usize| Item { concept: Some((row % 4).to_string()), contents: vec![vec![row as u8]] };
        let items: Vec<Item> = (0..40).map(item).collect();
        let divided = divide(&items, &how(1, true));
        assert_eq!(counts(&divided.parts), [20, 8, 12]);
        for concept in 0..4 {
            let of: Vec<usize> = (0..40).filter(|row| row % 4 == concept).map(|row| divided.parts[row]).collect();
            assert_eq!(counts(&of), [5, 2, 3]);
        }
        // Ten concepts of one row each: rounding each for itself would give all to the first part.
        let items: Vec<Item> = (0..10).map(|row| Item { concept: Some(row.to_string()), contents: vec![] }).collect();
        assert_eq!(counts(&divide(&items, &how(1, true)).parts), [5, 2, 3]);
        assert_ne!(divide(&items, &how(1, false)).parts, divide(&items, &how(2, false)).parts);
    }

    #[test]
    fn shares_that_are_none() {
        let check = |parts: &[(&str, f64)]| {
            let parts = parts.iter().map(|(name, share)| ((*name).to_owned(), *share)).collect();
            Divide { parts, seed: 0, by_concept: true }.check()
        };
        assert!(check(&[("a", 0.5), ("b", 0.5)]).is_ok());
        assert!(check(&[("a", 1.0)]).is_ok());
        for parts in [&[("a", 0.5), ("a", 0.5)][..], &[("a", 0.5)], &[], &[("a", f64::NAN)], &[("a", 2.0), ("b", -1.0)]]
        {
            assert!(check(parts).is_err(), "{parts:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shared_stays_together(
            rows in prop::collection::vec((0_u8..6, 0_u8..30, 0_u8..30), 0..60),
            seed in any::<u64>(),
            by_concept in any::<bool>(),
        ) {
            let items: Vec<Item> = rows
                .iter()
                .map(|(concept, a, b)| Item {
                    concept: (*concept > 0).then(|| concept.to_string()),
                    contents: vec![vec![0, *a], vec![1, *b]],
                })
                .collect();
            let divided = divide(&items, &how(seed, by_concept));
            prop_assert_eq!(divided.parts.len(), items.len());
            prop_assert!(divided.parts.iter().all(|part| *part < 3));
            for (a, first) in items.iter().enumerate() {
                for (b, second) in items.iter().enumerate() {
                    let shared = first.contents.iter().any(|content| second.contents.contains(content));
                    prop_assert!(!shared || divided.parts[a] == divided.parts[b]);
                }
            }
            prop_assert_eq!(divide(&items, &how(seed, by_concept)), divided);
        }

        #[test]
        fn rounding_keeps_the_total(wanted in prop::collection::vec(-0.9_f64..20.0, 1..6), total in 0_usize..60) {
            prop_assert_eq!(rounded(&wanted, total).iter().sum::<usize>(), total);
        }
    }
}
