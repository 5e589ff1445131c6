//! The DNS server as a Service, so that pods know one address for it.
use std::net::{IpAddr, SocketAddr};

use irori_client::ApiError;
use k8s_openapi::api::{
    core::v1::{Node, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

const NAMESPACE: &str = "kube-system";
const NAME: &str = "kube-dns";
const PORT: u16 = 53;

/// Why the DNS server's objects could not be brought into being.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    #[error("{doing}")]
    Api { doing: String, source: Box<kube::Error> },
    #[error(
        "make Service kube-system/kube-dns: it is there with address {has}, but pods are told {wanted}; delete it to have it made anew"
    )]
    OtherAddress { has: String, wanted: IpAddr },
}

fn failed(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> ObjectsError {
    let doing = doing.into();
    move |source| ObjectsError::Api { doing, source: Box::new(source) }
}

/// Brings Service kube-system/kube-dns with `service_addresses`, and this node's EndpointSlices of it, into being. Safe to repeat.
/// The slices belong to the Node, so that they go when it does. `listening` is where the node's server listens.
pub async fn ensure_dns_objects(
    client: &kube::Client,
    node_name: &str,
    service_addresses: &[IpAddr],
    listening: &[SocketAddr],
) -> Result<(), ObjectsError> {
    ensure_service(client, service_addresses).await?;
    let nodes: Api<Node> = Api::all(client.clone());
    let node = nodes.get_opt(node_name).await.map_err(failed(format!("look up node {node_name}")))?;
    for v6 in [false, true] {
        let of_family: Vec<&SocketAddr> = listening.iter().filter(|address| address.is_ipv6() == v6).collect();
        if let Some(first) = of_family.first() {
            let addresses: Vec<IpAddr> = of_family.iter().map(|address| address.ip()).collect();
            let slice = endpoint_slice(node_name, node.as_ref(), &addresses, first.port());
            ensure_slice(client, slice).await?;
        }
    }
    Ok(())
}

async fn ensure_service(client: &kube::Client, addresses: &[IpAddr]) -> Result<(), ObjectsError> {
    let services: Api<Service> = Api::namespaced(client.clone(), NAMESPACE);
    let service: Service = serde_json::from_value(service(addresses)).expect("it is written here");
    let doing = || "make Service kube-system/kube-dns";
    // Asked first: a create of what is there is refused for its address before its name is looked at.
    let there = match services.get_opt(NAME).await.map_err(failed(doing()))? {
        Some(there) => there,
        None => match services.create(&PostParams::default(), &service).await {
            Ok(_) => return Ok(()),
            // Another node may have been faster.
            Err(source) => match services.get_opt(NAME).await.map_err(failed(doing()))? {
                Some(there) => there,
                None => return Err(failed(doing())(source)),
            },
        },
    };
    let has = there.spec.and_then(|spec| spec.cluster_ip).unwrap_or_default();
    match addresses.first() {
        Some(wanted) if has != wanted.to_string() => Err(ObjectsError::OtherAddress { has, wanted: *wanted }),
        _ => Ok(()),
    }
}

async fn ensure_slice(client: &kube::Client, slice: Value) -> Result<(), ObjectsError> {
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), NAMESPACE);
    let name = slice["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let doing = format!("make EndpointSlice kube-system/{name}");
    let object: EndpointSlice = serde_json::from_value(slice.clone()).expect("it is written here");
    match slices.create(&PostParams::default(), &object).await {
        Err(source) if source.is_already_exists() => {
            let patch = Patch::Merge(slice);
            slices.patch(&name, &PatchParams::default(), &patch).await.map(drop).map_err(failed(doing))
        }
        other => other.map(drop).map_err(failed(doing)),
    }
}

fn service(addresses: &[IpAddr]) -> Value {
    let ips: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    let families: Vec<&str> = addresses.iter().map(|ip| if ip.is_ipv6() { "IPv6" } else { "IPv4" }).collect();
    let policy = if addresses.len() > 1 { "RequireDualStack" } else { "SingleStack" };
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": NAME, "namespace": NAMESPACE, "labels": labels() },
        "spec": {
            "type": "ClusterIP", "clusterIP": ips.first(), "clusterIPs": ips,
            "ipFamilies": families, "ipFamilyPolicy": policy,
            "ports": [
                { "name": "dns", "port": PORT, "protocol": "UDP", "targetPort": PORT },
                { "name": "dns-tcp", "port": PORT, "protocol": "TCP", "targetPort": PORT },
            ],
        },
    })
}

fn labels() -> Value {
    json!({ "k8s-app": NAME, "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "Irori" })
}

fn endpoint_slice(node_name: &str, node: Option<&Node>, addresses: &[IpAddr], port: u16) -> Value {
    let v6 = addresses.iter().any(IpAddr::is_ipv6);
    let uid = node.and_then(|node| node.metadata.uid.as_deref());
    let owners: Vec<Value> =
        uid.iter().map(|uid| json!({ "apiVersion": "v1", "kind": "Node", "name": node_name, "uid": uid })).collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{NAME}-{node_name}-{}", if v6 { "6" } else { "4" }),
            "namespace": NAMESPACE,
            "labels": { "kubernetes.io/service-name": NAME, "endpointslice.kubernetes.io/managed-by": "dns.irori.dev" },
            "ownerReferences": owners,
        },
        "addressType": if v6 { "IPv6" } else { "IPv4" },
        "endpoints": [{
            "addresses": addresses, "nodeName": node_name,
            "conditions": { "ready": true, "serving": true, "terminating": false },
        }],
        "ports": [{ "name": "dns", "port": port, "protocol": "UDP" }, { "name": "dns-tcp", "port": port, "protocol": "TCP" }],
    })
}
