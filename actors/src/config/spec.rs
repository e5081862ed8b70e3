//! What all members of a group have to agree on.

use std::{collections::BTreeSet, time::Duration};

use quorate_membership::{GroupId, NodeId, Timing};
use quorate_protocols::{
    GroupConfig, Order, SlowPolicy,
    bus::{Pattern, group_id, is_name},
};
use serde::{Deserialize, Serialize};

use super::{ENVELOPE_BYTES_MAX, PAYLOAD_BYTES_MAX, SettingsError};

const WINDOW_BYTES: usize = 8 << 20;
const HISTORY_BYTES: usize = 64 << 20;
/// With less, messages of everyday length would take the long way, which only long ones gain from.
const RELAY_BYTES_MIN: usize = 64 << 10;

/// A group, as it is written into a configuration file.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GroupSettings {
    /// Its name: 1 to 64 letters, digits, dots, dashes or underscores.
    pub name: String,
    /// The nodes that found it; a majority of them and of the witnesses is needed once.
    pub founders: Vec<u64>,
    /// Founding nodes that vote on views and hold no data. Default: none.
    #[serde(default)]
    pub witnesses: Vec<u64>,
    /// `fifo`, `causal`, `total` or `uniform`. Default: `uniform`.
    #[serde(default)]
    pub order: Option<String>,
    /// Patterns of the subjects that are published through the group, which needs uniform
    /// order. Default: none. Nodes that are not told of the group hear of them from those that carry it, and
    /// forget them when none of those is in reach, so configure it on all nodes that publish to them. Of two
    /// groups with common subjects the one with the lower name keeps its own.
    #[serde(default)]
    pub subjects: Vec<String>,
    /// Bytes of one member's messages that others may still lack. Default 8 MiB: more hides longer
    /// round trips and costs memory at every member.
    #[serde(default)]
    pub window_bytes: Option<usize>,
    /// What happens to a member that holds the others back: `block` (they wait for it), `demote` (it
    /// becomes a learner until it has caught up) or `evict` (it is removed and comes back later).
    /// Default: `block`.
    #[serde(default)]
    pub slow: Option<String>,
    /// Milliseconds for which a member may lag before `slow` applies. Default 5000, or twice the node's
    /// `detect_within_ms` if that is longer; it must exceed that.
    #[serde(default)]
    pub lag_for_ms: Option<u64>,
    /// A member lags while it is more than so many bytes behind what a majority of the others has, or
    /// has not received after `lag_for_ms` what they had. Default 512 KiB: half of what one member has
    /// on the way at once. Above what all members together have on the way, and in a view of two, only the
    /// time counts.
    #[serde(default)]
    pub lag_bytes: Option<usize>,
    /// This member's messages of so many bytes go from member to member, each of which hands on every part before
    /// it has the rest, where there are three receivers or more: each byte leaves this node once. Default 1 MiB,
    /// since shorter ones arrive sooner directly; at least 64 KiB, or 0: none do.
    #[serde(default)]
    pub relay_bytes: Option<usize>,
    /// Bytes of messages that each member keeps for those who follow the group or subscribe to its
    /// subjects, and come back. Default 64 MiB if subjects are bound to the group, else none, and nobody
    /// can [follow](crate::Bus::follow) it. Who stays away for longer is told that it missed something.
    /// Only for groups in uniform order without state of an application.
    #[serde(default)]
    pub history_bytes: Option<usize>,
    /// Whether the application keeps state that newcomers get from the members. Nodes then take part
    /// only through [`Node::join_with_state`](crate::Node::join_with_state). Default: no; newcomers
    /// begin with the messages of their first view.
    #[serde(default)]
    pub state: bool,
    /// The longest state in bytes. Default 1 GiB; a newcomer and those who give it hold it in memory.
    #[serde(default)]
    pub state_bytes_max: Option<usize>,
    /// Whether each side of a partition goes on with a view of its own, and sides merge when they
    /// hear each other again. Default: no; a majority goes on. Every member then begins alone, and
    /// is told what happens by [`Event::Transitional`](quorate_protocols::Event::Transitional) and
    /// [`Event::Merged`](quorate_protocols::Event::Merged). Not with witnesses, subjects, state or a
    /// policy for slow members.
    #[serde(default)]
    pub partitionable: bool,
}

