//! Closed views: how they ended, and their frames, for members that are behind.

use std::collections::BTreeMap;

use quorate_membership::{Decree, Member, Seq};

use super::Group;
use crate::stream::Stream;

/// Closed views that are remembered.
const PAST_VIEWS_MAX: usize = 32;

/// A closed view: how it ended, and its frames while a member of the next may lack some.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) decree: Decree,
    pub(super) stream: Option<Stream>,
    /// Whether there was a stream and its frames are freed: all who went on have what they need of
    /// it, or are so far behind that they start anew.
    pub(super) retired: bool,
    /// Per sender, how far its messages to this member alone were delivered.
    pub(super) direct: BTreeMap<Member, Seq>,
}

impl Past {
    fn retire(&mut self) {
        self.retired |= self.stream.take().is_some();
    }
}

impl Group {
    /// Bytes of the frames of closed views that are kept for members that are behind.
    pub fn past_bytes(&self) -> usize {
        self.past.iter().filter_map(|past| past.stream.as_ref()).map(Stream::kept_bytes).sum()
    }

    pub(super) fn remember(&mut self, decree: Decree) {
        let direct = self.directs.take_delivered();
        let (retired, mut stream) = (false, self.stream.take());
        if let Some(stream) = &mut stream {
            stream.close();
        }
        self.past.push_back(Past { decree, stream, retired, direct });
        while self.past.len() > PAST_VIEWS_MAX {
            self.past.pop_front();
        }
    }

    /// Frees the frames of closed views once every member of the present one has entered it. For
    /// learners alone only so much is kept, over all views: one that is stuck starts anew.
    pub(super) fn retire_past(&mut self) {
        let Some(view) = &self.view else { return };
        let max = self.config.learner_bytes_max.saturating_mul(view.members.len());
        let (mut all_here, mut members_here) = (true, true);
        for member in self.unseen() {
            all_here = false;
            members_here &= view.learners.contains(&member);
        }
        if all_here {
            self.past.iter_mut().for_each(Past::retire);
        } else if members_here {
            let mut sum = 0;
            for past in self.past.iter_mut().rev() {
                sum += past.stream.as_ref().map_or(0, Stream::kept_bytes);
                if sum > max {
                    past.retire();
                }
            }
        }
    }
}
