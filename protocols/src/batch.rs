//! Payloads that go the same way together.

use std::{ops::Deref, slice, sync::Arc};

use bytes::Bytes;

/// Payloads in their order, shared by all clones: a frame is kept, sent and delivered at the same time, and
/// counting references to each of its messages would cost more than all else that is done with it. A single
/// one is held without memory of its own.
#[derive(Clone, Debug, Default)]
pub struct Batch(Payloads);

#[derive(Clone, Debug, Default)]
enum Payloads {
    #[default]
    None,
    One(Bytes),
    Many(Arc<Vec<Bytes>>),
}

impl Batch {
    /// The list that clones share, if there are several payloads.
    pub fn shared(&self) -> Option<&Arc<Vec<Bytes>>> {
        if let Payloads::Many(payloads) = &self.0 { Some(payloads) } else { None }
    }
}

impl Deref for Batch {
    type Target = [Bytes];

    fn deref(&self) -> &[Bytes] {
        match &self.0 {
            Payloads::None => &[],
            Payloads::One(payload) => slice::from_ref(payload),
            Payloads::Many(payloads) => payloads,
        }
    }
}

impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl Eq for Batch {}

impl From<Bytes> for Batch {
    fn from(payload: Bytes) -> Self {
        Self(Payloads::One(payload))
    }
}

impl From<Vec<Bytes>> for Batch {
    fn from(mut payloads: Vec<Bytes>) -> Self {
        Self(match payloads.len() {
            0 => Payloads::None,
            1 => Payloads::One(payloads.swap_remove(0)),
            _ => Payloads::Many(Arc::new(payloads)),
        })
    }
}

impl From<Batch> for Vec<Bytes> {
    /// Free for the only clone.
    fn from(batch: Batch) -> Self {
        match batch.0 {
            Payloads::None => Self::new(),
            Payloads::One(payload) => vec![payload],
            Payloads::Many(payloads) => Arc::unwrap_or_clone(payloads),
        }
    }
}

impl FromIterator<Bytes> for Batch {
    fn from_iter<I: IntoIterator<Item = Bytes>>(payloads: I) -> Self {
        Vec::from_iter(payloads).into()
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = &'a Bytes;
    type IntoIter = slice::Iter<'a, Bytes>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_what_it_was_made_of_and_clones_share_it() {
        for count in 0..4_u8 {
            let payloads: Vec<Bytes> = (0..count).map(|it| Bytes::from(vec![it; 3])).collect();
            let batch: Batch = payloads.clone().into();
            assert_eq!(batch[..], payloads[..]);
            assert_eq!(batch, payloads.iter().cloned().collect());
            assert_eq!(batch.clone().shared().map(Arc::as_ptr), batch.shared().map(Arc::as_ptr));
            assert_eq!(batch.shared().is_some(), count > 1);
            assert_eq!(Vec::from(batch), payloads);
        }
        assert_eq!(Batch::from(Bytes::from("one"))[..], [Bytes::from("one")]);
    }
}