/// What a group is, made of [`GroupSettings`]. Members that differ in order, founders, witnesses, bound
/// subjects, state or partitions do not get into one group, and both sides are told what differs by
/// [`Event::Stranger`](quorate_protocols::Event::Stranger).
#[derive(Clone, Debug)]
pub struct GroupSpec {
    name: String,
    config: GroupConfig,
    subjects: Vec<Pattern>,
    history_bytes: Option<usize>,
    /// The time for which a member may lag, if it was given.
    lag_for: Option<Duration>,
}

impl GroupSettings {
    /// A group in uniform order with these founders, and defaults for the rest.
    pub fn new(name: impl Into<String>, founders: impl IntoIterator<Item = u64>) -> Self {
        Self {
            name: name.into(),
            founders: founders.into_iter().collect(),
            witnesses: Vec::new(),
            order: None,
            subjects: Vec::new(),
            window_bytes: None,
            slow: None,
            lag_for_ms: None,
            lag_bytes: None,
            relay_bytes: None,
            history_bytes: None,
            state: false,
            state_bytes_max: None,
            partitionable: false,
        }
    }

    /// Has each side of a partition go on, and sides merge.
    #[must_use]
    pub const fn partitionable(mut self) -> Self {
        self.partitionable = true;
        self
    }

    /// Has newcomers get the application's state.
    #[must_use]
    pub const fn with_state(mut self) -> Self {
        self.state = true;
        self
    }

    /// Binds subjects to the group, which must be in uniform order.
    #[must_use]
    pub fn bind(mut self, pattern: impl Into<String>) -> Self {
        self.subjects.push(pattern.into());
        self
    }

    /// Adds founding nodes that vote on views and hold no data.
    #[must_use]
    pub fn witnesses(mut self, nodes: impl IntoIterator<Item = u64>) -> Self {
        self.witnesses.extend(nodes);
        self
    }

    /// Sets what happens to a member that holds the others back, and after what time, in whole
    /// milliseconds.
    #[must_use]
    pub fn slow(mut self, policy: SlowPolicy, lag_for: Duration) -> Self {
        self.slow = Some(policy.to_string());
        self.lag_for_ms = Some(lag_for.as_millis() as u64);
        self
    }

    /// Sets by how many bytes a member may be behind the others before it lags.
    #[must_use]
    pub const fn lag_bytes(mut self, bytes: usize) -> Self {
        self.lag_bytes = Some(bytes);
        self
    }

    /// Sets from how many bytes on messages go from member to member: at least 64 KiB, or 0: none do.
    #[must_use]
    pub const fn relay(mut self, bytes: usize) -> Self {
        self.relay_bytes = Some(bytes);
        self
    }

    /// Has each member keep so many bytes of messages for those who follow the group and come back.
    #[must_use]
    pub const fn history(mut self, bytes: usize) -> Self {
        self.history_bytes = Some(bytes);
        self
    }

    /// Sets how many bytes of one member's messages others may still lack.
    #[must_use]
    pub const fn window(mut self, bytes: usize) -> Self {
        self.window_bytes = Some(bytes);
        self
    }

    /// Sets the order of delivery.
    #[must_use]
    pub fn order(mut self, order: Order) -> Self {
        self.order = Some(order.to_string());
        self
    }
}

impl GroupSpec {
    /// The group's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The group's id, made of its name.
    pub fn id(&self) -> GroupId {
        self.config.group
    }

    /// The patterns of the subjects bound to it.
    pub fn subjects(&self) -> &[Pattern] {
        &self.subjects
    }

    /// The settings of its core.
    pub const fn config(&self) -> &GroupConfig {
        &self.config
    }

    /// Bytes of messages that are kept for those who come back, if any are.
    pub const fn history_bytes(&self) -> Option<usize> {
        self.history_bytes
    }

    /// Whether newcomers get the application's state.
    pub const fn has_state(&self) -> bool {
        self.config.state_transfer
    }

    /// Whether the node votes on the group's views and holds nothing of it.
    pub fn is_witness(&self, node: NodeId) -> bool {
        self.config.witnesses.contains(&node)
    }

