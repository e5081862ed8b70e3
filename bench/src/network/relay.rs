//! Carries packets between two hosts as a link would.

use std::{
    fmt, io,
    io::{PipeReader, PipeWriter},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
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
    threads: Vec<JoinHandle<io::Result<Tally>>>,
    stop: Option<PipeWriter>,
}

impl Relay {
    /// Carries packets both ways from now on.
    pub(super) fn start(devices: [Device; 2], shape: Shape, seed: u64) -> Result<Self, BenchError> {
        let (stopped, stop) = io::pipe()?;
        let devices = Arc::new(devices);
        let mut relay = Self { threads: Vec::new(), stop: Some(stop) };
        for from in 0..2 {
            let (devices, stopped) = (Arc::clone(&devices), stopped.try_clone()?);
            let shaper = Shaper::new(shape, seed + from as u64);
            let carry = move || carry(&devices[from].0, &devices[1 - from].0, shaper, &stopped);
            relay.threads.push(thread::Builder::new().name("relay".into()).spawn(carry)?);
        }
        Ok(relay)
    }

    /// Ends it. Returns what became of the packets, of both directions.
    pub(super) fn stop(mut self) -> Result<Tally, BenchError> {
        drop(self.stop.take());
        let mut both = Tally::default();
        for thread in self.threads.drain(..) {
            both += thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok(both)
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
