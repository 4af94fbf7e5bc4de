//! Ranks in galleries of any size: products of embeddings in tiles, looked at and dropped.
//!
//! The rank of an item that is known beforehand needs no list of the best: only how many come before it. So no matrix of
//! all similarities is ever there, and one product serves both directions: its rows are queries of one kind, its columns
//! of the other.

use ndarray::{ArrayView2, s};
use rayon::prelude::*;

use super::Embeddings;

/// Rows and columns of a tile: a megabyte, which the cache holds.
const ROWS: usize = 256;
const COLUMNS: usize = 1024;
/// Tiles on the diagonal, of which only the diagonal is wanted.
const DIAGONAL: usize = 32;
/// Columns that are counted at once.
const LANES: usize = 32;
/// Queries that one thread takes on; each keeps counts for all columns.
const SHARE: usize = 1024;

/// What queries are measured by: how similar the right item of each is to it.
#[derive(Clone, Copy)]
pub struct Queries<'a> {
    /// Of each query.
    pub right: &'a [f32],
    /// Whether the right item is in this gallery, at the query's own place.
    pub own: bool,
}

/// What queries found in a gallery.
#[derive(Debug, Clone, PartialEq)]
pub struct Tally {
    /// Items more similar than the right one, or as similar.
    pub before: Vec<u32>,
    /// Of these, as similar.
    pub tied: Vec<u32>,
    /// The greatest similarity.
    pub best: Vec<f32>,
}

impl Tally {
    fn new(queries: usize) -> Self {
        Self { before: vec![0; queries], tied: vec![0; queries], best: vec![f32::NEG_INFINITY; queries] }
    }

    /// Adds what was found in another gallery, or in another part.
    fn add(&mut self, other: &Self) {
        let sum = |own: &mut [u32], others: &[u32]| own.iter_mut().zip(others).for_each(|(own, other)| *own += other);
        sum(&mut self.before, &other.before);
        sum(&mut self.tied, &other.tied);
        self.best.iter_mut().zip(&other.best).for_each(|(own, other)| *own = own.max(*other));
    }

    /// Of two galleries as one; the best of each apart.
    pub fn joined(mut self, other: &Self) -> Self {
        let best = self.best.clone();
        self.add(other);
        self.best = best;
        self
    }
}

/// Similarities of the rows of two sets at the same place, as the tiles have them.
pub fn diagonal(a: &Embeddings, b: &Embeddings) -> Vec<f32> {
    let of = |start: usize| {
        let rows = start..a.0.nrows().min(start + DIAGONAL);
        let tile = a.0.slice(s![rows.clone(), ..]).dot(&b.0.slice(s![rows, ..]).t());
        tile.diag().to_vec()
    };
    let starts: Vec<usize> = (0..a.0.nrows()).step_by(DIAGONAL).collect();
    starts.into_par_iter().flat_map_iter(of).collect()
}

/// What the rows of `a` find among the rows of `b`, and the other way round, as far as either is asked for.
pub fn tally(a: &Embeddings, b: &Embeddings, rows: Option<Queries>, columns: Option<Queries>) -> [Option<Tally>; 2] {
    let (height, width) = (a.0.nrows(), b.0.nrows());
    let shares: Vec<usize> =
        (0..height).step_by(SHARE.min(height.div_ceil(rayon::current_num_threads()).max(1))).collect();
    let step = shares.get(1).copied().unwrap_or(height);
    let share = |&start: &usize| {
        let end = height.min(start + step);
        let mut own = rows.map(|_| Tally::new(end - start));
        let mut others = columns.map(|_| Tally::new(width));
        for top in (start..end).step_by(ROWS) {
            let block = a.0.slice(s![top..end.min(top + ROWS), ..]);
            for left in (0..width).step_by(COLUMNS) {
                let tile = block.dot(&b.0.slice(s![left..width.min(left + COLUMNS), ..]).t());
                if let (Some(queries), Some(tally)) = (rows, &mut own) {
                    across(tile.view(), [top, left], queries, tally, start);
                }
                if let (Some(queries), Some(tally)) = (columns, &mut others) {
                    down(tile.view(), [top, left], queries, tally);
                }
            }
        }
        (own, others)
    };
    let found: Vec<_> = shares.par_iter().map(share).collect();
    let mut own = rows.map(|_| Tally { before: vec![], tied: vec![], best: vec![] });
    let mut others = columns.map(|_| Tally::new(width));
    for (part, other) in found {
        if let (Some(own), Some(part)) = (&mut own, part) {
            own.before.extend(part.before);
            own.tied.extend(part.tied);
            own.best.extend(part.best);
        }
        if let (Some(others), Some(other)) = (&mut others, &other) {
            others.add(other);
        }
    }
    [own, others]
}

