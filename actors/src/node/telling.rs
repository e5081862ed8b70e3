//! The way of what is known of other nodes to the groups of this one.

use actix::Addr;
use quorate_protocols::Input;
use tokio::sync::mpsc;

use super::Directory;
use crate::{
    group::{Feed, Replication},
    start::spawn,
};

/// Groups that are told at one time. All of thousands at once would hold up heartbeats until each has had its turn.
const AT_ONCE: usize = 64;

#[derive(Debug)]
enum News {
    ToAll(Input),
    ToOne(Addr<Replication>, Vec<Input>),
}

/// Tells the groups of a node what there is to know of other nodes, each in the same order.
#[derive(Debug)]
pub(super) struct Telling(mpsc::UnboundedSender<News>);

impl Telling {
    /// Begins, on the current arbiter; what is still to be told when this is dropped is told.
    pub(super) fn start(groups: Directory) -> Self {
        // Unbounded: news are rare, when nodes and links come and go.
        let (news, mut waiting) = mpsc::unbounded_channel();
        spawn(async move {
            while let Some(news) = waiting.recv().await {
                match news {
                    News::ToAll(input) => {
                        for some in groups.all().chunks(AT_ONCE) {
                            for entry in some {
                                entry.addr.do_send(Feed(input.clone()));
                            }
                            tokio::task::yield_now().await;
                        }
                    }
                    News::ToOne(group, inputs) => inputs.into_iter().for_each(|it| group.do_send(Feed(it))),
                }
            }
        });
        Self(news)
    }

    /// Tells all groups that run by then.
    pub(super) fn all(&self, input: Input) {
        // Its task ends with the arbiter, and all groups with it.
        let _ = self.0.send(News::ToAll(input));
    }

    /// Tells one group that has just begun.
    pub(super) fn one(&self, group: Addr<Replication>, inputs: Vec<Input>) {
        let _ = self.0.send(News::ToOne(group, inputs));
    }
}
