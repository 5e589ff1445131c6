//! What containers and pods ask for and may use at most.
//!
//! Source: https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/.
use hashbrown::{HashMap, HashSet};

use irori_api::{
    field::{ErrorList, FieldError, FieldPath, Wrong},
    names,
    quantity::Quantity,
};
use serde_json::{Map, Value};

use crate::{
    quota::by_containers,
    tree::{get, items, map, text},
};

/// Names without a domain that stand for something.
pub const STANDARD: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "storage",
    "requests.storage",
    "services.nodeports",
    "services.loadbalancers",
];

fn is_huge(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// Names of Kubernetes' own.
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Devices and the like, which quotas count with `requests.` before their name.
fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with("requests.") && names::qualified_name(&format!("requests.{name}")).is_empty()
}

/// Whether less may be asked for than may be used.
fn overcommits(name: &str) -> bool {
    is_native(name) && !is_huge(name)
}

/// A name of anything that can be counted: a standard one, or one with a domain.
fn any_name(name: &str, at: &FieldPath, errors: &mut ErrorList) -> bool {
    let wrong = names::qualified_name(name);
    let standard = name.contains('/') || STANDARD.contains(&name) || is_huge(name) || name.starts_with("requests.hugepages-");
    if wrong.is_empty() && !standard {
        errors.invalid(at.clone(), name, "must be a standard resource type or fully qualified");
    }
    let good = wrong.is_empty() && standard;
    errors.invalid_each(at, name, wrong);
    good
}

/// Names of resources of containers: cpu, memory, ephemeral-storage, hugepages-…, or a name with a domain.
pub fn resource_name(name: &str, at: &FieldPath, errors: &mut ErrorList) {
    any_name(name, at, errors);
    if name.split('/').count() == 1 {
        if !matches!(name, "cpu" | "memory" | "ephemeral-storage") && !is_huge(name) {
            errors.invalid(at.clone(), name, "must be a standard resource for containers");
        }
    } else if !is_native(name) && !is_extended(name) {
        errors.invalid(at.clone(), name, "doesn't follow extended resource name standard");
    }
}

/// Names of what a pod as a whole may ask for.
fn pod_resource_name(name: &str, at: &FieldPath, errors: &mut ErrorList) {
    if any_name(name, at, errors) && !matches!(name, "cpu" | "memory") && !is_huge(name) {
        errors.not_supported(at.clone(), name, &["cpu", "hugepages-", "memory"]);
    }
}

pub fn whole(amount: &str) -> bool {
    amount.parse::<Quantity>().is_ok_and(|q| q.is_whole())
}

pub fn quantity_not_negative(amount: &str, at: &FieldPath, errors: &mut ErrorList) {
    if amount.starts_with('-') {
        errors.invalid(at.clone(), amount, "must be greater than or equal to 0");
    }
}

/// One amount: not negative, and whole where it counts things.
fn amount(name: &str, given: &str, at: &FieldPath, errors: &mut ErrorList) {
    quantity_not_negative(given, at, errors);
    if is_extended(name) && !whole(given) {
        errors.invalid(at.clone(), given, "must be an integer");
    }
}

/// An amount of huge pages: whole ones, of a size that is one.
fn pages(name: &str, given: &str, at: &FieldPath, errors: &mut ErrorList) {
    let Some(size) = name.strip_prefix("hugepages-") else { return };
    let size = size.parse::<Quantity>().ok().filter(|size| size.sign() > 0 && size.is_whole());
    let bytes = given.parse::<Quantity>().map_or(0, |q| q.value());
    if size.is_none_or(|size| bytes % size.value() != 0) {
        errors.invalid(at.clone(), given, format!("{given} is not positive integer multiple of {name}"));
    }
}

/// Names of the claims of a pod, which its containers use.
pub struct Claims<'a> {
    names: HashSet<&'a str>,
    /// As they are told.
    told: String,
}

