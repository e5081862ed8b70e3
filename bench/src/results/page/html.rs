//! The page around the plots.

use std::fmt::{self, Display, Write};

use time::{OffsetDateTime, macros::format_description};

use super::{
    PageError, RECORDS, ROUNDS, TIMELINES, latency,
    plot::{Figure, Plot},
    ratios, throughput, timeline,
};
use crate::{
    Record, Report, Schedule,
    results::report::{show, show_range, show_ratio, show_runs, show_wanted},
};

/// By this a page is known for a report's.
pub(super) const GENERATOR: &str = "<meta name=\"generator\" content=\"quorate bench\">";

/// The whole page.
pub(super) fn page(report: &Report) -> Result<String, PageError> {
    let series = report.series();
    let bench = report.records.first().map_or("nothing", |record| record.bench);
    let mut sections = String::new();
    if let Some(plot) = ratios::plot(&report.records) {
        sections += &ratios_section(&plot)?;
    }
    let lines = "Each point is the median of the rounds of all runs, with their range.";
    sections += &section("Throughput by size", lines, &SIDES, "plots", &throughput::figures(&series))?;
    let curves = "All rounds of a run together. To the right are ever fewer messages, the slowest ones.";
    sections += &section("Latencies", curves, &SIDES, "plots", &latency::figures(&series))?;
    let around = "Messages that were acknowledged to a client. The strong line is the round with the longest gap, the \
                  others are the first rounds of each run.";
    sections += &section("While a member goes", around, &[], "", &timeline::figures(&series))?;
    let timelines = series.iter().any(|series| !series.timelines.is_empty());
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n{GENERATOR}\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>quorate bench {bench}</title>\n\
         <style>\n{style}</style>\n</head>\n<body>\n{top}{table}{sections}{footer}</body>\n</html>\n",
        bench = Escaped(bench),
        style = include_str!("style.css"),
        top = top(report, bench),
        table = table(report),
        footer = footer(timelines),
    ))
}

