//! Disruption budgets, priorities, runtimes.
use hashbrown::HashSet;

use irori_api::{
    field::{ErrorList, FieldPath, Wrong},
    names,
};
use serde_json::Value;

use super::{check, selector};
use crate::tree::{flag, get, int, items, text};

const SYSTEM_PRIORITIES: [(&str, i64); 2] = [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];

/// The highest priority that users may give; above it are the system's.
const PRIORITY_MAX: i64 = 1_000_000_000;

pub fn content(group: &str, kind: &str, object: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("spec");
    let spec = get(object, &["spec"]).unwrap_or(&Value::Null);
    match (group, kind) {
        ("policy", "PodDisruptionBudget") => {
            let (min, max) = (get(spec, &["minAvailable"]), get(spec, &["maxUnavailable"]));
            if min.is_some() && max.is_some() {
                let fields = [
                    ("MinAvailable", "minAvailable", "null"),
                    ("Selector", "selector", "null"),
                    ("MaxUnavailable", "maxUnavailable", "null"),
                    ("UnhealthyPodEvictionPolicy", "unhealthyPodEvictionPolicy", "null"),
                ];
                let why = "minAvailable and maxUnavailable cannot be both set";
                check::wrong_go(errors, at.clone(), Wrong::Invalid, &check::go(spec, &fields), why);
            }
            for field in ["minAvailable", "maxUnavailable"] {
                let value = get(spec, &[field]);
                check::amount_or_percent(errors, value, &at.child(field));
                if check::percent(value).is_some_and(|p| p > 100) {
                    errors.invalid(at.child(field), value.cloned().unwrap_or(Value::Null), "must not be greater than 100%");
                }
            }
            selector::label_selector(get(spec, &["selector"]), &at.child("selector"), errors);
            check::one_of(errors, spec, &at, &["unhealthyPodEvictionPolicy"], &["AlwaysAllow", "IfHealthyBudget"]);
        }
        ("scheduling.k8s.io", "PriorityClass") => {
            let name = text(object, &["metadata", "name"]);
            let value = int(object, &["value"]).unwrap_or(0);
            if name.starts_with("system-") {
                let wrong = match SYSTEM_PRIORITIES.iter().find(|(known, _)| *known == name) {
                    None => Some(format!("{name} is not a known system priority class")),
                    Some((_, fixed)) if *fixed != value => Some(format!("value of {name} PriorityClass must be {fixed}")),
                    Some(_) if flag(object, &["globalDefault"]) => {
                        Some(format!("globalDefault of {name} PriorityClass must be false"))
                    }
                    Some(_) => None,
                };
                if let Some(wrong) = wrong {
                    let why = "priority class names with 'system-' prefix are reserved for system use only. error: ";
                    errors.forbidden(FieldPath::new("metadata").child("name"), format!("{why}{wrong}"));
                }
            } else if value > PRIORITY_MAX {
                errors.forbidden(
                    FieldPath::new("value"),
                    format!("maximum allowed value of a user defined priority is {PRIORITY_MAX}"),
                );
            }
            if get(object, &["preemptionPolicy"]).is_some() {
                let known = &["PreemptLowerPriority", "Never"];
                check::required_one_of(errors, object, &FieldPath::root(), &["preemptionPolicy"], known);
            }
        }
        ("node.k8s.io", "RuntimeClass") => {
            let handler = text(object, &["handler"]);
            if handler.is_empty() {
                errors.required(FieldPath::new("handler"), "");
            } else {
                errors.invalid_each(&FieldPath::new("handler"), handler, names::dns_label(handler));
            }
            if let Some(fixed) = crate::tree::map(object, &["overhead", "podFixed"]) {
                super::compute::overhead(fixed, &FieldPath::new("overhead"), errors);
            }
            if let Some(scheduling) = get(object, &["scheduling"]) {
                let at = FieldPath::new("scheduling");
                super::meta::labels(get(scheduling, &["nodeSelector"]), &at.child("nodeSelector"), errors);
                let (tolerations, at) = (items(scheduling, &["tolerations"]), at.child("tolerations"));
                selector::tolerations(tolerations, &at, errors);
                twice(tolerations, &at, errors);
            }
        }
        _ => {}
    }
}

/// Tolerations of which an earlier one says all.
fn twice(tolerations: &[Value], at: &FieldPath, errors: &mut ErrorList) {
    const FIELDS: [(&str, &str, &str); 5] = [
        ("Key", "key", "\"\""),
        ("Operator", "operator", "\"\""),
        ("Value", "value", "\"\""),
        ("Effect", "effect", "\"\""),
        ("TolerationSeconds", "tolerationSeconds", "null"),
    ];
    let mut seen = HashSet::new();
    for (i, toleration) in tolerations.iter().enumerate() {
        if !seen.insert(["key", "operator", "value", "effect"].map(|field| text(toleration, &[field]))) {
            check::wrong_go(errors, at.index(i), Wrong::Duplicate, &check::go(toleration, &FIELDS), "");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::validate::tests::created;

    use serde_json::json;

    use super::*;

    #[test]
    fn priorities_of_the_system_are_fixed() {
        let class = |name: &str, value: i64| json!({"metadata": {"name": name}, "value": value});
        let told = |class: Value| created(("scheduling.k8s.io", "priorityclasses"), class);
        let refused = |why: &str| {
            [format!(
                "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: {why}"
            )]
        };
        let node = "system-node-critical";
        assert_eq!(told(class(node, 2_000_001_000)), [""; 0]);
        assert_eq!(told(class(node, 1)), refused("value of system-node-critical PriorityClass must be 2000001000"));
        assert_eq!(told(class("system-other", 1)), refused("system-other is not a known system priority class"));
        let mut default = class(node, 2_000_001_000);
        default["globalDefault"] = true.into();
        assert_eq!(told(default), refused("globalDefault of system-node-critical PriorityClass must be false"));
        let mut empty = class("a", 1);
        empty["preemptionPolicy"] = "".into();
        assert_eq!(told(empty), ["preemptionPolicy: Required value"]);
    }

    #[test]
    fn a_runtime_takes_what_a_container_could_and_tolerates_once() {
        let told = |field: &str, value: Value| {
            let mut class = json!({"metadata": {"name": "x"}, "handler": "h"});
            class[field] = value;
            created(("node.k8s.io", "runtimeclasses"), class)
        };
        let fixed = |amounts: Value| told("overhead", json!({"podFixed": amounts}));
        assert_eq!(fixed(json!({"cpu": "1", "hugepages-2Mi": "2Mi"})), [""; 0]);
        assert_eq!(fixed(json!({"a.b/c": "1.5"})), ["overhead.limits[a.b/c]: Invalid value: \"1500m\": must be an integer"]);
        let one = json!({"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1});
        assert_eq!(
            told("scheduling", json!({"tolerations": [one, one]})),
            [
                "scheduling.tolerations[1]: Duplicate value: {\"Key\":\"a\",\"Operator\":\"Exists\",\"Value\":\"\",\"Effect\":\"NoExecute\",\"TolerationSeconds\":1}"
            ]
        );
        let mut other = one.clone();
        other["effect"] = "".into();
        other.as_object_mut().unwrap().remove("tolerationSeconds");
        assert_eq!(told("scheduling", json!({"tolerations": [one, other]})), [""; 0]);
    }
}
