//! What BBR makes of a long way, on a clock of its own: two connections of quinn, and between them a link with a rate, a
//! delay and a queue.

use std::{
    collections::VecDeque,
    mem,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use quinn_proto::{
    Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig, Event, ServerConfig,
    StreamEvent, StreamId,
};
use quorate_membership::NodeId;

use super::endpoint::{Attempt, client_config, server_config};
use crate::{ClusterCa, ConnectionSettings, Validity, tls::Tls};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Bytes of the longest packet that the link carries.
const MTU: usize = 1472;
/// Packets that quinn hands to the socket at once.
const BATCH: usize = 10;
const HOST: [u8; 4] = [10, 0, 0, 1];

const SENDER: usize = 0;
const RECEIVER: usize = 1;

/// What the link is like, each way.
#[derive(Clone, Copy, Debug)]
struct Shape {
    bytes_per_second: u32,
    delay: Duration,
    /// Time for which a packet may wait for those before it.
    queue: Duration,
    /// One packet of so many is lost by chance; none of zero.
    lost_of: u64,
    /// Both sides look for what has arrived once in so long: acknowledgements come in bunches.
    look_every: Duration,
}

/// 100 Mbit/s and 25 ms there and back; as much may wait as is on the way.
const LONG: Shape = Shape {
    bytes_per_second: 12_500_000,
    delay: Duration::from_micros(12_500),
    queue: Duration::from_millis(25),
    lost_of: 0,
    look_every: Duration::ZERO,
};

/// What became of what was sent in a time.
#[derive(Debug, Default)]
struct Tally {
    packets: u64,
    /// Packets for which the queue had no room.
    overran: u64,
    /// Bytes that a reader got.
    read: u64,
}

impl Tally {
    fn overran_percent(&self) -> u64 {
        self.overran * 100 / self.packets
    }

    fn percent_of(&self, shape: Shape, length: Duration) -> u64 {
        self.read * 100 / (u64::from(shape.bytes_per_second) * length.as_secs())
    }
}

/// One end of the connection.
struct Side {
    endpoint: Endpoint,
    connection: Option<(ConnectionHandle, Connection)>,
    addr: SocketAddr,
    /// What is on its way to this side, and when it arrives.
    coming: VecDeque<(Instant, BytesMut)>,
    /// When all of that has left.
    free_at: Instant,
}

impl Side {
    fn new(port: u16, server: Option<ServerConfig>, now: Instant) -> Self {
        let config = Arc::new(EndpointConfig::default());
        Self {
            endpoint: Endpoint::new(config, server.map(Arc::new), true, Some([port as u8; 32])),
            connection: None,
            addr: (HOST, port).into(),
            coming: VecDeque::new(),
            free_at: now,
        }
    }
}

/// A sender that always has more to send, and a receiver that reads it at once.
struct Way {
    shape: Shape,
    now: Instant,
    sides: [Side; 2],
    streams: [Option<StreamId>; 2],
    sent: u64,
    tally: Tally,
}

impl Way {
    fn new(shape: Shape) -> Self {
        let ca = ClusterCa::create("prod", Validity::days(2)).expect("a good name");
        let tls = [1, 2].map(|number| {
            let credentials = ca.issue_node(NodeId::new(number), Validity::days(1)).expect("they make sense");
            Tls::new(credentials).expect("they are good")
        });
        let config = ConnectionSettings::default().try_into().expect("the default");
        let (now, attempt, host) = (Instant::now(), Attempt::default(), IpAddr::from(HOST));
        let server = server_config(&tls[RECEIVER], &config, &attempt, host).expect("good credentials");
        let client = client_config(&tls[SENDER], &config, &attempt, host).expect("good credentials");
        let mut sides = [Side::new(1, None, now), Side::new(2, Some(server), now)];
        let (there, name) = (sides[RECEIVER].addr, tls[SENDER].server_name());
        let dialled = sides[SENDER].endpoint.connect(now, client, there, &name.to_str());
        sides[SENDER].connection = Some(dialled.expect("good settings"));
        Self { shape, now, sides, streams: [None; 2], sent: 0, tally: Tally::default() }
    }

    /// Lets time pass.
    fn run(&mut self, length: Duration) -> Tally {
        let end = self.now + length;
        while self.now < end {
            (0..2).for_each(|index| self.act(index));
            let due = self.sides.iter_mut().flat_map(|side| {
                let arrival = side.coming.front().map(|(at, _)| *at);
                let timer = side.connection.as_mut().and_then(|(_, it)| it.poll_timeout());
                [arrival, timer]
            });
            let due = due.flatten().min().expect("connections have timers");
            self.now = due.max(self.now + self.shape.look_every).min(end);
            (0..2).for_each(|index| self.take(index));
        }
        mem::take(&mut self.tally)
    }

    /// Takes in what has arrived at a side, and the time.
    fn take(&mut self, index: usize) {
        let (now, from) = (self.now, self.sides[1 - index].addr);
        let side = &mut self.sides[index];
        while let Some((_, packet)) = side.coming.pop_front_if(|(at, _)| *at <= now) {
            let mut answer = Vec::new();
            match side.endpoint.handle(now, from, None, None, packet, &mut answer) {
                Some(DatagramEvent::ConnectionEvent(_, event)) => {
                    side.connection.as_mut().expect("it is for one").1.handle_event(event);
                }
                Some(DatagramEvent::NewConnection(incoming)) => {
                    let accepted = side.endpoint.accept(incoming, now, &mut answer, None);
                    side.connection = Some(accepted.unwrap_or_else(|error| panic!("{}", error.cause)));
                }
                Some(DatagramEvent::Response(_)) | None => {}
            }
        }
        if let Some((_, connection)) = &mut side.connection
            && connection.poll_timeout().is_some_and(|at| at <= now)
        {
            connection.handle_timeout(now);
        }
    }

    /// Lets a side do what it can at this moment.
    fn act(&mut self, index: usize) {
        let side = &mut self.sides[index];
        let Some((handle, mut connection)) = side.connection.take() else { return };
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(event) = side.endpoint.handle_event(handle, event) {
                connection.handle_event(event);
            }
        }
        while let Some(event) = connection.poll() {
            match event {
                Event::Connected if index == SENDER => {
                    self.streams[SENDER] = connection.streams().open(Dir::Uni);
                }
                Event::Stream(StreamEvent::Opened { dir }) => {
                    self.streams[index] = connection.streams().accept(dir);
                }
                Event::ConnectionLost { reason } => panic!("{reason}"),
                _ => {}
            }
        }
        match self.streams[index] {
            Some(stream) if index == SENDER => {
                let more = Bytes::from_static(&[7; 8 << 10]);
                while connection.send_stream(stream).write_chunks(&mut [more.clone()]).is_ok() {}
            }
            Some(stream) => self.tally.read += read(&mut connection, stream),
            None => {}
        }
        self.send(1 - index, &mut connection);
        self.sides[index].connection = Some((handle, connection));
    }

    /// Puts on the link what one side sends to the other.
    fn send(&mut self, to: usize, connection: &mut Connection) {
        let (shape, now, to) = (self.shape, self.now, &mut self.sides[to]);
        let mut packets = Vec::new();
        while let Some(transmit) = connection.poll_transmit(now, BATCH, &mut packets) {
            for packet in packets[..transmit.size].chunks(transmit.segment_size.unwrap_or(transmit.size)) {
                self.sent += 1;
                self.tally.packets += 1;
                to.free_at = to.free_at.max(now);
                // Scattered evenly (Knuth, The Art of Computer Programming, volume 3, section 6.4).
                let by_chance =
                    shape.lost_of > 0 && ((self.sent * 2_654_435_761) >> 16).is_multiple_of(shape.lost_of);
                let overruns = to.free_at - now > shape.queue;
                self.tally.overran += u64::from(overruns);
                if by_chance || overruns || packet.len() > MTU {
                    continue;
                }
                to.free_at += SECOND * packet.len() as u32 / shape.bytes_per_second;
                to.coming.push_back((to.free_at + shape.delay, BytesMut::from(packet)));
            }
            packets.clear();
        }
    }
}

