//! Carries packets between two hosts as a link would.

use std::{
    fmt, io,
    io::{PipeReader, PipeWriter},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::mpsc;
use tun_rs::{DeviceBuilder, SyncDevice};

use super::shaper::{Shape, Shaper, Tally};
use crate::BenchError;

/// Packets that are taken in before others are given out that are due.
const BATCH: usize = 32;
/// How long the relay waits at most before it looks again. So it knows of packets that it finds late when they
/// came at the earliest.
const LOOK: Duration = Duration::from_millis(1);
/// Packets that wait in the kernel for the relay: two bandwidth-delay products of the longest link, and more than
/// come while the relay waits for a processor.
const WAITING_PACKETS: u32 = 20_000;
/// The longest packet.
const PACKET_BYTES_MAX: usize = 1 << 16;

/// The network device of a host, whose packets this process reads and writes. It is gone when it is dropped.
pub(super) struct Device(SyncDevice);

impl Device {
    /// Makes a device of this name; it may be moved to another host.
    pub(super) fn make(name: &str, mtu: u16) -> Result<Self, BenchError> {
        let make = || {
            let device = DeviceBuilder::new().name(name).mtu(mtu).enable(false).build_sync()?;
            device.set_tx_queue_len(WAITING_PACKETS)?;
            device.set_nonblocking(true)?;
            Ok(Self(device))
        };
        make().map_err(|error: io::Error| {
            BenchError::Missing(format!(
                "no network device can be made ({error}): this needs root and the kernel's `tun`"
            ))
        })
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Device").field(&self.0.name().unwrap_or_default()).finish()
    }
}

/// A link between two devices, a thread for each direction. It ends when it is dropped.
#[derive(Debug)]
pub(super) struct Relay {
    threads: Vec<JoinHandle<Tally>>,
    /// Why a thread has ended that nobody told to.
    failures: mpsc::UnboundedReceiver<io::Error>,
    stop: Option<PipeWriter>,
}

impl Relay {
    /// Carries packets both ways from now on.
    pub(super) fn start(devices: [Device; 2], shape: Shape, seed: u64) -> Result<Self, BenchError> {
        let devices = Arc::new(devices);
        Self::with([0, 1].map(|from| {
            let (devices, shaper) = (Arc::clone(&devices), Shaper::new(shape, seed + from as u64));
            move |stopped: &PipeReader| carry(&devices[from].0, &devices[1 - from].0, shaper, stopped)
        }))
    }

    /// Has each direction carried by a thread, until it is told to stop or fails.
    fn with<W>(ways: [W; 2]) -> Result<Self, BenchError>
    where
        W: FnOnce(&PipeReader) -> io::Result<Tally> + Send + 'static,
    {
        let ((stopped, stop), (tell, failures)) = (io::pipe()?, mpsc::unbounded_channel());
        let mut relay = Self { threads: Vec::new(), failures, stop: Some(stop) };
        for way in ways {
            let (stopped, tell) = (stopped.try_clone()?, tell.clone());
            let carried = move || {
                way(&stopped).unwrap_or_else(|error| {
                    // Where nobody hears it the link has ended anyway.
                    let _ = tell.send(error);
                    Tally::default()
                })
            };
            relay.threads.push(thread::Builder::new().name("link".into()).spawn(carried)?);
        }
        Ok(relay)
    }

    /// Waits until a direction has failed. Cancelling it loses nothing.
    pub(super) async fn failed(&mut self) -> BenchError {
        match self.failures.recv().await {
            Some(error) => BenchError::Relay(error),
            None => std::future::pending().await,
        }
    }

    /// Ends it. Returns what became of the packets, of both directions.
    pub(super) fn stop(mut self) -> Result<Tally, BenchError> {
        drop(self.stop.take());
        let mut both = Tally::default();
        for thread in self.threads.drain(..) {
            both += thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        self.failures.try_recv().map_or(Ok(both), |error| Err(BenchError::Relay(error)))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        drop(self.stop.take());
        for thread in self.threads.drain(..) {
            // Somebody has failed already, and says why.
            let _ = thread.join();
        }
    }
}

/// Carries packets one way until it is told to stop.
fn carry(
    from: &SyncDevice,
    to: &SyncDevice,
    mut shaper: Shaper<Vec<u8>>,
    stopped: &PipeReader,
) -> io::Result<Tally> {
    let begun = Instant::now();
    let (mut buffer, mut spare) = (vec![0; PACKET_BYTES_MAX], Vec::new());
    // When there was nothing to take in.
    let mut empty_at = Duration::ZERO;
    loop {
        let now = begun.elapsed();
        while let Some(packet) = shaper.due(now) {
            // A host that is down, or has no room, loses it.
            let _ = to.send(&packet);
            spare.push(packet);
        }
        let mut taken = 0;
        while taken < BATCH {
            match from.recv(&mut buffer) {
                Ok(bytes) => {
                    let mut packet: Vec<u8> = spare.pop().unwrap_or_default();
                    packet.clear();
                    packet.extend_from_slice(&buffer[..bytes]);
                    spare.extend(shaper.offer(empty_at, now, packet));
                    taken += 1;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if taken < BATCH {
            // What was there when the time was taken has been read by now.
            empty_at = now;
            let idle = shaper.next_due().map_or(LOOK, |due| due.saturating_sub(begun.elapsed()).min(LOOK));
            if !wait(from, stopped, idle)? {
                return Ok(shaper.tally());
            }
        }
    }
}

/// Waits for a packet, but no longer than this; false once the relay has to stop.
fn wait(from: &SyncDevice, stopped: &PipeReader, longest: Duration) -> io::Result<bool> {
    let mut ready = [PollFd::new(from, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
    let longest = Timespec::try_from(longest).map_err(io::Error::other)?;
    match poll(&mut ready, Some(&longest)) {
        Ok(_) => Ok(ready[1].revents().is_empty()),
        Err(rustix::io::Errno::INTR) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// A direction that carries one packet and ends when it is told to.
    fn works(mut stopped: &PipeReader) -> io::Result<Tally> {
        let ended = stopped.read(&mut [0])?;
        assert_eq!(ended, 0, "nothing is written into it");
        Ok(Tally { arrived: 1, ..Tally::default() })
    }

    fn breaks(_: &PipeReader) -> io::Result<Tally> {
        Err(io::Error::other("the device is gone"))
    }

    type Way = fn(&PipeReader) -> io::Result<Tally>;

    #[test]
    fn both_directions_end_when_they_are_told_to() {
        let relay = Relay::with([works as Way, works]).expect("threads");
        assert_eq!(relay.stop().expect("nothing failed"), Tally { arrived: 2, ..Tally::default() });
    }

    #[tokio::test]
    async fn a_direction_that_fails_is_told_while_the_other_works() {
        let mut relay = Relay::with([works as Way, breaks]).expect("threads");
        let error = relay.failed().await;
        assert_eq!(error.to_string(), "the link between the hosts failed");
        assert!(matches!(error, BenchError::Relay(cause) if cause.to_string() == "the device is gone"));
    }

    #[test]
    fn a_direction_that_failed_unseen_is_told_in_the_end() {
        let relay = Relay::with([breaks as Way, works]).expect("threads");
        assert!(matches!(relay.stop(), Err(BenchError::Relay(_))));
    }
}
