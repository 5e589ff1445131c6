//! The server: what it is made of, and its two entrances.
use std::{
    convert::Infallible,
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{HeaderValue, header};
use irori_api::{
    codec::protobuf::Protobuf,
    descriptions::ColumnTexts,
    row::{Row, Tables},
};
use irori_http::{Body, Handler, Peer, Request, Response};
use irori_runtime::{Clock, Tasks};
use irori_store::{Revision, Store};
use irori_trust::CaTree;

use crate::{
    admission::{self, Plugin},
    audit::{Audit, NoAudit},
    authz::{NodeGraph, RbacIndex},
    bootstrap,
    call::Entrance,
    expiry,
    flow::Flow,
    identity::UserInfo,
    path,
    refusal::Refusal,
    watch::SharedEvents,
};

/// What the server is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where Services get their addresses: one IPv4 and, dual-stack, one IPv6 range, the primary family first.
    pub service_cidrs: Vec<Cidr>,
    /// Ports for NodePort Services, inclusive.
    pub node_ports: (u16, u16),
    /// `iss` of service-account tokens.
    pub issuer: String,
    /// `aud` of service-account tokens that name none; a token must carry one of them.
    pub audiences: Vec<String>,
    /// Bearer token of an administrator in group `system:masters`; for `irori api` and tests.
    pub admin_token: Option<String>,
    /// Kinds (`batch/v1/Job` as `batch/Job`) whose controller does not run here: creating one is answered with this Warning.
    pub without_controller: Vec<(String, String)>,
    /// Webhooks, admission policies, custom resource definitions, API services, ephemeral containers and resizes of pods are stored,
    /// though nothing acts on them; else they are refused with 501.
    pub store_unenforced: bool,
    /// What OpenShift's build of kube-apiserver adds to upstream's: its service CA in token volumes, and a role that lets anybody read
    /// `/.well-known`. The recorded exchanges were taken with such a build.
    pub openshift: bool,
    /// How long Events are kept after they were last written.
    pub event_ttl: Duration,
    /// Named by /api to clients: `127.0.0.1:6443`.
    pub advertised: String,
    /// The domain of the cluster's names.
    pub cluster_domain: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // Not the /12 that kubeadm takes: a recording replayed against this server names addresses of 10.96 alone.
            service_cidrs: vec![Cidr { address: IpAddr::from([10, 96, 0, 0]), bits: 16 }],
            node_ports: (30_000, 32_767),
            issuer: "https://kubernetes.default.svc".to_owned(),
            audiences: vec!["https://kubernetes.default.svc".to_owned()],
            admin_token: None,
            without_controller: Vec::new(),
            store_unenforced: false,
            openshift: false,
            event_ttl: Duration::from_secs(60 * 60),
            advertised: "127.0.0.1:6443".to_owned(),
            cluster_domain: "cluster.local".to_owned(),
        }
    }
}

/// The tags of the OpenAPI v2 document, once it was made.
#[derive(Default)]
pub(crate) struct OpenApiV2 {
    pub json: OnceLock<String>,
    pub protobuf: OnceLock<String>,
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    pub address: IpAddr,
    pub bits: u8,
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// Everything that the stages share.
pub struct Server {
    pub settings: Settings,
    pub store: Arc<dyn Store>,
    pub tables: Arc<Tables>,
    pub(crate) protobuf: Protobuf,
    pub trust: Arc<CaTree>,
    pub clock: Clock,
    pub tasks: Tasks,
    pub(crate) rbac: RbacIndex,
    pub(crate) nodes: NodeGraph,
    pub(crate) flow: Flow,
    pub(crate) audit: Box<dyn Audit>,
    pub(crate) admission: Vec<Box<dyn Plugin>>,
    pub(crate) shared_events: SharedEvents,
    pub(crate) token_cache: crate::authn::TokenCache,
    pub(crate) certificate_cache: crate::authn::CertificateCache,
    pub(crate) to_nodes: crate::to_node::NodeClient,
    pub(crate) ready: AtomicBool,
    /// The index of OpenAPI names the hash of every document: made once.
    pub(crate) openapi_index: OnceLock<String>,
    pub(crate) openapi_v2: OpenApiV2,
    /// Held by whoever makes a document of OpenAPI.
    pub(crate) documents: tokio::sync::Mutex<()>,
    pub(crate) column_texts: OnceLock<ColumnTexts>,
    /// Answered requests, for /metrics.
    pub(crate) answered: AtomicU64,
}

/// The door of a home: the Kubernetes API on a store. Cheap to clone.
#[derive(Clone)]
pub struct ApiServer(Arc<Server>);

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("write the objects that every cluster starts with: {}", .0.message)]
    Bootstrap(Refusal),
    #[error("follow the store")]
    Follow(#[source] irori_store::StoreError),
}

