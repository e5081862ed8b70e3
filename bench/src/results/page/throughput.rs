//! Throughput by the size of messages.

use super::plot::{Axis, Colour, Figure, HALF, Mark, Plot, span};
use crate::{
    Series, SideSeries, Unit,
    results::{Size, Summary, report::show},
};

/// A plot for all cases that differ in the size of their messages alone, of which there are at least two.
pub(super) fn figures(series: &[&Series]) -> Vec<Figure> {
    let mut families: Vec<(String, Vec<&Series>)> = Vec::new();
    for one in series.iter().filter(|one| one.message_bytes.is_some()) {
        let name = one.family();
        match families.iter_mut().find(|(family, _)| *family == name) {
            Some((_, cases)) => cases.push(one),
            None => families.push((name, vec![one])),
        }
    }
    families.into_iter().filter_map(|(name, cases)| figure(name, cases)).collect()
}

/// What the rounds of one size gave, in bytes per second.
struct Point {
    /// The binary logarithm of the size.
    size: f64,
    figures: Summary,
}

fn figure(title: String, mut cases: Vec<&Series>) -> Option<Figure> {
    cases.sort_by_key(|case| case.message_bytes);
    cases.dedup_by_key(|case| case.message_bytes);
    if cases.len() < 2 {
        return None;
    }
    let points = |side: fn(&Series) -> &SideSeries| -> Vec<Point> {
        cases.iter().filter_map(|case| point(case, side(case))).collect()
    };
    let sides =
        [(points(|case| &case.baseline), Colour::Baseline), (points(|case| &case.ours), Colour::Ours)];
    let all =
        sides.iter().flat_map(|(points, _)| points).flat_map(|point| [point.figures.low, point.figures.high]);
    let y = Axis::log("payload per second", span(all)?, |value| show_round(value, Unit::BytesPerSecond));
    let sizes: Vec<usize> = cases.iter().filter_map(|case| case.message_bytes).collect();
    let ticks: Vec<(f64, String)> =
        sizes.iter().map(|&bytes| ((bytes as f64).log2(), Size(bytes).to_string())).collect();
    let (first, last) = span(ticks.iter().map(|(place, _)| *place))?;
    let beside = (last - first) * 0.05;
    let x = Axis { from: first - beside, to: last + beside, ticks, name: "size of messages".into() };
    let marks = sides.into_iter().flat_map(|(points, colour)| curve(&points, colour)).collect();
    let (width, height) = HALF;
    Some(Figure { title, plot: Plot { width, height, labels: 92, x, y, marks } })
}

fn point(case: &Series, side: &SideSeries) -> Option<Point> {
    let bytes = case.message_bytes? as f64;
    let per = if case.unit == Unit::MessagesPerSecond { bytes } else { 1.0 };
    let figures =
        side.rounds.iter().filter_map(|round| round.value).filter(|value| *value > 0.0 && value.is_finite());
    Summary::of(figures.map(|value| value * per)).map(|figures| Point { size: bytes.log2(), figures })
}

/// The medians as a line, and the range of each.
fn curve(points: &[Point], colour: Colour) -> Vec<Mark> {
    let medians: Vec<(f64, f64)> =
        points.iter().map(|point| (point.size, point.figures.median.log10())).collect();
    let ranges = points.iter().map(|point| Mark::Line {
        points: [point.figures.low, point.figures.high].map(|end| (point.size, end.log10())).into(),
        colour,
        width: 2,
        opacity: 0.45,
    });
    let dots = medians.iter().map(|&at| Mark::Dot { at, colour });
    let line = Mark::Line { points: medians.clone(), colour, width: 2, opacity: 1.0 };
    ranges.chain([line]).chain(dots).collect()
}

/// A round figure without the zeros behind its point.
fn show_round(value: f64, unit: Unit) -> String {
    show(value, unit).replace(".00 ", " ").replace(".0 ", " ")
}
