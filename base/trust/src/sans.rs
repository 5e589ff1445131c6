//! Subject names, and what the home's root may speak for (RFC 5280, 4.2.1.10).
use std::{fmt, net::IpAddr, str::FromStr};

use rcgen::{CidrSubnet, GeneralSubtree, NameConstraints, SanType};

use crate::TrustError;

/// A DNS name or an address in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SubjectName {
    Dns(String),
    Ip(IpAddr),
}

impl fmt::Display for SubjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

impl From<&str> for SubjectName {
    fn from(text: &str) -> Self {
        IpAddr::from_str(text).map_or_else(|_| Self::Dns(text.to_ascii_lowercase()), Self::Ip)
    }
}

impl SubjectName {
    pub(crate) fn to_san(&self) -> Result<SanType, TrustError> {
        Ok(match self {
            Self::Dns(name) => {
                SanType::DnsName(name.as_str().try_into().map_err(|source| TrustError::Make { what: "subject name", source })?)
            }
            Self::Ip(address) => SanType::IpAddress(*address),
        })
    }
}

/// What the root certifies: the home's domain, the names of the API, and private addresses. A phone that trusts the root
/// trusts it for nothing else.
#[derive(Clone, Debug)]
pub struct Scope {
    pub domain: String,
}

/// Names under which the API and nodes are reached inside every cluster.
const CLUSTER_NAMES: [&str; 5] = ["cluster.local", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];

/// Loopback, private (RFC 1918, RFC 6598, RFC 4193), link-local and documentation (RFC 5737, used by test networks) addresses.
const NETWORKS: [(&str, u8); 13] = [
    ("127.0.0.0", 8),
    ("10.0.0.0", 8),
    ("172.16.0.0", 12),
    ("192.168.0.0", 16),
    ("100.64.0.0", 10),
    ("169.254.0.0", 16),
    ("192.0.2.0", 24),
    ("198.51.100.0", 24),
    ("203.0.113.0", 24),
    ("::1", 128),
    ("fc00::", 7),
    ("fe80::", 10),
    ("2001:db8::", 32),
];

impl Scope {
    pub fn new(domain: &str) -> Self {
        Self { domain: domain.trim_end_matches('.').to_ascii_lowercase() }
    }

    /// Whether the root may certify the name.
    pub fn permits(&self, name: &SubjectName) -> bool {
        match name {
            SubjectName::Dns(dns) => {
                let dns = dns.strip_prefix("*.").unwrap_or(dns).to_ascii_lowercase();
                let below = |top: &str| dns == top || dns.strip_suffix(top).is_some_and(|rest| rest.ends_with('.'));
                below(&self.domain) || CLUSTER_NAMES.iter().any(|top| below(top))
            }
            SubjectName::Ip(address) => networks().any(|(net, bits)| contains(net, bits, *address)),
        }
    }

    /// Whether the name is one of the home's apps: below its domain, and not the API's. The names inside the cluster and addresses are
    /// those of the API and of nodes, and no app's to speak for.
    pub fn is_of_apps(&self, name: &SubjectName) -> bool {
        let SubjectName::Dns(dns) = name else { return false };
        let dns = dns.strip_prefix("*.").unwrap_or(dns).to_ascii_lowercase();
        let below = |top: &str| dns == top || dns.strip_suffix(top).is_some_and(|rest| rest.ends_with('.'));
        below(&self.domain) && !below(&format!("api.{}", self.domain)) && !CLUSTER_NAMES.iter().any(|top| below(top))
    }

    pub(crate) fn check(&self, name: &SubjectName) -> Result<(), TrustError> {
        if self.permits(name) {
            return Ok(());
        }
        Err(TrustError::OutsideScope { name: name.to_string(), domain: self.domain.clone() })
    }

    pub(crate) fn constraints(&self) -> NameConstraints {
        let dns = std::iter::once(self.domain.as_str()).chain(CLUSTER_NAMES).map(|n| GeneralSubtree::DnsName(n.into()));
        let ips = networks().map(|(net, bits)| GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(net, bits)));
        NameConstraints { permitted_subtrees: dns.chain(ips).collect(), excluded_subtrees: Vec::new() }
    }
}

fn networks() -> impl Iterator<Item = (IpAddr, u8)> {
    NETWORKS.iter().map(|(net, bits)| (net.parse().expect("the table holds addresses"), *bits))
}

fn contains(net: IpAddr, bits: u8, address: IpAddr) -> bool {
    match (net, address) {
        (IpAddr::V4(n), IpAddr::V4(a)) => (u32::from(n) ^ u32::from(a)).checked_shr(32 - u32::from(bits)).unwrap_or(0) == 0,
        (IpAddr::V6(n), IpAddr::V6(a)) => (u128::from(n) ^ u128::from(a)).checked_shr(128 - u32::from(bits)).unwrap_or(0) == 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apps_speak_for_names_of_the_home_and_not_for_the_api_or_a_node() {
        let scope = Scope::new("home.arpa");
        for yes in ["home.arpa", "web.home.arpa", "*.web.home.arpa", "WEB.home.arpa"] {
            assert!(scope.is_of_apps(&yes.into()), "{yes}");
        }
        for no in [
            "api.home.arpa",
            "*.api.home.arpa",
            "kubernetes.default.svc",
            "n1.nodes.cluster.local",
            "localhost",
            "10.96.0.1",
            "::1",
        ] {
            assert!(!scope.is_of_apps(&no.into()), "{no}");
        }
    }

    #[test]
    fn the_scope_is_the_home_the_cluster_and_private_addresses() {
        let scope = Scope::new("Home.Arpa.");
        for yes in [
            "home.arpa",
            "a.b.home.arpa",
            "*.home.arpa",
            "kubernetes.default.svc.cluster.local",
            "localhost",
            "10.1.2.3",
            "fd00::1",
        ] {
            assert!(scope.permits(&yes.into()), "{yes}");
        }
        for no in ["example.com", "nothome.arpa", "arpa", "1.1.1.1", "2606:4700::1111", "svc"] {
            assert!(!scope.permits(&no.into()), "{no}");
        }
    }
}
