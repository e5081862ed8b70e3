//! Payloads that go the same way together.

use std::{ops::Deref, sync::Arc};

use bytes::Bytes;

/// Payloads in their order, shared by all clones: a frame is kept, sent and delivered at the same time, and
/// counting references to each of its messages would cost more than all else that is done with it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Batch(Option<Arc<Vec<Bytes>>>);

impl Batch {
    /// The list itself; `None` if it is empty.
    pub fn into_shared(self) -> Option<Arc<Vec<Bytes>>> {
        self.0
    }
}

impl Deref for Batch {
    type Target = [Bytes];

    fn deref(&self) -> &[Bytes] {
        self.0.as_ref().map_or(&[], |payloads| payloads)
    }
}

impl From<Vec<Bytes>> for Batch {
    fn from(payloads: Vec<Bytes>) -> Self {
        Self((!payloads.is_empty()).then(|| Arc::new(payloads)))
    }
}

impl From<Batch> for Vec<Bytes> {
    /// Free for the only clone.
    fn from(batch: Batch) -> Self {
        batch.0.map(Arc::unwrap_or_clone).unwrap_or_default()
    }
}

impl FromIterator<Bytes> for Batch {
    fn from_iter<I: IntoIterator<Item = Bytes>>(payloads: I) -> Self {
        Vec::from_iter(payloads).into()
    }
}

impl<const N: usize> From<[Bytes; N]> for Batch {
    fn from(payloads: [Bytes; N]) -> Self {
        payloads.into_iter().collect()
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = &'a Bytes;
    type IntoIter = std::slice::Iter<'a, Bytes>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
