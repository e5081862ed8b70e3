//! What this process shows over HTTP: figures for Prometheus, and a page for browsers.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue},
    http::uri::Authority,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
    time::{sleep, timeout},
};

use crate::{
    address::AddressError,
    page::{PAGE, Watched},
};

/// Bytes of a request's head; a browser needs a thousand.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// Connections that are served at the same time; others wait.
const CONNECTIONS_MAX: usize = 8;
/// How long one answer may take, from the connection to its end.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Pause when the system has no room for another connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Why no figures are served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum MetricsError {
    /// Nothing can listen at the address.
    #[error("metrics: {0}")]
    Address(AddressError),
    /// Something else collects the figures of this process.
    #[error("figures cannot be collected")]
    Collect(#[source] BuildError),
}

/// What is shown.
#[derive(Clone)]
struct Shown {
    figures: PrometheusHandle,
    nodes: Watched,
    /// Whether only programs of this machine may ask, so that a browser must not be led here by a name that
    /// some other site has given to this address.
    is_local: bool,
}

/// Collects the figures of this process from now on, and serves them at `/metrics` of an address, beside a
/// page about these nodes at `/`; returns the address with its port. Once per process, before anything
/// that is to be counted.
///
/// # Errors
/// [`MetricsError`]; then nothing is collected or served.
pub(crate) async fn serve(addr: SocketAddr, nodes: Watched) -> Result<SocketAddr, MetricsError> {
    let unusable = |error| MetricsError::Address(AddressError::new(addr, error));
    let listener = TcpListener::bind(addr).await.map_err(unusable)?;
    let bound = listener.local_addr().map_err(unusable)?;
    let figures = PrometheusBuilder::new().install_recorder().map_err(MetricsError::Collect)?;
    actix::spawn(accept(listener, Shown { figures, nodes, is_local: bound.ip().is_loopback() }));
    Ok(bound)
}

/// Where to scrape.
pub(crate) fn url(addr: SocketAddr) -> String {
    format!("http://{addr}/metrics")
}

/// Where both are, in words, given where to scrape.
pub(crate) fn places(url: &str) -> String {
    format!("page at {}, figures at {url}", url.strip_suffix("metrics").unwrap_or(url))
}

async fn accept(listener: TcpListener, shown: Shown) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let shown = shown.clone();
                actix::spawn(async move {
                    answer(stream, &shown).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Answers the one request of a connection, and ends it; after a bounded time in any case, so that
/// one that is left open holds up nobody.
async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin, shown: &Shown) {
    let service = service_fn(|request: Request<Incoming>| async move {
        Ok::<_, Infallible>(response(&request, shown).await)
    });
    let mut server = http1::Builder::new();
    let serving =
        server.keep_alive(false).max_buf_size(HEAD_BYTES_MAX).serve_connection(TokioIo::new(stream), service);
    match timeout(ANSWER_WITHIN, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a request failed"),
        Err(_) => tracing::debug!("a request took too long"),
    }
}

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The page has its script and its style in itself, and asks its own node alone.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Whether a request names this machine, or nobody, as the one that it is for.
fn is_for_here(request: &Request<Incoming>) -> bool {
    let Some(host) = request.headers().get(HOST) else { return true };
    let name = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    let is_here = |name: &str| name == "localhost" || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    name.is_some_and(|authority| is_here(authority.host()))
}

async fn response(request: &Request<Incoming>, shown: &Shown) -> Response<String> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let (status, kind, body) = match request.uri().path() {
        _ if shown.is_local && !is_for_here(request) => {
            let why = "this is shown to this machine alone: ask for it by its address, or as localhost\n";
            (StatusCode::FORBIDDEN, TEXT, why.to_owned())
        }
        _ if !reads => (StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD are served\n".to_owned()),
        "/" => (StatusCode::OK, "text/html; charset=utf-8", PAGE.to_owned()),
        "/metrics" => (StatusCode::OK, TEXT, shown.figures.render()),
        "/status" => match shown.nodes.look().await {
            Ok(json) => (StatusCode::OK, "application/json", json),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
        },
        _ => {
            let there = "the figures are at /metrics, a page for browsers is at /\n".to_owned();
            (StatusCode::NOT_FOUND, TEXT, there)
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if !reads {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::Instant,
    };

    use super::*;

    /// What the page answers to these bytes until it ends the connection.
    async fn answered(request: &[u8]) -> String {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || metrics::counter!("figures").increment(7));
        let shown = Shown { figures: recorder.handle(), nodes: Watched::default(), is_local: true };
        let (mut client, server) = duplex(64 << 10);
        client.write_all(request).await.unwrap();
        let mut text = String::new();
        let reading = client.read_to_string(&mut text);
        let ((), read) = tokio::join!(answer(server, &shown), reading);
        read.expect("the connection is ended in order");
        text
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_scrape_is_answered_with_figures() {
        for (request, status) in [
            ("GET /metrics HTTP/1.1\r\n\r\n", "200"),
            ("GET /metrics?x=1 HTTP/1.1\r\nHost: localhost:9100\r\n\r\n", "200"),
            ("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:9100\r\n\r\n", "200"),
            ("GET /metrics HTTP/1.1\r\nHost: [::1]:9100\r\n\r\n", "200"),
            ("GET /metrics HTTP/1.1\r\nHost: evil.example:9100\r\n\r\n", "403"),
            ("GET /metrics HTTP/1.0\r\n\r\n", "200"),
            ("GET /metric HTTP/1.1\r\n\r\n", "404"),
            ("GET /../metrics HTTP/1.1\r\n\r\n", "404"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
        ] {
            let text = answered(request.as_bytes()).await;
            let head = text.split("\r\n").next().unwrap();
            assert_eq!(head.split(' ').nth(1), Some(status), "{request:?}: {text}");
            assert_eq!(text.contains("\nfigures 7\n"), status == "200", "{request:?}: {text}");
        }
        let head = answered(b"HEAD /metrics HTTP/1.1\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    }

    #[tokio::test(start_paused = true)]
    async fn browsers_get_a_page_that_needs_nothing_from_elsewhere() {
        let page = answered(b"GET / HTTP/1.1\r\n\r\n").await;
        assert!(page.contains("content-type: text/html") && page.ends_with("</html>\n"), "{page}");
        for elsewhere in ["src=", "href=", "@import", "url("] {
            assert!(!page.contains(elsewhere), "{elsewhere}");
        }
        let nobody = answered(b"GET /status HTTP/1.1\r\n\r\n").await;
        assert!(nobody.ends_with("\"nodes\":[],\"silent\":[]}"), "{nobody}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_request_is_told_so() {
        let long = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(2 * HEAD_BYTES_MAX));
        for (request, status) in [
            (&b"this is no request\r\n\r\n"[..], "400"),
            (&b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"[..], "400"),
            (long.as_bytes(), "431"),
        ] {
            let text = answered(request).await;
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_left_open_is_ended() {
        for beginning in ["", "GET /met"] {
            let begun = Instant::now();
            assert_eq!(answered(beginning.as_bytes()).await, "", "nothing is answered");
            assert_eq!(begun.elapsed().as_secs(), ANSWER_WITHIN.as_secs());
        }
    }

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = taken.local_addr().unwrap();
        let refused = serve(addr, Watched::default()).await.unwrap_err();
        assert!(matches!(refused, MetricsError::Address(_)));
        assert!(refused.to_string().starts_with(&format!("metrics: {addr} is in use: ")), "{refused}");
    }
}
