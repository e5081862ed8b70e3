//! What the first bytes on a connection say it is for.
//!
//! | the dialler sends | behind it | the answer |
//! |---|---|---|
//! | 0: a new link | lanes it takes (4 bytes), its hello | 0, token (16), lanes (4), hello; or 1, length (2), reason |
//! | 1: a lane on which it will send | token (16), name of the lane (9) | 0 |
//! | 2: a lane on which the peer asked to send | token (16), number of the request (8) | none |
//!
//! Numbers are little endian. The token is drawn at random for each link and known to its two ends
//! only; whoever shows it must also have the certificate that the link was made with.

use std::{fmt, io};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::{
    CloseReason, Lane, Refusal,
    codec::{CLOSE_BYTES_MAX, Greeting, LANE_BYTES, decode_close, decode_lane, encode_close, encode_lane},
    net::read_hello,
};

const LINK: u8 = 0;
const LANE: u8 = 1;
const BACK: u8 = 2;
const WELCOME: u8 = 0;
const REFUSED: u8 = 1;

/// Joins connections to their link.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub(super) struct Token([u8; 16]);

impl Token {
    /// Draws one that nobody can guess: 128 bits of a cryptographic generator.
    pub(super) fn draw() -> Self {
        Self(rand::random())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(_)")
    }
}

/// What a connection is for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// A new link.
    Link { lanes_max: u32, greeting: Greeting },
    /// A lane on which the dialler will send.
    Lane { token: Token, lane: Lane },
    /// A lane on which the accepting side asked to send.
    Back { token: Token, request: u64 },
}

/// What the accepting side says to a new link.
#[derive(Debug)]
pub(super) enum Answer {
    Welcome { token: Token, lanes_max: u32, greeting: Greeting },
    Refused(CloseReason),
}

/// Asks for a new link.
pub(super) async fn ask_for_link(
    stream: &mut (impl AsyncWrite + Unpin),
    lanes_max: u32,
    hello: &[u8],
) -> io::Result<()> {
    say(stream, &[&[LINK], &lanes_max.to_le_bytes(), hello]).await
}

/// Asks for a lane to send on.
pub(super) async fn ask_for_lane(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    token: Token,
    lane: Lane,
) -> io::Result<()> {
    say(stream, &[&[LANE], &token.0, &encode_lane(lane)]).await?;
    match stream.read_u8().await? {
        WELCOME => Ok(()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Brings the lane that the peer asked for.
pub(super) async fn bring_lane(
    stream: &mut (impl AsyncWrite + Unpin),
    token: Token,
    request: u64,
) -> io::Result<()> {
    say(stream, &[&[BACK], &token.0, &request.to_le_bytes()]).await
}

/// Reads what a connection is for.
pub(super) async fn read_purpose(stream: &mut (impl AsyncRead + Unpin)) -> Result<Purpose, Refusal> {
    match stream.read_u8().await.map_err(bad)? {
        LINK => {
            let lanes_max = stream.read_u32_le().await.map_err(bad)?;
            Ok(Purpose::Link { lanes_max, greeting: read_hello(stream).await? })
        }
        LANE => {
            let token = read_token(stream).await?;
            let mut name = [0; LANE_BYTES];
            stream.read_exact(&mut name).await.map_err(bad)?;
            let lane = decode_lane(name).map_err(|error| Refusal::BadHello(error.to_string()))?;
            Ok(Purpose::Lane { token, lane })
        }
        BACK => {
            let token = read_token(stream).await?;
            Ok(Purpose::Back { token, request: stream.read_u64_le().await.map_err(bad)? })
        }
        other => Err(Refusal::BadHello(format!("{other} is no purpose of a connection"))),
    }
}

/// Lets a new link in.
pub(super) async fn welcome_link(
    stream: &mut (impl AsyncWrite + Unpin),
    token: Token,
    lanes_max: u32,
    hello: &[u8],
) -> io::Result<()> {
    say(stream, &[&[WELCOME], &token.0, &lanes_max.to_le_bytes(), hello]).await
}

/// Lets a lane in.
pub(super) async fn welcome_lane(stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    say(stream, &[&[WELCOME]]).await
}

/// Says why a new link is not let in.
pub(super) async fn refuse(stream: &mut (impl AsyncWrite + Unpin), reason: &CloseReason) -> io::Result<()> {
    let reason = encode_close(reason);
    say(stream, &[&[REFUSED], &(reason.len() as u16).to_le_bytes(), &reason]).await
}

/// Reads the answer to [`ask_for_link`].
pub(super) async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> Result<Answer, Refusal> {
    match stream.read_u8().await.map_err(bad)? {
        WELCOME => {
            let token = read_token(stream).await?;
            let lanes_max = stream.read_u32_le().await.map_err(bad)?;
            Ok(Answer::Welcome { token, lanes_max, greeting: read_hello(stream).await? })
        }
        REFUSED => {
            let bytes = usize::from(stream.read_u16_le().await.map_err(bad)?);
            let mut reason = vec![0; bytes.min(CLOSE_BYTES_MAX)];
            stream.read_exact(&mut reason).await.map_err(bad)?;
            Ok(Answer::Refused(decode_close(&reason)))
        }
        other => Err(Refusal::BadHello(format!("{other} is no answer to a hello"))),
    }
}

async fn read_token(stream: &mut (impl AsyncRead + Unpin)) -> Result<Token, Refusal> {
    let mut token = Token([0; 16]);
    stream.read_exact(&mut token.0).await.map_err(bad)?;
    Ok(token)
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), parts: &[&[u8]]) -> io::Result<()> {
    stream.write_all(&parts.concat()).await?;
    stream.flush().await
}

/// What a broken stream means is [`super::error::refusal`]'s to say, where an alert may be behind it.
#[expect(clippy::needless_pass_by_value, reason = "used with map_err")]
fn bad(error: io::Error) -> Refusal {
    super::error::alert_in(&error).unwrap_or_else(|| Refusal::BadHello(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lane_names_its_link() {
        let token = Token::draw();
        let (mut here, mut there) = tokio::io::duplex(100);
        let accepting = async {
            let purpose = read_purpose(&mut there).await;
            welcome_lane(&mut there).await.unwrap();
            purpose
        };
        let (asked, purpose) = tokio::join!(ask_for_lane(&mut here, token, Lane::Data(9)), accepting);
        asked.unwrap();
        let Ok(Purpose::Lane { token: found, lane: Lane::Data(9) }) = purpose else { panic!("{purpose:?}") };
        assert!(found == token && found != Token::draw());
        assert_eq!(format!("{found:?}"), "Token(_)");
    }

    #[tokio::test]
    async fn a_refusal_says_why() {
        let mut bytes = Vec::new();
        let reason = CloseReason::Refused("x".repeat(1000));
        refuse(&mut bytes, &reason).await.unwrap();
        let Ok(Answer::Refused(CloseReason::Refused(why))) = read_answer(&mut bytes.as_slice()).await else {
            panic!("it was a refusal")
        };
        assert!(why.starts_with("xxx") && why.len() < 300);
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_are_read_or_refused(bytes: Vec<u8>) {
            use futures_util::FutureExt;
            let read = read_purpose(&mut bytes.as_slice()).now_or_never();
            proptest::prop_assert!(read.is_some(), "bytes in memory are never waited for");
            proptest::prop_assert!(read_answer(&mut bytes.as_slice()).now_or_never().is_some());
        }
    }
}
