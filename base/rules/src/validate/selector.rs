//! Label selectors, node selectors and taints' tolerations.
use hashbrown::{HashMap, HashSet};

use irori_api::{
    field::{ErrorList, FieldPath},
    names,
};
use serde_json::{Map, Value};

use super::{check, meta};
use crate::tree::{get, items, map, text};

#[cfg(test)]
mod tests;

/// A label selector; absent is fine.
pub fn label_selector(selector: Option<&Value>, at: &FieldPath, errors: &mut ErrorList) {
    let Some(selector) = selector else { return };
    meta::labels(get(selector, &["matchLabels"]), &at.child("matchLabels"), errors);
    for (i, expression) in items(selector, &["matchExpressions"]).iter().enumerate() {
        let at = at.child("matchExpressions").index(i);
        values_of(expression, &at, errors);
        let operator = text(expression, &["operator"]);
        if !matches!(operator, "In" | "NotIn" | "Exists" | "DoesNotExist") {
            errors.invalid(at.child("operator"), operator, "not a valid selector operator");
        }
        label_names_of(expression, &at, errors);
    }
}

/// A requirement has values where its operator compares with them.
pub fn values_of(requirement: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let values = items(requirement, &["values"]);
    match text(requirement, &["operator"]) {
        "In" | "NotIn" if values.is_empty() => {
            errors.required(at.child("values"), "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            errors.forbidden(at.child("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        _ => {}
    }
}

/// Key and values of a requirement of labels.
pub fn label_names_of(requirement: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let key = text(requirement, &["key"]);
    errors.invalid_each(&at.child("key"), key, names::qualified_name(key));
    for (j, value) in items(requirement, &["values"]).iter().filter_map(Value::as_str).enumerate() {
        errors.invalid_each(&at.child("values").index(j), value, names::label_value(value));
    }
}

/// Whether a selector chooses nothing in particular.
pub fn is_empty(selector: Option<&Value>) -> bool {
    selector.is_none_or(|s| map(s, &["matchLabels"]).is_none_or(Map::is_empty) && items(s, &["matchExpressions"]).is_empty())
}

/// Whether labels match a label selector.
pub fn matches(selector: &Value, labels: Option<&Map<String, Value>>) -> bool {
    let value = |key: &str| labels.and_then(|l| l.get(key)).and_then(Value::as_str);
    map(selector, &["matchLabels"]).into_iter().flatten().all(|(key, wanted)| value(key) == wanted.as_str())
        && items(selector, &["matchExpressions"]).iter().all(|e| {
            let has = value(text(e, &["key"]));
            let among = |v: &str| items(e, &["values"]).iter().any(|w| w == v);
            match text(e, &["operator"]) {
                "In" => has.is_some_and(among),
                "NotIn" => !has.is_some_and(among),
                "Exists" => has.is_some(),
                "DoesNotExist" => has.is_none(),
                _ => false,
            }
        })
}

/// The terms of a node selector.
pub fn node_selector(selector: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let terms = items(selector, &["nodeSelectorTerms"]);
    if terms.is_empty() {
        errors.required(at.child("nodeSelectorTerms"), "must have at least one node selector term");
    }
    for (i, term) in terms.iter().enumerate() {
        node_term(term, true, &at.child("nodeSelectorTerms").index(i), errors);
    }
}

/// `required`: as opposed to preferred, whose values may be anything.
fn node_term(term: &Value, required: bool, at: &FieldPath, errors: &mut ErrorList) {
    for (i, expression) in items(term, &["matchExpressions"]).iter().enumerate() {
        let at = at.child("matchExpressions").index(i);
        let values = items(expression, &["values"]);
        match text(expression, &["operator"]) {
            "In" | "NotIn" if values.is_empty() => {
                errors.required(at.child("values"), "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                errors.forbidden(at.child("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
            "Gt" | "Lt" if values.len() != 1 => {
                errors.required(at.child("values"), "must be specified single value when `operator` is 'Lt' or 'Gt'");
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            other => errors.invalid(at.child("operator"), other, "not a valid selector operator"),
        }
        let key = text(expression, &["key"]);
        errors.invalid_each(&at.child("key"), key, names::qualified_name(key));
        for (j, value) in values.iter().filter_map(Value::as_str).enumerate().filter(|_| required) {
            errors.invalid_each(&at.child("values").index(j), value, names::label_value(value));
        }
    }
    for (i, field) in items(term, &["matchFields"]).iter().enumerate() {
        let at = at.child("matchFields").index(i);
        match text(field, &["operator"]) {
            "In" | "NotIn" if items(field, &["values"]).len() != 1 => {
                errors.required(
                    at.child("values"),
                    "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
                );
            }
            "In" | "NotIn" => {}
            other => errors.invalid(at.child("operator"), other, "not a valid selector operator"),
        }
        match text(field, &["key"]) {
            "metadata.name" => {
                for (j, name) in items(field, &["values"]).iter().filter_map(Value::as_str).enumerate() {
                    errors.invalid_each(&at.child("values").index(j), name, names::dns_subdomain(name));
                }
            }
            other => errors.invalid(at.child("key"), other, "not a valid field selector key"),
        }
    }
}

/// Affinity of a pod.
pub fn affinity(affinity: &Value, at: &FieldPath, errors: &mut ErrorList) {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    let weight = |item: &Value, at: &FieldPath, errors: &mut ErrorList| {
        let weight = crate::tree::int(item, &["weight"]).unwrap_or(0);
        if !(1..=100).contains(&weight) {
            errors.invalid(at.child("weight"), weight, "must be in the range 1-100");
        }
    };
    if let Some(node) = get(affinity, &["nodeAffinity"]) {
        let at = at.child("nodeAffinity");
        if let Some(selector) = get(node, &[REQUIRED]) {
            node_selector(selector, &at.child(REQUIRED), errors);
        }
        for (i, item) in items(node, &[PREFERRED]).iter().enumerate() {
            let at = at.child(PREFERRED).index(i);
            weight(item, &at, errors);
            node_term(get(item, &["preference"]).unwrap_or(&Value::Null), false, &at.child("preference"), errors);
        }
    }
    for side in ["podAffinity", "podAntiAffinity"] {
        let Some(pods) = get(affinity, &[side]) else { continue };
        let at = at.child(side);
        for (i, term) in items(pods, &[REQUIRED]).iter().enumerate() {
            pod_term(term, &at.child(REQUIRED).index(i), errors);
        }
        for (i, item) in items(pods, &[PREFERRED]).iter().enumerate() {
            let at = at.child(PREFERRED).index(i);
            weight(item, &at, errors);
            pod_term(get(item, &["podAffinityTerm"]).unwrap_or(&Value::Null), &at.child("podAffinityTerm"), errors);
        }
    }
}

fn pod_term(term: &Value, at: &FieldPath, errors: &mut ErrorList) {
    label_selector(get(term, &["labelSelector"]), &at.child("labelSelector"), errors);
    label_selector(get(term, &["namespaceSelector"]), &at.child("namespaceSelector"), errors);
    // All are told by the path of the list, in the singular.
    for namespace in items(term, &["namespaces"]).iter().filter_map(Value::as_str) {
        errors.invalid_each(&at.child("namespace"), namespace, names::dns_label(namespace));
    }
    label_keys(term, at, errors);
    let key = text(term, &["topologyKey"]);
    if key.is_empty() {
        errors.required(at.child("topologyKey"), "can not be empty");
    }
    errors.invalid_each(&at.child("topologyKey"), key, names::qualified_name(key));
}

/// Keys whose values are taken from the pod itself, to be matched or not.
///
/// Source: https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#matchlabelkeys.
fn label_keys(of: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let chosen = get(of, &["labelSelector"]);
    let keys = |field: &str| items(of, &[field]).iter().filter_map(Value::as_str);
    for field in ["matchLabelKeys", "mismatchLabelKeys"] {
        if chosen.is_none() && keys(field).next().is_some() {
            errors.forbidden(at.child(field), "must not be specified when labelSelector is not set");
            continue;
        }
        for (i, key) in keys(field).enumerate() {
            errors.invalid_each(&at.child(field).index(i), key, names::qualified_name(key));
        }
    }
    let chosen = chosen.unwrap_or(&Value::Null);
    // Matched keys have become expressions by now: a second mention of one is somebody's own.
    let places: HashMap<&str, usize> = keys("matchLabelKeys").enumerate().map(|(i, key)| (key, i)).collect();
    let mut seen: HashSet<&str> = map(chosen, &["matchLabels"]).into_iter().flatten().map(|(key, _)| key.as_str()).collect();
    for key in items(chosen, &["matchExpressions"]).iter().map(|expression| text(expression, &["key"])) {
        if !seen.insert(key)
            && let Some(place) = places.get(key)
        {
            errors.invalid(at.index(*place), key, "exists in both matchLabelKeys and labelSelector");
        }
    }
    let mismatched: HashSet<&str> = keys("mismatchLabelKeys").collect();
    for (i, key) in keys("matchLabelKeys").enumerate().filter(|(_, key)| mismatched.contains(key)) {
        errors.invalid(at.child("matchLabelKeys").index(i), key, "exists in both matchLabelKeys and mismatchLabelKeys");
    }
}

/// Tolerations of a pod.
pub fn tolerations(list: &[Value], at: &FieldPath, errors: &mut ErrorList) {
    for (i, toleration) in list.iter().enumerate() {
        let at = at.index(i);
        let (key, operator) = (text(toleration, &["key"]), text(toleration, &["operator"]));
        check::name(errors, toleration, &at, &["key"], names::qualified_name);
        if key.is_empty() && operator != "Exists" {
            errors.invalid(
                at.child("operator"),
                operator,
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
            );
        }
        let seconds = get(toleration, &["tolerationSeconds"]).is_some();
        if seconds && text(toleration, &["effect"]) != "NoExecute" {
            errors.invalid(
                at.child("effect"),
                text(toleration, &["effect"]),
                "effect must be 'NoExecute' when `tolerationSeconds` is set",
            );
        }
        let value = text(toleration, &["value"]);
        match operator {
            "" | "Equal" => {
                let wrong = names::label_value(value);
                if !wrong.is_empty() {
                    errors.invalid(at.child("operator"), value, wrong.join(";"));
                }
            }
            "Exists" if !value.is_empty() => {
                errors.invalid(at.child("operator"), value, "value must be empty when `operator` is 'Exists'");
            }
            "Exists" => {}
            other => errors.not_supported(at.child("operator"), other, &["Equal", "Exists"]),
        }
        let effect = text(toleration, &["effect"]);
        if !effect.is_empty() && !matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
            errors.not_supported(at.child("effect"), effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
        }
    }
}

/// Spread constraints of a pod.
pub fn spread(list: &[Value], at: &FieldPath, errors: &mut ErrorList) {
    let pair = |c: &'_ Value| (text(c, &["topologyKey"]).to_owned(), text(c, &["whenUnsatisfiable"]).to_owned());
    let last: HashMap<_, usize> = list.iter().enumerate().map(|(i, constraint)| (pair(constraint), i)).collect();
    for (i, constraint) in list.iter().enumerate() {
        let at = at.index(i);
        let skew = crate::tree::int(constraint, &["maxSkew"]).unwrap_or(0);
        if skew <= 0 {
            errors.invalid(at.child("maxSkew"), skew, "must be greater than zero");
        }
        let (key, otherwise) = (text(constraint, &["topologyKey"]), text(constraint, &["whenUnsatisfiable"]));
        if key.is_empty() {
            errors.required(at.child("topologyKey"), "can not be empty");
        }
        if !matches!(otherwise, "DoNotSchedule" | "ScheduleAnyway") {
            errors.not_supported(at.child("whenUnsatisfiable"), otherwise, &["DoNotSchedule", "ScheduleAnyway"]);
        }
        if last[&pair(constraint)] > i {
            errors.duplicate(at.child("{topologyKey, whenUnsatisfiable}"), format!("{{{key}, {otherwise}}}"));
        }
        if let Some(domains) = crate::tree::int(constraint, &["minDomains"]) {
            if domains <= 0 {
                errors.invalid(at.child("minDomains"), domains, "must be greater than zero");
            }
            if otherwise != "DoNotSchedule" {
                let why = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {otherwise}");
                errors.invalid(at.child("minDomains"), domains, why);
            }
        }
        for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            check::one_of(errors, constraint, &at, &[policy], &["Honor", "Ignore"]);
        }
        label_keys(constraint, &at, errors);
        label_selector(get(constraint, &["labelSelector"]), &at.child("labelSelector"), errors);
    }
}
