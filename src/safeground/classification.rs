//! Zero-shot classification: the label whose prompts are nearest.

use ndarray::{Array2, Axis, s};
use serde::Serialize;

use super::{Embeddings, Error, percent};

/// Accuracy in percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Accuracy {
    /// The right label is nearest.
    pub top1: f64,
    /// The right label is among the five nearest.
    pub top5: f64,
}

/// Classifies images by the mean of each label's prompt embeddings, normalised again, as CLIP does.
///
/// `prompts` holds `templates` rows for each label, in order of labels; `right` the label of each image. A label as
/// similar as the right one ranks before it.
///
/// # Errors
/// [`Error::Undefined`] if a label's prompts cancel out.
pub fn classify(
    images: &Embeddings,
    right: &[usize],
    prompts: &Embeddings,
    templates: usize,
) -> Result<Accuracy, Error> {
    let labels = prompts.0.nrows() / templates;
    let mut means = Array2::zeros((labels, prompts.0.ncols()));
    for (label, mut mean) in means.axis_iter_mut(Axis(0)).enumerate() {
        let own = prompts.0.slice(s![label * templates..(label + 1) * templates, ..]);
        mean.assign(&own.mean_axis(Axis(0)).expect("at least one template"));
    }
    let classes = Embeddings::normalise(means)?;
    let similarities = images.0.dot(&classes.0.t());
    let (mut top1, mut top5) = (0, 0);
    for (row, &label) in similarities.rows().into_iter().zip(right) {
        let before = row.iter().enumerate().filter(|&(other, &s)| other != label && s >= row[label]).count();
        top1 += usize::from(before == 0);
        top5 += usize::from(before < 5);
    }
    Ok(Accuracy { top1: percent(top1, right.len()), top5: percent(top5, right.len()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn prompts_are_averaged_per_label() {
        let images = Embeddings::normalise(array![[1.0, 0.1], [0.1, 1.0], [1.0, 0.0]]).unwrap();
        let prompts = Embeddings::normalise(array![[1.0, 0.5], [1.0, -0.5], [0.5, 1.0], [-0.5, 1.0]]).unwrap();
        let got = classify(&images, &[0, 1, 1], &prompts, 2).unwrap();
        assert!((got.top1 - 200.0 / 3.0).abs() < 1e-9);
        assert_eq!(got.top5, 100.0);
    }
}
