//! How pods reach the API and the cluster DNS: Services with fixed addresses, and who is behind them.
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use anyhow::{Context as _, Result};
use futures::{StreamExt, future::BoxFuture};
use irori_client::{Informer, Informers, Key, Loop, Outcome, ReconcileError, Reconciler};
use irori_network::{Cidr, dns::ensure_dns_objects};
use irori_runtime::Tasks;
use k8s_openapi::api::core::v1::Node;
use serde_json::json;

use super::{objects::ensure, ranges::Ranges};

/// Service default/kubernetes, and the addresses where this server answers: in a slice of its own (by the instance's name) beside others'.
pub async fn ensure_kubernetes(
    admin: &kube::Client,
    ranges: &Ranges,
    endpoints: &[SocketAddr],
    among_others: Option<&str>,
) -> Result<()> {
    let slice = among_others.map_or_else(|| "kubernetes".to_owned(), super::servers::slice_of);
    let labels = json!({"component": "apiserver", "provider": "kubernetes"});
    let port = endpoints.first().map_or(6443, SocketAddr::port);
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
        "spec": {"clusterIP": ranges.kubernetes(), "type": "ClusterIP", "ports": [{"name": "https", "port": 443, "targetPort": port, "protocol": "TCP"}]},
    });
    let mut objects = vec![service];
    let ready: Vec<_> = endpoints
        .iter()
        .filter(|e| e.is_ipv4())
        .map(|e| json!({"addresses": [e.ip().to_string()], "conditions": {"ready": true}}))
        .collect();
    if !ready.is_empty() {
        objects.push(json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": slice, "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"}},
            "addressType": "IPv4", "endpoints": ready, "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
        }));
    }
    ensure(admin, &objects).await.context("let pods reach the API")
}

/// Keeps the cluster DNS's objects: every node answers on the first address of its pod ranges.
pub fn keep_cluster_dns(admin: kube::Client, services: Vec<IpAddr>, informers: &Informers, tasks: &Tasks) {
    let nodes: Informer<Node> = informers.of();
    let changes = nodes.changes().map(|change| change.key);
    Loop::default().run(ClusterDns { admin, services, nodes }, changes, tasks);
}

struct ClusterDns {
    admin: kube::Client,
    services: Vec<IpAddr>,
    nodes: Informer<Node>,
}

fn pod_side(node: &Arc<Node>) -> Vec<SocketAddr> {
    let ranges = node.spec.iter().flat_map(|spec| spec.pod_cidrs.iter().flatten());
    ranges.filter_map(|range| range.parse::<Cidr>().ok()).map(|range| SocketAddr::new(range.gateway(), 53)).collect()
}

impl Reconciler for ClusterDns {
    fn name(&self) -> &'static str {
        "cluster-dns-objects"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, Result<Outcome, ReconcileError>> {
        Box::pin(async move {
            // A node's slices belong to it and go with it.
            let Some(node) = self.nodes.get(&key) else { return Ok(Outcome::Gone) };
            let listening = pod_side(&node);
            if listening.is_empty() {
                return Ok(Outcome::Done);
            }
            let made = ensure_dns_objects(&self.admin, &key.name, &self.services, &listening).await;
            made.map_err(|source| ReconcileError::other("make the objects of the cluster DNS", source))?;
            Ok(Outcome::Done)
        })
    }
}
