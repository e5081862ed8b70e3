//! `quorate reply`: a command that answers requests.

use std::{io, process::Stdio, sync::Arc, time::Duration};

use bytes::Bytes;
use quorate::{Bus, Delivery, Pattern, SubscribeOptions};
use tokio::{
    io::AsyncWriteExt,
    process::Command,
    sync::{Semaphore, mpsc},
};

use crate::{
    Failure,
    failure::one_line,
    output::{complain, say},
    session::{Reach, Session},
    span,
};

/// Answer requests with the output of a command, until Ctrl-C.
///
/// The command is run by `sh` for each request, with the request on its standard input and its
/// subject in `QUORATE_SUBJECT`; what it prints is the answer. If it fails there is no answer, and
/// a line on standard error.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quorate reply upper --exec \"tr a-z A-Z\"")]
pub(crate) struct Args {
    /// Which subjects: words with dots between them, `*` and `>` among them.
    pattern: Pattern,
    /// The command, a line for `sh`.
    #[arg(long, value_name = "COMMAND")]
    exec: String,
    /// Share the requests with the other repliers of this queue group.
    #[arg(long, value_name = "NAME", default_value = "reply")]
    queue: String,
    /// Requests that are worked on at the same time, 1 to 1024.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    jobs: u32,
    /// How long the command may run, such as 500ms or 1m; then it is killed.
    #[arg(long, value_name = "SPAN", default_value = "30s", value_parser = span::parse)]
    exec_within: Duration,
    /// End after so many requests [default: go on].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    reach: Reach,
}

/// Carries out `quorate reply`.
pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let session = Session::open(&args.reach).await?;
    let bus = session.bus();
    let options = SubscribeOptions::default().queue(&args.queue).buffered();
    let subscribing = bus.subscribe(args.pattern.as_str(), options);
    let subscription = args.reach.within("the subscription", subscribing).await?;
    let mut subscription = subscription.map_err(|error| Failure::Failed(error.to_string()))?;
    say(&format!("answering on `{}`", args.pattern));
    let slots = Arc::new(Semaphore::new(args.jobs as usize));
    // Ends when every answer that is worked on has dropped its end.
    let (working, mut done) = mpsc::channel::<()>(1);
    let mut taken = 0;
    while args.count.is_none_or(|count| taken < count) {
        let Some(request) = subscription.next().await else {
            return Err(Failure::Failed("the connection to the cluster has ended: start it again".into()));
        };
        if request.reply_to.is_none() {
            complain(&format!("a message on `{}` asks for no answer", request.subject));
            continue;
        }
        taken += 1;
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { break };
        let (bus, command, within, working) =
            (bus.clone(), args.exec.clone(), args.exec_within, working.clone());
        actix::spawn(async move {
            if let Err(why) = answer(&bus, &request, &command, within).await {
                complain(&format!("no answer on `{}`: {why}", request.subject));
            }
            drop((slot, working));
        });
    }
    drop(working);
    done.recv().await;
    session.close().await;
    Ok(())
}

async fn answer(bus: &Bus, request: &Delivery, command: &str, within: Duration) -> Result<(), String> {
    let running = execute(request, command);
    let output = tokio::time::timeout(within, running)
        .await
        .map_err(|_| format!("`{command}` took longer than {}", span::show(within)))?
        .map_err(|error| format!("`{command}`: {}", one_line(&error)))?;
    bus.reply(request, output).await.map_err(|error| one_line(&error))
}

/// Runs the command to its end; it is killed if this is dropped before.
async fn execute(request: &Delivery, command: &str) -> io::Result<Bytes> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env("QUORATE_SUBJECT", request.subject.as_str())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdin = child.stdin.take();
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A command need not read what it is given.
            let _ = stdin.write_all(&request.payload).await;
        }
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    let output = output?;
    if output.status.success() {
        Ok(output.stdout.into())
    } else {
        Err(io::Error::other(output.status.to_string()))
    }
}
