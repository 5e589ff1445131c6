//! Kinds of the core group that have few rules.
use base64::{Engine, engine::general_purpose::STANDARD};
use irori_api::{
    field::{ErrorList, FieldPath},
    names,
};
use serde_json::Value;

use super::{check, limits};
use crate::tree::{get, items, map, text};

/// Bytes of all data of a ConfigMap or Secret.
const DATA_MAX: usize = 1024 * 1024;

pub fn content(group: &str, kind: &str, object: &Value, fresh: bool, errors: &mut ErrorList) {
    match kind {
        "ConfigMap" => config_map(object, errors),
        "Secret" => secret(object, errors),
        "Node" => node(object, errors),
        "Namespace" => {}
        "Event" => event(group, object, fresh, errors),
        "LimitRange" => limits::limit_range(object, errors),
        "ResourceQuota" => limits::quota(object, errors),
        _ => {}
    }
}

fn keys(object: &Value, field: &str, errors: &mut ErrorList) {
    for key in map(object, &[field]).into_iter().flatten().map(|(key, _)| key) {
        errors.invalid_each(&FieldPath::new(field).key(key), key.as_str(), names::config_key(key));
    }
}

fn decoded_len(value: &Value) -> usize {
    let text = value.as_str().unwrap_or("");
    text.len() / 4 * 3 - text.bytes().rev().take_while(|b| *b == b'=').count().min(2)
}

fn config_map(object: &Value, errors: &mut ErrorList) {
    keys(object, "data", errors);
    keys(object, "binaryData", errors);
    let data = map(object, &["data"]);
    let bytes: usize = data.into_iter().flatten().map(|(_, v)| v.as_str().unwrap_or("").len()).sum::<usize>()
        + map(object, &["binaryData"]).into_iter().flatten().map(|(_, v)| decoded_len(v)).sum::<usize>();
    for key in map(object, &["binaryData"]).into_iter().flatten().map(|(key, _)| key) {
        if data.is_some_and(|d| d.contains_key(key)) {
            errors.invalid(
                FieldPath::new("binaryData").key(key),
                key.as_str(),
                format!("duplicate of key present in data: {key}"),
            );
        }
    }
    if bytes > DATA_MAX {
        errors.too_long(FieldPath::root(), DATA_MAX);
    }
}

fn secret(object: &Value, errors: &mut ErrorList) {
    keys(object, "data", errors);
    let data = map(object, &["data"]);
    if data.into_iter().flatten().map(|(_, v)| decoded_len(v)).sum::<usize>() > DATA_MAX {
        errors.too_long(FieldPath::new("data"), DATA_MAX);
    }
    let has = |key: &str| data.is_some_and(|d| d.contains_key(key));
    let at = |key: &str| FieldPath::new("data").key(key);
    let json = |key: &str, errors: &mut ErrorList| {
        let Some(text) = data.and_then(|d| d.get(key)).and_then(Value::as_str) else {
            errors.required(at(key), "");
            return;
        };
        let bytes = STANDARD.decode(text).unwrap_or_default();
        if let Err(error) = serde_json::from_slice::<serde_json::Map<String, Value>>(&bytes) {
            errors.invalid(at(key), "<secret contents redacted>", error.to_string());
        }
    };
    match text(object, &["type"]) {
        "kubernetes.io/service-account-token" => {
            let key = "kubernetes.io/service-account.name";
            if text(object, &["metadata", "annotations", key]).is_empty() {
                errors.required(FieldPath::new("metadata").child("annotations").key(key), "");
            }
        }
        "kubernetes.io/dockercfg" => json(".dockercfg", errors),
        "kubernetes.io/dockerconfigjson" => json(".dockerconfigjson", errors),
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            errors.required(at("username"), "");
            errors.required(at("password"), "");
        }
        "kubernetes.io/ssh-auth"
            if data.and_then(|d| d.get("ssh-privatekey")).and_then(Value::as_str).is_none_or(str::is_empty) =>
        {
            errors.required(at("ssh-privatekey"), "");
        }
        "kubernetes.io/tls" => {
            for key in ["tls.crt", "tls.key"].into_iter().filter(|key| !has(key)) {
                errors.required(at(key), "");
            }
        }
        _ => {}
    }
}

