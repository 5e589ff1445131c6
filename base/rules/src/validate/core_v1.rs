//! Kinds of the core group that have few rules.
use base64::{Engine, engine::general_purpose::STANDARD};
use irori_api::{
    codec::{Limits, Read, json},
    field::{ErrorList, FieldPath},
    names,
};
use serde_json::Value;

use super::{limits, meta};
use crate::{
    decode::json_kind,
    tree::{get, items, map, text},
};

/// Bytes of all data of a ConfigMap or Secret.
const DATA_MAX: usize = 1024 * 1024;
/// Bytes of action, reason and reporting instance of an event.
const EVENT_WORD_MAX: usize = 128;
/// Bytes of the message of an event.
const EVENT_NOTE_MAX: usize = 1024;

/// `old`: what it was, at an update.
pub fn content(asked: &str, kind: &str, object: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    match kind {
        "ConfigMap" => config_map(object, errors),
        "Secret" => secret(object, errors),
        "Namespace" if old.is_none() => namespace(object, errors),
        "Event" => event(asked, object, old.is_none(), errors),
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
        // Stock servers name no field here.
        errors.too_long(FieldPath::root().key(""), DATA_MAX);
    }
}

/// Why Go would not read the bytes as a JSON object; null is read as an empty one.
fn no_object(bytes: &[u8]) -> Option<String> {
    match json::read(bytes, &Limits::default()) {
        Err(error) => Some(error.to_string()),
        Ok(Read { value: Value::Object(_) | Value::Null, .. }) => None,
        Ok(read) => {
            let kind = json_kind(&read.value);
            Some(format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"))
        }
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
        if let Some(why) = no_object(&bytes) {
            errors.invalid(at(key), "<secret contents redacted>", why);
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

fn namespace(object: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("spec").child("finalizers");
    for name in items(object, &["spec", "finalizers"]).iter().filter_map(Value::as_str) {
        meta::finalizer(name, &at, errors);
    }
}

/// `asked`: the group of the request; the events group is stricter than the core one with new objects.
fn event(asked: &str, object: &Value, fresh: bool, errors: &mut ErrorList) {
    let root = FieldPath::root();
    let stricter = asked == "events.k8s.io";
    let namespace = text(object, &["metadata", "namespace"]);
    let of = text(object, &["involvedObject", "namespace"]);
    let timed = !text(object, &["eventTime"]).is_empty();
    // Events about what has no namespace live in one of few.
    let apart = match (of.is_empty(), timed) {
        (true, false) => !matches!(namespace, "" | "default"),
        (true, true) => !matches!(namespace, "default" | "kube-system"),
        (false, false) => of != namespace,
        (false, true) => false,
    };
    if apart {
        errors.invalid(FieldPath::new("involvedObject").child("namespace"), of, "does not match event.namespace");
    }
    if timed {
        timed_event(object, if stricter { "reportingController" } else { "reportingComponent" }, errors);
    }
    if !fresh || !stricter {
        return;
    }
    series(object, errors);
    if !timed {
        errors.required(root.child("eventTime"), "");
    }
    let sort = text(object, &["type"]);
    if !matches!(sort, "Normal" | "Warning") {
        errors.invalid(root.child("type"), "", format!("has invalid value: {sort}"));
    }
    for field in ["firstTimestamp", "lastTimestamp", "count", "source"] {
        let set = match get(object, &[field]) {
            None => false,
            Some(Value::Object(fields)) => fields.values().any(|v| !v.is_null() && v != ""),
            Some(Value::Number(n)) => n.as_i64() != Some(0),
            Some(_) => true,
        };
        if set {
            errors.invalid(root.child(field), "", "needs to be unset");
        }
    }
}

fn timed_event(object: &Value, controller: &str, errors: &mut ErrorList) {
    let root = FieldPath::root();
    let told = text(object, &["reportingComponent"]);
    if told.is_empty() {
        errors.required(root.child(controller), "");
    } else {
        errors.invalid_each(&root.child(controller), told, names::qualified_name(told));
    }
    for field in ["reportingInstance", "action", "reason"] {
        let given = text(object, &[field]);
        if given.is_empty() {
            errors.required(root.child(field), "");
        }
        if given.len() > EVENT_WORD_MAX {
            errors.invalid(root.child(field), "", format!("can have at most {EVENT_WORD_MAX} characters"));
        }
    }
    if text(object, &["message"]).len() > EVENT_NOTE_MAX {
        errors.invalid(root.child("message"), "", format!("can have at most {EVENT_NOTE_MAX} bytes"));
    }
}

pub fn series(object: &Value, errors: &mut ErrorList) {
    let Some(series) = get(object, &["series"]) else { return };
    let at = FieldPath::new("series");
    if crate::tree::int(series, &["count"]).unwrap_or(0) < 2 {
        errors.invalid(at.child("count"), "", "should be at least 2");
    }
    if text(series, &["lastObservedTime"]).is_empty() {
        errors.required(at.child("lastObservedTime"), "");
    }
}
