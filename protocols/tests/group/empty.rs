//! Messages so small that only their number counts.

use std::{cell::Cell, rc::Rc};

use bytes::Bytes;
use quorate_protocols::{Body, Input, Refusal, Ticket};

use crate::world::World;

fn submit(world: &mut World, by: u64, ticket: u64) -> Result<(), Refusal> {
    world.input(by, Input::Submit { ticket: Ticket(ticket), head: Bytes::new(), payload: Bytes::new() })
}

#[test]
fn empty_messages_fill_the_window_as_others_do() {
    let mut world = World::founded(3, |config| config.window_bytes = 64 << 10);
    world.lose(|_, _, _| true);
    let taken = (0..100_000).take_while(|ticket| submit(&mut world, 1, *ticket).is_ok()).count();
    assert!((100..=1024).contains(&taken), "{taken} were taken");
}

#[test]
fn no_message_lists_more_payloads_than_a_header_holds_be_it_new_or_sent_again() {
    let most = Rc::new(Cell::new((0, 0)));
    let mut world = World::founded(3, |_| {});
    let seen = Rc::clone(&most);
    world.lose(move |_, _, body| {
        let (mut sent, mut again) = seen.get();
        match body {
            Body::Data { batch, .. } => sent = sent.max(batch.len()),
            Body::Refill { frames, .. } => {
                again = again.max(frames.iter().map(|frame| frame.batch.len() + frame.after.len()).sum());
            }
            _ => {}
        }
        seen.set((sent, again));
        matches!(body, Body::Data { .. }) // all of it has to be asked for
    });
    let taken = (0..1_000_000).take_while(|ticket| submit(&mut world, 1, *ticket).is_ok()).count();
    assert!(taken > 50_000, "{taken} were taken");
    world.run(20_000);
    assert_eq!(world.delivered(3).len(), taken, "the group goes on");
    let (sent, again) = most.get();
    // A header of 256 KiB has at least 16 bytes for each.
    assert!(sent > 0 && sent <= 16 << 10, "{sent} in one frame");
    assert!(again > 0 && again <= 16 << 10, "{again} in one refill");
}
