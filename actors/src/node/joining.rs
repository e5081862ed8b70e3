//! Groups that begin and end at a node.

use std::{rc::Rc, sync::Arc};

use actix::prelude::*;
use quorate_membership::GroupId;
use quorate_protocols::{Legacy, bus::group_id};
use tracing::error_span;

use super::{Canary, JoinError, actor::NodeActor, directory::Entry, membership::Introduce};
use crate::{
    bus::HandOut,
    config::GroupSpec,
    group::{Group, Host, Intake, Keeper, Replication, Retire},
    start::start_within,
};

impl NodeActor {
    /// Starts the groups that this node founds, and knows of the others.
    pub(super) fn start_declared(&mut self, node: &Recipient<GroupLeft>) {
        let me = self.life.member().node;
        for spec in self.config.groups().to_vec() {
            if spec.declares(me) && spec.needs_keeper(me) {
                tracing::info!(group = spec.name(), "the group starts here once its state is kept");
            } else if spec.declares(me) {
                self.start_group(&spec, None, None, node.clone());
            } else if spec.history_bytes().is_some() {
                self.hosted(spec, None);
            }
        }
    }

    pub(super) fn start_group(
        &mut self,
        spec: &Arc<GroupSpec>,
        legacy: Option<Legacy>,
        keeper: Option<Keeper>,
        node: Recipient<GroupLeft>,
    ) -> Group {
        let me = self.life.member();
        let is_witness = spec.is_witness(me.node);
        let canary = Canary::new(format!("group {}", spec.name()), self.alarm.clone());
        let queues: Option<Recipient<HandOut>> =
            (!spec.subjects().is_empty()).then(|| self.bus.clone().recipient());
        let intake = Intake::new(self.config.payload_bytes_max());
        let host = Host {
            own: self.sessions.begin(),
            legacy,
            intake: intake.clone(),
            clock: self.clock,
            pulse: self.pulse.clone(),
            outlet: Rc::new(self.mesh.clone()),
            node,
        };
        let replication = Replication::new(Arc::clone(spec), host, queues, keeper, canary);
        let addr = start_within(error_span!("group", name = spec.name()), |_| replication);
        let entry = Entry { spec: Arc::clone(spec), addr, intake, left: false, legacy: None };
        self.groups.insert(spec.id(), entry.clone());
        self.membership.do_send(Introduce(entry.clone()));
        if spec.history_bytes().is_some() {
            self.hosted(Arc::clone(spec), (!is_witness).then(|| entry.addr.clone()));
        }
        entry.group()
    }

    /// Tells the bus what becomes of a group with a history. Whoever learns of it elsewhere publishes
    /// accordingly at once.
    fn hosted(&self, spec: Arc<GroupSpec>, here: Option<Addr<Replication>>) {
        self.routes.host(&self.bus, spec, here);
    }

    fn join(
        &mut self,
        spec: GroupSpec,
        keeper: Option<Keeper>,
        node: Recipient<GroupLeft>,
    ) -> Result<Group, JoinError> {
        let spec = spec.with_timing(self.config.timing())?;
        match &keeper {
            None if spec.needs_keeper(self.life.member().node) => {
                return Err(JoinError::NeedsState(spec.name().to_owned()));
            }
            Some(_) if !spec.has_state() => return Err(JoinError::NoState(spec.name().to_owned())),
            _ => {}
        }
        let present = self.groups.get(spec.id()).filter(|entry| entry.addr.connected());
        if let Some(former) = present.as_ref().filter(|entry| entry.left) {
            former.addr.do_send(Retire);
        }
        let legacy = present.as_ref().and_then(|entry| entry.legacy.clone());
        if let Some(entry) = present.filter(|entry| !entry.left) {
            if !entry.spec.agrees_with(&spec) {
                return Err(JoinError::OtherSettings(spec.name().to_owned()));
            }
            if keeper.is_some() {
                return Err(JoinError::Running(spec.name().to_owned()));
            }
            return Ok(entry.group());
        }
        Ok(self.start_group(&Arc::new(spec), legacy, keeper, node))
    }
}

/// This node has left a group.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct GroupLeft(pub(crate) GroupId, pub(crate) Option<Legacy>);

impl Handler<GroupLeft> for NodeActor {
    type Result = ();
    fn handle(&mut self, GroupLeft(group, legacy): GroupLeft, _: &mut Self::Context) {
        let left = self.groups.mark_left(group, legacy);
        if let Some(entry) = left.filter(|entry| entry.spec.history_bytes().is_some()) {
            self.hosted(entry.spec, None);
        }
    }
}

/// Asks for a group that runs here.
#[derive(Debug, actix::Message)]
#[rtype(result = "Option<Group>")]
pub(crate) struct AskGroup(pub(crate) String);

/// Joins a group.
#[derive(Debug, actix::Message)]
#[rtype(result = "Result<Group, JoinError>")]
pub(crate) struct Join(pub(crate) GroupSpec, pub(crate) Option<Keeper>);

impl Handler<AskGroup> for NodeActor {
    type Result = Option<Group>;
    fn handle(&mut self, AskGroup(name): AskGroup, _: &mut Self::Context) -> Option<Group> {
        let entry = self.groups.get(group_id(&name)).filter(|entry| !entry.left)?;
        Some(entry.group())
    }
}

impl Handler<Join> for NodeActor {
    type Result = Result<Group, JoinError>;
    fn handle(&mut self, Join(spec, keeper): Join, ctx: &mut Self::Context) -> Result<Group, JoinError> {
        self.join(spec, keeper, ctx.address().recipient())
    }
}
