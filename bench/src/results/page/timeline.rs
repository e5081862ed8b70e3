//! Acknowledgements before and after something happened.

use std::collections::BTreeMap;

use super::plot::{Axis, Colour, Figure, Mark, Plot, span};
use crate::{Series, Timeline};

/// Acknowledgements are counted in steps of so many microseconds.
const STEP_US: i64 = 10_000;

/// A plot for each case that has timelines: those of some rounds, and the one with the longest gap.
pub(super) fn figures(series: &[&Series]) -> Vec<Figure> {
    series.iter().filter_map(|series| figure(series)).collect()
}

fn figure(series: &Series) -> Option<Figure> {
    let lines: Vec<Vec<(f64, f64)>> = series.timelines.iter().map(counted).collect();
    let worst = (0..lines.len()).max_by_key(|index| longest_gap(&series.timelines[*index]))?;
    let points = || lines.iter().flatten();
    let (first, last) = span(points().map(|point| point.0)).filter(|(first, last)| first < last)?;
    let (_, most) = span(points().map(|point| point.1))?;
    let y = Axis::linear("acknowledged per 10 ms", (0.0, most.max(1.0) * 1.1), |count| format!("{count}"));
    let what = series.timelines[worst].what;
    let x = Axis::linear(&format!("ms after a member {what}"), (first, last), |ms| format!("{ms}"));
    let line = |points: &[(f64, f64)], colour, width, opacity| Mark::Line {
        points: points.to_vec(),
        colour,
        width,
        opacity,
    };
    let others = (0..lines.len()).filter(|index| *index != worst);
    let mut marks: Vec<Mark> = others.map(|index| line(&lines[index], Colour::Ours, 1, 0.35)).collect();
    marks.push(line(&lines[worst], Colour::Ours, 2, 1.0));
    marks.push(line(&[(0.0, 0.0), (0.0, y.to)], Colour::Missed, 2, 0.8));
    marks.push(Mark::Text { at: ((last - first) * 0.006, y.to), text: what.to_owned() });
    let plot = Plot { width: 1160, height: 320, labels: 76, x, y, marks };
    // What follows is what the rounds were measured for.
    let title = series.case.split(": ").next().unwrap_or_default().to_owned();
    Some(Figure { title, plot })
}

/// How many acknowledgements came in each step, by the milliseconds at which the step begins.
fn counted(timeline: &Timeline) -> Vec<(f64, f64)> {
    let mut counts: BTreeMap<i64, u32> = BTreeMap::new();
    for at in &timeline.acknowledged_us {
        *counts.entry(at.div_euclid(STEP_US)).or_default() += 1;
    }
    let (Some((&first, _)), Some((&last, _))) = (counts.first_key_value(), counts.last_key_value()) else {
        return Vec::new();
    };
    // The first and the last step were not measured in full.
    let steps = (first + 1)..last;
    steps
        .map(|step| ((step * STEP_US / 1000) as f64, f64::from(counts.get(&step).copied().unwrap_or(0))))
        .collect()
}

/// The longest time between two acknowledgements, the second of which came after it happened.
fn longest_gap(timeline: &Timeline) -> Option<i64> {
    timeline.acknowledged_us.windows(2).filter(|pair| pair[1] > 0).map(|pair| pair[1] - pair[0]).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_without_an_acknowledgement_count_none() {
        let acknowledged_us = vec![-25_000, -15_000, -12_000, -1, 31_000, 33_000, 45_000];
        let timeline = Timeline { run: 1, round: 1, what: "was killed", acknowledged_us };
        let counts = counted(&timeline);
        assert_eq!(counts, [(-20.0, 2.0), (-10.0, 1.0), (0.0, 0.0), (10.0, 0.0), (20.0, 0.0), (30.0, 2.0)]);
        assert_eq!(longest_gap(&timeline), Some(31_001));
    }
}
