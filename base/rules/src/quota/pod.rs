//! What a pod uses: its containers together, or what it takes to initialise it, and its overhead.
use serde_json::Value;

use super::{Amounts, amounts, usage::number};
use crate::tree::{items, text};

/// Amounts by the names of quotas. A pod that has ended uses nothing but its place in the store.
pub fn usage(pod: &Value) -> Amounts {
    let mut used = Amounts::new();
    if matches!(text(pod, &["status", "phase"]), "Succeeded" | "Failed") {
        return used;
    }
    used.insert("pods".into(), number(1));
    for (name, amount) in total(pod, "requests") {
        let standard = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
        used.insert(format!("requests.{name}"), amount);
        if standard {
            used.insert(name, amount);
        }
    }
    for (name, amount) in total(pod, "limits") {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            used.insert(format!("limits.{name}"), amount);
        }
    }
    used
}

fn total(pod: &Value, side: &str) -> Amounts {
    let mut running = by_containers(items(pod, &["spec", "containers"]), items(pod, &["spec", "initContainers"]), side);
    // What the pod says as a whole counts instead.
    for (name, amount) in amounts(pod, &["spec", "resources", side]) {
        running.insert(name, amount);
    }
    for (name, amount) in amounts(pod, &["spec", "overhead"]) {
        if side == "requests" || running.contains_key(&name) {
            add(&mut running, Amounts::from([(name, amount)]));
        }
    }
    running
}

/// What containers take together: those that run at once, or one that initialises beside the sidecars before it.
///
/// Source: https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
pub fn by_containers(regular: &[Value], init: &[Value], side: &str) -> Amounts {
    let mut running = Amounts::new();
    for container in regular {
        add(&mut running, amounts(container, &["resources", side]));
    }
    let (mut sidecars, mut most) = (Amounts::new(), Amounts::new());
    for container in init {
        let own = amounts(container, &["resources", side]);
        if text(container, &["restartPolicy"]) == "Always" {
            add(&mut running, own.clone());
            add(&mut sidecars, own);
        } else {
            // What it does not ask for itself, those beside it do: they run on, and are counted as running.
            let beside = own.keys().filter_map(|name| Some((name.clone(), *sidecars.get(name)?))).collect();
            let mut then = own;
            add(&mut then, beside);
            raise(&mut most, &then);
        }
    }
    raise(&mut running, &most);
    running
}

fn add(to: &mut Amounts, more: Amounts) {
    for (name, amount) in more {
        let sum = to.get(&name).and_then(|so_far| amount.checked_add(so_far)).unwrap_or(amount);
        to.insert(name, sum);
    }
}

fn raise(to: &mut Amounts, at_least: &Amounts) {
    for (name, amount) in at_least {
        if to.get(name).is_none_or(|so_far| so_far < amount) {
            to.insert(name.clone(), *amount);
        }
    }
}
