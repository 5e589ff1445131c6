//! Autoscalers.
//!
//! Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/horizontal-pod-autoscaler-v2/
use irori_api::{
    field::{ErrorList, FieldPath},
    names,
};
use serde_json::Value;

use super::{check, compute};
use crate::tree::{get, int, items, text};

#[cfg(test)]
mod tests;

/// `old`: what it was, at an update.
pub fn autoscaler(object: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let at = &FieldPath::new("spec");
    let spec = get(object, &["spec"]).unwrap_or(&Value::Null);
    let (min, max) = (int(spec, &["minReplicas"]), int(spec, &["maxReplicas"]).unwrap_or(0));
    // Scaling to nothing is off in a stock server; one that had it on may have left it.
    let least = i64::from(old.is_none_or(|old| int(old, &["spec", "minReplicas"]) != Some(0)));
    if let Some(min) = min.filter(|n| *n < least) {
        errors.invalid(at.child("minReplicas"), min, format!("must be greater than or equal to {least}"));
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
    let target_fault = |spec: &'_ Value| {
        let core = text(spec, &["scaleTargetRef", "kind"]) == "ReplicationController";
        version_fault(text(spec, &["scaleTargetRef", "apiVersion"]), core)
    };
    let before = old.and_then(|old| get(old, &["spec"]));
    if let Some(why) = target_fault(spec).filter(|_| before.and_then(target_fault).is_none()) {
        errors.invalid(target.child("apiVersion"), text(spec, &["scaleTargetRef", "apiVersion"]), why);
    }
    for (i, metric) in items(spec, &["metrics"]).iter().enumerate() {
        metric_of(metric, &at.child("metrics").index(i), errors);
    }
    let described = |metric: &'_ Value| text(metric, &["object", "describedObject", "apiVersion"]).to_owned();
    let odd = |spec: &Value| items(spec, &["metrics"]).iter().any(|metric| version_fault(&described(metric), true).is_some());
    for (i, metric) in items(spec, &["metrics"]).iter().enumerate().filter(|_| !before.is_some_and(odd)) {
        if let Some(why) = version_fault(&described(metric), true) {
            let at = at.child("metrics").index(i).at(["object", "describedObject", "apiVersion"]);
            errors.invalid(at, described(metric), why);
        }
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

/// What is wrong with the version of an object that is referred to. `core`: it may be of the group without a name.
fn version_fault(version: &str, core: bool) -> Option<String> {
    let (group, rest) = version.split_once('/').unwrap_or(("", version));
    if rest.contains('/') {
        return Some(format!("unexpected GroupVersion string: {version}"));
    }
    (group.is_empty() && !core).then(|| "apiVersion must specify API group".to_owned())
}

fn metric_of(metric: &Value, at: &FieldPath, errors: &mut ErrorList) {
    const TYPES: &[&str] = &["ContainerResource", "External", "Object", "Pods", "Resource"];
    // Of several sources only the first in this order is looked into.
    const SOURCES: &[(&str, &str)] = &[
        ("object", "Object"),
        ("external", "External"),
        ("pods", "Pods"),
        ("resource", "Resource"),
        ("containerResource", "ContainerResource"),
    ];
    let kind = text(metric, &["type"]);
    if kind.is_empty() {
        errors.required(at.child("type"), "must specify a metric source type");
    }
    if !TYPES.contains(&kind) {
        // Stock servers say this twice.
        errors.not_supported(at.child("type"), kind, TYPES);
        errors.not_supported(at.child("type"), kind, TYPES);
    }
    let present: Vec<&(&str, &str)> = SOURCES.iter().filter(|(field, _)| get(metric, &[field]).is_some()).collect();
    if let Some((field, source)) = present.first().and_then(|(field, _)| Some((field, get(metric, &[field])?))) {
        source_of(field, source, &at.child(field), errors);
    }
    if let Some((field, _)) = SOURCES.iter().find(|(field, known)| *known == kind && get(metric, &[field]).is_none()) {
        errors.required(at.child(field), "must populate information for the given metric source");
    }
    for (field, _) in present.iter().filter(|(_, known)| present.len() > 1 && *known != kind) {
        errors.forbidden(at.child(field), "must populate the given metric source only");
    }
}

fn source_of(field: &str, source: &Value, at: &FieldPath, errors: &mut ErrorList) {
    match field {
        "resource" | "containerResource" => {
            let name = text(source, &["name"]);
            if name.is_empty() {
                errors.required(at.child("name"), "must specify a resource name");
            } else if field == "containerResource" {
                compute::resource_name(name, &at.child("name"), errors);
            }
            let inside = text(source, &["container"]);
            if field == "containerResource" && inside.is_empty() {
                errors.required(at.child("container"), "must specify a container");
            } else if !inside.is_empty() {
                errors.invalid_each(&at.child("container"), inside, names::dns_label(inside));
            }
        }
        _ => {
            if field == "object" {
                check::required_name(errors, source, at, &["describedObject", "kind"], names::path_segment);
                check::required_name(errors, source, at, &["describedObject", "name"], names::path_segment);
            }
            let name = text(source, &["metric", "name"]);
            if name.is_empty() {
                errors.required(at.child("metric").child("name"), "must specify a metric name");
            } else {
                errors.invalid_each(&at.child("metric").child("name"), name, names::path_segment(name));
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
        "object" if !has("value") && !has("averageValue") => {
            errors.required(at.child("averageValue"), "must set either a target value or averageValue");
        }
        "external" if !has("value") && !has("averageValue") => {
            errors.required(at.child("averageValue"), "must set either a target value for metric or a per-pod target");
        }
        "external" if has("value") && has("averageValue") => {
            errors.forbidden(at.child("value"), "may not set both a target value for metric and a per-pod target");
        }
        _ => {}
    }
}
