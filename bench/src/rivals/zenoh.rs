//! Zenoh over QUIC: sessions in this process that are joined as peers.

use std::{
    fs,
    net::{Ipv4Addr, UdpSocket},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use zenoh::{
    Config, Session,
    bytes::ZBytes,
    pubsub::{Publisher, Subscriber},
    qos::CongestionControl,
    query::{Query, Queryable},
};

use crate::{
    BenchError,
    measure::{Latencies, Load, Sample, Side},
    places::{Folder, Stage},
};

const KEY: &str = "bench/messages";
const NAME: &str = "localhost";
/// How long an answer, or the joining of two sessions, may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sessions of which the first listens and the others have dialled it.
#[derive(Debug)]
struct Sessions {
    all: Vec<Session>,
    /// Certificates for as long as anybody may read them.
    _folder: Folder,
}

impl Sessions {
    async fn open(count: usize) -> Result<Self, BenchError> {
        let folder = Folder::make()?;
        let issued = rcgen::generate_simple_self_signed([NAME.to_owned()]).map_err(BenchError::baseline)?;
        let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        fs::write(&certificate, issued.cert.pem())?;
        fs::write(&key, issued.signing_key.serialize_pem())?;
        let endpoint = format!("quic/{NAME}:{}", free_port()?);
        let mut all = Vec::new();
        for number in 0..count {
            let mut config = Config::default();
            let mut set =
                |key: &str, value: String| config.insert_json5(key, &value).map_err(BenchError::baseline);
            set("mode", "\"peer\"".into())?;
            set("scouting/multicast/enabled", "false".into())?;
            set("transport/link/tls/root_ca_certificate", quoted(&certificate))?;
            if number == 0 {
                set("transport/link/tls/listen_certificate", quoted(&certificate))?;
                set("transport/link/tls/listen_private_key", quoted(&key))?;
                set("listen/endpoints", format!("[\"{endpoint}\"]"))?;
            } else {
                set("listen/endpoints", "[]".into())?;
                set("connect/endpoints", format!("[\"{endpoint}\"]"))?;
            }
            all.push(zenoh::open(config).await.map_err(BenchError::baseline)?);
        }
        Ok(Self { all, _folder: folder })
    }
}

/// A path as a text of JSON.
fn quoted(path: &Path) -> String {
    serde_json::Value::from(path.to_string_lossy()).to_string()
}

/// A port that was free a moment ago: zenoh does not say which one it has taken.
fn free_port() -> Result<u16, BenchError> {
    Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Something of zenoh's. To end it blocks, for which zenoh wants to be on a thread of a runtime that has several.
#[derive(Debug)]
struct Ending<T: Send + 'static> {
    stage: Arc<Stage>,
    it: Option<T>,
}

impl<T: Send + 'static> Ending<T> {
    fn new(stage: &Arc<Stage>, it: T) -> Self {
        Self { stage: Arc::clone(stage), it: Some(it) }
    }

    fn get(&self) -> Result<&T, BenchError> {
        self.it.as_ref().ok_or_else(|| BenchError::Baseline("it has ended".into()))
    }
}

impl<T: Send + 'static> Drop for Ending<T> {
    fn drop(&mut self) {
        let it = self.it.take();
        self.stage.node(0).spawn(async move { drop(it) });
    }
}

/// What a subscriber has got.
#[derive(Debug, Default)]
struct Got {
    messages: AtomicU64,
    over: Notify,
}

/// The first session publishes; each other one has a subscriber.
#[derive(Debug)]
pub(crate) struct ZenohFan {
    load: Load,
    got: Vec<Arc<Got>>,
    ends: Ending<(Publisher<'static>, Vec<Subscriber<()>>, Sessions)>,
}

impl ZenohFan {
    pub(crate) async fn new(stage: &Arc<Stage>, subscribers: usize, load: Load) -> Result<Self, BenchError> {
        let opening = async move {
            let sessions = Sessions::open(subscribers + 1).await?;
            let (mut got, mut declared) = (Vec::new(), Vec::new());
            for session in &sessions.all[1..] {
                let mine = Arc::new(Got::default());
                got.push(Arc::clone(&mine));
                let subscribing = session.declare_subscriber(KEY).callback(move |sample| {
                    mine.messages.fetch_add(1, Ordering::Relaxed);
                    if Load::ends(&sample.payload().to_bytes()) {
                        mine.over.notify_one();
                    }
                });
                declared.push(subscribing.await.map_err(BenchError::baseline)?);
            }
            let publishing =
                sessions.all[0].declare_publisher(KEY).congestion_control(CongestionControl::Block);
            let publisher = publishing.await.map_err(BenchError::baseline)?;
            // Until all subscribers are known to the publisher, which is told of the first match alone.
            let began = Instant::now();
            while !all_linked(&sessions.all[0], subscribers).await {
                if began.elapsed() > PATIENCE {
                    return Err(BenchError::Baseline("zenoh's sessions were not joined".into()));
                }
                tokio::task::yield_now().await;
            }
            Ok((sessions, publisher, got, declared))
        };
        let (sessions, publisher, got, declared) = stage.at(0, opening).await?;
        let mut fan = Self { load, got, ends: Ending::new(stage, (publisher, declared, sessions)) };
        fan.settle().await?;
        Ok(fan)
    }

