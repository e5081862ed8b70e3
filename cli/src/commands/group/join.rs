//! `quorate group join`: a node for as long as the command runs.

use std::{
    io::{IsTerminal, stdin},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::SystemTime,
};

use quorate::{
    Behind, EventOptions, Group, GroupEvent, GroupEvents, GroupSettings, Node, NodeConfig, NodeSettings,
    membership::{NodeId, Timing},
    protocols::Event,
    transport::{ConnectionConfig, Credentials, QuicTransport, Validity},
};
use serde::Serialize;
use tokio::time::timeout;

use super::Join;
use crate::{
    Failure,
    authority::Authority,
    credentials, input,
    output::{Output, say},
    profile::Profile,
    serving::{changes, standing},
    session::Session,
    signals::Wish,
};

/// Events that may wait to be printed.
const CAPACITY: usize = 65_536;
/// Numbers of nodes that are drawn begin here, far above those that people give.
const DRAWN_FROM: u64 = 1 << 32;

/// What happens in the group, for programs.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Shown<'a> {
    View { view: String, changes: Vec<String> },
    Message { view: String, sender: String, payload: std::borrow::Cow<'a, str> },
    Missed { events: u64 },
    Standing { what: String },
}

/// Carries out `quorate group join`.
pub(super) async fn run(args: &Join) -> Result<(), Failure> {
    let mut wish = Wish::listen_with_terminal()?;
    let profile = args.reach.profile()?;
    let credentials = credentials(args, &profile)?;
    credentials.check(SystemTime::now())?;
    let (settings, timing) = settings(args, credentials.identity().node).await?;
    let node = start(credentials, &profile, timing).await?;
    let me = node.member().node;
    let group = node.join(settings).await.map_err(|error| Failure::Failed(error.to_string()))?;
    let options = EventOptions { capacity: CAPACITY, behind: Behind::Skip, ..EventOptions::default() };
    let events = group.events(options).await.map_err(|error| Failure::Failed(error.to_string()))?;
    let outcome = tokio::select! {
        () = wish.come() => Ok(()),
        outcome = take_part(args, me, &group, events) => outcome,
    };
    // A node leaves its groups before it stops.
    let _ = timeout(args.reach.timeout, node.stop()).await;
    outcome
}

/// The certificate of a node: a given one, or one that the local cluster's authority issues.
fn credentials(args: &Join, profile: &Profile) -> Result<Credentials, Failure> {
    if let Some(folder) = &args.node_credentials {
        return credentials::of_node(folder);
    }
    let Some(authority) = &profile.authority else {
        return Err(Failure::Failed(
            "a member of a group is a node: issue a certificate with `quorate cert issue --node`, and name its \
             folder with --node-credentials"
                .into(),
        ));
    };
    let drawn = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::process::id());
    let node = args.node.unwrap_or_else(|| NodeId::new(DRAWN_FROM + drawn % DRAWN_FROM));
    Authority::load(authority)?.issue_node(node, Validity::days(1))
}

/// What the group is like: as a node of the cluster knows it, or as it is to be founded.
async fn settings(args: &Join, node: NodeId) -> Result<(GroupSettings, Timing), Failure> {
    let status = Session::status_once(&args.reach).await?;
    // Two nodes of one number would push each other out of the cluster.
    if status.member.node == node || status.peers.iter().any(|peer| peer.node == node && peer.reachable) {
        return Err(Failure::Failed(format!(
            "{node} is running already: choose another number with --node, or credentials of another node"
        )));
    }
    let timing = Timing::detect_within(std::time::Duration::from_millis(status.detect_within_ms))
        .map_err(|error| Failure::Failed(error.to_string()))?;
    let known = status.groups.iter().find(|group| group.name == args.name);
    let mut settings = match (known, args.founders.as_slice()) {
        (_, [_, ..]) => founded(args),
        (Some(group), []) => {
            let numbers = |nodes: &[NodeId]| nodes.iter().map(|node| node.get()).collect::<Vec<u64>>();
            let mut settings = GroupSettings::new(&args.name, numbers(&group.founders));
            settings.witnesses = numbers(&group.witnesses);
            settings.order = Some(group.order.clone());
            settings.subjects.clone_from(&group.subjects);
            settings.partitionable = group.partitionable;
            settings.slow = Some(group.slow.clone());
            (settings.lag_for_ms, settings.lag_bytes) = (Some(group.lag_for_ms), Some(group.lag_bytes));
            settings
        }
        (None, []) => {
            return Err(Failure::Failed(format!(
                "the cluster runs no group `{}`: found it with --founders, which names all who begin it",
                args.name
            )));
        }
    };
    match (args.order.map(|order| order.to_string()), &settings.order) {
        (Some(wanted), Some(order)) if wanted != *order => {
            return Err(Failure::Usage(format!(
                "group `{}` delivers in {order} order: leave out --order {wanted}",
                args.name
            )));
        }
        (Some(wanted), _) => settings.order = Some(wanted),
        (None, _) => {}
    }
    Ok((settings, timing))
}

