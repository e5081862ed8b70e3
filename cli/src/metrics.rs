//! The figures of this process, for Prometheus.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

use crate::{Failure, commands::doctor::bind_error, failure::one_line};

/// Bytes of a request; a scraper needs a few hundred.
const REQUEST_BYTES_MAX: u64 = 8 << 10;
/// Scrapers that are served at the same time; others wait.
const CONNECTIONS_MAX: usize = 8;
/// How long one scrape may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Pause when the system has no room for another connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Collects the figures of this process from now on, and serves them at `/metrics` of an address;
/// returns the address with its port. Once per process, before anything that is to be counted.
pub(crate) async fn serve(addr: SocketAddr) -> Result<SocketAddr, Failure> {
    let unusable = |error: io::Error| Failure::Failed(format!("metrics: {}", bind_error(addr, &error)));
    let listener = TcpListener::bind(addr).await.map_err(unusable)?;
    let bound = listener.local_addr().map_err(unusable)?;
    let figures = PrometheusBuilder::new()
        .install_recorder()
        .map_err(|error| Failure::Failed(format!("figures cannot be collected: {}", one_line(&error))))?;
    actix::spawn(accept(listener, figures));
    Ok(bound)
}

/// Where to scrape.
pub(crate) fn url(addr: SocketAddr) -> String {
    format!("http://{addr}/metrics")
}

async fn accept(listener: TcpListener, figures: PrometheusHandle) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let figures = figures.clone();
                actix::spawn(async move {
                    if let Ok(Err(error)) = timeout(ANSWER_WITHIN, answer(stream, &figures)).await {
                        tracing::debug!(%error, "a scrape failed");
                    }
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

async fn answer(mut stream: TcpStream, figures: &PrometheusHandle) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let request = request_line(BufReader::new(reader.take(REQUEST_BYTES_MAX))).await?;
    let response = response(&request, || figures.render());
    writer.write_all(response.as_bytes()).await?;
    writer.shutdown().await
}

/// The first line of a request, once its head has come.
async fn request_line(mut reader: impl AsyncBufRead + Unpin) -> io::Result<String> {
    let mut first = String::new();
    reader.read_line(&mut first).await?;
    let mut line = String::new();
    while reader.read_line(&mut line).await? > 0 && !line.trim_end().is_empty() {
        line.clear();
    }
    Ok(first)
}

fn response(request: &str, render: impl FnOnce() -> String) -> String {
    let mut words = request.split_whitespace();
    let path = words.nth(1).map(|target| target.split('?').next().unwrap_or(target));
    let (status, body) = match (request.split_whitespace().next(), path) {
        (Some("GET"), Some("/metrics")) => ("200 OK", render()),
        (Some("GET"), Some(_)) => ("404 Not Found", "the figures are at /metrics\n".to_owned()),
        (Some(_), Some(_)) => ("405 Method Not Allowed", "only GET is served\n".to_owned()),
        _ => ("400 Bad Request", "this is no request\n".to_owned()),
    };
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_scrape_is_answered_with_figures() {
        for (request, status) in [
            ("GET /metrics HTTP/1.1\r\n", "200"),
            ("GET /metrics?x=1 HTTP/1.1\r\n", "200"),
            ("GET / HTTP/1.1\r\n", "404"),
            ("POST /metrics HTTP/1.1\r\n", "405"),
            ("\r\n", "400"),
            ("", "400"),
        ] {
            let text = response(request, || "figures\n".to_owned());
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {text}");
            assert_eq!(text.ends_with("\r\n\r\nfigures\n"), status == "200", "{request:?}: {text}");
        }
    }
}
