//! Node ports, and the health check port of a LoadBalancer with local traffic policy.
//!
//! <https://kubernetes.io/docs/concepts/services-networking/service/#type-nodeport>
use std::collections::{HashMap, HashSet};

use irori_api::field::FieldPath;
use irori_rules::tree;
use irori_store::Range;
use serde_json::Value;

use super::{Held, NODE_PORTS, invalid};
use crate::{
    limits,
    refusal::{Answered, Refusal},
    server::Server,
};

/// Ports taken by one request.
struct Taking<'a> {
    server: &'a Server,
    before: &'a Held,
    taken: HashSet<i64>,
    /// Nothing is taken in the end: only what others have is in the way, not the range.
    dry_run: bool,
}

pub async fn choose(server: &Server, service: &mut Value, old: Option<&Value>, before: &Held, dry_run: bool) -> Answered<()> {
    let kind = tree::text(service, &["spec", "type"]).to_owned();
    let balancer = kind == "LoadBalancer";
    let gives = kind == "NodePort"
        || (balancer && tree::get(service, &["spec", "allocateLoadBalancerNodePorts"]).and_then(Value::as_bool) != Some(false));
    let local = balancer && tree::text(service, &["spec", "externalTrafficPolicy"]) == "Local";
    let mut taking = Taking { server, before, taken: HashSet::new(), dry_run };
    if kind == "NodePort" || balancer {
        node_ports(service, old.is_none(), gives, &mut taking).await?;
    } else {
        for port in tree::items_mut(service, &["spec", "ports"]) {
            tree::remove(port, &["nodePort"]);
        }
    }
    if !local {
        tree::remove(service, &["spec", "healthCheckNodePort"]);
        return Ok(());
    }
    match tree::int(service, &["spec", "healthCheckNodePort"]).unwrap_or(0) {
        0 => {
            let port = taking.free().await?;
            tree::set(service, &["spec", "healthCheckNodePort"], port);
        }
        given => {
            if let Some(why) = taking.take(given).await? {
                return Err(Refusal::internal(format!("failed to allocate requested HealthCheck NodePort {given}: {why}")));
            }
        }
    }
    Ok(())
}

/// A new Service's ports of one number share a node port (TCP and UDP); those of others cannot have the same.
async fn node_ports(service: &mut Value, fresh: bool, gives: bool, taking: &mut Taking<'_>) -> Answered<()> {
    let number = |port: &Value, field: &str| tree::int(port, &[field]).unwrap_or(0);
    let ports = tree::items(service, &["spec", "ports"]);
    let mut asked: HashMap<i64, i64> = HashMap::new();
    if fresh {
        for port in ports.iter().filter(|port| number(port, "nodePort") != 0) {
            asked.entry(number(port, "port")).or_insert(number(port, "nodePort"));
        }
    }
    let mut of: HashMap<i64, i64> = HashMap::new();
    for index in 0..ports.len() {
        let port = &tree::items(service, &["spec", "ports"])[index];
        let (own, given) = (number(port, "port"), number(port, "nodePort"));
        if given == 0 && !gives {
            continue;
        }
        let shared = of.get(&own).copied().filter(|_| fresh);
        let wanted = match (given, shared) {
            (0, Some(shared)) => shared,
            (0, None) => asked.get(&own).copied().unwrap_or(0),
            (given, _) => given,
        };
        let chosen = if wanted == 0 {
            i64::from(taking.free().await?)
        } else {
            let again = shared == Some(wanted) || (!fresh && taking.taken.contains(&wanted));
            if !again && let Some(why) = taking.take(wanted).await? {
                let at = FieldPath::new("spec").child("ports").index(index).child("nodePort");
                return Err(invalid(service, at, wanted, why));
            }
            wanted
        };
        of.entry(own).or_insert(chosen);
        tree::set(&mut tree::items_mut(service, &["spec", "ports"])[index], &["nodePort"], chosen);
    }
    Ok(())
}

impl Taking<'_> {
    /// Takes a port that was asked for, or says why it cannot be had.
    async fn take(&mut self, port: i64) -> Answered<Option<String>> {
        if u16::try_from(port).is_ok_and(|port| self.before.ports.contains(&port)) {
            self.taken.insert(port);
            return Ok(None);
        }
        let (low, high) = self.server.settings.node_ports;
        if !self.dry_run && !(i64::from(low)..=i64::from(high)).contains(&port) {
            return Ok(Some(format!("provided port is not in the valid range. The range of valid ports is {low}-{high}")));
        }
        if !self.taken.insert(port) || self.server.store.get(&format!("{NODE_PORTS}{port}")).await?.is_some() {
            return Ok(Some("provided port is already allocated".to_owned()));
        }
        Ok(None)
    }

    /// Takes a port that nobody has, chosen at random; where chance finds none, the range is walked.
    async fn free(&mut self) -> Answered<u16> {
        let (low, high) = self.server.settings.node_ports;
        let size = u32::from(high.saturating_sub(low)) + 1;
        for _ in 0..limits::RANDOM_ALLOCATION_TRIES_MAX {
            let random = u32::try_from(uuid::Uuid::new_v4().as_u128() >> 96).unwrap_or(0);
            let port = low + u16::try_from(random % size).unwrap_or(0);
            if !self.taken.contains(&i64::from(port)) && self.server.store.get(&format!("{NODE_PORTS}{port}")).await?.is_none() {
                self.taken.insert(i64::from(port));
                return Ok(port);
            }
        }
        let held = self.server.store.range(Range { prefix: NODE_PORTS.to_owned(), ..Range::default() }).await?;
        let held: HashSet<&str> = held.entries.iter().map(|e| &e.key[NODE_PORTS.len()..]).collect();
        let port = (low..=high)
            .filter(|port| !self.taken.contains(&i64::from(*port)))
            .find(|port| !held.contains(port.to_string().as_str()))
            .ok_or_else(|| Refusal::internal("failed to allocate a nodePort: range is full"))?;
        self.taken.insert(i64::from(port));
        Ok(port)
    }
}
