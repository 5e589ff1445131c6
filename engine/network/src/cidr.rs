//! Address ranges in prefix notation.
use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

/// An IPv4 or IPv6 prefix, for example `10.42.0.0/24`. Bits behind the prefix are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    network: IpAddr,
    length: u8,
}

/// Why a text is no prefix.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("parse `{text}` as an address range such as 10.42.0.0/24")]
pub struct CidrError {
    text: String,
}

impl Cidr {
    /// The range of `length` bits that holds `address`; `None` if the family has fewer bits.
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        let width = width(address);
        (length <= width).then(|| Self { network: from_bits(address, bits(address) & mask(width, length)), length })
    }

    /// The range that holds `address` alone (/32 or /128).
    pub fn host(address: IpAddr) -> Self {
        Self { network: address, length: width(address) }
    }

    /// The default route's range of the family.
    pub fn everything(v6: bool) -> Self {
        let network = if v6 { IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED) };
        Self { network, length: 0 }
    }

    /// The first address of the range.
    pub fn network(&self) -> IpAddr {
        self.network
    }

    /// Bits of the prefix.
    pub fn length(&self) -> u8 {
        self.length
    }

    pub fn is_v6(&self) -> bool {
        self.network.is_ipv6()
    }

    /// Whether `address` is of the same family and inside.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.is_v6() == address.is_ipv6() && bits(address) & mask(width(address), self.length) == bits(self.network)
    }

    /// Whether the two ranges share an address.
    pub fn overlaps(&self, other: &Cidr) -> bool {
        self.contains(other.network) || other.contains(self.network)
    }

    /// Address number `n` of the range (0 is the network itself); `None` behind its end.
    pub fn nth(&self, n: u128) -> Option<IpAddr> {
        let host_bits = width(self.network) - self.length;
        let inside = host_bits == 128 || n < 1_u128 << host_bits;
        inside.then(|| from_bits(self.network, bits(self.network) | n))
    }

    /// How many addresses the range has, at most `u128::MAX`.
    pub fn size(&self) -> u128 {
        1_u128.checked_shl(u32::from(width(self.network) - self.length)).unwrap_or(u128::MAX)
    }

    /// The node's own address in its pod range, also the pods' gateway: the first behind the network address.
    pub fn gateway(&self) -> IpAddr {
        from_bits(self.network, bits(self.network) | 1)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv6() { 128 } else { 32 }
}

fn mask(width: u8, length: u8) -> u128 {
    let all = if width == 128 { u128::MAX } else { u128::from(u32::MAX) };
    all & u128::MAX.checked_shl(u32::from(width - length)).unwrap_or(0)
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn from_bits(family: IpAddr, bits: u128) -> IpAddr {
    match family {
        IpAddr::V4(_) => IpAddr::V4(u32::try_from(bits & u128::from(u32::MAX)).expect("masked to 32 bits").into()),
        IpAddr::V6(_) => IpAddr::V6(bits.into()),
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let parsed = text.split_once('/').and_then(|(address, length)| {
            let (address, length) = (address.parse::<IpAddr>().ok()?, length.parse::<u8>().ok()?);
            Cidr::new(address, length)
        });
        parsed.ok_or_else(|| CidrError { text: text.to_owned() })
    }
}

impl TryFrom<String> for Cidr {
    type Error = CidrError;

    fn try_from(text: String) -> Result<Self, CidrError> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> String {
        cidr.to_string()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().expect("a range")
    }

    #[test]
    fn bits_behind_the_prefix_are_cleared() {
        assert_eq!(cidr("10.42.7.9/24").to_string(), "10.42.7.0/24");
        assert_eq!(cidr("fd00:1:2:3::9/64").to_string(), "fd00:1:2:3::/64");
        assert_eq!(cidr("1.2.3.4/0").to_string(), "0.0.0.0/0");
    }

    #[test]
    fn an_address_is_inside_only_its_own_family_and_prefix() {
        assert!(cidr("10.42.0.0/24").contains("10.42.0.255".parse().expect("ip")));
        assert!(!cidr("10.42.0.0/24").contains("10.42.1.0".parse().expect("ip")));
        assert!(!cidr("0.0.0.0/0").contains("::1".parse().expect("ip")));
        assert!(cidr("10.0.0.0/8").overlaps(&cidr("10.42.0.0/16")));
        assert!(!cidr("10.43.0.0/16").overlaps(&cidr("10.42.0.0/16")));
    }

    #[test]
    fn addresses_are_counted_from_the_network() {
        assert_eq!(cidr("10.42.0.0/24").nth(255).map(|a| a.to_string()), Some("10.42.0.255".to_owned()));
        assert_eq!(cidr("10.42.0.0/24").nth(256), None);
        assert_eq!(cidr("fd00::/64").gateway().to_string(), "fd00::1");
    }

    #[test]
    fn nonsense_is_refused_with_the_text() {
        for text in ["", "10.0.0.0", "10.0.0.0/33", "x/8", "fd00::/129", "10.0.0.0/-1"] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }
}
