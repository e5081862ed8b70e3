//! When a member has to say what it holds.

/// One of so many frames that their sender has on the way at once: until then a receiver may wait with its row.
const IN_FLIGHT_PER_ROW: u64 = 4;

/// What a member has yet to say of what it holds.
///
/// A row costs as much as a packet of data, to each of the others. As long as a sender had more to send when it sent a
/// frame, the next row may speak for several frames. Since these are a part of those that the sender may have on the way,
/// it never waits for them alone; if it waits for somebody else, they are told of at the next tick.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// Somebody may wait for it.
    at_once: bool,
    /// Frames whose senders had more to send.
    frames: u64,
}

impl Owed {
    /// The next flush is to say it.
    pub(super) const fn at_once(&mut self) {
        self.at_once = true;
    }

    /// A frame came; `more` was to follow it.
    pub(super) const fn on_frame(&mut self, more: bool) {
        if more { self.frames += 1 } else { self.at_once = true }
    }

    /// A frame that is sent says it.
    pub(super) fn said(&mut self) {
        *self = Self::default();
    }

    /// Whether it is to be said now, where a member may have so many frames on the way; if so, it is not owed any more.
    pub(super) fn take(&mut self, frames_in_flight: u64) -> bool {
        let due = self.at_once || self.frames > 0 && self.frames >= frames_in_flight / IN_FLIGHT_PER_ROW;
        if due {
            self.said();
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_at_once_unless_more_follows() {
        let mut owed = Owed::default();
        assert!(!owed.take(16), "nothing came");
        owed.on_frame(false);
        assert!(owed.take(16));
        assert!(!owed.take(16), "it was said");
        owed.on_frame(true);
        assert!(!owed.take(16));
        owed.on_frame(false);
        assert!(owed.take(16), "nothing follows any more");
        owed.on_frame(true);
        owed.at_once();
        assert!(owed.take(16));
    }

    #[test]
    fn a_quarter_of_what_may_be_on_the_way_is_said_in_one() {
        for (frames_in_flight, in_one) in [(1, 1), (4, 1), (7, 1), (8, 2), (16, 4)] {
            let mut owed = Owed::default();
            for round in 0..3 {
                for frame in 1..=in_one {
                    owed.on_frame(true);
                    assert_eq!(owed.take(frames_in_flight), frame == in_one, "{frames_in_flight} {round}");
                }
            }
        }
    }

    #[test]
    fn what_a_frame_has_said_is_not_said_again() {
        let mut owed = Owed::default();
        owed.on_frame(true);
        owed.at_once();
        owed.said();
        assert!(!owed.take(1));
    }
}
