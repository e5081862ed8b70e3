//! The state of applications, on its way to newcomers.

use std::{num::NonZeroU64, time::Duration};

use crate::common::{World, in_view, soon};
use bytes::Bytes;
use futures_util::stream;
use quorate::{
    Group, GroupEvent, GroupEvents, GroupSettings, JoinError, SnapshotError, SnapshotRequest, StateOptions,
    Wait, membership::NodeId, protocols::Event, transport::faults::Rule,
};
use tokio::sync::watch;

fn settings() -> GroupSettings {
    GroupSettings::new("g", [1, 2, 3]).with_state()
}

/// What an application does when it is asked for its state.
#[derive(Clone, Copy)]
enum Answers {
    Gives,
    Refuses,
    Never,
}

/// An application whose state is all messages so far, a line each.
struct App {
    group: Group,
    lines: watch::Receiver<Vec<String>>,
}

impl App {
    async fn start(world: &World, node: u64, answers: Answers) -> Self {
        let (group, events) =
            world.node(node).join_with_state(settings(), StateOptions::default()).await.unwrap();
        let (state, lines) = watch::channel(Vec::new());
        actix::spawn(keep(events, state, answers));
        Self { group, lines }
    }

    /// All lines, once there are so many.
    async fn lines(&mut self, count: usize) -> Vec<String> {
        let lines = soon(self.lines.wait_for(|lines| lines.len() >= count)).await;
        lines.expect("the application runs").clone()
    }
}

