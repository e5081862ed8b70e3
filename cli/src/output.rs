//! Standard output that others read: whole lines, quiet when nobody reads any more.

use std::io::{self, BufWriter, Stdout, Write};

use serde::Serialize;

use crate::Failure;

/// A buffered standard output. What was written is seen after [`Self::flush`].
pub(crate) struct Output(BufWriter<Stdout>);

impl Output {
    pub(crate) fn new() -> Self {
        Self(BufWriter::with_capacity(64 << 10, io::stdout()))
    }

    /// Writes bytes and an end of line.
    pub(crate) fn line(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Failure> {
        self.0.write_all(bytes.as_ref()).and_then(|()| self.0.write_all(b"\n")).map_err(closed)
    }

    /// Writes lines.
    pub(crate) fn lines(&mut self, lines: impl IntoIterator<Item = String>) -> Result<(), Failure> {
        lines.into_iter().try_for_each(|line| self.line(line))
    }

    /// Writes text as it is.
    pub(crate) fn raw(&mut self, text: impl AsRef<[u8]>) -> Result<(), Failure> {
        self.0.write_all(text.as_ref()).map_err(closed)
    }

    /// Writes a value as one line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_vec(value)
            .map_err(|error| Failure::Failed(format!("a result cannot be written as JSON: {error}")))?;
        self.line(text)
    }

    /// Hands over what was written.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.0.flush().map_err(closed)
    }
}

/// Writes a line to standard error about something that is wrong.
pub(crate) fn complain(line: &str) {
    say(&format!("quorate: {line}"));
}

/// Writes a line to standard error, whole: the nodes of a local cluster may share it, and pieces of lines
/// would get between each other.
pub(crate) fn say(line: &str) {
    // Nobody reads it any more, as when a terminal was closed: the work goes on.
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Prints a result: as one line of JSON for programs, or in words for people.
pub(crate) fn tell(
    json: bool,
    result: &impl Serialize,
    words: impl FnOnce(&mut Output) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut output = Output::new();
    if json {
        output.json(result)?;
    } else {
        words(&mut output)?;
    }
    output.flush()
}

fn closed(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::Io("cannot write to standard output", error),
    }
}

/// A table with aligned columns, the first row being its head.
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    rows.iter()
        .map(|row| {
            let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a", "node"], ["long", "x"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), ["a     node", "long  x"]);
    }
}
