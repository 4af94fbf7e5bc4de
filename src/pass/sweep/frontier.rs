//! Points that no other point betters.

use std::collections::VecDeque;

/// A point as a frontier sees it: more of the first two is better, less of the third.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Safety.
    pub safety: f64,
    /// Knowledge.
    pub knowledge: f64,
    /// Elements changed, which decides between equal points.
    pub size: usize,
}

/// The points that no other equals in both and betters in one (Pareto), by knowledge from the most; of equal ones the
/// smallest, and of those the first.
pub fn frontier(places: &[Place]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by(|&a, &b| {
        let (p, q) = (places[a], places[b]);
        q.knowledge
            .total_cmp(&p.knowledge)
            .then(q.safety.total_cmp(&p.safety))
            .then(p.size.cmp(&q.size))
            .then(a.cmp(&b))
    });
    let mut most = f64::NEG_INFINITY;
    order.retain(|&index| {
        let better = places[index].safety > most;
        most = most.max(places[index].safety);
        better
    });
    order
}

/// The order in which `count` steps of a scale are tried: the middle one first, then the middles of what is left, so that
/// any beginning covers the scale.
pub fn coarse_to_fine(count: usize) -> Vec<usize> {
    let mut parts = VecDeque::new();
    parts.push_back(0..count);
    let mut order = vec![];
    while let Some(part) = parts.pop_front().filter(|_| order.len() < count) {
        if part.is_empty() {
            continue;
        }
        let middle = part.start + (part.len() - 1) / 2;
        order.push(middle);
        parts.extend([part.start..middle, middle + 1..part.end]);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place((safety, knowledge, size): (u8, u8, u8)) -> Place {
        Place { safety: f64::from(safety), knowledge: f64::from(knowledge), size: usize::from(size) }
    }

    proptest! {
        /// Whatever is not on it is matched or bettered by something that is, and nothing on it is.
        #[test]
        fn nothing_is_better(points in prop::collection::vec((0_u8..12, 0_u8..12, 0_u8..3), 1..60)) {
            let places: Vec<Place> = points.into_iter().map(place).collect();
            let taken = frontier(&places);
            let betters = |a: &Place, b: &Place| {
                a.safety >= b.safety && a.knowledge >= b.knowledge && (a.safety > b.safety || a.knowledge > b.knowledge)
            };
            for &index in &taken {
                prop_assert!(!places.iter().any(|other| betters(other, &places[index])));
            }
            for (index, own) in places.iter().enumerate() {
                let covered = |&other: &usize| {
                    let other_place = &places[other];
                    betters(other_place, own)
                        || (other_place.safety == own.safety && other_place.knowledge == own.knowledge && (other_place.size, other) <= (own.size, index))
                };
                prop_assert!(taken.iter().any(covered));
            }
            prop_assert!(taken.windows(2).all(|pair| places[pair[0]].knowledge > places[pair[1]].knowledge));
        }

        #[test]
        fn every_step_once(count in 0_usize..200) {
            let mut order = coarse_to_fine(count);
            order.sort_unstable();
            prop_assert_eq!(order, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn beginnings_cover_the_scale() {
        assert_eq!(coarse_to_fine(7), [3, 1, 5, 0, 2, 4, 6]);
        assert_eq!(coarse_to_fine(2), [0, 1]);
    }
}
