//! Zero-shot classification: the label whose prompts are nearest.

use ndarray::{Array2, Axis, s};
use serde::{Deserialize, Serialize};

use super::{Embeddings, Error, percent};

/// Images that are compared with all labels at once: bounds the matrix of similarities.
const BLOCK: usize = 256;

/// Accuracy in percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// The right label is nearest.
    pub top1: f64,
    /// The right label is among the five nearest.
    pub top5: f64,
    /// Top-1 of each label's own images, averaged over the labels that have some.
    pub mean_per_class: f64,
}

/// How an image was classified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Classified {
    /// The right label.
    pub label: usize,
    /// Labels that are nearer than the right one, or as near.
    pub before: usize,
    /// Of these, as near.
    pub tied: usize,
}

/// Classifies images by the mean of each label's prompt embeddings, normalised again, as CLIP does.
///
/// `prompts` holds `templates` rows for each label, in order of labels; `right` the label of each image. A label as
/// similar as the right one ranks before it. Only ranks count: the temperature and bias of CLIP's softmax or SigLIP's
/// sigmoid change none.
///
/// # Errors
/// [`Error::Undefined`] if a label's prompts cancel out.
pub fn classify(
    images: &Embeddings,
    right: &[usize],
    prompts: &Embeddings,
    templates: usize,
) -> Result<Vec<Classified>, Error> {
    let labels = prompts.0.nrows() / templates;
    let mut means = Array2::zeros((labels, prompts.0.ncols()));
    for (label, mut mean) in means.axis_iter_mut(Axis(0)).enumerate() {
        let own = prompts.0.slice(s![label * templates..(label + 1) * templates, ..]);
        mean.assign(&own.mean_axis(Axis(0)).expect("at least one template"));
    }
    let classes = Embeddings::normalise(means)?;
    let mut found = Vec::with_capacity(right.len());
    for start in (0..right.len()).step_by(BLOCK) {
        let block = images.0.slice(s![start..right.len().min(start + BLOCK), ..]);
        let similarities = block.dot(&classes.0.t());
        for (row, &label) in similarities.rows().into_iter().zip(&right[start..]) {
            let others = || row.iter().enumerate().filter(|(other, _)| *other != label).map(|(_, value)| *value);
            let before = others().filter(|&value| value >= row[label]).count();
            let tied = others().filter(|&value| value == row[label]).count();
            found.push(Classified { label, before, tied });
        }
    }
    Ok(found)
}

impl Accuracy {
    /// Of some images.
    pub fn of(classified: &[Classified]) -> Self {
        let among = |first: usize| classified.iter().filter(|image| image.before < first).count();
        let labels = classified.iter().map(|image| image.label + 1).max().unwrap_or(0);
        let mut of_label = vec![[0_usize; 2]; labels];
        for image in classified {
            of_label[image.label][0] += usize::from(image.before == 0);
            of_label[image.label][1] += 1;
        }
        let shares = of_label.iter().filter(|[_, all]| *all > 0).map(|&[right, all]| percent(right, all));
        let (sum, count) = shares.fold((0.0, 0), |(sum, count), share| (sum + share, count + 1));
        Self {
            top1: percent(among(1), classified.len()),
            top5: percent(among(5), classified.len()),
            mean_per_class: if count == 0 { 0.0 } else { sum / f64::from(count) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn prompts_are_averaged_per_label() {
        let images = Embeddings::normalise(array![[1.0, 0.1], [0.1, 1.0], [1.0, 0.0]]).unwrap();
        let prompts = Embeddings::normalise(array![[1.0, 0.5], [1.0, -0.5], [0.5, 1.0], [-0.5, 1.0]]).unwrap();
        let got = Accuracy::of(&classify(&images, &[0, 1, 1], &prompts, 2).unwrap());
        assert!((got.top1 - 200.0 / 3.0).abs() < 1e-9);
        assert_eq!((got.top5, got.mean_per_class), (100.0, 75.0));
    }

    #[test]
    fn softmax_and_sigmoid_heads_rank_as_cosines_do() {
        let mut rng = fastrand::Rng::with_seed(9);
        // Cosines of some tenths, as such models have them: a sigmoid of more is 1 in any float.
        let mut some = |rows| Array2::from_shape_simple_fn((rows, 128), || rng.f32() - 0.5);
        let (images, classes) = (some(50), some(12));
        let [images, classes] = [images, classes].map(|rows| Embeddings::normalise(rows).unwrap());
        let right: Vec<usize> = (0..50).map(|image| image % 12).collect();
        let ranks: Vec<usize> =
            classify(&images, &right, &classes, 1).unwrap().iter().map(|image| image.before).collect();
        let cosines = images.0.dot(&classes.0.t()).mapv(f64::from);
        // exp(4.6052) = 100 is CLIP's trained temperature; SigLIP's are about 117 and -12.9.
        let softmax = |row: &[f64]| {
            let exps: Vec<f64> = row.iter().map(|cosine| (100.0 * cosine).exp()).collect();
            let sum: f64 = exps.iter().sum();
            exps.iter().map(|exp| exp / sum).collect::<Vec<_>>()
        };
        let sigmoid =
            |row: &[f64]| row.iter().map(|cosine| 1.0 / (1.0 + (12.9 - 117.3 * cosine).exp())).collect::<Vec<_>>();
        for head in [&softmax as &dyn Fn(&[f64]) -> Vec<f64>, &sigmoid] {
            for ((row, &label), &rank) in cosines.rows().into_iter().zip(&right).zip(&ranks) {
                let out = head(row.as_slice().unwrap());
                let before = (0..12).filter(|&other| other != label && out[other] >= out[label]).count();
                assert_eq!(before, rank);
            }
        }
    }
}
