//! What `quorate up` says: to people as it happens, to programs as one line of JSON per event.

use std::{path::Path, time::Duration};

use quorate::membership::NodeId;
use serde::Serialize;

use super::{Args, Nodes};
use crate::{
    Failure,
    local::{GROUP, Layout, PATTERN},
    metrics,
    output::Output,
    serving::News,
    span,
};

/// What only a local cluster as a whole can tell, beside what its nodes tell.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Told<'a> {
    /// Every node is in one view with all of them.
    Ready { ready_ms: f64, group: &'static str, view: &'a str, nodes: Vec<Started>, profile: &'a Path },
    /// A node is there no more.
    Ended { node: String, how: &'a str, config: &'a Path },
}

/// A node that has been started.
#[derive(Serialize)]
struct Started {
    node: String,
    addr: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<u32>,
    /// Where its figures are, or those of all nodes together if they are one process.
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<String>,
}

/// Says what happens to a local cluster.
pub(super) struct Report<'a> {
    pub(super) args: &'a Args,
    pub(super) layout: &'a Layout,
    pub(super) output: Output,
}

impl Report<'_> {
    /// The nodes have been started, with the figures of all of them at `metrics`, or of each where the
    /// layout says.
    pub(super) fn started(&mut self, nodes: &Nodes, metrics: Option<&str>) -> Result<(), Failure> {
        if self.args.json {
            return Ok(());
        }
        if let Some(url) = metrics {
            self.output.line(metrics::places(url))?;
        }
        for Started { node, addr, process, metrics } in self.nodes(nodes, None) {
            let figures = metrics.map(|url| format!("  {}", metrics::places(&url))).unwrap_or_default();
            let process = process.map(|pid| format!("  process {pid}")).unwrap_or_default();
            self.output.line(format!("{node}  {addr}{figures}{process}"))?;
        }
        self.output.flush()
    }

    /// Every node is in one view with all of them.
    pub(super) fn ready(
        &mut self,
        nodes: &Nodes,
        metrics: Option<&str>,
        (view, took): (&str, Duration),
        profile: &Path,
    ) -> Result<(), Failure> {
        if self.args.json {
            let nodes = self.nodes(nodes, metrics);
            let ready_ms = took.as_secs_f64() * 1e3;
            self.output.json(&Told::Ready { ready_ms, group: GROUP, view, nodes, profile })?;
        } else {
            self.explain(took)?;
        }
        self.output.flush()
    }

    /// A node is there no more.
    pub(super) fn ended(&mut self, node: NodeId, how: &str) {
        let config = self.layout.config(node);
        let told = if self.args.json {
            self.output.json(&Told::Ended { node: node.to_string(), how, config: &config })
        } else {
            let again = format!("quorate node --config {}", config.display());
            self.output.line(format!("{node} ended ({how}); start it again with\n  {again}"))
        };
        self.pass_on(told);
    }

    /// Something has happened at a node.
    pub(super) fn news(&mut self, news: &News) {
        let told = match news {
            _ if self.args.json => self.output.json(news),
            // All members come to a view; which of them tells of it first is of no interest.
            News::View { group, view, changes, .. } => {
                self.output.line(format!("group {group} is in view {view}: {}", changes.join(", ")))
            }
            other => self.output.line(other.to_string()),
        };
        self.pass_on(told);
    }

    fn pass_on(&mut self, told: Result<(), Failure>) {
        // Whoever read the output has gone; the cluster is not there for them alone.
        let _ = told.and_then(|()| self.output.flush());
    }

    fn nodes(&self, nodes: &Nodes, metrics: Option<&str>) -> Vec<Started> {
        let started = |node: NodeId| Started {
            node: node.to_string(),
            addr: self.layout.address(node).to_string(),
            process: nodes.pid(node),
            metrics: self.layout.metrics(node).map(metrics::url).or_else(|| metrics.map(str::to_owned)),
        };
        self.layout.nodes().map(started).collect()
    }

    fn explain(&mut self, took: Duration) -> Result<(), Failure> {
        let Self { args, layout, output } = self;
        let profile = match &args.profile {
            None => String::new(),
            Some(path) => format!(" --profile {}", path.display()),
        };
        output.line(format!("ready in {}; Ctrl-C stops it", span::show(took)))?;
        output.line(format!(
            "\nSubjects `{PATTERN}` are bound to the group `{GROUP}`: all subscribers get the same sequence, also\n\
             when nodes fail. Other subjects go straight to whoever subscribes. In another terminal, try\n\n  \
             quorate sub '{PATTERN}'{profile}\n  \
             quorate pub {GROUP}.app \"hello\"{profile}\n  \
             quorate status{profile}\n  \
             quorate why {GROUP}{profile}\n"
        ))?;
        if args.processes {
            output.line("and `kill -9` one of the processes above.\n")?;
        }
        if !layout.is_temporary() {
            let folder = layout.folder().display();
            output.line(format!("Certificates, configurations and data stay in {folder}\n"))?;
        }
        Ok(())
    }
}
