//! Addresses and ports of Services. An allocation is a key of its own, written in the same commit as the Service: two
//! Services can never get the same one, and a crash leaves none behind.
//!
//! Addresses are IPAddress objects as upstream has them; node ports are keys below `allocations/nodeports/`.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use irori_api::{
    field::{FieldError, FieldPath, Wrong},
    row::Row,
};
use irori_rules::tree;
use irori_store::{Expect, Range, Write};
use serde_json::{Value, json};

use crate::{
    change, limits,
    refusal::{About, Answered, Refusal},
    server::{Cidr, Server},
    stored,
};

mod families;
mod ports;

const ADDRESSES: &str = "networking.k8s.io/ipaddresses/";
const NODE_PORTS: &str = "allocations/nodeports/";

/// What a Service holds: addresses and node ports.
#[derive(Debug, Default, PartialEq, Eq)]
struct Held {
    addresses: Vec<String>,
    ports: Vec<u16>,
}

/// Whether objects of the kind allocate anything.
pub fn concerns(row: &Row) -> bool {
    row.gvk.kind == "Service" && row.gvk.group.is_empty()
}

/// Fills in what a Service still needs, and says which keys the commit takes and gives back. Other kinds need nothing.
/// `dry_run`: nothing will be taken, so less has to be free.
pub async fn plan(
    server: &Server,
    row: &Row,
    old: Option<&Value>,
    mut new: Option<&mut Value>,
    dry_run: bool,
) -> Answered<Vec<Write>> {
    if !concerns(row) {
        return Ok(Vec::new());
    }
    let before = old.map(held).unwrap_or_default();
    if let Some(service) = new.as_deref_mut() {
        families::choose(server, service, old)?;
        addresses(server, service, &before, dry_run).await?;
        ports::choose(server, service, old, &before, dry_run).await?;
    }
    let after = new.as_deref().map(held).unwrap_or_default();
    let mut writes = Vec::new();
    if let Some(service) = new {
        for address in after.addresses.iter().filter(|a| !before.addresses.contains(a)) {
            let row = server.tables.resource("networking.k8s.io", "v1", "ipaddresses").ok_or_else(Refusal::no_such_path)?;
            let object = address_object(server, service, address);
            let value = Some(stored::encode(&object, &row.gvk));
            writes.push(Write { key: format!("{ADDRESSES}{address}").into(), expect: Expect::Absent, value });
        }
        for port in after.ports.iter().filter(|p| !before.ports.contains(p)) {
            let owner = json!({"namespace": change::text(service, "namespace"), "name": change::text(service, "name")});
            writes.push(Write {
                key: format!("{NODE_PORTS}{port}").into(),
                expect: Expect::Absent,
                value: Some(owner.to_string().into()),
            });
        }
    }
    let freed = before.addresses.iter().filter(|a| !after.addresses.contains(a)).map(|a| format!("{ADDRESSES}{a}"));
    let closed = before.ports.iter().filter(|p| !after.ports.contains(p)).map(|p| format!("{NODE_PORTS}{p}"));
    for key in freed.chain(closed) {
        if let Some(entry) = server.store.get(&key).await? {
            writes.push(Write { key: entry.key, expect: Expect::At(entry.revision), value: None });
        }
    }
    Ok(writes)
}

fn held(service: &Value) -> Held {
    let external = tree::text(service, &["spec", "type"]) == "ExternalName";
    let addresses = tree::items(service, &["spec", "clusterIPs"]).iter().filter_map(Value::as_str);
    let mut ports: Vec<u16> = tree::items(service, &["spec", "ports"])
        .iter()
        .filter_map(|p| tree::int(p, &["nodePort"]))
        .chain(tree::int(service, &["spec", "healthCheckNodePort"]))
        .filter_map(|p| u16::try_from(p).ok())
        .filter(|p| *p != 0)
        .collect();
    ports.sort_unstable();
    ports.dedup();
    if external {
        return Held::default();
    }
    Held { addresses: addresses.filter(|a| !a.is_empty() && *a != "None").map(str::to_owned).collect(), ports }
}

fn invalid(service: &Value, field: FieldPath, value: impl Into<Value>, why: impl Into<String>) -> Refusal {
    Refusal::invalid_field(about(service), FieldError::new(field, Wrong::Invalid, value, why))
}

fn about(service: &Value) -> About<'_> {
    About { group: "", resource: "Service", name: change::text(service, "name") }
}

fn family(cidr: &Cidr) -> &'static str {
    if cidr.address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// clusterIPs: one address of each family.
