//! All ratios beside what is wanted of them.

use super::plot::{Axis, Colour, Mark, Plot, span};
use crate::{Bound, Record};

/// Pixels of a line, of a letter of its name, and of all that is not a line.
const LINE: u32 = 24;
const LETTER: u32 = 7;
const AROUND: u32 = 56;

/// The ratio of each record with its range on a line, and shaded what is wanted of it. `None` without records.
pub(super) fn plot(records: &[Record]) -> Option<Plot> {
    // What took no time at all has no place on the scale.
    let has_place = |record: &&Record| record.ratio_range.0 > 0.0 && record.ratio_range.1.is_finite();
    let shown: Vec<&Record> = records.iter().filter(has_place).collect();
    let bounds = shown.iter().filter_map(|record| bound(record));
    let all = shown.iter().flat_map(|record| [record.ratio_range.0, record.ratio_range.1]).chain(bounds);
    let (low, high) = span(all.chain([0.8, 1.25]))?;
    if shown.is_empty() {
        return None;
    }
    let x = Axis::log("ours / baseline", (low, high), |ratio| format!("{ratio}"));
    let place = |index: usize| (shown.len() - index) as f64;
    let y = Axis {
        from: 0.4,
        to: shown.len() as f64 + 0.6,
        ticks: shown.iter().enumerate().map(|(index, record)| (place(index), record.case.clone())).collect(),
        name: String::new(),
    };
    let equal = vec![(0.0, y.from), (0.0, y.to)];
    let mut marks = vec![Mark::Line { points: equal, colour: Colour::Ink, width: 1, opacity: 0.5 }];
    for (index, record) in shown.iter().enumerate() {
        marks.extend(line(record, place(index), &x));
    }
    let longest = shown.iter().map(|record| record.case.chars().count()).max().unwrap_or(0) as u32;
    Some(Plot {
        width: 1160,
        height: AROUND + LINE * shown.len() as u32,
        labels: (longest * LETTER + 12).min(560),
        x,
        y,
        marks,
    })
}

/// The ratio that is wanted, if it is one.
fn bound(record: &Record) -> Option<f64> {
    match record.wanted? {
        Bound::AtLeast(bound) | Bound::AtMost(bound) => Some(bound),
        Bound::ValueBelow(_) => None,
    }
}

/// The marks of one record.
fn line(record: &Record, place: f64, x: &Axis) -> Vec<Mark> {
    let mut marks = Vec::new();
    if let Some(bound) = bound(record).map(f64::log10) {
        let edge = if matches!(record.wanted, Some(Bound::AtLeast(_))) { x.to } else { x.from };
        let corners = [(bound, -0.4), (edge, -0.4), (edge, 0.4), (bound, 0.4)];
        let points = corners.map(|(at, beside)| (at, place + beside)).into();
        marks.push(Mark::Area { points, colour: Colour::Wanted, opacity: 0.14 });
        let points = [-0.4, 0.4].map(|beside| (bound, place + beside)).into();
        marks.push(Mark::Line { points, colour: Colour::Wanted, width: 2, opacity: 1.0 });
    }
    let colour = if record.holds == Some(false) { Colour::Missed } else { Colour::Ours };
    let (low, high) = record.ratio_range;
    let points = [low, high].map(|ratio| (ratio.log10(), place)).into();
    marks.push(Mark::Line { points, colour, width: 2, opacity: 0.6 });
    marks.push(Mark::Dot { at: (record.ratio.log10(), place), colour });
    marks
}
