//! Who waits for whom here, since when, and what will happen: the answer to "why".

use std::fmt;

use quorate_membership::{Member, NodeId, Time, ViewId};

use super::{Group, SlowPolicy, transferring::Filling};

/// Something that this member waits for.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Wait {
    /// The group is being founded: so many of the declared nodes are needed, these are missing.
    Founders {
        /// Declared nodes that are out of reach.
        missing: Vec<NodeId>,
        /// When a majority goes on without the rest.
        until: Time,
    },
    /// This node is outside and asks to be admitted.
    Admission {
        /// The last view known.
        known: Option<ViewId>,
    },
    /// A node takes the group for another one: it stays out until one of them is set up anew.
    Stranger {
        /// The node.
        node: NodeId,
        /// What differs, in words.
        differs: String,
    },
    /// No majority of the view is in reach: nothing is delivered until it is, or until the others
    /// have gone on without this member.
    Majority {
        /// Acceptors out of reach.
        missing: Vec<NodeId>,
        /// Acceptors that have to be in reach.
        needed: usize,
    },
    /// A member is out of reach; it is removed once others lost it, too.
    Member {
        /// The member.
        node: NodeId,
        /// Since when.
        since: Time,
    },
    /// The view is being closed: messages wait for the next.
    ViewChange {
        /// The view.
        view: ViewId,
        /// Since when.
        since: Time,
        /// Who drives it, as far as this member can tell.
        coordinator: Option<NodeId>,
    },
    /// A view is decided, and frames below its cut are still missing here.
    Cut {
        /// The decided view.
        view: ViewId,
        /// Since when.
        since: Time,
    },
    /// The others wait for a member that lags.
    Slow {
        /// The member.
        member: Member,
        /// Bytes that it lacks.
        bytes: usize,
        /// Since when.
        since: Time,
        /// What happens then.
        policy: SlowPolicy,
        /// When it happens, if anything does.
        acts_at: Option<Time>,
    },
    /// This member is a newcomer whose state is incomplete.
    State {
        /// The view at whose beginning the state was.
        snapshot: ViewId,
        /// Bytes received.
        received: u64,
        /// Bytes of the whole, once that is known.
        length: Option<u64>,
        /// Who sends them, or is asked for them.
        donor: Option<NodeId>,
        /// Since when this member has been without a state.
        since: Time,
        /// Members that were asked and have sent nothing so far.
        silent: Vec<NodeId>,
        /// Members that have said that they have none, or sent one that was not intact.
        refused: Vec<NodeId>,
        /// When it asks again, or, if nobody is left to ask, asks to be admitted with a later state.
        asks_at: Option<Time>,
    },
    /// A learner has to catch up before it counts.
    Learner {
        /// The learner.
        member: Member,
        /// Bytes that it lacks.
        bytes: usize,
        /// Since when, as seen here.
        since: Time,
        /// If it was too slow: when it may count again at the earliest.
        barred_until: Option<Time>,
    },
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Founders { missing, until } => {
                write!(f, "waits for founders {}; a majority goes on without them at {until}", List(missing))
            }
            Self::Admission { known: Some(view) } => write!(f, "is outside {view} and asks to be admitted"),
            Self::Admission { known: None } => write!(f, "is outside and looks for the group"),
            Self::Stranger { node, differs } => {
                write!(f, "{node} is set up for another group of that name: {differs}")
            }
            Self::Majority { missing, needed } => {
                write!(f, "stands still: {needed} must be in reach, {} are not", List(missing))
            }
            Self::Member { node, since } => {
                write!(f, "{node} is out of reach since {since}; it is removed when another lost it, too")
            }
            Self::ViewChange { view, since, coordinator } => {
                write!(f, "{view} is being closed since {since}")?;
                coordinator.map_or(Ok(()), |node| write!(f, " by {node}"))
            }
            Self::Cut { view, since } => {
                write!(f, "{view} is decided since {since}; messages before it are being fetched")
            }
            Self::Slow { member, bytes, since, policy, acts_at } => {
                write!(f, "all wait for {member}, {bytes} bytes behind since {since}")?;
                match acts_at {
                    Some(at) if *policy == SlowPolicy::Demote => write!(f, "; it becomes a learner at {at}"),
                    Some(at) => write!(f, "; it is removed at {at}"),
                    None => write!(f, "; they will wait on"),
                }
            }
            Self::State { snapshot, received, length, donor, since, silent, refused, asks_at } => {
                write!(f, "gets the state of {snapshot} since {since}")?;
                donor.map_or(Ok(()), |node| write!(f, " from {node}"))?;
                match length {
                    Some(length) => write!(f, ": {received} of {length} bytes")?,
                    None => write!(f, ", which has not begun")?,
                }
                if !silent.is_empty() {
                    write!(f, "; nothing comes from {}", List(silent))?;
                }
                if !refused.is_empty() {
                    write!(f, "; {} have none", List(refused))?;
                }
                match (asks_at, donor) {
                    (Some(at), Some(_)) => write!(f, "; it asks again at {at}"),
                    (Some(at), None) => write!(f, "; it asks for a later one at {at}"),
                    (None, _) => Ok(()),
                }
            }
            Self::Learner { member, bytes, since, barred_until } => {
                write!(f, "{member} learns since {since}, {bytes} bytes behind")?;
                barred_until.map_or(Ok(()), |at| write!(f, "; it may count again at {at}"))
            }
        }
    }
}

