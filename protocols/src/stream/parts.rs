//! Long frames travel in parts: whoever passes a frame on does so part by part, before it has all of it, and
//! whoever waits for one sees that it is coming.

use std::{collections::BTreeMap, ops::ControlFlow};

use bytes::{Buf, Bytes, BytesMut};
use quorate_membership::Seq;
use serde::{Deserialize, Serialize};

use super::Frame;
use crate::{Batch, weight::MESSAGE_BYTES_MIN};

/// Bytes of one frame that comes in parts. No message is so long that its frame exceeds it.
const FRAME_BYTES_MAX: u64 = 128 << 20;
/// Bytes of one frame that are sent again at one request, or a single longer part.
const AGAIN_BYTES: u64 = 1 << 20;
/// What the parts of frames that are not complete count for; beyond it the latest frames are lost.
const FRAMES_BYTES_MAX: u64 = FRAME_BYTES_MAX * 2;

/// A part of a sender's frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The rank of the frame's sender, who need not be whom the part comes from.
    pub rank: usize,
    /// The frame.
    pub seq: Seq,
    /// Why it comes.
    pub way: Way,
    /// Where it begins in the frame's heads and messages, one behind the other.
    pub offset: u64,
    /// Whether it is the last one, or the last one of an answer that is not the whole frame.
    pub ends: bool,
    /// What the frame is, with its first part.
    pub whole: Option<Box<Whole>>,
    /// The part alone, in one piece or several. It travels as raw payload behind the encoded header.
    #[serde(skip)]
    pub batch: Batch,
}

/// Why a part comes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub enum Way {
    /// Its sender sends each member a copy.
    Direct,
    /// It goes from member to member: the receiver hands it on to the next by rank.
    Relay,
    /// It was asked for.
    Refill,
}

/// What a frame that comes in parts is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Whole {
    /// The frame without its heads and messages.
    pub frame: Frame,
    /// Bytes of each head.
    pub heads: Vec<u32>,
    /// Bytes of each message.
    pub messages: Vec<u32>,
}

impl Whole {
    fn bytes(&self) -> u64 {
        self.heads.iter().chain(&self.messages).map(|bytes| u64::from(*bytes)).sum()
    }

    /// Puts heads and messages back into the frame.
    fn fill(self, mut body: Bytes) -> Frame {
        let Self { mut frame, heads, messages } = self;
        let mut cut = |lengths: Vec<u32>| lengths.into_iter().map(|n| body.split_to(n as usize)).collect();
        (frame.heads, frame.batch) = (cut(heads), cut(messages));
        frame
    }
}

impl Part {
    /// Where it ends in the frame.
    pub(crate) fn end(&self) -> u64 {
        self.batch.iter().fold(self.offset, |end, piece| end.saturating_add(piece.len() as u64))
    }

    /// What no correct member says.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let end = self.end();
        let is_empty = end == self.offset || self.batch.iter().any(Bytes::is_empty);
        let Some(whole) = &self.whole else {
            let first = self.offset == 0;
            let beyond = first || is_empty || end > FRAME_BYTES_MAX;
            return beyond.then_some("a part without a place in its frame");
        };
        let announced = whole.bytes();
        if self.offset != 0 || end > announced || announced > FRAME_BYTES_MAX {
            Some("a frame of another length than its first part says")
        } else if is_empty && announced > 0 {
            Some("a part without a place in its frame")
        } else if whole.frame.seq != self.seq {
            Some("a part of another frame")
        } else {
            let fits = whole.heads.is_empty() || whole.heads.len() == whole.messages.len();
            (!fits).then_some("heads that are not as many as the messages")
        }
    }
}

