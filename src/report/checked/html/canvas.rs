//! What plots are drawn on: plotters' SVG, with colours that follow the theme of the page.

use std::io;

use maud::{Markup, PreEscaped, html};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// plotters knows whole pixels only: it draws that many times as large.
const FINE: f64 = 4.0;
/// Height of text, so that it can be read where a plot is as wide as a phone.
pub const TEXT: f64 = 12.0;

pub type Drawn = Result<(), DrawingAreaErrorKind<io::Error>>;

/// A colour by what it stands for; style.css has its value in each theme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hue {
    Ink,
    Muted,
    Line,
    Before,
    After,
    Control,
    Special,
    Paper,
}

impl Hue {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Ink, "var(--ink)"),
        (Self::Muted, "var(--muted)"),
        (Self::Line, "var(--line)"),
        (Self::Before, "var(--before)"),
        (Self::After, "var(--after)"),
        (Self::Control, "var(--control)"),
        (Self::Special, "var(--special)"),
        (Self::Paper, "var(--paper)"),
    ];

    /// A colour that stands for it until the drawing is done.
    fn place(self) -> RGBColor {
        RGBColor(1, 1, self as u8)
    }
}

/// The shape of a value, so that colour is never alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Ring,
    Disc,
    Cross,
    Triangle,
    Diamond,
    Hollow,
    Bar,
    Rule,
}

/// Where text stands by its point.
#[derive(Debug, Clone, Copy)]
pub enum Align {
    Left,
    Middle,
    Right,
}

/// Draws in pixels, from the upper left corner.
pub struct Canvas<'a>(DrawingArea<SVGBackend<'a>, Shift>);

/// A drawing of that many pixels, which says `label` where it cannot be seen.
pub fn drawing(size: [f64; 2], label: &str, draw: impl FnOnce(&Canvas) -> Drawn) -> Markup {
    match svg(size, draw) {
        Ok(inner) => html! {
            svg.plot role="img" aria-label=(label) viewBox={ "0 0 " (size[0]) " " (size[1]) } { (inner) }
        },
        Err(error) => html! { p.absent { "This could not be drawn: " (error) } },
    }
}

/// A mark for a key.
pub fn sign(mark: Mark, hue: Hue) -> Markup {
    let drawn = svg([18.0, 12.0], |canvas| canvas.mark(mark, [9.0, 6.0], hue, 4.0, 1.0));
    html! { svg.sign aria-hidden="true" viewBox="0 0 18 12" { (drawn.unwrap_or_else(|_| html! {})) } }
}

fn svg(size: [f64; 2], draw: impl FnOnce(&Canvas) -> Drawn) -> Result<Markup, String> {
    let mut out = String::new();
    {
        let pixels = size.map(|side| (side * FINE).ceil() as u32);
        let canvas = Canvas(SVGBackend::with_string(&mut out, pixels.into()).into_drawing_area());
        draw(&canvas).and_then(|()| canvas.0.present()).map_err(|error| error.to_string())?;
    }
    // The element itself is the page's; so are fonts. Text and values are escaped: a quote is an attribute's end.
    let inner = out.split_once('>').map_or("", |(_, inner)| inner).trim_end().trim_end_matches("</svg>");
    let mut inner = inner.replace(" opacity=\"1\"", "").replace(" font-family=\"sans-serif\"", "");
    for (hue, value) in Hue::ALL {
        let RGBColor(r, g, b) = hue.place();
        inner = inner.replace(&format!("=\"#{r:02X}{g:02X}{b:02X}\""), &format!("=\"{value}\""));
    }
    Ok(html! { g transform={ "scale(" (1.0 / FINE) ")" } { (PreEscaped(inner)) } })
}

