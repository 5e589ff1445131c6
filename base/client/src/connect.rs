//! A client over HTTPS: own connector, so that certificates are judged by our clock and nothing is trusted but the given CA.
//!
//! Requests share one h2 connection; its pings find a dead peer. Upgrades (exec) take an HTTP/1.1 connection of their own.
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, Uri, header, uri};
use http_body_util::BodyExt;
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use irori_http::{Body, BoxError};
use irori_runtime::Clock;
use irori_trust::{TrustError, tls};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower::Service;

/// TCP connect and TLS handshake together.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// From sending a request to the head of its answer; bodies (watches, logs) may take for ever.
const ANSWER_MAX: Duration = Duration::from_secs(90);
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_ANSWER_MAX: Duration = Duration::from_secs(15);
/// Bytes that a server may send before we have read them: of one answer, and of all on a connection.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;
const IDLE_CONNECTION_MAX: Duration = Duration::from_secs(90);

/// Where an API is and who asks.
#[derive(Clone)]
pub struct Remote {
    /// `https://host:port`, or with a path that all requests go below.
    pub url: String,
    /// The only certificates that the server's is verified against.
    pub ca_pem: String,
    pub identity: Identity,
    /// The User-Agent: the field manager of what is written.
    pub agent: &'static str,
    pub clock: Clock,
}

/// Who asks.
#[derive(Clone)]
pub enum Identity {
    Certificate { cert_pem: String, key_pem: String },
    Token(String),
    None,
}

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("parse API address `{url}`: {reason}")]
    Url { url: String, reason: String },
    #[error("make a header of the token")]
    Token,
    #[error("prepare TLS")]
    Tls {
        #[source]
        source: TrustError,
    },
}

/// A client of the API at `to`. Connects when it is first used; an unreachable API is an error of that request.
///
/// Must be called within a tokio runtime.
pub fn connect(to: &Remote) -> Result<kube::Client, ConnectError> {
    let bad = |reason: &str| ConnectError::Url { url: to.url.clone(), reason: reason.to_owned() };
    let base: Uri = to.url.parse().map_err(|source: uri::InvalidUri| bad(&source.to_string()))?;
    if base.scheme() != Some(&uri::Scheme::HTTPS) {
        return Err(bad("expected https"));
    }
    let authority = base.authority().ok_or_else(|| bad("expected a host"))?.clone();
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let server = ServerName::try_from(host.to_owned()).map_err(|source| bad(&source.to_string()))?;
    let identity = match &to.identity {
        Identity::Certificate { cert_pem, key_pem } => {
            Some(irori_trust::Identity { certificate_pem: cert_pem.clone(), key_pem: key_pem.clone() })
        }
        Identity::Token(_) | Identity::None => None,
    };
    let token = match &to.identity {
        Identity::Token(token) => {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.trim())).map_err(|_| ConnectError::Token)?;
            value.set_sensitive(true);
            Some(value)
        }
        Identity::Certificate { .. } | Identity::None => None,
    };
    let connector = |alpn: &[&str]| -> Result<Connector, ConnectError> {
        let config =
            tls::client(&to.ca_pem, identity.as_ref(), alpn, &to.clock).map_err(|source| ConnectError::Tls { source })?;
        Ok(Connector { config, server: server.clone() })
    };
    let pool = |connector: Connector| {
        let mut builder = Client::builder(TokioExecutor::new());
        builder.timer(TokioTimer::new()).pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_CONNECTION_MAX);
        builder.http2_keep_alive_interval(PING_EVERY).http2_keep_alive_timeout(PING_ANSWER_MAX);
        // Not with a window that adapts: it begins at 64 KiB, and the HTTP/2 library ends a connection on which more small frames
        // wait to be read than half of its window has room for, at 256 bytes each (150 events).
        builder.http2_initial_stream_window_size(STREAM_WINDOW).http2_initial_connection_window_size(CONNECTION_WINDOW);
        builder.build(connector)
    };
    let service = Outgoing {
        shared: pool(connector(&["h2", "http/1.1"])?),
        upgrades: pool(connector(&["http/1.1"])?),
        authority,
        prefix: base.path().trim_end_matches('/').to_owned(),
        token,
        agent: HeaderValue::from_static(to.agent),
    };
    Ok(kube::Client::new(service, "default"))
}

#[derive(Clone)]
struct Outgoing {
    shared: Client<Connector, Body>,
    upgrades: Client<Connector, Body>,
    authority: uri::Authority,
    prefix: String,
    token: Option<HeaderValue>,
    agent: HeaderValue,
}

impl Service<Request<kube::client::Body>> for Outgoing {
    type Response = Response<hyper::body::Incoming>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let mut request = request.map(|body| body.map_err(|source| -> BoxError { source.into() }).boxed_unsync());
        let path = request.uri().path_and_query().map_or("/", uri::PathAndQuery::as_str);
        let uri = Uri::builder()
            .scheme(uri::Scheme::HTTPS)
            .authority(self.authority.clone())
            .path_and_query(format!("{}{path}", self.prefix))
            .build();
        match uri {
            Ok(uri) => *request.uri_mut() = uri,
            Err(source) => return Box::pin(async move { Err(source.into()) }),
        }
        request.headers_mut().entry(header::USER_AGENT).or_insert_with(|| self.agent.clone());
        if let Some(token) = &self.token {
            request.headers_mut().insert(header::AUTHORIZATION, token.clone());
        }
        let pool = if request.headers().contains_key(header::UPGRADE) { &self.upgrades } else { &self.shared };
        let answer = pool.request(request);
        Box::pin(async move {
            match timeout(ANSWER_MAX, answer).await {
                Ok(answer) => answer.map_err(Into::into),
                Err(_) => {
                    Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", ANSWER_MAX.as_secs())).into())
                }
            }
        })
    }
}

#[derive(Clone)]
struct Connector {
    config: Arc<ClientConfig>,
    server: ServerName<'static>,
}

impl Service<Uri> for Connector {
    type Response = Secured;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Secured, BoxError>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let (tls, server) = (TlsConnector::from(self.config.clone()), self.server.clone());
        Box::pin(async move {
            let host = to.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
            let port = to.port_u16().unwrap_or(443);
            let open = async {
                let stream = TcpStream::connect((host.as_str(), port)).await?;
                stream.set_nodelay(true)?;
                tls.connect(server, stream).await
            };
            let late = || io::Error::new(io::ErrorKind::TimedOut, format!("connect to `{host}:{port}`: not done in time"));
            let stream = timeout(CONNECT_MAX, open).await.map_err(|_| late())??;
            Ok(Secured(TokioIo::new(stream)))
        })
    }
}

/// A TLS stream that tells the pool what ALPN chose.
struct Secured(TokioIo<TlsStream<TcpStream>>);

impl Connection for Secured {
    fn connected(&self) -> Connected {
        let h2 = self.0.inner().get_ref().1.alpn_protocol() == Some(b"h2");
        if h2 { Connected::new().negotiated_h2() } else { Connected::new() }
    }
}

impl hyper::rt::Read for Secured {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: hyper::rt::ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl hyper::rt::Write for Secured {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }
}

#[cfg(test)]
mod tests;
