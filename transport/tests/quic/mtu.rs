//! A link goes on when its way carries shorter packets than before, as after a change of route.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join;
use quorate_membership::NodeId;
use quorate_transport::{
    ClusterCa, Endpoint, Frame, Lane, LaneReceiver, LaneSender, QuicTransport, Transport,
};
use tokio::{net::UdpSocket, time::timeout};

use crate::common::{authority, config, hello, node};

/// What must get through, and in no more than this time, on a busy machine, too.
const FRAMES: usize = 40;
const IN_TIME: Duration = Duration::from_secs(30);
/// What Ethernet carries, less the headers of IP and UDP.
const SHORT: usize = 1_472;

/// A way between a socket that one node takes for the other, and that other.
#[derive(Debug)]
struct Way {
    /// Longer packets are lost.
    carries: AtomicUsize,
    /// The longest that got through.
    longest: AtomicUsize,
}

impl Way {
    /// Hands on what comes from either side, one packet after the other.
    async fn run(self: Arc<Self>, near: UdpSocket, far: UdpSocket) {
        let (mut from_near, mut from_far) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        let mut dialler = None;
        loop {
            tokio::select! {
                Ok((length, from)) = near.recv_from(&mut from_near) => {
                    dialler = Some(from);
                    if self.lets_through(length) {
                        far.send(&from_near[..length]).await.expect("it carries what the system does");
                    }
                }
                Ok(length) = far.recv(&mut from_far) => {
                    let dialler = dialler.expect("it speaks first");
                    if self.lets_through(length) {
                        near.send_to(&from_far[..length], dialler).await.expect("it carries what the system does");
                    }
                }
            }
        }
    }

    fn lets_through(&self, length: usize) -> bool {
        let fits = length <= self.carries.load(Ordering::Relaxed);
        if fits {
            self.longest.fetch_max(length, Ordering::Relaxed);
        }
        fits
    }
}

fn bind(ca: &ClusterCa, number: u64) -> QuicTransport {
    let credentials = node(ca, number);
    let hello = hello(&credentials);
    QuicTransport::bind(credentials, hello, config()).expect("any port")
}

/// Sends frames over a lane until all have come.
async fn send_all(sender: &mut dyn LaneSender, receiver: &mut dyn LaneReceiver) {
    let frame = Frame { header: Bytes::new(), body: vec![Bytes::from(vec![7; 64 << 10])].into() };
    let mut frames = vec![frame; FRAMES].into();
    let receiving = async {
        let mut got = Vec::new();
        while got.len() < FRAMES {
            assert!(receiver.recv(&mut got).await.expect("the link stands"), "the lane ended");
        }
    };
    let (sent, ()) =
        timeout(IN_TIME, join(sender.send(&mut frames), receiving)).await.expect("all of it comes");
    sent.expect("the link stands");
}

#[tokio::test]
async fn a_link_whose_way_carries_shorter_packets_than_before_goes_on() {
    let ca = authority("mtu");
    let (dialler, listener) = (bind(&ca, 1), bind(&ca, 2));
    let (near, far) =
        (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
    far.connect(listener.local_addr()).await.expect("it is there");
    let there = Endpoint { node: Some(NodeId::new(2)), addr: near.local_addr().expect("it is bound") };
    let way = Arc::new(Way { carries: AtomicUsize::new(usize::MAX), longest: AtomicUsize::new(0) });
    let relaying = tokio::spawn(Arc::clone(&way).run(near, far));
    let (ours, theirs) = join(dialler.connect(&there), listener.accept()).await;
    let (ours, theirs) = (ours.expect("it belongs here"), theirs.expect("it is open"));
    let mut sender = ours.open(Lane::Bulk).await.expect("the link stands");
    let mut first = [Frame { header: Bytes::new(), body: vec![Bytes::from("first")].into() }].into();
    sender.send(&mut first).await.expect("the link stands");
    let (_, mut receiver) = theirs.accept().await.expect("the link stands");
    assert!(receiver.recv(&mut Vec::new()).await.expect("the link stands"));
    send_all(&mut *sender, &mut *receiver).await;
    let longest = way.longest.load(Ordering::Relaxed);
    assert!(longest > SHORT, "packets as long as the way carries, of which {longest} is the longest");

    way.carries.store(SHORT, Ordering::Relaxed);
    send_all(&mut *sender, &mut *receiver).await;
    relaying.abort();
}
