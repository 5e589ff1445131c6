//! UDP connections that the kernel still translates to where they should not go.
//!
//! The kernel asks the rules once for each connection and then remembers. TCP clients notice the end of an endpoint; UDP clients
//! would go on sending to it for as long as they send.
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use crate::{
    netlink::conntrack::Connection,
    nft::ruleset::{Protocol, Ruleset},
};

/// Which of these connections to forget after the change from `old` to `new`.
pub fn stale<'a>(old: &Ruleset, new: &Ruleset, connections: &'a [Connection]) -> Vec<&'a Connection> {
    let (before, now) = (frontends(old), frontends(new));
    let (ports_before, ports_now) = (node_ports(old), node_ports(new));
    let is_stale = |connection: &&Connection| {
        let (Some(to), Some(answers)) = (connection.to, connection.answers) else { return false };
        if before.contains_key(&to) || now.contains_key(&to) {
            return !now.get(&to).is_some_and(|endpoints| endpoints.contains(&answers));
        }
        let at = (to.is_ipv6(), to.port());
        let was = ports_before.get(&at).is_some_and(|endpoints| endpoints.contains(&answers));
        was && to != answers && !ports_now.get(&at).is_some_and(|endpoints| endpoints.contains(&answers))
    };
    connections.iter().filter(|connection| connection.udp).filter(is_stale).collect()
}

/// Whether anything about UDP changed, so that connections have to be looked at.
pub fn udp_changed(old: &Ruleset, new: &Ruleset) -> bool {
    frontends(old) != frontends(new) || node_ports(old) != node_ports(new)
}

fn frontends(ruleset: &Ruleset) -> BTreeMap<SocketAddr, BTreeSet<SocketAddr>> {
    let udp = ruleset.services.iter().filter(|(frontend, _)| frontend.protocol == Protocol::Udp);
    udp.map(|(frontend, chain)| (SocketAddr::new(frontend.address, frontend.port), ruleset.endpoints(chain))).collect()
}

fn node_ports(ruleset: &Ruleset) -> BTreeMap<(bool, u16), BTreeSet<SocketAddr>> {
    let udp = ruleset.node_ports.iter().filter(|(at, _)| at.protocol == Protocol::Udp);
    udp.map(|(at, chain)| ((at.v6, at.port), ruleset.endpoints(chain))).collect()
}
