//! Axes, and plots of rows.

use plotters::coord::ranged1d::Ranged;
use plotters::coord::types::RangedCoordf64;

use super::canvas::{Align, Canvas, Drawn, Hue, Mark, TEXT};
use super::text::short;

/// Pixels across of every plot: a little more than a phone has, so that text stays legible there.
pub const WIDTH: f64 = 420.0;

/// Values along one side of a plot.
pub struct Axis {
    range: [f64; 2],
    pixels: [f64; 2],
}

impl Axis {
    /// From one value to another, at those pixels.
    pub fn new(range: [f64; 2], pixels: [f64; 2]) -> Self {
        Self { range, pixels }
    }

    /// As far as these values reach, and a little further; those that are no numbers do not count.
    pub fn around(values: impl IntoIterator<Item = f64>, pixels: [f64; 2]) -> Self {
        let finite = values.into_iter().filter(|value| value.is_finite()).map(|value| value.clamp(-1e9, 1e9));
        let (low, high) = finite.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            return Self::new([0.0, 1.0], pixels);
        }
        let margin = ((high - low) * 0.06).max(high.abs() * 0.01).max(0.01);
        Self::new([low - margin, high + margin], pixels)
    }

    /// Where a value is; the nearest end for what lies outside.
    pub fn at(&self, value: f64) -> f64 {
        let [low, high] = self.range;
        let [first, last] = self.pixels;
        let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
        first + share * (last - first)
    }

    /// Whether a value is on it.
    pub fn holds(&self, value: f64) -> bool {
        (self.range[0]..=self.range[1]).contains(&value)
    }

    /// Round values along it and how they are written.
    fn ticks(&self, most: usize) -> Vec<(f64, String)> {
        let values = RangedCoordf64::from(self.range[0]..self.range[1]).key_points(most);
        let step = values.windows(2).map(|pair| pair[1] - pair[0]).next().unwrap_or(1.0);
        let decimals = (-step.log10() - 1e-9).ceil().clamp(0.0, 6.0) as usize;
        // No minus before a zero.
        let written = |value: f64| format!("{:.decimals$}", if value.abs() < step / 1e3 { 0.0 } else { value });
        values.into_iter().map(|value| (value, written(value))).collect()
    }
}

/// Grid, values and titles of a plot with two axes; the title of what grows upward stands above it.
pub fn frame(canvas: &Canvas, x: &Axis, y: &Axis, [across, up]: [&str; 2]) -> Drawn {
    let ([left, right], [bottom, top]) = (x.pixels, y.pixels);
    for (value, text) in x.ticks(6) {
        canvas.line(&[[x.at(value), bottom], [x.at(value), top]], Hue::Line, 0.75)?;
        canvas.text(&text, [x.at(value), bottom + TEXT], Align::Middle, Hue::Muted)?;
    }
    for (value, text) in y.ticks(6) {
        canvas.line(&[[left, y.at(value)], [right, y.at(value)]], Hue::Line, 0.75)?;
        canvas.text(&text, [left - 6.0, y.at(value)], Align::Right, Hue::Muted)?;
    }
    canvas.text(across, [right, bottom + 2.4 * TEXT], Align::Right, Hue::Muted)?;
    canvas.text(up, [0.0, top - 1.6 * TEXT], Align::Left, Hue::Muted)
}

/// A value of a row.
pub struct Marked {
    pub mark: Mark,
    pub hue: Hue,
    pub value: f64,
    pub interval: Option<[f64; 2]>,
    /// Which of the lines of its row it is on; half a line is between two.
    pub lane: f64,
}

/// A name, its values, and what is written behind them.
pub struct Row {
    pub label: String,
    pub marks: Vec<Marked>,
    /// Lines, one below the other; there is room for two.
    pub written: Vec<String>,
}

/// Rows above one axis.
pub struct Rows {
    pub rows: Vec<Row>,
    pub axis: &'static str,
    /// Lines a row.
    pub lanes: usize,
    /// From where to where; as far as the values reach, and 0, if not said.
    pub range: Option<[f64; 2]>,
}

impl Rows {
    /// Pixels to the left of values, and to their right.
    const SIDES: [f64; 2] = [122.0, 92.0];
    const LANE: f64 = 10.0;

    fn row_height(&self) -> f64 {
        Self::LANE * self.lanes as f64 + 10.0
    }