impl<'a> Claims<'a> {
    pub fn of(spec: &'a Value) -> Claims<'a> {
        let all = items(spec, &["resourceClaims"]).iter().map(|claim| text(claim, &["name"]));
        let names: HashSet<&str> = all.filter(|name| !name.is_empty()).collect();
        let mut sorted: Vec<&str> = names.iter().copied().collect();
        sorted.sort_unstable();
        let told = if sorted.is_empty() { " which is empty".to_owned() } else { format!(": {}", sorted.join(", ")) };
        Claims { names, told }
    }

    /// Claims of a container are those of its pod, each whole once or by different requests.
    fn used(&self, list: &[Value], at: &FieldPath, errors: &mut ErrorList) {
        let mut seen: HashSet<String> = HashSet::new();
        let mut requests: HashMap<&str, usize> = HashMap::new();
        for (i, claim) in list.iter().enumerate() {
            let (at, name, request) = (at.index(i), text(claim, &["name"]), text(claim, &["request"]));
            if name.is_empty() {
                errors.required(at, "");
                continue;
            }
            if seen.contains(name) {
                errors.duplicate(at.clone(), name);
            } else if request.is_empty() {
                (0..requests.get(name).copied().unwrap_or(0)).for_each(|_| errors.duplicate(at.clone(), name));
                seen.insert(name.to_owned());
            } else {
                errors.invalid_each(&at.child("request"), request, names::dns_label(request));
                let key = format!("{name}/{request}");
                if seen.contains(&key) {
                    errors.duplicate(at.clone(), key);
                } else {
                    seen.insert(key);
                    *requests.entry(name).or_default() += 1;
                }
            }
            // A list of many names is not put together where it is not told.
            if !self.names.contains(name) && !errors.is_full() {
                let why = format!("must be one of the names in pod.spec.resourceClaims{}", self.told);
                errors.push(FieldError::new(at, Wrong::NotFound, name, why));
            }
        }
    }
}

/// What a container asks for and may use at most.
pub fn container(given: &Value, claims: &Claims<'_>, at: &FieldPath, errors: &mut ErrorList) {
    requirements(map(given, &["limits"]), map(given, &["requests"]), resource_name, at, errors);
    claims.used(items(given, &["claims"]), &at.child("claims"), errors);
}

/// What a pod takes besides its containers.
pub fn overhead(given: &Map<String, Value>, at: &FieldPath, errors: &mut ErrorList) {
    requirements(Some(given), None, resource_name, at, errors);
}

type Amounts<'a> = Option<&'a Map<String, Value>>;

fn requirements(
    limits: Amounts<'_>,
    requests: Amounts<'_>,
    named: fn(&str, &FieldPath, &mut ErrorList),
    at: &FieldPath,
    errors: &mut ErrorList,
) {
    let (mut computes, mut huge) = (false, false);
    for (side, list) in [("limits", limits), ("requests", requests)] {
        for (name, given) in list.into_iter().flatten() {
            let given = given.as_str().unwrap_or("0");
            let path = at.child(side).key(name);
            named(name, &path, errors);
            amount(name, given, &path, errors);
            if side == "requests" {
                asked(name, given, limits, at, errors);
            }
            pages(name, given, &path, errors);
            computes |= matches!(name.as_str(), "cpu" | "memory");
            huge |= is_huge(name);
        }
    }
    if huge && !computes {
        errors.forbidden(at.clone(), "HugePages require cpu or memory");
    }
}

/// No more is asked for than may be used, and no less of what cannot be overcommitted.
fn asked(name: &str, given: &str, limits: Amounts<'_>, at: &FieldPath, errors: &mut ErrorList) {
    match limits.and_then(|limits| limits.get(name)).and_then(Value::as_str) {
        None if overcommits(name) => {}
        None => errors.required(at.child("limits"), "Limit must be set for non overcommitable resources"),
        Some(limit) => {
            let order = crate::scalar::quantity_compare(given, limit);
            if order.is_ne() && !overcommits(name) {
                errors.invalid(at.child("requests"), given, format!("must be equal to {name} limit of {limit}"));
            } else if order.is_gt() {
                errors.invalid(at.child("requests"), given, format!("must be less than or equal to {name} limit of {limit}"));
            }
        }
    }
}

/// What a pod as a whole asks for, and whether its containers fit into that.
///
/// Source: https://kubernetes.io/docs/tasks/configure-pod-container/assign-pod-level-resources/.
pub fn pod(spec: &Value, claims: &Claims<'_>, at: &FieldPath, errors: &mut ErrorList) {
    let Some(given) = get(spec, &["resources"]) else { return };
    let at = at.child("resources");
    if text(spec, &["os", "name"]) == "windows" {
        errors.forbidden(at, "may not be set for a windows pod");
        return;
    }
    let used = items(given, &["claims"]);
    if !used.is_empty() {
        errors.forbidden(at.child("claims"), "claims may not be set for Resources at pod-level");
    }
    let (limits, requests) = (map(given, &["limits"]), map(given, &["requests"]));
    requirements(limits, requests, pod_resource_name, &at, errors);
    claims.used(used, &at.child("claims"), errors);
    let (regular, init) = (items(spec, &["containers"]), items(spec, &["initContainers"]));
    for (side, own) in [("requests", requests), ("limits", limits)] {
        for (name, sum) in by_containers(regular, init, side) {
            let Some(own) = own.and_then(|own| own.get(&name)).and_then(Value::as_str) else { continue };
            let counts = side == "requests" || is_huge(&name);
            if counts && own.parse::<Quantity>().is_ok_and(|own| sum > own) {
                let why = format!("must be greater than or equal to aggregate container {side} of {sum}");
                errors.invalid(at.child(side).key(&name), own, why);
            }
        }
    }
    for (i, container) in regular.iter().enumerate() {
        for (name, limit) in map(container, &["resources", "limits"]).into_iter().flatten() {
            let limit = limit.as_str().unwrap_or("0");
            let Some(own) = limits.and_then(|own| own.get(name)).and_then(Value::as_str) else { continue };
            if crate::scalar::quantity_compare(limit, own).is_gt() {
                let at = at.child("containers").index(i).key(name).child("limits");
                errors.invalid(at, limit, format!("must be less than or equal to pod limits of {own}"));
            }
        }
    }
}
