//! Words of nft's JSON (libnftables-json(5)), as far as they are used here.
use std::net::IpAddr;

use serde_json::{Value, json};

use crate::Cidr;

fn ip(v6: bool) -> &'static str {
    if v6 { "ip6" } else { "ip" }
}

pub fn source(v6: bool) -> Value {
    json!({ "payload": { "protocol": ip(v6), "field": "saddr" } })
}

pub fn destination(v6: bool) -> Value {
    json!({ "payload": { "protocol": ip(v6), "field": "daddr" } })
}

pub fn destination_port() -> Value {
    json!({ "payload": { "protocol": "th", "field": "dport" } })
}

/// `l4proto`, `iifname`, `oifname`.
pub fn meta(key: &str) -> Value {
    json!({ "meta": { "key": key } })
}

pub fn concat(parts: Vec<Value>) -> Value {
    json!({ "concat": parts })
}

pub fn prefix(cidr: &Cidr) -> Value {
    json!({ "prefix": { "addr": cidr.network().to_string(), "len": cidr.length() } })
}

/// An unnamed set of ranges of one family.
pub fn prefixes<'a>(cidrs: impl IntoIterator<Item = &'a Cidr>) -> Value {
    json!({ "set": cidrs.into_iter().map(prefix).collect::<Vec<_>>() })
}

pub fn matches(op: &str, left: Value, right: impl Into<Value>) -> Value {
    json!({ "match": { "op": op, "left": left, "right": right.into() } })
}

pub fn equal(left: Value, right: impl Into<Value>) -> Value {
    matches("==", left, right)
}

pub fn unequal(left: Value, right: impl Into<Value>) -> Value {
    matches("!=", left, right)
}

pub fn verdict_map(key: Value, data: Value) -> Value {
    json!({ "vmap": { "key": key, "data": data } })
}

pub fn goto(chain: &str) -> Value {
    json!({ "goto": { "target": chain } })
}

pub fn jump(chain: &str) -> Value {
    json!({ "jump": { "target": chain } })
}

pub fn drop_packet() -> Value {
    json!({ "drop": null })
}

pub fn masquerade() -> Value {
    json!({ "masquerade": { "flags": "fully-random" } })
}

pub fn reject_with_reset() -> Value {
    json!({ "reject": { "type": "tcp reset" } })
}

/// An ICMP error such as `port-unreachable`, in the packet's own family.
pub fn reject(code: &str) -> Value {
    json!({ "reject": { "type": "icmpx", "expr": code } })
}

pub fn dnat(address: IpAddr, port: u16) -> Value {
    json!({ "dnat": { "family": ip(address.is_ipv6()), "addr": address.to_string(), "port": port } })
}