    pub fn size(&self) -> [f64; 2] {
        [WIDTH, self.rows.len() as f64 * self.row_height() + 3.4 * TEXT]
    }

    pub fn draw(&self, canvas: &Canvas) -> Drawn {
        let pixels = [Self::SIDES[0], WIDTH - Self::SIDES[1]];
        let reach =
            |marked: &Marked| [Some(marked.value), marked.interval.map(|i| i[0]), marked.interval.map(|i| i[1])];
        let values = self.rows.iter().flat_map(|row| &row.marks).flat_map(reach).flatten();
        let x = match self.range {
            Some(range) => Axis::new(range, pixels),
            None => Axis::around(values.chain([0.0]), pixels),
        };
        let bottom = self.rows.len() as f64 * self.row_height();
        for (value, text) in x.ticks(6) {
            canvas.line(&[[x.at(value), 0.0], [x.at(value), bottom]], Hue::Line, 0.75)?;
            canvas.text(&text, [x.at(value), bottom + TEXT], Align::Middle, Hue::Muted)?;
        }
        if self.range.is_none() {
            canvas.line(&[[x.at(0.0), 0.0], [x.at(0.0), bottom]], Hue::Muted, 1.25)?;
        }
        canvas.text(self.axis, [pixels[1], bottom + 2.5 * TEXT], Align::Right, Hue::Muted)?;
        self.rows.iter().enumerate().try_for_each(|(index, row)| self.row(canvas, &x, index, row))
    }

    fn row(&self, canvas: &Canvas, x: &Axis, index: usize, row: &Row) -> Drawn {
        let top = index as f64 * self.row_height();
        let middle = top + self.row_height() / 2.0;
        canvas.text(&short(&row.label, 16), [Self::SIDES[0] - 10.0, middle], Align::Right, Hue::Ink)?;
        for (line, text) in row.written.iter().enumerate() {
            let up = middle + (TEXT + 1.0) * (line as f64 - (row.written.len() - 1) as f64 / 2.0);
            canvas.text(text, [WIDTH, up], Align::Right, if line == 0 { Hue::Ink } else { Hue::Muted })?;
        }
        for Marked { mark, hue, value, interval, lane } in &row.marks {
            let y = top + 10.0 + Self::LANE * lane;
            let at = x.at(*value);
            let whisker = match mark {
                Mark::Bar => Hue::Ink,
                _ => *hue,
            };
            match mark {
                Mark::Bar => canvas.fill([[x.at(0.0), y - 4.0], [at, y + 4.0]], *hue, 1.0)?,
                Mark::Hollow => canvas.outline([[x.at(0.0), y - 4.0], [at, y + 4.0]], *hue)?,
                _ => {}
            }
            if let Some([low, high]) = interval.map(|ends| ends.map(|end| x.at(end))) {
                canvas.line(&[[low, y], [high, y]], whisker, 1.5)?;
                for end in [low, high] {
                    canvas.line(&[[end, y - 3.0], [end, y + 3.0]], whisker, 1.5)?;
                }
            }
            match mark {
                Mark::Bar | Mark::Hollow => {}
                // A short whisker inside of a ring would look like a letter.
                Mark::Ring => {
                    canvas.mark(Mark::Disc, [at, y], Hue::Paper, 4.0, 1.0)?;
                    canvas.mark(Mark::Ring, [at, y], *hue, 4.0, 1.0)?;
                }
                mark => canvas.mark(*mark, [at, y], *hue, 4.0, 1.0)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_between_the_ends() {
        let axis = Axis::new([0.0, 100.0], [10.0, 20.0]);
        assert_eq!([-5.0, 0.0, 50.0, 1e300].map(|value| axis.at(value)), [10.0, 10.0, 15.0, 20.0]);
        assert_eq!(
            axis.ticks(6).iter().map(|tick| tick.1.as_str()).collect::<Vec<_>>(),
            ["0", "20", "40", "60", "80", "100"]
        );
    }

    #[test]
    fn an_axis_is_made_of_what_numbers_there_are() {
        let odd = [f64::NAN, f64::INFINITY];
        assert_eq!(Axis::around(odd, [0.0, 1.0]).range, [0.0, 1.0]);
        let [low, high] = Axis::around([f64::NAN, 5.0], [0.0, 1.0]).range;
        assert!(low < 5.0 && 5.0 < high && high < 6.0);
        assert!(!Axis::around([-1e300, 1e300], [0.0, 1.0]).ticks(5).is_empty());
    }
}
