//! What Services add to the table: chains, maps and sets as data, and the commands that lead from one state to another.
//!
//! Invariant: the commands of one difference are one transaction, ordered so that nothing is named before it is there or
//! removed while it is named.
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use serde_json::{Value, json};

use super::{
    base::{HAIRPIN, NODE_PORTS, SERVICES},
    expression::{concat, dnat, equal, goto, meta, source, verdict_map},
};

/// Clients that one endpoint remembers for session affinity. Above this a new client is spread as if there were none.
const AFFINITY_CLIENTS_MAX: u32 = 65_535;

/// A transport protocol that Services are served on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    /// nft's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// Where a Service is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Frontend {
    pub address: IpAddr,
    pub protocol: Protocol,
    pub port: u16,
}

/// Where a Service is reached on every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodePort {
    pub v6: bool,
    pub protocol: Protocol,
    pub port: u16,
}

/// A rule of a Service's or an endpoint's chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A client that the set remembers goes to the chain.
    Stick { set: String, v6: bool, chain: String },
    /// The rest is spread over the chains at random.
    Spread(Vec<String>),
    /// The client is remembered in the set, or its time there begins anew.
    Remember { set: String, v6: bool, seconds: u32 },
    /// The packet goes to the endpoint.
    Translate { protocol: Protocol, to: SocketAddr },
}

/// Clients of one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Affinity {
    pub v6: bool,
    pub seconds: u32,
}

/// All that Services add.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    pub chains: BTreeMap<String, Vec<Rule>>,
    pub services: BTreeMap<Frontend, String>,
    pub node_ports: BTreeMap<NodePort, String>,
    pub affinities: BTreeMap<String, Affinity>,
    /// Endpoints that are pods, which may be their own clients.
    pub hairpin: BTreeSet<IpAddr>,
}

impl Ruleset {
    /// The endpoints that a chain leads to.
    pub fn endpoints(&self, chain: &str) -> BTreeSet<SocketAddr> {
        let rules = |name: &str| self.chains.get(name).into_iter().flatten();
        let spread = rules(chain).filter_map(|rule| match rule {
            Rule::Spread(chains) => Some(chains),
            _ => None,
        });
        let translated = |name: &String| {
            rules(name).find_map(|rule| match rule {
                Rule::Translate { to, .. } => Some(*to),
                _ => None,
            })
        };
        spread.flatten().filter_map(translated).collect()
    }

    /// Commands for a table that holds nothing of Services.
    pub fn commands(&self, table: &str) -> Vec<Value> {
        difference(table, &Self::default(), self)
    }
}

/// Commands that turn `old` into `new`; none if they are the same.
pub fn difference(table: &str, old: &Ruleset, new: &Ruleset) -> Vec<Value> {
    let words = Words { table };
    let mut commands = Vec::new();
    for (name, affinity) in new.affinities.iter().filter(|(name, _)| !old.affinities.contains_key(*name)) {
        commands.push(words.affinity(name, *affinity));
    }
    let added = |name: &&String| !old.chains.contains_key(*name);
    commands.extend(new.chains.keys().filter(added).map(|name| words.chain("add", name)));
    for (name, rules) in new.chains.iter().filter(|(name, rules)| old.chains.get(*name) != Some(rules)) {
        if old.chains.contains_key(name) {
            commands.push(words.chain("flush", name));
        }
        commands.extend(rules.iter().map(|rule| words.rule(name, rule)));
    }
    words.map_difference(&mut commands, &old.services, &new.services, service_key);
    words.map_difference(&mut commands, &old.node_ports, &new.node_ports, node_port_key);
    words.hairpin(&mut commands, "delete", old.hairpin.difference(&new.hairpin));
    words.hairpin(&mut commands, "add", new.hairpin.difference(&old.hairpin));
    let removed: Vec<&String> = old.chains.keys().filter(|name| !new.chains.contains_key(*name)).collect();
    commands.extend(removed.iter().map(|name| words.chain("flush", name)));
    commands.extend(removed.iter().map(|name| words.chain("delete", name)));
    for name in old.affinities.keys().filter(|name| !new.affinities.contains_key(*name)) {
        commands.push(json!({ "delete": { "set": { "family": "inet", "table": table, "name": name } } }));
    }
    commands
}

