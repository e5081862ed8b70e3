//! The giving end: snapshots that are kept while a learner may need them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use quorate_membership::{Member, NodeId, View, ViewId};
use xxhash_rust::xxh3::xxh3_64;

use super::{Chunk, ChunkLabel};

#[derive(Debug)]
struct Kept {
    learners: BTreeSet<Member>,
    /// What the application gave, and its digest.
    state: Option<(Bytes, u64)>,
}

/// The snapshots of one member, by the view at whose beginning they were taken.
#[derive(Debug, Default)]
pub(crate) struct Donor {
    kept: BTreeMap<ViewId, Kept>,
}

impl Donor {
    /// The application was asked for its state at the beginning of a view that admits learners.
    pub(crate) fn expect(&mut self, view: ViewId, learners: BTreeSet<Member>) {
        self.kept.insert(view, Kept { learners, state: None });
    }

    /// The application answers; what nobody needs any more is dropped.
    pub(crate) fn supply(&mut self, view: ViewId, state: Bytes) {
        if let Some(kept) = self.kept.get_mut(&view) {
            let digest = xxh3_64(&state);
            kept.state = Some((state, digest));
        }
    }

    /// What tells the learners of a snapshot that it is here: an empty chunk, and to whom it goes.
    pub(crate) fn offer(&self, view: ViewId) -> Option<(Vec<NodeId>, Chunk)> {
        let kept = self.kept.get(&view)?;
        let (state, digest) = kept.state.as_ref()?;
        let (length, check) = (state.len() as u64, Chunk::check(0, &[]));
        let label = ChunkLabel { snapshot: view, length, digest: *digest, offset: 0, check };
        let learners = kept.learners.iter().map(|member| member.node).collect();
        Some((learners, Chunk { label, bytes: Bytes::new() }))
    }

    /// The application will not answer: learners are told that there is nothing here.
    pub(crate) fn refuse(&mut self, view: ViewId) {
        if self.kept.get(&view).is_some_and(|kept| kept.state.is_none()) {
            self.kept.remove(&view);
        }
    }

    /// A view begins: forgets what is kept for members that learn no longer, or start anew with it.
    pub(crate) fn on_view(&mut self, view: &View, newcomers: &BTreeSet<Member>) {
        for kept in self.kept.values_mut() {
            kept.learners.retain(|member| view.learners.contains(member) && !newcomers.contains(member));
        }
        self.kept.retain(|_, kept| !kept.learners.is_empty());
    }

    pub(crate) fn clear(&mut self) {
        self.kept.clear();
    }

    /// Bytes of all snapshots kept.
    pub(crate) fn bytes(&self) -> usize {
        self.kept.values().filter_map(|kept| kept.state.as_ref()).map(|(state, _)| state.len()).sum()
    }

    /// Chunks of the snapshot from `offset` on, about `credit` bytes; none while the application has
    /// not answered. `None` if this member does not keep the snapshot for this learner. Who asks for
    /// what lies behind the end has begun with a longer one, and learns from an empty chunk that this
    /// one is another.
    pub(crate) fn serve(
        &self,
        to: Member,
        snapshot: ViewId,
        (offset, credit): (u64, u64),
        chunk_bytes: usize,
    ) -> Option<Vec<Chunk>> {
        let kept = self.kept.get(&snapshot).filter(|kept| kept.learners.contains(&to))?;
        let Some((state, digest)) = &kept.state else { return Some(Vec::new()) };
        let begin = usize::try_from(offset).unwrap_or(usize::MAX).min(state.len());
        let credit = usize::try_from(credit).unwrap_or(usize::MAX);
        let part = state.slice(begin..state.len().min(begin.saturating_add(credit)));
        let length = state.len() as u64;
        let chunk = |from: usize| {
            let bytes = part.slice(from..part.len().min(from + chunk_bytes));
            let offset = (begin + from) as u64;
            let check = Chunk::check(offset, &bytes);
            Chunk { label: ChunkLabel { snapshot, length, digest: *digest, offset, check }, bytes }
        };
        // An empty snapshot is one empty chunk.
        Some((0..part.len().max(1)).step_by(chunk_bytes.max(1)).map(chunk).collect())
    }
}
