//! The text of a configuration: values that know their line, until they are checked.

use std::{
    net::SocketAddr,
    ops::Range,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use quorate::{
    GroupSettings, GroupSpec, Pattern,
    membership::{NodeId, Timing},
    protocols::{Order, SlowPolicy},
    transport::{Congestion, ConnectionConfig, ConnectionSettings, ConnectionSettingsError},
};
use serde::Deserialize;
use toml::Spanned;

use super::{ConfigError, FileGroup, NodeFile};
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
    lane_window_bytes: Option<Spanned<u32>>,
    lanes_max: Option<Spanned<u32>>,
    congestion: Option<Text>,
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
    slow: Option<Text>,
    lag_for: Option<Text>,
    lag_bytes: Option<usize>,
    relay_bytes: Option<usize>,
    #[serde(default)]
    state: bool,
    state_bytes_max: Option<usize>,
    #[serde(default)]
    partitionable: bool,
}

/// Checks the text of a configuration that came from `path`.
pub(super) fn parse(text: &str, path: &Path) -> Result<NodeFile, ConfigError> {
    let source = Source { text, path };
    let raw: RawNode = toml::from_str(text)
        .map_err(|error| source.wrong(error.span().unwrap_or_default(), advice(error.message())))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let timing = raw.detect_within.map_or(Ok(Timing::DEFAULT), |span| source.timing(&span))?;
    let mut groups = Vec::new();
    for group in raw.groups {
        groups.push(source.group(group, timing)?);
    }
    Ok(NodeFile {
        path: path.to_owned(),
        listen: source.listen(&raw.listen)?,
        credentials: folder.join(raw.credentials),
        seeds: raw.seeds.iter().map(|seed| source.address(seed)).collect::<Result<_, _>>()?,
        data: raw.data.map(|data| folder.join(data)),
        metrics: raw.metrics.map(|addr| source.address(&addr)).transpose()?,
        timing,
        groups,
        payload_bytes_max: raw.payload_bytes_max,
        connection: source.connection(
            raw.lane_window_bytes.as_ref(),
            raw.lanes_max.as_ref(),
            raw.congestion.as_ref(),
        )?,
    })
}

/// The text of a configuration, to say where something is wrong.
struct Source<'a> {
    text: &'a str,
    path: &'a Path,
}

