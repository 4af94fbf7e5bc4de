//! How quadruplets lie, one by one, and a handful of them to look at.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, RgbImage};

use crate::dataset::{ImageLimits, Pair, Picture, decode};
use crate::pass::evaluation::{Embedded, Measured};
use crate::report::checked::{Example, ExampleKind, Image, Point, Scatter, Similarities};

/// Points of a picture: more cannot be told apart.
const POINTS: usize = 2000;

/// Pixels of an example's image, across or down.
const PIXELS: u32 = 176;

/// A quadruplet: its row, and its similarities.
struct Lying {
    row: usize,
    before: Option<Similarities>,
    after: Similarities,
}

/// All quadruplets that were measured; none where a tower is missing.
pub struct Lie(Vec<Lying>);

impl Lie {
    /// Of what was measured.
    pub fn of(measured: &Measured) -> Self {
        let Measured { model, baseline, .. } = measured;
        let sides = |of: &Embedded| of.side(0).is_some() && of.side(1).is_some();
        if !sides(model) || baseline.as_ref().is_some_and(|baseline| !sides(baseline)) {
            return Self(vec![]);
        }
        let bad = |row: usize| {
            let mut all = std::iter::once(model).chain(baseline).flat_map(|of| of.sides.iter().flatten());
            all.any(|side| side.rows.bad.quadruplets.contains(&row))
        };
        let rows = (0..model.rows()).filter(|row| !bad(*row));
        Self(
            rows.map(|row| Lying {
                row,
                before: baseline.as_ref().and_then(|baseline| similarities(baseline, row)),
                after: similarities(model, row).unwrap_or_default(),
            })
            .collect(),
        )
    }

    /// Where they lie; evenly thinned, where they are too many to draw.
    pub fn scatter(&self) -> Option<Scatter> {
        let of = self.0.len();
        let drawn = of.min(POINTS);
        let point = |index: usize| {
            let lying = &self.0[index * of / drawn];
            let at = |of: &Similarities| margins(of).map(|margin| margin as f32);
            Point { before: lying.before.as_ref().map(at), after: at(&lying.after) }
        };
        let (mut before, mut after) = ([0; 4], [0; 4]);
        for lying in &self.0 {
            after[Scatter::quadrant(margins(&lying.after))] += 1;
            if let Some(lying) = &lying.before {
                before[Scatter::quadrant(margins(lying))] += 1;
            }
        }
        let before = self.0.first().and_then(|lying| lying.before).map(|_| before);
        (of > 0).then(|| Scatter { points: (0..drawn).map(point).collect(), of, before, after })
    }

    /// Up to `count` of them, of every kind some, none twice. `hidden` where neither row nor set says whether they may be
    /// seen.
    pub fn examples(&self, count: usize, measured: &Measured, hidden: bool) -> Vec<Example> {
        let mut chosen: Vec<(ExampleKind, &Lying)> = vec![];
        let kinds = [ExampleKind::Gained, ExampleKind::StillUnsafe, ExampleKind::Lost, ExampleKind::Typical];
        while chosen.len() < count {
            let before = chosen.len();
            for kind in kinds {
                let free = |lying: &&Lying| !chosen.iter().any(|(_, other)| other.row == lying.row);
                let next = self.next(kind, free);
                chosen.extend(next.filter(|_| chosen.len() < count).map(|lying| (kind, lying)));
            }
            if chosen.len() == before {
                break;
            }
        }
        chosen.sort_by_key(|(kind, _)| kinds.iter().position(|other| other == kind));
        chosen.into_iter().map(|(kind, lying)| lying.example(kind, measured, hidden)).collect()
    }

    /// The one that is most an example of a kind; of equal ones the first.
    fn next(&self, kind: ExampleKind, free: impl Fn(&&Lying) -> bool) -> Option<&Lying> {
        let gain = |lying: &Lying, which: usize| {
            lying.before.as_ref().map(|before| margins(&lying.after)[which] - margins(before)[which])
        };
        let middle = {
            let mut all: Vec<f64> = self.0.iter().map(|lying| lying.middling()).collect();
            all.sort_by(f64::total_cmp);
            all.get(all.len() / 2).copied().unwrap_or(0.0)
        };
        // What is lowest by its measure; what has none is no example.
        let measure = |lying: &Lying| match kind {
            ExampleKind::Gained => gain(lying, 1).map(|gain| -gain).filter(|gain| *gain < 0.0),
            ExampleKind::Lost => gain(lying, 0).filter(|gain| *gain < 0.0),
            ExampleKind::StillUnsafe => Some(margins(&lying.after)[1]).filter(|margin| *margin <= 0.0),
            ExampleKind::Typical => Some((lying.middling() - middle).abs()),
        };
        let found = self.0.iter().filter(free).filter_map(|lying| Some((measure(lying)?, lying)));
        found.min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, lying)| lying)
    }
}

