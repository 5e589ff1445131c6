//! The cluster's own names (Kubernetes DNS specification 1.1.0; section numbers below are its).
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
    sync::Arc,
};

use hickory_proto::rr::{
    Name, RData, Record, RecordType,
    rdata::{CNAME, NS, PTR, SOA, SRV, TXT},
};
use k8s_openapi::api::{
    core::v1::Service,
    discovery::v1::{Endpoint, EndpointSlice},
};

use super::{
    DnsSettings,
    directory::{Directory, cluster_ips, service_of},
};

/// How long a client may keep an answer, or the knowledge that there is none, in seconds.
const TTL_SECONDS: u32 = 5;
/// Aliases in a row that are followed.
const ALIASES_MAX: usize = 8;

/// What the zone says to a question about a name of its own.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ZoneAnswer {
    /// Whether the name is there at all; if not, the answer is NXDOMAIN.
    pub exists: bool,
    pub answers: Vec<Record>,
    pub additionals: Vec<Record>,
    /// An alias led to this name, which is not ours.
    pub elsewhere: Option<Name>,
    /// For the authority section when there are no answers.
    pub soa: Option<Record>,
}

/// The domain and what is fixed about it.
pub struct Zone {
    domain: Name,
    settings: DnsSettings,
}

/// What is at a name.
struct Node {
    exists: bool,
    data: Vec<RData>,
    additionals: Vec<Record>,
}

impl Node {
    fn nowhere() -> Self {
        Self { exists: false, data: Vec::new(), additionals: Vec::new() }
    }

    fn of(data: Vec<RData>) -> Self {
        Self { exists: true, data, additionals: Vec::new() }
    }

    /// A name that is there only because names below it are.
    fn between(exists: bool) -> Self {
        Self { exists, ..Self::of(Vec::new()) }
    }
}

impl Zone {
    /// Errors: the domain of the settings is no name.
    pub fn new(settings: DnsSettings) -> Result<Self, String> {
        let mut domain = Name::from_str(&settings.domain.to_ascii_lowercase()).map_err(|e| e.to_string())?;
        domain.set_fqdn(true);
        Ok(Self { domain, settings })
    }

    /// The answer to a question about `name`, or `None` if it is not the cluster's.
    pub fn answer(&self, directory: &dyn Directory, name: &Name, kind: RecordType) -> Option<ZoneAnswer> {
        if !self.domain.zone_of(name) {
            return self.reverse(directory, name, kind);
        }
        let mut answer = ZoneAnswer::default();
        let mut at = name.clone();
        for _ in 0..=ALIASES_MAX {
            let node = self.node(directory, &at);
            answer.exists = node.exists;
            let alias = node.data.iter().find_map(|data| match data {
                RData::CNAME(CNAME(target)) if kind != RecordType::CNAME => Some(target.clone()),
                _ => None,
            });
            let wanted = |data: &RData| alias.is_some() || kind == RecordType::ANY || data.record_type() == kind;
            let found = node.data.into_iter().filter(wanted).map(|data| record(at.clone(), data));
            let before = answer.answers.len();
            answer.answers.extend(found);
            if kind == RecordType::SRV && answer.answers.len() > before {
                answer.additionals.extend(node.additionals);
            }
            match alias {
                Some(target) if self.domain.zone_of(&target) => at = target,
                Some(target) => {
                    answer.elsewhere = Some(target);
                    break;
                }
                None => break,
            }
        }
        if answer.answers.is_empty() {
            answer.soa = Some(self.soa(self.domain.clone()));
        }
        Some(answer)
    }

    fn soa(&self, owner: Name) -> Record {
        let host = |label: &str| Name::from_str(label).and_then(|name| name.append_domain(&self.domain));
        let (server, mailbox) = (host("ns.dns"), host("hostmaster"));
        let whole = |name: Result<Name, _>| name.unwrap_or_else(|_| self.domain.clone());
        record(owner, RData::SOA(SOA::new(whole(server), whole(mailbox), 1, 7_200, 1_800, 86_400, TTL_SECONDS)))
    }

    fn node(&self, directory: &dyn Directory, name: &Name) -> Node {
        let below = usize::from(name.num_labels() - self.domain.num_labels());
        let labels: Vec<String> =
            name.iter().take(below).map(|label| String::from_utf8_lossy(label).to_ascii_lowercase()).collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        match labels.as_slice() {
            [] => self.apex(),
            ["dns-version"] => Node::of(vec![RData::TXT(TXT::new(vec!["1.1.0".to_owned()]))]),
            ["ns", "dns"] => Node::of(self.settings.service_addresses.iter().map(|ip| RData::from(*ip)).collect()),
            ["svc" | "pod" | "dns"] => Node::between(true),
            [namespace, "svc" | "pod"] => Node::between(directory.has_namespace(namespace)),
            [address, namespace, "pod"] => pod(directory, address, namespace),
            [rest @ .., service, namespace, "svc"] => self.service(directory, rest, service, namespace),
            _ => Node::nowhere(),
        }
    }

