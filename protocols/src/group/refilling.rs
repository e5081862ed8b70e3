//! Questions for missing frames, so far apart that none is sent again while it may be on its way: what is asked for at
//! every look fills a slow link with copies of what is on it already, and then nothing comes any more.
//!
//! An answer is waited for four times as long as the last one took, and longer if those before it have not come, within
//! bounds. What lies behind a hole was lost, for the frames of a sender come in order; it is asked for at once, and
//! so is what a view waits for that is being closed. A tail may only be slow: if nothing of it comes for a while, the
//! longer the slower frames came, one frame of it is asked for, and the rest when that has come as an answer.
//!
//! A learner asks for one frame first whatever is missing, and for twice as many after each answer, so that the first
//! one shows how slow its link is before much of the same is on it. Data members, for which others wait, ask sooner,
//! and for all that was lost.

use std::{collections::BTreeMap, time::Duration};

use quorate_membership::{NodeId, Seq, Time};

use super::{Effects, Group};
use crate::Frame;

/// Frames of one sender that are missing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lacking {
    pub(super) from: Seq,
    pub(super) through: Seq,
    /// Whether they cannot come by themselves.
    pub(super) lost: bool,
}

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spans {
    /// For a tail to come by itself.
    tail: Duration,
    /// For the next part of a frame of which one has come.
    part: Duration,
    /// For an answer, at least.
    least: Duration,
    /// For an answer, as far as those before it have not come: twice as long after each, up to this.
    doubled_most: Duration,
    /// For an answer, at most.
    most: Duration,
}

impl Spans {
    /// How long an answer is waited for, when so many have not come and the last one took so long.
    fn answer(&self, missed: usize, took: Duration) -> Duration {
        let doubled = self.least.saturating_mul(1 << missed.min(16)).min(self.doubled_most).max(self.least);
        doubled.max(took * 4).min(self.most)
    }
}

/// What is missing of one sender.
#[derive(Clone, Copy, Debug)]
struct Chase {
    /// The first frame that was missing when it was asked for, or noticed.
    from: Seq,
    /// Who was asked last, and how often somebody was since anything came.
    donor: Option<NodeId>,
    times: usize,
    since: Time,
    asked: Time,
    /// Whether something has come by itself after that.
    moved: bool,
    /// Whether what was asked for is lost with a link.
    lost: bool,
    again_at: Time,
}

impl Chase {
    const fn new(from: Seq, since: Time, again_at: Time) -> Self {
        Self { from, donor: None, times: 0, since, asked: since, moved: false, lost: false, again_at }
    }
}

/// The questions of one member, by the rank of the sender whose frames are missing.
#[derive(Debug, Default)]
pub(super) struct Refills {
    chases: BTreeMap<usize, Chase>,
    /// How long the latest answer took, or what came by itself after the question.
    took: Duration,
    /// Answers since one was missed.
    answers: u32,
    /// Answers that were missed.
    missed: usize,
    /// Whose frame has come directly and shows that one before it was lost.
    hole: Option<usize>,
}

impl Refills {
    /// Looks at what is missing from `from` on, `lost` if it cannot come by itself, and says whether to ask for it now.
    fn look(&mut self, now: Time, rank: usize, (from, lost): (Seq, bool), spans: Spans) -> bool {
        let fresh = Chase::new(from, now, now + spans.tail);
        let chase = self.chases.entry(rank).or_insert(fresh);
        if chase.from < from && chase.times > 0 && !chase.moved {
            // At most: it may have come long ago.
            (self.took, chase.moved) = (now.since(chase.asked).min(spans.most), true);
        }
        if chase.from < from && (chase.times == 0 || now >= chase.again_at) {
            *chase = Chase { lost: chase.lost, ..fresh }; // it came, or comes, by itself
        }
        (lost || chase.lost) && chase.times == 0 || now >= chase.again_at
    }

    /// Notes that somebody was asked for what follows `from`.
    fn note(&mut self, now: Time, rank: usize, (from, donor): (Seq, NodeId), spans: Spans) {
        let Some(chase) = self.chases.get_mut(&rank) else { return };
        if chase.times == 0 {
            (chase.from, chase.since) = (from, now);
        } else {
            (self.answers, self.missed) = (0, self.missed.wrapping_add(1));
        }
        chase.again_at = now + spans.answer(chase.times, self.took);
        (chase.times, chase.donor, chase.asked, chase.lost) = (chase.times + 1, Some(donor), now, false);
    }

    /// A part of the first missing frame has come: the rest of it may be on its way.
    pub(super) fn stir(&mut self, now: Time, rank: usize, from: Seq, spans: Spans) {
        let fresh = Chase::new(from, now, now);
        let chase = self.chases.entry(rank).or_insert(fresh);
        if chase.from < from {
            *chase = fresh;
        }
        chase.again_at = chase.again_at.max(now + spans.part);
    }

    /// Whom to ask of several: another one whenever an answer was missed.
    pub(super) fn turn(&self, donors: usize) -> usize {
        self.missed.checked_rem(donors).unwrap_or_default()
    }

    /// How many frames a learner asks for at once.
    fn frames(&self) -> u64 {
        1 << self.answers.min(32)
    }