/// A tile whose rows are queries. `first` is the query that the tally begins with.
fn across(tile: ArrayView2<f32>, [top, left]: [usize; 2], queries: Queries, tally: &mut Tally, first: usize) {
    for (offset, row) in tile.rows().into_iter().enumerate() {
        let (query, row) = (top + offset, row.to_slice().expect("a product is contiguous"));
        let right = queries.right[query];
        // In lanes, since the maximum of floats is not reordered by itself.
        let (mut before, mut tied, mut most) = (0, 0, [f32::NEG_INFINITY; LANES]);
        let (lanes, rest) = row.as_chunks::<LANES>();
        for lane in lanes {
            for (most, &value) in most.iter_mut().zip(lane) {
                before += u32::from(value >= right);
                tied += u32::from(value == right);
                *most = if value > *most { value } else { *most };
            }
        }
        for (most, &value) in most.iter_mut().zip(rest) {
            before += u32::from(value >= right);
            tied += u32::from(value == right);
            *most = most.max(value);
        }
        let best = most.into_iter().fold(f32::NEG_INFINITY, f32::max);
        // The right item itself does not stand before itself.
        if queries.own && (left..left + row.len()).contains(&query) {
            let value = row[query - left];
            before -= u32::from(value >= right);
            tied -= u32::from(value == right);
        }
        let query = query - first;
        tally.before[query] += before;
        tally.tied[query] += tied;
        tally.best[query] = tally.best[query].max(best);
    }
}

/// A tile whose columns are queries.
fn down(tile: ArrayView2<f32>, [top, left]: [usize; 2], queries: Queries, tally: &mut Tally) {
    let values = tile.to_slice().expect("a product is contiguous");
    let width = tile.ncols();
    for first in (0..width).step_by(LANES) {
        let count = LANES.min(width - first);
        // Some columns at a time, so that their counts stay in registers; what is over counts against infinity.
        let (mut before, mut tied, mut best) = ([0_u32; LANES], [0_u32; LANES], [f32::NEG_INFINITY; LANES]);
        let mut right = [f32::INFINITY; LANES];
        right[..count].copy_from_slice(&queries.right[left + first..left + first + count]);
        for row in values.chunks_exact(width) {
            let mut lane = [f32::NEG_INFINITY; LANES];
            match row.get(first..first + LANES) {
                Some(whole) => lane.copy_from_slice(whole),
                None => lane[..count].copy_from_slice(&row[first..]),
            }
            for k in 0..LANES {
                before[k] += u32::from(lane[k] >= right[k]);
                tied[k] += u32::from(lane[k] == right[k]);
                best[k] = if lane[k] > best[k] { lane[k] } else { best[k] };
            }
        }
        for k in 0..count {
            let query = left + first + k;
            // The right item itself does not stand before itself.
            if queries.own && (top..top + tile.nrows()).contains(&query) {
                let value = tile[[query - top, first + k]];
                before[k] -= u32::from(value >= right[k]);
                tied[k] -= u32::from(value == right[k]);
            }
            tally.before[query] += before[k];
            tally.tied[query] += tied[k];
            tally.best[query] = tally.best[query].max(best[k]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    fn some(rows: usize, seed: u64) -> Embeddings {
        let mut rng = fastrand::Rng::with_seed(seed);
        Embeddings::normalise(Array2::from_shape_simple_fn((rows, 24), || rng.f32() - 0.5)).unwrap()
    }

    /// The plain way: all similarities at once.
    fn plain(queries: &Embeddings, gallery: &Embeddings, right: &[f32], own: bool) -> Tally {
        let all = queries.0.dot(&gallery.0.t());
        let mut tally = Tally::new(right.len());
        for (query, row) in all.rows().into_iter().enumerate() {
            for (item, &value) in row.iter().enumerate() {
                tally.best[query] = tally.best[query].max(value);
                if !(own && item == query) {
                    tally.before[query] += u32::from(value >= right[query]);
                    tally.tied[query] += u32::from(value == right[query]);
                }
            }
        }
        tally
    }

    #[test]
    fn tiles_give_what_the_whole_gives() {
        for (height, width) in [(1, 1), (5, 5), (300, 2500), (2500, 300), (1500, 1500)] {
            let (a, mut b) = (some(height, 1), some(width, 2));
            // Twins, also in other tiles: exactly as similar wherever they stand.
            for row in 0..width / 3 {
                let twin = b.0.row(row).to_owned();
                std::sync::Arc::make_mut(&mut b.0).row_mut(width - 1 - row).assign(&twin);
            }
            let square = height == width;
            let (rows, columns) =
                if square { (diagonal(&a, &b), diagonal(&b, &a)) } else { (vec![0.2; height], vec![0.1; width]) };
            let [across, down] = tally(
                &a,
                &b,
                Some(Queries { right: &rows, own: square }),
                Some(Queries { right: &columns, own: square }),
            );
            assert_eq!(across.unwrap(), plain(&a, &b, &rows, square), "{height} {width}");
            assert_eq!(down.unwrap(), plain(&b, &a, &columns, square), "{height} {width}");
            if square && width > 5 {
                assert!(plain(&a, &b, &rows, true).tied.iter().any(|&tied| tied > 0));
            }
        }
        assert_eq!(tally(&some(4, 1), &some(4, 2), None, None), [None, None]);
    }
}
