//! `node.toml`: what one node of a cluster is told.

mod source;

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use quorate::{
    GroupSettings, GroupSpec, NodeConfig, NodeSettings, SettingsError,
    membership::{NodeId, Timing},
    transport::{ConnectionConfig, Identity},
};

/// What a configuration may look like.
const EXAMPLE: &str = r#"listen = "127.0.0.1:4610"      # where other nodes and clients reach this one
credentials = "certs/n1"       # a folder that `quorate cert issue` made
seeds = ["127.0.0.1:4611"]     # some other nodes; the rest is found through them
data = "data/n1"               # what must outlive the process
metrics = "127.0.0.1:9100"     # a page for browsers, and figures for Prometheus at /metrics
detect_within = "500ms"        # so long a silence is suspicious; derives all time-outs
lane_window_bytes = 50000000   # so much of a group may be on a link: more for long and fast ways
lanes_max = 1024               # so many groups may use a link, and the bus and clients with them
congestion = "cubic"           # or new-reno, which leave more to others, or bbr, which fills long ways

[[groups]]                     # a group that this node founds or joins at once
name = "log"
order = "uniform"              # fifo, causal, total or uniform
founders = ["n1", "n2", "n3"]  # the same list at every node
subjects = ["log.>"]           # subjects whose messages come in the group's order
slow = "demote"                # a member that lags: block (wait for it), demote to learner or evict
lag_for = "5s"                 # for so long it may lag first
lag_bytes = 524288             # it lags when it is so many bytes behind, or does not catch up
relay_bytes = 1048576          # so long messages, 65536 or more, go from member to member; 0: none do
"#;

/// What follows in the help text of a command: an example, and a configuration.
pub(crate) fn help(example: &str) -> String {
    let mut text = format!("Example: {example}\n\nA configuration:");
    for line in EXAMPLE.lines() {
        text.push_str("\n  ");
        text.push_str(line);
    }
    text
}

/// The configuration of a node, as far as it can be checked without its certificate. Paths are
/// relative to the file's folder.
#[derive(Clone, Debug)]
pub(crate) struct NodeFile {
    /// Where it came from.
    pub(crate) path: PathBuf,
    /// Where the node accepts links.
    pub(crate) listen: SocketAddr,
    /// Folder of the node's credentials.
    pub(crate) credentials: PathBuf,
    /// Addresses at which to find the cluster.
    pub(crate) seeds: Vec<SocketAddr>,
    /// Folder for what must outlive the process, if any.
    pub(crate) data: Option<PathBuf>,
    /// Where to serve the figures of the process, if anywhere.
    pub(crate) metrics: Option<SocketAddr>,
    /// All spans of waiting.
    pub(crate) timing: Timing,
    /// Groups that the cluster is declared with.
    pub(crate) groups: Vec<FileGroup>,
    payload_bytes_max: Option<usize>,
    /// How its links are made.
    pub(crate) connection: ConnectionConfig,
}

/// A group in a configuration.
#[derive(Clone, Debug)]
pub(crate) struct FileGroup {
    /// Where it is declared, counted from one.
    line: usize,
    settings: GroupSettings,
    /// What follows from the settings and the node's timing.
    pub(crate) spec: GroupSpec,
}

impl FileGroup {
    /// Whether this node would have to keep the group's state, for which it has no application.
    fn lacks_application(&self, node: NodeId) -> bool {
        self.spec.has_state() && self.spec.declares(node) && !self.spec.is_witness(node)
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ConfigError {
    /// There is no such file.
    #[error("{} does not exist: write one (`quorate doctor --help` shows an example), or name another with --config", .0.display())]
    Missing(PathBuf),
    /// The file cannot be read.
    #[error("cannot read {}, name another file with --config", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// Something in it is wrong.
    #[error("{}:{line}: {what}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The line, counted from one.
        line: usize,
        /// What is wrong, and what to write.
        what: String,
    },
    /// Its parts do not fit each other.
    #[error("{}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        source: SettingsError,
    },
}

