//! Rules of the bus that are broken on purpose, so that the simulator can be shown to notice.

use serde::Deserialize;

/// A rule to break. Never set outside tests of the tests.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub enum BusBreach {
    /// What a peer wants is kept after its link is gone.
    StaleInterest,
    /// What a peer carries counts after its link is gone.
    StaleBinding,
    /// A peer that is linked anew is not told what is wanted here.
    SilentLink,
    /// Of a queue group one subscriber gets each message twice.
    QueueTwice,
    /// A plain subscriber gets each message twice.
    PlainTwice,
    /// A subscription that was ended still gets messages.
    GhostSubscription,
    /// A request goes on after its first answer.
    EndlessRequest,
    /// Positions do not begin anew with each view.
    PositionsGoOn,
    /// What a publisher sends again passes again.
    RepetitionPasses,
    /// A publication passes though one before it is missing.
    GapPasses,
    /// What a node publishes when it has joined its group anew bears the name of its former stay.
    SameStay,
    /// A newcomer believes the marks that anybody tells.
    BelievesAnybody,
    /// Readers are not told of what is no longer kept.
    SilentlyDropped,
    /// A reader that comes from another node is not told that what it lacks is missing here.
    PretendsToKnow,
}
