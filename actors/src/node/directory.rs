//! Which groups run on this node.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc};

use actix::{Addr, Recipient};
use quorate_membership::GroupId;
use quorate_protocols::Legacy;

use crate::{
    config::GroupSpec,
    group::{Feed, Group, Intake, Replication},
};

/// A group that runs here.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) spec: Arc<GroupSpec>,
    pub(crate) addr: Addr<Replication>,
    pub(crate) intake: Intake,
    /// Whether this node has left it: the actor only tells others how the view it left ended.
    pub(crate) left: bool,
    /// What is to be kept in mind then, should the node join it again.
    pub(crate) legacy: Option<Legacy>,
}

impl Entry {
    /// As applications hold it.
    pub(crate) fn group(self) -> Group {
        Group { addr: self.addr, intake: self.intake, name: self.spec.name().into() }
    }
}

/// The groups that run on this node. Clones are the same directory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory(Rc<RefCell<BTreeMap<GroupId, Entry>>>);

impl Directory {
    pub(crate) fn get(&self, group: GroupId) -> Option<Entry> {
        self.0.borrow().get(&group).cloned()
    }

    /// The actor of a group.
    pub(crate) fn addr(&self, group: GroupId) -> Option<Addr<Replication>> {
        self.0.borrow().get(&group).map(|entry| entry.addr.clone())
    }

    /// This node has left a group.
    pub(crate) fn mark_left(&self, group: GroupId, legacy: Option<Legacy>) -> Option<Entry> {
        let mut groups = self.0.borrow_mut();
        let entry = groups.get_mut(&group)?;
        (entry.left, entry.legacy) = (true, legacy);
        Some(entry.clone())
    }

    pub(crate) fn insert(&self, group: GroupId, entry: Entry) {
        self.0.borrow_mut().insert(group, entry);
    }

    pub(crate) fn remove(&self, group: GroupId) -> Option<Entry> {
        self.0.borrow_mut().remove(&group)
    }

    pub(crate) fn all(&self) -> Vec<Entry> {
        self.0.borrow().values().cloned().collect()
    }

    /// Where the groups hear what there is to know.
    pub(crate) fn to_tell(&self) -> Vec<Recipient<Feed>> {
        self.0.borrow().values().map(|entry| entry.addr.clone().recipient()).collect()
    }
}