/// Reads all there is.
fn read(connection: &mut Connection, stream: StreamId) -> u64 {
    let mut bytes = 0;
    let mut stream = connection.recv_stream(stream);
    let Ok(mut chunks) = stream.read(true) else { return 0 };
    while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
        bytes += chunk.bytes.len() as u64;
    }
    let _ = chunks.finalize();
    bytes
}

/// A link is filled when a reader gets so much of it: headers and acknowledgements take a thirtieth, the round trips in
/// which BBR empties the way as much.
const FILLED_PERCENT: u64 = 92;

impl Way {
    /// Demands that the link is filled for so long, and not overrun.
    fn expect_filled(&mut self, length: Duration) {
        let tally = self.run(length);
        let percent = tally.percent_of(self.shape, length);
        assert!(
            percent >= FILLED_PERCENT && tally.overran_percent() == 0,
            "{percent} %, {tally:?}, {:?}",
            self.shape
        );
    }
}

#[test]
fn a_long_way_is_filled_and_not_overrun() {
    for look_every in [0, 1].map(|ms| ms * MS) {
        for lost_of in [0, 100] {
            let mut way = Way::new(Shape { lost_of, look_every, ..LONG });
            way.run(SECOND);
            way.expect_filled(5 * SECOND);
        }
    }
}

#[test]
fn a_way_that_becomes_narrower_or_wider_is_found_out() {
    let mut way = Way::new(LONG);
    way.run(3 * SECOND);
    way.shape.bytes_per_second /= 2;
    way.run(SECOND);
    way.expect_filled(3 * SECOND);
    way.shape.bytes_per_second *= 2;
    way.run(SECOND);
    way.expect_filled(3 * SECOND);
}

/// Twice what filled it is two thirds of what fills it now: quinn's BBR never takes a way for longer than it once was.
#[test]
fn a_way_that_becomes_longer_is_not_given_up() {
    let mut way = Way::new(LONG);
    way.run(3 * SECOND);
    way.shape.delay *= 3;
    let tally = way.run(20 * SECOND);
    let percent = tally.percent_of(way.shape, 20 * SECOND);
    assert!(percent >= 60, "{percent} %, {tally:?}");
}
