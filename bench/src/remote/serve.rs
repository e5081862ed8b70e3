//! The side that answers.

use std::{collections::VecDeque, convert::Infallible, net::SocketAddr, rc::Rc, sync::Arc};

use bytes::Bytes;
use futures_util::future::try_join3;
use quorate_transport::{Credentials, Frame, Lane, LaneReceiver, Link, Transport};
use tokio::sync::mpsc;

use super::{Service, bind, member::Served, raw};
use crate::{
    BenchError, TransportKind,
    places::{Stage, in_system},
    transport::{Framing, count},
};

/// A link whose other end wants to talk, and what it asks.
type Conversation = (Arc<dyn Link>, Box<dyn LaneReceiver>);

/// Conversations that have not begun yet.
const CONVERSATIONS_MAX: usize = 16;

/// What a machine that answers is told.
#[derive(Clone, Debug)]
pub struct ServeArgs {
    /// Where to listen, over QUIC and over TCP.
    pub listen: SocketAddr,
    /// Of a node of the cluster of which all machines are.
    pub credentials: Credentials,
}

/// Answers other machines that measure their links to this one, until the process ends. Says where it listens.
/// Blocks the calling thread.
///
/// # Errors
/// [`BenchError`] if it cannot listen.
pub fn serve(args: ServeArgs, ready: impl FnOnce(SocketAddr) + Send) -> Result<Infallible, BenchError> {
    let workers = std::thread::available_parallelism().map_or(2, usize::from).max(2);
    let stage = Stage::shared(workers)?;
    in_system(|| run(&stage, args, ready))
}

async fn run(
    stage: &Stage,
    args: ServeArgs,
    ready: impl FnOnce(SocketAddr),
) -> Result<Infallible, BenchError> {
    let ServeArgs { listen, credentials } = args;
    let nodes = Served::beside(listen)?;
    let binding = {
        let credentials = credentials.clone();
        async move {
            let quic = bind(TransportKind::Quic, credentials.clone(), listen)?;
            // The same port, so that there is one address to tell.
            let tcp = bind(TransportKind::Tcp, credentials, quic.local_addr())?;
            let (raw, at) = raw::listen(listen)?;
            Ok((quic, tcp, raw, Arc::new(at)))
        }
    };
    let (quic, tcp, raw, at) = stage.at(0, binding).await?;
    ready(quic.local_addr());
    stage.node(0).spawn(raw::serve(raw, Arc::clone(&at)));
    let served = Rc::new(Served { credentials, listen: nodes, raw: at });
    let (tell, mut asked) = mpsc::channel(CONVERSATIONS_MAX);
    let over = |transport: Arc<dyn Transport>| stage.at(0, accept(transport, tell.clone()));
    // Nodes are started from this thread, which is an actix system's.
    let conversing = async {
        while let Some((link, asks)) = asked.recv().await {
            let served = Rc::clone(&served);
            // What goes wrong there is the other machine's to report.
            actix_rt::spawn(async move { served.converse(link, asks).await });
        }
        Err::<Infallible, _>(BenchError::ours("the transports are closed"))
    };
    try_join3(over(quic), over(tcp), conversing).await.map(|(never, ..)| never)
}

/// Serves every link of a transport.
async fn accept(
    transport: Arc<dyn Transport>,
    tell: mpsc::Sender<Conversation>,
) -> Result<Infallible, BenchError> {
    while let Some(link) = transport.accept().await {
        let tell = tell.clone();
        tokio::spawn(async move {
            while let Ok((lane, receiver)) = link.accept().await {
                tokio::spawn(serve_lane(Arc::clone(&link), lane, receiver, tell.clone()));
            }
        });
    }
    Err(BenchError::ours("the transport is closed"))
}

/// Serves one lane until its peer is gone. What goes wrong there is the peer's to report.
async fn serve_lane(
    link: Arc<dyn Link>,
    lane: Lane,
    receiver: Box<dyn LaneReceiver>,
    tell: mpsc::Sender<Conversation>,
) -> Result<(), BenchError> {
    match lane {
        Lane::Control => tell.send((link, receiver)).await.map_err(BenchError::ours),
        Lane::Data(number) => match Service::of(number) {
            Some(Service::Count) => count_rounds(&link, lane, receiver, Framing::Single).await,
            Some(Service::CountBundles) => count_rounds(&link, lane, receiver, Framing::Bundles).await,
            Some(Service::Echo) => echo(&link, lane, receiver).await,
            None => Ok(()),
        },
        Lane::Bulk => Ok(()),
    }
}

async fn count_rounds(
    link: &Arc<dyn Link>,
    lane: Lane,
    mut receiver: Box<dyn LaneReceiver>,
    framing: Framing,
) -> Result<(), BenchError> {
    let mut sender = link.open(lane).await.map_err(BenchError::ours)?;
    loop {
        let received = count(&mut *receiver, framing).await?;
        let said = Bytes::copy_from_slice(&received.to_le_bytes());
        let frame = Frame { header: Bytes::new(), body: said.into() };
        sender.send(&mut VecDeque::from([frame])).await.map_err(BenchError::ours)?;
    }
}

async fn echo(
    link: &Arc<dyn Link>,
    lane: Lane,
    mut receiver: Box<dyn LaneReceiver>,
) -> Result<(), BenchError> {
    let mut sender = link.open(lane).await.map_err(BenchError::ours)?;
    let (mut came, mut goes) = (Vec::new(), VecDeque::new());
    while receiver.recv(&mut came).await.map_err(BenchError::ours)? {
        goes.extend(came.drain(..));
        sender.send(&mut goes).await.map_err(BenchError::ours)?;
    }
    Ok(())
}