/// A new group, as the arguments say.
fn founded(args: &Join) -> GroupSettings {
    let numbers = |nodes: &[NodeId]| nodes.iter().map(|node| node.get()).collect::<Vec<u64>>();
    let mut settings = GroupSettings::new(&args.name, numbers(&args.founders));
    settings.witnesses = numbers(&args.witnesses);
    settings.partitionable = args.partitionable;
    settings.slow = args.slow.map(|policy| policy.to_string());
    settings.lag_for_ms = args.lag_for.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
    settings.lag_bytes = args.lag_bytes;
    settings
}

async fn start(credentials: Credentials, profile: &Profile, timing: Timing) -> Result<Node, Failure> {
    let identity = credentials.identity().clone();
    let listen = reachable_from(profile)?;
    let mut settings = NodeSettings::new(identity.node.get(), identity.cluster.as_str(), listen);
    settings.seeds.clone_from(&profile.addresses);
    settings.detect_within_ms = u64::try_from(timing.detect().as_millis()).ok();
    let config = NodeConfig::try_from(settings).map_err(|error| Failure::Failed(error.to_string()))?;
    let life = config.begin_life()?;
    let transport = QuicTransport::bind(credentials, config.hello(&life), ConnectionConfig::default())?;
    Ok(Node::start(config, life, Arc::new(transport)).await?)
}

/// A free port at the address by which this machine speaks to the cluster.
fn reachable_from(profile: &Profile) -> Result<SocketAddr, Failure> {
    let cannot = |error| Failure::Io("no address of this machine reaches the cluster", error);
    let seed = profile.addresses.first().copied();
    let seed = seed.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
    let any = SocketAddr::new(
        if seed.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() },
        0,
    );
    // Connecting a datagram socket sends nothing: it only picks the way.
    let socket = UdpSocket::bind(any).map_err(cannot)?;
    socket.connect(seed).map_err(cannot)?;
    socket.local_addr().map_err(cannot)
}

/// Prints what happens and multicasts what is typed, until the input ends and all of it is held.
async fn take_part(args: &Join, me: NodeId, group: &Group, mut events: GroupEvents) -> Result<(), Failure> {
    let mut output = Output::new();
    let mut typed = input::lines();
    let mut in_view = false;
    let deadline = tokio::time::sleep(args.reach.timeout);
    tokio::pin!(deadline);
    let hint = if stdin().is_terminal() { "; each line you type is multicast" } else { "" };
    say(&format!("{me} joins group {}{hint}", args.name));
    loop {
        tokio::select! {
            event = events.next() => {
                let Some(event) = event else {
                    return Err(Failure::Failed("the group has ended at this node".into()));
                };
                if let GroupEvent::Event(Event::Stranger { member, differs }) = &event
                    && !in_view
                {
                    let (node, name) = (member.node, &args.name);
                    let why = format!("{node} takes group `{name}` for another one than this: {differs}");
                    return Err(Failure::Failed(why));
                }
                in_view |= matches!(&event, GroupEvent::Event(Event::View(view)) if !view.id.is_genesis());
                show(&event, args.json, &mut output)?;
                output.flush()?;
            }
            batch = typed.recv(), if in_view => {
                // The end of what is typed is the wish to leave.
                let Some(batch) = batch else { return Ok(()) };
                for line in batch? {
                    multicast(args, group, line, &mut events, &mut output).await?;
                }
            }
            () = &mut deadline, if !in_view => {
                let what = format!("a view of group {}", args.name);
                return Err(Failure::TimedOut { what, after: args.reach.timeout });
            }
        }
    }
}

/// Multicasts a line, and prints what happens until it is uniform.
async fn multicast(
    args: &Join,
    group: &Group,
    line: bytes::Bytes,
    events: &mut GroupEvents,
    output: &mut Output,
) -> Result<(), Failure> {
    let sending = group.multicast(line);
    tokio::pin!(sending);
    loop {
        tokio::select! {
            biased;
            event = events.next() => {
                if let Some(event) = event {
                    show(&event, args.json, output)?;
                }
            }
            sent = &mut sending => {
                sent.map_err(|error| Failure::Failed(error.to_string()))?;
                return output.flush();
            }
        }
    }
}

fn show(event: &GroupEvent, json: bool, output: &mut Output) -> Result<(), Failure> {
    let shown = match event {
        GroupEvent::Missed(events) => Shown::Missed { events: *events },
        GroupEvent::Event(Event::View(view)) => {
            Shown::View { view: view.to_string(), changes: changes(view) }
        }
        GroupEvent::Event(Event::Message { view, sender, payload, .. }) => Shown::Message {
            view: view.to_string(),
            sender: sender.node.to_string(),
            payload: String::from_utf8_lossy(payload),
        },
        GroupEvent::Event(other) => match standing(other) {
            Some(what) => Shown::Standing { what },
            None => return Ok(()),
        },
        _ => return Ok(()),
    };
    if json {
        return output.json(&shown);
    }
    output.line(match shown {
        Shown::View { view, changes } => format!("-- view {view}: {}", changes.join(", ")),
        Shown::Message { sender, payload, .. } => format!("{sender}: {payload}"),
        Shown::Missed { events } => format!("-- {events} events were missed here"),
        Shown::Standing { what } => format!("-- the group {what}"),
    })
}
