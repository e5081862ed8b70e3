//! What it costs to turn frames into bytes and bytes into frames, a batch of 64 KiB at a time.
//!
//! Run: `cargo bench -p quorate-transport`

use std::{collections::VecDeque, hint::black_box, time::Duration};

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use quorate_transport::{
    Frame, FrameConfig,
    codec::{FrameDecoder, FrameEncoder, Need, ReassemblyBudget},
};

const BATCH_BYTES: usize = 64 << 10;
const SIZES: [usize; 2] = [64, 1 << 10];

fn frames(bytes: usize) -> VecDeque<Frame> {
    let payload = Bytes::from(vec![0x5a; bytes]);
    let frame = Frame { header: Bytes::from_static(b"header"), body: payload.into() };
    (0..BATCH_BYTES / bytes).map(|_| frame.clone()).collect()
}

/// Encodes all frames, and hands each batch over.
fn encode(encoder: &mut FrameEncoder, mut frames: VecDeque<Frame>, mut write: impl FnMut(&[Bytes])) {
    while !frames.is_empty() {
        encoder.fill(&mut frames).expect("frames within the limits");
        write(encoder.chunks());
        encoder.clear();
    }
}

/// The frames as they arrive: in pieces as long as a connection hands them over.
fn arriving(bytes: usize) -> Vec<Bytes> {
    const PIECE_BYTES: usize = 6400;
    let mut stream = BytesMut::new();
    encode(&mut FrameEncoder::new(FrameConfig::default()), frames(bytes), |chunks| {
        for chunk in chunks {
            stream.extend_from_slice(chunk);
        }
    });
    let mut stream = stream.freeze();
    let mut pieces = Vec::new();
    while !stream.is_empty() {
        pieces.push(stream.split_to(stream.len().min(PIECE_BYTES)));
    }
    pieces
}

fn encoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for bytes in SIZES {
        let frames = frames(bytes);
        let mut encoder = FrameEncoder::new(FrameConfig::default());
        group.throughput(Throughput::Elements(frames.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(bytes), &frames, |bencher, frames| {
            let write = |chunks: &[Bytes]| {
                black_box(chunks);
            };
            bencher.iter_batched(
                || frames.clone(),
                |frames| encode(&mut encoder, frames, write),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn decoding(criterion: &mut Criterion) {
    let config = FrameConfig::default();
    let mut group = criterion.benchmark_group("decode");
    for bytes in SIZES {
        let (pieces, count) = (arriving(bytes), frames(bytes).len());
        let mut decoder = FrameDecoder::new(config, ReassemblyBudget::new(&config));
        let mut decoded = Vec::with_capacity(count);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(BenchmarkId::from_parameter(bytes), &pieces, |bencher, pieces| {
            bencher.iter(|| {
                decoded.clear();
                for piece in pieces {
                    decoder.push(piece.clone());
                    assert_eq!(decoder.decode(&mut decoded), Ok(Need::Bytes));
                }
                assert_eq!(decoded.len(), count);
            });
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().measurement_time(Duration::from_secs(3)).configure_from_args();
    encoding(&mut criterion);
    decoding(&mut criterion);
    criterion.final_summary();
}
