//! Which rows of a layer's input belong to which sample.
//!
//! Exporters give a linear layer `[batch, tokens, width]`, flatten it to `[batch * tokens, width]`, or work sequence
//! first, `[tokens, batch, width]` or `[tokens * batch, width]`. Taken as rows of `width`, these are two layouts.

use ndarray::{ArrayView1, ArrayView3, ArrayViewD, CowArray, Ix2};

/// Where the rows of a sample are, if a batch of `B` samples gives `B * T` rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Together: rows `b * T` to `(b + 1) * T`.
    Blocks,
    /// `B` apart: rows `b`, `b + B`, `b + 2 B`, ...
    Interleaved,
}

/// What the shape of a batch's layer input says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The layout, and rows a sample.
    Settled(Layout, usize),
    /// It may be either.
    Open(usize),
    /// The rows cannot be shared out among the samples.
    Impossible,
}

impl Layout {
    /// What can be told from the shape of the input for a batch of `batch` samples.
    pub fn from_shape(shape: &[usize], batch: usize) -> Verdict {
        let Some((_, leading)) = shape.split_last() else { return Verdict::Impossible };
        let rows: usize = leading.iter().product();
        if batch == 0 || rows == 0 || !rows.is_multiple_of(batch) {
            return Verdict::Impossible;
        }
        let tokens = rows / batch;
        // One sample, or one row a sample: both layouts are the same.
        if batch == 1 || tokens == 1 {
            return Verdict::Settled(Self::Blocks, tokens);
        }
        match leading {
            [first, rest @ ..] if *first == batch && !rest.contains(&batch) => Verdict::Settled(Self::Blocks, tokens),
            [first, second] if *second == batch && *first != batch => Verdict::Settled(Self::Interleaved, tokens),
            _ => Verdict::Open(tokens),
        }
    }

    /// A number for each row of an input, by which a probe sees whether it changed.
    pub fn fingerprints(input: &ArrayViewD<f32>) -> Vec<u64> {
        // FNV-1a, over whole floats.
        let mix = |hash: u64, value: &f32| (hash ^ u64::from(value.to_bits())).wrapping_mul(0x0000_0100_0000_01b3);
        let of = |row: ArrayView1<f32>| row.iter().fold(0xcbf2_9ce4_8422_2325, mix);
        rows(input).map_or_else(Vec::new, |rows| rows.rows().into_iter().map(of).collect())
    }

    /// What can be told from the [`Layout::fingerprints`] of two runs that differ in the input of sample `changed`
    /// alone: only its rows may have changed. `None` if that speaks for both layouts or for neither (as where samples
    /// mix).
    pub fn from_probe(one: &[u64], two: &[u64], batch: usize, changed: usize) -> Option<Self> {
        if one.len() != two.len() || batch == 0 {
            return None;
        }
        let tokens = one.len() / batch;
        let moved: Vec<usize> = (0..one.len()).filter(|&row| one[row] != two[row]).collect();
        let fits = |layout: Self| moved.iter().all(|&row| layout.sample(row, batch, tokens) == changed);
        match (fits(Self::Blocks), fits(Self::Interleaved)) {
            (true, false) => Some(Self::Blocks),
            (false, true) => Some(Self::Interleaved),
            _ => None,
        }
    }

    /// The sample that a row belongs to.
    fn sample(self, row: usize, batch: usize, tokens: usize) -> usize {
        match self {
            Self::Blocks => row / tokens.max(1),
            Self::Interleaved => row % batch,
        }
    }

    /// Shows the input as `[B, T, I]`, without copying what is in one piece.
    pub fn show<T>(self, input: &ArrayViewD<f32>, batch: usize, show: impl FnOnce(ArrayView3<f32>) -> T) -> Option<T> {
        let rows = rows(input)?;
        let (count, width) = rows.dim();
        if batch == 0 || !count.is_multiple_of(batch) {
            return None;
        }
        let tokens = count / batch;
        let rows = rows.view();
        Some(match self {
            Self::Blocks => show(rows.into_shape_with_order((batch, tokens, width)).ok()?),
            Self::Interleaved => {
                show(rows.into_shape_with_order((tokens, batch, width)).ok()?.permuted_axes([1, 0, 2]))
            }
        })
    }
}

