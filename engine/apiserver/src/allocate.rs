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
pub async fn plan(server: &Server, row: &Row, old: Option<&Value>, mut new: Option<&mut Value>) -> Answered<Vec<Write>> {
    if !concerns(row) {
        return Ok(Vec::new());
    }
    let before = old.map(held).unwrap_or_default();
    if let Some(service) = new.as_deref_mut() {
        families(server, service, old)?;
        addresses(server, service, &before).await?;
        ports(server, service, &before).await?;
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

fn invalid(service: &Value, field: &str, value: impl Into<Value>, why: impl Into<String>) -> Refusal {
    let error = FieldError::new(FieldPath::new(field), Wrong::Invalid, value, why);
    Refusal::invalid_field(About { group: "", resource: "Service", name: change::text(service, "name") }, error)
}

fn family(cidr: &Cidr) -> &'static str {
    if cidr.address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// ipFamilyPolicy and ipFamilies, from what the Service says and what the cluster has.
fn families(server: &Server, service: &mut Value, old: Option<&Value>) -> Answered<()> {
    let spec = |service: &Value, key: &str| tree::text(service, &["spec", key]).to_owned();
    if spec(service, "type") == "ExternalName" {
        for key in ["ipFamilyPolicy", "ipFamilies", "clusterIP", "clusterIPs"] {
            tree::remove(service, &["spec", key]);
        }
        return Ok(());
    }
    let cluster: Vec<&str> = server.settings.service_cidrs.iter().map(family).collect();
    let headless = spec(service, "clusterIP") == "None";
    let has_selector = tree::map(service, &["spec", "selector"]).is_some_and(|s| !s.is_empty());
    let mut wanted: Vec<String> =
        tree::items(service, &["spec", "ipFamilies"]).iter().filter_map(|f| f.as_str().map(str::to_owned)).collect();
    let given: Vec<String> = tree::items(service, &["spec", "clusterIPs"])
        .iter()
        .filter_map(Value::as_str)
        .filter_map(|a| a.parse::<IpAddr>().ok())
        .map(|a| if a.is_ipv4() { "IPv4".to_owned() } else { "IPv6".to_owned() })
        .collect();
    for family in given {
        if !wanted.contains(&family) {
            wanted.push(family);
        }
    }
    let mut policy = spec(service, "ipFamilyPolicy");
    if policy.is_empty() {
        policy = match () {
            () if headless && !has_selector && old.is_none() => "RequireDualStack",
            () if wanted.len() > 1 => "RequireDualStack",
            () => "SingleStack",
        }
        .to_owned();
    }
    if headless && !has_selector {
        // Nobody allocates for it: it may speak of both families wherever it runs.
        let both = if policy == "SingleStack" { 1 } else { 2 };
        for family in cluster.iter().copied().chain(["IPv4", "IPv6"]) {
            if wanted.len() < both && !wanted.iter().any(|w| w == family) {
                wanted.push(family.to_owned());
            }
        }
    } else {
        if let Some(strange) = wanted.iter().find(|w| !cluster.contains(&w.as_str())) {
            let index = wanted.iter().position(|w| w == strange).unwrap_or(0);
            let field = FieldPath::new("spec").child("ipFamilies").index(index);
            let error = FieldError::new(field, Wrong::Invalid, strange.clone(), "not configured on this cluster");
            return Err(Refusal::invalid_field(
                About { group: "", resource: "Service", name: change::text(service, "name") },
                error,
            ));
        }
        let count = match policy.as_str() {
            "RequireDualStack" if cluster.len() < 2 => {
                let why = "this cluster is not configured for dual-stack services";
                return Err(invalid(service, "spec.ipFamilyPolicy", "RequireDualStack", why));
            }
            "RequireDualStack" | "PreferDualStack" => cluster.len(),
            _ => 1,
        };
        for family in &cluster {
            if wanted.len() < count && !wanted.iter().any(|w| w == family) {
                wanted.push((*family).to_owned());
            }
        }
        wanted.truncate(count);
    }
    tree::set(service, &["spec", "ipFamilyPolicy"], policy);
    tree::set(service, &["spec", "ipFamilies"], wanted);
    Ok(())
}

/// clusterIPs: one address of each family.
async fn addresses(server: &Server, service: &mut Value, before: &Held) -> Answered<()> {
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
    let mut out = Vec::new();
    for (index, wanted) in families.iter().enumerate() {
        let cidr = server.settings.service_cidrs.iter().find(|c| family(c) == wanted);
        let Some(cidr) = cidr else { continue };
        match given.get(index) {
            Some(address) => {
                check_address(server, service, index, address, cidr, before).await?;
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

async fn check_address(
    server: &Server,
    service: &Value,
    index: usize,
    address: &str,
    cidr: &Cidr,
    before: &Held,
) -> Answered<()> {
    if before.addresses.iter().any(|a| a == address) {
        return Ok(());
    }
    let refuse = |why: String| {
        Err(invalid(service, "spec.clusterIPs", json!([address]), format!("failed to allocate IP {address}: {why}")))
    };
    let Ok(parsed) = address.parse::<IpAddr>() else {
        let field = format!("spec.clusterIPs[{index}]");
        return Err(invalid(service, &field, address, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"));
    };
    if !contains(cidr, parsed) {
        return refuse(format!("the provided IP ({address}) is not in the valid range. The range of valid IPs is {cidr}"));
    }
    if server.store.get(&format!("{ADDRESSES}{parsed}")).await?.is_some() {
        return refuse("provided IP is already allocated".to_owned());
    }
    Ok(())
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

/// Node ports, and the health check port of a LoadBalancer with local traffic policy.
async fn ports(server: &Server, service: &mut Value, before: &Held) -> Answered<()> {
    let kind = tree::text(service, &["spec", "type"]).to_owned();
    let balancer = kind == "LoadBalancer";
    let needs = kind == "NodePort"
        || (balancer && tree::get(service, &["spec", "allocateLoadBalancerNodePorts"]).and_then(Value::as_bool) != Some(false));
    let local = balancer && tree::text(service, &["spec", "externalTrafficPolicy"]) == "Local";
    if kind != "NodePort" && !balancer {
        for port in tree::items_mut(service, &["spec", "ports"]) {
            tree::remove(port, &["nodePort"]);
        }
    }
    if !local {
        tree::remove(service, &["spec", "healthCheckNodePort"]);
    }
    let count = tree::items(service, &["spec", "ports"]).len();
    let mut chosen: Vec<(i64, u16)> = Vec::new();
    for index in 0..count {
        let port = &tree::items(service, &["spec", "ports"])[index];
        let number = tree::int(port, &["port"]).unwrap_or(0);
        let given = tree::int(port, &["nodePort"]).and_then(|p| u16::try_from(p).ok()).unwrap_or(0);
        if given != 0 {
            let field = format!("spec.ports[{index}].nodePort");
            check_port(server, service, &field, given, before, &chosen).await?;
            chosen.push((number, given));
        } else if needs {
            // TCP and UDP of one port share their node port.
            let shared = chosen.iter().find(|(of, _)| *of == number).map(|(_, p)| *p);
            let port = match shared {
                Some(port) => port,
                None => free_port(server, &chosen).await?,
            };
            chosen.push((number, port));
            tree::set(&mut tree::items_mut(service, &["spec", "ports"])[index], &["nodePort"], port);
        }
    }
    if local {
        match tree::int(service, &["spec", "healthCheckNodePort"]).and_then(|p| u16::try_from(p).ok()).unwrap_or(0) {
            0 => {
                let port = free_port(server, &chosen).await?;
                tree::set(service, &["spec", "healthCheckNodePort"], port);
            }
            given => check_port(server, service, "spec.healthCheckNodePort", given, before, &[]).await?,
        }
    }
    Ok(())
}

async fn check_port(
    server: &Server,
    service: &Value,
    field: &str,
    port: u16,
    before: &Held,
    chosen: &[(i64, u16)],
) -> Answered<()> {
    if before.ports.contains(&port) || chosen.iter().any(|(_, p)| *p == port) {
        return Ok(());
    }
    let (low, high) = server.settings.node_ports;
    let refuse = |why: String| Err(invalid(service, field, port, why));
    if port < low || port > high {
        return refuse(format!("provided port is not in the valid range. The range of valid ports is {low}-{high}"));
    }
    if server.store.get(&format!("{NODE_PORTS}{port}")).await?.is_some() {
        return refuse("provided port is already allocated".to_owned());
    }
    Ok(())
}

async fn free_port(server: &Server, chosen: &[(i64, u16)]) -> Answered<u16> {
    let (low, high) = server.settings.node_ports;
    let size = u32::from(high.saturating_sub(low)) + 1;
    let free_of = |port: &u16| !chosen.iter().any(|(_, p)| p == port);
    for _ in 0..limits::RANDOM_ALLOCATION_TRIES_MAX {
        let random = u32::try_from(uuid::Uuid::new_v4().as_u128() >> 96).unwrap_or(0);
        let port = low + u16::try_from(random % size).unwrap_or(0);
        if free_of(&port) && server.store.get(&format!("{NODE_PORTS}{port}")).await?.is_none() {
            return Ok(port);
        }
    }
    let taken = server.store.range(Range { prefix: NODE_PORTS.to_owned(), ..Range::default() }).await?;
    let taken: std::collections::HashSet<&str> = taken.entries.iter().map(|e| &e.key[NODE_PORTS.len()..]).collect();
    (low..=high)
        .filter(free_of)
        .find(|p| !taken.contains(p.to_string().as_str()))
        .ok_or_else(|| Refusal::internal("failed to allocate a nodePort: range is full"))
}
