//! Kinds of the core group that have few rules.
use base64::{Engine, engine::general_purpose::STANDARD};
use irori_api::{
    field::{ErrorList, FieldPath},
    names,
};
use serde_json::Value;

use super::check;
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
        "LimitRange" => limit_range(object, errors),
        "ResourceQuota" => quota(object, errors),
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
            errors.invalid(FieldPath::new("binaryData").key(key), key.as_str(), format!("duplicate of key present in data: {key}"));
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
        "kubernetes.io/ssh-auth" if data.and_then(|d| d.get("ssh-privatekey")).and_then(Value::as_str).is_none_or(str::is_empty) => {
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
        errors.invalid(spec.child("podCIDRs"), Value::Array(cidrs.to_vec()), "may specify no more than one CIDR for each IP family");
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
            ("deprecatedFirstTimestamp", "firstTimestamp"), ("deprecatedLastTimestamp", "lastTimestamp"), ("deprecatedCount", "count"),
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

fn limit_range(object: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("spec").child("limits");
    for (i, item) in items(object, &["spec", "limits"]).iter().enumerate() {
        let at = at.index(i);
        let kind = text(item, &["type"]);
        errors.invalid_each(&at.child("type"), kind, names::qualified_name(kind));
        let amount = |side: &str, name: &str| get(item, &[side, name]).and_then(Value::as_str);
        let mut all: Vec<&String> = Vec::new();
        for side in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
            for name in map(item, &[side]).into_iter().flatten().map(|(name, _)| name) {
                if kind == "Container" || kind == "Pod" {
                    super::container::resource_name(name, &at.child(side).key(name), errors);
                }
                if !all.contains(&name) {
                    all.push(name);
                }
            }
            if kind == "Pod" && matches!(side, "default" | "defaultRequest") && map(item, &[side]).is_some_and(|m| !m.is_empty()) {
                errors.forbidden(at.child(side), "may not be specified when `type` is 'Pod'");
            }
        }
        if kind == "PersistentVolumeClaim" && amount("min", "storage").is_none() && amount("max", "storage").is_none() {
            errors.required(at.child("limits"), "either minimum or maximum storage value is required, but neither was provided");
        }
        for name in all {
            let more = |a: &str, b: &str| {
                let (a, b) = (amount(a, name)?, amount(b, name)?);
                crate::scalar::quantity_compare(a, b).is_gt().then(|| (a.to_owned(), b.to_owned()))
            };
            // Limits in the order in which they are compared: field told, smaller side, greater side, words.
            for (field, low, high, words) in [
                ("min", "min", "max", ("min value", "max value")),
                ("defaultRequest", "min", "defaultRequest", ("min value", "default request value")),
                ("defaultRequest", "defaultRequest", "max", ("default request value", "max value")),
                ("defaultRequest", "defaultRequest", "default", ("default request value", "default limit value")),
                ("default", "min", "default", ("min value", "default value")),
                ("default", "default", "max", ("default value", "max value")),
            ] {
                if let Some((a, b)) = more(low, high) {
                    let given = amount(field, name).unwrap_or("").to_owned();
                    errors.invalid(at.child(field).key(name), given, format!("{} {a} is greater than {} {b}", words.0, words.1));
                }
            }
            if let Some(ratio) = amount("maxLimitRequestRatio", name) {
                ratio_of(item, name, ratio, &at, errors);
            }
        }
    }
}

fn ratio_of(item: &Value, name: &str, ratio: &str, at: &FieldPath, errors: &mut ErrorList) {
    let path = at.child("maxLimitRequestRatio").key(name);
    if crate::scalar::quantity_compare(ratio, "1").is_lt() {
        errors.invalid(path.clone(), ratio, format!("ratio {ratio} is less than 1"));
    }
    let number = |side: &str| {
        let text = get(item, &[side, name])?.as_str()?;
        text.parse::<irori_api::quantity::Quantity>().ok().map(|q| q.milli_value() as f64)
    };
    if let (Some(max), Some(min)) = (number("max"), number("min")) {
        let most = max / min;
        let given = ratio.parse::<irori_api::quantity::Quantity>().map_or(0.0, |q| q.milli_value() as f64 / 1000.0);
        if given > most {
            errors.invalid(path, ratio, format!("ratio {ratio} is greater than max/min = {most:.6}"));
        }
    }
}

fn quota(object: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("spec");
    for (name, amount) in map(object, &["spec", "hard"]).into_iter().flatten() {
        let at = at.child("hard").key(name);
        let wrong = names::qualified_name(name);
        let standard = name.contains('/') || QUOTED.contains(&name.as_str()) || name.starts_with("requests.hugepages-") || name.starts_with("hugepages-");
        if !wrong.is_empty() {
            errors.invalid_each(&at, name.as_str(), wrong);
        } else if !standard {
            errors.invalid(at.clone(), name.as_str(), "must be a standard resource for quota");
        }
        let amount = amount.as_str().unwrap_or("0");
        super::container::quantity_not_negative(amount, &at, errors);
        let counted = name.starts_with("count/") || COUNTED.contains(&name.as_str());
        if counted && !super::container::whole(amount) {
            errors.invalid(at, amount, "must be an integer");
        }
    }
}

const COUNTED: &[&str] = &[
    "pods", "services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps", "persistentvolumeclaims", "services.nodeports",
    "services.loadbalancers",
];

const QUOTED: &[&str] = &[
    "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.storage", "requests.ephemeral-storage", "limits.cpu",
    "limits.memory", "limits.ephemeral-storage", "pods", "resourcequotas", "services", "replicationcontrollers", "secrets",
    "persistentvolumeclaims", "configmaps", "services.nodeports", "services.loadbalancers",
];