    /// Whether the node takes part only with an application that keeps the state.
    pub(crate) fn needs_keeper(&self, node: NodeId) -> bool {
        self.has_state() && !self.is_witness(node)
    }

    /// Whether the node founds the group, as a data member or as a witness.
    pub fn declares(&self, node: NodeId) -> bool {
        self.declared().any(|declared| declared == node)
    }

    /// The nodes that found the group.
    pub fn declared(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.config.founders.iter().chain(&self.config.witnesses).copied()
    }

    /// Whether members with these two specs may be in one group.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        let of = |spec: &Self| (spec.config.group, spec.config.genesis());
        of(self) == of(other)
    }

    /// The same group with the time-outs of a node.
    ///
    /// # Errors
    /// [`SettingsError::LagTooShort`] if busy members would be taken for slow ones.
    pub fn with_timing(mut self, timing: Timing) -> Result<Self, SettingsError> {
        let detect = timing.detect();
        let lag = self.lag_for.unwrap_or_else(|| self.config.lag_for.max(2 * detect));
        if lag <= detect {
            let (lag_ms, detect_ms) = (lag.as_millis() as u64, detect.as_millis() as u64);
            return Err(SettingsError::LagTooShort { group: self.name, lag_ms, detect_ms });
        }
        (self.config.timing, self.config.lag_for) = (timing, lag);
        Ok(self)
    }
}

/// Names what a member must know to read the payloads of others: which subjects are published here.
fn digest(subjects: &[Pattern]) -> u64 {
    let mut names: Vec<&str> = subjects.iter().map(Pattern::as_str).collect();
    names.sort_unstable();
    if names.is_empty() { 0 } else { xxhash_rust::xxh3::xxh3_64(names.join(" ").as_bytes()) }
}

pub(super) fn size(
    field: &'static str,
    given: Option<usize>,
    default: usize,
    (min, max): (usize, usize),
) -> Result<usize, SettingsError> {
    let bytes = given.unwrap_or(default);
    if (min..=max).contains(&bytes) { Ok(bytes) } else { Err(SettingsError::Size { field, bytes, min, max }) }
}

impl TryFrom<GroupSettings> for GroupSpec {
    type Error = SettingsError;

