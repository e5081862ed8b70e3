//! The bytes of a datagram: a header, then perhaps a count (16 bits) and so many updates.
//!
//! A roll call has its question or answer between the two. Headers and updates are `MessagePack` arrays without names. A datagram is decoded as a whole
//! before SWIM sees it, so that a bad one cannot be half applied.

use bytes::{Buf, BufMut, Bytes};
use foca::{Codec, Header, Member as Update, Message, ProbeNumber, State};
use rmp_serde::{Deserializer, decode};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{ClusterIdentity, roll::Roll};

/// A datagram larger than this is neither sent nor accepted: it fits into every IPv6 link's
/// smallest packet, with room for the headers of QUIC.
pub(super) const DATAGRAM_BYTES_MAX: usize = 1_150;

/// Arrays in arrays; what a datagram nests deeper is not ours.
const DEPTH_MAX: usize = 8;

/// Why bytes are no datagram of ours.
#[derive(Debug, thiserror::Error)]
pub(super) enum CodecError {
    #[error(transparent)]
    Decode(#[from] decode::Error),
    #[error(transparent)]
    Encode(#[from] rmp_serde::encode::Error),
    #[error("no room for {0} bytes")]
    Full(usize),
    #[error("unknown kind of message {0}")]
    Kind(u8),
    #[error("unknown state of a member {0}")]
    State(u8),
    #[error("{0} bytes that belong to nothing")]
    Trailing(usize),
}

#[derive(Serialize, Deserialize)]
struct WireHeader {
    from: ClusterIdentity,
    from_refutals: u16,
    to: ClusterIdentity,
    kind: u8,
    probe: u8,
    about: Option<ClusterIdentity>,
}

#[derive(Serialize, Deserialize)]
struct WireUpdate {
    about: ClusterIdentity,
    refutals: u16,
    state: u8,
}

/// A datagram that was decoded to its end.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) header: Header<ClusterIdentity>,
    /// What SWIM does not know of: the datagram is not for it then.
    pub(super) roll: Option<Roll>,
    pub(super) updates: Vec<Update<ClusterIdentity>>,
}

impl Datagram {
    /// Decodes a whole datagram, by the same rules as SWIM will afterwards.
    pub(super) fn decode(mut bytes: &[u8]) -> Result<Self, CodecError> {
        let header = MessagePack.decode_header(&mut bytes)?;
        let is_roll = header.message == Message::Broadcast;
        let roll = if is_roll { Some(take(&mut bytes)?) } else { None };
        let bare = is_bare(&header) || matches!(roll, Some(Roll::Ask { .. }));
        if bytes.len() == 1 || (bare && !bytes.is_empty()) {
            return Err(CodecError::Trailing(bytes.len()));
        }
        let mut updates = Vec::new();
        let count = if bytes.is_empty() { 0 } else { bytes.get_u16() };
        for _ in 0..count {
            updates.push(MessagePack.decode_member(&mut bytes)?);
        }
        if bytes.is_empty() {
            Ok(Self { header, roll, updates })
        } else {
            Err(CodecError::Trailing(bytes.len()))
        }
    }

    /// Everybody whom the datagram speaks of, its sender first.
    pub(super) fn named(&self) -> impl Iterator<Item = &ClusterIdentity> {
        std::iter::once(&self.header.src).chain(self.updates.iter().map(Update::id))
    }

