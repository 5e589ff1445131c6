//! One connection to containerd's socket and the two ways to call over it.
use std::{path::Path, time::Duration};

use prost::Message;
use tonic::{
    Request, Status, Streaming,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::MetadataValue,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use crate::runtime::RuntimeError;

/// The namespace that the CRI plugin keeps its objects in.
const NAMESPACE: &str = "k8s.io";
/// Largest message in either direction, in bytes (containerd's own limit is 16 MiB).
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What an ordinary call may take.
pub(super) const USUAL: Duration = Duration::from_secs(120);

/// A connection that is made at the first call and made again after a loss. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Rpc {
    channel: Channel,
}

impl Rpc {
    /// `socket` is an absolute path.
    pub(super) fn new(socket: &Path) -> Result<Self, RuntimeError> {
        let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display())).map_err(|source| RuntimeError::Invalid {
            message: format!("address containerd at `{}`: {source}", socket.display()),
        })?;
        Ok(Self { channel: endpoint.connect_lazy() })
    }

    /// One request, one answer, within `limit`.
    pub(crate) async fn call<Q, A>(&self, path: &'static str, request: Q, limit: Duration) -> Result<A, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        self.send(path, namespaced(request), limit).await
    }

    /// A call on behalf of a lease, so that what it creates is not collected while the lease lives.
    pub(super) async fn call_leased<Q, A>(&self, path: &'static str, request: Q, lease: &str) -> Result<A, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        self.send(path, leased(request, lease)?, USUAL).await
    }

    async fn send<Q, A>(&self, path: &'static str, request: Request<Q>, limit: Duration) -> Result<A, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let work = async {
            let mut client = self.ready().await?;
            let codec = ProstCodec::<Q, A>::default();
            client.unary(request, PathAndQuery::from_static(path), codec).await.map(tonic::Response::into_inner)
        };
        tokio::time::timeout(limit, work).await.map_err(|_| Status::deadline_exceeded(format!("no answer within {limit:?}")))?
    }

    /// One request, a stream of answers.
    pub(super) async fn subscribe<Q, A>(&self, path: &'static str, request: Q) -> Result<Streaming<A>, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let mut client = self.ready().await?;
        let codec = ProstCodec::<Q, A>::default();
        let stream = client.server_streaming(namespaced(request), PathAndQuery::from_static(path), codec).await?;
        Ok(stream.into_inner())
    }

    /// Requests and answers at once; used where the requests are all known.
    pub(super) async fn exchange<Q, A>(&self, path: &'static str, requests: Vec<Q>, lease: &str) -> Result<Vec<A>, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let mut client = self.ready().await?;
        let codec = ProstCodec::<Q, A>::default();
        let request = leased(futures::stream::iter(requests), lease)?;
        let mut answers = client.streaming(request, PathAndQuery::from_static(path), codec).await?.into_inner();
        let mut all = Vec::new();
        while let Some(answer) = answers.message().await? {
            all.push(answer);
        }
        Ok(all)
    }

    async fn ready(&self) -> Result<Grpc<Channel>, Status> {
        let mut client = Grpc::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        client.ready().await.map_err(|source| Status::unavailable(format!("connect to containerd: {source}")))?;
        Ok(client)
    }
}

fn namespaced<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("containerd-namespace", MetadataValue::from_static(NAMESPACE));
    request
}

fn leased<T>(message: T, lease: &str) -> Result<Request<T>, Status> {
    let mut request = namespaced(message);
    let value = MetadataValue::try_from(lease).map_err(|_| Status::invalid_argument("lease id is not plain text"))?;
    request.metadata_mut().insert("containerd-lease", value);
    Ok(request)
}

/// What a refusal by containerd means to the caller. `what` is the thing that a "not found" is about.
pub(crate) fn failed(operation: &'static str, what: &str, status: &Status) -> RuntimeError {
    let message = status.message().to_owned();
    match status.code() {
        tonic::Code::NotFound => RuntimeError::NotFound { what: what.to_owned() },
        tonic::Code::Unavailable => RuntimeError::Unavailable { message },
        tonic::Code::DeadlineExceeded => RuntimeError::Failed { operation, message },
        tonic::Code::InvalidArgument => RuntimeError::Invalid { message },
        // The CRI plugin gives most errors no code of their own.
        _ if message.contains("not found") && message.contains(what) && !what.is_empty() => {
            RuntimeError::NotFound { what: what.to_owned() }
        }
        // A broken connection arrives as an unknown transport error.
        tonic::Code::Unknown | tonic::Code::Cancelled
            if message.contains("transport error") || message.contains("h2 protocol error") =>
        {
            RuntimeError::Unavailable { message }
        }
        _ => RuntimeError::Failed { operation, message },
    }
}
