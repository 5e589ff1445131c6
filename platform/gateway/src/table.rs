//! The routing table and the one routing decision. Pure.
//!
//! Rules: Kubernetes, "Ingress": exact hosts before wildcards of one label; exact paths before prefixes, longer prefixes first, prefixes
//! by path element; of two Ingresses with the same path the older one counts.
use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use irori_client::Key;
use k8s_openapi::api::{
    core::v1::Service,
    discovery::v1::EndpointSlice,
    networking::v1::{HTTPIngressPath, Ingress, IngressBackend},
};

/// The class of Ingresses that we answer for; Ingresses without a class are ours too.
pub const CLASS: &str = "irori";
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// Where a request goes.
#[derive(Clone, Debug)]
pub enum Decision {
    To(Arc<Backend>),
    /// No rule for this host and path.
    NoRoute,
}

/// A Service's port, and who is ready behind it.
#[derive(Debug)]
pub struct Backend {
    pub service: Key,
    pub endpoints: Vec<SocketAddr>,
    next: AtomicUsize,
}

impl Backend {
    /// All ready endpoints, beginning with the one whose turn it is.
    pub fn in_turn(&self) -> Vec<SocketAddr> {
        let count = self.endpoints.len();
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        (0..count).map(|n| self.endpoints[(first.wrapping_add(n)) % count]).collect()
    }
}

#[derive(Clone, Debug)]
struct Rule {
    path: String,
    exact: bool,
    backend: Arc<Backend>,
}

/// Hosts, paths, backends, and which Secret speaks for which name.
#[derive(Debug, Default)]
pub struct Table {
    exact: HashMap<String, Vec<Rule>>,
    /// `*.example.org` under `example.org`.
    wildcard: HashMap<String, Vec<Rule>>,
    any: Vec<Rule>,
    default: Option<Arc<Backend>>,
    secrets: BTreeMap<String, Key>,
}

impl Table {
    /// Where a request for `host` (lowercase, without port) and `path` goes.
    pub fn route(&self, host: &str, path: &str) -> Decision {
        let below = host.split_once('.').and_then(|(_, parent)| self.wildcard.get(parent));
        let hosts = [self.exact.get(host), below, Some(&self.any)];
        let found = hosts.into_iter().flatten().find_map(|rules| rules.iter().find(|rule| rule.matches(path)));
        match found.map(|rule| &rule.backend).or(self.default.as_ref()) {
            Some(backend) => Decision::To(backend.clone()),
            None => Decision::NoRoute,
        }
    }

    /// Whether any rule speaks of the host: what is redirected to HTTPS.
    pub fn knows(&self, host: &str) -> bool {
        let wildcard = host.split_once('.').is_some_and(|(_, parent)| self.wildcard.contains_key(parent));
        self.exact.contains_key(host) || wildcard || !self.any.is_empty() || self.default.is_some()
    }

    /// The Secret that speaks for a server name.
    pub fn secret_for(&self, name: &str) -> Option<&Key> {
        let wildcard = || name.split_once('.').and_then(|(_, parent)| self.secrets.get(&format!("*.{parent}")));
        self.secrets.get(name).or_else(wildcard)
    }

    /// All Secrets that Ingresses name.
    pub fn secrets(&self) -> impl Iterator<Item = &Key> {
        self.secrets.values()
    }
}