    /// The member in whose name an indirect probe is sent or answered, if it is one.
    pub(super) fn third_party(&self) -> Option<&ClusterIdentity> {
        match &self.header.message {
            Message::PingReq { target: other, .. }
            | Message::IndirectPing { origin: other, .. }
            | Message::IndirectAck { target: other, .. }
            | Message::ForwardedAck { origin: other, .. } => Some(other),
            _ => None,
        }
    }
}

/// Whether a datagram with this header carries no updates.
fn is_bare(header: &Header<ClusterIdentity>) -> bool {
    matches!(header.message, Message::Announce | Message::TurnUndead)
}

/// Writes a roll call; returns it with the number of updates that there was room for.
pub(super) fn roll_call<'a>(
    header: &Header<ClusterIdentity>,
    roll: &Roll,
    updates: impl Iterator<Item = &'a Update<ClusterIdentity>>,
) -> Result<(Bytes, usize), CodecError> {
    let mut bytes = Vec::with_capacity(DATAGRAM_BYTES_MAX);
    MessagePack.encode_header(header, &mut bytes)?;
    put(roll, &mut bytes)?;
    let tally = bytes.len();
    let mut count = 0_u16;
    for update in updates {
        let room = bytes.len().max(tally + 2);
        bytes.resize(room, 0);
        MessagePack.encode_member(update, &mut bytes)?;
        if bytes.len() > DATAGRAM_BYTES_MAX {
            bytes.truncate(room);
            break;
        }
        count += 1;
    }
    if count == 0 {
        bytes.truncate(tally);
    } else {
        bytes[tally..tally + 2].copy_from_slice(&count.to_be_bytes());
    }
    Ok((bytes.into(), usize::from(count)))
}

/// The number of a direct probe, if one of our own datagrams is one.
pub(super) fn probe_number(datagram: &[u8]) -> Option<ProbeNumber> {
    match MessagePack.decode_header(datagram).ok()?.message {
        Message::Ping(number) => Some(number),
        _ => None,
    }
}

/// Adds an update to one of our own datagrams, unless its kind has none or there is no room.
pub(super) fn with_update(datagram: Bytes, update: &Update<ClusterIdentity>) -> Bytes {
    let mut rest = &datagram[..];
    let Ok(header) = MessagePack.decode_header(&mut rest) else { return datagram };
    if is_bare(&header) || header.message == Message::Broadcast {
        return datagram;
    }
    let head = datagram.len() - rest.len();
    let count = if rest.is_empty() { 0 } else { rest.get_u16() };
    let mut bytes = Vec::with_capacity(DATAGRAM_BYTES_MAX);
    bytes.extend_from_slice(&datagram[..head]);
    bytes.put_u16(count.saturating_add(1));
    bytes.extend_from_slice(rest);
    let written = MessagePack.encode_member(update, &mut bytes);
    if written.is_ok() && bytes.len() <= DATAGRAM_BYTES_MAX { bytes.into() } else { datagram }
}

/// Writes and reads one item at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct MessagePack;

fn put(item: &impl Serialize, mut buf: impl BufMut) -> Result<(), CodecError> {
    let bytes = rmp_serde::to_vec(item)?;
    if bytes.len() > buf.remaining_mut() {
        return Err(CodecError::Full(bytes.len()));
    }
    buf.put_slice(&bytes);
    Ok(())
}

fn take<T: DeserializeOwned>(mut buf: impl Buf) -> Result<T, CodecError> {
    let mut rest = buf.chunk();
    let before = rest.len();
    let mut decoder = Deserializer::new(&mut rest);
    decoder.set_max_depth(DEPTH_MAX);
    let item = T::deserialize(&mut decoder)?;
    let taken = before - rest.len();
    buf.advance(taken);
    Ok(item)
}

impl Codec<ClusterIdentity> for MessagePack {
    type Error = CodecError;

    fn encode_header(
        &mut self,
        header: &Header<ClusterIdentity>,
        buf: impl BufMut,
    ) -> Result<(), CodecError> {
        let (kind, probe, about) = match header.message.clone() {
            Message::Ping(probe) => (0, probe, None),
            Message::Ack(probe) => (1, probe, None),
            Message::PingReq { target, probe_number } => (2, probe_number, Some(target)),
            Message::IndirectPing { origin, probe_number } => (3, probe_number, Some(origin)),
            Message::IndirectAck { target, probe_number } => (4, probe_number, Some(target)),
            Message::ForwardedAck { origin, probe_number } => (5, probe_number, Some(origin)),
            Message::Announce => (6, 0, None),
            Message::Feed => (7, 0, None),
            Message::Gossip => (8, 0, None),
            Message::TurnUndead => (9, 0, None),
            // Would carry what applications add to the gossip, and carries the roll call instead.
            Message::Broadcast => (10, 0, None),
        };
        let (from, from_refutals, to) = (header.src, header.src_incarnation, header.dst);
        put(&WireHeader { from, from_refutals, to, kind, probe, about }, buf)
    }

