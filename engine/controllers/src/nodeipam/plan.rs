//! Which ranges of pod addresses a node gets.
use std::{
    collections::HashSet,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A range of addresses, in its canonical form: no host bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    base: u128,
    bits: u8,
    v6: bool,
}

impl Cidr {
    const fn width(self) -> u32 {
        if self.v6 { 128 } else { 32 }
    }

    fn size(self) -> Option<u128> {
        1_u128.checked_shl(self.width() - u32::from(self.bits))
    }

    fn overlaps(self, other: Self) -> bool {
        let shift = self.width() - u32::from(self.bits.min(other.bits));
        let cut = |base: u128| base.checked_shr(shift).unwrap_or(0);
        self.v6 == other.v6 && cut(self.base) == cut(other.base)
    }

    /// The part number `index` of `bits` length; `None` beyond the end.
    fn part(self, bits: u8, index: u128) -> Option<Self> {
        let size = Self { bits, ..self }.size()?;
        let offset = size.checked_mul(index)?;
        let inside = self.size().is_none_or(|whole| offset < whole);
        inside.then(|| Self { base: self.base + offset, bits, v6: self.v6 })
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not an address range like 10.42.0.0/16");
        let (address, bits) = text.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits: u8 = bits.parse().map_err(|_| wrong())?;
        let (base, v6) = match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()), false),
            IpAddr::V6(address) => (address.to_bits(), true),
        };
        let cidr = Self { base, bits, v6 };
        if u32::from(bits) > cidr.width() {
            return Err(wrong());
        }
        let shift = cidr.width() - u32::from(bits);
        let base = base.checked_shr(shift).and_then(|cut| cut.checked_shl(shift)).unwrap_or(0);
        Ok(Self { base, ..cidr })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match u32::try_from(self.base) {
            Ok(base) if !self.v6 => write!(f, "{}/{}", Ipv4Addr::from_bits(base), self.bits),
            _ => write!(f, "{}/{}", Ipv6Addr::from_bits(self.base), self.bits),
        }
    }
}

/// A range that all pods' addresses come from, and how long the prefix of each node's part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    pub cidr: Cidr,
    pub node_bits: u8,
}

/// The first free part of each pool; `None`: a pool has no part left. `taken` are the ranges of all other nodes.
pub fn plan(pools: &[Pool], taken: &[Cidr]) -> Option<Vec<Cidr>> {
    pools.iter().map(|pool| free_part(pool, taken)).collect()
}

fn free_part(pool: &Pool, taken: &[Cidr]) -> Option<Cidr> {
    // Parts of the usual size are looked up; ranges of another size (a foreign hand) are compared.
    let usual: HashSet<Cidr> = taken.iter().copied().filter(|cidr| cidr.bits == pool.node_bits).collect();
    let unusual: Vec<Cidr> = taken.iter().copied().filter(|cidr| cidr.bits != pool.node_bits).collect();
    let parts = (0..).map_while(|index| pool.cidr.part(pool.node_bits, index));
    let mut free = parts.filter(|part| !usual.contains(part) && !unusual.iter().any(|other| other.overlaps(*part)));
    free.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    fn text(plan: Option<Vec<Cidr>>) -> Option<Vec<String>> {
        plan.map(|cidrs| cidrs.iter().map(Cidr::to_string).collect())
    }

    #[test]
    fn each_node_gets_the_first_free_part_of_each_family() {
        let pools =
            [Pool { cidr: cidr("10.42.0.0/16"), node_bits: 24 }, Pool { cidr: cidr("fd12:3456:789a:bc00::/56"), node_bits: 64 }];
        assert_eq!(text(plan(&pools, &[])).unwrap(), ["10.42.0.0/24", "fd12:3456:789a:bc00::/64"]);
        let taken = [cidr("10.42.0.0/24"), cidr("fd12:3456:789a:bc00::/64"), cidr("10.42.2.0/24")];
        assert_eq!(text(plan(&pools, &taken)).unwrap(), ["10.42.1.0/24", "fd12:3456:789a:bc01::/64"]);
    }

    #[test]
    fn ranges_of_other_sizes_are_kept_clear_of() {
        let pools = [Pool { cidr: cidr("10.42.0.0/16"), node_bits: 24 }];
        assert_eq!(text(plan(&pools, &[cidr("10.42.0.0/22")])).unwrap(), ["10.42.4.0/24"]);
        assert_eq!(text(plan(&pools, &[cidr("10.42.0.128/25")])).unwrap(), ["10.42.1.0/24"]);
        assert_eq!(plan(&pools, &[cidr("10.0.0.0/8")]), None);
        assert_eq!(text(plan(&pools, &[cidr("0.0.0.0/0"), cidr("::/0")])), None);
    }

    #[test]
    fn an_empty_pool_is_no_range() {
        let pools = [Pool { cidr: cidr("10.42.0.0/23"), node_bits: 24 }];
        assert!(plan(&pools, &[cidr("10.42.0.0/24"), cidr("10.42.1.0/24")]).is_none());
    }

    #[test]
    fn ranges_are_read_in_canonical_form_and_nonsense_is_refused() {
        assert_eq!(cidr("10.42.7.9/16").to_string(), "10.42.0.0/16");
        assert_eq!(cidr("::/0").to_string(), "::/0");
        for wrong in ["10.42.0.0", "10.42.0.0/33", "x/8", "::/129", "/"] {
            assert!(wrong.parse::<Cidr>().unwrap_err().contains(wrong));
        }
    }
}
