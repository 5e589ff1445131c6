//! The DNS server of the home's pods.
//!
//! What it is: authority for the cluster's domain and for the reverse names of its addresses (Kubernetes DNS specification 1.1.0),
//! and a forwarder with a small cache for everything else.
//! What it is not: it validates no DNSSEC and asks for none, transfers no zones, and serves nobody but who can reach its sockets.
//! Flow: packet -> `question` (what may be asked) -> `zone` (from the informers' memory) or `forward` (cache -> upstream) ->
//! `answer` (fitted to the transport).
//! Invariants: an answer about the cluster needs no I/O; the same question is asked upstream once at a time, so that a loop of
//! forwarders costs one query and ends with a timeout.
//! Limits: 512 forwarded questions at once, 128 TCP connections, 10 s for an idle one, 1,232 bytes over UDP, 2,048 cached answers,
//! 5 s for a forwarded question. Above: SERVFAIL, closed connections, truncation, the oldest answers forgotten.
mod answer;
mod cache;
mod directory;
mod forward;
mod objects;
mod question;
mod resolv;
mod server;
mod zone;

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

pub use directory::{Directory, Informed};
pub use objects::{ObjectsError, ensure_dns_objects};
pub use server::{DnsError, DnsServer, run};

use crate::Cidr;

/// Who is asked about names that are not the cluster's.
#[derive(Clone, Debug)]
pub enum Upstreams {
    /// The name servers of a file like `/etc/resolv.conf`, read again when it changed.
    ResolvConf(PathBuf),
    Fixed(Vec<SocketAddr>),
}

/// The DNS server of one node.
#[derive(Clone, Debug)]
pub struct DnsSettings {
    /// Where to listen, UDP and TCP: the node's pod-side addresses, port 53.
    pub listen: Vec<SocketAddr>,
    /// The cluster's domain, `cluster.local`.
    pub domain: String,
    /// The addresses of Service kube-system/kube-dns.
    pub service_addresses: Vec<IpAddr>,
    /// Ranges whose reverse names are answered here alone: those of pods and Services.
    pub reverse: Vec<Cidr>,
    pub upstreams: Upstreams,
}

#[cfg(test)]
mod tests;