impl Canvas<'_> {
    pub fn line(&self, points: &[[f64; 2]], hue: Hue, width: f64) -> Drawn {
        let points: Vec<(i32, i32)> = points.iter().copied().map(fine).collect();
        self.0.draw(&PathElement::new(points, stroke(hue, width)))
    }

    /// A filled rectangle; `strength` from 0, which is not seen, to 1.
    pub fn fill(&self, corners: [[f64; 2]; 2], hue: Hue, strength: f64) -> Drawn {
        self.0.draw(&Rectangle::new(corners.map(fine), hue.place().mix(strength).filled()))
    }

    /// The outline of a rectangle.
    pub fn outline(&self, [[left, top], [right, bottom]]: [[f64; 2]; 2], hue: Hue) -> Drawn {
        let corners = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]];
        self.line(&corners, hue, 1.0)
    }

    /// A mark; `strength` from 0 to 1 for round ones, of which many lie on one another.
    pub fn mark(&self, mark: Mark, at: [f64; 2], hue: Hue, radius: f64, strength: f64) -> Drawn {
        let [x, y] = at;
        let (centre, size) = (fine(at), (radius * FINE) as i32);
        let filled = hue.place().filled();
        let thick = stroke(hue, (radius * 0.45).clamp(0.75, 1.5));
        match mark {
            Mark::Ring => {
                let thick = ShapeStyle { color: hue.place().mix(strength), ..thick };
                self.0.draw(&Circle::new(centre, size, thick))
            }
            Mark::Disc => self.0.draw(&Circle::new(centre, size, hue.place().mix(strength).filled())),
            Mark::Cross => self.0.draw(&Cross::new(centre, size, thick)),
            Mark::Triangle => self.0.draw(&TriangleMarker::new(centre, size + size / 4, filled)),
            Mark::Diamond => {
                let r = radius * 1.25;
                let corners = [[x, y - r], [x + r, y], [x, y + r], [x - r, y]];
                self.0.draw(&Polygon::new(corners.map(fine).to_vec(), filled))
            }
            Mark::Hollow => self.outline([[x - 7.0, y - radius], [x + 7.0, y + radius]], hue),
            Mark::Bar => self.fill([[x - 7.0, y - radius], [x + 7.0, y + radius]], hue, 1.0),
            Mark::Rule => self.line(&[[x - 8.0, y], [x + 8.0, y]], hue, 2.0),
        }
    }

    pub fn text(&self, text: &str, at: [f64; 2], align: Align, hue: Hue) -> Drawn {
        let across = match align {
            Align::Left => HPos::Left,
            Align::Middle => HPos::Center,
            Align::Right => HPos::Right,
        };
        // plotters takes that factor off again.
        let style = TextStyle::from(("sans-serif", TEXT * FINE * 1.24)).pos(Pos::new(across, VPos::Center));
        self.0.draw_text(text, &style.color(&hue.place()), fine(at))
    }
}

fn stroke(hue: Hue, width: f64) -> ShapeStyle {
    hue.place().stroke_width((width * FINE) as u32)
}

/// Far outside is near enough: coordinates are added to one another.
fn fine([x, y]: [f64; 2]) -> (i32, i32) {
    let whole = |value: f64| (value * FINE).clamp(-1e5, 1e5).round() as i32;
    (whole(x), whole(y))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::checked::sample::NASTY;

    #[test]
    fn text_stays_text_and_colours_follow_the_page() {
        let page = drawing([100.0, 50.0], NASTY, |canvas| {
            canvas.text(&format!("{NASTY} fill=\"#010104\""), [0.0, 0.0], Align::Left, Hue::After)
        });
        let page = page.into_string();
        assert!(!page.contains("<b>") && !page.contains("</script>"), "{page}");
        assert!(page.contains("fill=\"var(--after)\"") && page.contains("fill=&quot;#010104&quot;"), "{page}");
        assert!(!page.contains("style=") && !page.contains("=\"#0101"), "{page}");
    }

    #[test]
    fn what_is_not_a_number_or_far_away_is_drawn_somewhere() {
        let page = drawing([10.0, 10.0], "", |canvas| {
            canvas.line(&[[f64::NAN, f64::INFINITY], [-1e300, 1e300]], Hue::Ink, 1.0)?;
            canvas.fill([[f64::NEG_INFINITY, 0.0], [f64::INFINITY, f64::NAN]], Hue::Ink, 0.5)
        });
        assert!(page.into_string().contains("<polyline"));
    }
}
