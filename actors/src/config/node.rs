//! What a node is told before it starts.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use quorate_membership::{NodeId, Timing};
use quorate_protocols::bus::is_name;
use serde::{Deserialize, Serialize};

use super::{GroupSettings, GroupSpec, SettingsError, spec::size};

/// The longest payload that any node takes, and the default.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 64 << 20;
/// Room for the header of a publication, which precedes its payload inside a group: two subjects of
/// 255 bytes, a stamp, and their lengths. Frames carry both together.
pub(crate) const ENVELOPE_BYTES_MAX: usize = 1 << 10;

/// A node, as it is written into a configuration file.
///
/// ```
/// use quorate::{GroupSettings, NodeConfig, NodeSettings};
///
/// let settings = NodeSettings::new(1, "demo", "127.0.0.1:7001".parse()?)
///     .seed("127.0.0.1:7002".parse()?)
///     .group(GroupSettings::new("log", [1, 2, 3]).bind("log.>"));
/// let config = NodeConfig::try_from(settings)?;
/// assert_eq!(config.groups()[0].name(), "log");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSettings {
    /// The number of the node, unique in the cluster; its certificate carries it too.
    pub node: u64,
    /// The name of the cluster; its certificates carry it too.
    pub cluster: String,
    /// Where the node accepts links.
    pub listen: SocketAddr,
    /// Where some other nodes accept links; one that runs is enough. Default: none.
    #[serde(default)]
    pub seeds: Vec<SocketAddr>,
    /// Milliseconds after which a silent node is suspected. Default 500: all other time-outs follow
    /// from it. Shorter finds failures sooner and mistakes more busy processes for dead ones. The
    /// nodes of a cluster should share it.
    #[serde(default)]
    pub detect_within_ms: Option<u64>,
    /// The groups that the cluster is declared with; the node runs those that it founds.
    #[serde(default)]
    pub groups: Vec<GroupSettings>,
    /// A folder for what has to outlive the process. Default: none; then the wall clock tells the
    /// lives of the node apart, and must not be set back while it is down.
    #[serde(default)]
    pub data: Option<PathBuf>,
    /// The largest payload in bytes. Default 64 MiB, which is also the most: frames carry no more.
    #[serde(default)]
    pub payload_bytes_max: Option<usize>,
}

/// What a node is told before it starts; made of [`NodeSettings`].
#[derive(Clone, Debug)]
pub struct NodeConfig {
    node: NodeId,
    cluster: String,
    listen: SocketAddr,
    seeds: Vec<SocketAddr>,
    timing: Timing,
    groups: Vec<Arc<GroupSpec>>,
    data: Option<PathBuf>,
    payload_bytes_max: usize,
}

impl NodeSettings {
    /// A node with defaults for everything else.
    pub fn new(node: u64, cluster: impl Into<String>, listen: SocketAddr) -> Self {
        Self {
            node,
            cluster: cluster.into(),
            listen,
            seeds: Vec::new(),
            detect_within_ms: None,
            groups: Vec::new(),
            data: None,
            payload_bytes_max: None,
        }
    }

    /// Adds where another node accepts links.
    #[must_use]
    pub fn seed(mut self, addr: SocketAddr) -> Self {
        self.seeds.push(addr);
        self
    }

    /// Declares a group.
    #[must_use]
    pub fn group(mut self, group: GroupSettings) -> Self {
        self.groups.push(group);
        self
    }

    /// Sets the time after which a silent node is suspected, in whole milliseconds.
    #[must_use]
    pub const fn detect_within(mut self, span: Duration) -> Self {
        self.detect_within_ms = Some(span.as_millis() as u64);
        self
    }
}

impl NodeConfig {
    /// The node.
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// The name of the cluster.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Where the node accepts links.
    pub const fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Where some other nodes accept links.
    pub fn seeds(&self) -> &[SocketAddr] {
        &self.seeds
    }

    /// All time-outs.
    pub const fn timing(&self) -> Timing {
        self.timing
    }

    /// The groups that the cluster is declared with.
    pub fn groups(&self) -> &[Arc<GroupSpec>] {
        &self.groups
    }

    /// The folder for what has to outlive the process.
    pub const fn data(&self) -> Option<&PathBuf> {
        self.data.as_ref()
    }

