//! Starts the gateway: watches, listeners, and the table between them.
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, RwLock},
};

use futures::{StreamExt, future::BoxFuture, stream};
use irori_client::{Informer, Informers, Key, Loop, Outcome, ReconcileError, Reconciler};
use irori_http::{Limits, serve};
use irori_runtime::{Clock, OnEnd, Tasks};
use irori_trust::{TrustError, tls};
use k8s_openapi::api::{
    core::v1::{Secret, Service},
    discovery::v1::EndpointSlice,
    networking::v1::Ingress,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    certificates::Certificates,
    proxy::{Proxy, Redirect},
    status::StatusWriter,
    table::{Table, build},
};

/// Where the gateway listens.
#[derive(Clone, Debug)]
pub struct Settings {
    pub addresses: Vec<IpAddr>,
    pub https_port: u16,
    pub http_port: u16,
    pub limits: Limits,
}

/// Where it really listens (ports of 0 are given by the kernel).
#[derive(Clone, Debug, Default)]
pub struct Listening {
    pub https: Vec<SocketAddr>,
    pub http: Vec<SocketAddr>,
}

#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    #[error("bind gateway listener on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("prepare TLS of the gateway")]
    Tls {
        #[source]
        source: TrustError,
    },
}

/// The table that is asked now. Clones share it.
#[derive(Clone, Default)]
pub struct Tables(Arc<RwLock<Arc<Table>>>);

impl Tables {
    pub fn present(&self) -> Arc<Table> {
        self.0.read().expect("no holder of this lock panics").clone()
    }

    pub fn swap(&self, table: Arc<Table>) {
        *self.0.write().expect("no holder of this lock panics") = table;
    }
}

/// What the gateway's service account may do, as an object for whoever sets the home up.
pub fn rules(namespace: &str, account: &str) -> Vec<Value> {
    let name = "irori:gateway";
    vec![
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name},
            "rules": [
                {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses"], "verbs": ["get", "list", "watch"]},
                {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses/status"], "verbs": ["patch", "update"]},
                {"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list", "watch"]},
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]},
                {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]},
            ],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": account}],
        }),
    ]
}

/// Tells each Ingress that it is answered on these addresses. `client` acts as the gateway's own account. Of several gateways of a home, one
/// may do so at a time: two with other addresses would write against each other for ever.
pub fn report(addresses: &[IpAddr], client: kube::Client, informers: &Informers, tasks: &Tasks) {
    let addresses = addresses.iter().copied().filter(|ip| !ip.is_unspecified()).collect();
    let status = StatusWriter { client, ingresses: informers.of(), addresses };
    let changes = status.ingresses.changes().map(|change| change.key);
    Loop::default().run(status, changes, tasks);
}

/// The running gateway.
pub struct Gateway {
    pub listening: Listening,
}

impl Gateway {
    /// Binds, watches and serves until shutdown. `client` acts as the gateway's own account; `informers` may be the process's shared
    /// ones, which see no Secrets: those are watched with `client`.
    pub async fn start(
        settings: Settings,
        client: kube::Client,
        informers: &Informers,
        clock: &Clock,
        tasks: &Tasks,
    ) -> Result<Self, GatewayError> {
        let (https, https_at) = bind(&settings.addresses, settings.https_port).await?;
        let (http, http_at) = bind(&settings.addresses, settings.http_port).await?;
        let https_port = https_at.first().map_or(settings.https_port, SocketAddr::port);
        let tables = Tables::default();
        let certificates = Certificates::new(tables.clone());
        let watching = Watching {
            ingresses: informers.of(),
            services: informers.of(),
            slices: informers.of(),
            secrets: Informers::new(client, tasks.clone()).of_selected("type=kubernetes.io/tls", ""),
            tables: tables.clone(),
            certificates: certificates.clone(),
        };
        watching.start(tasks);

        let config = tls::server(certificates, tls::ClientCertificates::Ignore, &["h2", "http/1.1"], clock)
            .map_err(|source| GatewayError::Tls { source })?;
        let proxy = Proxy::new(tables.clone(), https_port, tasks.clone());
        for listener in https {
            let handler = Arc::new(proxy.clone());
            tasks.spawn(
                "gateway-https",
                OnEnd::Fatal,
                serve(listener, Some(config.clone()), handler, settings.limits, tasks.clone()),
            );
        }
        let redirect = Arc::new(Redirect { tables, https_port });
        for listener in http {
            tasks.spawn("gateway-http", OnEnd::Fatal, serve(listener, None, redirect.clone(), settings.limits, tasks.clone()));
        }
        Ok(Self { listening: Listening { https: https_at, http: http_at } })
    }
}

async fn bind(addresses: &[IpAddr], port: u16) -> Result<(Vec<TcpListener>, Vec<SocketAddr>), GatewayError> {
    let mut listeners = Vec::new();
    let mut at = Vec::new();
    for ip in addresses {
        let address = SocketAddr::new(*ip, port);
        let listener = TcpListener::bind(address).await.map_err(|source| GatewayError::Listen { address, source })?;
        at.push(listener.local_addr().map_err(|source| GatewayError::Listen { address, source })?);
        listeners.push(listener);
    }
    Ok((listeners, at))
}

/// Rebuilds the table when anything that it is made of changes. One key, so that a burst of changes is one rebuild.
struct Watching {
    ingresses: Informer<Ingress>,
    services: Informer<Service>,
    slices: Informer<EndpointSlice>,
    secrets: Informer<Secret>,
    tables: Tables,
    certificates: Arc<Certificates>,
}

impl Watching {
    fn start(self, tasks: &Tasks) {
        let one = || Key::cluster("table");
        let changes = stream::select_all([
            self.ingresses.changes().map(move |_| one()).boxed(),
            self.services.changes().map(move |_| one()).boxed(),
            self.slices.changes().map(move |_| one()).boxed(),
            self.secrets.changes().map(move |_| one()).boxed(),
        ]);
        Loop { workers: 1, ..Loop::default() }.run(self, changes, tasks);
    }
}

impl Reconciler for Watching {
    fn name(&self) -> &'static str {
        "gateway-table"
    }

    fn reconcile(&self, _table: Key) -> BoxFuture<'_, Result<Outcome, ReconcileError>> {
        Box::pin(async move {
            // Half a view would take routes away that are there.
            self.ingresses.synced().await;
            self.services.synced().await;
            self.slices.synced().await;
            self.secrets.synced().await;
            let service = |key: &Key| self.services.get(key);
            let of_service = |slice: &EndpointSlice, name: &str| {
                slice
                    .metadata
                    .labels
                    .as_ref()
                    .and_then(|l| l.get("kubernetes.io/service-name"))
                    .is_some_and(|owner| owner == name)
            };
            let slices = |key: &Key| {
                let mut slices = self.slices.in_namespace(&key.namespace);
                slices.retain(|slice| of_service(slice, &key.name));
                slices
            };
            let table = Arc::new(build(&self.ingresses.list(), &service, &slices));
            self.certificates.load(&table, &|key| self.secrets.get(key));
            self.tables.swap(table);
            Ok(Outcome::Done)
        })
    }
}

#[cfg(test)]
mod tests;
