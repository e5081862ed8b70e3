//! The other side: a process reads orders and answers them.

use std::io::{BufRead, Write, stdin, stdout};

use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::mpsc;

use crate::BenchError;

/// Says that it is ready, with this answer, and carries out the orders that come on standard input. When that ends,
/// nobody waits for an answer any more: the process ends, whatever it is about, and with it all that it has started.
pub(crate) async fn serve<O: DeserializeOwned, A: Serialize>(
    ready: A,
    mut carry_out: impl AsyncFnMut(O) -> Result<A, BenchError>,
) -> Result<(), BenchError> {
    let (tell, mut orders) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in stdin().lock().lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
        std::process::exit(0);
    });
    say(&Ok(ready))?;
    while let Some(line) = orders.recv().await {
        say(&match serde_json::from_str(&line) {
            Ok(order) => carry_out(order).await.map_err(|error| error.to_string()),
            Err(error) => Err(format!("{error}: {line}")),
        })?;
    }
    Ok(())
}

fn say<A: Serialize>(answer: &Result<A, String>) -> Result<(), BenchError> {
    let line = serde_json::to_string(answer).map_err(BenchError::ours)?;
    Ok(writeln!(stdout(), "{line}")?)
}