async fn addresses(server: &Server, service: &mut Value, before: &Held, dry_run: bool) -> Answered<()> {
    if tree::text(service, &["spec", "type"]) == "ExternalName" {
        return Ok(());
    }
    if tree::text(service, &["spec", "clusterIP"]) == "None" {
        tree::set(service, &["spec", "clusterIPs"], json!(["None"]));
        return Ok(());
    }
    let mut given: Vec<String> = tree::items(service, &["spec", "clusterIPs"])
        .iter()
        .filter_map(|a| a.as_str().map(str::to_owned))
        .filter(|a| !a.is_empty())
        .collect();
    let first = tree::text(service, &["spec", "clusterIP"]).to_owned();
    if given.is_empty() && !first.is_empty() {
        given.push(first);
    }
    let families: Vec<String> =
        tree::items(service, &["spec", "ipFamilies"]).iter().filter_map(|f| f.as_str().map(str::to_owned)).collect();
    // As a stock server shows what it was given: a place for each family.
    let mut shown = given.clone();
    shown.resize(families.len().max(given.len()), String::new());
    let mut out = Vec::new();
    for (index, wanted) in families.iter().enumerate() {
        let cidr = server.settings.service_cidrs.iter().find(|c| family(c) == wanted);
        let Some(cidr) = cidr else { continue };
        match given.get(index) {
            Some(address) => {
                if !before.addresses.contains(address)
                    && let Some(why) = unavailable(server, address, cidr, dry_run).await?
                {
                    let why = format!("failed to allocate IP {address}: {why}");
                    return Err(invalid(service, FieldPath::new("spec").child("clusterIPs"), json!(shown), why));
                }
                out.push(address.clone());
            }
            None => {
                // An address of this family that the Service already has stays.
                let kept =
                    before.addresses.iter().find(|a| a.parse::<IpAddr>().is_ok_and(|a| a.is_ipv4() == cidr.address.is_ipv4()));
                out.push(match kept {
                    Some(address) => address.clone(),
                    None => free_address(server, cidr).await?,
                });
            }
        }
    }
    tree::set(service, &["spec", "clusterIP"], out.first().cloned().unwrap_or_default());
    tree::set(service, &["spec", "clusterIPs"], out);
    Ok(())
}

/// Why a Service cannot have an address. A dry run asks the range alone, in other words.
async fn unavailable(server: &Server, address: &str, cidr: &Cidr, dry_run: bool) -> Answered<Option<String>> {
    let within = address.parse::<IpAddr>().ok().filter(|address| contains(cidr, *address));
    let Some(within) = within else {
        return Ok(Some(if dry_run {
            format!("the provided IP ({address}) is not in the valid range. The range of valid IPs is {cidr}")
        } else {
            "the provided network does not match the current range".to_owned()
        }));
    };
    let taken = !dry_run && server.store.get(&format!("{ADDRESSES}{within}")).await?.is_some();
    Ok(taken.then(|| "provided IP is already allocated".to_owned()))
}

/// A free address, chosen at random; where chance finds none, the range is walked.
async fn free_address(server: &Server, cidr: &Cidr) -> Answered<String> {
    let size = hosts(cidr);
    for _ in 0..limits::RANDOM_ALLOCATION_TRIES_MAX {
        // Upstream's dynamic allocation leaves the lower end of a range to addresses that people choose.
        let reserved = (size / 16).clamp(16, 256).min(size / 2);
        let random = u128::from_be_bytes(*uuid::Uuid::new_v4().as_bytes()) >> 64;
        let address = nth(cidr, reserved + random % (size - reserved).max(1));
        if server.store.get(&format!("{ADDRESSES}{address}")).await?.is_none() {
            return Ok(address.to_string());
        }
    }
    let taken = server.store.range(Range { prefix: ADDRESSES.to_owned(), ..Range::default() }).await?;
    let taken: std::collections::HashSet<&str> = taken.entries.iter().map(|e| &e.key[ADDRESSES.len()..]).collect();
    let free = (0..size.min(1 << 20)).map(|n| nth(cidr, n).to_string()).find(|a| !taken.contains(a.as_str()));
    free.ok_or_else(|| Refusal::internal("failed to allocate a serviceIP: range is full"))
}

/// How many addresses a Service may have: neither the network's own, nor the IPv4 broadcast.
fn hosts(cidr: &Cidr) -> u128 {
    let width: u8 = if cidr.address.is_ipv4() { 32 } else { 128 };
    let bits = u32::from(width.saturating_sub(cidr.bits)).min(64);
    let all = 1_u128 << bits;
    all.saturating_sub(if width == 32 { 2 } else { 1 }).max(1)
}

/// The `n`th address that a Service may have, from 0.
fn nth(cidr: &Cidr, n: u128) -> IpAddr {
    match cidr.address {
        IpAddr::V4(base) => IpAddr::V4(Ipv4Addr::from_bits(base.to_bits().wrapping_add(u32::try_from(n + 1).unwrap_or(1)))),
        IpAddr::V6(base) => IpAddr::V6(Ipv6Addr::from_bits(base.to_bits().wrapping_add(n + 1))),
    }
}

fn contains(cidr: &Cidr, address: IpAddr) -> bool {
    match (cidr.address, address) {
        (IpAddr::V4(base), IpAddr::V4(address)) => {
            let offset = address.to_bits().wrapping_sub(base.to_bits());
            offset > 0 && u128::from(offset) <= hosts(cidr)
        }
        (IpAddr::V6(base), IpAddr::V6(address)) => {
            let offset = address.to_bits().wrapping_sub(base.to_bits());
            offset > 0 && offset <= hosts(cidr)
        }
        _ => false,
    }
}

fn address_object(server: &Server, service: &Value, address: &str) -> Value {
    let family = if address.contains(':') { "IPv6" } else { "IPv4" };
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IPAddress",
        "metadata": {
            "name": address, "uid": uuid::Uuid::new_v4().to_string(), "creationTimestamp": change::now(server), "generation": 1,
            "labels": {"ipaddress.kubernetes.io/ip-family": family, "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"},
        },
        "spec": {"parentRef": {"resource": "services", "namespace": change::text(service, "namespace"), "name": change::text(service, "name")}},
    })
}
