//! Payloads that cross in one frame.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::Body;

/// Bytes in which the number of payloads stands, and the length of each.
const LENGTH_BYTES: usize = 4;

/// Payloads that cross in one frame: short ones cost a link far less than in a frame for each.
///
/// The frame's payload is the number of payloads and the length of each, in four bytes little endian, and then
/// all of them back to back.
///
/// ```
/// use quorate_transport::{Bundle, Frame};
///
/// let payloads = ["pay".into(), "load".into()];
/// let sent = Frame { header: "h".into(), body: Bundle::join(&payloads) };
/// let bundle = Bundle::read(sent.into_body())?; // as its receiver does
/// assert_eq!(bundle.iter().collect::<Vec<_>>(), [&b"pay"[..], &b"load"[..]]);
/// # Ok::<(), quorate_transport::NotABundle>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Bundle {
    lengths: Bytes,
    payloads: Bytes,
}

/// Bytes that are no bundle.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a bundle whose lengths do not add up to what there is, or that is longer than any")]
pub struct NotABundle;

impl Bundle {
    /// No bundle of several payloads has more bytes, lengths included: more brought nothing.
    pub const BYTES_MAX: usize = 64 << 10;

    /// Cuts payloads into runs that fit into a bundle, each of at least one.
    ///
    /// ```
    /// use quorate_transport::Bundle;
    ///
    /// let long = bytes::Bytes::from(vec![0; Bundle::BYTES_MAX]);
    /// let payloads = ["a".into(), "b".into(), long, "c".into()];
    /// assert_eq!(Bundle::runs(&payloads).map(<[_]>::len).collect::<Vec<_>>(), [2, 1, 1]);
    /// ```
    pub fn runs(mut payloads: &[Bytes]) -> impl Iterator<Item = &[Bytes]> {
        std::iter::from_fn(move || {
            let mut bytes = LENGTH_BYTES;
            let fits = |payload: &&Bytes| {
                bytes += LENGTH_BYTES + payload.len();
                bytes <= Self::BYTES_MAX
            };
            let count = payloads.iter().take_while(fits).count().max(1);
            let (run, rest) = payloads.split_at_checked(count)?;
            payloads = rest;
            Some(run)
        })
    }

    /// Makes the payload of a frame, of one [run](Self::runs): more payloads than fit are refused by their reader. Short
    /// ones are copied, long ones shared.
    pub fn join(payloads: &[Bytes]) -> Body {
        let is_short = |payload: &&Bytes| payload.len() < Body::COPIED_BELOW_BYTES;
        let copied: usize = payloads.iter().filter(is_short).map(Bytes::len).sum();
        let mut joined = BytesMut::with_capacity(LENGTH_BYTES * (1 + payloads.len()) + copied);
        joined.put_u32_le(payloads.len() as u32);
        for payload in payloads {
            joined.put_u32_le(payload.len() as u32);
        }
        let mut pieces = Vec::new();
        for payload in payloads {
            // A piece of its own would cost more memory than a short payload has.
            if is_short(&payload) {
                joined.put_slice(payload);
            } else {
                pieces.extend([joined.split().freeze(), payload.clone()]);
            }
        }
        pieces.push(joined.freeze());
        pieces.into_iter().filter(|piece| !piece.is_empty()).collect()
    }

    /// Reads the payload of a frame.
    ///
    /// # Errors
    /// [`NotABundle`]: whoever has sent it is faulty.
    pub fn read(mut body: Bytes) -> Result<Self, NotABundle> {
        let bytes = body.len();
        let count = body.try_get_u32_le().map_err(|_| NotABundle)? as usize;
        let listed = count.checked_mul(LENGTH_BYTES).filter(|listed| *listed <= body.len());
        let bundle = Self { lengths: body.split_to(listed.ok_or(NotABundle)?), payloads: body };
        let sum = bundle.lengths().try_fold(0_usize, usize::checked_add);
        if sum == Some(bundle.payloads.len()) && (count == 1 || bytes <= Self::BYTES_MAX) {
            Ok(bundle)
        } else {
            Err(NotABundle)
        }
    }

