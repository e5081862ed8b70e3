//! The way of what is known of other nodes to the groups of this one.

use actix::Recipient;
use quorate_protocols::Input;
use tokio::sync::mpsc;

use crate::{group::Feed, start::spawn};

/// Groups that are told at one time. All of thousands at once would hold up heartbeats until each has had its turn.
const AT_ONCE: usize = 64;

#[derive(Debug)]
enum News {
    ToAll(Input),
    ToOne(Recipient<Feed>, Vec<Input>),
}

/// Tells the groups of a node what there is to know of other nodes, each in the same order.
#[derive(Debug)]
pub(super) struct Telling(mpsc::UnboundedSender<News>);

impl Telling {
    /// Begins, on the current arbiter; what is still to be told when this is dropped is told. `groups` names those
    /// that run.
    pub(super) fn start(groups: impl Fn() -> Vec<Recipient<Feed>> + 'static) -> Self {
        // Unbounded: news are rare, when nodes and links come and go.
        let (news, waiting) = mpsc::unbounded_channel();
        spawn(tell(waiting, groups));
        Self(news)
    }

    /// Tells all groups that run by then.
    pub(super) fn all(&self, input: Input) {
        // Its task ends with the arbiter, and all groups with it.
        let _ = self.0.send(News::ToAll(input));
    }

    /// Tells one group that has just begun.
    pub(super) fn one(&self, group: Recipient<Feed>, inputs: Vec<Input>) {
        let _ = self.0.send(News::ToOne(group, inputs));
    }
}

/// Tells all news, until there will be no more.
async fn tell(mut waiting: mpsc::UnboundedReceiver<News>, groups: impl Fn() -> Vec<Recipient<Feed>>) {
    while let Some(news) = waiting.recv().await {
        match news {
            News::ToAll(input) => {
                for some in groups().chunks(AT_ONCE) {
                    for group in some {
                        group.do_send(Feed(input.clone()));
                    }
                    tokio::task::yield_now().await;
                }
            }
            News::ToOne(group, inputs) => inputs.into_iter().for_each(|it| group.do_send(Feed(it))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{Future, poll_fn},
        pin::pin,
        task::Poll,
    };

    use actix::{Actor, Addr, Context, Handler, Message, MessageResult};
    use quorate_membership::NodeId;

    use super::*;

    /// Keeps what a group is told.
    #[derive(Default)]
    struct Ear(Vec<u64>);

    impl Actor for Ear {
        type Context = Context<Self>;
    }

    impl Handler<Feed> for Ear {
        type Result = ();
        fn handle(&mut self, Feed(input): Feed, _: &mut Self::Context) {
            let Input::Departed(node) = input else { panic!("never told: {input:?}") };
            self.0.push(node.get());
        }
    }

    #[derive(Message)]
    #[rtype(result = "Vec<u64>")]
    struct Heard;

    impl Handler<Heard> for Ear {
        type Result = MessageResult<Heard>;
        fn handle(&mut self, _: Heard, _: &mut Self::Context) -> Self::Result {
            MessageResult(self.0.clone())
        }
    }

    fn ears(count: usize) -> Vec<Addr<Ear>> {
        (0..count).map(|_| Ear::default().start()).collect()
    }

    fn all(ears: &[Addr<Ear>]) -> impl Fn() -> Vec<Recipient<Feed>> {
        let ears = ears.to_vec();
        move || ears.iter().map(|ear| ear.clone().recipient()).collect()
    }

    fn news(number: u64) -> Input {
        Input::Departed(NodeId::new(number))
    }

    #[actix::test]
    async fn news_for_all_is_told_to_some_groups_at_a_time() {
        let ears = ears(3 * AT_ONCE - 1);
        let (telling, waiting) = mpsc::unbounded_channel();
        Telling(telling).all(news(1));
        let mut telling = pin!(tell(waiting, all(&ears)));
        for turn in 1..=3 {
            let turned = poll_fn(|cx| Poll::Ready(telling.as_mut().poll(cx))).await;
            assert!(turned.is_pending(), "others have a turn after {turn}");
            let mut told = 0;
            for ear in &ears {
                told += ear.send(Heard).await.expect("it runs").len();
            }
            assert_eq!(told, ears.len().min(turn * AT_ONCE));
        }
        telling.await;
    }

    #[actix::test]
    async fn each_group_hears_all_news_in_the_order_in_which_it_was_told() {
        let ears = ears(2 * AT_ONCE + 1);
        let (telling, waiting) = mpsc::unbounded_channel();
        let telling = Telling(telling);
        let (first, last) = (&ears[0], &ears[2 * AT_ONCE]);
        telling.all(news(1));
        telling.all(news(2));
        for newcomer in [last, first] {
            telling.one(newcomer.clone().recipient(), vec![news(3), news(4)]);
        }
        telling.all(news(5));
        drop(telling);
        tell(waiting, all(&ears)).await;
        for ear in &ears {
            let expected: &[u64] = if [first, last].contains(&ear) { &[1, 2, 3, 4, 5] } else { &[1, 2, 5] };
            assert_eq!(ear.send(Heard).await.expect("it runs"), expected);
        }
    }
}
