//! Which rules serve these Services on this node.
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use irori_client::Key;
use k8s_openapi::api::{
    core::v1::{Service, ServicePort, ServiceSpec},
    discovery::v1::{Endpoint, EndpointSlice},
};

use crate::{
    Settings,
    nft::ruleset::{Affinity, Frontend, NodePort, Protocol, Rule, Ruleset},
};

/// Whose endpoints a slice holds.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Upstream's default of `sessionAffinityConfig.clientIP.timeoutSeconds`.
const AFFINITY_SECONDS: u32 = 10_800;

/// What to put into the kernel, and what could not be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub ruleset: Ruleset,
    pub problems: Vec<Problem>,
}

/// A part of a Service that is not served.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    pub service: Key,
    /// CamelCase, for the Event.
    pub reason: &'static str,
    pub message: String,
}

/// The rules for all Services, as this node sees them. Pure.
pub fn plan(services: &[Arc<Service>], slices: &[Arc<EndpointSlice>], settings: &Settings) -> Plan {
    let mut by_service: BTreeMap<Key, Vec<&EndpointSlice>> = BTreeMap::new();
    for slice in slices {
        let name = slice.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_NAME));
        if let Some(name) = name {
            let key = Key::new(slice.metadata.namespace.clone().unwrap_or_default(), name);
            by_service.entry(key).or_default().push(slice);
        }
    }
    let mut planner = Planner { settings, plan: Plan::default() };
    for service in services {
        let key = Key::of(&**service);
        let slices = by_service.get(&key).map_or(&[][..], Vec::as_slice);
        if let Some(spec) = service.spec.as_ref().filter(|spec| spec.type_.as_deref() != Some("ExternalName")) {
            planner.service(&key, service, spec, slices);
        }
    }
    planner.plan
}

struct Planner<'a> {
    settings: &'a Settings,
    plan: Plan,
}

/// Who may serve a frontend.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Cluster,
    /// Only endpoints on this node.
    Local,
}

impl Reach {
    fn of(policy: Option<&String>) -> Self {
        if policy.is_some_and(|policy| policy == "Local") { Self::Local } else { Self::Cluster }
    }
}

/// An endpoint as far as one port of a Service goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    to: SocketAddr,
    ready: bool,
    /// Not ready any more, but still answering until its end.
    lingering: bool,
    local: bool,
}

/// One port of a Service in one family.
struct Port<'a> {
    key: &'a Key,
    port: &'a ServicePort,
    protocol: Protocol,
    number: u16,
    v6: bool,
    affinity: Option<u32>,
    candidates: Vec<Candidate>,
}

impl Port<'_> {
    /// `ns/name/tcp/80`, which is unique among Services.
    fn path(&self) -> String {
        format!("{}/{}/{}", self.key, self.protocol.name(), self.number)
    }

    /// The endpoints that traffic goes to: the ready ones; if there are none, those that linger.
    fn chosen(&self, reach: Reach) -> BTreeSet<SocketAddr> {
        let near = |c: &&Candidate| reach == Reach::Cluster || c.local;
        let ready: BTreeSet<_> = self.candidates.iter().filter(near).filter(|c| c.ready).map(|c| c.to).collect();
        if !ready.is_empty() {
            return ready;
        }
        self.candidates.iter().filter(near).filter(|c| c.lingering).map(|c| c.to).collect()
    }
}