    fn apex(&self) -> Node {
        let mut data = vec![self.soa(self.domain.clone()).data];
        let server = Name::from_str("ns.dns").and_then(|name| name.append_domain(&self.domain));
        data.extend(server.ok().map(|name| RData::NS(NS(name))));
        Node::of(data)
    }

    fn service(&self, directory: &dyn Directory, rest: &[&str], name: &str, namespace: &str) -> Node {
        let Some(service) = directory.service(namespace, name) else { return Node::nowhere() };
        let Some(spec) = service.spec.as_ref() else { return Node::nowhere() };
        if spec.type_.as_deref() == Some("ExternalName") {
            return if rest.is_empty() { external(&service) } else { Node::nowhere() };
        }
        let ips = cluster_ips(&service);
        if !ips.is_empty() {
            return match rest {
                [] => Node::of(ips.into_iter().map(RData::from).collect()),
                ["_tcp" | "_udp"] => Node::between(true),
                [port, protocol] => self.service_port(&service, port, protocol, &ips),
                _ => Node::nowhere(),
            };
        }
        if spec.cluster_ip.as_deref() != Some("None") {
            return Node::nowhere(); // not yet given an address
        }
        let slices = directory.slices(namespace, name);
        let endpoints = || slices.iter().flat_map(|slice| ready(slice, &service).map(move |endpoint| (slice, endpoint)));
        match rest {
            // 2.4: without ready endpoints the name is not there.
            [] => found(endpoints().filter_map(|(_, endpoint)| address(endpoint)).map(RData::from).collect()),
            ["_tcp" | "_udp"] => Node::between(endpoints().next().is_some()),
            [host] => found(
                endpoints()
                    .filter(|(_, endpoint)| hostname(endpoint).is_some_and(|name| name == *host))
                    .filter_map(|(_, endpoint)| address(endpoint))
                    .map(RData::from)
                    .collect(),
            ),
            [port, protocol] => {
                let mut node = Node::nowhere();
                for (slice, endpoint) in endpoints() {
                    self.endpoint_port(&mut node, slice, endpoint, &service, (port, protocol));
                }
                node.data.sort_by_key(ToString::to_string);
                node.data.dedup();
                node
            }
            _ => Node::nowhere(),
        }
    }

    /// 2.3.2: `_port._proto` of a Service with an address.
    fn service_port(&self, service: &Service, port: &str, protocol: &str, ips: &[IpAddr]) -> Node {
        let Some(target) = self.service_name(service, &[]) else { return Node::nowhere() };
        let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
        let named = ports.filter(|p| is_port(p.name.as_deref(), p.protocol.as_deref(), (port, protocol)));
        let numbers = named.filter_map(|p| u16::try_from(p.port).ok());
        let mut node = found(numbers.map(|number| RData::SRV(SRV::new(0, 100, number, target.clone()))).collect());
        node.additionals = ips.iter().map(|ip| record(target.clone(), RData::from(*ip))).collect();
        node
    }

    /// 2.4.2: `_port._proto` of a headless Service, one endpoint of it.
    fn endpoint_port(&self, node: &mut Node, slice: &EndpointSlice, endpoint: &Endpoint, service: &Service, asked: (&str, &str)) {
        let Some((host, ip)) = hostname(endpoint).zip(address(endpoint)) else { return };
        let Some(target) = self.service_name(service, &[&host]) else { return };
        let ports = slice.ports.iter().flatten();
        let named = ports.filter(|p| is_port(p.name.as_deref(), p.protocol.as_deref(), asked));
        for number in named.filter_map(|p| p.port).filter_map(|number| u16::try_from(number).ok()) {
            node.exists = true;
            node.data.push(RData::SRV(SRV::new(0, 100, number, target.clone())));
            node.additionals.push(record(target.clone(), RData::from(ip)));
        }
    }

    /// `[host.]service.namespace.svc.domain`
    fn service_name(&self, service: &Service, before: &[&str]) -> Option<Name> {
        let (name, namespace) = (service.metadata.name.as_deref()?, service.metadata.namespace.as_deref()?);
        let labels = before.iter().copied().chain([name, namespace, "svc"]);
        Name::from_labels(labels.map(str::as_bytes)).ok()?.append_domain(&self.domain).ok()
    }

