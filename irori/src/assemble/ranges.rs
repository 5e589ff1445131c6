//! Which addresses pods and Services get, in both families.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Result;
use irori_trust::fingerprint;

/// The addresses of a cluster. IPv6 comes from a unique local prefix (RFC 4193) of the home's own: 40 bits of its root certificate's
/// fingerprint, so that every part of the home knows it and no two homes share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranges {
    /// The first 48 bits; `None` where the kernel has no IPv6.
    prefix6: Option<[u8; 6]>,
}

const PODS_V4: &str = "10.42.0.0/16";
const SERVICES_V4: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 96, 0, 0), 12);
/// Bits of a node's part.
pub const NODE_BITS_V4: u8 = 24;
pub const NODE_BITS_V6: u8 = 64;
const PODS_V6: u16 = 0x1000;
const SERVICES_V6: u16 = 0xffff;

impl Ranges {
    pub fn of_home(root_pem: &str) -> Result<Self> {
        let print = fingerprint(root_pem)?;
        let prefix = [0xfd, print[0], print[1], print[2], print[3], print[4]];
        let spoken = std::path::Path::new("/proc/net/if_inet6").exists();
        Ok(Self { prefix6: spoken.then_some(prefix) })
    }

    fn v6(&self, subnet: u16, last: u16) -> Option<Ipv6Addr> {
        let p = self.prefix6?;
        let word = |i: usize| u16::from_be_bytes([p[i], p[i + 1]]);
        Some(Ipv6Addr::new(word(0), word(2), word(4), subnet, 0, 0, 0, last))
    }

    /// Pods of all nodes: range and bits of a node's part.
    pub fn pods(&self) -> Vec<(String, u8)> {
        let v6 = self.v6(PODS_V6, 0).map(|base| (format!("{base}/56"), NODE_BITS_V6));
        [(PODS_V4.to_owned(), NODE_BITS_V4)].into_iter().chain(v6).collect()
    }

    /// ClusterIPs: base and bits.
    pub fn services(&self) -> Vec<(IpAddr, u8)> {
        let v6 = self.v6(SERVICES_V6, 0).map(|base| (IpAddr::V6(base), 112));
        [(IpAddr::V4(SERVICES_V4.0), SERVICES_V4.1)].into_iter().chain(v6).collect()
    }

    /// The ClusterIP of default/kubernetes.
    pub fn kubernetes(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 96, 0, 1)
    }

    /// The ClusterIPs of the cluster DNS.
    pub fn cluster_dns(&self) -> Vec<IpAddr> {
        let v6 = self.v6(SERVICES_V6, 0xa).map(IpAddr::V6);
        [IpAddr::from([10, 96, 0, 10])].into_iter().chain(v6).collect()
    }

    /// The pod-side addresses of the first node, where pods of a server's own machine reach its API.
    pub fn first_pod_side(&self) -> Vec<IpAddr> {
        let v6 = self.v6(PODS_V6, 1).map(IpAddr::V6);
        [IpAddr::from([10, 42, 0, 1])].into_iter().chain(v6).collect()
    }
}

/// With a port.
pub fn sockets(addresses: impl IntoIterator<Item = IpAddr>, port: u16) -> Vec<SocketAddr> {
    addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_a_home_lie_in_its_own_prefix() {
        let ranges = Ranges { prefix6: Some([0xfd, 1, 2, 3, 4, 5]) };
        assert_eq!(ranges.pods()[1], ("fd01:203:405:1000::/56".to_owned(), 64));
        assert_eq!(ranges.services()[1], ("fd01:203:405:ffff::".parse().unwrap(), 112));
        assert_eq!(ranges.cluster_dns()[1], "fd01:203:405:ffff::a".parse::<IpAddr>().unwrap());
        assert_eq!(ranges.first_pod_side()[1], "fd01:203:405:1000::1".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn a_machine_without_ipv6_has_one_family() {
        let ranges = Ranges { prefix6: None };
        assert_eq!((ranges.pods().len(), ranges.services().len(), ranges.cluster_dns().len()), (1, 1, 1));
    }
}