/// Cuts a frame of the sender with this rank into parts of so many bytes.
pub(crate) fn cut(frame: &Frame, (rank, way): (usize, Way), bytes: usize) -> Vec<Part> {
    let length = |payload: &Bytes| u32::try_from(payload.len()).expect("it is bounded far below");
    let (heads, messages) =
        (frame.heads.iter().map(length).collect(), frame.batch.iter().map(length).collect());
    let bare = Frame {
        seq: frame.seq,
        clock: frame.clock,
        after: frame.after.clone(),
        requests: frame.requests.clone(),
        heads: Batch::default(),
        batch: Batch::default(),
    };
    let mut whole = Some(Box::new(Whole { frame: bare, heads, messages }));
    let mut offset = 0;
    let mut part = |batch: Batch| {
        let part = Part { rank, seq: frame.seq, way, offset, ends: false, whole: whole.take(), batch };
        offset = part.end();
        part
    };
    let mut parts: Vec<Part> = slices(frame, bytes.max(1)).into_iter().map(&mut part).collect();
    if let Some(last) = parts.last_mut() {
        last.ends = true;
    }
    parts
}

/// The next parts of a frame for one who has so many bytes of it, as many as one answer holds.
pub(crate) fn again(frame: &Frame, rank: usize, bytes: usize, offset: u64) -> Vec<Part> {
    let lacks = |part: &Part| part.whole.is_some() && offset == 0 || part.end() > offset;
    let limit = offset.saturating_add(AGAIN_BYTES);
    let parts = cut(frame, (rank, Way::Refill), bytes).into_iter().filter(lacks);
    let mut answer: Vec<Part> = parts
        .enumerate()
        .take_while(|(n, part)| *n == 0 || part.end() <= limit)
        .map(|(_, part)| part)
        .collect();
    if let Some(last) = answer.last_mut() {
        last.ends = true;
    }
    answer
}

/// Heads and messages one behind the other, cut after so many bytes each time; at least one cut. Nothing is copied.
fn slices(frame: &Frame, bytes: usize) -> Vec<Batch> {
    let (mut all, mut part, mut room) = (Vec::new(), Vec::new(), bytes);
    for mut payload in frame.heads.iter().chain(&frame.batch).cloned() {
        while !payload.is_empty() {
            let slice = payload.split_to(room.min(payload.len()));
            room -= slice.len();
            part.push(slice);
            if room == 0 {
                all.push(std::mem::take(&mut part).into());
                room = bytes;
            }
        }
    }
    if !part.is_empty() || all.is_empty() {
        all.push(part.into());
    }
    all
}

/// A frame of which parts have come.
#[derive(Clone, Debug, Default)]
struct Partial {
    whole: Option<Box<Whole>>,
    /// By where they begin; none overlaps another.
    pieces: BTreeMap<u64, Bytes>,
    bytes: u64,
}

impl Partial {
    /// Takes what is new of a part. Members may cut at different places, so it may overlap what is here.
    fn insert(&mut self, mut offset: u64, pieces: &[Bytes], whole: Option<Box<Whole>>) {
        for piece in pieces {
            let end = offset + piece.len() as u64;
            let mut rest = piece.clone();
            while !rest.is_empty() {
                let at = end - rest.len() as u64;
                let before = self.pieces.range(..=at).next_back();
                let here = before.map_or(0, |(from, it)| (from + it.len() as u64).saturating_sub(at));
                let next = self.pieces.range(at + 1..).next().map_or(end, |(from, _)| *from);
                if here > 0 {
                    rest.advance(rest.len().min(here as usize));
                    continue;
                }
                let new = rest.split_to(rest.len().min((next - at) as usize));
                self.bytes += new.len() as u64;
                self.pieces.insert(at, new);
            }
            offset = end;
        }
        self.whole = self.whole.take().or(whole);
    }

    /// What it counts for.
    fn weight(&self) -> u64 {
        let lists = self.whole.as_ref().map_or(0, |whole| whole.heads.len() + whole.messages.len());
        self.bytes + ((self.pieces.len() + 1) * MESSAGE_BYTES_MIN + lists * size_of::<u32>()) as u64
    }

    /// The bytes that are here from the beginning on.
    fn begun(&self) -> u64 {
        let joins = |end: u64, (from, piece): (&u64, &Bytes)| {
            if *from == end {
                ControlFlow::Continue(end + piece.len() as u64)
            } else {
                ControlFlow::Break(end)
            }
        };
        match self.pieces.iter().try_fold(0, joins) {
            ControlFlow::Continue(end) | ControlFlow::Break(end) => end,
        }
    }

