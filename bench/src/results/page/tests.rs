use std::time::Duration;

use super::*;
use crate::{
    Bound, Machine, Record, RunCount, Schedule, Series, SideSeries, Timeline, Unit, Usage,
    measure::{Latencies, Reading, Sample},
    results::{Label, Rounds},
};

const USAGE: Usage = Usage { seconds: 1.0, cpu_seconds: Some(1.5), peak_resident_bytes: Some(64 << 20) };

fn rounds(sample: impl Fn(u64) -> Sample) -> Rounds {
    Rounds { samples: (1..=3).map(sample).collect(), usage: vec![USAGE; 3] }
}

fn record(case: &str, reading: Reading, wanted: Bound, ours: &Rounds, baseline: &Rounds) -> Record {
    let label = Label { bench: "transport", case, baseline_is: "raw <quinn>", reading, wanted: Some(wanted) };
    let mut record = Record::compare(label, ours, baseline).expect("figures");
    record.series = Some(Series::new(("transport", case), reading, ours, baseline).into());
    record
}

fn flow(message_bytes: usize) -> Record {
    let side = |messages| {
        rounds(move |n| Sample::Flow {
            messages: messages + n,
            message_bytes,
            elapsed: Duration::from_secs(1),
        })
    };
    let case = format!("quic {}", crate::results::Size(message_bytes));
    record(&case, Reading::Messages, Bound::AtLeast(0.9), &side(800), &side(1000))
}

fn latency() -> Record {
    let side = |micros: u64| {
        rounds(move |n| {
            let mut all = Latencies::new();
            (0..1000).for_each(|step| all.record(Duration::from_micros(micros + step * n)));
            all.into_sample()
        })
    };
    record("quic latency", Reading::Quantile(0.5), Bound::AtMost(1.3), &side(300), &side(200))
}

fn going() -> Record {
    let acknowledged_us = (-30..60).map(|step| step * 5_000).collect();
    let series = Series {
        bench: "views",
        case: "3 members, one is killed".into(),
        unit: Unit::Microseconds,
        message_bytes: None,
        ours: SideSeries::default(),
        baseline: SideSeries::default(),
        timelines: vec![Timeline { run: 1, round: 1, what: "was killed", acknowledged_us }],
    };
    Record { series: Some(series.into()), ..latency() }
}

fn report(records: Vec<Record>) -> Report {
    Report {
        machine: Machine::here(),
        schedule: Some(Schedule::default()),
        settings: "a & b".into(),
        runs: RunCount::ONE,
        records,
    }
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).expect("a file of the report")
}

#[test]
fn a_page_shows_the_table_and_each_plot_and_needs_nothing_from_elsewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = Page::prepare(folder.path().join("new/report")).expect("a new folder");
    let records = vec![flow(64), flow(65_536), latency(), going()];
    page.write(&report(records)).expect("a report");
    let html = fs::read_to_string(page.index()).expect("a page");
    for part in [
        "raw &lt;quinn&gt;",
        "a &amp; b",
        "<td>quic 64 KiB throughput</td>",
        "2 of 4 figures",
        "<h2>Ratios</h2>",
        "<figcaption>quic</figcaption>",
        "<figcaption>quic latency</figcaption>",
        "ms after a member was killed",
        "href=\"timelines.jsonl\"",
    ] {
        assert!(html.contains(part), "{part} is missing in {html}");
    }
    // Nothing is asked for that is not beside it.
    for part in ["http:", "https:", "//", "<script", "<link", "url(", "@import"] {
        assert!(!html.contains(part), "{part} is in {html}");
    }
    assert_eq!(html.matches("<svg ").count(), html.matches("</svg>").count());
    assert_eq!(html.matches("<svg ").count(), 4, "ratios, throughput, latencies and acknowledgements");
}

#[test]
fn every_round_and_every_figure_is_a_line_beside_the_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = Page::prepare(folder.path()).expect("an empty folder");
    page.write(&report(vec![flow(64), latency(), going()])).expect("a report");
    let lines = |name| {
        let text = read(folder.path(), name);
        let all = text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON"));
        all.collect::<Vec<serde_json::Value>>()
    };
    let records = lines(RECORDS);
    assert_eq!(records.len(), 1 + 3, "the machine and the settings, and the figures");
    assert!(records[0]["machine"].is_object() && records[1]["case"].is_string());
    let rounds = lines(ROUNDS);
    assert_eq!(rounds.len(), 2 * 6, "three of each side of two cases");
    assert_eq!((&rounds[0]["side"], &rounds[0]["value"]), (&"baseline".into(), &1001.0.into()));
    assert_eq!(rounds[11]["count"], 1000);
    let timelines = lines(TIMELINES);
    assert_eq!(timelines[0]["acknowledged_us"].as_array().map(Vec::len), Some(90));

    // The next report has no timelines, and leaves none of the one before.
    page.write(&report(vec![flow(64)])).expect("a report");
    assert!(!folder.path().join(TIMELINES).exists());
    assert_eq!(lines(RECORDS).len(), 1 + 1);
}