    /// Frames have come. Those that were asked for before are no answer to the latest question.
    pub(super) fn on_frames(&mut self, now: Time, rank: usize, last: Seq) {
        if let Some(chase) = self.chases.get(&rank).filter(|chase| chase.times > 0 && chase.from <= last) {
            self.took = now.since(chase.since);
            self.answers = self.answers.saturating_add(1);
            self.chases.remove(&rank);
        }
    }

    /// What was asked of a member may be lost, for its link has broken, or is a new one: somebody is to be asked at once.
    pub(super) fn forget_donor(&mut self, now: Time, node: NodeId) {
        for chase in self.chases.values_mut().filter(|chase| chase.donor == Some(node)) {
            (chase.donor, chase.times, chase.again_at, chase.lost) = (None, 0, now, true);
        }
    }

    /// The sender with this rank is not asked for any more.
    pub(super) fn forget(&mut self, rank: usize) {
        self.chases.remove(&rank);
    }

    /// A frame of the sender with this rank has come from itself, and an earlier one has not.
    pub(super) fn note_hole(&mut self, rank: usize) {
        self.hole = Some(rank);
    }

    /// A view begins, with other ranks.
    pub(super) fn clear(&mut self) {
        self.chases.clear();
        self.hole = None;
    }
}

impl Group {
    /// How long this member waits.
    pub(super) fn spans(&self) -> Spans {
        let (round, resend) = (self.config.timing.round(), self.config.timing.resend());
        if self.is_learner() {
            return Spans { tail: round, part: round, least: round, doubled_most: round, most: round * 16 };
        }
        // Others wait for it. From member to member a frame takes longer than its sender's counters to each.
        let least = if self.is_relaying() { round / 2 } else { resend / 2 };
        let tail = if self.is_relaying() { least } else { Duration::ZERO };
        // The next view waits for what is missing of one that is being closed.
        let (doubled_most, most) = if self.is_open() { (round / 4, round * 2) } else { (resend, round / 2) };
        let tail = (self.refills.took * 2).clamp(tail, round.min(most));
        Spans { tail, part: round.min(most), least, doubled_most, most }
    }

    /// Asks a donor for frames of the member with this rank, unless they may be on their way.
    pub(super) fn fetch(&mut self, donor: NodeId, rank: usize, lacking: Lacking, out: &mut Effects) {
        let (spans, Lacking { from, through, lost }) = (self.spans(), lacking);
        if !self.refills.look(self.now, rank, (from, lost), spans) {
            return;
        }
        let frames = match (self.is_learner(), lost) {
            (true, _) => self.refills.frames(),
            (false, true) => u64::MAX,
            (false, false) => 1,
        };
        self.refills.note(self.now, rank, (from, donor), spans);
        let last = Seq::new(from.get().saturating_add(frames - 1));
        self.fetch_now(donor, rank, (from, last.min(through)), out);
    }

    /// Asks for what was lost before a frame that has just come, and for no more: what follows it is on its way. Of
    /// several senders one is asked, and the others at their next frame or at the next tick.
    pub(super) fn fetch_hole(&mut self, out: &mut Effects) {
        let Some(rank) = self.refills.hole.take().filter(|_| self.may_acknowledge()) else { return };
        if let Some((from, through)) = self.stream.as_ref().and_then(|stream| stream.hole(rank)) {
            self.fetch_gap(rank, Lacking { from, through, lost: true }, out);
        }
    }

