//! Addresses and networks as the API reads them: leading zeros and IPv4 addresses within IPv6 ones are understood, and refused.
//!
//! Source: https://kep.k8s.io/4858 (`StrictIPCIDRValidation`, on since 1.36). A value that an object had before may stay.
use std::net::{IpAddr, Ipv6Addr};

use hashbrown::HashSet;

use irori_api::field::{ErrorList, FieldPath};

/// Values that an object had before a change.
pub type Kept<'a> = HashSet<&'a str>;

const NO_ADDRESS: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const NO_NETWORK: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/// An address, however it is written; one of IPv4 within IPv6 is one of IPv4.
pub fn parse(given: &str) -> Option<IpAddr> {
    read(given).map(|ip| ip.to_canonical())
}

/// An address as it is written, save that octets may have leading zeros.
fn read(given: &str) -> Option<IpAddr> {
    given.parse().ok().or_else(|| {
        let (head, octets) = given.split_at(given.rfind(':').map_or(0, |at| at + 1));
        let plain = |octet: &str| {
            let digits = !octet.is_empty() && octet.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| octet.trim_start_matches('0')).map(|octet| if octet.is_empty() { "0" } else { octet }.to_owned())
        };
        let octets: Option<Vec<String>> = octets.split('.').map(plain).collect();
        octets.filter(|octets| octets.len() == 4).and_then(|octets| format!("{head}{}", octets.join(".")).parse().ok())
    })
}

fn is_mapped(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some())
}

/// What is wrong with an address.
pub fn ip_fault(given: &str) -> Option<&'static str> {
    let Some(ip) = read(given) else { return Some(NO_ADDRESS) };
    if given.parse::<IpAddr>().is_err() {
        return Some("must not have leading 0s");
    }
    is_mapped(ip).then_some("must not be an IPv4-mapped IPv6 address")
}

/// A network: an address and the bits of it that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    pub ip: IpAddr,
    pub bits: u8,
}

impl Network {
    /// A network, however it is written.
    pub fn parse(given: &str) -> Option<Network> {
        let (ip, bits) = given.split_once('/')?;
        let ip = read(ip)?;
        let bits: u8 = bits.parse().ok().filter(|_| bits.bytes().all(|b| b.is_ascii_digit()))?;
        (bits <= if ip.is_ipv4() { 32 } else { 128 }).then_some(Network { ip, bits })
    }

    /// The same without what stands behind its bits.
    pub fn masked(self) -> Network {
        let ip = match self.ip {
            IpAddr::V4(ip) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                IpAddr::V4((ip.to_bits() & mask).into())
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & mask))
            }
        };
        Network { ip, bits: self.bits }
    }

    /// Whether it holds another, and more than that.
    pub fn is_wider_than(self, other: Network) -> bool {
        let of_it = Network { ip: other.ip, bits: self.bits };
        self.ip.is_ipv4() == other.ip.is_ipv4() && self.bits < other.bits && of_it.masked() == self.masked()
    }
}

/// What is wrong with a network.
pub fn cidr_fault(given: &str) -> Option<&'static str> {
    let Some(network) = Network::parse(given) else { return Some(NO_NETWORK) };
    let (ip, bits) = given.split_once('/').unwrap_or_default();
    if ip.parse::<IpAddr>().is_err() || (bits.len() > 1 && bits.starts_with('0')) {
        return Some("must not have leading 0s in IP or prefix length");
    }
    if is_mapped(network.ip) {
        return Some("must not have an IPv4-mapped IPv6 address");
    }
    (network.masked() != network).then_some("must not have bits set beyond the prefix length")
}

/// An address that was not there before; whether nothing is wrong with it.
pub fn ip(errors: &mut ErrorList, given: &str, at: &FieldPath, kept: &Kept<'_>) -> bool {
    told(errors, given, at, if kept.contains(given) { None } else { ip_fault(given) })
}

/// A network that was not there before; whether nothing is wrong with it.
pub fn cidr(errors: &mut ErrorList, given: &str, at: &FieldPath, kept: &Kept<'_>) -> bool {
    told(errors, given, at, if kept.contains(given) { None } else { cidr_fault(given) })
}

fn told(errors: &mut ErrorList, given: &str, at: &FieldPath, fault: Option<&str>) -> bool {
    if let Some(why) = fault {
        errors.invalid(at.clone(), given, why);
    }
    fault.is_none()
}

/// What is wrong with an address that has to be written in the one canonical way.
pub fn canonical_ip_fault(given: &str) -> Option<String> {
    if let Some(why) = ip_fault(given) {
        return Some(why.to_owned());
    }
    let canonical = parse(given).map(|ip| ip.to_string()).unwrap_or_default();
    (canonical != given).then(|| format!("must be in canonical form ({canonical:?})"))
}

/// What is wrong with a network that has to be written in the one canonical way.
pub fn canonical_cidr_fault(given: &str) -> Option<String> {
    if let Some(why) = cidr_fault(given) {
        return Some(why.to_owned());
    }
    let canonical = Network::parse(given).map(|network| format!("{}/{}", network.ip, network.bits)).unwrap_or_default();
    (canonical != given).then(|| format!("must be in canonical form ({canonical:?})"))
}

