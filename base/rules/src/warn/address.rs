//! Addresses and networks that are written in an unusual way.
use std::net::IpAddr;

use irori_api::field::FieldPath;

/// An IPv6 address that is not in its canonical form, or an IPv4 address written as one.
pub fn ip(given: &str, at: &FieldPath, told: &mut Vec<String>) {
    let Ok(IpAddr::V6(parsed)) = given.parse::<IpAddr>() else { return };
    if let Some(short) = parsed.to_ipv4_mapped() {
        told.push(format!(
            "{at}: non-standard IP address {given:?} will be considered invalid in a future Kubernetes release: use {:?}",
            short.to_string()
        ));
    } else if parsed.to_string() != given {
        told.push(format!("{at}: IPv6 address {given:?} should be in RFC 5952 canonical format ({:?})", parsed.to_string()));
    }
}

/// A network with bits set behind its prefix, or not in its canonical form.
pub fn cidr(given: &str, at: &FieldPath, told: &mut Vec<String>) {
    let Some((address, bits)) = given.trim().split_once('/') else { return };
    let (Ok(address), Ok(bits)) = (address.parse::<IpAddr>(), bits.parse::<u8>()) else { return };
    let Some(network) = network(address, bits) else { return };
    if network != address {
        let (host, net) = (format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 }), format!("{network}/{bits}"));
        told.push(format!("{at}: CIDR value {given:?} is ambiguous in this context (should be {net:?} or {host:?}?)"));
    } else if format!("{address}/{bits}") != given && address.is_ipv6() {
        let canonical = format!("{address}/{bits}");
        told.push(format!("{at}: IPv6 CIDR value {given:?} should be in RFC 5952 canonical format ({canonical:?})"));
    }
}

/// The address with nothing behind its prefix.
fn network(address: IpAddr, bits: u8) -> Option<IpAddr> {
    Some(match address {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32_u32.checked_sub(bits.into())?).unwrap_or(0);
            IpAddr::V4((ip.to_bits() & mask).into())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128_u32.checked_sub(bits.into())?).unwrap_or(0);
            IpAddr::V6((ip.to_bits() & mask).into())
        }
    })
}