    /// The frame, once nothing of it is missing.
    fn complete(&mut self) -> Option<Frame> {
        let begun = self.begun();
        let whole = self.whole.take_if(|whole| whole.bytes() <= self.bytes && whole.bytes() <= begun)?;
        if self.pieces.len() == 1 {
            return self.pieces.pop_first().map(|(_, body)| whole.fill(body));
        }
        let mut body = BytesMut::with_capacity(self.bytes as usize);
        self.pieces.values().for_each(|piece| body.extend_from_slice(piece));
        Some(whole.fill(body.freeze()))
    }
}

/// What became of a part.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Taken {
    /// All of it was here.
    Known,
    /// Something of it was new; so many bytes of the frame are here from its beginning on.
    Begun(u64),
    /// It was the last that was missing.
    Complete(Frame),
}

/// Frames of which parts have come, whoever sent them, by their place and their sender's rank.
#[derive(Clone, Debug, Default)]
pub(crate) struct Partials {
    frames: BTreeMap<(Seq, usize), Partial>,
    weight: u64,
}

impl Partials {
    /// Takes in a part, which has no [fault](Part::fault).
    pub(crate) fn take(&mut self, part: Part) -> Taken {
        let Part { rank, seq, offset, whole, batch, .. } = part;
        let before = self.frames.get(&(seq, rank)).map_or(0, Partial::weight);
        let partial = self.frames.entry((seq, rank)).or_default();
        let known = (partial.bytes, partial.whole.is_some());
        partial.insert(offset, &batch, whole);
        self.weight = self.weight + partial.weight() - before;
        let weight = partial.weight();
        if let Some(frame) = partial.complete() {
            self.frames.remove(&(seq, rank));
            self.weight -= weight;
            self.forget(rank, seq);
            return Taken::Complete(frame);
        }
        let news = known != (partial.bytes, partial.whole.is_some());
        let begun = partial.begun();
        while self.weight > FRAMES_BYTES_MAX
            && let Some((_, last)) = self.frames.pop_last()
        {
            self.weight -= last.weight(); // as if it had been lost
        }
        if news { Taken::Begun(begun) } else { Taken::Known }
    }

    /// How many bytes of a frame are here from its beginning on.
    pub(crate) fn begun(&self, rank: usize, seq: Seq) -> u64 {
        let partial = self.frames.get(&(seq, rank)).filter(|partial| partial.whole.is_some());
        partial.map_or(0, Partial::begun)
    }

    /// Frames of the sender with this rank through this one are here.
    pub(crate) fn forget(&mut self, rank: usize, through: Seq) {
        let here = self.frames.extract_if(..=(through, usize::MAX), |(_, of), _| *of == rank);
        let weight: u64 = here.map(|(_, partial)| partial.weight()).sum();
        self.weight -= weight;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(seq: u64, heads: Vec<Vec<u8>>, messages: Vec<Vec<u8>>) -> Frame {
        let batch = |all: Vec<Vec<u8>>| all.into_iter().map(Bytes::from).collect();
        let (heads, batch) = (batch(heads), batch(messages));
        Frame { seq: Seq::new(seq), clock: 7, after: vec![Seq::new(3)], requests: vec![(0, 9)], heads, batch }
    }

    fn whole(taken: Taken) -> Option<Frame> {
        if let Taken::Complete(frame) = taken { Some(frame) } else { None }
    }

    proptest! {
        #[test]
        fn a_frame_that_is_cut_comes_out_as_it_was_with_the_last_part(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..6),
            headed: bool, bytes in 1_usize..60,
        ) {
            let heads = if headed { messages.iter().rev().cloned().collect() } else { Vec::new() };
            let frame = frame(4, heads, messages);
            let mut parts = cut(&frame, (1, Way::Relay), bytes);
            prop_assert!(parts.iter().all(|part| part.fault().is_none() && part.end() - part.offset <= bytes as u64));
            let (mut partials, last) = (Partials::default(), parts.pop().unwrap());
            for part in parts {
                prop_assert!(matches!(partials.take(part), Taken::Begun(_)));
            }
            prop_assert_eq!(partials.take(last), Taken::Complete(frame));
            prop_assert!(partials.frames.is_empty() && partials.weight == 0);
        }

        #[test]
        fn what_is_lost_of_a_frame_is_made_up_for_by_what_is_sent_again_in_any_order(
            lost in proptest::collection::vec(any::<bool>(), 5),
            order in Just((0..5).collect::<Vec<usize>>()).prop_shuffle(), bytes in 1_usize..60,
        ) {
            prop_assume!(lost.contains(&true));
            let (first, second) = (frame(1, vec![], vec![vec![1; 50]]), frame(2, vec![], vec![vec![2; 50]]));
            let [parts, next] = [&first, &second].map(|frame| cut(frame, (0, Way::Relay), 10));
            let again = cut(&first, (0, Way::Refill), bytes); // maybe by somebody who cuts elsewhere
            let mut partials = Partials::default();
            let mut take = |parts: &[Part], places: &[usize]| -> Vec<Frame> {
                places.iter().filter_map(|place| whole(partials.take(parts[*place].clone()))).collect()
            };
            let arrives: Vec<usize> = order.iter().copied().filter(|place| !lost[*place]).collect();
            prop_assert_eq!(take(&parts, &arrives), vec![]);
            prop_assert_eq!(take(&next, &[0]), vec![]);
            let places: Vec<usize> = (0..again.len()).rev().collect();
            prop_assert_eq!(take(&again, &places), vec![first]);
            prop_assert_eq!(take(&next, &[4, 3, 2, 1]), vec![second]);
            prop_assert!(partials.frames.is_empty() && partials.weight == 0);
        }
    }