    /// The largest payload in bytes.
    pub const fn payload_bytes_max(&self) -> usize {
        self.payload_bytes_max
    }
}

impl TryFrom<NodeSettings> for NodeConfig {
    type Error = SettingsError;

    fn try_from(raw: NodeSettings) -> Result<Self, SettingsError> {
        if !is_name(&raw.cluster) {
            return Err(SettingsError::Cluster(raw.cluster));
        }
        let timing = match raw.detect_within_ms {
            None => Timing::DEFAULT,
            Some(span) => Timing::detect_within(Duration::from_millis(span))?,
        };
        let mut groups: Vec<Arc<GroupSpec>> = Vec::new();
        for settings in raw.groups {
            let spec = GroupSpec::try_from(settings)?.with_timing(timing)?;
            for other in &groups {
                check_apart(other, &spec)?;
            }
            groups.push(Arc::new(spec));
        }
        let limits = (1 << 10, PAYLOAD_BYTES_MAX);
        Ok(Self {
            node: NodeId::new(raw.node),
            cluster: raw.cluster,
            listen: raw.listen,
            seeds: raw.seeds,
            timing,
            groups,
            data: raw.data,
            payload_bytes_max: size("payload_bytes_max", raw.payload_bytes_max, PAYLOAD_BYTES_MAX, limits)?,
        })
    }
}