    /// Publishes until every subscriber gets what is published.
    async fn settle(&mut self) -> Result<(), BenchError> {
        let (publisher, ..) = self.ends.get()?;
        let settling = async {
            for got in &self.got {
                while got.messages.load(Ordering::Relaxed) == 0 {
                    let payload = self.load.message(false).to_vec();
                    publisher.put(payload).await.map_err(BenchError::baseline)?;
                    tokio::task::yield_now().await;
                }
            }
            // The last one ends whatever of this is still on its way.
            publisher.put(self.load.message(true).to_vec()).await.map_err(BenchError::baseline)?;
            for got in &self.got {
                got.over.notified().await;
                got.messages.store(0, Ordering::Relaxed);
            }
            Ok(())
        };
        let settled = tokio::time::timeout(PATIENCE, settling).await;
        settled.map_err(|_| BenchError::Baseline("a zenoh subscriber gets nothing".into()))?
    }

    async fn run(&mut self, length: Duration) -> Result<Sample, BenchError> {
        let started = Instant::now();
        let (publisher, ..) = self.ends.get()?;
        let usual = ZBytes::from(self.load.message(false).clone());
        let mut sent = 0_u64;
        loop {
            let ends = started.elapsed() >= length;
            let payload = if ends { ZBytes::from(self.load.message(true).clone()) } else { usual.clone() };
            publisher.put(payload).await.map_err(BenchError::baseline)?;
            sent += 1;
            if ends {
                break;
            }
        }
        for got in &self.got {
            got.over.notified().await;
            let received = got.messages.swap(0, Ordering::Relaxed);
            BenchError::unless_all_came(sent, received)?;
        }
        let elapsed = started.elapsed();
        Ok(Sample::Flow { messages: sent, message_bytes: self.load.message_bytes, elapsed })
    }
}

async fn all_linked(session: &Session, peers: usize) -> bool {
    session.info().peers_zid().await.count() >= peers
}

impl Side for ZenohFan {
    fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
        Box::pin(self.run(length))
    }
}

/// The first session asks; the second answers.
#[derive(Debug)]
pub(crate) struct ZenohAsking {
    load: Load,
    ends: Ending<(Queryable<()>, Sessions)>,
}

impl ZenohAsking {
    pub(crate) async fn new(stage: &Arc<Stage>, load: Load) -> Result<Self, BenchError> {
        let opening = async move {
            let sessions = Sessions::open(2).await?;
            let answer = |query: Query| {
                let payload = query.payload().cloned().unwrap_or_default();
                // Whoever asked finds out.
                let _ = zenoh::Wait::wait(query.reply(KEY, payload));
            };
            let answering = sessions.all[1].declare_queryable(KEY).callback(answer).await;
            Ok((answering.map_err(BenchError::baseline)?, sessions))
        };
        let (answering, sessions) = stage.at(0, opening).await?;
        let mut asking = Self { load, ends: Ending::new(stage, (answering, sessions)) };
        let began = Instant::now();
        while asking.ask().await.is_err() {
            if began.elapsed() > PATIENCE {
                return Err(BenchError::Baseline("zenoh does not answer".into()));
            }
            tokio::task::yield_now().await;
        }
        Ok(asking)
    }

    async fn ask(&mut self) -> Result<(), BenchError> {
        let payload = ZBytes::from(self.load.message(false).clone());
        let (_, sessions) = self.ends.get()?;
        let replies = sessions.all[0].get(KEY).payload(payload).await.map_err(BenchError::baseline)?;
        let reply = replies.recv_async().await.map_err(BenchError::baseline)?;
        reply.result().map_err(|error| BenchError::Baseline(format!("{error:?}")))?;
        Ok(())
    }

    async fn run(&mut self, length: Duration) -> Result<Sample, BenchError> {
        let (mut latencies, started) = (Latencies::new(), Instant::now());
        while started.elapsed() < length {
            let begun = Instant::now();
            self.ask().await?;
            latencies.record(begun.elapsed());
        }
        Ok(latencies.into_sample())
    }
}

impl Side for ZenohAsking {
    fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
        Box::pin(self.run(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Reading;

    const ROUND: Duration = Duration::from_millis(20);

    /// Runs two short rounds of what is set up there, and returns the second.
    fn second_round<T: Side>(opening: impl AsyncFnOnce(&Arc<Stage>) -> Result<T, BenchError>) -> Sample {
        let stage = Arc::new(Stage::shared(2).expect("two threads"));
        let run = async {
            let mut side = opening(&stage).await?;
            side.round(ROUND).await?;
            side.round(ROUND).await
        };
        stage.node(0).block_on(run).expect("zenoh works")
    }

    #[test]
    fn two_subscribers_get_all_that_is_published() {
        // A round in which a subscriber got less or more is an error.
        let sample = second_round(async |stage| {
            let fan = ZenohFan::new(stage, 2, Load::new(64)).await?;
            assert_eq!(fan.got.len(), 2);
            Ok(fan)
        });
        let Sample::Flow { messages, message_bytes: 64, elapsed } = sample else { panic!("{sample:?}") };
        assert!(messages > 1 && elapsed >= ROUND, "{messages} in {elapsed:?}");
    }

    #[test]
    fn requests_are_answered_and_timed() {
        let sample = second_round(async |stage| ZenohAsking::new(stage, Load::new(64)).await);
        assert!(sample.read(Reading::Quantile(0.5)) > Some(0.0), "{sample:?}");
    }
}