impl Rule {
    fn matches(&self, path: &str) -> bool {
        if self.exact {
            return path == self.path;
        }
        let prefix = self.path.trim_end_matches('/');
        path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// Whether an Ingress is ours.
pub fn is_ours(ingress: &Ingress) -> bool {
    let annotated = ingress.metadata.annotations.as_ref().and_then(|a| a.get(CLASS_ANNOTATION));
    let class = ingress.spec.as_ref().and_then(|spec| spec.ingress_class_name.as_ref()).or(annotated);
    class.is_none_or(|class| class == CLASS)
}

/// Makes the table. `service` looks a Service up; `slices` gives the EndpointSlices of one.
pub fn build(
    ingresses: &[Arc<Ingress>],
    service: &dyn Fn(&Key) -> Option<Arc<Service>>,
    slices: &dyn Fn(&Key) -> Vec<Arc<EndpointSlice>>,
) -> Table {
    let mut ours: Vec<&Arc<Ingress>> = ingresses.iter().filter(|ingress| is_ours(ingress)).collect();
    ours.sort_by_key(|i| {
        (i.metadata.creation_timestamp.as_ref().map(|t| t.0), i.metadata.namespace.clone(), i.metadata.name.clone())
    });
    let mut backends: HashMap<(Key, String), Arc<Backend>> = HashMap::new();
    let mut table = Table::default();
    for ingress in ours {
        let namespace = ingress.metadata.namespace.clone().unwrap_or_default();
        let Some(spec) = &ingress.spec else { continue };
        let mut backend = |wanted: &IngressBackend| -> Option<Arc<Backend>> {
            let wanted = wanted.service.as_ref()?;
            let port = wanted.port.as_ref()?;
            let port = port.name.clone().or_else(|| port.number.map(|n| n.to_string()))?;
            let key = Key::new(namespace.clone(), wanted.name.clone());
            let made = backends.entry((key.clone(), port.clone())).or_insert_with(|| {
                let endpoints = service(&key).map(|s| endpoints(&s, &port, &slices(&key))).unwrap_or_default();
                Arc::new(Backend { service: key, endpoints, next: AtomicUsize::new(0) })
            });
            Some(made.clone())
        };
        for tls in spec.tls.iter().flatten() {
            let Some(secret) = &tls.secret_name else { continue };
            for host in tls.hosts.iter().flatten() {
                table.secrets.entry(host.to_ascii_lowercase()).or_insert_with(|| Key::new(namespace.clone(), secret.clone()));
            }
        }
        for rule in spec.rules.iter().flatten() {
            let host = rule.host.as_deref().unwrap_or_default().to_ascii_lowercase();
            let rules = match host.strip_prefix("*.") {
                Some(parent) => table.wildcard.entry(parent.to_owned()).or_default(),
                None if host.is_empty() => &mut table.any,
                None => table.exact.entry(host).or_default(),
            };
            for path in rule.http.iter().flat_map(|http| &http.paths) {
                rules.extend(rule_of(path, &mut backend));
            }
        }
        if table.default.is_none() {
            table.default = spec.default_backend.as_ref().and_then(&mut backend);
        }
    }
    for rules in table.exact.values_mut().chain(table.wildcard.values_mut()).chain([&mut table.any]) {
        // Stable: of equal paths the older Ingress stays first.
        rules.sort_by_key(|rule| (!rule.exact, std::cmp::Reverse(rule.path.trim_end_matches('/').len())));
    }
    table
}

fn rule_of(path: &HTTPIngressPath, backend: &mut impl FnMut(&IngressBackend) -> Option<Arc<Backend>>) -> Option<Rule> {
    let text = path.path.clone().unwrap_or_else(|| "/".to_owned());
    Some(Rule { path: text, exact: path.path_type == "Exact", backend: backend(&path.backend)? })
}

/// Ready endpoints of a Service's port (named, or by number).
fn endpoints(service: &Service, port: &str, slices: &[Arc<EndpointSlice>]) -> Vec<SocketAddr> {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let Some(wanted) = ports.into_iter().find(|p| p.name.as_deref() == Some(port) || p.port.to_string() == port) else {
        return Vec::new();
    };
    let name = wanted.name.as_deref().unwrap_or_default();
    let mut found: Vec<SocketAddr> = Vec::new();
    for slice in slices {
        let port = slice.ports.iter().flatten().find(|p| p.name.as_deref().unwrap_or_default() == name);
        let Some(port) = port.and_then(|p| p.port).and_then(|p| u16::try_from(p).ok()) else { continue };
        for endpoint in slice.endpoints.iter().flatten() {
            let ready = endpoint.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true);
            let addresses = endpoint.addresses.iter().take(usize::from(ready)).filter_map(|a| a.parse::<IpAddr>().ok());
            found.extend(addresses.map(|ip| SocketAddr::new(ip, port)));
        }
    }
    // A dual-stack pod is one pod: where there are both families, IPv4 alone is asked.
    if found.iter().any(SocketAddr::is_ipv4) {
        found.retain(SocketAddr::is_ipv4);
    }
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests;