#[test]
fn rounds_of_all_runs_are_beside_the_page_and_in_its_plots() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = Page::prepare(folder.path()).expect("an empty folder");
    let run = || report(vec![flow(64), latency(), going()]);
    let (mut short, mut both) = (run(), vec![run(), run()]);
    short.records.pop();
    both.push(short);
    page.write(&Report::median_of(both, 4).expect("three runs")).expect("a report");
    let lines = |name| -> Vec<serde_json::Value> {
        let text = read(folder.path(), name);
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    };
    assert_eq!(lines(RECORDS)[0]["settings"]["runs"], 3);
    let rounds = lines(ROUNDS);
    assert_eq!(rounds.len(), 3 * 2 * 6, "three of each side of two cases in three runs");
    let of_run = |run: usize| rounds.iter().filter(|line| line["run"] == run).count();
    assert_eq!([1, 2, 3].map(of_run), [12, 12, 12]);
    assert_eq!(lines(TIMELINES).iter().map(|line| line["run"].clone()).collect::<Vec<_>>(), [1, 2]);
    let html = read(folder.path(), INDEX);
    assert!(
        html.contains("medians of 3 of 4 runs; ") && html.contains("<small>2 of 4 runs</small>"),
        "{html}"
    );
    // A curve of each side for each run.
    let curves = html.split("<figcaption>quic latency</figcaption>").nth(1).expect("a plot");
    let curves = curves.split("</figure>").next().expect("its end");
    let of = |colour: &str| curves.matches(&format!("stroke=\"{colour}\"")).count();
    assert_eq!((of("#1F5FA8"), of("#C46A12")), (3, 3), "{curves}");
}

#[test]
fn a_report_is_overwritten_and_files_of_others_are_not() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("notes.txt"), "mine").expect("a file");
    Page::prepare(folder.path())
        .expect("other names are left alone")
        .write(&report(vec![flow(64)]))
        .expect("a report");
    Page::prepare(folder.path()).expect("a report may be overwritten");
    assert_eq!(read(folder.path(), "notes.txt"), "mine");

    for name in [INDEX, RECORDS, ROUNDS, TIMELINES] {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(name), "mine").expect("a file");
        let refused = Page::prepare(folder.path()).expect_err("it is not a report's");
        assert!(matches!(&refused, PageError::Foreign { path } if path.ends_with(name)), "{refused}");
        assert_eq!(read(folder.path(), name), "mine");
    }
}

#[test]
fn what_cannot_be_a_folder_is_refused_before_anything_is_measured() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "mine").expect("a file");
    assert!(matches!(Page::prepare(&file), Err(PageError::Io { doing: "cannot create", .. })));
    assert!(matches!(Page::prepare(file.join("below")), Err(PageError::Io { .. })));
}

#[test]
fn a_report_without_figures_is_a_page_all_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = Page::prepare(folder.path()).expect("an empty folder");
    page.write(&report(Vec::new())).expect("a report");
    assert!(!read(folder.path(), INDEX).contains("<svg"));
}

#[test]
fn what_has_no_place_on_a_scale_is_left_out_of_the_plots() {
    let strange = |ratio: f64| Record { ratio, ratio_range: (ratio, ratio), ..flow(64) };
    let one_moment = |record: Record| {
        let series = record.series.as_ref().expect("its rounds");
        let timelines = vec![Timeline { run: 1, round: 1, what: "was killed", acknowledged_us: vec![5] }];
        Record { series: Some(Series { timelines, ..(**series).clone() }.into()), ..record }
    };
    let folder = tempfile::tempdir().expect("a folder");
    let page = Page::prepare(folder.path()).expect("an empty folder");
    let records =
        [0.0, f64::INFINITY, f64::NAN].map(strange).into_iter().chain([one_moment(strange(f64::NAN))]);
    page.write(&report(records.collect())).expect("a report");
    assert!(!read(folder.path(), INDEX).contains("<svg"));
}
