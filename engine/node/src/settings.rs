//! What a node is told at its start.
use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use crate::{pods::amounts::Machine, runtime::Dns};

/// Says who is at the other end of a connection to the node's own port, or `None` for a stranger.
pub type ClientCheck = Arc<dyn Fn(&irori_http::Peer) -> Option<Caller> + Send + Sync>;

/// A verified client of the node's own port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub name: String,
    pub groups: Vec<String>,
}

#[derive(Clone)]
pub struct Settings {
    /// Name of the Node object; lowercase, a DNS subdomain.
    pub name: String,
    /// `DATA/node/<NODE>`: volumes of pods live below it.
    pub folder: PathBuf,
    /// Machine name as `kubernetes.io/hostname` and address of type Hostname say it.
    pub hostname: String,
    /// InternalIP addresses, primary first.
    pub addresses: Vec<IpAddr>,
    /// Further labels of the Node object.
    pub labels: Vec<(String, String)>,
    /// `key=value:effect` is given as its three parts.
    pub taints: Vec<(String, String, String)>,
    /// Pods at once. Above this the scheduler sends no more.
    pub pods_max: u32,
    /// What is kept back for the system: millicores and bytes.
    pub reserved_cpu_millis: u64,
    pub reserved_memory_bytes: u64,
    /// Tasks in one pod; `None` for no limit.
    pub pids_per_pod_max: Option<u64>,
    /// Cluster DNS servers; empty where there is none: then ClusterFirst is the machine's own.
    pub cluster_dns: Vec<IpAddr>,
    /// `cluster.local`.
    pub cluster_domain: String,
    /// The machine's resolver, for `dnsPolicy: Default` and the search list.
    pub host_dns: Dns,
    /// The node's HTTPS port, as registered; the listener is given to `Node::start`.
    pub port: u16,
    pub tls: Arc<rustls::ServerConfig>,
    pub clients: ClientCheck,
    /// Version that the node says it is, e.g. `v1.36.2-irori`.
    pub version: String,
    pub lease: LeaseTerms,
}

/// How the node says that it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTerms {
    /// How often the lease is renewed.
    pub every: Duration,
    /// How long it lasts without that.
    pub lasts: Duration,
}

impl LeaseTerms {
    /// As stock nodes do.
    pub const USUAL: LeaseTerms = LeaseTerms { every: Duration::from_secs(10), lasts: Duration::from_secs(40) };
    /// Of a node in the process of the only server: where it falls silent nobody is left to notice, and each renewal is a write to the disk.
    pub const ALONE: LeaseTerms = LeaseTerms { every: Duration::from_secs(900), lasts: Duration::from_secs(3_600) };
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("name", &self.name).field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Settings {
    /// What the machine has for pods.
    pub fn machine(&self, capacity: &crate::node_object::Capacity) -> Machine {
        Machine {
            cpu_millis: capacity.cpu_millis.saturating_sub(self.reserved_cpu_millis),
            memory_bytes: capacity.memory_bytes.saturating_sub(self.reserved_memory_bytes),
            pids_per_pod: self.pids_per_pod_max,
        }
    }
}

/// Reads what a resolv.conf says.
pub fn parse_resolv_conf(text: &str) -> Dns {
    let mut dns = Dns::default();
    for line in text.lines().map(|line| line.split(['#', ';']).next().unwrap_or_default()) {
        let mut words = line.split_whitespace().map(str::to_owned);
        match words.next().as_deref() {
            Some("nameserver") => dns.servers.extend(words.next()),
            // The last line of either kind holds.
            Some("search") => dns.searches = words.filter(|name| name != ".").collect(),
            Some("domain") => dns.searches = words.take(1).collect(),
            Some("options") => dns.options = words.collect(),
            _ => {}
        }
    }
    dns
}

/// A node that listens to nobody.
#[cfg(test)]
pub(crate) fn for_tests() -> Settings {
    let folder = PathBuf::from("/nowhere");
    let tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("usual versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::server::ResolvesServerCertUsingSni::new()));
    Settings {
        name: "n1".to_owned(),
        folder,
        hostname: "n1".to_owned(),
        addresses: vec![IpAddr::from([192, 0, 2, 1])],
        labels: Vec::new(),
        taints: Vec::new(),
        pods_max: 110,
        reserved_cpu_millis: 500,
        reserved_memory_bytes: 0,
        pids_per_pod_max: None,
        cluster_dns: vec![IpAddr::from([10, 96, 0, 10])],
        cluster_domain: "cluster.local".to_owned(),
        host_dns: Dns::default(),
        port: 10_250,
        tls: Arc::new(tls),
        clients: Arc::new(|_| None),
        version: "v1.36.2-test".to_owned(),
        lease: LeaseTerms::USUAL,
    }
}
