//! Draws a plot: axes with their ticks, and marks.

use std::ops::Range;

use plotters::{
    coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter},
    prelude::{
        ChartBuilder, Circle, IntoDrawingArea, IntoFont, PathElement, Polygon, RGBAColor, RGBColor, Ranged,
        SVGBackend, Text,
    },
    style::{Color, ShapeStyle},
};

use super::PageError;

/// What a mark stands for. The style sheet of the page gives each another colour in the dark.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Colour {
    Ours,
    Baseline,
    Wanted,
    Missed,
    Ink,
}

impl Colour {
    pub(super) const fn rgb(self) -> RGBColor {
        match self {
            Self::Ours => RGBColor(0x1f, 0x5f, 0xa8),
            Self::Baseline => RGBColor(0xc4, 0x6a, 0x12),
            Self::Wanted => RGBColor(0x2e, 0x7d, 0x4f),
            Self::Missed => RGBColor(0xb3, 0x26, 0x1e),
            Self::Ink => RGBColor(0x33, 0x3a, 0x42),
        }
    }
}

/// Lines of the grid.
const GRID: RGBColor = RGBColor(0xe2, 0xe5, 0xe9);
/// Height of letters, in plotters' measure.
const LETTERS: i32 = 15;

/// An axis, along which all places are already on its scale.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) ticks: Vec<(f64, String)>,
    pub(super) name: String,
}

impl Axis {
    /// The decimal logarithm of what lies between two positive figures, with ticks at round ones.
    pub(super) fn log(name: &str, (low, high): (f64, f64), show: impl Fn(f64) -> String) -> Self {
        let (from, to) = (low.log10() - 0.04, high.log10() + 0.04);
        let wide = to - from > 2.5;
        let steps: &[f64] = if wide { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let ticks = (from.floor() as i32..=to.ceil() as i32)
            .flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)))
            .filter(|value| (from..=to).contains(&value.log10()))
            .map(|value| (value.log10(), show(value)))
            .collect();
        Self { from, to, ticks, name: name.to_owned() }
    }

    /// What lies between two figures, with about six ticks at round ones.
    pub(super) fn linear(name: &str, (from, to): (f64, f64), show: impl Fn(f64) -> String) -> Self {
        let rough = (to - from) / 6.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|step| step * power).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(10.0 * power);
        let ticks = ((from / step).ceil() as i64..=(to / step).floor() as i64)
            .map(|count| (count as f64 * step, show(count as f64 * step)))
            .collect();
        Self { from, to, ticks, name: name.to_owned() }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, place: &f64, (first, last): (i32, i32)) -> i32 {
        let share = (place - self.from) / (self.to - self.from);
        first + (share * f64::from(last - first)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // The grid has no lines between the ticks.
        if hint.weight().allow_light_points() {
            return Vec::new();
        }
        self.ticks.iter().map(|(place, _)| *place).collect()
    }

    fn range(&self) -> Range<f64> {
        self.from..self.to
    }
}

impl ValueFormatter<f64> for Axis {
    fn format(place: &f64) -> String {
        place.to_string()
    }

    fn format_ext(&self, place: &f64) -> String {
        let near = |(tick, _): &&(f64, String)| (tick - place).abs() < 1e-9;
        self.ticks.iter().find(near).map(|(_, text)| text.clone()).unwrap_or_default()
    }
}

/// Something on a plot.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Mark {
    Line { points: Vec<(f64, f64)>, colour: Colour, width: u32, opacity: f64 },
    Dot { at: (f64, f64), colour: Colour },
    Area { points: Vec<(f64, f64)>, colour: Colour, opacity: f64 },
    Text { at: (f64, f64), text: String },
}

/// A plot.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plot {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Room for the texts of the vertical axis, in pixels.
    pub(super) labels: u32,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) marks: Vec<Mark>,
}

