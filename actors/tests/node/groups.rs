//! Groups of nodes over memory.

use crate::common::{MANY, PATIENCE, World, in_view, messages, soon};
use quorate::{
    Behind, Ended, EventOptions, GroupEvent, GroupSettings, SendError,
    protocols::{Collect, Event, Order},
};

fn declared() -> Vec<GroupSettings> {
    vec![GroupSettings::new("g", [1, 2, 3])]
}

#[actix::test]
async fn all_members_deliver_one_sequence_and_the_survivors_go_on() {
    let mut world = World::start(3, declared()).await;
    let mut groups = Vec::new();
    let mut readers = Vec::new();
    for node in 1..=3 {
        let group = world.group(node, "g", &[1, 2, 3]).await;
        readers.push(group.events(MANY).await.unwrap());
        groups.push(group);
    }
    let mut sent = Vec::new();
    for k in 0..200 {
        for (i, group) in groups.iter().enumerate() {
            sent.push(group.send(format!("{i}:{k}")).await.unwrap());
        }
    }
    for message in &sent {
        soon(message.uniform()).await.unwrap();
        soon(message.everywhere()).await.unwrap();
    }
    let first = messages(&mut readers[0], 600).await;
    for reader in &mut readers[1..] {
        assert_eq!(messages(reader, 600).await, first);
    }
    world.kill(3).await;
    in_view(&groups[0], &[1, 2]).await;
    soon(groups[1].multicast("after")).await.unwrap();
    assert_eq!(messages(&mut readers[0], 1).await, ["after"]);
    let history = groups[0].history().await.unwrap();
    assert_eq!(history.len(), 2, "the founding and the removal");
    world.stop().await;
}

#[actix::test]
async fn a_newcomer_joins_sends_and_leaves() {
    let mut world = World::start(3, declared()).await;
    let group = world.group(1, "g", &[1, 2, 3]).await;
    let newcomer = world.add(4).await;
    assert!(newcomer.group("g").await.is_none(), "only founders run the group unasked");
    let joined = newcomer.join(declared().remove(0)).await.unwrap();
    in_view(&joined, &[1, 2, 3, 4]).await;
    let mut events = group.events(MANY).await.unwrap();
    soon(joined.multicast("hello")).await.unwrap();
    assert_eq!(messages(&mut events, 1).await, ["hello"]);
    newcomer.stop().await;
    in_view(&group, &[1, 2, 3]).await;
    world.stop().await;
}

#[actix::test]
async fn a_member_that_sends_while_it_handles_an_event_is_not_held_up() {
    let mut world = World::start(3, declared()).await;
    let group = world.group(1, "g", &[1, 2, 3]).await;
    let mut events = group.events(MANY).await.unwrap();
    world.kill(3).await;
    loop {
        if let GroupEvent::Event(Event::View(view)) = soon(events.next()).await.unwrap() {
            // S16: the answer to a view is sent from within its handler.
            soon(group.multicast(format!("{view}"))).await.unwrap();
            break;
        }
    }
    assert_eq!(messages(&mut events, 1).await, ["v2 {n1, n2}"]);
    world.stop().await;
}

#[actix::test]
async fn a_reader_that_is_too_slow_is_told_what_it_missed_and_holds_up_nobody() {
    let world = World::start(1, vec![GroupSettings::new("g", [1])]).await;
    let group = world.group(1, "g", &[1]).await;
    let mut slow = group.events(EventOptions { capacity: 2, ..EventOptions::default() }).await.unwrap();
    let mut strict = group.events(EventOptions { capacity: 2, behind: Behind::End, ..MANY }).await.unwrap();
    for k in 0..10 {
        soon(group.multicast(format!("{k}"))).await.unwrap();
    }
    assert_eq!(messages(&mut slow, 2).await, ["0", "1"]);
    assert_eq!(soon(slow.next()).await, Some(GroupEvent::Missed(8)));
    assert_eq!(messages(&mut strict, 2).await, ["0", "1"]);
    assert_eq!(soon(strict.next()).await, None);
    world.stop().await;
}

#[actix::test]
async fn who_does_not_want_to_wait_is_told_that_the_window_is_full() {
    let settings = GroupSettings { window_bytes: Some(64 << 10), ..GroupSettings::new("g", [1, 2]) };
    let world = World::start(2, vec![settings]).await;
    let group = world.group(1, "g", &[1, 2]).await;
    // All at once: the first one fills the window.
    let sends = (0..3).map(|_| group.try_send(vec![0; 40 << 10]));
    let outcomes = futures_util::future::join_all(sends).await;
    assert!(outcomes[0].is_ok());
    for refused in &outcomes[1..] {
        assert!(matches!(refused, Err(SendError::WouldBlock { .. })), "{refused:?}");
    }
    soon(group.multicast(vec![0; 40 << 10])).await.unwrap();
    world.stop().await;
}

