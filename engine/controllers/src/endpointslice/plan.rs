//! Which addresses serve a Service, packed into slices
//! (https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/).
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use k8s_openapi::{
    api::{
        core::v1::{Node, ObjectReference, Pod, Service, ServicePort},
        discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice},
    },
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};
use kube::ResourceExt;

use crate::{owners, pods, selector};

/// Endpoints in one slice.
pub const PER_SLICE: usize = 100;
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
pub const MANAGER: &str = "endpointslice-controller.k8s.io";
const HEADLESS: &str = "service.kubernetes.io/headless";
const ZONE: &str = "topology.kubernetes.io/zone";

/// What to do for one Service.
#[derive(Debug, Default)]
pub struct Plan {
    pub create: Vec<EndpointSlice>,
    pub update: Vec<EndpointSlice>,
    pub delete: Vec<Arc<EndpointSlice>>,
}

/// Slices that differ in these never merge.
type Group = (Family, Vec<PortKey>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    V4,
    V6,
}

/// name, protocol, port, application protocol.
type PortKey = (String, String, Option<i32>, Option<String>);

impl Family {
    fn of(ip: &str) -> Option<Self> {
        ip.parse().ok().map(|ip: IpAddr| if ip.is_ipv4() { Self::V4 } else { Self::V6 })
    }

    fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// Whether this controller makes slices for `service`: it selects pods and is no mere alias.
pub fn is_selecting(service: &Service) -> bool {
    service.spec.as_ref().is_some_and(|spec| {
        spec.type_.as_deref() != Some("ExternalName") && spec.selector.as_ref().is_some_and(|wanted| !wanted.is_empty())
    })
}

pub fn selects(service: &Service, pod: &Pod) -> bool {
    is_selecting(service)
        && selector::matches_all(service.spec.as_ref().and_then(|spec| spec.selector.as_ref()), pod.metadata.labels.as_ref())
}

/// `pods` of the Service's namespace, `slices` of this Service and manager.
pub fn plan(
    service: &Service,
    pods: &[Arc<Pod>],
    slices: &[Arc<EndpointSlice>],
    node: impl Fn(&str) -> Option<Arc<Node>>,
) -> Plan {
    let mut plan = Plan::default();
    if !is_selecting(service) {
        plan.delete = slices.to_vec();
        return plan;
    }
    let families = families(service);
    let mut wanted: BTreeMap<Group, BTreeMap<String, Endpoint>> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| selects(service, pod) && !pods::is_finished(pod)) {
        let ports = ports(service, pod);
        for family in &families {
            if let Some(endpoint) = endpoint(service, pod, *family, &node) {
                let group = wanted.entry((*family, ports.clone())).or_default();
                group.insert(pod.metadata.uid.clone().unwrap_or_default(), endpoint);
            }
        }
    }
    // A family without endpoints has one empty slice, which says that it was looked at.
    for family in &families {
        if !wanted.keys().any(|(of, _)| of == family) {
            wanted.insert((*family, Vec::new()), BTreeMap::new());
        }
    }
    let mut present: BTreeMap<Group, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
    for slice in slices {
        match group_of(slice).filter(|group| wanted.contains_key(group) && owned_by(slice, service)) {
            Some(group) => present.entry(group).or_default().push(slice.clone()),
            None => plan.delete.push(slice.clone()),
        }
    }
    for (group, endpoints) in wanted {
        pack(service, &group, endpoints, present.remove(&group).unwrap_or_default(), &mut plan);
    }
    plan
}

fn owned_by(slice: &EndpointSlice, service: &Service) -> bool {
    slice.owner_references().iter().any(|owner| service.metadata.uid.as_deref() == Some(&owner.uid))
}

fn families(service: &Service) -> Vec<Family> {
    let named = service.spec.as_ref().and_then(|spec| spec.ip_families.clone()).unwrap_or_default();
    let known = named.iter().filter_map(|name| match name.as_str() {
        "IPv4" => Some(Family::V4),
        "IPv6" => Some(Family::V6),
        _ => None,
    });
    let families: BTreeSet<_> = known.collect();
    if families.is_empty() { vec![Family::V4] } else { families.into_iter().collect() }
}

fn endpoint(service: &Service, pod: &Pod, family: Family, node: impl Fn(&str) -> Option<Arc<Node>>) -> Option<Endpoint> {
    let status = pod.status.as_ref()?;
    let ips = status.pod_ips.iter().flatten().map(|ip| &ip.ip).chain(&status.pod_ip);
    let address = ips.into_iter().find(|ip| Family::of(ip) == Some(family))?;
    let spec = service.spec.as_ref()?;
    let serving = pods::is_ready(pod);
    let terminating = pods::is_terminating(pod);
    let ready = spec.publish_not_ready_addresses == Some(true) || serving && !terminating;
    let node_name = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    let zone = node_name.as_deref().and_then(node).and_then(|node| node.labels().get(ZONE).cloned());
    Some(Endpoint {
        addresses: vec![address.clone()],
        conditions: Some(EndpointConditions { ready: Some(ready), serving: Some(serving), terminating: Some(terminating) }),
        hostname: hostname(service, pod),
        node_name,
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            ..Default::default()
        }),
        zone,
        ..Default::default()
    })
}

