//! `quorate pub`: one message, or one per line of standard input.

use std::{
    fs::File,
    io::{IsTerminal, stdin},
    os::fd::AsFd,
    time::{Duration, Instant},
};

use bytes::Bytes;
use indicatif::ProgressBar;
use quorate::{Bus, PublishError, Publishing, Subject};
use serde::Serialize;
use tokio::{sync::mpsc, time::timeout};

use crate::{
    Failure, input,
    output::{Output, say},
    progress,
    session::{Reach, Session},
    span,
};

/// Publish a message, or one for each line of standard input.
///
/// A message on a subject that is bound to a group is acknowledged once it survives the loss of
/// any minority of the group; the exit code is 0 only if every message was acknowledged.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  quorate pub log.app \"started\"
  quorate pub log.app < /var/log/syslog")]
pub(crate) struct Args {
    /// What it is about: words with dots between them.
    subject: Subject,
    /// The message; without it each line of standard input is one.
    message: Option<String>,
    /// Messages that may be on their way before the first of them is acknowledged, 1 to 1000000.
    #[arg(long, value_name = "N", default_value_t = 8192, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    in_flight: u32,
    /// Print a summary as JSON on standard output, instead of one for people on standard error.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// What became of it all.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Summary {
    messages: u64,
    bytes: u64,
    acknowledged: u64,
    seconds: f64,
}

/// Carries out `quorate pub`.
pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let session = Session::open(&args.reach).await?;
    let begun = Instant::now();
    let mut summary = Summary::default();
    let outcome = publish(args, &session.bus(), &mut summary).await;
    summary.seconds = begun.elapsed().as_secs_f64();
    session.close().await;
    tell(&summary, args.json)?;
    outcome
}

async fn publish(args: &Args, bus: &Bus, summary: &mut Summary) -> Result<(), Failure> {
    let (sent, on_the_way) = mpsc::channel(args.in_flight as usize);
    let bar = if args.message.is_none() { bar() } else { ProgressBar::hidden() };
    let sending = send_all(args, bus, sent);
    let settling = settle(on_the_way, args.reach.timeout, summary, &bar);
    let (sending, settling) = tokio::join!(sending, settling);
    bar.finish_and_clear();
    settling.and(sending)
}

type OnTheWay = (usize, Result<Publishing, PublishError>);

/// Hands over one message after the other; ends early when nobody counts them any more.
async fn send_all(args: &Args, bus: &Bus, sent: mpsc::Sender<OnTheWay>) -> Result<(), Failure> {
    let send = async |payload: Bytes| {
        let bytes = payload.len();
        sent.send((bytes, bus.begin(&args.subject, payload).await)).await.is_ok()
    };
    if let Some(message) = &args.message {
        send(Bytes::from(message.clone())).await;
        return Ok(());
    }
    if stdin().is_terminal() {
        say(&format!("each line that you type is a message on `{}`; Ctrl-D ends", args.subject));
    }
    let mut lines = input::lines();
    while let Some(batch) = lines.recv().await {
        for line in batch? {
            if !send(line).await {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Waits for the acknowledgements, in order.
async fn settle(
    mut on_the_way: mpsc::Receiver<OnTheWay>,
    within: Duration,
    summary: &mut Summary,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    while let Some((bytes, publishing)) = on_the_way.recv().await {
        summary.messages += 1;
        summary.bytes += bytes as u64;
        let number = summary.messages;
        let failed = |error: PublishError| Failure::Failed(format!("message {number}: {error}"));
        let Ok(outcome) = timeout(within, publishing.map_err(failed)?.acknowledged()).await else {
            let what = format!("the acknowledgement of message {number}");
            return Err(Failure::TimedOut { what, after: within });
        };
        outcome.map_err(failed)?;
        summary.acknowledged += 1;
        bar.set_message(summary.acknowledged.to_string());
        bar.inc(bytes as u64 + 1);
    }
    Ok(())
}

/// A bar over the bytes of a file, or a count of messages if nobody knows how many will come.
fn bar() -> ProgressBar {
    if stdin().is_terminal() {
        return ProgressBar::hidden();
    }
    let file = stdin().as_fd().try_clone_to_owned().ok().and_then(|fd| File::from(fd).metadata().ok());
    match file.filter(std::fs::Metadata::is_file) {
        Some(file) => {
            let template = "{wide_bar} {bytes}/{total_bytes}, {msg} acknowledged";
            progress::drawn(ProgressBar::new(file.len()), template)
        }
        None => progress::drawn(ProgressBar::new_spinner(), "{spinner} {bytes}, {msg} acknowledged"),
    }
}

fn tell(summary: &Summary, json: bool) -> Result<(), Failure> {
    if json {
        let mut output = Output::new();
        output.json(summary)?;
        return output.flush();
    }
    let Summary { messages, acknowledged, seconds, .. } = summary;
    let rate = *acknowledged as f64 / seconds.max(1e-9);
    let took = span::show(Duration::from_secs_f64(*seconds));
    let per_second = if *acknowledged > 1 { format!(", {rate:.0} per second") } else { String::new() };
    say(&format!("{acknowledged} of {messages} messages acknowledged in {took}{per_second}"));
    Ok(())
}
