//! What is counted of a group's events.

use quorate_protocols::Event;

/// Counts an event of the group of this name.
pub(super) fn count(group: &str, event: &Event) {
    match event {
        // Without the group's name: naming it would cost an allocation for each message.
        Event::Message { payload, .. } => {
            metrics::counter!("quorate_group_messages_delivered_total").increment(1);
            metrics::counter!("quorate_group_payload_bytes_delivered_total").increment(payload.len() as u64);
        }
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
