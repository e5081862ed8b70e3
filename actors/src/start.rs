//! Starting actors and tasks so that what they log says whose they are.

use actix::{Actor, Addr, Context};
use tokio::task::JoinHandle;
use tracing::{Instrument, Span};

/// Starts an actor; whatever it does and starts in its turn is within the span.
pub(crate) fn start_within<A>(span: Span, build: impl FnOnce(&mut Context<A>) -> A) -> Addr<A>
where
    A: Actor<Context = Context<A>>,
{
    let mut context = Context::new();
    let actor = span.in_scope(|| build(&mut context));
    let running = context.into_future(actor);
    let addr = running.address();
    actix::spawn(running.instrument(span));
    addr
}

/// Starts a task on the current arbiter, within the present span.
pub(crate) fn spawn<T: 'static>(task: impl Future<Output = T> + 'static) -> JoinHandle<T> {
    actix::spawn(task.in_current_span())
}