    fn decode_header(&mut self, buf: impl Buf) -> Result<Header<ClusterIdentity>, CodecError> {
        let wire: WireHeader = take(buf)?;
        let probe_number = wire.probe;
        let message = match (wire.kind, wire.about) {
            (0, None) => Message::Ping(probe_number),
            (1, None) => Message::Ack(probe_number),
            (2, Some(target)) => Message::PingReq { target, probe_number },
            (3, Some(origin)) => Message::IndirectPing { origin, probe_number },
            (4, Some(target)) => Message::IndirectAck { target, probe_number },
            (5, Some(origin)) => Message::ForwardedAck { origin, probe_number },
            (6, None) => Message::Announce,
            (7, None) => Message::Feed,
            (8, None) => Message::Gossip,
            (9, None) => Message::TurnUndead,
            (10, None) => Message::Broadcast,
            (kind, _) => return Err(CodecError::Kind(kind)),
        };
        Ok(Header { src: wire.from, src_incarnation: wire.from_refutals, dst: wire.to, message })
    }

    fn encode_member(
        &mut self,
        update: &Update<ClusterIdentity>,
        buf: impl BufMut,
    ) -> Result<(), CodecError> {
        let state = match update.state() {
            State::Alive => 0,
            State::Suspect => 1,
            State::Down => 2,
        };
        put(&WireUpdate { about: *update.id(), refutals: update.incarnation(), state }, buf)
    }

    fn decode_member(&mut self, buf: impl Buf) -> Result<Update<ClusterIdentity>, CodecError> {
        let wire: WireUpdate = take(buf)?;
        let state = match wire.state {
            0 => State::Alive,
            1 => State::Suspect,
            2 => State::Down,
            other => return Err(CodecError::State(other)),
        };
        Ok(Update::new(wire.about, wire.refutals, state))
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::{Incarnation, Member, NodeId};

    #[test]
    fn the_largest_header_leaves_room_for_several_updates() {
        let member = Member::new(NodeId::new(u64::MAX), Incarnation::new(u64::MAX));
        let addr = SocketAddr::from(([u16::MAX; 8], u16::MAX));
        let id = ClusterIdentity::new(member, addr);
        let message = Message::IndirectAck { target: id, probe_number: u8::MAX };
        let header = Header { src: id, src_incarnation: u16::MAX, dst: id, message };
        let (mut head, mut tail) = (Vec::new(), Vec::new());
        MessagePack.encode_header(&header, &mut head).expect("fits");
        MessagePack.encode_member(&Update::new(id, u16::MAX, State::Down), &mut tail).expect("fits");
        assert!(head.len() + 2 + 8 * tail.len() <= DATAGRAM_BYTES_MAX, "{} {}", head.len(), tail.len());
        assert_eq!(MessagePack.decode_header(&head[..]).expect("own bytes"), header);
    }

    #[test]
    fn an_update_is_added_until_there_is_no_room_and_never_to_a_bare_message() {
        let id = ClusterIdentity::new(
            Member::new(NodeId::new(1), Incarnation::new(1)),
            SocketAddr::from(([127, 0, 0, 1], 4000)),
        );
        let update = Update::new(id, 3, State::Suspect);
        let encode = |message| {
            let mut bytes = Vec::new();
            let header = Header { src: id, src_incarnation: 0, dst: id, message };
            MessagePack.encode_header(&header, &mut bytes).expect("fits");
            Bytes::from(bytes)
        };
        let bare = encode(Message::Announce);
        assert_eq!(with_update(bare.clone(), &update), bare);
        let mut datagram = encode(Message::Ping(1));
        for count in 1.. {
            let longer = with_update(datagram.clone(), &update);
            if longer == datagram {
                break;
            }
            datagram = longer;
            assert_eq!(Datagram::decode(&datagram).expect("own bytes").updates, vec![update.clone(); count]);
        }
        let room = DATAGRAM_BYTES_MAX - datagram.len();
        assert!(room < 80, "{room} bytes of room were not used");
    }
}