async fn keep(mut events: GroupEvents, state: watch::Sender<Vec<String>>, answers: Answers) {
    let mut unanswered = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            GroupEvent::Event(Event::Message { payload, .. }) => {
                state.send_modify(|lines| lines.push(text(&payload)));
            }
            GroupEvent::Restore(whole) => {
                state.send_replace(text(&whole.into_bytes()).lines().map(str::to_owned).collect());
            }
            GroupEvent::Snapshot(request) => match answers {
                Answers::Gives => {
                    let now = state.borrow().join("\n");
                    request.give(now).await.expect("it is wanted");
                }
                Answers::Refuses => drop(request),
                Answers::Never => unanswered.push(request),
            },
            GroupEvent::Missed(count) => panic!("{count} events were missed"),
            _ => {}
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn three(world: &World, answers: [Answers; 3]) -> Vec<App> {
    let mut apps = Vec::new();
    for (node, answers) in (1..).zip(answers) {
        apps.push(App::start(world, node, answers).await);
    }
    in_view(&apps[0].group, &[1, 2, 3]).await;
    apps
}

/// The next request for a snapshot.
async fn asked(events: &mut GroupEvents) -> SnapshotRequest {
    loop {
        if let GroupEvent::Snapshot(request) = soon(events.next()).await.expect("events go on") {
            return request;
        }
    }
}

#[actix::test]
async fn a_newcomer_has_the_state_of_the_others_while_they_go_on() {
    let mut world = World::start(3, vec![settings()]).await;
    let mut apps = three(&world, [Answers::Gives; 3]).await;
    for k in 0..100 {
        soon(apps[0].group.multicast(format!("early {k}"))).await.unwrap();
    }
    let sender = apps[1].group.clone();
    let meanwhile = actix::spawn(async move {
        for k in 0..200 {
            soon(sender.multicast(format!("late {k}"))).await.unwrap();
        }
    });
    world.add(4).await;
    apps.push(App::start(&world, 4, Answers::Gives).await);
    in_view(&apps[3].group, &[1, 2, 3, 4]).await;
    soon(meanwhile).await.unwrap();
    soon(apps[3].group.multicast("mine")).await.unwrap();
    let all = apps[0].lines(301).await;
    for app in &mut apps {
        assert_eq!(app.lines(301).await, all);
    }
    world.stop().await;
}

#[actix::test]
async fn a_newcomer_is_told_its_state_before_anything_else() {
    let mut world = World::start(3, vec![settings()]).await;
    let apps = three(&world, [Answers::Gives; 3]).await;
    soon(apps[0].group.multicast("one")).await.unwrap();
    let newcomer = world.add(4).await;
    let (_, mut events) = newcomer.join_with_state(settings(), StateOptions::default()).await.unwrap();
    let Some(GroupEvent::Restore(state)) = soon(events.next()).await else { panic!("the state is first") };
    assert_eq!(state.chunks(), ["one"]);
    let view = state.view();
    let next = soon(events.next()).await;
    assert!(matches!(&next, Some(GroupEvent::Event(Event::View(it))) if it.id == view), "{next:?}");
    world.stop().await;
}

#[actix::test]
async fn who_refuses_and_who_never_answers_are_passed_over() {
    let mut world = World::start(3, vec![settings()]).await;
    let mut apps = three(&world, [Answers::Gives, Answers::Never, Answers::Refuses]).await;
    soon(apps[2].group.multicast("one")).await.unwrap();
    world.add(4).await;
    let mut newcomer = App::start(&world, 4, Answers::Gives).await;
    assert_eq!(newcomer.lines(1).await, ["one"]);
    in_view(&apps[0].group, &[1, 2, 3, 4]).await;
    soon(newcomer.group.multicast("two")).await.unwrap();
    assert_eq!(apps[1].lines(2).await, ["one", "two"]);
    world.stop().await;
}

/// From whom a newcomer gets its state, and how much it has.
async fn progress(group: &Group) -> Option<(NodeId, u64)> {
    let waits = group.waits().await.unwrap();
    waits.into_iter().find_map(|wait| match wait {
        Wait::State { donor: Some(donor), received_bytes, .. } => Some((donor, received_bytes)),
        _ => None,
    })
}

#[actix::test]
async fn the_state_comes_on_from_another_member_when_its_provider_dies_on_the_way() {
    let mut world = World::start(3, vec![settings()]).await;
    let mut apps = three(&world, [Answers::Gives; 3]).await;
    let line = "x".repeat(1 << 20);
    for _ in 0..8 {
        soon(apps[0].group.multicast(line.clone())).await.unwrap();
    }
    // Slow enough to be in the middle of it for a while, fast enough for heartbeats.
    let rate = Rule { bytes_per_s: NonZeroU64::new(16 << 20), ..Rule::default() };
    world.faults.set(None, Some(NodeId::new(4)), rate);
    world.add(4).await;
    let mut newcomer = App::start(&world, 4, Answers::Gives).await;
    let mut look = tokio::time::interval(Duration::from_millis(2));
    let (provider, received) = soon(async {
        loop {
            look.tick().await;
            if let Some(begun) = progress(&newcomer.group).await.filter(|(_, received)| *received > 0) {
                return begun;
            }
        }
    })
    .await;
    assert_eq!(provider, NodeId::new(3), "the junior member gives it");
    world.kill(3).await;
    soon(async {
        loop {
            look.tick().await;
            let Some((donor, now)) = progress(&newcomer.group).await else { panic!("it came from the dead") };
            assert!(now >= received, "it goes on where it was: {now} of {received} bytes");
            if donor != provider {
                return;
            }
        }
    })
    .await;
    assert_eq!(newcomer.lines(8).await, vec![line; 8]);
    in_view(&newcomer.group, &[1, 2, 4]).await;
    soon(newcomer.group.multicast("more")).await.unwrap();
    assert_eq!(apps[0].lines(9).await, newcomer.lines(9).await);
    world.stop().await;
}

#[actix::test]
async fn an_answer_counts_once_in_time_and_within_the_bound() {
    let mut world = World::start(1, vec![]).await;
    let settings = GroupSettings { state_bytes_max: Some(2048), ..GroupSettings::new("g", [1]).with_state() };
    let options = StateOptions { answer_within: Duration::from_millis(50), ..StateOptions::default() };
    let (_, mut events) = world.node(1).join_with_state(settings.clone(), options).await.unwrap();
    let newcomer = world.add(2).await;
    let (_, mut coming) = newcomer.join_with_state(settings, options).await.unwrap();

    let request = asked(&mut events).await;
    assert_eq!(request.learners(), [newcomer.member()]);
    let long = request.give(vec![0; 4096]).await;
    assert_eq!(long, Err(SnapshotError::TooLarge { bytes: 4096, limit: 2048 }));
    assert_eq!(request.give("again").await, Err(SnapshotError::NotWanted(request.view())));

    // The newcomer finds no state for that view, and asks to be admitted by another one.
    let request = asked(&mut events).await;
    let chunks = ["a", "b"].map(|chunk| Ok(Bytes::from(chunk)));
    let broken = [Ok(Bytes::from("a")), Err(std::io::Error::other("gone"))];
    assert!(matches!(request.give_chunks(stream::iter(broken)).await, Err(SnapshotError::Source(_))));
    request.give_chunks(stream::iter(chunks)).await.unwrap();
    loop {
        if let Some(GroupEvent::Restore(state)) = soon(coming.next()).await {
            assert_eq!(state.into_bytes(), "ab");
            break;
        }
    }
    world.stop().await;
}

#[actix::test]
async fn an_answer_that_comes_too_late_is_refused() {
    let mut world = World::start(1, vec![]).await;
    let settings = GroupSettings::new("g", [1]).with_state();
    let options = StateOptions { answer_within: Duration::from_millis(20), ..StateOptions::default() };
    let (_, mut events) = world.node(1).join_with_state(settings.clone(), options).await.unwrap();
    let newcomer = world.add(2).await;
    let _kept = newcomer.join_with_state(settings, options).await.unwrap();
    let request = asked(&mut events).await;
    // The group gives up on it, so the newcomer has to ask anew.
    let next = asked(&mut events).await;
    assert!(next.view() > request.view());
    assert_eq!(request.give("late").await, Err(SnapshotError::NotWanted(request.view())));
    world.stop().await;
}

#[actix::test]
async fn a_node_whose_application_lost_touch_or_stopped_leaves_the_group() {
    let world = World::start(3, vec![settings()]).await;
    let apps = three_but_third(&world).await;
    let small = StateOptions { waiting_bytes_max: 1000, ..StateOptions::default() };
    let (group, mut events) = world.node(3).join_with_state(settings(), small).await.unwrap();
    in_view(&group, &[1, 2, 3]).await;
    for _ in 0..3 {
        soon(apps[0].group.multicast(vec![b'x'; 600])).await.unwrap();
    }
    in_view(&apps[0].group, &[1, 2]).await;
    let mut told = Vec::new();
    while let Some(event) = soon(events.next()).await {
        told.push(event);
    }
    assert_eq!(told.last(), Some(&GroupEvent::Missed(1)), "{told:?}");

    let (_, events) = world.node(3).join_with_state(settings(), StateOptions::default()).await.unwrap();
    in_view(&apps[0].group, &[1, 2, 3]).await;
    drop(events);
    in_view(&apps[0].group, &[1, 2]).await;
    world.stop().await;
}

async fn three_but_third(world: &World) -> Vec<App> {
    let mut apps = Vec::new();
    for node in 1..=2 {
        apps.push(App::start(world, node, Answers::Gives).await);
    }
    apps
}

#[actix::test]
async fn state_is_kept_by_one_application_where_the_group_has_it() {
    let world = World::start(3, vec![settings()]).await;
    let node = world.node(1);
    assert!(node.group("g").await.is_none(), "it starts when its state is kept");
    assert_eq!(node.join(settings()).await.unwrap_err(), JoinError::NeedsState("g".into()));
    let plain = GroupSettings::new("plain", [1]);
    let refused = node.join_with_state(plain, StateOptions::default()).await.unwrap_err();
    assert_eq!(refused, JoinError::NoState("plain".into()));
    let _app = App::start(&world, 1, Answers::Gives).await;
    let refused = node.join_with_state(settings(), StateOptions::default()).await.unwrap_err();
    assert_eq!(refused, JoinError::Running("g".into()));
    world.stop().await;
}
