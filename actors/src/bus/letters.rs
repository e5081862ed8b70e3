//! Messages of one subject that go to other nodes together, in one frame.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quorate_transport::Body;

use crate::wire::Malformed;

/// Payloads are put together until a frame has this many bytes of them.
const FRAME_BYTES: usize = 32 << 10;

/// Bytes in which the number of payloads stands, and the length of each.
const LENGTH_BYTES: usize = 4;

/// Cuts payloads into runs that are short enough for a frame, each of at least one.
pub(super) fn runs(mut payloads: &[Bytes]) -> impl Iterator<Item = &[Bytes]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |payload: &&Bytes| {
            bytes += LENGTH_BYTES + payload.len();
            bytes <= FRAME_BYTES
        };
        let count = payloads.iter().take_while(fits).count().max(1);
        let (run, rest) = payloads.split_at_checked(count)?;
        payloads = rest;
        Some(run)
    })
}

/// The payload of a frame: how many there are and how long each is, little endian, then all of them.
pub(super) fn join(payloads: &[Bytes]) -> Body {
    let short = |payload: &&Bytes| payload.len() < Body::COPIED_BELOW_BYTES;
    let copied: usize = payloads.iter().filter(short).map(Bytes::len).sum();
    let mut joined = BytesMut::with_capacity(LENGTH_BYTES * (1 + payloads.len()) + copied);
    joined.put_u32_le(payloads.len() as u32);
    for payload in payloads {
        joined.put_u32_le(payload.len() as u32);
    }
    let mut pieces = Vec::new();
    for payload in payloads {
        // A piece of its own would cost more memory than a short payload has.
        if short(&payload) {
            joined.put_slice(payload);
        } else {
            pieces.extend([joined.split().freeze(), payload.clone()]);
        }
    }
    pieces.push(joined.freeze());
    pieces.into_iter().filter(|piece| !piece.is_empty()).collect()
}

/// The payloads of a frame.
///
/// # Errors
/// [`Malformed`] if the lengths do not add up to what there is, or nobody would put so many together.
pub(super) fn split(mut body: Bytes) -> Result<Vec<Bytes>, Malformed> {
    let malformed = Malformed("bus");
    let count = body.try_get_u32_le().map_err(|_| malformed)? as usize;
    let Some(bytes) = count.checked_mul(LENGTH_BYTES).filter(|bytes| *bytes <= body.len()) else {
        return Err(malformed);
    };
    if count > 1 && body.len() > FRAME_BYTES {
        return Err(malformed);
    }
    let mut lengths = body.split_to(bytes);
    let mut payloads = Vec::with_capacity(count);
    while lengths.has_remaining() {
        let length = lengths.get_u32_le() as usize;
        if length > body.len() {
            return Err(malformed);
        }
        payloads.push(body.split_to(length));
    }
    if body.is_empty() { Ok(payloads) } else { Err(malformed) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quorate_transport::Frame;

    use super::*;

    fn whole(body: Body) -> Bytes {
        Frame { header: Bytes::new(), body }.into_body()
    }

    #[test]
    fn a_run_fills_a_frame_and_a_long_payload_has_one_for_itself() {
        let of = |sizes: &[usize]| sizes.iter().map(|size| Bytes::from(vec![0; *size])).collect::<Vec<_>>();
        let payloads = of(&[FRAME_BYTES * 2, 1, FRAME_BYTES - 9, 1, FRAME_BYTES, 2]);
        let lengths: Vec<usize> = runs(&payloads).map(<[Bytes]>::len).collect();
        assert_eq!(lengths, [1, 2, 1, 1, 1]);
        assert_eq!(runs(&[]).count(), 0);
    }

    proptest! {
        #[test]
        fn what_is_joined_is_split_again(sizes in prop::collection::vec(0_usize..3000, 0..30), fill: u8) {
            let payloads: Vec<Bytes> = sizes.into_iter().map(|size| vec![fill; size].into()).collect();
            for run in runs(&payloads) {
                prop_assert_eq!(split(whole(join(run))), Ok(run.to_vec()));
            }
        }

        #[test]
        fn more_than_anybody_puts_together_is_refused(size in FRAME_BYTES / 2..FRAME_BYTES) {
            let payload = Bytes::from(vec![0; size]);
            let two = [payload.clone(), payload];
            prop_assert_eq!(split(whole(join(&two))).is_ok(), 2 * (size + LENGTH_BYTES) <= FRAME_BYTES);
        }

        #[test]
        fn what_does_not_add_up_is_refused(payloads: Vec<Vec<u8>>, cut in any::<prop::sample::Index>(), more: bool) {
            let payloads: Vec<Bytes> = payloads.into_iter().map(Bytes::from).collect();
            let mut body = whole(join(&payloads)).to_vec();
            if more { body.push(0) } else { body.truncate(cut.index(body.len())) }
            prop_assert!(split(body.into()).is_err());
        }

        #[test]
        fn arbitrary_bytes_do_no_harm(body: Vec<u8>) {
            if let Ok(payloads) = split(body.clone().into()) {
                prop_assert_eq!(whole(join(&payloads)), body);
            }
        }
    }
}
