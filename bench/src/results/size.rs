//! Sizes of messages, as people write them.

use std::fmt;

/// A number of bytes, shown as `64 B`, `1 KiB` or `2 MiB` where that is exact.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size(pub(crate) usize);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n > 0 && n.is_multiple_of(1 << 20) => write!(f, "{} MiB", n >> 20),
            n if n > 0 && n.is_multiple_of(1 << 10) => write!(f, "{} KiB", n >> 10),
            n => write!(f, "{n} B"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        let shown = [64, 1024, 1500, 1 << 20].map(|bytes| Size(bytes).to_string());
        assert_eq!(shown, ["64 B", "1 KiB", "1500 B", "1 MiB"]);
    }
}
