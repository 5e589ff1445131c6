//! Autoscalers, disruption budgets, priorities, runtimes.
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
        ("autoscaling", _) => autoscaler(spec, &at, errors),
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
            if let Some(fixed) = crate::tree::map(object, &["overhead", "podFixed"]) {
                super::compute::overhead(fixed, &FieldPath::new("overhead"), errors);
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

fn autoscaler(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let (min, max) = (int(spec, &["minReplicas"]), int(spec, &["maxReplicas"]).unwrap_or(0));
    if let Some(least) = min.filter(|n| *n < 1) {
        errors.invalid(at.child("minReplicas"), least, "must be greater than or equal to 1");
    }
    if min == Some(0) && !items(spec, &["metrics"]).iter().any(|m| matches!(text(m, &["type"]), "Object" | "External")) {
        errors.forbidden(
            at.child("metrics"),
            "must specify at least one Object or External metric to support scaling to zero replicas",
        );
    }
    match max {
        0 => errors.required(at.child("maxReplicas"), "must be set and greater than 0"),
        n if n < 0 => errors.invalid(at.child("maxReplicas"), n, "must be greater than or equal to 1"),
        _ => {}
    }
    if min.is_some_and(|min| max < min) {
        errors.invalid(at.child("maxReplicas"), max, "must be greater than or equal to `minReplicas`");
    }
    let target = at.child("scaleTargetRef");
    check::required_name(errors, spec, at, &["scaleTargetRef", "kind"], names::path_segment);
    check::required_name(errors, spec, at, &["scaleTargetRef", "name"], names::path_segment);
    let version = text(spec, &["scaleTargetRef", "apiVersion"]);
    if version != "v1" && !version.contains('/') {
        errors.invalid(target.child("apiVersion"), version, "apiVersion must specify API group");
    }
    for (i, metric) in items(spec, &["metrics"]).iter().enumerate() {
        metric_of(metric, &at.child("metrics").index(i), errors);
    }
    for side in ["scaleUp", "scaleDown"] {
        let Some(rules) = get(spec, &["behavior", side]) else { continue };
        let at = at.child("behavior").child(side);
        let window = int(rules, &["stabilizationWindowSeconds"]);
        if let Some(n) = window.filter(|n| *n < 0) {
            errors.invalid(at.child("stabilizationWindowSeconds"), n, "must be greater than or equal to zero");
        }
        if let Some(n) = window.filter(|n| *n > 3600) {
            errors.invalid(at.child("stabilizationWindowSeconds"), n, "must be less than or equal to 3600");
        }
        if let Some(share) = get(rules, &["tolerance"]).and_then(Value::as_str).filter(|t| t.starts_with('-')) {
            errors.invalid(at.child("tolerance"), share, "must be greater than or equal to 0");
        }
        let choice = text(rules, &["selectPolicy"]);
        if !choice.is_empty() && !matches!(choice, "Disabled" | "Max" | "Min") {
            errors.not_supported(at.child("selectPolicy"), choice, &["Disabled", "Max", "Min"]);
        }
        let policies = items(rules, &["policies"]);
        if policies.is_empty() {
            errors.required(at.child("policies"), "must specify at least one Policy");
        }
        for (i, policy) in policies.iter().enumerate() {
            let at = at.child("policies").index(i);
            check::required_one_of(errors, policy, &at, &["type"], &["Percent", "Pods"]);
            for field in ["value", "periodSeconds"] {
                if let Some(n) = int(policy, &[field]).filter(|n| *n <= 0) {
                    errors.invalid(at.child(field), n, "must be greater than zero");
                }
            }
            if let Some(n) = int(policy, &["periodSeconds"]).filter(|n| *n > 1800) {
                errors.invalid(at.child("periodSeconds"), n, "must be less than or equal to 1800");
            }
        }
    }
}

fn metric_of(metric: &Value, at: &FieldPath, errors: &mut ErrorList) {
    const FIELDS: &[(&str, &str)] = &[
        ("ContainerResource", "containerResource"),
        ("External", "external"),
        ("Object", "object"),
        ("Pods", "pods"),
        ("Resource", "resource"),
    ];
    let kind = text(metric, &["type"]);
    if kind.is_empty() {
        errors.required(at.child("type"), "must specify a metric source type");
    }
    if !FIELDS.iter().any(|(known, _)| *known == kind) {
        // Stock servers say this twice.
        let known: Vec<&str> = FIELDS.iter().map(|(known, _)| *known).collect();
        errors.not_supported(at.child("type"), kind, &known);
        errors.not_supported(at.child("type"), kind, &known);
        return;
    }
    for (known, field) in FIELDS {
        match (get(metric, &[field]), *known == kind) {
            (None, true) => errors.required(at.child(field), "must populate information for the given metric source"),
            (Some(source), _) => source_of(field, source, &at.child(field), errors),
            (None, false) => {}
        }
    }
    for (known, field) in FIELDS {
        if get(metric, &[field]).is_some() && *known != kind {
            errors.forbidden(at.child(field), "must populate the given metric source only");
        }
    }
}

fn source_of(field: &str, source: &Value, at: &FieldPath, errors: &mut ErrorList) {
    match field {
        "resource" | "containerResource" => {
            if text(source, &["name"]).is_empty() {
                errors.required(at.child("name"), "must specify a resource name");
            }
            if field == "containerResource" && text(source, &["container"]).is_empty() {
                errors.required(at.child("container"), "must specify a container");
            }
        }
        _ => {
            if field == "object" {
                check::required_name(errors, source, at, &["describedObject", "kind"], names::path_segment);
                check::required_name(errors, source, at, &["describedObject", "name"], names::path_segment);
            }
            if text(source, &["metric", "name"]).is_empty() {
                errors.required(at.child("metric").child("name"), "must specify a metric name");
            }
        }
    }
    let at = at.child("target");
    let target = get(source, &["target"]).unwrap_or(&Value::Null);
    match text(target, &["type"]) {
        "" => {
            errors.required(at.child("type"), "must specify a metric target type");
            errors.invalid(at.child("type"), "", "must be either Utilization, Value, or AverageValue");
        }
        "Utilization" | "Value" | "AverageValue" => {}
        other => errors.invalid(at.child("type"), other, "must be either Utilization, Value, or AverageValue"),
    }
    if let Some(n) = int(target, &["averageUtilization"]).filter(|n| *n < 1) {
        errors.invalid(at.child("averageUtilization"), n, "must be greater than 0");
    }
    for value in ["value", "averageValue"] {
        if let Some(amount) = get(target, &[value]).and_then(Value::as_str)
            && (amount.starts_with('-') || crate::scalar::quantity_is_zero(amount))
        {
            errors.invalid(at.child(value), amount, "must be positive");
        }
    }
    let has = |value: &str| get(target, &[value]).is_some();
    match field {
        "resource" | "containerResource" if has("averageUtilization") && has("averageValue") => {
            errors.forbidden(at.child("averageValue"), "may not set both a target raw value and a target utilization");
        }
        "resource" | "containerResource" if !has("averageUtilization") && !has("averageValue") => {
            errors.required(at.child("averageUtilization"), "must set either a target raw value or a target utilization");
        }
        "pods" if !has("averageValue") => {
            errors.required(at.child("averageValue"), "must specify a positive target averageValue")
        }
        "object" | "external" if !has("value") && !has("averageValue") => {
            errors.required(at.child("averageValue"), "must set either a target value or averageValue");
        }
        _ => {}
    }
}