    pub(super) fn note_refill(&mut self, rank: usize, frames: &[Frame]) {
        if let Some(last) = frames.iter().map(|frame| frame.seq).max() {
            self.refills.on_frames(self.now, rank, last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPANS: Spans =
        Spans { tail: ms(50), part: ms(80), least: ms(200), doubled_most: ms(200), most: ms(3000) };
    const DONOR: NodeId = NodeId::new(2);

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn at(millis: u64) -> Time {
        Time::ZERO + ms(millis)
    }

    /// When it asks, looking every ten milliseconds for so long; what is missing never changes.
    fn asks(refills: &mut Refills, lost: bool, (from, until): (u64, u64)) -> Vec<u64> {
        let mut asked = Vec::new();
        for now in (from..until).step_by(10) {
            if refills.look(at(now), 0, (Seq::new(7), lost), SPANS) {
                refills.note(at(now), 0, (Seq::new(7), DONOR), SPANS);
                asked.push(now);
            }
        }
        asked
    }

    #[test]
    fn what_was_lost_is_asked_for_at_once_and_again_when_no_answer_comes() {
        let mut refills = Refills::default();
        assert_eq!(asks(&mut refills, true, (0, 500)), [0, 200, 400]);
        assert_eq!((refills.chases[&0].times, refills.frames()), (3, 1));
    }

    #[test]
    fn a_tail_is_asked_for_only_if_nothing_of_it_comes() {
        let mut refills = Refills::default();
        for (now, from) in [(0, 1), (40, 2), (80, 3), (120, 4)] {
            assert!(!refills.look(at(now), 0, (Seq::new(from), false), SPANS), "{now}");
        }
        assert!(!refills.look(at(160), 0, (Seq::new(4), false), SPANS));
        assert!(refills.look(at(170), 0, (Seq::new(4), false), SPANS));
    }

    #[test]
    fn an_answer_that_does_not_come_is_waited_for_twice_as_long_each_time_up_to_a_bound() {
        let (mut refills, spans) = (Refills::default(), Spans { doubled_most: ms(1000), ..SPANS });
        let mut asked = Vec::new();
        for now in (0..5000).step_by(10) {
            if refills.look(at(now), 0, (Seq::new(7), true), spans) {
                refills.note(at(now), 0, (Seq::new(7), DONOR), spans);
                asked.push(now);
            }
        }
        assert_eq!(asked, [0, 200, 600, 1400, 2400, 3400, 4400]);
    }

    #[test]
    fn what_comes_by_itself_after_a_question_shows_how_slow_the_link_is() {
        let mut refills = Refills::default();
        assert_eq!(asks(&mut refills, false, (0, 60)), [50]);
        assert!(!refills.look(at(190), 0, (Seq::new(8), false), SPANS), "it came after 140 ms");
        assert!(!refills.look(at(230), 0, (Seq::new(9), false), SPANS));
        assert_eq!(refills.took, ms(140), "what follows it is not what was asked for");
        assert_eq!(asks(&mut Refills { took: ms(140), ..Refills::default() }, true, (0, 600)), [0, 560]);
    }

    #[test]
    fn a_frame_of_which_parts_keep_coming_is_not_asked_for() {
        let mut refills = Refills::default();
        for now in (0..400).step_by(40) {
            assert!(!refills.look(at(now), 0, (Seq::new(1), false), SPANS), "{now}");
            refills.stir(at(now), 0, Seq::new(1), SPANS);
        }
        assert!(!refills.look(at(430), 0, (Seq::new(1), false), SPANS));
        assert!(refills.look(at(440), 0, (Seq::new(1), false), SPANS), "nothing came for 80 ms");
    }

    #[test]
    fn an_answer_that_took_long_lets_the_next_one_take_longer_and_a_late_copy_is_none() {
        let mut refills = Refills::default();
        assert_eq!(asks(&mut refills, true, (0, 350)), [0, 200]);
        refills.on_frames(at(350), 0, Seq::new(6));
        assert_eq!(refills.chases[&0].times, 2, "those were asked for before");
        refills.on_frames(at(350), 0, Seq::new(9));
        assert_eq!(asks(&mut refills, true, (350, 1800)), [350, 1750]);
        refills.forget_donor(at(1800), DONOR);
        assert_eq!(asks(&mut refills, false, (1800, 1810)), [1800], "what it had sent is lost");
    }

    #[test]
    fn what_was_asked_for_on_a_link_that_broke_is_asked_for_at_once_though_something_came() {
        let mut refills = Refills { took: ms(1000), ..Refills::default() };
        assert_eq!(asks(&mut refills, true, (0, 10)), [0]);
        refills.forget_donor(at(20), DONOR);
        assert!(
            refills.look(at(30), 0, (Seq::new(8), false), SPANS),
            "a later frame is the first that is missing"
        );
    }

    #[test]
    fn one_that_does_not_answer_is_asked_again_after_all_others() {
        let mut refills = Refills::default();
        let mut turns = vec![refills.turn(3)];
        for now in [0, 200, 400] {
            assert_eq!(asks(&mut refills, true, (now, now + 10)), [now]);
            turns.push(refills.turn(3));
        }
        refills.on_frames(at(450), 0, Seq::new(9));
        turns.push(refills.turn(3));
        assert_eq!(turns, [0, 0, 1, 2, 2], "an answer changes nothing");
        assert_eq!(refills.turn(0), 0);
    }

    #[test]
    fn a_learner_asks_for_twice_as_much_after_each_answer_until_one_is_missed() {
        let mut refills = Refills::default();
        for (now, frames) in [(0, 1), (100, 2), (200, 4), (300, 8)] {
            assert_eq!(refills.frames(), frames);
            assert_eq!(asks(&mut refills, true, (now, now + 10)), [now]);
            refills.on_frames(at(now + 50), 0, Seq::new(9));
        }
        assert_eq!(asks(&mut refills, true, (400, 650)), [400, 600]);
        assert_eq!(refills.frames(), 1);
    }

    #[test]
    fn what_comes_by_itself_after_a_question_is_no_answer_and_ends_the_wait_for_one() {
        let mut refills = Refills::default();
        assert_eq!(asks(&mut refills, true, (0, 10)), [0]);
        let later = Seq::new(8);
        assert!(!refills.look(at(190), 0, (later, true), SPANS), "an answer may be on its way");
        assert!(!refills.look(at(60_000), 0, (later, false), SPANS), "a tail, which comes by itself");
        assert!(refills.look(at(60_000), 0, (later, true), SPANS), "a hole");
        refills.note(at(60_000), 0, (later, DONOR), SPANS);
        refills.on_frames(at(60_100), 0, later);
        assert_eq!(asks(&mut refills, true, (60_100, 60_510)), [60_100, 60_500], "it took but a moment");
    }
}
