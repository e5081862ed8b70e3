//! Standard input, read on a thread of its own: a read that never returns holds up nothing, not
//! even the end of the process.

use std::io::{self, BufRead, BufReader, Read};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::Failure;

/// Bytes that one read takes, and of which one batch of lines is made.
const CHUNK_BYTES: usize = 64 << 10;
/// Batches that may wait for the reader.
const BATCHES_MAX: usize = 4;

/// Lines in the order in which they came, without their ends.
pub(crate) type Batch = Result<Vec<Bytes>, Failure>;

/// The lines of standard input, in batches of what was there; a full queue makes the writer wait.
pub(crate) fn lines() -> mpsc::Receiver<Batch> {
    let (batches, reader) = mpsc::channel(BATCHES_MAX);
    std::thread::spawn(move || {
        let outcome = pass_on(&mut BufReader::with_capacity(CHUNK_BYTES, io::stdin().lock()), &batches);
        if let Err(error) = outcome {
            let failure = Failure::Io("cannot read standard input", error);
            // Nobody may be waiting for it any more.
            let _ = batches.blocking_send(Err(failure));
        }
    });
    reader
}

fn pass_on(input: &mut BufReader<impl Read>, batches: &mpsc::Sender<Batch>) -> io::Result<()> {
    let mut line = Vec::new();
    let mut batch = Vec::new();
    loop {
        let ended = input.read_until(b'\n', &mut line)? == 0;
        if !line.is_empty() {
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            batch.push(Bytes::from(std::mem::take(&mut line)));
        }
        // What is left in the buffer comes without waiting; the rest may take for ever.
        let more_is_here = input.buffer().contains(&b'\n');
        if (ended || !more_is_here)
            && !batch.is_empty()
            && batches.blocking_send(Ok(std::mem::take(&mut batch))).is_err()
        {
            return Ok(());
        }
        if ended {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(text: &[u8], chunk: usize) -> Vec<Vec<Bytes>> {
        let (sender, mut receiver) = mpsc::channel(100);
        pass_on(&mut BufReader::with_capacity(chunk, text), &sender).unwrap();
        std::iter::from_fn(|| receiver.try_recv().ok()).map(Result::unwrap).collect()
    }

    #[test]
    fn lines_come_without_their_ends_and_empty_ones_count() {
        let all = batches(b"a\n\nlong line\nlast", 64).concat();
        assert_eq!(all, ["a", "", "long line", "last"]);
        assert!(batches(b"", 64).is_empty());
    }

    #[test]
    fn lines_that_are_cut_by_a_read_are_whole() {
        assert_eq!(batches(b"abcdefgh\nij\nk\n", 4).concat(), ["abcdefgh", "ij", "k"]);
    }
}
