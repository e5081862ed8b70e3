//! Why settings are no configuration.

use quorate_membership::BadTiming;
use quorate_protocols::{SpecError, bus::SubjectError};

/// Why settings cannot be used. Each names the field and what to write instead.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The detection time cannot be kept.
    #[error("detect_within_ms: {0}")]
    Timing(#[from] BadTiming),
    /// The cluster has no usable name.
    #[error("cluster: `{0}` is no name: write 1 to 64 letters, digits, dots, dashes or underscores")]
    Cluster(String),
    /// A group has no usable name.
    #[error("groups.name: `{0}` is no name: write 1 to 64 letters, digits, dots, dashes or underscores")]
    GroupName(String),
    /// Two groups have one name.
    #[error("groups.name: `{0}` is declared twice: keep one of them")]
    GroupTwice(String),
    /// A group that nobody founds.
    #[error("groups.founders: group `{0}` has none: name the nodes that found it")]
    NoFounders(String),
    /// A node that is both.
    #[error("groups.witnesses: node {node} is a founder of group `{group}` too: it can be only one of them")]
    WitnessAndFounder {
        /// The group.
        group: String,
        /// The node.
        node: u64,
    },
    /// A node that is named twice.
    #[error("groups.founders: node {node} is named twice in group `{group}`: a majority counts each once")]
    NodeTwice {
        /// The group.
        group: String,
        /// The node.
        node: u64,
    },
    /// No order.
    #[error("groups.order: group `{group}`: {why}")]
    Order {
        /// The group.
        group: String,
        /// What is wrong.
        why: String,
    },
    /// No policy.
    #[error("groups.slow: group `{group}`: `{what}` is no policy: choose block, demote or evict")]
    Slow {
        /// The group.
        group: String,
        /// What it says.
        what: String,
    },
    /// A group that takes busy members for slow ones.
    #[error(
        "groups.lag_for_ms: group `{group}`: {lag_ms} ms must exceed detect_within_ms, which is {detect_ms}"
    )]
    LagTooShort {
        /// The group.
        group: String,
        /// What it says.
        lag_ms: u64,
        /// The node's detection time.
        detect_ms: u64,
    },
    /// Short messages that go from member to member.
    #[error(
        "groups.relay_bytes: group `{group}`: messages of {bytes} bytes arrive sooner directly: choose at least \
         {min}, or 0 for never"
    )]
    Relay {
        /// The group.
        group: String,
        /// What it says.
        bytes: usize,
        /// The least, beside 0.
        min: usize,
    },
    /// No pattern.
    #[error("groups.subjects: group `{group}`: {why}")]
    Subjects {
        /// The group.
        group: String,
        /// What is wrong.
        why: SubjectError,
    },
    /// Subjects bound to a group in which a member may deliver what the others never will: a reader
    /// that goes on elsewhere at its position would then miss a message.
    #[error(
        "groups.subjects: group `{group}` delivers in {order} order, in which a member that is removed may \
         have delivered what the others never will: bind subjects to a group in uniform order"
    )]
    SubjectsNotUniform {
        /// The group.
        group: String,
        /// Its order.
        order: String,
    },
    /// A history of a group in which positions would not be the same at all members.
    #[error(
        "groups.history_bytes: group `{0}` is in another order than uniform, has state or is partitionable: a \
         reader could not go on at another member, so leave it out"
    )]
    History(String),
    /// State beside bound subjects, of which a newcomer may see a message twice that others drop.
    #[error("groups.state: group `{0}` has bound subjects: keep the state in a group of its own")]
    StateWithSubjects(String),
    /// Sides that would publish under one subject without knowing of each other.
    #[error(
        "groups.subjects: group `{0}` is partitionable: bind subjects to a group that has one view at a time"
    )]
    SidesWithSubjects(String),
    /// What a partitionable group cannot have.
    #[error("groups.partitionable: group `{group}`: {why}")]
    Sides {
        /// The group.
        group: String,
        /// What is wrong.
        why: SpecError,
    },
    /// Subjects that are bound to two groups.
    #[error("groups.subjects: `{first}` and `{second}` select common subjects but belong to two groups")]
    SubjectsOverlap {
        /// One pattern.
        first: String,
        /// The other.
        second: String,
    },
    /// A client without anywhere to go.
    #[error("endpoints: there are none: name the address of at least one node")]
    NoEndpoints,
    /// A size out of range.
    #[error("{field}: {bytes} bytes is outside {min} to {max}")]
    Size {
        /// The field.
        field: &'static str,
        /// What it says.
        bytes: usize,
        /// The least.
        min: usize,
        /// The most.
        max: usize,
    },
}
