//! Group messages as bytes: a short header, and payloads that are never copied into it.

use std::sync::Arc;

use bytes::Bytes;
use quorate_protocols::{Batch, Message};
use quorate_transport::Body;
use serde::{Deserialize, Serialize};

/// An encoded group message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Packet {
    /// What [`decode`] needs to cut the body into payloads.
    pub(crate) header: Bytes,
    /// The payloads, to be sent back to back behind the header.
    pub(crate) body: Body,
}

/// Why bytes from a peer are no group message. Close the link they came on: the peer is faulty.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    /// The header is not what this version writes.
    #[error("malformed header of a group message; check that both nodes run the same version")]
    Header(#[from] rmp_serde::decode::Error),
    /// Bytes follow the header.
    #[error("{0} bytes follow the header of a group message")]
    Trailing(usize),
    /// The lengths do not add up to the body.
    #[error("the header announces {announced} bytes of payload, {present} came")]
    Length {
        /// What the header says.
        announced: u64,
        /// What there is.
        present: usize,
    },
    /// The payloads do not fit the kind of message.
    #[error("the header lists payloads of {listed} frames, the message has {present}")]
    Frames {
        /// Frames with payloads by the header.
        listed: usize,
        /// Frames in the message.
        present: usize,
    },
}

/// Why a message cannot be encoded: it was not sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EncodeError {
    /// A payload is longer than four GiB. Split it.
    #[error("a payload of {0} bytes is longer than a header can say; split it")]
    TooLong(usize),
    /// The header could not be written.
    #[error("the header of a group message could not be written")]
    Header(#[from] rmp_serde::encode::Error),
}

/// Lengths of the payloads, per frame, and the message without them.
#[derive(Deserialize, Serialize)]
struct Header(Vec<Vec<u32>>, Message);

/// Encodes a message; its payloads are shared, not copied.
///
/// # Errors
/// [`EncodeError`] if a payload is too long to be described.
pub(crate) fn encode(mut message: Message) -> Result<Packet, EncodeError> {
    let batches: Vec<Batch> = message.body.batches_mut().into_iter().map(std::mem::take).collect();
    let lengths = batches.iter().map(|batch| batch.iter().map(length).collect());
    let header = Header(lengths.collect::<Result<_, _>>()?, message);
    let header = rmp_serde::to_vec(&header)?.into();
    let mut full = batches.iter().filter(|batch| !batch.is_empty());
    let body = match (full.next().and_then(Batch::shared), full.next()) {
        (Some(pieces), None) => Arc::clone(pieces).into(),
        _ => batches.iter().flatten().cloned().collect(),
    };
    Ok(Packet { header, body })
}

fn length(payload: &Bytes) -> Result<u32, EncodeError> {
    u32::try_from(payload.len()).map_err(|_| EncodeError::TooLong(payload.len()))
}

/// Decodes what [`encode`] made; `body` is all payloads back to back, which become slices of it.
///
/// # Errors
/// [`DecodeError`] for any other bytes.
pub(crate) fn decode(header: &[u8], mut body: Bytes) -> Result<Message, DecodeError> {
    let mut rest = header;
    let Header(lengths, mut message) = rmp_serde::from_read(&mut rest)?;
    if !rest.is_empty() {
        return Err(DecodeError::Trailing(rest.len()));
    }
    let announced: u64 = lengths.iter().flatten().map(|n| u64::from(*n)).sum();
    if announced != body.len() as u64 {
        return Err(DecodeError::Length { announced, present: body.len() });
    }
    let mut places = message.body.batches_mut();
    let frames = places.len();
    if frames != lengths.len() {
        return Err(DecodeError::Frames { listed: lengths.len(), present: frames });
    }
    for (place, batch) in places.iter_mut().zip(lengths) {
        **place = batch.into_iter().map(|n| body.split_to(n as usize)).collect();
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quorate_membership::{Seq, ViewId};
    use quorate_protocols::{Body, Frame, Part, Purpose, Row, Way, Whole};

    use super::*;

    fn payloads() -> impl Strategy<Value = Batch> {
        let payload = proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
        proptest::collection::vec(payload, 0..5).prop_map(Batch::from)
    }

    /// What is decoded holds exactly the bytes that came, and is encoded as itself again.
    fn check_decoded(header: &[u8], body: Vec<u8>) {
        let size = body.len();
        let Ok(mut message) = decode(header, body.into()) else { return };
        let payloads = message.body.batches_mut().into_iter().flat_map(|batch| batch.iter());
        assert_eq!(payloads.map(Bytes::len).sum::<usize>(), size);
        let packet = encode(message.clone()).unwrap();
        assert_eq!(decode(&packet.header, packet.body.concat().into()).unwrap(), message);
    }

    proptest! {
        #[test]
        fn data_and_refills_come_back_as_they_were(batches in proptest::collection::vec(payloads(), 1..4)) {
            let heads = batches[0].clone();
            let data = Body::Data { row: Row::default(), requests: vec![(0, 3)], heads, batch: batches[0].clone(), row_wanted: true };
            let purposes = vec![Purpose::Answer(7); batches[0].len()];
            let direct = Body::Direct { first: Seq::new(2), purposes, batch: batches[0].clone() };
            let frame = |batch| Frame { seq: Seq::new(4), clock: 9, after: vec![Seq::new(1)], requests: vec![], heads: Batch::default(), batch };
            let part = batches[0].clone();
            let refill = Body::Refill { rank: 1, frames: batches.into_iter().map(frame).collect() };
            let part = Part {
                rank: 2,
                seq: Seq::new(4),
                way: Way::Relay,
                offset: 7,
                ends: true,
                whole: Some(Box::new(Whole { frame: frame(Batch::default()), heads: vec![1], messages: vec![2, 3] })),
                batch: part,
            };
            for body in [data, direct, refill, Body::Part(part), Body::Where] {
                let message = Message { view: ViewId { lineage: 5, epoch: 2 }, body };
                let packet = encode(message.clone()).unwrap();
                prop_assert_eq!(decode(&packet.header, packet.body.concat().into()).unwrap(), message);
            }
        }

        #[test]
        fn arbitrary_bytes_are_refused_or_are_what_could_have_been_encoded(header: Vec<u8>, body: Vec<u8>) {
            check_decoded(&header, body);
        }

        #[test]
        fn a_damaged_header_is_refused_or_is_what_could_have_been_encoded(
            batches in proptest::collection::vec(payloads(), 1..4),
            at in any::<prop::sample::Index>(), byte: u8,
        ) {
            let frame = |batch| Frame { seq: Seq::new(4), clock: 9, after: vec![], requests: vec![], heads: Batch::default(), batch };
            let data = Body::Data { row: Row::default(), requests: vec![(0, 3)], heads: batches[0].clone(), batch: batches[0].clone(), row_wanted: false };
            let refill = Body::Refill { rank: 1, frames: batches.into_iter().map(frame).collect() };
            for body in [data, refill, Body::Where] {
                let packet = encode(Message { view: ViewId { lineage: 5, epoch: 2 }, body }).unwrap();
                let mut header = packet.header.to_vec();
                let place = at.index(header.len());
                header[place] = byte;
                check_decoded(&header, packet.body.concat());
            }
        }
    }
}
