//! What nodes say to each other outside the groups' own language, as bytes.

use bytes::{BufMut, Bytes, BytesMut};
use quorate_membership::{Beat, GroupId, ViewId};
use quorate_protocols::{Message, bus::Marks};
use quorate_transport::{Body, Frame, Lane};

use crate::group::Packet;

/// The lane of the bus between nodes.
pub(crate) const BUS_LANE: Lane = Lane::Data(1);

/// Marks the lanes of groups, of those who use a node, and of the answers to them.
const GROUP_BIT: u64 = 1 << 63;
const ASK_BIT: u64 = 1 << 62;
const TELL_BIT: u64 = 1 << 61;

/// A pair of lanes on which a node is used: by a client as a whole, or by another node for one
/// group that it does not carry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct UseLanes {
    /// To the node that is used.
    pub(crate) ask: Lane,
    /// Back.
    pub(crate) tell: Lane,
}

impl UseLanes {
    /// Those of a client.
    pub(crate) const CLIENT: Self = Self { ask: Lane::Data(ASK_BIT), tell: Lane::Data(TELL_BIT) };

    /// Those for one group.
    pub(crate) const fn group(group: GroupId) -> Self {
        // Never those of a client: the lowest bit is always set.
        let number = group.get() & (TELL_BIT - 1) | 1;
        Self { ask: Lane::Data(number | ASK_BIT), tell: Lane::Data(number | TELL_BIT) }
    }

    /// The pair to which a lane belongs on which a node is used.
    pub(crate) const fn asked_on(lane: Lane) -> Option<Self> {
        match lane {
            Lane::Data(number) if number & GROUP_BIT == 0 && number & ASK_BIT != 0 => {
                Some(Self { ask: lane, tell: Lane::Data(number & !ASK_BIT | TELL_BIT) })
            }
            _ => None,
        }
    }

    /// Whether answers come on a lane.
    pub(crate) const fn is_tell(lane: Lane) -> bool {
        matches!(lane, Lane::Data(number) if number & (GROUP_BIT | ASK_BIT) == 0 && number & TELL_BIT != 0)
    }
}

const GROUP: u8 = 1;
const MARKS_WANTED: u8 = 2;
const MARKS: u8 = 3;

const BEAT: u8 = 1;
const SWIM: u8 = 2;
const ASKING_BEAT: u8 = 3;

/// A frame that is not what this version writes. The peer is faulty.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a malformed frame on the {0} lane")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// What a frame of the control lane or the bulk lane says.
#[derive(Debug, PartialEq)]
pub(crate) enum Said {
    /// A message of a group.
    Group(GroupId, Frame),
    /// Asks for the marks at the beginning of a view.
    MarksWanted(GroupId, ViewId),
    /// Tells them.
    Marks(GroupId, ViewId, Marks),
}

fn header(kind: u8, group: GroupId, rest: &[u8]) -> Bytes {
    let mut header = BytesMut::with_capacity(9 + rest.len());
    header.put_u8(kind);
    header.put_u64(group.get());
    header.put_slice(rest);
    header.freeze()
}

fn view_bytes(view: ViewId) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&view.lineage.to_be_bytes());
    bytes[8..].copy_from_slice(&view.epoch.to_be_bytes());
    bytes
}

/// The lane that a group's message takes: what is urgent must not wait behind data, nor data behind
/// bulk.
pub(crate) fn lane_of(group: GroupId, message: &Message) -> Lane {
    if message.is_bulk() {
        Lane::Bulk
    } else if message.is_urgent() {
        Lane::Control
    } else {
        Lane::Data(group.get())
    }
}

/// A group's message as a frame on its lane; lanes that groups share need the group's name.
pub(crate) fn group_frame(group: GroupId, lane: Lane, packet: Packet) -> Frame {
    let Packet { header: inner, body } = packet;
    let header = if let Lane::Data(_) = lane { inner } else { header(GROUP, group, &inner) };
    Frame { header, body }
}

pub(crate) fn marks_wanted(group: GroupId, view: ViewId) -> (Lane, Frame) {
    (Lane::Control, Frame { header: header(MARKS_WANTED, group, &view_bytes(view)), body: Body::default() })
}

pub(crate) fn marks(group: GroupId, view: ViewId, marks: &Marks) -> Option<(Lane, Frame)> {
    let body =
        rmp_serde::to_vec(marks).inspect_err(|error| tracing::error!(%error, "marks not sent")).ok()?;
    Some((
        Lane::Bulk,
        Frame { header: header(MARKS, group, &view_bytes(view)), body: Bytes::from(body).into() },
    ))
}

/// Understands a frame of the control lane or the bulk lane.
pub(crate) fn understand(frame: Frame) -> Result<Said, Malformed> {
    let bad = Malformed("control");
    let (kind, rest) = frame.header.split_first().ok_or(bad)?;
    let (group, rest) = rest.split_first_chunk::<8>().ok_or(bad)?;
    let group = GroupId::new(u64::from_be_bytes(*group));
    if *kind == GROUP {
        let inner = frame.header.slice(9..);
        return Ok(Said::Group(group, Frame { header: inner, body: frame.body }));
    }
    let (lineage, epoch) = rest.split_first_chunk::<8>().ok_or(bad)?;
    let view = ViewId {
        lineage: u64::from_be_bytes(*lineage),
        epoch: u64::from_be_bytes(epoch.try_into().map_err(|_| bad)?),
    };
    match *kind {
        MARKS_WANTED => Ok(Said::MarksWanted(group, view)),
        MARKS => {
            let marks = rmp_serde::from_slice(&frame.into_body()).map_err(|_| bad)?;
            Ok(Said::Marks(group, view, marks))
        }
        _ => Err(bad),
    }
}