struct List<'a>(&'a [NodeId]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, node) in self.0.iter().enumerate() {
            write!(f, "{}{node}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl Group {
    /// Everything that this member waits for; empty if all goes well.
    pub fn waits(&self) -> Vec<Wait> {
        if self.left {
            return Vec::new();
        }
        let stranger = |(node, differs): (NodeId, &str)| Wait::Stranger { node, differs: differs.to_owned() };
        let strangers = || self.strangers().map(stranger);
        let Some(view) = &self.view else {
            let known = self.known.as_ref().map(|view| view.id);
            return std::iter::once(Wait::Admission { known }).chain(strangers()).collect();
        };
        let missing: Vec<NodeId> = view.acceptors().filter(|m| !self.reaches(*m)).map(|m| m.node).collect();
        if view.id.is_genesis() {
            let until = self.born + self.config.timing.founding();
            return std::iter::once(Wait::Founders { missing, until }).chain(strangers()).collect();
        }
        let mut waits: Vec<Wait> = strangers().collect();
        if self.wedged {
            waits.push(Wait::Majority { missing, needed: view.agreement_quorum() });
        }
        if let Some((decree, since)) = &self.installing {
            waits.push(Wait::Cut { view: decree.view.id, since: *since });
        } else if let Some(since) = self.sealed_at {
            let coordinator = self.coordinator().map(|member| member.node);
            waits.push(Wait::ViewChange { view: view.id, since, coordinator });
        }
        waits.extend(self.waits_for_state());
        waits.extend(self.lost_since.iter().map(|(node, since)| Wait::Member { node: *node, since: *since }));
        let policy = self.config.slow;
        for (&member, lag) in self.lags.iter() {
            let bytes = lag.bytes();
            if view.learners.contains(&member) {
                let barred_until = self.lags.barred_until(member.node).filter(|at| self.now < *at);
                let since = self.learning.get(&member).copied().unwrap_or(self.now);
                waits.push(Wait::Learner { member, bytes, since, barred_until });
            } else if let Some(since) = lag.since() {
                let acts_at = (policy != SlowPolicy::Block).then_some(since + self.config.lag_for);
                waits.push(Wait::Slow { member, bytes, since, policy, acts_at });
            }
        }
        waits
    }

    fn waits_for_state(&self) -> Option<Wait> {
        let Filling { receiver, since, refused, anew_at } = self.transfers.filling()?;
        let ((received, length), donor) = (receiver.progress(), receiver.donor());
        let again_at = donor.and_then(|_| receiver.asks_at(self.config.timing.round()));
        Some(Wait::State {
            snapshot: receiver.snapshot(),
            received,
            length,
            donor: donor.map(|member| member.node),
            since,
            silent: receiver.silent().collect(),
            refused: refused.iter().map(|member| member.node).collect(),
            asks_at: again_at.or(anew_at),
        })
    }
}