/// The map and the key of a frontend.
fn service_key(frontend: &Frontend) -> (&'static str, Value) {
    let key = concat(vec![json!(frontend.address.to_string()), json!(frontend.protocol.name()), json!(frontend.port)]);
    (SERVICES[usize::from(frontend.address.is_ipv6())], key)
}

fn node_port_key(node_port: &NodePort) -> (&'static str, Value) {
    let key = concat(vec![json!(node_port.protocol.name()), json!(node_port.port)]);
    (NODE_PORTS[usize::from(node_port.v6)], key)
}

struct Words<'a> {
    table: &'a str,
}

impl Words<'_> {
    fn chain(&self, verb: &str, name: &str) -> Value {
        json!({ verb: { "chain": { "family": "inet", "table": self.table, "name": name } } })
    }

    fn affinity(&self, name: &str, affinity: Affinity) -> Value {
        let kind = if affinity.v6 { "ipv6_addr" } else { "ipv4_addr" };
        json!({ "add": { "set": {
            "family": "inet", "table": self.table, "name": name, "type": kind,
            "size": AFFINITY_CLIENTS_MAX, "flags": ["timeout"], "timeout": affinity.seconds,
        } } })
    }

    fn rule(&self, chain: &str, rule: &Rule) -> Value {
        let expr = match rule {
            Rule::Stick { set, v6, chain } => vec![equal(source(*v6), format!("@{set}")), goto(chain)],
            Rule::Spread(chains) => {
                let die = json!({ "numgen": { "mode": "random", "mod": chains.len(), "offset": 0 } });
                let faces: Vec<Value> = chains.iter().enumerate().map(|(n, chain)| json!([n, goto(chain)])).collect();
                vec![verdict_map(die, json!({ "set": faces }))]
            }
            Rule::Remember { set, v6, seconds } => {
                let client = json!({ "elem": { "val": source(*v6), "timeout": seconds } });
                vec![json!({ "set": { "op": "update", "elem": client, "set": format!("@{set}") } })]
            }
            Rule::Translate { protocol, to } => {
                vec![equal(meta("l4proto"), protocol.name()), dnat(to.ip(), to.port())]
            }
        };
        json!({ "add": { "rule": { "family": "inet", "table": self.table, "chain": chain, "expr": expr } } })
    }

    fn element(&self, verb: &str, name: &str, elements: Vec<Value>) -> Value {
        json!({ verb: { "element": { "family": "inet", "table": self.table, "name": name, "elem": elements } } })
    }

    fn map_difference<K: Ord>(
        &self,
        commands: &mut Vec<Value>,
        old: &BTreeMap<K, String>,
        new: &BTreeMap<K, String>,
        key: fn(&K) -> (&'static str, Value),
    ) {
        for (at, _) in old.iter().filter(|(at, chain)| new.get(*at) != Some(chain)) {
            let (map, key) = key(at);
            commands.push(self.element("delete", map, vec![key]));
        }
        for (at, chain) in new.iter().filter(|(at, chain)| old.get(*at) != Some(chain)) {
            let (map, key) = key(at);
            commands.push(self.element("add", map, vec![json!([key, goto(chain)])]));
        }
    }

    fn hairpin<'b>(&self, commands: &mut Vec<Value>, verb: &str, addresses: impl Iterator<Item = &'b IpAddr>) {
        for address in addresses {
            let pair = concat(vec![json!(address.to_string()), json!(address.to_string())]);
            commands.push(self.element(verb, HAIRPIN[usize::from(address.is_ipv6())], vec![pair]));
        }
    }
}
