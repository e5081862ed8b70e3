//! Every span that a node derives, in words.

use std::time::Duration;

use crate::{Timing, cluster::config};

/// A derived span: how long it is, and what it is good for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span {
    /// What it is called, in a few words.
    pub name: &'static str,
    /// How long it is.
    pub length: Duration,
    /// What happens after it, and why it is as long as it is.
    pub why: &'static str,
}

impl Timing {
    /// Lists every span that follows from the detection time, those of cluster membership last.
    pub fn explain(&self) -> Vec<Span> {
        let span = |name, length, why| Span { name, length, why };
        let t = *self;
        vec![
            span("heartbeat", t.heartbeat(), "five fit into a silence, so four may be lost"),
            span("silence", t.silence(), "so long a silence makes a node suspected"),
            span("detect", t.detect(), "a node that dies is suspected, and its groups go on, within so long"),
            span(
                "stall",
                t.stall(),
                "a timer later than this says that this process stood still, not its peers",
            ),
            span(
                "last call",
                t.last_call(),
                "what has come from a peer is taken in for so long before it is suspected",
            ),
            span("answer", t.answer(), "a peer that seems not to hear this node has so long to answer"),
            span(
                "mute",
                t.mute(),
                "a node whose frames come, but no heartbeats, is suspected so long after the last one",
            ),
            span("resend", t.resend(), "what is unanswered for so long is asked for again"),
            span("round", t.round(), "one round of a view change may take so long before it is tried again"),
            span(
                "service",
                t.service(),
                "a node that carries a group is asked so long to let another read it before one more is asked",
            ),
            span("broken link", t.broken_link(), "two members that do not hear each other stay so no longer"),
            span(
                "departed",
                t.departed(),
                "what a node that is gone had sent may still be queued for so long",
            ),
            span("founding", t.founding(), "founders wait so long for all before a majority goes on"),
            span(
                "cluster: probe every",
                config::probe_every(t),
                "each node asks another one whether it is there",
            ),
            span(
                "cluster: answer within",
                config::answer_within(t),
                "a probe without an answer is sent again, until the next one is due",
            ),
            span(
                "cluster: ask others after",
                config::ask_others_after(t),
                "then others are asked to probe, and have the rest of the time between two probes",
            ),
            span(
                "cluster: suspicion",
                config::suspicion(t, 1),
                "a suspect that has not refuted it is declared down; where there are ten nodes or more, after twice as long",
            ),
            span(
                "cluster: gossip every",
                config::gossip_every(t),
                "what is new is passed on to three members",
            ),
            span(
                "cluster: ask every",
                config::ask_every(t),
                "a page of another node's list of members is read, to find what gossip has missed",
            ),
            span(
                "cluster: seek every",
                config::seek_every(t),
                "a contact that has not answered is asked again",
            ),
            span(
                "cluster: retry down every",
                config::retry_down_every(t),
                "three of those that are down are tried again, which ends a partition",
            ),
            span("cluster: remember down", config::REMEMBER_DOWN, "a node that is down is forgotten"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of all functions in a source file that return a span, in words.
    fn functions(source: &'static str, prefix: &'static str) -> impl Iterator<Item = String> {
        let public = source.lines().filter(|line| line.contains("pub") && line.contains("-> Duration"));
        let name =
            |line: &str| line.split("fn ").nth(1)?.split('(').next().map(|name| name.replace('_', " "));
        public.filter_map(name).map(move |name| format!("{prefix}{name}"))
    }

    #[test]
    fn every_span_is_explained_once() {
        let mut expected: Vec<String> = functions(include_str!("timing.rs"), "")
            .chain(functions(include_str!("cluster/config.rs"), "cluster: "))
            .chain(["cluster: remember down".to_owned()])
            .collect();
        assert!(expected.len() > 10, "{expected:?}");
        let mut explained: Vec<String> =
            Timing::DEFAULT.explain().iter().map(|span| span.name.to_owned()).collect();
        expected.sort();
        explained.sort();
        assert_eq!(explained, expected);
    }

    #[test]
    fn all_but_the_memory_of_the_dead_scale_with_the_detection_time() {
        let twice = Timing::detect_within(Timing::DEFAULT.detect() * 2).expect("a second is in range");
        for (one, two) in Timing::DEFAULT.explain().iter().zip(twice.explain()) {
            let factor = if one.name == "cluster: remember down" { 1 } else { 2 };
            assert_eq!(one.length * factor, two.length, "{}", one.name);
        }
    }
}