/// Text between or within tags.
struct Escaped<T>(T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.to_string().chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// What was measured, on what and how.
fn top(report: &Report, bench: &str) -> String {
    let machine = &report.machine;
    let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    let now = OffsetDateTime::now_utc().format(format).unwrap_or_default();
    let rounds = match report.schedule {
        Some(Schedule { rounds, round, warm_up }) => {
            format!("{rounds} of {round:?} per side, after {warm_up:?} of warm-up, in turns")
        }
        None => "no sides that take turns".to_owned(),
    };
    let mut baselines: Vec<&str> = report.records.iter().map(|record| record.baseline_is).collect();
    baselines.dedup();
    let facts = [
        ("Processor", format!("{}, {} cores", machine.cpu, machine.cores)),
        ("Kernel", machine.kernel.clone()),
        ("Load before", machine.load_before.clone()),
        ("quorate", format!("{}, {} build", env!("CARGO_PKG_VERSION"), machine.profile)),
        ("Written", now),
        ("Rounds", rounds),
        ("Settings", report.runs_and_settings()),
        ("Baseline", baselines.join("; ")),
    ];
    let facts: String =
        facts.map(|(name, what)| format!("<dt>{name}</dt><dd>{}</dd>\n", Escaped(what))).concat();
    let missed = report.missed().count();
    let asked = report.records.iter().filter(|record| record.holds.is_some()).count();
    let verdict = match (asked, missed) {
        (0, _) => "Nothing is asked of these figures.".to_owned(),
        (asked, 0) => format!("All {asked} figures of which something is asked are as wanted."),
        (asked, missed) => {
            format!("{missed} of {asked} figures of which something is asked are not as wanted.")
        }
    };
    let debug = if machine.profile == "debug" {
        "<p class=\"warning\">A debug build: its figures mean nothing, measure with --release.</p>\n"
    } else {
        ""
    };
    format!("<h1>quorate bench {}</h1>\n<p>{verdict}</p>\n{debug}<dl>\n{facts}</dl>\n", Escaped(bench))
}

fn table(report: &Report) -> String {
    let records = &report.records;
    let costs = records.iter().any(|record| record.cpu_seconds.or(record.baseline_cpu_seconds).is_some());
    let heads: &[&str] = if costs {
        &["case", "ours", "baseline", "ratio", "wanted", "holds", "cpu s", "cores", "peak MiB"]
    } else {
        &["case", "ours", "baseline", "ratio", "wanted", "holds"]
    };
    let heads = heads.join("</th><th scope=\"col\">");
    let rows: String = records.iter().map(|record| row(record, costs, report.runs.asked)).collect();
    let explained = if costs {
        " Processor time of all rounds of a run, cores kept busy and the most memory of a process are those of our rounds and, \
         below, of the baseline's. Where both sides share a process, the other's memory counts too."
    } else {
        ""
    };
    format!(
        "<h2>Figures</h2>\n<p>Medians of the rounds, with lowest and highest. Where sides take turns, a ratio is the median of those \
         of neighbouring rounds.{explained}</p>\n<div class=\"wide\"><table>\n<thead><tr><th scope=\"col\">{heads}</th></tr></thead>\n<tbody>\n\
         {rows}</tbody>\n</table></div>\n"
    )
}

fn row(record: &Record, costs: bool, asked: usize) -> String {
    let unit = record.unit;
    let (low, high) = record.ratio_range;
    let fewer = match show_runs(record, asked) {
        runs if runs.is_empty() => runs,
        runs => format!("<small>{runs} runs</small>"),
    };
    let holds = match record.holds {
        Some(true) => "<td class=\"yes\">yes</td>",
        Some(false) => "<td class=\"no\">no</td>",
        None => "<td></td>",
    };
    let mut cells = format!(
        "<td>{}{}</td>{}{}{}<td>{}</td>{holds}",
        Escaped(&record.case),
        fewer,
        cell(&show(record.value, unit), &show_range(record.range, unit)),
        cell(&show(record.baseline, unit), &show_range(record.baseline_range, unit)),
        cell(&show_ratio(record.ratio), &format!("{} - {}", show_ratio(low), show_ratio(high))),
        Escaped(show_wanted(record)),
    );
    if costs {
        let number = |value: Option<f64>| value.map(|value| format!("{value:.2}")).unwrap_or_default();
        let mebibytes = |bytes: Option<u64>| bytes.map(|bytes| (bytes >> 20).to_string()).unwrap_or_default();
        cells += &cell(&number(record.cpu_seconds), &number(record.baseline_cpu_seconds));
        cells += &cell(&number(record.cores_used), &number(record.baseline_cores_used));
        cells +=
            &cell(&mebibytes(record.peak_resident_bytes), &mebibytes(record.baseline_peak_resident_bytes));
    }
    format!("<tr>{cells}</tr>\n")
}

fn cell(figure: &str, below: &str) -> String {
    format!("<td>{}<small>{}</small></td>", Escaped(figure), Escaped(below))
}

/// The classes and names of a key.
type Key = [(&'static str, &'static str)];

const SIDES: [(&str, &str); 2] = [("ours", "ours"), ("baseline", "baseline")];

fn key(of: &Key) -> String {
    if of.is_empty() {
        return String::new();
    }
    let entries = of.iter().map(|(class, name)| format!("<span><i class=\"{class}\"></i>{name}</span>"));
    format!("<div class=\"key\">{}</div>\n", entries.collect::<String>())
}

fn ratios_section(plot: &Plot) -> Result<String, PageError> {
    let of = [("ours", "ratio and its range"), ("missed", "not as wanted"), ("wanted band", "wanted")];
    Ok(format!(
        "<h2>Ratios</h2>\n<p>Ours divided by the baseline's: to the right of 1 more throughput, or more time.</p>\n\
         {}<figure>{}</figure>\n",
        key(&of),
        plot.to_svg()?
    ))
}

/// Plots with a title each; nothing if there are none.
fn section(title: &str, words: &str, of: &Key, class: &str, figures: &[Figure]) -> Result<String, PageError> {
    if figures.is_empty() {
        return Ok(String::new());
    }
    let mut text = format!("<h2>{title}</h2>\n<p>{words}</p>\n{}<div class=\"{class}\">\n", key(of));
    for figure in figures {
        let svg = figure.plot.to_svg()?;
        let title = Escaped(&figure.title).to_string();
        text.extend(["<figure><figcaption>", &title, "</figcaption>", &svg, "</figure>\n"]);
    }
    Ok(text + "</div>\n")
}

fn footer(timelines: bool) -> String {
    let link = |name: &str| format!("<a href=\"{name}\">{name}</a>");
    let more = if timelines {
        format!("; {} has when each acknowledgement came in some rounds", link(TIMELINES))
    } else {
        String::new()
    };
    format!(
        "<footer>Beside this page, a JSON object per line: {} has the machine, the settings and the figures, {} every round \
         of each side and run{more}.</footer>\n",
        link(RECORDS),
        link(ROUNDS)
    )
}
