//! `quorate sub`: what comes, line by line.

use std::time::Duration;

use futures_util::FutureExt;
use quorate::{Delivery, Missed, Pattern, SubscribeOptions, Subscription};
use serde::Serialize;

use crate::{
    Failure,
    output::{Output, complain, say},
    session::{Reach, Session},
    span,
};

/// Messages that may wait to be printed before the node keeps the rest.
const CAPACITY: usize = 4096;

/// Print the messages of a subject, one per line, until Ctrl-C.
///
/// `*` stands for one word, a last `>` for one or more. Subscribers of subjects that are bound to a
/// group all get the same sequence, each message once, whichever node they are connected to.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  quorate sub 'log.>'
  quorate sub 'sensor.*.temperature' --json
  quorate sub jobs --queue workers")]
pub(crate) struct Args {
    /// Which subjects: words with dots between them, `*` and `>` among them.
    pattern: Pattern,
    /// End after so many messages [default: go on].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Share the messages with the other subscribers of this queue group: each goes to one of them
    /// [default: every subscriber gets all].
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    /// End when nothing has come for so long, such as 2s; the exit code is 3 if --count was not reached
    /// [default: wait for ever].
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    idle: Option<Duration>,
    /// Print each message as JSON, with its subject and its place in the group's order.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// A message, for programs.
#[derive(Serialize)]
struct Shown<'a> {
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    /// Only if it is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_bytes: Option<&'a [u8]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missed_before: Option<String>,
}

/// Carries out `quorate sub`.
pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let session = Session::open(&args.reach).await?;
    let mut options = SubscribeOptions::default().buffered().capacity(CAPACITY);
    options.queue.clone_from(&args.queue);
    let bus = session.bus();
    let subscribing = bus.subscribe(args.pattern.as_str(), options);
    let subscription = args.reach.within("the subscription", subscribing).await?;
    let subscription = subscription.map_err(|error| Failure::Failed(error.to_string()))?;
    say(&format!("subscribed to `{}`", args.pattern));
    let outcome = print(args, subscription).await;
    session.close().await;
    outcome
}

async fn print(args: &Args, mut subscription: Subscription) -> Result<(), Failure> {
    let mut output = Output::new();
    let mut printed = 0;
    while args.count.is_none_or(|count| printed < count) {
        let delivery = if let Some(here) = subscription.next().now_or_never() {
            here
        } else {
            // Whoever reads has all of it before this waits.
            output.flush()?;
            match args.idle {
                None => subscription.next().await,
                Some(idle) => match tokio::time::timeout(idle, subscription.next()).await {
                    Ok(delivery) => delivery,
                    Err(_) => return idle_end(args, printed, idle),
                },
            }
        };
        let Some(delivery) = delivery else {
            output.flush()?;
            return Err(Failure::Failed("the connection to the cluster has ended: subscribe again".into()));
        };
        show(&delivery, args.json, &mut output)?;
        printed += 1;
    }
    output.flush()
}

fn idle_end(args: &Args, printed: u64, idle: Duration) -> Result<(), Failure> {
    match args.count {
        None => Ok(()),
        Some(count) => {
            Err(Failure::Idle { what: format!("message {} of {count}", printed + 1), after: idle })
        }
    }
}

/// Prints a message.
pub(crate) fn show(delivery: &Delivery, json: bool, output: &mut Output) -> Result<(), Failure> {
    let missed = delivery.missed.map(|missed| match missed {
        Missed::Count(count) => count.to_string(),
        Missed::Unknown => "unknown".to_owned(),
    });
    if !json {
        if let Some(missed) = missed {
            complain(&format!("messages missed here: {missed}"));
        }
        return output.line(&delivery.payload);
    }
    let text = std::str::from_utf8(&delivery.payload).ok();
    output.json(&Shown {
        subject: delivery.subject.as_str(),
        payload: text,
        payload_bytes: if text.is_none() { Some(&delivery.payload) } else { None },
        position: delivery.at.map(|(_, position)| position.to_string()),
        missed_before: missed,
    })
}
