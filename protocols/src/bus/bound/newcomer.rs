//! What a member delivers before it knows what publishers have published before its first view.

use std::collections::BTreeSet;

use quorate_membership::{Member, ViewId};

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
    /// Some of what waited for them was dropped since: this newcomer leaves.
    #[error("more has come than could wait for the marks")]
    Overwhelmed,
}

/// Something that was delivered and is not decided yet.
#[derive(Debug)]
pub(super) struct Late<E> {
    pub(super) position: Position,
    pub(super) sender: Option<Member>,
    pub(super) stamp: Option<Stamp>,
    pub(super) entry: E,
    pub(super) bytes: usize,
    /// Whether it is a view with newcomers, who may ask for the marks as they are then.
    pub(super) asked_for: bool,
}

/// A member that waits for the marks at the beginning of its first view.
#[derive(Debug)]
pub(super) struct Newcomer<E> {
    view: ViewId,
    /// The members that know them, the next one to ask first.
    knowing: Vec<Member>,
    /// Those that were asked. An answer may take longer than the time after which the next one is asked.
    asked: BTreeSet<Member>,
    late: Vec<Late<E>>,
    bytes: usize,
    overwhelmed: bool,
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
            overwhelmed: false,
            to_be_said: false,
        }
    }

    pub(super) fn ask(&mut self) -> Option<(ViewId, Member)> {
        if self.overwhelmed {
            return None;
        }
        self.knowing.rotate_left(1); // there is at least one
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
        if self.overwhelmed { Err(MarksRefused::Overwhelmed) } else { Ok(()) }
    }

    /// Lets something wait.
    ///
    /// # Errors
    /// All that is dropped because more has come than may wait.
    pub(super) fn wait(&mut self, late: Late<E>) -> Result<(), Vec<Late<E>>> {
        self.bytes = self.bytes.saturating_add(late.bytes).saturating_add(BoundGroup::<E>::ENTRY_BYTES);
        self.late.push(late);
        if self.overwhelmed || self.bytes > BoundGroup::<E>::WAITING_BYTES_MAX {
            self.to_be_said |= !self.overwhelmed;
            self.overwhelmed = true;
            return Err(std::mem::take(&mut self.late));
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) const fn waiting_bytes(&self) -> usize {
        if self.overwhelmed { 0 } else { self.bytes }
    }

    pub(super) const fn is_overwhelmed(&self) -> bool {
        self.overwhelmed
    }

    pub(super) const fn take_overwhelmed(&mut self) -> bool {
        std::mem::replace(&mut self.to_be_said, false)
    }

    pub(super) fn into_late(self) -> Vec<Late<E>> {
        self.late
    }
}