impl Planner<'_> {
    fn service(&mut self, key: &Key, service: &Service, spec: &ServiceSpec, slices: &[&EndpointSlice]) {
        let cluster_ips = addresses(spec.cluster_ips.as_deref().unwrap_or_default());
        let cluster_ips = match (&spec.cluster_ip, cluster_ips.is_empty()) {
            (Some(ip), true) => addresses(std::slice::from_ref(ip)),
            _ => cluster_ips,
        };
        if cluster_ips.is_empty() {
            return; // headless, or not yet given an address
        }
        let mut outside = addresses(spec.external_ips.as_deref().unwrap_or_default());
        outside.extend(self.load_balancer_ips(key, service, spec));
        if spec.health_check_node_port.is_some_and(|port| port != 0) {
            self.problem(key, "HealthCheckNodePortUnsupported", "healthCheckNodePort is not served by this node".to_owned());
        }
        let families: BTreeSet<bool> = cluster_ips.iter().map(IpAddr::is_ipv6).collect();
        for port in spec.ports.iter().flatten() {
            let Some((protocol, number)) = self.protocol(key, port) else { continue };
            for v6 in families.iter().copied() {
                let affinity = affinity_seconds(spec);
                let candidates = self.candidates(spec, port, protocol, v6, slices);
                let port = Port { key, port, protocol, number, v6, affinity, candidates };
                self.port(spec, &port, &cluster_ips, &outside);
            }
        }
    }

    /// Addresses that a load balancer gave to the Service, unless it asks for a filter that is not there.
    fn load_balancer_ips(&mut self, key: &Key, service: &Service, spec: &ServiceSpec) -> Vec<IpAddr> {
        if spec.type_.as_deref() != Some("LoadBalancer") {
            return Vec::new();
        }
        let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        let ingress = status.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default();
        let ingress = ingress.iter().filter(|ingress| ingress.ip_mode.as_deref() != Some("Proxy"));
        let ips: Vec<String> = ingress.filter_map(|ingress| ingress.ip.clone()).collect();
        if !ips.is_empty() && spec.load_balancer_source_ranges.as_ref().is_some_and(|ranges| !ranges.is_empty()) {
            let message = "loadBalancerSourceRanges is not implemented: the load balancer's addresses are not served";
            self.problem(key, "SourceRangesUnsupported", message.to_owned());
            return Vec::new();
        }
        addresses(&ips)
    }

    fn protocol(&mut self, key: &Key, port: &ServicePort) -> Option<(Protocol, u16)> {
        let number = u16::try_from(port.port).ok().filter(|number| *number != 0);
        let protocol = match port.protocol.as_deref() {
            None | Some("TCP") => Some(Protocol::Tcp),
            Some("UDP") => Some(Protocol::Udp),
            Some(_) => None,
        };
        let Some(found) = protocol.zip(number) else {
            let name = port.protocol.as_deref().unwrap_or("TCP");
            self.problem(key, "ProtocolUnsupported", format!("port {}/{name} is not served: only TCP and UDP are", port.port));
            return None;
        };
        Some(found)
    }

    fn candidates(
        &self,
        spec: &ServiceSpec,
        port: &ServicePort,
        protocol: Protocol,
        v6: bool,
        slices: &[&EndpointSlice],
    ) -> Vec<Candidate> {
        let family = if v6 { "IPv6" } else { "IPv4" };
        let all_ready = spec.publish_not_ready_addresses == Some(true);
        let mut candidates = Vec::new();
        for slice in slices.iter().filter(|slice| slice.address_type == family) {
            let Some(number) = port_in(slice, port, protocol) else { continue };
            for endpoint in slice.endpoints.iter().flatten() {
                candidates.extend(self.candidate(endpoint, number, v6, all_ready));
            }
        }
        candidates.sort_unstable();
        candidates
    }

    fn candidate(&self, endpoint: &Endpoint, port: u16, v6: bool, all_ready: bool) -> Option<Candidate> {
        // All addresses of an endpoint are the same pod's; the first is the one to use (EndpointSlice, `addresses`).
        let address: IpAddr = endpoint.addresses.first()?.parse().ok().filter(|a: &IpAddr| a.is_ipv6() == v6)?;
        let conditions = endpoint.conditions.clone().unwrap_or_default();
        let ready = conditions.ready.unwrap_or(true);
        let serving = conditions.serving.unwrap_or(ready);
        Some(Candidate {
            to: SocketAddr::new(address, port),
            ready: ready || all_ready,
            lingering: serving && conditions.terminating.unwrap_or(false),
            local: endpoint.node_name.as_deref() == Some(&self.settings.node_name),
        })
    }

    fn port(&mut self, spec: &ServiceSpec, port: &Port<'_>, cluster_ips: &[IpAddr], outside: &[IpAddr]) {
        let of_family = |ips: &[IpAddr]| ips.iter().copied().filter(|ip| ip.is_ipv6() == port.v6).collect::<Vec<_>>();
        let frontend = |address| Frontend { address, protocol: port.protocol, port: port.number };
        if let Some(chain) = self.service_chain(port, Reach::of(spec.internal_traffic_policy.as_ref())) {
            for address in of_family(cluster_ips) {
                self.frontend(port.key, frontend(address), &chain);
            }
        }
        let node_port = port.port.node_port.and_then(|number| u16::try_from(number).ok()).filter(|number| *number != 0);
        let outside = of_family(outside);
        if outside.is_empty() && node_port.is_none() {
            return;
        }
        let Some(chain) = self.service_chain(port, Reach::of(spec.external_traffic_policy.as_ref())) else { return };
        for address in outside {
            self.frontend(port.key, frontend(address), &chain);
        }
        if let Some(number) = node_port {
            let at = NodePort { v6: port.v6, protocol: port.protocol, port: number };
            let taken = self.plan.ruleset.node_ports.insert(at, chain.clone()).filter(|other| *other != chain);
            if let Some(other) = taken {
                self.plan.ruleset.node_ports.insert(at, other);
                self.taken(port.key, &format!("node port {number}/{}", port.protocol.name()));
            }
        }
    }

    fn frontend(&mut self, key: &Key, frontend: Frontend, chain: &str) {
        let taken = self.plan.ruleset.services.get(&frontend).is_some_and(|other| other != chain);
        if taken {
            let what = format!("{} port {}/{}", frontend.address, frontend.port, frontend.protocol.name());
            self.taken(key, &what);
        } else {
            self.plan.ruleset.services.insert(frontend, chain.to_owned());
        }
    }

    fn taken(&mut self, key: &Key, what: &str) {
        self.problem(key, "AddressTaken", format!("{what} is not served for this Service: another has it"));
    }

    /// The chain that spreads over the chosen endpoints; `None` if there are none.
    fn service_chain(&mut self, port: &Port<'_>, reach: Reach) -> Option<String> {
        let endpoints = port.chosen(reach);
        if endpoints.is_empty() {
            return None;
        }
        let kind = if reach == Reach::Local { "local" } else { "service" };
        let name = format!("{kind}/{}/{}", port.path(), if port.v6 { 6 } else { 4 });
        if self.plan.ruleset.chains.contains_key(&name) {
            return Some(name);
        }
        let chains: Vec<(String, Option<String>)> = endpoints.iter().map(|to| self.endpoint_chain(port, *to)).collect();
        let stick = |(chain, set): &(String, Option<String>)| {
            set.clone().map(|set| Rule::Stick { set, v6: port.v6, chain: chain.clone() })
        };
        let mut rules: Vec<Rule> = chains.iter().filter_map(stick).collect();
        rules.push(Rule::Spread(chains.into_iter().map(|(chain, _)| chain).collect()));
        self.plan.ruleset.chains.insert(name.clone(), rules);
        Some(name)
    }

    /// The chain that leads to one endpoint, and the set of its clients where they stick to it.
    fn endpoint_chain(&mut self, port: &Port<'_>, to: SocketAddr) -> (String, Option<String>) {
        let place = format!("{}/{}/{}", port.path(), to.ip().to_string().replace(':', "_"), to.port());
        let chain = format!("endpoint/{place}");
        let set = port.affinity.map(|seconds| (format!("clients/{place}/{seconds}"), seconds));
        let mut rules = Vec::new();
        if let Some((set, seconds)) = &set {
            self.plan.ruleset.affinities.insert(set.clone(), Affinity { v6: port.v6, seconds: *seconds });
            rules.push(Rule::Remember { set: set.clone(), v6: port.v6, seconds: *seconds });
        }
        rules.push(Rule::Translate { protocol: port.protocol, to });
        self.plan.ruleset.chains.insert(chain.clone(), rules);
        let is_pod = self.settings.pod_cidrs.iter().any(|range| range.contains(to.ip()) && range.gateway() != to.ip());
        if is_pod {
            self.plan.ruleset.hairpin.insert(to.ip());
        }
        (chain, set.map(|(name, _)| name))
    }

    fn problem(&mut self, key: &Key, reason: &'static str, message: String) {
        let problem = Problem { service: key.clone(), reason, message };
        if !self.plan.problems.contains(&problem) {
            self.plan.problems.push(problem);
        }
    }
}

fn addresses(texts: &[String]) -> Vec<IpAddr> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

fn affinity_seconds(spec: &ServiceSpec) -> Option<u32> {
    if spec.session_affinity.as_deref() != Some("ClientIP") {
        return None;
    }
    let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
    let seconds = config.and_then(|client| client.timeout_seconds).and_then(|seconds| u32::try_from(seconds).ok());
    Some(seconds.unwrap_or(AFFINITY_SECONDS))
}

/// The number by which a slice's endpoints serve a port of the Service: names (absent and empty are the same) and protocols match.
fn port_in(slice: &EndpointSlice, port: &ServicePort, protocol: Protocol) -> Option<u16> {
    let found = slice.ports.iter().flatten().find(|candidate| {
        candidate.name.as_deref().unwrap_or_default() == port.name.as_deref().unwrap_or_default()
            && candidate.protocol.as_deref().unwrap_or("TCP").eq_ignore_ascii_case(protocol.name())
    });
    found?.port.and_then(|number| u16::try_from(number).ok()).filter(|number| *number != 0)
}
