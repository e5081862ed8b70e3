//! Names, time-outs and stalls, beside what they are said to be.

use std::time::Duration;

use proptest::prelude::*;
use quorate_membership::{NodeId, Stalls, StallsNoticed, Time, Timing};

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The timer is set to so many milliseconds from now, or is off.
    Expect(Option<u64>),
    /// This one looks.
    Look(usize),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let span = || prop_oneof![6 => 0..600_u64, 1 => Just(1 << 40)];
    let step = prop_oneof![
        2 => prop::option::of(span()).prop_map(Step::Expect),
        3 => (0..3_usize).prop_map(Step::Look),
        3 => span().prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn a_name_of_a_node_comes_back_and_no_other_text_is_one(number: u64, text in "n{0,2}[+-]?[0-9]{0,21}x?") {
        let node = NodeId::new(number);
        prop_assert_eq!(node.to_string().parse(), Ok(node));
        prop_assert_eq!(number.to_string().parse(), Ok(node));
        let digits = text.strip_prefix('n').unwrap_or(&text);
        let number = if digits.starts_with('+') { None } else { digits.parse().ok() };
        prop_assert_eq!(text.parse::<NodeId>().ok().map(NodeId::get), number);
    }

    #[test]
    fn time_outs_keep_their_proportions_whatever_they_are_derived_from(nanos in 0..200_000_000_000_u64) {
        let detect = Duration::from_nanos(nanos);
        let within = (Timing::DETECT_MIN..=Timing::DETECT_MAX).contains(&detect);
        let timing = Timing::detect_within(detect);
        prop_assert_eq!(timing.is_ok(), within);
        let Ok(timing) = timing else { return Ok(()) };
        prop_assert!(timing.resend() < timing.heartbeat() && timing.heartbeat() * 5 <= detect);
        prop_assert!(timing.heartbeat() < timing.stall() && timing.stall() < detect);
        prop_assert!(timing.round() >= detect && timing.broken_link() > timing.round());
        prop_assert!(timing.founding() > timing.broken_link());
    }

    #[test]
    fn time_neither_overflows_nor_runs_backwards(at: u64, seconds: u64, nanos in 0..1_000_000_000_u32) {
        let (now, span) = (Time::from_nanos(at), Duration::new(seconds, nanos));
        prop_assert!(now + span >= now && now - span <= now);
        prop_assert!((now + span).since(now) <= span && now.since(now + span).is_zero());
    }

    #[test]
    fn each_who_looks_hears_once_of_stalls_since_it_looked_last(begin in 0..1000_u64, steps in steps()) {
        let timing = Timing::DEFAULT;
        let mut now = Time::ZERO + Duration::from_millis(begin);
        let mut stalls = Stalls::new(timing);
        let mut noticed = [StallsNoticed::default(); 3];
        // What was due, and whether each has something to hear still.
        let (mut due, mut pending): (Option<Time>, _) = (None, [false; 3]);
        for step in steps {
            let overdue = due.is_some_and(|due| now.since(due) > timing.stall());
            match step {
                Step::Pass(millis) => now = now + Duration::from_millis(millis),
                Step::Expect(millis) => {
                    pending = pending.map(|heard| heard || overdue);
                    due = millis.map(|millis| now + Duration::from_millis(millis));
                    stalls.expect(now, due);
                }
                Step::Look(who) => {
                    pending = pending.map(|heard| heard || overdue);
                    due = if overdue { Some(now) } else { due };
                    prop_assert_eq!(stalls.stood_still(now, &mut noticed[who]), pending[who]);
                    pending[who] = false;
                }
            }
        }
    }
}
