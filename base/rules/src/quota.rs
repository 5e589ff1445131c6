//! Resource quotas: what an object uses, and whether a quota has it left.
//!
//! Source: https://kubernetes.io/docs/concepts/policy/resource-quotas/; the words are those of a stock server.
use std::collections::BTreeMap;

use irori_api::quantity::Quantity;
use serde_json::Value;

use crate::tree::{get, items, map, text};

mod pod;
mod scope;
#[cfg(test)]
mod tests;
mod usage;

pub(crate) use pod::by_containers;
pub use scope::covers;
use usage::number;
pub use usage::usage;

/// Amounts by the names that quotas give them.
pub type Amounts = BTreeMap<String, Quantity>;

/// Group (empty for the core one) and plural.
pub type Resource<'a> = (&'a str, &'a str);

/// Whether objects of a resource that has namespaces are counted at all.
pub fn is_counted(resource: Resource<'_>) -> bool {
    resource.1 != "events"
}

/// Amounts at a path of an object.
pub fn amounts(of: &Value, path: &[&str]) -> Amounts {
    let all = map(of, path).into_iter().flatten();
    all.filter_map(|(name, amount)| Some((name.clone(), amount.as_str()?.parse().ok()?))).collect()
}

/// The difference that a change makes; what stays the same is left out.
pub fn difference(new: &Amounts, old: &Amounts) -> Amounts {
    let zero = || number(0);
    let mut changed = Amounts::new();
    for name in new.keys().chain(old.keys()) {
        let (is, was) = (new.get(name).cloned().unwrap_or_else(zero), old.get(name).cloned().unwrap_or_else(zero));
        if let Some(by) = is.checked_sub(&was).filter(|by| !by.is_zero()) {
            changed.insert(name.clone(), by);
        }
    }
    changed
}

/// What a change comes to in one quota.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The quota is not about this.
    Nothing,
    /// `status.used` becomes this.
    Uses(Amounts),
    /// Why it may not be.
    Refused(String),
}

/// Judges a change of what is used against one quota. Only names that the quota's status knows count; what is given back is always
/// taken.
pub fn judge(quota: &Value, change: &Amounts) -> Verdict {
    let (hard, used) = (amounts(quota, &["status", "hard"]), amounts(quota, &["status", "used"]));
    let asked: Amounts = change.iter().filter(|(name, _)| hard.contains_key(*name)).map(|(n, q)| (n.clone(), *q)).collect();
    if asked.is_empty() {
        return Verdict::Nothing;
    }
    let name = text(quota, &["metadata", "name"]);
    let unknown: Vec<&str> = asked.keys().filter(|n| !used.contains_key(*n)).map(String::as_str).collect();
    if !unknown.is_empty() {
        return Verdict::Refused(format!("status unknown for quota: {name}, resources: {}", unknown.join(",")));
    }
    let mut after = used.clone();
    let mut exceeded = Vec::new();
    for (resource, by) in &asked {
        let sum = used[resource].checked_add(by).unwrap_or_else(|| used[resource]);
        if by.sign() > 0 && sum > hard[resource] {
            exceeded.push(resource.as_str());
        }
        let sum = if sum.sign() < 0 { Quantity::new(0, sum.format()) } else { sum };
        after.insert(resource.clone(), sum);
    }
    if exceeded.is_empty() {
        return Verdict::Uses(after);
    }
    let only = |of: &Amounts| -> String {
        let named = of.iter().filter(|(name, _)| exceeded.contains(&name.as_str()));
        named.map(|(name, amount)| format!("{name}={amount}")).collect::<Vec<_>>().join(",")
    };
    let (requested, used, limited) = (only(&asked), only(&used), only(&hard));
    Verdict::Refused(format!("exceeded quota: {name}, requested: {requested}, used: {used}, limited: {limited}"))
}

/// What the containers of a pod have to say because a quota counts it; `None` where they do.
pub fn must_say(quota: &Value, pod: &Value) -> Option<String> {
    const ASKED_FOR: [&str; 6] = ["cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory"];
    let hard = amounts(quota, &["status", "hard"]);
    let all: Vec<&Value> = ["containers", "initContainers"].iter().flat_map(|list| items(pod, &["spec", list])).collect();
    let mut missing = Vec::new();
    for name in ASKED_FOR.into_iter().filter(|name| hard.contains_key(*name)) {
        let (side, resource) = match name.split_once('.') {
            Some((side, resource)) => (side, resource),
            None => ("requests", name),
        };
        let silent = all.iter().filter(|c| get(c, &["resources", side, resource]).is_none());
        let mut names: Vec<&str> = silent.map(|c| text(c, &["name"])).collect();
        names.sort_unstable();
        if !names.is_empty() {
            missing.push(format!("{name} for: {}", names.join(",")));
        }
    }
    let name = text(quota, &["metadata", "name"]);
    (!missing.is_empty()).then(|| format!("failed quota: {name}: must specify {}", missing.join("; ")))
}

/// The resource (group and plural) whose objects a quota counts under a name.
pub fn counted_under(name: &str) -> Resource<'_> {
    if let Some(counted) = name.strip_prefix("count/") {
        return counted.split_once('.').map_or(("", counted), |(plural, group)| (group, plural));
    }
    match name {
        "replicationcontrollers" | "resourcequotas" | "secrets" | "configmaps" => ("", name),
        _ if name == "services" || name.starts_with("services.") => ("", "services"),
        "persistentvolumeclaims" | "requests.storage" => ("", "persistentvolumeclaims"),
        _ if name.contains(".storageclass.storage.k8s.io/") => ("", "persistentvolumeclaims"),
        _ if name.ends_with(".deviceclass.resource.k8s.io/devices") => ("resource.k8s.io", "resourceclaims"),
        _ => ("", "pods"),
    }
}

/// What all these objects use of what a quota names; the others are not looked at.
pub fn recount<'a>(quota: &Value, objects: impl Iterator<Item = (Resource<'a>, &'a Value)>) -> Amounts {
    let zero = |name: &String| (name.clone(), number(0));
    let mut used: Amounts = amounts(quota, &["spec", "hard"]).keys().map(zero).collect();
    for (resource, object) in objects.filter(|(resource, object)| covers(quota, *resource, object)) {
        for (name, amount) in usage(resource, object) {
            if let Some(sum) = used.get_mut(&name) {
                *sum = amount.checked_add(sum).unwrap_or(amount);
            }
        }
    }
    used
}
