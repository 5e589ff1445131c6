//! One connection to one member: TCP, TLS, HTTP/2, who we are, and whether that member is fit.
//!
//! Connecting is a step of its own, apart from calling: what failed before a connection stood was certainly not carried out.
use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::Stream;
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use irori_runtime::{OnEnd, Shutdown, Tasks};
use prost::Message;
use rustls_pki_types::ServerName;
use tokio::{io, net::TcpStream};
use tonic::{
    Request, Status, Streaming,
    body::Body,
    client::Grpc,
    codegen::{Service, http},
    metadata::{Ascii, MetadataValue},
};
use tonic_prost::ProstCodec;

use super::{version, wire};

/// TCP, TLS and the first two calls together.
pub const CONNECT_MAX: Duration = Duration::from_secs(3);
/// A silent connection is asked so often whether its other end lives; etcd refuses more than one in 5 s.
const PING_EVERY: Duration = Duration::from_secs(6);
const PING_ANSWER_MAX: Duration = Duration::from_secs(4);
/// Bytes that etcd may send before we have read them: of one call or watch, and of all.
const STREAM_WINDOW: u32 = 2 << 20;
const LINE_WINDOW: u32 = 8 << 20;
/// Largest answer, in bytes; lists are asked for in pages far below it.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Where a member is and who asks.
pub struct Access {
    /// `host:port`.
    pub endpoints: Vec<Arc<str>>,
    pub tls: Option<Arc<rustls::ClientConfig>>,
    pub login: Option<Login>,
}

/// A user of etcd's own authentication.
#[derive(Clone)]
pub struct Login {
    pub user: String,
    pub password: String,
}

/// Why a member cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("{endpoint}: {reason}")]
    Unreachable { endpoint: Arc<str>, reason: String },
    #[error("{endpoint} runs etcd {found}, which is not safe; the least is {}.{}.{}", version::LEAST.0, version::LEAST.1, version::LEAST.2)]
    Version { endpoint: Arc<str>, found: String },
    #[error("{endpoint} lets us not in: {reason}")]
    Refused { endpoint: Arc<str>, reason: String },
}

/// A connection that stands. Clones share it.
#[derive(Clone)]
pub struct Line {
    grpc: Grpc<Sender>,
    token: Option<MetadataValue<Ascii>>,
    pub endpoint: Arc<str>,
    /// Tells one connection from the next.
    pub number: u64,
    pub cluster: u64,
}

impl Line {
    /// Connects to a member. The connection ends when its last clone is gone, or with `ended`.
    pub async fn open(
        access: &Access,
        endpoint: &Arc<str>,
        number: u64,
        tasks: &Tasks,
        ended: &Shutdown,
    ) -> Result<Self, ConnectError> {
        let unreachable = |reason: String| ConnectError::Unreachable { endpoint: endpoint.clone(), reason };
        let work = async {
            let sender = handshake(access, endpoint, tasks, ended).await.map_err(|source| unreachable(source.to_string()))?;
            let scheme = if access.tls.is_some() { "https" } else { "http" };
            let origin = http::Uri::builder().scheme(scheme).authority(endpoint.as_ref()).path_and_query("/").build();
            let origin = origin.map_err(|source| unreachable(source.to_string()))?;
            let grpc = Grpc::with_origin(sender, origin).max_decoding_message_size(ANSWER_BYTES_MAX);
            let mut line = Self { grpc, token: None, endpoint: endpoint.clone(), number, cluster: 0 };
            if let Some(login) = &access.login {
                line.token = line.log_in(login).await?;
            }
            line.check().await?;
            Ok(line)
        };
        tokio::time::timeout(CONNECT_MAX, work)
            .await
            .unwrap_or_else(|_| Err(unreachable(format!("no connection within {} s", CONNECT_MAX.as_secs()))))
    }

    async fn log_in(&self, login: &Login) -> Result<Option<MetadataValue<Ascii>>, ConnectError> {
        let asked = wire::AuthenticateRequest { name: login.user.clone(), password: login.password.clone() };
        match self.call::<_, wire::AuthenticateResponse>(wire::AUTHENTICATE, asked).await {
            Ok(answer) => Ok(MetadataValue::try_from(answer.token).ok()),
            // With a client certificate alone that is fine.
            Err(status) if status.message().contains("authentication is not enabled") => Ok(None),
            Err(status) => Err(self.failed(&status)),
        }
    }

