//! Actor-based group communication: nodes, groups and one message bus.
//!
//! A [`Node`] is started on an actix arbiter with a [`NodeConfig`] and a transport. It runs the
//! groups that it founds, joins others with [`Node::join`], and offers the [`Bus`].

mod bus;
mod client;
mod clock;
mod config;
mod group;
mod node;
mod queue;
mod room;
mod sessions;
mod start;
mod wire;

pub use config::{GroupSettings, GroupSpec, Life, LifeError, NodeConfig, NodeSettings, SettingsError};
pub use node::{JoinError, Node, PeerStatus, RoundTripError, StartError, Status, StopReason};

pub use client::{Client, ClientConfig, ClientError, ClientSettings};

pub use group::{
    Answers, Behind, Ended, EventOptions, Group, GroupEvent, GroupEvents, GroupState, GroupStatus,
    MemberFrontier, SendAllError, SendError, Sent, SentAll, SnapshotError, SnapshotRequest, StateOptions,
    Stopped, ViewRecord, Wait,
};

pub use bus::{
    Bus, Delivery, Followed, Follower, Happened, Missed, NotThatType, Overflow, PublishError, Publishing,
    RequestError, SubscribeError, SubscribeOptions, Subscription,
};
pub use quorate_protocols::bus::{Pattern, Position, Subject, SubjectError};

pub use quorate_membership as membership;
pub use quorate_protocols as protocols;
pub use quorate_transport as transport;
