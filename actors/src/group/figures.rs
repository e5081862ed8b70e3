//! What is counted of a group's events.

use quorate_protocols::Event;

/// Messages that were delivered, counted together: looking a counter up costs as much as a message.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    messages: u64,
    bytes: u64,
}

impl Delivered {
    pub(super) const fn add(&mut self, payload: usize) {
        self.messages += 1;
        self.bytes += payload as u64;
    }

    /// Counts them, and begins anew.
    pub(super) fn count(&mut self) {
        let Self { messages, bytes } = std::mem::take(self);
        if messages > 0 {
            metrics::counter!("quorate_group_messages_delivered_total").increment(messages);
            metrics::counter!("quorate_group_payload_bytes_delivered_total").increment(bytes);
        }
    }
}

/// Counts what is rare, for the group of this name.
pub(super) fn count(group: &str, event: &Event) {
    match event {
        Event::View(view) => {
            metrics::counter!("quorate_group_views_installed_total", "group" => group.to_owned())
                .increment(1);
            metrics::gauge!("quorate_group_data_members", "group" => group.to_owned())
                .set(view.members.len() as f64);
        }
        Event::Wedged(_) => {
            metrics::counter!("quorate_group_standstills_total", "group" => group.to_owned()).increment(1);
        }
        Event::Removed { .. } => {
            metrics::counter!("quorate_group_removals_total", "group" => group.to_owned()).increment(1);
        }
        _ => {}
    }
}