/// What is wrong with an address that says its network (`10.9.8.7/24`), in the one canonical way.
pub fn interface_fault(given: &str) -> Option<String> {
    let Some(Network { ip, bits }) = Network::parse(given) else {
        return Some("must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)".to_owned());
    };
    let plain = ip.to_canonical();
    let bits = if plain.is_ipv4() && bits > 32 { bits - 96 } else { bits };
    let canonical = format!("{plain}/{bits}");
    (canonical != given).then(|| format!("must be in canonical form ({canonical:?})"))
}

/// Addresses that no endpoint may have, nor be reached at from outside.
pub fn special(given: &str, at: &FieldPath, errors: &mut ErrorList) {
    let Some(ip) = parse(given) else {
        errors.invalid(at.clone(), given, "must be a valid IP address");
        return;
    };
    let (link_local, link_local_group) = match ip {
        IpAddr::V4(ip) => (ip.is_link_local(), ip.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(ip) => (ip.is_unicast_link_local(), ip.segments()[0] & 0xff0f == 0xff02),
    };
    if ip.is_unspecified() {
        errors.invalid(at.clone(), given, format!("may not be unspecified ({given})"));
    } else if ip.is_loopback() {
        errors.invalid(at.clone(), given, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    } else if link_local {
        errors.invalid(at.clone(), given, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    } else if link_local_group {
        errors.invalid(at.clone(), given, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZEROS: &str = "must not have leading 0s in IP or prefix length";

    #[test]
    fn unusual_ways_to_write_an_address_are_refused_by_name() {
        for (given, want) in [
            ("10.0.0.1", None),
            ("2001:DB8:0::1", None),
            ("010.0.0.1", Some("must not have leading 0s")),
            ("::ffff:01.2.3.4", Some("must not have leading 0s")),
            ("::ffff:1.2.3.4", Some("must not be an IPv4-mapped IPv6 address")),
            ("256.0.0.1", Some(NO_ADDRESS)),
            ("0256.0.0.1", Some(NO_ADDRESS)),
            ("1.2.3", Some(NO_ADDRESS)),
            ("fe80::1%eth0", Some(NO_ADDRESS)),
            ("", Some(NO_ADDRESS)),
        ] {
            assert_eq!(ip_fault(given), want, "{given}");
        }
        assert_eq!(parse("::ffff:01.2.3.4"), Some(IpAddr::from([1, 2, 3, 4])));
    }

    #[test]
    fn unusual_ways_to_write_a_network_are_refused_by_name() {
        for (given, want) in [
            ("10.0.0.0/8", None),
            ("0.0.0.0/0", None),
            ("::/0", None),
            ("10.0.0.1/32", None),
            ("10.0.0.1/8", Some("must not have bits set beyond the prefix length")),
            ("10.0.0.0/08", Some(ZEROS)),
            ("010.0.0.1/8", Some(ZEROS)),
            ("::ffff:10.0.0.0/104", Some("must not have an IPv4-mapped IPv6 address")),
            ("10.0.0.0/33", Some(NO_NETWORK)),
            ("10.0.0.0/+8", Some(NO_NETWORK)),
            ("10.0.0.0", Some(NO_NETWORK)),
        ] {
            assert_eq!(cidr_fault(given), want, "{given}");
        }
        assert_eq!(canonical_cidr_fault("2001:DB8::/64").as_deref(), Some("must be in canonical form (\"2001:db8::/64\")"));
    }

    #[test]
    fn an_address_of_an_interface_keeps_the_bits_of_its_host() {
        assert_eq!(interface_fault("10.9.8.7/24"), None);
        for (given, want) in
            [("010.9.8.7/24", "10.9.8.7/24"), ("::ffff:10.9.8.7/120", "10.9.8.7/24"), ("2001:DB8::1/64", "2001:db8::1/64")]
        {
            assert_eq!(interface_fault(given), Some(format!("must be in canonical form ({want:?})")));
        }
        assert!(interface_fault("10.9.8.7").unwrap().starts_with("must be a valid address in CIDR form"));
    }

    #[test]
    fn what_was_there_may_stay() {
        let mut errors = ErrorList::default();
        let at = FieldPath::new("x");
        assert!(cidr(&mut errors, "10.0.0.1/8", &at, &Kept::from_iter(["10.0.0.1/8"])));
        assert!(!ip(&mut errors, "010.0.0.1", &at, &Kept::new()));
        assert_eq!(errors.to_string(), "x: Invalid value: \"010.0.0.1\": must not have leading 0s");
    }

    #[test]
    fn a_network_holds_what_agrees_in_its_bits() {
        let wider = |a: &str, b: &str| Network::parse(a).unwrap().is_wider_than(Network::parse(b).unwrap());
        assert!(wider("10.0.0.0/8", "10.1.0.0/16") && wider("::/0", "2001:db8::/32"));
        assert!(
            !wider("10.0.0.0/8", "10.0.0.0/8") && !wider("10.0.0.0/8", "11.0.0.0/16") && !wider("0.0.0.0/0", "2001:db8::/32")
        );
    }

    #[test]
    fn of_groups_only_those_of_one_link_are_refused() {
        let told = |given: &str| {
            let mut errors = ErrorList::default();
            special(given, &FieldPath::new("x"), &mut errors);
            errors.len()
        };
        for (given, faults) in
            [("224.0.0.1", 1), ("ff02::1", 1), ("ff12::1", 1), ("224.1.1.1", 0), ("ff05::1", 0), ("127.0.0.1", 1)]
        {
            assert_eq!(told(given), faults, "{given}");
        }
    }
}