fn check_apart(one: &GroupSpec, other: &GroupSpec) -> Result<(), SettingsError> {
    if one.id() == other.id() {
        return Err(SettingsError::GroupTwice(other.name().to_owned()));
    }
    let pairs = one.subjects().iter().flat_map(|first| other.subjects().iter().map(move |it| (first, it)));
    if let Some((first, second)) = pairs.into_iter().find(|(first, second)| first.overlaps(second)) {
        return Err(SettingsError::SubjectsOverlap { first: first.to_string(), second: second.to_string() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};
    use quorate_protocols::Order;

    use super::*;

    fn settings() -> NodeSettings {
        NodeSettings::new(1, "demo", "127.0.0.1:7001".parse().unwrap())
    }

    #[test]
    fn the_longest_payload_fits_into_a_frame_with_the_longest_envelope() {
        let frame = quorate_transport::FrameConfig::default().payload_bytes_max();
        assert!(PAYLOAD_BYTES_MAX + ENVELOPE_BYTES_MAX <= frame);
    }

    #[test]
    fn what_cannot_work_is_refused_by_the_name_of_its_field() {
        let group = |settings: GroupSettings| {
            let mut node = self::settings();
            node.groups.push(GroupSettings::new("first", [1]).bind("a.>"));
            node.groups.push(settings);
            node
        };
        for (settings, field) in [
            (NodeSettings { cluster: "two words".into(), ..settings() }, "cluster: "),
            (NodeSettings { detect_within_ms: Some(1), ..settings() }, "detect_within_ms: "),
            (NodeSettings { payload_bytes_max: Some(1), ..settings() }, "payload_bytes_max: "),
            (NodeSettings { payload_bytes_max: Some((64 << 20) + 1), ..settings() }, "payload_bytes_max: "),
            (group(GroupSettings::new("first", [1])), "groups.name: "),
            (group(GroupSettings::new("", [1])), "groups.name: "),
            (group(GroupSettings::new("g", [])), "groups.founders: "),
            (group(GroupSettings::new("g", [1, 1])), "groups.founders: "),
            (
                group(GroupSettings { witnesses: vec![1], ..GroupSettings::new("g", [1]) }),
                "groups.witnesses: ",
            ),
            (
                group(GroupSettings { order: Some("any".into()), ..GroupSettings::new("g", [1]) }),
                "groups.order: ",
            ),
            (
                group(GroupSettings { slow: Some("kill".into()), ..GroupSettings::new("g", [1]) }),
                "groups.slow: ",
            ),
            (
                group(GroupSettings { lag_for_ms: Some(1), ..GroupSettings::new("g", [1]) }),
                "groups.lag_for_ms: ",
            ),
            (group(GroupSettings::new("g", [1]).lag_bytes(1)), "groups.lag_bytes: "),
            (group(GroupSettings::new("g", [1]).relay(1)), "groups.relay_bytes: "),
            (group(GroupSettings::new("g", [1]).bind("a..b")), "groups.subjects: "),
            (group(GroupSettings::new("g", [1]).bind("a.b")), "groups.subjects: "),
            (group(GroupSettings::new("g", [1]).bind("b").order(Order::Causal)), "groups.subjects: "),
            (group(GroupSettings::new("g", [1]).bind("b").order(Order::Total)), "groups.subjects: "),
            (group(GroupSettings::new("g", [1]).bind("b").with_state()), "groups.state: "),
            (group(GroupSettings::new("g", [1]).history(1 << 20).with_state()), "groups.history_bytes: "),
            (
                group(GroupSettings::new("g", [1]).history(1 << 20).order(Order::Fifo)),
                "groups.history_bytes: ",
            ),
            (group(GroupSettings::new("g", [1]).history(1 << 20).partitionable()), "groups.history_bytes: "),
            (group(GroupSettings::new("g", [1]).history(1)), "groups.history_bytes: "),
            (
                group(GroupSettings { window_bytes: Some(1), ..GroupSettings::new("g", [1]) }),
                "groups.window_bytes: ",
            ),
        ] {
            let refused = NodeConfig::try_from(settings).unwrap_err().to_string();
            assert!(refused.starts_with(field), "{refused} does not name {field}");
        }
    }

    fn numbers() -> impl Strategy<Value = Option<usize>> {
        prop::option::weighted(
            0.3,
            select(&[0, 1, 1 << 10, 4096, 1 << 20, 64 << 20, 1 << 30, 1 << 40, usize::MAX][..]),
        )
    }

    fn groups() -> impl Strategy<Value = GroupSettings> {
        let word = |words: &'static [&'static str]| {
            prop::option::weighted(0.3, select(words).prop_map(String::from))
        };
        let nodes = |most| prop::collection::vec(0..6_u64, 0..most);
        let subjects = prop::collection::vec("[ab*>]([.][ab*>]){0,2}|.{0,3}", 0..3);
        (
            prop_oneof![4 => "[a-c]", 1 => any::<String>()],
            (nodes(5), nodes(2), subjects),
            word(&["fifo", "causal", "total", "uniform", "", "best"]),
            word(&["block", "demote", "evict", "", "kill"]),
            (numbers(), numbers(), numbers(), numbers(), numbers(), numbers()),
            (any::<bool>(), any::<bool>()),
        )
            .prop_map(
                |(name, (founders, witnesses, subjects), order, slow, sizes, (state, partitionable))| {
                    let (window_bytes, lag_for, lag_bytes, relay_bytes, history_bytes, state_bytes_max) =
                        sizes;
                    GroupSettings {
                        name,
                        founders,
                        witnesses,
                        order,
                        subjects,
                        window_bytes,
                        slow,
                        lag_for_ms: lag_for.map(|span| span as u64),
                        lag_bytes,
                        relay_bytes,
                        history_bytes,
                        state,
                        state_bytes_max,
                        partitionable,
                    }
                },
            )
    }

    proptest! {
        #[test]
        fn any_settings_make_a_node_whose_groups_lie_apart_or_are_refused_by_the_name_of_a_field(
            (node, detect) in (any::<u64>(), numbers()), payload in numbers(),
            groups in prop::collection::vec(groups(), 0..4),
        ) {
            let raw = NodeSettings {
                node,
                groups,
                detect_within_ms: detect.map(|span| span as u64),
                payload_bytes_max: payload,
                ..settings()
            };
            match NodeConfig::try_from(raw.clone()) {
                Ok(config) => {
                    prop_assert_eq!(config.groups().len(), raw.groups.len());
                    for (place, (spec, said)) in config.groups().iter().zip(&raw.groups).enumerate() {
                        prop_assert_eq!(spec.name(), &said.name);
                        prop_assert!(spec.config().lag_for > config.timing().detect());
                        prop_assert!(said.founders.iter().all(|node| spec.declares(NodeId::new(*node))));
                        for other in &config.groups()[..place] {
                            prop_assert_eq!(check_apart(other, spec), Ok(()));
                        }
                    }
                }
                Err(refused) => {
                    let text = refused.to_string();
                    let field = text.split(": ").next().unwrap_or_default();
                    let known = ["detect_within_ms", "payload_bytes_max"].contains(&field);
                    prop_assert!(known || field.starts_with("groups."), "{text}");
                }
            }
        }
    }
}
