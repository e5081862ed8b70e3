//! Rules that can be broken on purpose.

use serde::Deserialize;

/// A rule of the view change that is broken on purpose, so that the simulator can be shown to
/// notice. Never set outside tests of the tests.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[non_exhaustive]
pub enum Breach {
    /// A member acts on a decree that it has only accepted.
    InstallUndecided,
    /// A minority of answers closes a view.
    CloseByMinority,
    /// A decree is put to the vote though nobody but the coordinator holds its cut.
    AcceptWithoutHolding,
    /// The cut is the minimum of what the answers hold.
    MinimumCut,
    /// The cut is not closed under causality.
    OpenCut,
    /// A message is called uniform as soon as its sender holds it.
    UniformTooEarly,
    /// Frames are freed once a majority has them.
    FreeTooEarly,
    /// A new coordinator ignores what was accepted before.
    ForgetAccepted,
    /// A sealed member goes on receiving, acknowledging and delivering.
    SealLeaks,
    /// A sealed member goes on sending.
    SealedSends,
    /// Heartbeats, frames and acknowledgements of an earlier life of a node are accepted.
    StaleIncarnation,
    /// The clock of a sender counts although frames before it are missing.
    ClockOverGap,
    /// Of messages with the same time stamp each member delivers its own first.
    TiesToOneself,
    /// An acceptor forgets what it has promised.
    BreakPromise,
    /// A member reports what it holds of an earlier view as holdings of one it has not entered.
    ContributeUnactivated,
    /// A newcomer counts as a holder of the cut before it has said so.
    CountLearners,
    /// A learner calls itself ready before it has its state.
    ReadyTooEarly,
    /// A member enters the next view without what it has not delivered yet of the one before.
    EnterWithoutCut,
    /// A coordinator never gives up an attempt that got stuck.
    NeverRetry,
    /// The transitional set has everybody in the new view, wherever they come from.
    TransitionalTooLarge,
    /// A member that stood still goes on without asking whether its view is still current.
    ServeAfterStall,
    /// A member that was alone serves the next view that it enters without asking whether that is still current.
    EnterUnasked,
    /// A view is announced before the rest of the one before is delivered.
    ViewOvertakes,
    /// A member leaves out of a view that it enters whom it does not hear.
    OwnView,
    /// A message that comes when its view is closed is delivered nevertheless.
    LateData,
    /// A member sends nothing in a view before it has received a message in it: all wait for all.
    WaitForOthers,
    /// What is not uniform yet when a view is closed is called lost, though it is under the cut.
    LostTooEarly,
    /// A witness counts as one of those who hold a message.
    WitnessHolds,
    /// What a member said in another view of whom it had lost counts.
    OldOpinions,
    /// A founder does not wait for the other declared ones.
    FoundAtOnce,
    /// A newcomer is admitted though some member does not hear it.
    AdmitUnheard,
    /// Whoever is in a new view and has not been heard yet counts as lost at once.
    UnheardIsLost,
    /// Donors keep a state for newcomers that are gone.
    KeepSnapshots,
    /// A learner forgets the messages that came while its state was on the way.
    ForgetHeldBack,
    /// The members of the next view decide on it instead of those of the one that it closes.
    NextViewDecides,
    /// Whoever does not hear the members before it coordinates, though others hear them.
    Duel,
    /// A life that knows nothing of a view answers for the former one of its node.
    AnyLife,
    /// Who wants in says so in its first moments only, and who wants out once, to the senior member
    /// alone.
    AnnounceOnce,
    /// A peer whose echo is old is accused without having been asked.
    OldEchoAccuses,
    /// What comes from one member alone is delivered twice.
    LetterTwice,
    /// What was sent to one member and nobody can tell of any more is called lost.
    UnknownIsLost,
}
