//! A conversation with a machine that serves others.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use quorate_transport::{Frame, Lane, LaneReceiver, LaneSender};

use super::{
    Near, Peers,
    words::{Ask, Said, decode, encode},
};
use crate::{BenchError, TransportKind, places::Stage};

/// A conversation with a machine that serves others, which ends with this.
#[derive(Debug)]
pub(super) struct Talk {
    pub(super) addr: SocketAddr,
    near: Near,
    asks: Box<dyn LaneSender>,
    answers: Box<dyn LaneReceiver>,
}

impl Talk {
    pub(super) async fn open(
        stage: &Arc<Stage>,
        peers: &Peers,
        addr: SocketAddr,
    ) -> Result<Self, BenchError> {
        let near = Near::new(stage, TransportKind::Quic, peers, addr).await?;
        let link = Arc::clone(near.link());
        // The other one says nothing before it is asked, and a lane is known to it once something was sent.
        let asks =
            stage.at(0, async move { link.open(Lane::Control).await.map_err(BenchError::ours) }).await?;
        let link = Arc::clone(near.link());
        let answers = async move { link.accept().await.map(|(_, lane)| lane).map_err(BenchError::ours) };
        let answers = stage.at(0, answers).await?;
        Ok(Self { addr, near, asks, answers })
    }

    /// Who the other one is.
    pub(super) fn node(&self) -> u64 {
        self.near.link().peer().member.node.get()
    }

    /// Asks, and waits for the answer.
    pub(super) async fn ask(&mut self, words: &Ask) -> Result<Said, BenchError> {
        say(&mut *self.asks, words).await?;
        let body = hear(&mut *self.answers).await?;
        let body = body.ok_or_else(|| BenchError::ours("the other machine has ended"))?;
        match decode(&body)? {
            Said::Refused(why) => Err(BenchError::Ours(format!("{} refuses: {why}", self.addr))),
            said => Ok(said),
        }
    }

    /// Asks for what is only done.
    pub(super) async fn order(&mut self, words: &Ask) -> Result<(), BenchError> {
        match self.ask(words).await? {
            Said::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks for what is counted.
    pub(super) async fn count(&mut self, words: &Ask) -> Result<u64, BenchError> {
        match self.ask(words).await? {
            Said::Counted(count) => Ok(count),
            other => Err(unexpected(&other)),
        }
    }
}

pub(super) fn unexpected(said: &Said) -> BenchError {
    BenchError::Ours(format!("the other machine answered {said:?}"))
}

/// Sends words on a lane.
pub(super) async fn say(lane: &mut dyn LaneSender, words: &impl serde::Serialize) -> Result<(), BenchError> {
    let frame = Frame { header: Bytes::new(), body: encode(words)?.into() };
    lane.send(&mut VecDeque::from([frame])).await.map_err(BenchError::ours)
}

/// The next words on a lane, whose two sides take turns; `None` when it ends.
pub(super) async fn hear(lane: &mut dyn LaneReceiver) -> Result<Option<Bytes>, BenchError> {
    let mut heard = Vec::new();
    lane.recv(&mut heard).await.map_err(BenchError::ours)?;
    Ok(heard.pop().map(Frame::into_body))
}