impl NodeFile {
    /// Reads and checks a configuration.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ConfigError::Missing(path.to_owned()),
            _ => ConfigError::Unreadable(path.to_owned(), error),
        })?;
        Self::parse(&text, path)
    }

    /// Checks the text of a configuration that came from `path`.
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        source::parse(text, path)
    }

    /// Whether the settings fit each other, whoever the node is.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.with_name(NodeId::new(0), "any").map(drop)
    }

    /// The node's configuration, now that its certificate says who it is.
    pub(crate) fn config(&self, identity: &Identity) -> Result<NodeConfig, ConfigError> {
        if let Some(group) = self.groups.iter().find(|group| group.lacks_application(identity.node)) {
            let (name, node) = (group.spec.name(), identity.node);
            let what = format!(
                "group `{name}` has the state of an application, and `quorate node` runs none: run {node} in a \
                 program that calls `Node::join_with_state`, list it under `witnesses`, or leave out `state`"
            );
            return Err(ConfigError::Wrong { path: self.path.clone(), line: group.line, what });
        }
        self.with_name(identity.node, identity.cluster.as_str())
    }

    fn with_name(&self, node: NodeId, cluster: &str) -> Result<NodeConfig, ConfigError> {
        let mut settings = NodeSettings::new(node.get(), cluster, self.listen);
        settings.seeds.clone_from(&self.seeds);
        settings.detect_within_ms = u64::try_from(self.timing.detect().as_millis()).ok();
        settings.groups = self.groups.iter().map(|group| group.settings.clone()).collect();
        settings.data.clone_from(&self.data);
        settings.payload_bytes_max = self.payload_bytes_max;
        NodeConfig::try_from(settings)
            .map_err(|source| ConfigError::Unfit { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::{prelude::*, sample::Index};
    use quorate::{protocols::SlowPolicy, transport::Congestion};

    use super::*;
    use crate::failure::one_line;

    fn parse(text: &str) -> Result<NodeFile, String> {
        NodeFile::parse(text, Path::new("etc/node.toml")).map_err(|error| error.to_string())
    }

    fn error(text: &str) -> String {
        parse(text).expect_err("the text is wrong")
    }

    const LEAST: &str = "listen = \"127.0.0.1:4610\"\ncredentials = \"c\"\n";

    #[test]
    fn the_example_is_right() {
        let file = parse(EXAMPLE).unwrap();
        assert_eq!(file.credentials, Path::new("etc/certs/n1"));
        assert_eq!(file.timing, Timing::DEFAULT);
        assert_eq!((file.connection.lane_window_bytes(), file.connection.lanes_max()), (50_000_000, 1024));
        assert_eq!(file.connection.congestion(), Congestion::Cubic);
        let spec = file.groups[0].spec.config();
        assert_eq!((spec.founders.len(), spec.slow), (3, SlowPolicy::Demote));
        assert_eq!((spec.lag_for, spec.lag_bytes_max), (Duration::from_secs(5), 512 << 10));
        assert_eq!(spec.relay_bytes, Some(1 << 20));
        let identity = "quorate://prod/node/1".parse().unwrap();
        assert_eq!(file.config(&identity).unwrap().groups().len(), 1);
    }

    #[test]
    fn what_is_optional_has_defaults() {
        let file = parse(LEAST).unwrap();
        assert!(file.seeds.is_empty() && file.groups.is_empty() && file.data.is_none());
        assert_eq!(file.connection, ConnectionConfig::default());
    }

    #[test]
    fn what_a_link_cannot_be_is_refused_with_its_line() {
        let text = error(&format!("{LEAST}lanes_max = 8\nlane_window_bytes = 10\n"));
        assert_eq!(text, "etc/node.toml:4: `lane_window_bytes` is 10: it must be at least 16384");
        let text = error(&format!("{LEAST}lanes_max = 1\n"));
        assert_eq!(text, "etc/node.toml:3: `lanes_max` is 1: it must be at least 3");
        let text = error(&format!("{LEAST}congestion = \"vegas\"\n"));
        assert_eq!(text, "etc/node.toml:3: `vegas` is no congestion control: choose cubic, bbr or new-reno");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_known_ones() {
        let text = error(&format!("{LEAST}lisen = 1\n"));
        assert!(
            text.starts_with("etc/node.toml:3: unknown field `lisen`, expected one of `listen`"),
            "{text}"
        );
    }

    #[test]
    fn each_mistake_is_on_its_line() {
        for (more, at) in [
            (
                "detect_within = \"soon\"",
                "etc/node.toml:3: `soon` is not a span of time: write for example 500ms, 2s or 1m",
            ),
            ("detect_within = \"1ms\"", "etc/node.toml:3: detect_within of 1ms is outside"),
            ("seeds = [\n\"localhost\"]", "etc/node.toml:4: `localhost` is not an address with a port"),
            (
                "[[groups]]\nname = \"a\"\nfounders = []",
                "etc/node.toml:4: groups.founders: group `a` has none",
            ),
            ("[[groups]]\nname = \"a\"\nfounders = [\"x\"]", "etc/node.toml:5: `x` does not name a node"),
            (
                "[[groups]]\nname = \"a\"\norder = \"best\"\nfounders = [\"n1\"]",
                "etc/node.toml:5: `best` is not an order",
            ),
            (
                "[[groups]]\nname = \"a\"\nfounders = [\"n1\"]\nslow = \"kill\"",
                "etc/node.toml:6: `kill` is no policy",
            ),
            (
                "[[groups]]\nname = \"a\"\nfounders = [\"n1\"]\nlag_for = \"5 parsecs\"",
                "etc/node.toml:6: `5 parsecs` is not a span of time: write for example 500ms, 2s or 1m",
            ),
            (
                "[[groups]]\nname = \"a\"\nfounders = [\"n1\"]\nlag_for = \"500ms\"",
                "etc/node.toml:6: lag_for of 500 ms must exceed detect_within, which is 500 ms",
            ),
            (
                "[[groups]]\nname = \"a\"\nfounders = [\"n1\"]\nlag_bytes = 1",
                "etc/node.toml:4: groups.lag_bytes: 1 bytes is outside 4096 to 1073741824",
            ),
            (
                "[[groups]]\nname = \"a\"\nfounders = [\"n1\"]\nrelay_bytes = 1",
                "etc/node.toml:4: groups.relay_bytes: group `a`: messages of 1 bytes arrive sooner directly: choose at \
                 least 65536, or 0 for never",
            ),
            (
                "[[groups]]\nname = \"a\"\nfounders = [\"n1\"]\nlag_for = 5",
                "etc/node.toml:6: invalid type: integer `5`, expected a string: write it in quotes",
            ),
            (
                "[[groups]]\nname = \"a\"\nfounders = [\"n1\"]\nlag_bytes = \"1MiB\"",
                "etc/node.toml:6: invalid type: string \"1MiB\", expected usize: write a whole number of bytes",
            ),
            (
                "[[groups]]\nname = \"a\"\nfounders = [\"n1\"]\nstate = \"yes\"",
                "etc/node.toml:6: invalid type: string \"yes\", expected a boolean: write true or false",
            ),
            (
                "[[groups]]\nname = \"a\"\nfounders = \"n1\"",
                "etc/node.toml:5: invalid type: string \"n1\", expected a sequence: write a list",
            ),
            ("[[groups]]\nname = \"a\"", "etc/node.toml:3: `founders` is missing: list the nodes"),
            ("[[groups]]\nfounders = [\"n1\"]", "etc/node.toml:3: `name` is missing: every group has one"),
            ("[groups]\nname = \"a\"", "etc/node.toml:3: there may be several of these: write its heading"),
        ] {
            let text = error(&format!("{LEAST}{more}\n"));
            assert!(text.starts_with(at), "{text}");
        }
        assert!(
            error("listen = \"0.0.0.0:1\"\ncredentials = \"c\"")
                .starts_with("etc/node.toml:1: others cannot reach `0.0.0.0:1`")
        );
        assert!(error("credentials = \"c\"").contains("`listen` is missing: write for example"));
    }

    #[test]
    fn two_groups_of_one_name_are_refused() {
        let group = "[[groups]]\nname = \"a\"\nfounders = [\"n1\"]\n";
        let file = parse(&format!("{LEAST}{group}{group}")).unwrap();
        let error = file.config(&"quorate://prod/node/1".parse().unwrap()).unwrap_err();
        assert!(one_line(&error).starts_with("etc/node.toml: groups.name: `a` is declared twice"));
    }

    #[test]
    fn a_group_with_state_is_for_programs_and_its_witnesses() {
        let text = format!(
            "{LEAST}[[groups]]\nname = \"app\"\nfounders = [\"n1\", \"n2\"]\nwitnesses = [\"n3\"]\n\
             state = true\nstate_bytes_max = 4096\n"
        );
        let file = parse(&text).unwrap();
        let config = |node| file.config(&format!("quorate://prod/node/{node}").parse().unwrap());
        let refused = config(1).unwrap_err().to_string();
        assert!(
            refused.starts_with("etc/node.toml:4: group `app` has the state of an application"),
            "{refused}"
        );
        assert_eq!(config(3).unwrap().groups()[0].config().snapshot_bytes_max, 4096);
        config(4).expect("who takes no part needs no application");
    }

    #[test]
    fn a_long_detection_time_needs_no_other_key() {
        let text = format!("{LEAST}detect_within = \"20s\"\n[[groups]]\nname = \"a\"\nfounders = [\"n1\"]\n");
        let file = parse(&text).unwrap();
        assert_eq!(file.groups[0].spec.config().lag_for, Duration::from_secs(40));
        file.config(&"quorate://prod/node/1".parse().unwrap()).unwrap();
    }

    /// The example, with a part of it replaced.
    fn spoilt() -> impl Strategy<Value = String> {
        let part = (any::<Index>(), any::<Index>(), "[ -~\\n\u{e9}]{0,12}");
        part.prop_map(|(from, length, new)| {
            let mut chars: Vec<char> = EXAMPLE.chars().collect();
            let from = from.index(chars.len());
            let to = (from + length.index(40)).min(chars.len());
            chars.splice(from..to, new.chars());
            chars.into_iter().collect()
        })
    }

    proptest! {
        #[test]
        fn any_text_is_a_configuration_or_says_on_one_line_where_it_is_wrong(
            text in prop_oneof![6 => spoilt(), 1 => any::<String>()], node in 0..5_u64,
        ) {
            let identity = format!("quorate://prod/node/{node}").parse().unwrap();
            let read = NodeFile::parse(&text, Path::new("etc/node.toml"));
            let checked = read.and_then(|file| file.check().and_then(|()| file.config(&identity)));
            if let Err(error) = checked {
                let line = one_line(&error);
                prop_assert!(line.starts_with("etc/node.toml") && !line.contains('\n'), "{line}");
            }
        }
    }
}
