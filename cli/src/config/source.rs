//! The text of a configuration: values that know their line, until they are checked.

use std::{
    net::SocketAddr,
    ops::Range,
    path::{Path, PathBuf},
    str::FromStr,
};

use quorate::{
    GroupSettings, GroupSpec, Pattern,
    membership::{NodeId, Timing},
    protocols::Order,
};
use serde::Deserialize;
use toml::Spanned;

use super::{ConfigError, NodeFile};
use crate::{address, span};

// Values stay text with their place at first, so that what is wrong with one points at it.
type Text = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNode {
    listen: Text,
    credentials: PathBuf,
    #[serde(default)]
    seeds: Vec<Text>,
    data: Option<PathBuf>,
    metrics: Option<Text>,
    detect_within: Option<Text>,
    payload_bytes_max: Option<usize>,
    #[serde(default)]
    groups: Vec<RawGroup>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGroup {
    name: Text,
    order: Option<Text>,
    founders: Vec<Text>,
    #[serde(default)]
    witnesses: Vec<Text>,
    #[serde(default)]
    subjects: Vec<Text>,
    window_bytes: Option<usize>,
    history_bytes: Option<usize>,
    #[serde(default)]
    partitionable: bool,
}

/// Checks the text of a configuration that came from `path`.
pub(super) fn parse(text: &str, path: &Path) -> Result<NodeFile, ConfigError> {
    let source = Source { text, path };
    let raw: RawNode = toml::from_str(text)
        .map_err(|error| source.wrong(error.span().unwrap_or_default(), advice(error.message())))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut groups = Vec::new();
    for group in raw.groups {
        groups.push(source.group(group)?);
    }
    Ok(NodeFile {
        path: path.to_owned(),
        listen: source.listen(&raw.listen)?,
        credentials: folder.join(raw.credentials),
        seeds: raw.seeds.iter().map(|seed| source.address(seed)).collect::<Result<_, _>>()?,
        data: raw.data.map(|data| folder.join(data)),
        metrics: raw.metrics.map(|addr| source.address(&addr)).transpose()?,
        timing: raw.detect_within.map_or(Ok(Timing::DEFAULT), |span| source.timing(&span))?,
        groups,
        payload_bytes_max: raw.payload_bytes_max,
    })
}

/// The text of a configuration, to say where something is wrong.
struct Source<'a> {
    text: &'a str,
    path: &'a Path,
}

impl Source<'_> {
    fn wrong(&self, span: Range<usize>, what: String) -> ConfigError {
        let before = self.text.get(..span.start).unwrap_or_default();
        ConfigError::Wrong { path: self.path.to_owned(), line: 1 + before.matches('\n').count(), what }
    }

    fn value<T: FromStr<Err: ToString>>(&self, text: &Text) -> Result<T, ConfigError> {
        text.as_ref().parse().map_err(|error: T::Err| self.wrong(text.span(), error.to_string()))
    }

    fn values<T: FromStr<Err: ToString>>(&self, texts: &[Text]) -> Result<Vec<T>, ConfigError> {
        texts.iter().map(|text| self.value(text)).collect()
    }

    fn address(&self, text: &Text) -> Result<SocketAddr, ConfigError> {
        address::parse(text.as_ref()).map_err(|what| self.wrong(text.span(), what))
    }

    fn listen(&self, text: &Text) -> Result<SocketAddr, ConfigError> {
        let listen = self.address(text)?;
        if listen.ip().is_unspecified() || listen.port() == 0 {
            let what =
                format!("others cannot reach `{listen}`: write an address of this machine, with a port");
            return Err(self.wrong(text.span(), what));
        }
        Ok(listen)
    }

    fn timing(&self, text: &Text) -> Result<Timing, ConfigError> {
        let wrong = |what| self.wrong(text.span(), what);
        let span = span::parse(text.as_ref()).map_err(wrong)?;
        Timing::detect_within(span).map_err(|error| wrong(error.to_string()))
    }

    fn group(&self, raw: RawGroup) -> Result<GroupSettings, ConfigError> {
        let nodes = |texts| -> Result<Vec<u64>, ConfigError> {
            Ok(self.values::<NodeId>(texts)?.into_iter().map(NodeId::get).collect())
        };
        let mut group = GroupSettings::new(raw.name.as_ref(), nodes(&raw.founders)?);
        group.witnesses = nodes(&raw.witnesses)?;
        group.order =
            raw.order.map(|order| self.value::<Order>(&order)).transpose()?.map(|it| it.to_string());
        group.subjects = self.values::<Pattern>(&raw.subjects)?.iter().map(ToString::to_string).collect();
        (group.window_bytes, group.history_bytes) = (raw.window_bytes, raw.history_bytes);
        group.partitionable = raw.partitionable;
        // What is wrong within one group is told by its line; GroupSpec knows the rules.
        match GroupSpec::try_from(group.clone()) {
            Ok(_) => Ok(group),
            Err(error) => Err(self.wrong(raw.name.span(), error.to_string())),
        }
    }
}

/// The parser's message, with what helps where it does not say so itself.
fn advice(message: &str) -> String {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.as_str() {
        "missing field `listen`" => {
            "`listen` is missing: write for example listen = \"127.0.0.1:4610\"".into()
        }
        "missing field `credentials`" => {
            "`credentials` is missing: write the folder that `quorate cert issue` made".into()
        }
        _ => line,
    }
}
