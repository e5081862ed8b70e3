//! Latencies by the share of messages that did not exceed them.

use super::plot::{Axis, Colour, Figure, HALF, Mark, Plot, span};
use crate::{Quantile, Series};

/// A plot for each case whose latencies were measured.
pub(super) fn figures(series: &[&Series]) -> Vec<Figure> {
    series.iter().filter_map(|series| figure(series)).collect()
}

/// Each further step shows a tenth of the messages that the one before it left out.
const SHARES: [(f64, &str); 7] = [
    (0.0, "0"),
    (0.5, "50 %"),
    (0.9, "90 %"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
    (0.9999, "99.99 %"),
    (0.999_99, "99.999 %"),
];

fn figure(series: &Series) -> Option<Figure> {
    let sides = [(&series.baseline.curves, Colour::Baseline), (&series.ours.curves, Colour::Ours)];
    let all = || sides.iter().flat_map(|(curves, _)| curves.iter().flatten());
    let positive = all().map(|quantile| quantile.micros).filter(|micros| *micros > 0.0);
    let y = Axis::log("latency", span(positive)?, show_micros);
    let (_, last) = span(all().map(|quantile| place(quantile.share)))?;
    let ticks = SHARES.iter().map(|(share, text)| (place(*share), (*text).to_owned()));
    let x = Axis {
        from: 0.0,
        to: last.max(1.0) * 1.02,
        ticks: ticks.filter(|(place, _)| *place <= last.max(1.0) * 1.02).collect(),
        name: "share of messages that took no longer".into(),
    };
    let marks = sides.into_iter().flat_map(|(curves, colour)| {
        // Those of several runs show what is behind them.
        let opacity = if curves.len() > 1 { 0.6 } else { 1.0 };
        curves.iter().map(move |curve| {
            let points = curve.iter().filter(|quantile| quantile.micros > 0.0).map(point).collect();
            Mark::Line { points, colour, width: 2, opacity }
        })
    });
    let (width, height) = HALF;
    let plot = Plot { width, height, labels: 76, x, y, marks: marks.collect() };
    Some(Figure { title: series.case.trim_end_matches(',').to_owned(), plot })
}

fn place(share: f64) -> f64 {
    -(1.0 - share).log10()
}

fn point(quantile: &Quantile) -> (f64, f64) {
    (place(quantile.share), quantile.micros.log10())
}

fn show_micros(micros: f64) -> String {
    match micros {
        us if us >= 1e6 => format!("{} s", us / 1e6),
        us if us >= 1e3 => format!("{} ms", us / 1e3),
        us => format!("{us} \u{b5}s"),
    }
}