/// The pod's own name below the Service's, where it asked for one.
pub fn hostname(service: &Service, pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let below = spec.subdomain.is_some() && spec.subdomain == service.metadata.name;
    spec.hostname.clone().filter(|name| below && !name.is_empty())
}

/// The Service's ports as this pod numbers them, in order; a named port that the pod does not have is left out.
fn ports(service: &Service, pod: &Pod) -> Vec<PortKey> {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let mut ports: Vec<_> = ports
        .filter_map(|port| {
            let number = target_port(port, pod)?;
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
            Some((port.name.clone().unwrap_or_default(), protocol, Some(number), port.app_protocol.clone()))
        })
        .collect();
    ports.sort();
    ports
}

/// The number behind a Service's port on a pod.
pub fn target_port(port: &ServicePort, pod: &Pod) -> Option<i32> {
    match &port.target_port {
        None => Some(port.port),
        Some(IntOrString::Int(0)) => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => {
            let spec = pod.spec.as_ref()?;
            let sidecars = spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
            let mut ports = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            let named =
                ports.find(|own| own.name.as_deref() == Some(name) && own.protocol.as_deref().unwrap_or("TCP") == protocol);
            named.map(|own| own.container_port)
        }
    }
}

fn group_of(slice: &EndpointSlice) -> Option<Group> {
    let family = match slice.address_type.as_str() {
        "IPv4" => Family::V4,
        "IPv6" => Family::V6,
        _ => return None,
    };
    let key = |port: &EndpointPort| {
        let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
        (port.name.clone().unwrap_or_default(), protocol, port.port, port.app_protocol.clone())
    };
    let mut ports: Vec<_> = slice.ports.iter().flatten().map(key).collect();
    ports.sort();
    Some((family, ports))
}

/// Puts `endpoints` into as few changes of slices as possible: what is in a slice stays there, new ones fill gaps.
fn pack(
    service: &Service,
    group: &Group,
    mut endpoints: BTreeMap<String, Endpoint>,
    present: Vec<Arc<EndpointSlice>>,
    plan: &mut Plan,
) {
    let mut packed: Vec<(Arc<EndpointSlice>, Vec<Endpoint>)> = Vec::new();
    for slice in present {
        let kept = slice.endpoints.iter().flatten().filter_map(|old| endpoints.remove(old.target_ref.as_ref()?.uid.as_ref()?));
        let kept = kept.take(PER_SLICE).collect();
        packed.push((slice, kept));
    }
    let mut fresh: Vec<Endpoint> = endpoints.into_values().collect();
    // The fullest gaps first, so that emptier slices may empty out.
    packed.sort_by_key(|(_, kept)| std::cmp::Reverse(kept.len()));
    for (_, kept) in &mut packed {
        let room = PER_SLICE.saturating_sub(kept.len()).min(fresh.len());
        kept.extend(fresh.drain(..room));
    }
    let mut any = false;
    for (slice, kept) in packed {
        if kept.is_empty() && (any || !fresh.is_empty()) {
            plan.delete.push(slice);
            continue;
        }
        any = true;
        let wanted = slice_of(service, group, kept);
        if !same(&slice, &wanted) {
            let mut changed = EndpointSlice::clone(&slice);
            changed.endpoints = wanted.endpoints;
            changed.ports = wanted.ports;
            changed.metadata.labels = wanted.metadata.labels;
            changed.metadata.owner_references = wanted.metadata.owner_references;
            plan.update.push(changed);
        }
    }
    while !fresh.is_empty() || !any {
        any = true;
        let count = fresh.len().min(PER_SLICE);
        plan.create.push(slice_of(service, group, fresh.drain(..count).collect()));
    }
}

fn same(slice: &EndpointSlice, wanted: &EndpointSlice) -> bool {
    let some = |endpoints: &Option<Vec<Endpoint>>| endpoints.clone().unwrap_or_default();
    some(&slice.endpoints) == some(&wanted.endpoints) && slice.metadata.labels == wanted.metadata.labels
}

fn slice_of(service: &Service, (family, ports): &Group, endpoints: Vec<Endpoint>) -> EndpointSlice {
    let own = |name: &str| [SERVICE_NAME, MANAGED_BY, HEADLESS].contains(&name);
    let mut labels = service.labels().clone();
    labels.retain(|name, _| !own(name));
    labels.insert(SERVICE_NAME.to_owned(), service.name_any());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    if service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()) == Some("None") {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    let port = |(name, protocol, port, app): &PortKey| EndpointPort {
        name: Some(name.clone()),
        protocol: Some(protocol.clone()),
        port: *port,
        app_protocol: app.clone(),
    };
    EndpointSlice {
        address_type: family.name().to_owned(),
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", service.name_any())),
            namespace: service.metadata.namespace.clone(),
            labels: Some(labels),
            owner_references: Some(vec![owners::controller_ref(service)]),
            ..Default::default()
        },
        endpoints: Some(endpoints),
        ports: Some(ports.iter().map(port).collect()),
    }
}

#[cfg(test)]
mod tests;