/// The input as rows of its last axis.
fn rows<'a>(input: &'a ArrayViewD<f32>) -> Option<CowArray<'a, f32, Ix2>> {
    let (&width, leading) = input.shape().split_last()?;
    let shape = (leading.iter().product::<usize>(), width);
    if input.is_standard_layout() {
        return input.to_shape(shape).ok();
    }
    // Turned axes: what follows wants the rows one after the other.
    input.as_standard_layout().into_owned().into_shape_with_order(shape).ok().map(CowArray::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, Array3};

    #[test]
    fn shapes_settle_what_they_can() {
        let blocks = |tokens| Verdict::Settled(Layout::Blocks, tokens);
        for (shape, batch, verdict) in [
            (&[8, 50, 3][..], 8, blocks(50)),
            (&[50, 8, 3], 8, Verdict::Settled(Layout::Interleaved, 50)),
            (&[8, 8, 3], 8, Verdict::Open(8)),
            (&[400, 3], 8, Verdict::Open(50)),
            (&[8, 3], 8, blocks(1)),
            (&[50, 3], 1, blocks(50)),
            (&[1, 50, 3], 1, blocks(50)),
            // Windows, as a Swin has them: 4 a sample, 49 tokens each.
            (&[32, 49, 3], 8, Verdict::Open(196)),
            (&[8, 7, 7, 3], 8, blocks(49)),
            (&[7, 50, 3], 8, Verdict::Impossible),
            (&[0, 3], 8, Verdict::Impossible),
            (&[], 8, Verdict::Impossible),
        ] {
            assert_eq!(Layout::from_shape(shape, batch), verdict, "{shape:?}");
        }
    }

    /// Rows of batch 4 with 4 tokens each, where token `t` of sample `b` is `f(b, t)`.
    fn input(layout: Layout, f: impl Fn(usize, usize) -> f32) -> Array2<f32> {
        Array2::from_shape_fn((16, 2), |(row, _)| match layout {
            Layout::Blocks => f(row / 4, row % 4),
            Layout::Interleaved => f(row % 4, row / 4),
        })
    }

    #[test]
    fn a_probe_settles_the_rest() {
        let value = |b: usize, t: usize| (10 * b + t) as f32;
        let prints = |input: &Array2<f32>| Layout::fingerprints(&input.view().into_dyn());
        for layout in [Layout::Blocks, Layout::Interleaved] {
            let one = prints(&input(layout, value));
            for changed in [0, 3] {
                // As with causal attention: the first token does not know of the change.
                let two = input(layout, |b, t| value(b, t) + if b == changed && t > 0 { 0.5 } else { 0.0 });
                assert_eq!(Layout::from_probe(&one, &prints(&two), 4, changed), Some(layout));
            }
            // Nothing changed; and samples that mix.
            assert_eq!(Layout::from_probe(&one, &one, 4, 3), None);
            let mixed = input(layout, |b, t| value(b, t) + 1.0);
            assert_eq!(Layout::from_probe(&one, &prints(&mixed), 4, 3), None);
        }
        // One row that both layouts give to the sample.
        let mut two = input(Layout::Blocks, value);
        two[[15, 0]] += 1.0;
        assert_eq!(Layout::from_probe(&prints(&input(Layout::Blocks, value)), &prints(&two), 4, 3), None);
    }

    #[test]
    fn both_layouts_show_samples_by_tokens() {
        let value = |b: usize, t: usize| (10 * b + t) as f32;
        let want = Array3::from_shape_fn((4, 4, 2), |(b, t, _)| value(b, t));
        for layout in [Layout::Blocks, Layout::Interleaved] {
            let flat = input(layout, value).into_dyn();
            assert_eq!(layout.show(&flat.view(), 4, |shown| shown.to_owned()), Some(want.clone()));
            let three = flat.into_shape_with_order((4, 4, 2)).unwrap().into_dyn();
            assert_eq!(layout.show(&three.view(), 4, |shown| shown.to_owned()), Some(want.clone()));
            assert_eq!(layout.show(&three.view(), 3, |_| ()), None);
        }
    }
}
