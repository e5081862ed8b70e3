//! Every rule that is broken on purpose is noticed within a bounded number of seeds.

use std::panic::catch_unwind;

use quorate_membership::agreement::Breach;
use quorate_sim::{Settings, run};

/// Seeds that a mutant may survive.
const SEEDS: u64 = 30;

fn is_noticed(breach: Breach, seed: u64) -> bool {
    let settings = Settings { breach: Some(breach), ..Settings::new(seed) };
    // A core that trips over its own assertion has noticed, too.
    let violation = catch_unwind(|| run(&settings, &settings.schedule()).violation);
    violation.is_err() || violation.is_ok_and(|violation| violation.is_some())
}

macro_rules! noticed {
    ($($name:ident: $breach:ident,)*) => {$(
        #[test]
        fn $name() {
            assert!((1..=SEEDS).any(|seed| is_noticed(Breach::$breach, seed)), "survived {SEEDS} seeds");
        }
    )*};
}

noticed! {
    a_view_installed_before_it_is_decided_is_noticed: InstallUndecided,
    a_view_closed_by_a_minority_is_noticed: CloseByMinority,
    a_vote_on_a_cut_that_nobody_holds_is_noticed: AcceptWithoutHolding,
    a_cut_at_the_minimum_is_noticed: MinimumCut,
    a_cut_that_is_not_causally_closed_is_noticed: OpenCut,
    a_message_called_uniform_too_early_is_noticed: UniformTooEarly,
    a_frame_freed_before_all_hold_it_is_noticed: FreeTooEarly,
    a_coordinator_that_forgets_what_was_accepted_is_noticed: ForgetAccepted,
    a_sealed_member_that_acknowledges_is_noticed: SealLeaks,
    a_sealed_member_that_sends_is_noticed: SealedSends,
    a_heartbeat_of_an_earlier_life_that_counts_is_noticed: StaleIncarnation,
    a_clock_that_counts_over_a_gap_is_noticed: ClockOverGap,
    an_acceptor_that_breaks_its_promise_is_noticed: BreakPromise,
    holdings_of_a_view_that_was_not_entered_are_noticed: ContributeUnactivated,
    a_newcomer_counted_before_it_holds_the_cut_is_noticed: CountLearners,
    a_member_that_serves_on_after_a_stall_is_noticed: ServeAfterStall,
}
