//! What a node's table always has: ways into the Services' chains, masquerading, and what is turned away.
//!
//! Nothing here accepts: a packet that another table drops stays dropped, and one that we do not turn away is others' to judge.
use serde_json::{Value, json};

use super::expression::{
    concat, destination, destination_port, drop_packet, equal, jump, masquerade, matches, meta, prefixes, reject,
    reject_with_reset, source, unequal, verdict_map,
};
use crate::{Cidr, Settings};

/// ClusterIPs and other addresses of Services: address . protocol . port -> chain.
pub const SERVICES: [&str; 2] = ["services4", "services6"];
/// Node ports: protocol . port -> chain, by family.
pub const NODE_PORTS: [&str; 2] = ["node-ports4", "node-ports6"];
/// Endpoints that may meet themselves through a Service: address . the same address.
pub const HAIRPIN: [&str; 2] = ["hairpin4", "hairpin6"];

const DISPATCH: &str = "services";

/// Commands that bring the table's base into being, or back to this, and leave what Services added as it is.
pub fn commands(settings: &Settings) -> Vec<Value> {
    let table = settings.instance.table();
    let mut commands = vec![json!({ "add": { "table": { "family": "inet", "name": table } } })];
    for (name, chain_type, hook, priority) in HOOKS {
        commands.push(json!({ "add": { "chain": {
            "family": "inet", "table": table, "name": name, "type": chain_type, "hook": hook, "prio": priority, "policy": "accept",
        } } }));
    }
    commands.push(json!({ "add": { "chain": { "family": "inet", "table": table, "name": DISPATCH } } }));
    for (family, address) in ["ipv4_addr", "ipv6_addr"].iter().enumerate() {
        let map = |name: &str, kind: Value| json!({ "add": { "map": { "family": "inet", "table": table, "name": name, "type": kind, "map": "verdict" } } });
        commands.push(map(SERVICES[family], json!([address, "inet_proto", "inet_service"])));
        commands.push(map(NODE_PORTS[family], json!(["inet_proto", "inet_service"])));
        commands.push(json!({ "add": { "set": {
            "family": "inet", "table": table, "name": HAIRPIN[family], "type": [address, address],
        } } }));
    }
    for chain in HOOKS.iter().map(|hook| hook.0).chain([DISPATCH]) {
        commands.push(json!({ "flush": { "chain": { "family": "inet", "table": table, "name": chain } } }));
    }
    commands.extend(
        rules(settings).into_iter().map(
            |(chain, expr)| json!({ "add": { "rule": { "family": "inet", "table": table, "chain": chain, "expr": expr } } }),
        ),
    );
    commands
}

/// Name, type, hook, priority.
const HOOKS: [(&str, &str, &str, i32); 6] = [
    ("source-check", "filter", "prerouting", -300),
    ("nat-prerouting", "nat", "prerouting", -100),
    ("nat-output", "nat", "output", -100),
    ("nat-postrouting", "nat", "postrouting", 100),
    ("filter-forward", "filter", "forward", 0),
    ("filter-output", "filter", "output", 0),
];

fn rules(settings: &Settings) -> Vec<(&'static str, Vec<Value>)> {
    let pods = settings.instance.pod_link_pattern();
    let no_way_back = json!({ "fib": { "result": "oif", "flags": ["saddr", "iif"] } });
    let invalid = matches("in", json!({ "ct": { "key": "state" } }), "invalid");
    let mut rules = vec![
        // A pod speaks with its own address only.
        ("source-check", vec![equal(meta("iifname"), pods.as_str()), equal(no_way_back, false), drop_packet()]),
        ("nat-prerouting", vec![jump(DISPATCH)]),
        ("nat-output", vec![jump(DISPATCH)]),
        // A late packet that belongs to no connection would leave with the pod's own address and reset the peer's.
        ("filter-forward", vec![equal(meta("iifname"), pods.as_str()), invalid, drop_packet()]),
    ];
    for v6 in [false, true] {
        rules.extend(dispatch(v6).into_iter().map(|expr| (DISPATCH, expr)));
        let pair = concat(vec![source(v6), destination(v6)]);
        rules.push(("nat-postrouting", vec![equal(pair, format!("@{}", HAIRPIN[usize::from(v6)])), masquerade()]));
        rules.extend(leaving(settings, v6).into_iter().map(|expr| ("nat-postrouting", expr)));
    }
    for chain in ["filter-forward", "filter-output"] {
        rules.extend(turned_away(settings).into_iter().map(|expr| (chain, expr)));
    }
    rules
}

/// From the addressed Service to its chain.
fn dispatch(v6: bool) -> Vec<Vec<Value>> {
    let family = usize::from(v6);
    let service = concat(vec![destination(v6), meta("l4proto"), destination_port()]);
    let port = concat(vec![meta("l4proto"), destination_port()]);
    let local = equal(json!({ "fib": { "result": "type", "flags": ["daddr"] } }), "local");
    let loopback: Cidr = if v6 { "::1/128" } else { "127.0.0.0/8" }.parse().expect("a range");
    let not_loopback = unequal(destination(v6), super::expression::prefix(&loopback));
    vec![
        vec![verdict_map(service, json!(format!("@{}", SERVICES[family])))],
        vec![not_loopback, local, verdict_map(port, json!(format!("@{}", NODE_PORTS[family])))],
    ]
}

/// What takes the node's address on leaving: pods to the outside, and outsiders to a pod on another node (its answer must come
/// back through here).
fn leaving(settings: &Settings, v6: bool) -> Vec<Vec<Value>> {
    let of_family = |cidrs: &[Cidr]| cidrs.iter().copied().filter(|c| c.is_v6() == v6).collect::<Vec<_>>();
    let (own, mut cluster) = (of_family(&settings.pod_cidrs), of_family(&settings.cluster_cidrs));
    if own.is_empty() {
        return Vec::new();
    }
    if cluster.is_empty() {
        cluster.clone_from(&own);
    }
    let to_uplink = || unequal(meta("oifname"), format!("ir{}*", settings.instance));
    let translated = matches("in", json!({ "ct": { "key": "status" } }), "dnat");
    vec![
        vec![equal(source(v6), prefixes(&own)), unequal(destination(v6), prefixes(&cluster)), to_uplink(), masquerade()],
        vec![
            unequal(source(v6), prefixes(&cluster)),
            equal(destination(v6), prefixes(&cluster)),
            to_uplink(),
            translated,
            masquerade(),
        ],
    ]
}

/// What is answered with an error at once: a Service address that no chain took.
fn turned_away(settings: &Settings) -> Vec<Vec<Value>> {
    let mut rules = Vec::new();
    for v6 in [false, true] {
        let services: Vec<Cidr> = settings.service_cidrs.iter().copied().filter(|c| c.is_v6() == v6).collect();
        if services.is_empty() {
            continue;
        }
        let addressed = || equal(destination(v6), prefixes(&services));
        rules.push(vec![addressed(), equal(meta("l4proto"), "tcp"), reject_with_reset()]);
        rules.push(vec![addressed(), reject("port-unreachable")]);
    }
    rules
}