impl ApiServer {
    /// Starts on a store: writes the bootstrap objects in one commit if they are missing, and follows what authorisation needs.
    pub async fn new(
        settings: Settings,
        store: Arc<dyn Store>,
        tables: Arc<Tables>,
        trust: Arc<CaTree>,
        clock: Clock,
        tasks: Tasks,
    ) -> Result<Arc<Self>, StartError> {
        bootstrap::ensure(&settings, store.as_ref(), &tables, &clock).await.map_err(StartError::Bootstrap)?;
        let rbac = RbacIndex::follow(&store, &tasks).await.map_err(StartError::Follow)?;
        let nodes = NodeGraph::follow(&store, &tasks).await.map_err(StartError::Follow)?;
        let server = Server {
            settings,
            store,
            protobuf: Protobuf::compile(&tables.schemas),
            tables,
            trust,
            clock,
            tasks,
            rbac,
            nodes,
            flow: Flow::new(),
            audit: Box::new(NoAudit),
            admission: admission::in_tree(),
            shared_events: SharedEvents::default(),
            token_cache: crate::authn::TokenCache::default(),
            certificate_cache: crate::authn::CertificateCache::default(),
            to_nodes: crate::to_node::NodeClient::default(),
            ready: AtomicBool::new(true),
            openapi_index: OnceLock::new(),
            openapi_v2: OpenApiV2::default(),
            documents: tokio::sync::Mutex::default(),
            column_texts: OnceLock::new(),
            answered: AtomicU64::new(0),
        };
        let server = Arc::new(server);
        expiry::start(&server).await.map_err(StartError::Follow)?;
        Ok(Arc::new(Self(server)))
    }

    /// The in-process entrance: a tower service that calls as `identity`, or as the `UserInfo` that a request carries as an extension.
    /// Nothing that came over a network can get here.
    pub fn in_process(&self, identity: UserInfo) -> InProcess {
        InProcess { server: self.0.clone(), identity: Arc::new(identity), agent: HeaderValue::from_static("irori") }
    }

    /// Answers a request from the network.
    pub async fn answer(&self, request: Request) -> Response {
        // What only the in-process entrance may say is not even looked at here.
        let peer = request.extensions().get::<Peer>().cloned();
        path::answer(self.0.clone(), request, Entrance::Network(peer)).await
    }

    /// Whether /readyz says ok. A server is ready from its start until this is told otherwise.
    pub fn set_ready(&self, ready: bool) {
        self.0.ready.store(ready, Ordering::Release);
    }
}

impl Handler for ApiServer {
    fn call(&self, request: Request) -> BoxFuture<'static, Response> {
        let this = self.clone();
        Box::pin(async move { this.answer(request).await })
    }
}

/// A tower service on the server, for `irori_client::in_process`.
#[derive(Clone)]
pub struct InProcess {
    server: Arc<Server>,
    identity: Arc<UserInfo>,
    agent: HeaderValue,
}

impl InProcess {
    /// Under which User-Agent it calls: the field manager of what it writes.
    pub fn agent(self, agent: &'static str) -> Self {
        Self { agent: HeaderValue::from_static(agent), ..self }
    }
}

impl tower::Service<http::Request<Body>> for InProcess {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        request.headers_mut().entry(header::USER_AGENT).or_insert_with(|| self.agent.clone());
        let server = self.server.clone();
        let identity = request.extensions().get::<UserInfo>().cloned().map_or_else(|| self.identity.clone(), Arc::new);
        Box::pin(async move { Ok(path::answer(server, request, Entrance::InProcess(identity)).await) })
    }
}

impl Server {
    /// The row in whose form the row's objects are stored (another one for HPA v1 and events.k8s.io).
    pub(crate) fn stored_as(&self, row: &Arc<Row>) -> Arc<Row> {
        if !row.converts() {
            return row.clone();
        }
        self.tables.stored_as(row).unwrap_or(row).clone()
    }

    /// Waits until RBAC knows what this server committed at `revision` under `key`.
    pub(crate) async fn settle(&self, key: &str, revision: Revision) {
        if key.starts_with(crate::authz::RBAC_PREFIX) {
            let _lagging = tokio::time::timeout(crate::limits::INDEX_WAIT, self.rbac.reached(revision)).await;
        }
    }

    /// Waits until the node authoriser knows of a pod that was given to a node at `revision`.
    pub(crate) async fn settle_assignment(&self, revision: Revision) {
        let _lagging = tokio::time::timeout(crate::limits::INDEX_WAIT, self.nodes.reached(revision)).await;
    }
}
