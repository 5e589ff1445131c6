//! Disruption budgets, priorities, runtimes.
use irori_api::{
    field::{ErrorList, FieldPath, Wrong},
    names,
};
use serde_json::Value;

use super::{check, selector};
use crate::tree::{get, int, items, text};

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
                let known =
                    matches!((name, value), ("system-cluster-critical", 2_000_000_000) | ("system-node-critical", 2_000_001_000));
                if !known {
                    let why = "priority class names with 'system-' prefix are reserved for system use only. error: ";
                    errors.forbidden(
                        FieldPath::new("metadata").child("name"),
                        format!("{why}{name} is not a known system priority class"),
                    );
                }
            } else if value > PRIORITY_MAX {
                errors.forbidden(
                    FieldPath::new("value"),
                    format!("maximum allowed value of a user defined priority is {PRIORITY_MAX}"),
                );
            }
            check::one_of(errors, object, &FieldPath::root(), &["preemptionPolicy"], &["PreemptLowerPriority", "Never"]);
        }
        ("node.k8s.io", "RuntimeClass") => {
            let handler = text(object, &["handler"]);
            if handler.is_empty() {
                errors.required(FieldPath::new("handler"), "");
            } else {
                errors.invalid_each(&FieldPath::new("handler"), handler, names::dns_label(handler));
            }
            for (name, amount) in crate::tree::map(object, &["overhead", "podFixed"]).into_iter().flatten() {
                let at = FieldPath::new("overhead").child("limits").key(name);
                super::container::resource_name(name, &at, errors);
                super::container::quantity_not_negative(amount.as_str().unwrap_or("0"), &at, errors);
            }
            if let Some(scheduling) = get(object, &["scheduling"]) {
                let at = FieldPath::new("scheduling");
                super::meta::labels(get(scheduling, &["nodeSelector"]), &at.child("nodeSelector"), errors);
                selector::tolerations(items(scheduling, &["tolerations"]), &at.child("tolerations"), errors);
            }
        }
        _ => {}
    }
}
