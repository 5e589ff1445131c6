//! What a node's network is told, and the names that follow from it.
use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr};

use crate::Cidr;

/// The mark that everything of one Irori on a host carries: six lowercase hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InstanceId(String);

/// Why a text is no instance id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("read `{0}` as an instance id: six lowercase hexadecimal digits are expected")]
pub struct InstanceError(String);

impl FromStr for InstanceId {
    type Err = InstanceError;

    fn from_str(text: &str) -> Result<Self, InstanceError> {
        let good = text.len() == 6 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if good { Ok(Self(text.to_owned())) } else { Err(InstanceError(text.to_owned())) }
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl InstanceId {
    /// The nft table of this instance (family inet).
    pub fn table(&self) -> String {
        format!("irori-{self}")
    }

    /// The link that carries the node's pod-side addresses while no pod runs.
    pub fn node_link(&self) -> String {
        format!("ir{self}")
    }

    /// The other end of that link where the kernel has no dummy links and a veth pair stands in.
    pub fn node_link_peer(&self) -> String {
        format!("ir{self}x")
    }

    /// The host's end of the pod with lease `index` (at most 65,534, so the name fits into 15 characters).
    pub fn pod_link(&self, index: u32) -> String {
        format!("ir{self}p{index}")
    }

    /// What all pod links of this instance begin with.
    pub fn pod_link_prefix(&self) -> String {
        format!("ir{self}p")
    }

    /// The nft pattern of all pod links.
    pub fn pod_link_pattern(&self) -> String {
        format!("ir{self}p*")
    }
}

/// The network of one node.
#[derive(Clone, Debug)]
pub struct Settings {
    pub instance: InstanceId,
    /// Name of the Node object.
    pub node_name: String,
    /// Irori's data folder; the network uses `cni/` in it.
    pub data_dir: PathBuf,
    /// This node's pod ranges, at most one of each family (`node.spec.podCIDRs`).
    pub pod_cidrs: Vec<Cidr>,
    /// The pod ranges of the whole home: traffic to them keeps the pod's address.
    pub cluster_cidrs: Vec<Cidr>,
    /// The ranges of ClusterIPs. What is addressed to them and belongs to no ready Service is rejected.
    pub service_cidrs: Vec<Cidr>,
    /// Interfaces through which pods reach the outside; empty: those with a default route, and those with a `node_addresses`.
    pub uplinks: Vec<String>,
    /// The node's own addresses (InternalIPs).
    pub node_addresses: Vec<IpAddr>,
    /// The `nft` program.
    pub nft: PathBuf,
}

impl Settings {
    /// The node's own addresses in its pod ranges.
    pub fn gateways(&self) -> Vec<IpAddr> {
        self.pod_cidrs.iter().map(Cidr::gateway).collect()
    }

    /// Where leases of pod addresses are kept.
    pub fn leases_dir(&self) -> PathBuf {
        self.data_dir.join("cni/ipam")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_links_fit_into_the_kernels_fifteen_characters() {
        let id: InstanceId = "0a1b2c".parse().expect("an id");
        assert_eq!(id.pod_link(65_534), "ir0a1b2cp65534");
        assert!(id.pod_link(65_534).len() <= 15 && id.node_link_peer().len() <= 15);
    }

    #[test]
    fn an_instance_id_is_six_lowercase_hexadecimal_digits() {
        for bad in ["", "abc", "0A1B2C", "0a1b2g", "0a1b2c3"] {
            assert!(bad.parse::<InstanceId>().is_err(), "{bad}");
        }
    }
}
