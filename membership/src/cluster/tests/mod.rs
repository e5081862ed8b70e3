//! A small world with virtual time: processes at addresses, datagrams that take two milliseconds.

mod hostile;
mod life;

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use super::*;
use crate::Incarnation;

const LATENCY: Duration = Duration::from_millis(2);

fn member(node: u64, life: u64) -> Member {
    Member::new(NodeId::new(node), Incarnation::new(life))
}

fn addr(host: u64) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host as u8], 4000))
}

fn id(node: u64, life: u64, host: u64) -> ClusterIdentity {
    ClusterIdentity::new(member(node, life), addr(host))
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

struct Process {
    cluster: Cluster,
    wake: Option<Time>,
    running: bool,
}

struct Flight {
    at: Time,
    from: Member,
    to: ClusterIdentity,
    bytes: Bytes,
}

/// Processes by host; what runs at a host receives what is sent to its address, if it is meant.
struct World {
    now: Time,
    processes: BTreeMap<u64, Process>,
    flying: VecDeque<Flight>,
    /// Which datagrams arrive, by sending and receiving host.
    passes: fn(u64, u64) -> bool,
    reports: Vec<(u64, ClusterEffect)>,
    refusals: Vec<(u64, ClusterError)>,
}

impl World {
    fn new() -> Self {
        let (flying, reports, refusals) = (VecDeque::new(), vec![], vec![]);
        let processes = BTreeMap::new();
        Self { now: Time::ZERO, processes, flying, passes: |_, _| true, reports, refusals }
    }

    /// So many nodes, each at the host of its number, that have all met; no report is left.
    fn met(size: u64) -> Self {
        let mut world = Self::new();
        for node in 1..=size {
            world.start(id(node, 1, node));
            world.meet(node, id(1, 1, 1));
        }
        world.run(ms(5_000));
        world.assert_all_up();
        world.reports.clear();
        world
    }

    fn start(&mut self, who: ClusterIdentity) {
        let host = host(who.addr);
        let cluster = Cluster::new(who, Timing::DEFAULT, host);
        self.processes.insert(host, Process { cluster, wake: None, running: true });
    }

    fn crash(&mut self, host: u64) {
        self.processes.remove(&host);
    }

    fn pause(&mut self, host: u64, stopped: bool) {
        self.processes.get_mut(&host).expect("runs").running = !stopped;
    }

    fn meet(&mut self, host: u64, whom: ClusterIdentity) {
        self.step(host, |cluster, now, out| cluster.contact(now, whom, out));
    }

    fn step(&mut self, host: u64, act: impl FnOnce(&mut Cluster, Time, &mut Vec<ClusterEffect>)) {
        let process = self.processes.get_mut(&host).expect("runs");
        let mut out = Vec::new();
        act(&mut process.cluster, self.now, &mut out);
        let from = process.cluster.identity().member;
        for effect in out {
            match effect {
                ClusterEffect::WakeAt(at) => process.wake = Some(at),
                ClusterEffect::Send { to, bytes } if (self.passes)(host, self::host(to.addr)) => {
                    self.flying.push_back(Flight { at: self.now + LATENCY, from, to, bytes });
                }
                ClusterEffect::Send { .. } => {}
                report => self.reports.push((host, report)),
            }
        }
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.now = self.now + ms(1);
            self.deliver();
            let due = self.processes.iter().filter(|(_, process)| process.running);
            let due = due.filter(|(_, process)| process.wake.is_some_and(|at| at <= self.now));
            for host in due.map(|(&host, _)| host).collect::<Vec<_>>() {
                self.processes.get_mut(&host).expect("runs").wake = None;
                self.step(host, Cluster::on_wake);
            }
        }
    }

    fn deliver(&mut self) {
        for flight in std::mem::take(&mut self.flying) {
            let host = host(flight.to.addr);
            let Some(process) = self.processes.get(&host) else { continue };
            if flight.at > self.now || !process.running {
                self.flying.push_back(flight);
            } else if process.cluster.node == flight.to.member.node {
                let mut refusal = None;
                self.step(host, |cluster, now, out| {
                    refusal = cluster.on_datagram(now, flight.from, &flight.bytes, out).err();
                });
                self.refusals.extend(refusal.map(|refusal| (host, refusal)));
            }
        }
    }

    /// What the process at a host thinks of all whom it knows.
    fn states(&self, host: u64) -> Vec<State> {
        self.processes[&host].cluster.swim.iter_membership_state().map(foca::Member::state).collect()
    }

    fn is_suspected_at(&self, host: u64, who: Member) -> bool {
        let mut known = self.processes[&host].cluster.swim.iter_membership_state();
        known.any(|known| known.id().member == who && known.state() == State::Suspect)
    }

    fn members(&self, host: u64) -> Vec<Member> {
        self.processes[&host].cluster.members().map(|up| up.member).collect()
    }

    fn assert_all_up(&self) {
        let all: BTreeSet<_> =
            self.processes.values().map(|process| process.cluster.identity().member).collect();
        for (&host, process) in &self.processes {
            let me = process.cluster.identity().member;
            let others: Vec<_> = all.iter().copied().filter(|other| *other != me).collect();
            assert_eq!(self.members(host), others, "host {host} at {}", self.now);
        }
    }

    /// What was reported at a host since asked last.
    fn reports_at(&mut self, host: u64) -> Vec<ClusterEffect> {
        let (here, elsewhere) =
            std::mem::take(&mut self.reports).into_iter().partition(|(at, _)| *at == host);
        self.reports = elsewhere;
        here.into_iter().map(|(_, report): (u64, _)| report).collect()
    }
}

fn host(addr: SocketAddr) -> u64 {
    match addr {
        SocketAddr::V4(v4) => u64::from(v4.ip().octets()[3]),
        SocketAddr::V6(_) => unreachable!("this world has no such addresses"),
    }
}
