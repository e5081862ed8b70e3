//! Round trips under any chunking, and bytes that no correct peer sends.

use std::collections::VecDeque;

use bytes::Bytes;
use proptest::prelude::*;
use quorate_membership::Incarnation;

use super::{prefix::Prefix, *};
use crate::{CloseReason, ConnectError, Frame, FrameConfig, FrameSettings, Hello, Lane, SendError};

/// Limits small enough for short tests.
fn small() -> FrameConfig {
    FrameSettings {
        header_bytes_max: 64,
        frame_bytes_max: 5000,
        payload_bytes_max: 20_000,
        reassembly_bytes_max: 40_000,
    }
    .try_into()
    .expect("they make sense")
}

fn decoder() -> FrameDecoder {
    FrameDecoder::new(small(), ReassemblyBudget::new(&small()))
}

fn encode(frames: Vec<Frame>) -> Vec<u8> {
    let mut encoder = FrameEncoder::new(small());
    let (mut queue, mut bytes) = (VecDeque::from(frames), Vec::new());
    while !queue.is_empty() {
        encoder.fill(&mut queue).expect("within the limits");
        bytes.extend(encoder.chunks().concat());
        encoder.clear();
    }
    bytes
}

/// What the receiver gets for a frame: the payload in one piece.
fn received(frame: Frame) -> Frame {
    let header = frame.header.clone();
    Frame { header, body: frame.into_body().into() }
}

fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let header = prop::collection::vec(any::<u8>(), 0..64).prop_map(Bytes::from);
    let length = prop_oneof![0..40usize, 1000..3000usize, 4000..9000usize];
    let piece = (length, any::<u8>()).prop_map(|(n, fill)| vec![fill; n].into());
    let frame = (header, prop::collection::vec(piece, 0..3));
    prop::collection::vec(frame.prop_map(|(header, body)| Frame { header, body: body.into() }), 0..6)
        .prop_filter("payloads within the limit", |all| all.iter().all(|f| f.body_bytes() <= 20_000))
}

/// Decodes until the first error, with the chunks cut at the given lengths in turn.
fn decode(bytes: &[u8], cuts: &[usize]) -> (Vec<Frame>, Result<(), FrameError>) {
    let (mut decoder, mut got, mut rest) = (decoder(), Vec::new(), bytes);
    for length in cuts.iter().copied().chain([usize::MAX]) {
        let (chunk, behind) = rest.split_at(length.min(rest.len()));
        rest = behind;
        decoder.push(Bytes::copy_from_slice(chunk));
        match decoder.decode(&mut got) {
            Ok(need) => assert_eq!(need, Need::Bytes, "one lane never exceeds the budget"),
            Err(error) => return (got, Err(error)),
        }
    }
    (got, decoder.finish())
}

