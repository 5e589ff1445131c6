//! Pod network, Services and cluster DNS of a node.
//!
//! What it is: the CNI plugin (`cni`), the host's side of the pod network (`host`), Services as packet rules (`services`), routes
//! between nodes, and the DNS server of the home's pods (`dns`).
//! What it is not: it starts no containers, gives no ClusterIPs and no pod ranges, writes no EndpointSlices of others' Services.
//! Flow: a pod's packet -> its veth -> the table `inet irori-<instance>` (source check, Service -> endpoint) -> a pod's veth, or
//! an uplink with the node's address.
//! Invariants: no bridge, no packet between pods that the rules do not see; nothing on the host is made or changed that does not
//! carry the instance id (forwarding switches of uplinks aside, which are set back); nothing polls.
mod cidr;
pub mod cni;
pub mod dns;
pub mod host;
pub mod leases;
pub mod namespace;
pub mod netlink;
mod network;
pub mod nft;
pub mod nodes;
pub mod services;
mod settings;
mod sysctl;

pub use cidr::{Cidr, CidrError};
pub use network::{Links, Network};
pub use settings::{InstanceError, InstanceId, Settings};