impl Lying {
    /// By how much its unsafe queries gained; without a baseline, how they lie.
    fn middling(&self) -> f64 {
        let after = margins(&self.after)[1];
        self.before.as_ref().map_or(after, |before| after - margins(before)[1])
    }

    fn example(&self, kind: ExampleKind, measured: &Measured, hidden: bool) -> Example {
        let tags = &measured.model.tags;
        let row = measured.data.as_ref().map(|data| &data.set.rows[self.row]);
        Example {
            id: tags.ids.get(self.row).cloned().unwrap_or_else(|| self.row.to_string()),
            kind,
            concept: tags.concepts.get(self.row).cloned().flatten(),
            sensitive: row.and_then(|row| row.sensitive).unwrap_or(hidden),
            texts: row.and_then(|row| Some(row.texts.as_ref()?.both().map(String::clone))),
            images: row.and_then(|row| row.images.as_ref()).map(|images: &Pair<Picture>| images.both().map(small)),
            before: self.before,
            after: self.after,
        }
    }
}

/// Cosines of a row: texts down, images across.
fn similarities(embedded: &Embedded, row: usize) -> Option<Similarities> {
    let (text, image) = (embedded.side(0)?, embedded.side(1)?);
    let of = |text: &crate::safeground::Embeddings| {
        [text.cosine(row, &image.safe, row), text.cosine(row, &image.not_safe, row)]
    };
    Some([of(&text.safe), of(&text.not_safe)])
}

/// The least by which the safe queries prefer what is safe, and the same of the unsafe ones: above 0 where PS, where PU
/// counts the quadruplet.
fn margins([[ss, su], [us, uu]]: &Similarities) -> [f64; 2] {
    [(ss - su).min(ss - us), (us - uu).min(su - uu)]
}

/// An image made small; none, if it cannot be read.
fn small(picture: &Picture) -> Option<Image> {
    let image = decode(&picture.read().ok()?, ImageLimits::default()).ok()?;
    let image: RgbImage = match image.width().max(image.height()) {
        longest if longest > PIXELS => DynamicImage::ImageRgb8(image).thumbnail(PIXELS, PIXELS).into_rgb8(),
        _ => image,
    };
    let size = [image.width(), image.height()];
    let mut png = Cursor::new(vec![]);
    image.write_to(&mut png, ImageFormat::Png).ok()?;
    Some(Image { png: png.into_inner(), size })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lie(gains: &[f64]) -> Lie {
        // The unsafe queries' margin is -0.1 before, and the gain more after; the safe ones lose a tenth of the gain.
        let of = |(row, gain): (usize, &f64)| {
            let at = |gain: f64| [[0.5 - gain / 10.0, 0.3], [0.2 + gain, 0.3]];
            Lying { row, before: Some(at(0.0)), after: at(*gain) }
        };
        Lie(gains.iter().enumerate().map(of).collect())
    }

    #[test]
    fn margins_are_what_ps_and_pu_go_by() {
        assert_eq!(margins(&[[0.5, 0.25], [0.125, 0.375]]), [0.25, -0.25]);
        assert_eq!(margins(&[[0.5, 0.75], [0.5, 0.25]]), [-0.25, 0.25]);
        // A tie is not safe.
        assert_eq!(margins(&[[0.5, 0.5], [0.25, 0.25]]), [0.0, 0.0]);
    }

    #[test]
    fn every_kind_has_its_example() {
        let lie = lie(&[0.05, 0.3, 0.1, 0.02, 0.0, 0.06, 0.04]);
        let row = |kind| lie.next(kind, |_| true).unwrap().row;
        assert_eq!(row(ExampleKind::Gained), 1);
        assert_eq!(row(ExampleKind::Lost), 1);
        assert_eq!(row(ExampleKind::StillUnsafe), 4);
        assert_eq!(row(ExampleKind::Typical), 0);
        assert_eq!(lie.next(ExampleKind::Gained, |lying| lying.row != 1).unwrap().row, 2);
        assert!(lie.next(ExampleKind::Lost, |lying| lying.row == 4).is_none());
    }

    #[test]
    fn many_points_are_thinned_evenly() {
        let scatter = lie(&vec![0.1; 5000]).scatter().unwrap();
        assert_eq!((scatter.points.len(), scatter.of), (POINTS, 5000));
        assert_eq!((scatter.before, scatter.after), (Some([0, 5000, 0, 0]), [0, 5000, 0, 0]));
        let mut gains = vec![0.0; 5000];
        gains[1] = 0.5;
        // It is not drawn, and counted.
        assert_eq!(lie(&gains).scatter().unwrap().after, [1, 4999, 0, 0]);
        assert_eq!(lie(&[0.1; 3]).scatter().unwrap().points.len(), 3);
        assert_eq!(lie(&[]).scatter(), None);
    }
}
