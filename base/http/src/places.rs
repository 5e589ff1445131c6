//! Places for connections: so many in all, and of one address no more than its share.
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex},
};

/// Counts the connections of each address.
#[derive(Clone, Default)]
pub struct Places(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A place, given back when dropped.
pub struct Place {
    places: Places,
    of: Option<IpAddr>,
}

impl Places {
    /// A place for a connection from an address, unless it has `max` already. This machine's own processes have no share.
    pub fn take(&self, address: IpAddr, max: usize) -> Option<Place> {
        let address = host(address);
        if address.is_loopback() {
            return Some(Place { places: self.clone(), of: None });
        }
        let mut held = self.0.lock().expect("no holder of this lock panics");
        let count = held.entry(address).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Place { places: self.clone(), of: Some(address) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(address) = self.of else { return };
        let mut held = self.places.0.lock().expect("no holder of this lock panics");
        if let Some(count) = held.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                held.remove(&address);
            }
        }
    }
}

/// One host: an IPv4 address, or the /64 in which an IPv6 host takes as many addresses as it likes.
fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX))),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_no_more() {
        let places = Places::default();
        let take = |address: &str| places.take(address.parse().expect("an address"), 2);
        let (first, _second) = (take("192.0.2.1"), take("::ffff:192.0.2.1"));
        assert!(take("192.0.2.1").is_none());
        assert!(take("192.0.2.2").is_some(), "others have theirs");
        drop(first);
        assert!(take("192.0.2.1").is_some(), "a place that was given back is free");
        let _one_network = (take("2001:db8::1"), take("2001:db8::2"));
        assert!(take("2001:db8::3").is_none());
        let _own = (take("127.0.0.1"), take("127.0.0.1"));
        assert!(take("127.0.0.1").is_some());
    }
}