/// What a datagram says.
#[derive(Debug, PartialEq)]
pub(crate) enum Datagram {
    Beat(Beat),
    Swim(Bytes),
}

pub(crate) fn beat(beat: Beat) -> Bytes {
    let mut bytes = BytesMut::with_capacity(17);
    bytes.put_u8(if beat.asks { ASKING_BEAT } else { BEAT });
    bytes.put_u64(beat.sequence);
    bytes.put_u64(beat.echo);
    bytes.freeze()
}

pub(crate) fn swim(datagram: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(1 + datagram.len());
    bytes.put_u8(SWIM);
    bytes.put_slice(datagram);
    bytes.freeze()
}

pub(crate) fn read_datagram(bytes: &Bytes) -> Result<Datagram, Malformed> {
    let bad = Malformed("datagram");
    let (kind, rest) = bytes.split_first().ok_or(bad)?;
    match *kind {
        BEAT | ASKING_BEAT => {
            let (sequence, rest) = rest.split_first_chunk::<8>().ok_or(bad)?;
            let echo = rest.try_into().map_err(|_| bad)?;
            let (sequence, echo) = (u64::from_be_bytes(*sequence), u64::from_be_bytes(echo));
            Ok(Datagram::Beat(Beat { sequence, echo, asks: *kind == ASKING_BEAT }))
        }
        SWIM => Ok(Datagram::Swim(bytes.slice(1..))),
        _ => Err(bad),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quorate_membership::Seq;
    use quorate_protocols::{Body, ChunkLabel, Purpose};

    use super::*;

    #[test]
    fn data_waits_behind_nothing_but_data_and_what_is_urgent_behind_neither_data_nor_state() {
        let (group, view) = (GroupId::new(7), ViewId { lineage: 1, epoch: 1 });
        let lane = |body| lane_of(group, &Message { view, body });
        let letters = Body::Direct {
            first: Seq::new(1),
            purposes: vec![Purpose::Message],
            batch: Bytes::from("it").into(),
        };
        let label = ChunkLabel { snapshot: view, length: 1, digest: 1, offset: 0, check: 1 };
        assert_eq!(lane(letters), Lane::Data(7));
        assert_eq!(lane(Body::State { label, batch: Bytes::from("s").into() }), Lane::Bulk);
        assert_eq!(lane(Body::Opinion { lost: Vec::new(), sealed: false }), Lane::Control);
        assert_eq!(lane(Body::Where), Lane::Control);
    }

    proptest! {
        #[test]
        fn what_is_written_is_understood(group: u64, lineage: u64, epoch: u64, beats: [u64; 2], asks: bool) {
            let (group, view) = (GroupId::new(group), ViewId { lineage, epoch });
            let said = understand(marks_wanted(group, view).1).unwrap();
            prop_assert_eq!(said, Said::MarksWanted(group, view));
            let said = understand(marks(group, view, &Marks::default()).unwrap().1).unwrap();
            prop_assert_eq!(said, Said::Marks(group, view, Marks::default()));
            let packet = Packet { header: "head".into(), body: Bytes::from("body").into() };
            let frame = group_frame(group, Lane::Bulk, packet);
            let inner = Frame { header: "head".into(), body: Bytes::from("body").into() };
            prop_assert_eq!(understand(frame).unwrap(), Said::Group(group, inner));
            let datagram = Beat { sequence: beats[0], echo: beats[1], asks };
            prop_assert_eq!(read_datagram(&beat(datagram)).unwrap(), Datagram::Beat(datagram));
        }

        #[test]
        fn arbitrary_bytes_are_refused_or_are_what_could_have_been_written(
            kind in 0..5_u8, rest: Vec<u8>, body: Vec<u8>,
        ) {
            let header = Bytes::from([&[kind][..], &rest].concat());
            if let Ok(datagram) = read_datagram(&header) {
                let again = match datagram {
                    Datagram::Beat(it) => beat(it),
                    Datagram::Swim(bytes) => swim(&bytes),
                };
                prop_assert_eq!(again, header.clone());
            }
            let frame = Frame { header, body: vec![body.into()].into() };
            if let Ok(said) = understand(frame) {
                let again = match &said {
                    Said::Group(group, Frame { header, body }) => {
                        let packet = Packet { header: header.clone(), body: body.clone() };
                        group_frame(*group, Lane::Control, packet)
                    }
                    Said::MarksWanted(group, view) => marks_wanted(*group, *view).1,
                    Said::Marks(group, view, it) => marks(*group, *view, it).unwrap().1,
                };
                prop_assert_eq!(understand(again), Ok(said));
            }
        }
    }
}