    #[test]
    fn parts_of_frames_that_never_become_complete_do_not_fill_the_memory() {
        let mut partials = Partials::default();
        let half = Bytes::from(vec![0; 40 << 20]);
        for seq in 1..20 {
            let part = Part {
                rank: 0,
                seq: Seq::new(seq),
                way: Way::Direct,
                offset: 1,
                ends: false,
                whole: None,
                batch: half.clone().into(),
            };
            assert_eq!(partials.take(part), Taken::Begun(0));
            assert!(partials.weight <= FRAMES_BYTES_MAX && partials.frames.len() <= 6);
        }
        partials.forget(0, Seq::new(20));
        assert!(partials.frames.is_empty() && partials.weight == 0);
    }

    #[test]
    fn a_frame_longer_than_an_answer_comes_in_several_each_from_where_the_last_one_ended() {
        let long = frame(1, vec![], vec![vec![7; 9 << 20]]);
        let mut partials = Partials::default();
        let (mut answers, mut came) = (0, None);
        while came.is_none() {
            let offset = partials.begun(0, Seq::new(1));
            let parts = again(&long, 0, 1 << 20, offset);
            assert!(parts.len() == 1 && parts[0].offset == offset);
            assert!(parts.iter().rev().map(|part| part.ends).eq((0..parts.len()).map(|n| n == 0)));
            came = parts.into_iter().filter_map(|part| whole(partials.take(part))).last();
            answers += 1;
        }
        assert_eq!((answers, came), (9, Some(long)));
        assert_eq!(again(&frame(1, vec![], vec![vec![]]), 0, 10, 0).len(), 1, "a frame without bytes");
    }

    #[test]
    fn a_part_that_no_correct_member_sends_is_found_out() {
        let good = || cut(&frame(1, vec![], vec![vec![1; 50]]), (0, Way::Direct), 30);
        assert!(good().iter().all(|part| part.fault().is_none()));
        let wrong: [fn(&mut Part); 7] = [
            |part| part.batch = Batch::default(),
            |part| part.batch = Batch::from(vec![Bytes::new(), part.batch[0].clone()]),
            |part| part.offset = 1,
            |part| part.whole.as_mut().unwrap().messages = vec![20],
            |part| part.whole.as_mut().unwrap().messages = vec![u32::MAX; 3],
            |part| part.seq = Seq::new(2),
            |part| part.whole = None,
        ];
        for spoil in wrong {
            let mut part = good().remove(0);
            spoil(&mut part);
            assert!(part.fault().is_some(), "{part:?}");
        }
        let mut second = good().remove(1);
        second.offset = u64::MAX;
        assert!(second.fault().is_some());
    }
}