    fn try_from(raw: GroupSettings) -> Result<Self, SettingsError> {
        let group = raw.name;
        if !is_name(&group) {
            return Err(SettingsError::GroupName(group));
        }
        if raw.founders.is_empty() {
            return Err(SettingsError::NoFounders(group));
        }
        if let Some(node) = raw.witnesses.iter().copied().find(|node| raw.founders.contains(node)) {
            return Err(SettingsError::WitnessAndFounder { group, node });
        }
        let mut seen = BTreeSet::new();
        if let Some(node) = raw.founders.iter().chain(&raw.witnesses).copied().find(|n| !seen.insert(*n)) {
            return Err(SettingsError::NodeTwice { group, node });
        }
        let order = raw.order.as_deref().unwrap_or("uniform").parse::<Order>();
        let order =
            order.map_err(|why| SettingsError::Order { group: group.clone(), why: why.to_string() })?;
        let subjects = raw.subjects.iter().map(|text| text.parse::<Pattern>()).collect::<Result<Vec<_>, _>>();
        let subjects = subjects.map_err(|why| SettingsError::Subjects { group: group.clone(), why })?;
        if !subjects.is_empty() && order != Order::Uniform {
            return Err(SettingsError::SubjectsNotUniform { group, order: order.to_string() });
        }
        let mut config =
            GroupConfig::new(group_id(&group), raw.founders.into_iter().map(NodeId::new).collect());
        config.witnesses = raw.witnesses.into_iter().map(NodeId::new).collect();
        config.order = order;
        config.message_bytes_max = PAYLOAD_BYTES_MAX + ENVELOPE_BYTES_MAX;
        config.window_bytes =
            size("groups.window_bytes", raw.window_bytes, WINDOW_BYTES, (64 << 10, 1 << 30))?;
        config.slow = match raw.slow {
            None => SlowPolicy::Block,
            Some(what) => what.parse().map_err(|_| SettingsError::Slow { group: group.clone(), what })?,
        };
        let lag_for = raw.lag_for_ms.map(Duration::from_millis);
        config.lag_for = lag_for.unwrap_or(config.lag_for);
        config.lag_bytes_max =
            size("groups.lag_bytes", raw.lag_bytes, config.lag_bytes_max, (4 << 10, 1 << 30))?;
        if let Some(bytes) = raw.relay_bytes {
            if (1..RELAY_BYTES_MIN).contains(&bytes) {
                return Err(SettingsError::Relay { group, bytes, min: RELAY_BYTES_MIN });
            }
            config.relay_bytes = (bytes > 0).then_some(bytes);
        }
        if raw.state && !subjects.is_empty() {
            return Err(SettingsError::StateWithSubjects(group));
        }
        config.application = digest(&subjects);
        config.state_transfer = raw.state;
        config.partitionable = raw.partitionable;
        if raw.partitionable && !subjects.is_empty() {
            return Err(SettingsError::SidesWithSubjects(group));
        }
        config.check().map_err(|why| SettingsError::Sides { group: group.clone(), why })?;
        config.snapshot_bytes_max = size(
            "groups.state_bytes_max",
            raw.state_bytes_max,
            config.snapshot_bytes_max,
            (1 << 10, 64 << 30),
        )?;
        let keeps_history = raw.history_bytes.is_some() || !subjects.is_empty();
        if keeps_history && (order != Order::Uniform || raw.state || raw.partitionable) {
            return Err(SettingsError::History(group));
        }
        let history_bytes =
            size("groups.history_bytes", raw.history_bytes, HISTORY_BYTES, (64 << 10, 16 << 30))?;
        let history_bytes = keeps_history.then_some(history_bytes);
        Ok(Self { name: group, config, subjects, history_bytes, lag_for })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_by_type_is_what_the_group_gets() {
        for policy in [SlowPolicy::Block, SlowPolicy::Demote, SlowPolicy::Evict] {
            let settings = GroupSettings::new("g", [1, 2]).witnesses([3]).window(1 << 20);
            let settings = settings.slow(policy, Duration::from_secs(7)).lag_bytes(5 << 10).relay(0);
            let settings = settings.order(Order::Causal);
            let spec = GroupSpec::try_from(settings).unwrap();
            let config = spec.config();
            assert_eq!((config.slow, config.lag_for), (policy, Duration::from_secs(7)));
            assert_eq!((config.lag_bytes_max, config.relay_bytes), (5 << 10, None));
            assert_eq!((config.window_bytes, config.order), (1 << 20, Order::Causal));
            assert!(spec.is_witness(NodeId::new(3)));
        }
    }

    #[test]
    fn long_messages_go_from_member_to_member_and_short_ones_never_do() {
        let relay = |bytes| {
            let spec = GroupSpec::try_from(GroupSettings::new("g", [1, 2]).relay(bytes));
            spec.map(|spec| spec.config().relay_bytes)
        };
        assert_eq!(relay(0), Ok(None));
        assert_eq!(relay(64 << 10), Ok(Some(64 << 10)));
        assert_eq!(relay(usize::MAX), Ok(Some(usize::MAX)));
        for bytes in [1, (64 << 10) - 1] {
            let refused = SettingsError::Relay { group: "g".into(), bytes, min: 64 << 10 };
            assert_eq!(relay(bytes), Err(refused));
        }
    }

    #[test]
    fn the_time_for_which_a_member_may_lag_follows_the_detection_time_unless_it_is_given() {
        let lag = |settings: GroupSettings, detect_ms| {
            let timing = Timing::detect_within(Duration::from_millis(detect_ms)).unwrap();
            let spec = GroupSpec::try_from(settings).unwrap().with_timing(timing);
            spec.map(|spec| spec.config().lag_for.as_millis())
        };
        let group = || GroupSettings::new("g", [1]);
        let given = |lag_ms| GroupSettings { lag_for_ms: Some(lag_ms), ..group() };
        assert_eq!(lag(group(), 500), Ok(5000));
        assert_eq!(lag(group(), 20_000), Ok(40_000));
        assert_eq!(lag(given(501), 500), Ok(501));
        let error = lag(given(500), 500).unwrap_err();
        assert_eq!(error, SettingsError::LagTooShort { group: "g".into(), lag_ms: 500, detect_ms: 500 });
    }
}
