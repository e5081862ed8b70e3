//! What a member delivers before it knows what publishers have published before its first view.

use std::collections::BTreeSet;

use quorate_membership::{Member, View, ViewId};

use super::{BoundGroup, Position, Stamp};

/// Why marks that somebody tells are not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MarksRefused {
    /// None are waited for: another member was faster, or this one knows them.
    #[error("no marks are waited for")]
    NotWaiting,
    /// They are those of another view than the one asked for.
    #[error("marks of {told} were told, those of {asked} are waited for")]
    OtherView {
        /// The view whose marks they are.
        told: ViewId,
        /// The view asked for.
        asked: ViewId,
    },
    /// Whoever tells them was not asked, or was asked in another life.
    #[error("{0} tells marks and was not asked for them")]
    NotAsked(Member),
    /// What waited for them was dropped: this newcomer leaves.
    #[error("what waited for the marks was dropped")]
    GivenUp,
}

/// Something that was delivered and is not decided yet.
#[derive(Debug)]
pub(super) struct Late<E> {
    pub(super) position: Position,
    pub(super) sender: Option<Member>,
    pub(super) stamp: Option<Stamp>,
    pub(super) entry: E,
    pub(super) bytes: usize,
    /// If it is a view, those who come with it, and may ask for the marks as they are then.
    pub(super) newcomers: BTreeSet<Member>,
}

/// A member that waits for the marks at the beginning of its first view.
#[derive(Debug)]
pub(super) struct Newcomer<E> {
    view: ViewId,
    /// The members that know them and are still there, the next one to ask first.
    knowing: Vec<Member>,
    /// Those that were asked. An answer may take longer than the time after which the next one is asked.
    asked: BTreeSet<Member>,
    late: Vec<Late<E>>,
    bytes: usize,
    /// Whether it cannot learn them any more.
    given_up: bool,
    /// Whether that is still to be said.
    to_be_said: bool,
}

impl<E> Newcomer<E> {
    pub(super) const fn new(view: ViewId, knowing: Vec<Member>) -> Self {
        Self {
            view,
            knowing,
            asked: BTreeSet::new(),
            late: Vec::new(),
            bytes: 0,
            given_up: false,
            to_be_said: false,
        }
    }

    pub(super) fn ask(&mut self) -> Option<(ViewId, Member)> {
        if self.given_up {
            return None;
        }
        self.knowing.rotate_left(1); // else it has given up
        let member = *self.knowing.last()?;
        self.asked.insert(member);
        Some((self.view, member))
    }

    pub(super) fn check(&self, from: Member, view: ViewId, believes_all: bool) -> Result<(), MarksRefused> {
        if view != self.view {
            return Err(MarksRefused::OtherView { told: view, asked: self.view });
        }
        if !believes_all && !self.asked.contains(&from) {
            return Err(MarksRefused::NotAsked(from));
        }
        if self.given_up { Err(MarksRefused::GivenUp) } else { Ok(()) }
    }

    /// Lets something wait.
    ///
    /// # Errors
    /// All that is dropped because more has come than may wait.
    pub(super) fn wait(&mut self, late: Late<E>) -> Result<(), Vec<Late<E>>> {
        self.bytes = self.bytes.saturating_add(late.bytes).saturating_add(BoundGroup::<E>::ENTRY_BYTES);
        self.late.push(late);
        if self.given_up || self.bytes > BoundGroup::<E>::WAITING_BYTES_MAX {
            self.give_up();
            return Err(std::mem::take(&mut self.late));
        }
        Ok(())
    }

    /// A view begins. If nobody is in it who knows the marks, they cannot be learnt any more.
    pub(super) fn on_view(&mut self, view: &View) {
        self.knowing.retain(|it| view.members.contains(it));
        if self.knowing.is_empty() {
            self.give_up();
        }
    }

    const fn give_up(&mut self) {
        self.to_be_said |= !self.given_up;
        self.given_up = true;
    }

    #[cfg(test)]
    pub(super) const fn waiting_bytes(&self) -> usize {
        if self.given_up { 0 } else { self.bytes }
    }

    pub(super) const fn has_given_up(&self) -> bool {
        self.given_up
    }

    pub(super) const fn take_given_up(&mut self) -> bool {
        std::mem::replace(&mut self.to_be_said, false)
    }

    pub(super) fn into_late(self) -> Vec<Late<E>> {
        self.late
    }
}
