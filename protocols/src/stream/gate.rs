//! The gates: which frame may be delivered next.

use quorate_membership::{Cut, Seq, agreement::Breach};

use super::{Frame, Passed, Stream};
use crate::Order;

impl Stream {
    /// Delivers the next frame that the group's order allows, if there is one.
    pub(crate) fn deliver_next(&mut self) -> Option<Passed> {
        let sender = match self.order {
            Order::Fifo => (0..self.members()).find(|s| self.head(*s).is_some() && self.is_kept(*s)),
            Order::Causal => (0..self.members())
                .find(|s| self.head(*s).is_some_and(|f| self.is_caused(*s, f)) && self.is_kept(*s)),
            Order::Total => self.oldest().filter(|s| self.all_went_past(*s) && self.is_kept(*s)),
            Order::Uniform => self.oldest().filter(|s| self.all_went_past(*s) && self.is_uniform(*s)),
        }?;
        let uniform = self.is_uniform(sender) && self.head(sender).is_some_and(|f| self.is_closed(f));
        Some(self.pass(sender, uniform))
    }

    /// Delivers the next frame below the cut of a view that is closed, in the view's order.
    ///
    /// In the total orders that is time-stamp order, which continues what was delivered before:
    /// a frame passes the gate only when no older one can still arrive.
    pub(crate) fn deliver_up_to(&mut self, cut: &Cut) -> Option<Passed> {
        let below = |s: &usize| self.delivered[*s] < cut.0[*s] && self.head(*s).is_some();
        let mut left = (0..self.members()).filter(below);
        let sender = match self.order {
            Order::Fifo => left.next(),
            Order::Causal => left.find(|s| self.head(*s).is_some_and(|f| self.is_caused(*s, f))),
            Order::Total | Order::Uniform => left.min_by_key(|s| self.head(*s).map(|f| (f.clock, *s))),
        }?;
        // The cut is decided: whoever goes on delivers what lies below it.
        Some(self.pass(sender, true))
    }

    /// Whether everything below the cut is held here.
    pub(crate) fn holds(&self, cut: &Cut) -> bool {
        self.logs.iter().zip(&cut.0).all(|(log, seq)| log.received() >= *seq)
    }

    /// Whether everything below the cut was delivered here.
    pub(crate) fn delivered_all(&self, cut: &Cut) -> bool {
        self.delivered.iter().zip(&cut.0).all(|(delivered, seq)| delivered >= seq)
    }

    fn pass(&mut self, sender: usize, uniform: bool) -> Passed {
        let frame = self.head(sender).expect("only a frame that is here is passed");
        let Frame { seq, requests, heads, batch, .. } = frame.clone();
        let passed = Passed { sender, seq, uniform, requests, heads, batch };
        self.delivered[sender] = passed.seq;
        self.note_own_row();
        self.free();
        self.check();
        passed
    }

    /// The next frame of a sender, if it is here.
    fn head(&self, sender: usize) -> Option<&Frame> {
        self.logs[sender].get(self.delivered[sender].next())
    }

    /// Whether what the frame's sender had delivered before it has been delivered here.
    fn is_caused(&self, sender: usize, frame: &Frame) -> bool {
        let others = (0..self.members()).filter(|other| *other != sender);
        others.into_iter().all(|other| frame.after[other] <= self.delivered[other])
    }

    /// The sender whose next frame has the lowest time stamp; ties go to the senior.
    fn oldest(&self) -> Option<usize> {
        let prefers = |s: usize| self.breach == Some(Breach::TiesToOneself) && Some(s) == self.me;
        let heads = (0..self.members()).filter_map(|s| self.head(s).map(|f| (f.clock, !prefers(s), s)));
        heads.min().map(|(.., sender)| sender)
    }

    /// Whether no frame older than this sender's next can still arrive from anybody.
    fn all_went_past(&self, sender: usize) -> bool {
        let stamp = self.head(sender).map_or(0, |frame| frame.clock);
        self.logs.iter().all(|log| log.clock() >= stamp)
    }

    /// Whether what is delivered here will be in the cut. What a data member holds will; a learner,
    /// which is not asked when the view is closed, has to see that a majority holds it.
    fn is_kept(&self, sender: usize) -> bool {
        self.me.is_some() || self.is_uniform(sender)
    }

    /// Whether no cut leaves the frame out because what its sender had delivered before is lost:
    /// enough hold that as well. It is closed under causality itself. FIFO cuts leave nothing out.
    pub(super) fn is_closed(&self, frame: &Frame) -> bool {
        let held = |(sender, needs): (usize, &Seq)| self.held_by_enough(sender) >= *needs;
        self.order == Order::Fifo || frame.after.iter().enumerate().all(held)
    }

    fn is_uniform(&self, sender: usize) -> bool {
        let next: Seq = self.delivered[sender].next();
        self.held_by_enough(sender) >= next
    }
}
