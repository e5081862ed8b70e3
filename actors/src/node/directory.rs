//! Which groups run on this node.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc};

use actix::Addr;
use quorate_membership::GroupId;

use crate::{config::GroupSpec, group::Replication};

/// A group that runs here.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) spec: Arc<GroupSpec>,
    pub(crate) addr: Addr<Replication>,
}

/// The groups that run on this node. Clones are the same directory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory(Rc<RefCell<BTreeMap<GroupId, Entry>>>);

impl Directory {
    pub(crate) fn get(&self, group: GroupId) -> Option<Entry> {
        self.0.borrow().get(&group).cloned()
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
}
