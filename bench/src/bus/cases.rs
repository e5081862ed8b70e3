//! What is compared with what.

use super::Target;
use crate::{
    Bound,
    measure::{Case, Reading},
    raw::RAW_QUINN,
    results::Size,
};

const THROUGH_ACTOR: &str = "the same with every message through the bus actor";
#[cfg(any(test, feature = "zenoh"))]
const ZENOH: &str = "zenoh over QUIC, sessions in this process, nothing is dropped";
/// What the table of targets has to gain to be worth its code.
const WANTED: Bound = Bound::AtLeast(1.2);

/// What stays on the node.
pub(super) fn here_case(target: Target, publishers: usize, bytes: usize) -> Case {
    let threads = if publishers == 1 { "thread" } else { "threads" };
    Case {
        bench: "bus",
        name: format!("{publishers} {threads}, {}, {}", target.case(), Size(bytes)),
        baseline_is: THROUGH_ACTOR,
        readings: vec![(Reading::Messages, Some(WANTED))],
    }
}

pub(super) fn fan_case(bytes: usize) -> Case {
    Case {
        bench: "bus",
        name: format!("{}, {}", Target::Remote.case(), Size(bytes)),
        baseline_is: RAW_QUINN,
        readings: vec![(Reading::Messages, None)],
    }
}

pub(super) fn asking_case(bytes: usize) -> Case {
    Case {
        bench: "bus",
        name: format!("{}, {}", Target::Request.case(), Size(bytes)),
        baseline_is: RAW_QUINN,
        readings: vec![(Reading::Quantile(0.5), None), (Reading::Quantile(0.99), None)],
    }
}

/// As many messages as zenoh, and twice as many where they are long.
#[cfg(any(test, feature = "zenoh"))]
pub(super) fn fan_beside_zenoh(bytes: usize) -> Case {
    let wanted = Bound::AtLeast(if bytes < 1 << 10 { 1.0 } else { 2.0 });
    beside_zenoh(&fan_case(bytes), (Reading::Messages, Some(wanted)))
}

#[cfg(any(test, feature = "zenoh"))]
pub(super) fn asking_beside_zenoh(bytes: usize) -> Case {
    beside_zenoh(&asking_case(bytes), (Reading::Quantile(0.5), Some(Bound::AtMost(0.6))))
}

#[cfg(any(test, feature = "zenoh"))]
fn beside_zenoh(usual: &Case, reading: (Reading, Option<Bound>)) -> Case {
    Case {
        bench: usual.bench,
        name: format!("{}, beside zenoh,", usual.name),
        baseline_is: ZENOH,
        readings: vec![reading],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bus_is_to_carry_as_much_as_zenoh_or_twice_as_much_and_to_answer_sooner() {
        let fan = |bytes| fan_beside_zenoh(bytes).readings;
        assert_eq!(fan(64), [(Reading::Messages, Some(Bound::AtLeast(1.0)))]);
        assert_eq!(fan(1 << 10), [(Reading::Messages, Some(Bound::AtLeast(2.0)))]);
        assert_eq!(fan(16 << 10), [(Reading::Messages, Some(Bound::AtLeast(2.0)))]);
        assert_eq!(asking_beside_zenoh(64).readings, [(Reading::Quantile(0.5), Some(Bound::AtMost(0.6)))]);
        assert_eq!(fan_beside_zenoh(64).name, "to subscribers at two other nodes, 64 B, beside zenoh,");
    }

    #[test]
    fn nothing_is_wanted_beside_bare_quinn_and_a_gain_of_the_table_of_targets() {
        assert_eq!(fan_case(64).readings[0].1, None);
        assert!(asking_case(64).readings.iter().all(|(_, wanted)| wanted.is_none()));
        assert_eq!(here_case(Target::Local, 2, 64).readings[0].1, Some(Bound::AtLeast(1.2)));
    }
}