    /// 2.3.3 and 2.4.3: from addresses to names. Addresses of ours without a name do not exist; of others we know nothing.
    fn reverse(&self, directory: &dyn Directory, name: &Name, kind: RecordType) -> Option<ZoneAnswer> {
        let range = name.parse_arpa_name().ok()?;
        if range.prefix_len() != range.max_prefix_len() {
            return None;
        }
        let address = range.addr();
        let names = self.names_of(directory, address);
        let own = self.settings.reverse.iter().any(|range| range.contains(address));
        if names.is_empty() && !own {
            return None;
        }
        let exists = !names.is_empty();
        let wanted = matches!(kind, RecordType::PTR | RecordType::ANY);
        let answers: Vec<Record> =
            names.into_iter().filter(|_| wanted).map(|target| record(name.clone(), RData::PTR(PTR(target)))).collect();
        let soa = answers.is_empty().then(|| self.soa(name.base_name()));
        Some(ZoneAnswer { exists, answers, soa, ..ZoneAnswer::default() })
    }

    fn names_of(&self, directory: &dyn Directory, address: IpAddr) -> Vec<Name> {
        if let Some(service) = directory.by_cluster_ip(address) {
            return self.service_name(&service, &[]).into_iter().collect();
        }
        let mut names = Vec::new();
        for service in directory.services() {
            let headless = service.spec.as_ref().is_some_and(|spec| spec.cluster_ip.as_deref() == Some("None"));
            let (Some(name), Some(namespace)) = (&service.metadata.name, &service.metadata.namespace) else { continue };
            if !headless {
                continue;
            }
            for slice in directory.slices(namespace, name) {
                let at_address = ready(&slice, &service).filter(|endpoint| self::address(endpoint) == Some(address));
                let hosts = at_address.filter_map(hostname).collect::<Vec<_>>();
                names.extend(hosts.iter().filter_map(|host| self.service_name(&service, &[host])));
            }
        }
        names.sort();
        names.dedup();
        names
    }
}

fn record(name: Name, data: RData) -> Record {
    Record::from_rdata(name, TTL_SECONDS, data)
}

/// A node that is there if it has data.
fn found(data: Vec<RData>) -> Node {
    Node { exists: !data.is_empty(), ..Node::of(data) }
}

/// 2.5: an alias.
fn external(service: &Service) -> Node {
    let target = service.spec.as_ref().and_then(|spec| spec.external_name.as_deref()).unwrap_or_default();
    if let Ok(ip) = target.parse::<IpAddr>() {
        return Node::of(vec![RData::from(ip)]); // not a name, but people do that
    }
    let mut name = match Name::from_str(target) {
        Ok(name) if !name.is_root() => name,
        _ => return Node::nowhere(),
    };
    name.set_fqdn(true);
    Node::of(vec![RData::CNAME(CNAME(name))])
}

/// `10-42-0-7.namespace.pod`: whatever address the name spells, in a namespace that is there.
fn pod(directory: &dyn Directory, label: &str, namespace: &str) -> Node {
    let four = label.replace('-', ".").parse::<Ipv4Addr>().map(IpAddr::V4);
    let address = four.or_else(|_| label.replace('-', ":").parse::<Ipv6Addr>().map(IpAddr::V6));
    match address {
        Ok(address) if directory.has_namespace(namespace) => Node::of(vec![RData::from(address)]),
        _ => Node::nowhere(),
    }
}

fn ready<'a>(slice: &'a Arc<EndpointSlice>, service: &Service) -> impl Iterator<Item = &'a Endpoint> + use<'a> {
    let all = service.spec.as_ref().is_some_and(|spec| spec.publish_not_ready_addresses == Some(true));
    let same = service_of(slice) == service.metadata.name.as_deref();
    let is_ready = move |endpoint: &&Endpoint| {
        let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
        same && (all || ready)
    };
    slice.endpoints.iter().flatten().filter(is_ready)
}

fn address(endpoint: &Endpoint) -> Option<IpAddr> {
    endpoint.addresses.first()?.parse().ok()
}

/// An endpoint's own name, or its address with dashes.
fn hostname(endpoint: &Endpoint) -> Option<String> {
    let given = endpoint.hostname.as_ref().filter(|name| !name.is_empty()).map(|name| name.to_ascii_lowercase());
    given.or_else(|| address(endpoint).map(|ip| ip.to_string().replace(['.', ':'], "-")))
}

fn is_port(name: Option<&str>, protocol: Option<&str>, (port, asked): (&str, &str)) -> bool {
    let name_matches = name
        .filter(|name| !name.is_empty())
        .is_some_and(|name| port.strip_prefix('_').is_some_and(|port| port.eq_ignore_ascii_case(name)));
    name_matches && asked.strip_prefix('_').is_some_and(|asked| asked.eq_ignore_ascii_case(protocol.unwrap_or("TCP")))
}
