//! The figures of this process, for Prometheus.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
    time::{sleep, timeout},
};

use crate::address::AddressError;

/// Bytes of a request's head; a scraper needs a few hundred.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// Scrapers that are served at the same time; others wait.
const CONNECTIONS_MAX: usize = 8;
/// How long one scrape may take, from the connection to its end.
const SCRAPE_WITHIN: Duration = Duration::from_secs(5);
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

/// Collects the figures of this process from now on, and serves them at `/metrics` of an address;
/// returns the address with its port. Once per process, before anything that is to be counted.
///
/// # Errors
/// [`MetricsError`]; then nothing is collected or served.
pub(crate) async fn serve(addr: SocketAddr) -> Result<SocketAddr, MetricsError> {
    let unusable = |error| MetricsError::Address(AddressError::new(addr, error));
    let listener = TcpListener::bind(addr).await.map_err(unusable)?;
    let bound = listener.local_addr().map_err(unusable)?;
    let figures = PrometheusBuilder::new().install_recorder().map_err(MetricsError::Collect)?;
    actix::spawn(accept(listener, move || figures.render()));
    Ok(bound)
}

/// Where to scrape.
pub(crate) fn url(addr: SocketAddr) -> String {
    format!("http://{addr}/metrics")
}

async fn accept(listener: TcpListener, render: impl Fn() -> String + Clone + 'static) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let render = render.clone();
                actix::spawn(async move {
                    answer(stream, render).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no scrape can be accepted");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Answers the one request of a connection, and ends it; after a bounded time in any case, so that
/// one that is left open holds up nobody.
async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin, render: impl Fn() -> String) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = response(request.method(), request.uri().path(), &render);
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let mut server = http1::Builder::new();
    let serving =
        server.keep_alive(false).max_buf_size(HEAD_BYTES_MAX).serve_connection(TokioIo::new(stream), service);
    match timeout(SCRAPE_WITHIN, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a scrape failed"),
        Err(_) => tracing::debug!("a scrape took too long"),
    }
}

fn response(method: &Method, path: &str, render: impl Fn() -> String) -> Response<String> {
    let (status, body) = match (method, path) {
        (&Method::GET | &Method::HEAD, "/metrics") => (StatusCode::OK, render()),
        (&Method::GET | &Method::HEAD, _) => {
            (StatusCode::NOT_FOUND, "the figures are at /metrics\n".to_owned())
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are served\n".to_owned()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
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
        let (mut client, server) = duplex(64 << 10);
        client.write_all(request).await.unwrap();
        let mut text = String::new();
        let reading = client.read_to_string(&mut text);
        let ((), read) = tokio::join!(answer(server, || "figures\n".to_owned()), reading);
        read.expect("the connection is ended in order");
        text
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_scrape_is_answered_with_figures() {
        for (request, status) in [
            ("GET /metrics HTTP/1.1\r\n\r\n", "200"),
            ("GET /metrics?x=1 HTTP/1.1\r\nHost: here\r\n\r\n", "200"),
            ("GET /metrics HTTP/1.0\r\n\r\n", "200"),
            ("GET / HTTP/1.1\r\n\r\n", "404"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
        ] {
            let text = answered(request.as_bytes()).await;
            let head = text.split("\r\n").next().unwrap();
            assert_eq!(head.split(' ').nth(1), Some(status), "{request:?}: {text}");
            assert_eq!(text.ends_with("\r\n\r\nfigures\n"), status == "200", "{request:?}: {text}");
        }
        let head = answered(b"HEAD /metrics HTTP/1.1\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
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
            assert_eq!(begun.elapsed().as_secs(), SCRAPE_WITHIN.as_secs());
        }
    }

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = taken.local_addr().unwrap();
        let refused = serve(addr).await.unwrap_err();
        assert!(matches!(refused, MetricsError::Address(_)));
        assert!(refused.to_string().starts_with(&format!("metrics: {addr} is in use: ")), "{refused}");
    }
}