    /// How many payloads there are.
    pub fn len(&self) -> usize {
        self.lengths.len() / LENGTH_BYTES
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    fn lengths(&self) -> impl Iterator<Item = usize> + '_ {
        self.lengths.chunks_exact(LENGTH_BYTES).map(|mut length| length.get_u32_le() as usize)
    }

    /// The payloads, to be looked at.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> + '_ {
        let mut rest = &self.payloads[..];
        self.lengths().map(move |length| rest.split_off(..length).unwrap_or_default())
    }

    /// The payloads, to be kept. They share the memory of the frame.
    pub fn payloads(&self) -> impl Iterator<Item = Bytes> + '_ {
        let mut rest = self.payloads.clone();
        self.lengths().map(move |length| rest.split_to(length))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Frame;

    fn whole(payloads: &[Bytes]) -> Bytes {
        Frame { header: Bytes::new(), body: Bundle::join(payloads) }.into_body()
    }

    fn read(payloads: &[Bytes]) -> Result<Vec<Bytes>, NotABundle> {
        Bundle::read(whole(payloads)).map(|bundle| bundle.payloads().collect())
    }

    #[test]
    fn a_run_fills_a_bundle_and_a_long_payload_has_one_for_itself() {
        const MAX: usize = Bundle::BYTES_MAX;
        let payloads = [MAX * 2, 1, MAX - 13, 1, MAX, 2].map(|size| Bytes::from(vec![0; size]));
        let runs: Vec<&[Bytes]> = Bundle::runs(&payloads).collect();
        assert_eq!(runs.iter().map(|run| run.len()).collect::<Vec<_>>(), [1, 2, 1, 1, 1]);
        assert_eq!(whole(runs[1]).len(), MAX);
        for run in runs {
            assert_eq!(read(run).as_deref(), Ok(run));
        }
        assert_eq!(Bundle::runs(&[]).count(), 0);
    }

    proptest! {
        #[test]
        fn what_is_joined_is_read_again(sizes in prop::collection::vec(0_usize..3000, 0..60), fill: u8) {
            let payloads: Vec<Bytes> = sizes.into_iter().map(|size| vec![fill; size].into()).collect();
            for run in Bundle::runs(&payloads) {
                prop_assert_eq!(read(run), Ok(run.to_vec()));
                let bundle = Bundle::read(whole(run)).unwrap();
                prop_assert_eq!((bundle.len(), bundle.is_empty()), (run.len(), run.is_empty()));
                prop_assert!(bundle.iter().eq(run.iter().map(|payload| &payload[..])));
            }
        }

        #[test]
        fn what_does_not_add_up_is_refused(
            payloads: Vec<Vec<u8>>, cut in any::<prop::sample::Index>(), more: bool,
        ) {
            let payloads: Vec<Bytes> = payloads.into_iter().map(Bytes::from).collect();
            let mut body = whole(&payloads).to_vec();
            if more { body.push(0) } else { body.truncate(cut.index(body.len())) }
            prop_assert_eq!(Bundle::read(body.into()), Err(NotABundle));
        }

        #[test]
        fn more_than_anybody_puts_together_is_refused(size in Bundle::BYTES_MAX / 4..Bundle::BYTES_MAX) {
            let payload = Bytes::from(vec![0; size]);
            let two = [payload.clone(), payload];
            let fits = whole(&two).len() <= Bundle::BYTES_MAX;
            prop_assert_eq!(read(&two).is_ok(), fits);
        }

        #[test]
        fn arbitrary_bytes_do_no_harm(body: Vec<u8>) {
            if let Ok(bundle) = Bundle::read(body.clone().into()) {
                prop_assert_eq!(whole(&bundle.payloads().collect::<Vec<_>>()), body);
            }
        }
    }
}
