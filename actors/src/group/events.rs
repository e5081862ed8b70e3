//! What happens in a group, as one stream.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{Stream, StreamExt};
use quorate_protocols::Event;

use crate::queue::{Feed, Offer, Reader, Slot};

/// One thing that happened in a group.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum GroupEvent {
    /// A view, a message, or a change in this member's standing.
    Event(Event),
    /// The reader was too slow: so many events are missing here.
    Missed(u64),
}

/// How somebody reads a group's events.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EventOptions {
    /// Events that may wait for the reader. Default 1024.
    pub capacity: usize,
    /// What happens when the reader falls further behind. It never holds up the group.
    pub behind: Behind,
}

/// What happens to a reader of events that falls behind.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Behind {
    /// It misses events and is told how many.
    #[default]
    Skip,
    /// Its stream ends, for readers that cannot go on with a gap.
    End,
}

impl Default for EventOptions {
    fn default() -> Self {
        Self { capacity: 1024, behind: Behind::Skip }
    }
}

/// The stream of a group's events. Dropping it ends the interest.
#[derive(Debug)]
pub struct GroupEvents(Reader<Event>);

impl GroupEvents {
    /// Waits for the next event; `None` once the group is stopped here and all was read.
    pub async fn next(&mut self) -> Option<GroupEvent> {
        StreamExt::next(self).await
    }
}

impl Stream for GroupEvents {
    type Item = GroupEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<GroupEvent>> {
        Pin::new(&mut self.0).poll_next(cx).map(|slot| {
            slot.map(|slot| match slot {
                Slot::Item(event) => GroupEvent::Event(event),
                Slot::Missed(count) => GroupEvent::Missed(count),
            })
        })
    }
}

/// The group's end of a reader.
#[derive(Debug)]
pub(crate) struct EventFeed {
    feed: Feed<Event>,
    behind: Behind,
}

pub(crate) fn reader(options: EventOptions) -> (EventFeed, GroupEvents) {
    let (feed, reader) = crate::queue::queue(options.capacity);
    (EventFeed { feed, behind: options.behind }, GroupEvents(reader))
}

impl EventFeed {
    /// Returns whether the reader goes on.
    pub(crate) fn tell(&self, event: &Event) -> bool {
        let bytes = if let Event::Message { payload, .. } = event { payload.len() } else { 0 };
        match self.feed.offer(event.clone(), bytes) {
            Offer::Taken => true,
            Offer::Full(_) => {
                metrics::counter!("quorate_group_events_missed_total").increment(1);
                if self.behind == Behind::Skip {
                    self.feed.skip(1);
                }
                self.behind == Behind::Skip
            }
            Offer::Abandoned => false,
        }
    }
}
