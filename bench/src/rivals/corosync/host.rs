//! What a host does: its process reads orders and answers them.

use std::path::{Path, PathBuf};

use super::{
    bare::Bare,
    daemon, ours,
    words::{Answer, Order, Whose},
};
use crate::{
    BenchError,
    hosts::{ip, serve},
    places::in_system,
};

/// Does what the benchmark `corosync` says on standard input, in whose process this is not: one of its hosts, whose
/// credentials lie in this folder. Returns when the input ends.
///
/// # Errors
/// [`BenchError`] of the output; all others are answers.
pub fn corosync_host(credentials: &Path) -> Result<(), BenchError> {
    let mut host = Host { credentials: credentials.to_owned(), ours: None, theirs: None, bare: None };
    in_system(|| serve(Answer::Done, async move |order| host.carry_out(order).await))
}

struct Host {
    credentials: PathBuf,
    ours: Option<ours::Member>,
    theirs: Option<daemon::Member>,
    bare: Option<Bare>,
}

impl Host {
    async fn carry_out(&mut self, order: Order) -> Result<Answer, BenchError> {
        match order {
            Order::Bridge { mtu } => {
                ip("link add name bridge type bridge")?;
                ip(&format!("link set dev bridge mtu {mtu} up"))?;
            }
            Order::Attach { device } => ip(&format!("link set dev {device} master bridge up"))?,
            Order::Join { device, addr } => {
                ip("link set dev lo up")?;
                ip(&format!("addr add {addr} dev {device}"))?;
                ip(&format!("link set dev {device} up"))?;
            }
            Order::Found { node, listen, seeds, delivery } => {
                let member = ours::Member::found(&self.credentials, (node, listen), seeds, delivery).await?;
                self.ours = Some(member);
            }
            Order::Leave => {
                if let Some(member) = self.ours.take() {
                    member.stop().await;
                }
            }
            Order::Enter { folder, member } => {
                self.theirs = Some(daemon::Member::enter(&folder, &member).await?);
            }
            Order::Listen { at, mtu } => {
                let (bare, listens) = Bare::listen(at, mtu)?;
                self.bare = Some(bare);
                return Ok(Answer::Listens(listens));
            }
            Order::Reach { all, mtu } => self.bare = Some(Bare::reach(all, mtu).await?),
            Order::Round { whose, work, sends, length } => {
                let absent = || BenchError::ours("a host has no member");
                let part = match whose {
                    Whose::Ours => self.ours.as_mut().ok_or_else(absent)?.round(work, sends, length).await?,
                    Whose::Corosync => {
                        self.theirs.as_mut().ok_or_else(absent)?.round(work, sends, length).await?
                    }
                    Whose::Quinn => self.bare.as_mut().ok_or_else(absent)?.round(work, length).await?,
                };
                return Ok(Answer::Part(part));
            }
        }
        Ok(Answer::Done)
    }
}
