//! The one HTTPS listener: HTTP/1.1 and h2 by ALPN, upgrades, limits, drain.
use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use irori_runtime::{OnEnd, Shutdown, Tasks};
use rustls_pki_types::CertificateDer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::body::{Body, BoxError};
use http_body_util::BodyExt;

pub type Request = http::Request<Body>;
pub type Response = http::Response<Body>;

/// How much of a plain request on a TLS port is read before it is refused.
const PLAIN_REQUEST_BYTES: usize = 16 * 1024;

/// What answers requests. One per listener; knows its own state.
pub trait Handler: Send + Sync + 'static {
    fn call(&self, request: Request) -> BoxFuture<'static, Response>;
}

/// Who is at the other end, as an extension of every request from the network.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    /// The client's certificate chain as it was sent, leaf first: proven to hold the key, but not verified against any anchor.
    /// Empty where none was sent, or without TLS.
    pub certificates: Arc<Vec<CertificateDer<'static>>>,
    /// The name that the client asked for in the handshake.
    pub server_name: Option<String>,
}

/// Limits of a listener.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections. Above this new ones wait in the kernel's backlog.
    pub connections_max: usize,
    /// From the TCP accept to the end of the TLS handshake; the connection is closed at it.
    pub handshake_max: Duration,
    /// From the first byte of a request to the end of its headers (HTTP/1.1); the connection is closed at it.
    pub headers_max: Duration,
    /// Streams at once in one h2 connection.
    pub streams_max: u32,
    /// How long open requests may go on after shutdown was asked for.
    pub drain_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            handshake_max: Duration::from_secs(10),
            headers_max: Duration::from_secs(30),
            streams_max: 1000,
            drain_max: Duration::from_secs(5),
        }
    }
}

/// Accepts and answers until shutdown. `tls` as `None` serves plain HTTP (the gateway's redirect, tests).
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    handler: Arc<dyn Handler>,
    limits: Limits,
    tasks: Tasks,
) -> Result<(), std::io::Error> {
    let shutdown = tasks.shutdown().clone();
    let places = Arc::new(Semaphore::new(limits.connections_max));
    loop {
        let Some(Ok(place)) = shutdown.guard(places.clone().acquire_owned()).await else { return Ok(()) };
        let Some(accepted) = shutdown.guard(listener.accept()).await else { return Ok(()) };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(source) => {
                // Out of descriptors, or a connection that was gone before it was taken: wait, never spin.
                warn!("accept connection: {source}");
                shutdown.sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (tls, handler, shutdown) = (tls.clone(), handler.clone(), shutdown.clone());
        tasks.spawn("http-connection", OnEnd::Contained, async move {
            connection(stream, address, tls, handler, limits, shutdown).await;
            drop(place);
            Ok::<(), std::convert::Infallible>(())
        });
    }
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
    handler: Arc<dyn Handler>,
    limits: Limits,
    shutdown: Shutdown,
) {
    let _unsupported = stream.set_nodelay(true);
    let Some(tls) = tls else {
        let peer = Peer { address, certificates: Arc::default(), server_name: None };
        return answer(TokioIo::new(stream), peer, handler, limits, shutdown).await;
    };
    let handshake = async {
        if !is_plain_http(&stream).await? {
            return TlsAcceptor::from(tls).accept(stream).await.map(Some);
        }
        refuse_plain_http(stream).await.map(|()| None)
    };
    match tokio::time::timeout(limits.handshake_max, handshake).await {
        Ok(Ok(None)) => debug!(%address, "plain HTTP on a TLS port"),
        Ok(Ok(Some(stream))) => {
            let session = stream.get_ref().1;
            let certificates = session.peer_certificates().unwrap_or_default().iter().map(|c| c.clone().into_owned()).collect();
            let peer =
                Peer { address, certificates: Arc::new(certificates), server_name: session.server_name().map(str::to_owned) };
            answer(TokioIo::new(stream), peer, handler, limits, shutdown).await;
        }
        Ok(Err(source)) => debug!(%address, "TLS handshake: {source}"),
        Err(_) => debug!(%address, "TLS handshake: not done in time"),
    }
}

/// A TLS record begins with its type, 20 to 24; a request with a method.
async fn is_plain_http(stream: &TcpStream) -> std::io::Result<bool> {
    let mut first = [0];
    Ok(stream.peek(&mut first).await? == 1 && first[0].is_ascii_uppercase())
}

/// Says so in the only language that such a client understands; the words are those of Go's servers.
async fn refuse_plain_http(mut stream: TcpStream) -> std::io::Result<()> {
    // What is left unread when a connection is closed takes the answer with it.
    let mut request = vec![0; PLAIN_REQUEST_BYTES];
    let _read_away = stream.read(&mut request).await?;
    stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n").await?;
    stream.shutdown().await
}

async fn answer<I>(io: I, peer: Peer, handler: Arc<dyn Handler>, limits: Limits, shutdown: Shutdown)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let address = peer.address;
    let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let mut request = request.map(|body| body.map_err(|source| -> BoxError { source.into() }).boxed_unsync());
        request.extensions_mut().insert(peer.clone());
        let answer = handler.call(request);
        async move { Ok::<_, std::convert::Infallible>(answer.await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.headers_max);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(limits.streams_max).keep_alive_interval(None);
    let connection = builder.serve_connection_with_upgrades(io, service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.wait() => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(limits.drain_max, connection).await {
                Ok(ended) => ended,
                Err(_) => return debug!(%address, "connection dropped after the drain"),
            }
        }
    };
    if let Err(source) = ended {
        debug!(%address, "connection: {source}");
    }
}