proptest! {
    #[test]
    fn frames_come_back_however_they_are_chunked(
        frames in frames(),
        cuts in prop::collection::vec(0..4000usize, 0..40),
    ) {
        let (got, end) = decode(&encode(frames.clone()), &cuts);
        prop_assert_eq!(end, Ok(()));
        prop_assert_eq!(got, frames.into_iter().map(received).collect::<Vec<_>>());
    }

    #[test]
    fn a_stream_cut_off_amid_a_frame_is_truncated(frames in frames(), at in any::<prop::sample::Index>()) {
        let bytes = encode(frames.clone());
        prop_assume!(!bytes.is_empty());
        let kept = &bytes[..at.index(bytes.len())];
        let (got, end) = decode(kept, &[]);
        let whole = encode(frames[..got.len()].to_vec()).len() == kept.len();
        prop_assert_eq!(end, if whole { Ok(()) } else { Err(FrameError::Truncated) });
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_understood(bytes: Vec<u8>, cuts in prop::collection::vec(0..9usize, 0..40)) {
        let _ = decode(&bytes, &cuts);
        let _ = decode_hello(&bytes);
        let _ = decode_close(&bytes);
        if let Some(prefix) = bytes.first_chunk() {
            let _ = hello_bytes(*prefix);
        }
        if let Some(preamble) = bytes.first_chunk() {
            let _ = decode_lane(*preamble);
        }
    }

    #[test]
    fn records_of_arbitrary_lengths_are_refused_or_understood(
        kinds in prop::collection::vec((0..4u8, 0..80u32, 0..6000u32), 0..8),
    ) {
        let mut bytes = Vec::new();
        for (kind, header, payload) in kinds {
            bytes.push(kind);
            bytes.extend(&header.to_le_bytes()[..3]);
            bytes.extend(payload.to_le_bytes());
            bytes.resize(bytes.len() + (header + payload) as usize, 7);
        }
        prop_assert_eq!(decode(&bytes, &[]), decode(&bytes, &[1; 200]));
    }

    #[test]
    fn lanes_come_back(number: u64) {
        for lane in [Lane::Control, Lane::Bulk, Lane::Data(number)] {
            prop_assert_eq!(decode_lane(encode_lane(lane)), Ok(lane));
        }
    }

    #[test]
    fn reasons_come_back_cut_to_a_packet(text: String) {
        let reason = decode_close(&encode_close(&CloseReason::Violation(text.repeat(9))));
        let CloseReason::Violation(got) = reason else { panic!("{reason:?}") };
        prop_assert!(text.repeat(9).starts_with(&got) && (got.len() > 250 || got == text.repeat(9)));
    }
}

fn refused(records: &[&[u8]]) -> FrameError {
    decode(&records.concat(), &[]).1.expect_err("no correct peer sends this")
}

#[test]
fn every_breach_has_its_name() {
    let whole = |header, payload| Prefix::Whole { header, payload }.encode();
    let large = |payload| Prefix::Large { header: 0, payload }.encode();
    let part = |payload| Prefix::Part { payload }.encode();
    assert_eq!(refused(&[&[9; 8]]), FrameError::UnknownKind(9));
    assert_eq!(refused(&[&whole(65, 0)]), FrameError::HeaderTooLarge { bytes: 65, limit: 64 });
    assert_eq!(refused(&[&whole(1, 5000)]), FrameError::RecordTooLarge { bytes: 5001, limit: 5000 });
    assert_eq!(refused(&[&large(20_001)]), FrameError::PayloadTooLarge { bytes: 20_001, limit: 20_000 });
    assert_eq!(refused(&[&[2, 1, 0, 0, 1, 0, 0, 0]]), FrameError::HeaderOfPart(1));
    assert_eq!(refused(&[&part(1)]), FrameError::StrayPart);
    assert_eq!(
        refused(&[&large(9), &part(5), b"12345", &whole(0, 0)]),
        FrameError::Interrupted { missing: 4 }
    );
    assert_eq!(refused(&[&large(9), &part(10)]), FrameError::PartLength { bytes: 10, missing: 9 });
    assert_eq!(refused(&[&large(9), &part(0)]), FrameError::PartLength { bytes: 0, missing: 9 });
    assert_eq!(refused(&[&large(9), &part(9), b"1234"]), FrameError::Truncated);
    assert_eq!(decode_lane([3; 9]), Err(UnknownLane { kind: 3, number: 0x0303_0303_0303_0303 }));
    assert!(decode_lane([0, 1, 0, 0, 0, 0, 0, 0, 0]).is_err());
}

#[test]
fn a_decoder_that_failed_fails_again() {
    let mut decoder = decoder();
    decoder.push(vec![9; 8].into());
    assert_eq!(decoder.decode(&mut Vec::new()), Err(FrameError::UnknownKind(9)));
    decoder.push(encode(vec![Frame::default()]).into());
    assert_eq!(decoder.decode(&mut Vec::new()), Err(FrameError::UnknownKind(9)));
}

#[test]
fn too_large_frames_are_taken_out_and_the_rest_goes_on() {
    let frame = |bytes| Frame { header: Bytes::new(), body: vec![vec![0; bytes].into()].into() };
    let header = Frame { header: vec![0; 65].into(), body: vec![].into() };
    let mut queue = VecDeque::from([frame(3), frame(20_001), header, frame(4)]);
    let mut encoder = FrameEncoder::new(small());
    assert_eq!(encoder.fill(&mut queue), Err(SendError::TooLarge { bytes: 20_001, limit: 20_000 }));
    assert_eq!(encoder.fill(&mut queue), Err(SendError::HeaderTooLarge { bytes: 65, limit: 64 }));
    assert_eq!(encoder.fill(&mut queue), Ok(()));
    let (got, end) = decode(&encoder.chunks().concat(), &[]);
    assert_eq!((got, end), (vec![frame(3), frame(4)], Ok(())));
}

#[test]
fn many_small_frames_are_one_chunk_and_a_long_payload_is_not_copied() {
    let long = Bytes::from(vec![1; 4000]);
    let small_frame = Frame { header: "h".into(), body: vec!["a".into(), "b".into()].into() };
    let mut queue = VecDeque::from(vec![small_frame; 500]);
    queue.push_back(Frame { header: Bytes::new(), body: vec![long.clone()].into() });
    let mut encoder = FrameEncoder::new(small());
    encoder.fill(&mut queue).expect("within the limits");
    let [small, shared] = encoder.chunks() else { panic!("two chunks, not {}", encoder.chunks().len()) };
    assert_eq!((small.len(), shared.as_ptr()), (500 * 11 + 8, long.as_ptr()));
}

#[test]
fn a_frame_within_one_chunk_is_a_slice_of_it() {
    let bytes =
        Bytes::from(encode(vec![Frame { header: "h".into(), body: vec![vec![1; 3000].into()].into() }]));
    let (mut decoder, mut got) = (decoder(), Vec::new());
    decoder.push(bytes.clone());
    assert_eq!(decoder.decode(&mut got), Ok(Need::Bytes));
    assert_eq!(got[0].body[0].as_ptr(), bytes[9..].as_ptr());
}

#[tokio::test]
async fn long_frames_beyond_the_budget_wait_for_each_other() {
    let frame = Frame { header: Bytes::new(), body: vec![vec![1; 15_000].into()].into() };
    let bytes = encode(vec![frame.clone()]);
    let budget = ReassemblyBudget::new(&small());
    let mut lanes: Vec<_> = (0..3).map(|_| FrameDecoder::new(small(), budget.clone())).collect();
    let mut got = Vec::new();
    for (lane, expected) in lanes.iter_mut().zip([Need::Bytes, Need::Bytes, Need::Room]) {
        lane.push(Bytes::copy_from_slice(&bytes[..10_000]));
        assert_eq!(lane.decode(&mut got), Ok(expected));
    }
    let [first, _, third] = &mut lanes[..] else { unreachable!() };
    first.push(Bytes::copy_from_slice(&bytes[10_000..]));
    assert_eq!(first.decode(&mut got), Ok(Need::Bytes));
    third.reserve().await;
    third.push(Bytes::copy_from_slice(&bytes[10_000..]));
    assert_eq!(third.decode(&mut got), Ok(Need::Bytes));
    assert_eq!(got, [frame.clone(), frame]);
}

fn greeting_with(change: impl FnOnce(&mut Hello)) -> Greeting {
    let mut hello = hello();
    change(&mut hello);
    Greeting { hello, limits: (&FrameConfig::default()).into() }
}

fn greeting() -> Greeting {
    greeting_with(|_| {})
}

fn hello() -> Hello {
    Hello {
        versions: (2, 4),
        features: 0b0110,
        cluster: "test".to_owned(),
        incarnation: Incarnation::new(7),
        listens: Some("127.0.0.1:4000".parse().unwrap()),
    }
}

#[test]
fn a_hello_comes_back() {
    let bytes = encode_hello(&greeting()).unwrap();
    let (prefix, body) = bytes.split_first_chunk().unwrap();
    assert_eq!(hello_bytes(*prefix).unwrap(), body.len());
    assert_eq!(decode_hello(body).unwrap(), greeting());
    assert!(matches!(decode_hello(&[body, b"?"].concat()), Err(HelloError::Trailing(1))));
    assert!(matches!(hello_bytes(*b"GET / "), Err(HelloError::Mark)));
    assert!(matches!(hello_bytes(*b"qrt\x01\xff\xff"), Err(HelloError::TooLarge(65535))));
    let long = greeting_with(|hello| hello.cluster = "x".repeat(2000));
    assert!(matches!(encode_hello(&long), Err(HelloError::TooLarge(_))));
}

#[test]
fn both_sides_come_to_the_same_agreement() {
    let theirs = greeting_with(|hello| (hello.versions, hello.features) = ((1, 3), 0b1100));
    assert_eq!(agree(&greeting(), &theirs), Ok(Agreed { version: 3, features: 0b0100 }));
    assert_eq!(agree(&theirs, &greeting()), agree(&greeting(), &theirs));
}

#[test]
fn a_disagreement_says_what_to_do() {
    let theirs = |versions| greeting_with(|hello| hello.versions = versions);
    let older = agree(&greeting(), &theirs((0, 1))).unwrap_err();
    assert!(older.to_string().ends_with("upgrade the peer"), "{older}");
    let newer = agree(&greeting(), &theirs((5, 6))).unwrap_err();
    assert!(newer.to_string().ends_with("upgrade this node"), "{newer}");
    let addr = "127.0.0.1:1".parse().unwrap();
    assert!(matches!(newer.at(addr), ConnectError::Version { ours: (2, 4), theirs: (5, 6), .. }));
    let foreign = agree(&greeting(), &greeting_with(|hello| hello.cluster = "other".to_owned())).unwrap_err();
    assert!(matches!(foreign.at(addr), ConnectError::Handshake { why, .. } if why.contains("`other`")));
    assert!(matches!(agree(&greeting(), &theirs((3, 2))), Err(Disagreement::Nonsense(_))));
    let unborn = greeting_with(|hello| hello.incarnation = Incarnation::UNKNOWN);
    assert!(matches!(agree(&greeting(), &unborn), Err(Disagreement::Nonsense(_))));
}

#[test]
fn sides_with_other_limits_do_not_fit() {
    let theirs = Greeting { limits: (&small()).into(), ..greeting() };
    let disagreement = agree(&greeting(), &theirs).unwrap_err();
    let (limit, ours) = ("header_bytes_max", 256 << 10);
    assert_eq!(disagreement, Disagreement::Limits { limit, ours, theirs: 64 });
    let longer = FrameSettings { payload_bytes_max: 65 << 20, ..FrameSettings::default() };
    let longer = FrameConfig::try_from(longer).expect("it makes sense");
    let theirs = Greeting { limits: (&longer).into(), ..greeting() };
    let said = agree(&theirs, &greeting()).unwrap_err().to_string();
    assert!(said.contains("`payload_bytes_max` is 67174400 at the peer and 68157440 here"), "{said}");
    // How much is put together at one time is everybody's own business.
    let roomy = FrameSettings { reassembly_bytes_max: 1 << 30, ..FrameSettings::default() };
    let roomy = FrameConfig::try_from(roomy).expect("it makes sense");
    assert!(agree(&greeting(), &Greeting { limits: (&roomy).into(), ..greeting() }).is_ok());
}
