//! Nodes that may know of the group, bounded however many peers name.

use std::collections::VecDeque;

use quorate_membership::NodeId;

/// Learnt contacts that are kept; beyond them the one named longest ago is forgotten. As many as a
/// cluster has nodes that one group can be expected to meet.
const LEARNT_MAX: usize = 1024;

/// Whom a member asks for the group when it is outside: the declared nodes always, and those that
/// were named most lately.
#[derive(Debug)]
pub(super) struct Contacts {
    me: NodeId,
    declared: Vec<NodeId>,
    /// The one named last is at the end.
    learnt: VecDeque<NodeId>,
}

impl Contacts {
    pub(super) fn new(me: NodeId, declared: impl IntoIterator<Item = NodeId>) -> Self {
        let declared = declared.into_iter().filter(|node| *node != me).collect();
        Self { me, declared, learnt: VecDeque::new() }
    }

    /// Somebody names these nodes.
    pub(super) fn add(&mut self, nodes: impl IntoIterator<Item = NodeId>) {
        for node in nodes {
            if node == self.me || self.declared.contains(&node) {
                continue;
            }
            self.learnt.retain(|known| *known != node);
            if self.learnt.len() >= LEARNT_MAX {
                self.learnt.pop_front();
            }
            self.learnt.push_back(node);
        }
    }

    /// A node is gone. Declared ones are expected back.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.learnt.retain(|known| *known != node);
    }

    /// All of them, in node order.
    pub(super) fn nodes(&self) -> Vec<NodeId> {
        let mut nodes: Vec<NodeId> = self.declared.iter().chain(&self.learnt).copied().collect();
        nodes.sort_unstable();
        nodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_nodes_peers_name_the_declared_and_the_latest_are_kept() {
        let node = NodeId::new;
        let mut contacts = Contacts::new(node(1), [node(1), node(2)]);
        contacts.add((10..5000).map(node));
        contacts.add([node(1), node(4000)]);
        contacts.add((5000..6000).map(node));
        let nodes = contacts.nodes();
        assert_eq!(nodes.len(), 1 + LEARNT_MAX);
        assert!(nodes.contains(&node(2)) && nodes.contains(&node(4000)) && nodes.contains(&node(5999)));
        assert!(!nodes.contains(&node(1)) && !nodes.contains(&node(10)));
        contacts.forget(node(4000));
        contacts.forget(node(2));
        assert_eq!(contacts.nodes().len(), LEARNT_MAX);
        assert!(contacts.nodes().contains(&node(2)) && !contacts.nodes().contains(&node(4000)));
    }
}