    /// Version, and the alarms a person should know of.
    async fn check(&mut self) -> Result<(), ConnectError> {
        let status: wire::StatusResponse =
            self.call(wire::STATUS, wire::Empty {}).await.map_err(|status| self.failed(&status))?;
        if !version::is_safe(&status.version) {
            return Err(ConnectError::Version { endpoint: self.endpoint.clone(), found: status.version });
        }
        if status.is_learner {
            let reason = "a learner answers no reads".to_owned();
            return Err(ConnectError::Unreachable { endpoint: self.endpoint.clone(), reason });
        }
        self.cluster = status.header.map_or(0, |header| header.cluster_id);
        if !status.errors.is_empty() {
            tracing::warn!(endpoint = %self.endpoint, "etcd says: {}", status.errors.join("; "));
        }
        tracing::debug!(endpoint = %self.endpoint, version = status.version, "connected to etcd");
        Ok(())
    }

    fn failed(&self, status: &Status) -> ConnectError {
        let (endpoint, reason) = (self.endpoint.clone(), status.message().to_owned());
        match super::fault::fault(status) {
            super::fault::Fault::Refused(_) | super::fault::Fault::Login => ConnectError::Refused { endpoint, reason },
            _ => ConnectError::Unreachable { endpoint, reason },
        }
    }

    /// One request, one answer.
    pub async fn call<Q, A>(&self, path: &'static str, asked: Q) -> Result<A, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let mut grpc = self.grpc.clone();
        let path = http::uri::PathAndQuery::from_static(path);
        let answer = grpc.unary(self.request(asked), path, ProstCodec::<Q, A>::default()).await;
        answer.map(tonic::Response::into_inner)
    }

    /// Requests and answers, each as they come.
    pub async fn stream<Q, A>(
        &self,
        path: &'static str,
        asked: impl Stream<Item = Q> + Send + 'static,
    ) -> Result<Streaming<A>, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let mut grpc = self.grpc.clone();
        let path = http::uri::PathAndQuery::from_static(path);
        let answers = grpc.streaming(self.request(asked), path, ProstCodec::<Q, A>::default()).await;
        answers.map(tonic::Response::into_inner)
    }

    /// Whether a request could be sent now. If not, nothing was sent.
    pub async fn ready(&self) -> Result<(), String> {
        self.grpc.clone().ready().await.map_err(|source| source.to_string())
    }

    fn request<T>(&self, asked: T) -> Request<T> {
        let mut request = Request::new(asked);
        // A member that is cut off from the leader says so, and ends its watches.
        request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
        if let Some(token) = &self.token {
            request.metadata_mut().insert("token", token.clone());
        }
        request
    }
}

async fn handshake(access: &Access, endpoint: &Arc<str>, tasks: &Tasks, ended: &Shutdown) -> io::Result<Sender> {
    let tcp = TcpStream::connect(endpoint.as_ref()).await?;
    tcp.set_nodelay(true)?;
    let Some(config) = &access.tls else { return speak(TokioIo::new(tcp), tasks, ended).await };
    let host = endpoint.rsplit_once(':').map_or(endpoint.as_ref(), |(host, _)| host);
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(io::Error::other)?;
    let tls = tokio_rustls::TlsConnector::from(config.clone()).connect(name, tcp).await?;
    speak(TokioIo::new(tls), tasks, ended).await
}

async fn speak<I>(io: I, tasks: &Tasks, ended: &Shutdown) -> io::Result<Sender>
where
    I: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
{
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).keep_alive_interval(PING_EVERY).keep_alive_timeout(PING_ANSWER_MAX);
    // Not with a window that adapts: it begins at 64 KiB, and the HTTP/2 library ends a connection on which more small frames wait
    // to be read than half of its window has room for, at 256 bytes each (150 answers to commits).
    builder.keep_alive_while_idle(true).initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(LINE_WINDOW);
    let (sender, connection) = builder.handshake(io).await.map_err(io::Error::other)?;
    let ended = ended.clone();
    tasks.spawn("etcd-connection", OnEnd::Contained, async move {
        // Whoever calls over it learns why it ended.
        if let Some(Err(source)) = ended.guard(connection).await {
            tracing::debug!("a connection to etcd ended: {source}");
        }
        Ok::<(), Infallible>(())
    });
    Ok(Sender(sender))
}

/// The sending half of an HTTP/2 connection, as tonic wants it.
#[derive(Clone)]
struct Sender(http2::SendRequest<Body>);

impl Service<http::Request<Body>> for Sender {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = hyper::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