#[actix::test]
async fn a_message_to_one_member_and_a_request_with_answers_of_all() {
    let world = World::start(3, declared()).await;
    let mut groups = Vec::new();
    for node in 1..=3 {
        groups.push(world.group(node, "g", &[1, 2, 3]).await);
    }
    let mut letters = groups[1].events(MANY).await.unwrap();
    let sent = groups[0].send_to(world.node(2).member(), "for you").await.unwrap();
    soon(sent.everywhere()).await.unwrap();
    loop {
        if let Some(GroupEvent::Event(Event::Direct { from, payload, .. })) = soon(letters.next()).await {
            assert_eq!((from, payload), (world.node(1).member(), "for you".into()));
            break;
        }
    }
    for (number, group) in groups.iter().cloned().enumerate() {
        let mut events = group.events(MANY).await.unwrap();
        actix::spawn(async move {
            while let Some(event) = events.next().await {
                if let GroupEvent::Event(Event::Request { request, .. }) = event {
                    group.answer(request, format!("{number}")).await.unwrap();
                }
            }
        });
    }
    let all = groups[0].request("who?", Collect::All, PATIENCE).await.unwrap();
    let mut answers: Vec<_> = all.answers.into_iter().map(|(_, payload)| payload).collect();
    answers.sort();
    assert_eq!((answers, all.ended), (vec!["0".into(), "1".into(), "2".into()], Ended::Enough));
    let two = groups[2].request_until("who?", PATIENCE, |answers| answers.len() == 2).await.unwrap();
    assert_eq!((two.answers.len(), two.ended), (2, Ended::Enough));
    world.stop().await;
}

#[actix::test]
async fn a_node_that_has_left_a_group_joins_it_again() {
    let world = World::start(3, declared()).await;
    let group = world.group(1, "g", &[1, 2, 3]).await;
    let third = world.group(3, "g", &[1, 2, 3]).await;
    let mut events = third.events(MANY).await.unwrap();
    third.leave().await.unwrap();
    while soon(events.next()).await != Some(GroupEvent::Event(Event::Left)) {}
    in_view(&group, &[1, 2]).await;
    let again = world.node(3).join(declared().remove(0)).await.unwrap();
    in_view(&again, &[1, 2, 3]).await;
    soon(again.multicast("back")).await.unwrap();
    world.stop().await;
}

#[actix::test]
async fn requests_whose_callers_gave_up_leave_room_for_others() {
    let world = World::start(3, declared()).await;
    let group = world.group(1, "g", &[1, 2, 3]).await;
    for _ in 0..1100 {
        tokio::select! {
            biased;
            answers = group.request("who?", Collect::All, PATIENCE) => panic!("nobody answers: {answers:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
    let asked = group.request("who?", Collect::All, std::time::Duration::from_millis(1)).await;
    assert_eq!(asked.unwrap().ended, Ended::TimedOut);
    world.stop().await;
}

#[actix::test]
async fn a_node_that_takes_the_group_for_another_stays_out_and_both_sides_are_told() {
    let mut world = World::start(3, declared()).await;
    let group = world.group(1, "g", &[1, 2, 3]).await;
    let mut events = group.events(MANY).await.unwrap();
    for (number, settings, words) in [
        (4, declared().remove(0).order(Order::Fifo), "order is fifo here and uniform there"),
        (5, declared().remove(0).bind("x.>"), "what the application binds to the group differs"),
    ] {
        let newcomer = world.add(number).await;
        let mut told = newcomer.join(settings).await.unwrap().events(MANY).await.unwrap();
        loop {
            if let Some(GroupEvent::Event(Event::Stranger { member, differs })) = soon(told.next()).await
                && member == world.node(1).member()
            {
                assert_eq!(differs, words);
                break;
            }
        }
        let told = soon(events.next()).await;
        let Some(GroupEvent::Event(Event::Stranger { member, .. })) = told else { panic!("{told:?}") };
        assert_eq!(member, newcomer.member());
    }
    assert_eq!(group.view().await.unwrap().unwrap().members.len(), 3);
    let waits = &world.node(1).status().await.unwrap().groups[0].waits;
    assert!(waits.iter().any(|wait| matches!(wait, quorate::Wait::Stranger { .. })), "{waits:?}");
    soon(group.multicast("on")).await.unwrap();
    world.stop().await;
}
