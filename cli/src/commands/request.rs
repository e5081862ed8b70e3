//! `quorate request`: a question, and the first answer to it.

use quorate::{RequestError, Subject};

use crate::{
    Failure,
    commands::subscribe::show,
    output::Output,
    session::{Reach, Session},
};

/// Send a request and print the first answer.
///
/// The exit code is 3 if nobody answers on the subject, which is known at once, or if no answer
/// comes in time.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quorate request upper \"hello\"")]
pub(crate) struct Args {
    /// Whom to ask: words with dots between them.
    subject: Subject,
    /// The request.
    message: String,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Carries out `quorate request`.
pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let session = Session::open(&args.reach).await?;
    let answer = session.bus().request(&args.subject, args.message.clone(), args.reach.timeout).await;
    session.close().await;
    let answer = answer.map_err(|error| match error {
        RequestError::NoResponders(subject) => Failure::NoResponders { subject: subject.to_string() },
        RequestError::TimedOut { within, .. } => {
            Failure::TimedOut { what: "an answer".into(), after: within }
        }
        other => Failure::Failed(other.to_string()),
    })?;
    let mut output = Output::new();
    if args.json {
        show(&answer, true, &mut output)?;
    } else {
        // The output of a command usually ends its last line already.
        output.line(answer.payload.strip_suffix(b"\n").unwrap_or(&answer.payload))?;
    }
    output.flush()
}