impl Source<'_> {
    fn line(&self, span: &Range<usize>) -> usize {
        1 + self.text.get(..span.start).unwrap_or_default().matches('\n').count()
    }

    fn wrong(&self, span: Range<usize>, what: String) -> ConfigError {
        ConfigError::Wrong { path: self.path.to_owned(), line: self.line(&span), what }
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

    fn connection(
        &self,
        lane_window_bytes: Option<&Spanned<u32>>,
        lanes_max: Option<&Spanned<u32>>,
        congestion: Option<&Text>,
    ) -> Result<ConnectionConfig, ConfigError> {
        let chosen = congestion.map_or(Ok(Congestion::default()), |word| self.value(word))?;
        let mut settings = ConnectionSettings { congestion: chosen, ..ConnectionSettings::default() };
        let wrong = |error: ConnectionSettingsError, span| self.wrong(span, error.to_string());
        let mut config =
            settings.try_into().map_err(|error| wrong(error, congestion.map_or(0..0, Spanned::span)))?;
        // One by one, so that what is refused is known by its line.
        for (given, lanes) in [(lane_window_bytes, false), (lanes_max, true)] {
            let Some(given) = given else { continue };
            let setting = if lanes { &mut settings.lanes_max } else { &mut settings.lane_window_bytes };
            *setting = *given.as_ref();
            config = settings.try_into().map_err(|error| wrong(error, given.span()))?;
        }
        Ok(config)
    }

    fn span(&self, text: &Text) -> Result<Duration, ConfigError> {
        span::parse(text.as_ref()).map_err(|what| self.wrong(text.span(), what))
    }

    fn timing(&self, text: &Text) -> Result<Timing, ConfigError> {
        let timing = Timing::detect_within(self.span(text)?);
        timing.map_err(|error| self.wrong(text.span(), error.to_string()))
    }

    /// For how long a member may lag, in milliseconds.
    fn lag_for(&self, text: &Text, timing: Timing) -> Result<u64, ConfigError> {
        let (lag, detect) = (self.span(text)?, timing.detect());
        if lag <= detect {
            let what = format!(
                "lag_for of {} must exceed detect_within, which is {}: silent members are taken for slow ones \
                 otherwise",
                span::show(lag),
                span::show(detect)
            );
            return Err(self.wrong(text.span(), what));
        }
        Ok(u64::try_from(lag.as_millis()).unwrap_or(u64::MAX))
    }

    fn group(&self, raw: RawGroup, timing: Timing) -> Result<FileGroup, ConfigError> {
        let nodes = |texts| -> Result<Vec<u64>, ConfigError> {
            Ok(self.values::<NodeId>(texts)?.into_iter().map(NodeId::get).collect())
        };
        let mut group = GroupSettings::new(raw.name.as_ref(), nodes(&raw.founders)?);
        group.witnesses = nodes(&raw.witnesses)?;
        let order = raw.order.map(|order| self.value::<Order>(&order)).transpose()?;
        let slow = raw.slow.map(|slow| self.value::<SlowPolicy>(&slow)).transpose()?;
        (group.order, group.slow) = (order.map(|it| it.to_string()), slow.map(|it| it.to_string()));
        group.lag_for_ms = raw.lag_for.map(|lag| self.lag_for(&lag, timing)).transpose()?;
        (group.lag_bytes, group.relay_bytes) = (raw.lag_bytes, raw.relay_bytes);
        group.subjects = self.values::<Pattern>(&raw.subjects)?.iter().map(ToString::to_string).collect();
        (group.window_bytes, group.history_bytes) = (raw.window_bytes, raw.history_bytes);
        (group.state, group.state_bytes_max) = (raw.state, raw.state_bytes_max);
        group.partitionable = raw.partitionable;
        // What is wrong within one group is told by its line; GroupSpec knows the rules.
        let place = raw.name.span();
        match GroupSpec::try_from(group.clone()).and_then(|spec| spec.with_timing(timing)) {
            Ok(spec) => Ok(FileGroup { line: self.line(&place), settings: group, spec }),
            Err(error) => Err(self.wrong(place, error.to_string())),
        }
    }
}

/// The parser's message, with what helps where it does not say so itself.
fn advice(message: &str) -> String {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let instead = [
        ("missing field `listen`", "`listen` is missing: write for example listen = \"127.0.0.1:4610\""),
        (
            "missing field `credentials`",
            "`credentials` is missing: write the folder that `quorate cert issue` made",
        ),
        ("missing field `name`", "`name` is missing: every group has one, such as name = \"log\""),
        (
            "missing field `founders`",
            "`founders` is missing: list the nodes that found the group, such as founders = [\"n1\", \"n2\", \"n3\"]",
        ),
        (
            "invalid type: map, expected a sequence",
            "there may be several of these: write its heading with two brackets at each side, as in [[groups]]",
        ),
    ];
    if let Some((_, advice)) = instead.iter().find(|(message, _)| *message == line) {
        return (*advice).to_owned();
    }
    let more = [
        ("expected a string", "write it in quotes, such as \"n1\" or \"500ms\""),
        ("expected usize", "write a whole number of bytes without quotes, such as 1048576"),
        ("expected a boolean", "write true or false without quotes"),
        ("expected a sequence", "write a list, such as [\"n1\", \"n2\"]"),
    ];
    match more.iter().find(|(end, _)| line.ends_with(end)) {
        Some((_, advice)) => format!("{line}: {advice}"),
        None => line,
    }
}
