//! Nodes that share their machine with others.

/// For how long at most a process waits between two of its turns, by each fault that goes on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Busy(Vec<u32>);

impl Busy {
    /// Others take the machine, too. Returns whether nobody did before, so that turns are to begin.
    pub(crate) fn begin(&mut self, millis: u32) -> bool {
        self.0.push(millis);
        self.0.len() == 1
    }

    /// They do no longer. Returns whether nobody does, so that a last turn is due.
    pub(crate) fn end(&mut self, millis: u32) -> bool {
        if let Some(place) = self.0.iter().position(|it| *it == millis) {
            self.0.swap_remove(place);
        }
        self.0.is_empty()
    }

    /// The longest time between two turns, in milliseconds; `None` if it has the machine to itself.
    pub(crate) fn millis(&self) -> Option<u32> {
        self.0.iter().max().copied()
    }

    /// Whether it runs only now and then.
    pub(crate) const fn is_busy(&self) -> bool {
        !self.0.is_empty()
    }
}