fn node(object: &Value, errors: &mut ErrorList) {
    let spec = FieldPath::new("spec");
    // Taints are told below metadata, as stock servers do.
    let at = FieldPath::new("metadata").child("taints");
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (i, taint) in items(object, &["spec", "taints"]).iter().enumerate() {
        let at = at.index(i);
        let (key, effect) = (text(taint, &["key"]), text(taint, &["effect"]));
        errors.invalid_each(&at.child("key"), key, names::qualified_name(key));
        let value = text(taint, &["value"]);
        let wrong = names::label_value(value);
        if !wrong.is_empty() {
            errors.invalid(at.child("value"), value, wrong.join(";"));
        }
        match effect {
            "" => errors.required(at.child("effect"), ""),
            "NoSchedule" | "PreferNoSchedule" | "NoExecute" => {}
            other => errors.not_supported(at.child("effect"), other, &["NoSchedule", "PreferNoSchedule", "NoExecute"]),
        }
        if seen.contains(&(key, effect)) {
            errors.push(irori_api::field::FieldError::new(
                at,
                irori_api::field::Wrong::Duplicate,
                taint.clone(),
                "taints must be unique by key and effect pair",
            ));
        }
        seen.push((key, effect));
    }
    let cidrs = items(object, &["spec", "podCIDRs"]);
    for (i, cidr) in cidrs.iter().filter_map(Value::as_str).enumerate() {
        check::cidr(errors, cidr, spec.child("podCIDRs").index(i));
    }
    if cidrs.len() > 2 {
        errors.invalid(
            spec.child("podCIDRs"),
            Value::Array(cidrs.to_vec()),
            "may specify no more than one CIDR for each IP family",
        );
    }
}

fn event(group: &str, object: &Value, fresh: bool, errors: &mut ErrorList) {
    let root = FieldPath::root();
    let new_form = get(object, &["regarding"]).is_some() || get(object, &["reportingController"]).is_some();
    let involved = if new_form { "regarding" } else { "involvedObject" };
    let namespace = text(object, &["metadata", "namespace"]);
    let of = text(object, &[involved, "namespace"]);
    // Events about what has no namespace live in one of these.
    let nowhere = of.is_empty() && !matches!(namespace, "" | "default" | "kube-system");
    if nowhere || (!of.is_empty() && of != namespace) {
        errors.invalid(FieldPath::new("involvedObject").child("namespace"), of, "does not match event.namespace");
    }
    let timed = !text(object, &["eventTime"]).is_empty();
    if !fresh || (!timed && group != "events.k8s.io") {
        return;
    }
    if !timed {
        errors.required(root.child("eventTime"), "");
    }
    if group == "events.k8s.io" {
        for (field, told) in [
            ("deprecatedFirstTimestamp", "firstTimestamp"),
            ("deprecatedLastTimestamp", "lastTimestamp"),
            ("deprecatedCount", "count"),
            ("deprecatedSource", "source"),
        ] {
            if get(object, &[field]).is_some_and(|v| v.as_object().is_none_or(|o| !o.is_empty())) {
                errors.invalid(root.child(told), "", "needs to be unset");
            }
        }
    }
    let controller = if new_form { "reportingController" } else { "reportingComponent" };
    let told = text(object, &[controller]);
    if told.is_empty() {
        errors.required(root.child("reportingController"), "");
    } else {
        errors.invalid_each(&root.child("reportingController"), told, names::qualified_name(told));
    }
    check::required(errors, object, &root, &["reportingInstance"]);
    for field in ["action", "reason"] {
        check::required(errors, object, &root, &[field]);
    }
    for field in ["reportingInstance", "action", "reason"] {
        let given = text(object, &[field]);
        if given.len() > 128 {
            errors.invalid(root.child(field), given, "can have at most 128 characters");
        }
    }
    let note = text(object, &[if new_form { "note" } else { "message" }]);
    if note.len() > 1024 {
        errors.invalid(root.child("message"), "", "can have at most 1024 bytes");
    }
}
