//! The one HTTPS listener: HTTP/1.1 and h2 by ALPN, upgrades, limits, drain.
use std::{
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body::{Frame, SizeHint};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use irori_runtime::{OnEnd, Shutdown, Tasks};
use rustls_pki_types::CertificateDer;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::{
    body::{Body, BoxError},
    gathered::Gathered,
    lingering::{HandedOver, Lingering},
    places::Places,
};
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
    /// Open connections of one address (IPv6: of its /64); loopback has no limit of its own. Above this new ones are closed at once.
    pub connections_per_address_max: usize,
    /// From the TCP accept to the end of the TLS handshake; the connection is closed at it.
    pub handshake_max: Duration,
    /// From the first byte of a request, or the end of the answer before, to the end of its headers (HTTP/1.1); the connection is closed at it.
    pub headers_max: Duration,
    /// How long a connection may have no request under way; it is closed at it.
    pub idle_max: Duration,
    /// Streams at once in one h2 connection.
    pub streams_max: u32,
    /// How long open requests may go on after shutdown was asked for.
    pub drain_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            connections_per_address_max: 1_000,
            handshake_max: Duration::from_secs(10),
            headers_max: Duration::from_secs(30),
            idle_max: Duration::from_secs(180),
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
    let shares = Places::default();
    let serving = Serving { handler, limits, shutdown: shutdown.clone() };
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
        let Some(share) = shares.take(address.ip(), limits.connections_per_address_max) else {
            debug!(%address, "closed: this address has all connections that one may have");
            continue;
        };
        let (tls, serving) = (tls.clone(), serving.clone());
        tasks.spawn("http-connection", OnEnd::Contained, async move {
            connection(stream, address, tls, serving).await;
            drop((place, share));
            Ok::<(), std::convert::Infallible>(())
        });
    }
}

/// What each connection of a listener is served with.
#[derive(Clone)]
struct Serving {
    handler: Arc<dyn Handler>,
    limits: Limits,
    shutdown: Shutdown,
}

async fn connection(stream: TcpStream, address: SocketAddr, tls: Option<Arc<rustls::ServerConfig>>, serving: Serving) {
    let _unsupported = stream.set_nodelay(true);
    let Some(tls) = tls else {
        let peer = Peer { address, certificates: Arc::default(), server_name: None };
        return answer_http1(stream, peer, serving).await;
    };
    let handshake = async {
        if !is_plain_http(&stream).await? {
            return TlsAcceptor::from(tls).accept(stream).await.map(Some);
        }
        refuse_plain_http(stream).await.map(|()| None)
    };
    match tokio::time::timeout(serving.limits.handshake_max, handshake).await {
        Ok(Ok(None)) => debug!(%address, "plain HTTP on a TLS port"),
        Ok(Ok(Some(stream))) => {
            let session = stream.get_ref().1;
            let certificates = session.peer_certificates().unwrap_or_default().iter().map(|c| c.clone().into_owned()).collect();
            let peer =
                Peer { address, certificates: Arc::new(certificates), server_name: session.server_name().map(str::to_owned) };
            if session.alpn_protocol() == Some(b"h2") {
                let open = OpenRequests::default();
                let stream = Gathered::new(stream, open.clone());
                answer(stream, Version::H2, (open, HandedOver::default()), peer, serving).await;
            } else {
                answer_http1(stream, peer, serving).await;
            }
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

/// What is spoken, as ALPN says. To look for it in the first bytes would be to wait for them without end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Http1,
    H2,
}

/// Resolves when no request has been open for so long.
async fn idle(mut open: watch::Receiver<usize>, idle_max: Duration) {
    loop {
        // The sender lives as long as the connection, and this no longer.
        drop(open.wait_for(|open| *open == 0).await);
        if tokio::time::timeout(idle_max, open.wait_for(|open| *open > 0)).await.is_err() {
            return;
        }
    }
}

/// How many requests of a connection are being answered.
#[derive(Clone, Default)]
pub struct OpenRequests(Arc<watch::Sender<usize>>);

impl OpenRequests {
    pub fn several(&self) -> bool {
        *self.0.borrow() > 1
    }

    /// One more, until what is returned is dropped.
    pub fn one(&self) -> Open {
        self.0.send_modify(|open| *open += 1);
        Open(self.clone())
    }
}

/// A request that is being answered, until the last byte.
pub struct Open(OpenRequests);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.send_modify(|open| *open -= 1);
    }
}

/// The body of an answer that is under way.
struct Answering {
    body: Body,
    _open: Open,
}

impl http_body::Body for Answering {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

async fn answer_http1<S>(stream: S, peer: Peer, serving: Serving)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handed_over = HandedOver::default();
    let stream = Lingering::new(stream, handed_over.clone());
    answer(stream, Version::Http1, (OpenRequests::default(), handed_over), peer, serving).await;
}

async fn answer<S>(stream: S, version: Version, (requests, handed_over): (OpenRequests, HandedOver), peer: Peer, serving: Serving)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Serving { handler, limits, shutdown } = serving;
    let address = peer.address;
    let open = requests.0.subscribe();
    let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let mut request = request.map(|body| body.map_err(|source| -> BoxError { source.into() }).boxed_unsync());
        request.extensions_mut().insert(peer.clone());
        let answer = handler.call(request);
        let (open, handed_over) = (requests.one(), handed_over.clone());
        async move {
            let answer = answer.await;
            if answer.status() == http::StatusCode::SWITCHING_PROTOCOLS {
                handed_over.note();
            }
            Ok::<_, std::convert::Infallible>(answer.map(|body| Answering { body, _open: open }.boxed_unsync()))
        }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut builder = if version == Version::H2 { builder.http2_only() } else { builder.http1_only() };
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.headers_max);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(limits.streams_max).keep_alive_interval(None);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = idle(open, limits.idle_max) => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(limits.drain_max, connection).await {
                Ok(ended) => ended,
                Err(_) => return debug!(%address, "connection dropped: nobody used it"),
            }
        }
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

#[cfg(test)]
mod tests;