impl Plot {
    /// Draws it as SVG, to stand within a page.
    pub(super) fn to_svg(&self) -> Result<String, PageError> {
        let mut text = String::new();
        self.draw(&mut text).map_err(|error| PageError::Plot(error.to_string()))?;
        // Within a page it needs no name space, and grows and shrinks with it.
        Ok(text.replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1))
    }

    fn draw(&self, text: &mut String) -> Result<(), Box<dyn std::error::Error>> {
        let root = SVGBackend::with_string(text, (self.width, self.height)).into_drawing_area();
        let (x, y) = (&self.x, &self.y);
        let mut chart = ChartBuilder::on(&root)
            .margin(6)
            .margin_right(18)
            .x_label_area_size(if x.name.is_empty() { 26 } else { 44 })
            .y_label_area_size(self.labels)
            .build_cartesian_2d(x.clone(), y.clone())?;
        let letters = ("sans-serif", LETTERS).into_font().color(&Colour::Ink.rgb());
        chart
            .configure_mesh()
            .bold_line_style(GRID)
            .light_line_style(RGBAColor(0, 0, 0, 0.0))
            .axis_style(GRID)
            .label_style(letters.clone())
            .axis_desc_style(letters.clone())
            .x_desc(x.name.as_str())
            .y_desc(y.name.as_str())
            .draw()?;
        for mark in &self.marks {
            match mark {
                Mark::Line { points, colour, width, opacity } => {
                    let style =
                        ShapeStyle { color: colour.rgb().mix(*opacity), filled: false, stroke_width: *width };
                    chart.draw_series([PathElement::new(points.clone(), style)])?;
                }
                Mark::Dot { at, colour } => {
                    chart.draw_series([Circle::new(*at, 4, colour.rgb().filled())])?;
                }
                Mark::Area { points, colour, opacity } => {
                    chart.draw_series([Polygon::new(points.clone(), colour.rgb().mix(*opacity))])?;
                }
                Mark::Text { at, text } => {
                    chart.draw_series([Text::new(text.clone(), *at, letters.clone())])?;
                }
            }
        }
        root.present()?;
        Ok(())
    }
}

/// Lowest and highest of some figures; `None` of none.
pub(super) fn span(figures: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    figures.fold(None, |span, figure| match span {
        None => Some((figure, figure)),
        Some((low, high)) => Some((f64::min(low, figure), f64::max(high, figure))),
    })
}

/// A plot under its title.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figure {
    pub(super) title: String,
    pub(super) plot: Plot,
}

/// The size of a plot of which two stand side by side.
pub(super) const HALF: (u32, u32) = (560, 320);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_at_round_figures_within_the_axis() {
        let texts = |axis: Axis| axis.ticks.into_iter().map(|(_, text)| text).collect::<Vec<_>>();
        let show = |value: f64| format!("{value}");
        assert_eq!(texts(Axis::log("", (0.3, 3.0), show)), ["0.5", "1", "2"]);
        assert_eq!(texts(Axis::log("", (3.0, 2e4), show)), ["10", "100", "1000", "10000"]);
        assert_eq!(texts(Axis::linear("", (-250.0, 900.0), show)), ["-200", "0", "200", "400", "600", "800"]);
    }

    #[test]
    fn texts_are_escaped_and_the_plot_stands_within_a_page() {
        let axis = Axis::linear("a < b", (0.0, 1.0), |value| format!("{value}"));
        let line =
            Mark::Line { points: vec![(0.0, 0.0), (1.0, 1.0)], colour: Colour::Ours, width: 2, opacity: 1.0 };
        let plot = Plot { width: 300, height: 200, labels: 40, x: axis.clone(), y: axis, marks: vec![line] };
        let svg = plot.to_svg().expect("a plot");
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{svg}");
        assert!(svg.contains("a &lt; b") && svg.contains("stroke=\"#1F5FA8\""), "{svg}");
        assert!(!svg.contains("http"), "{svg}");
    }
}
