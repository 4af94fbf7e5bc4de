//! Frontiers as a picture.

use std::collections::BTreeSet;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::{Frontier, Sweep};
use crate::safeground::Metric;

/// Pixels of one frontier's panel.
const PANEL: (u32, u32) = (480, 360);

/// Colours that colour-blind readers can tell apart (Okabe and Ito), on white.
const CHOSEN: RGBColor = RGBColor(0, 114, 178);
const REPORTED: RGBColor = RGBColor(213, 94, 0);
const RANDOM: RGBColor = RGBColor(0, 158, 115);
const OTHER: RGBColor = RGBColor(190, 190, 190);

type Panel<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Failed<'a> = DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>;

impl Sweep {
    /// An SVG with a panel for each frontier.
    ///
    /// # Errors
    /// What the drawing says.
    pub fn to_svg(&self) -> Result<String, String> {
        let mut svg = String::new();
        let columns = 2.min(self.frontiers.len()).max(1);
        let rows = self.frontiers.len().div_ceil(columns).max(1);
        {
            let size = (PANEL.0 * columns as u32, PANEL.1 * rows as u32);
            let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            let drawn = root.fill(&WHITE).and_then(|()| {
                let panels = root.split_evenly((rows, columns));
                let each = self.frontiers.iter().zip(&panels).enumerate();
                each.into_iter().try_for_each(|(index, (frontier, panel))| self.panel(frontier, panel, index == 0))?;
                root.present()
            });
            drawn.map_err(|e| e.to_string())?;
        }
        Ok(svg)
    }

    /// `first` has the key to all.
    fn panel<'a>(&self, frontier: &Frontier, panel: &Panel<'a>, first: bool) -> Result<(), Failed<'a>> {
        let Frontier { safety, knowledge, points } = frontier;
        let at = |evaluation| Some((knowledge.of(evaluation)?, safety.of(evaluation)?));
        let taken = || points.iter().map(|&point| &self.points[point]);
        let chosen: Vec<(f64, f64)> = taken().filter_map(|point| at(&point.validation)).collect();
        let reported: Vec<(f64, f64)> = taken().filter_map(|point| at(point.evaluation.as_ref()?)).collect();
        let random: Vec<(f64, f64)> = taken().filter_map(|point| at(point.random.as_ref()?)).collect();
        let unedited = self.points.first().map(|point| [at(&point.validation), point.evaluation.as_ref().and_then(at)]);
        let unedited: Vec<(f64, f64)> = unedited.into_iter().flatten().flatten().collect();
        // What lies far behind the frontier would only make it small.
        let shown = || chosen.iter().chain(&reported).chain(&random).chain(&unedited);
        let (x, y) = (range(shown().map(|p| p.0)), range(shown().map(|p| p.1)));
        let all = self.points.iter().filter_map(|point| at(&point.validation));
        // Many lie on one another.
        let mut drawn = BTreeSet::new();
        let within: Vec<(f64, f64)> = all
            .filter(|point| x.contains(&point.0) && y.contains(&point.1))
            .filter(|point| drawn.insert([point.0.to_bits(), point.1.to_bits()]))
            .collect();

        let decimals = |range: &std::ops::Range<f64>| usize::from(range.end - range.start < 10.0);
        let (across, up) = (decimals(&x), decimals(&y));
        let title = format!("{} against {}", safety.title(), knowledge.title());
        let mut chart = ChartBuilder::on(panel)
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(44)
            .build_cartesian_2d(x, y)?;
        let axis = |metric: &Metric| format!("{} (%)", metric.title());
        chart
            .configure_mesh()
            .x_desc(axis(knowledge))
            .y_desc(axis(safety))
            .light_line_style(TRANSPARENT)
            .x_label_formatter(&|value| format!("{value:.across$}"))
            .y_label_formatter(&|value| format!("{value:.up$}"))
            .draw()?;
        chart
            .draw_series(within.iter().map(|&point| Circle::new(point, 2, OTHER.filled())))?
            .label("all, validation")
            .legend(|(x, y)| Circle::new((x + 8, y), 2, OTHER.filled()));
        chart
            .draw_series(LineSeries::new(chosen.iter().copied(), CHOSEN.stroke_width(2)))?
            .label("frontier, validation")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], CHOSEN.stroke_width(2)));
        chart
            .draw_series(reported.iter().map(|&point| Circle::new(point, 4, REPORTED.filled())))?
            .label("the same, evaluation")
            .legend(|(x, y)| Circle::new((x + 8, y), 4, REPORTED.filled()));
        if !random.is_empty() {
            chart
                .draw_series(random.iter().map(|&point| Cross::new(point, 4, RANDOM.stroke_width(2))))?
                .label("as many at random")
                .legend(|(x, y)| Cross::new((x + 8, y), 4, RANDOM.stroke_width(2)));
        }
        for (&point, colour) in unedited.iter().zip([CHOSEN, REPORTED]) {
            chart
                .draw_series([TriangleMarker::new(point, 6, colour.filled())])?
                .label(if colour == CHOSEN { "as it is, validation" } else { "as it is, evaluation" })
                .legend(move |(x, y)| TriangleMarker::new((x + 8, y), 5, colour.filled()));
        }
        if !first {
            return Ok(());
        }
        chart
            .configure_series_labels()
            // Far from the frontier's end with most of both.
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.85))
            .border_style(OTHER)
            .draw()
    }
}

/// From the least to the greatest, with a margin.
fn range(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return 0.0..100.0;
    }
    let margin = ((high - low) * 0.06).max(1.0);
    low - margin..high + margin
}
