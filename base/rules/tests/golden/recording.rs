//! Reading the recording, and the admission of a stock server as far as its answers show it.
use std::{io::Read, path::Path};

use irori_api::row::{Gvr, Row, Tables};
use serde_json::{Value, json};

pub struct Step {
    pub id: String,
    pub step: usize,
    pub method: String,
    pub path: String,
    pub content_type: String,
    pub body: Value,
    pub status: u64,
    pub want: Value,
    pub warning: String,
}

pub fn steps(group: &str) -> Vec<Step> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/golden/{group}.jsonl.gz"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(file).unwrap()).read_to_string(&mut text).unwrap();
    let mut out = Vec::new();
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        for (step, s) in case["steps"].as_array().unwrap().iter().enumerate() {
            let body = match &s["body"] {
                Value::String(text) => serde_json::from_str(text).unwrap_or(Value::String(text.clone())),
                other => other.clone(),
            };
            out.push(Step {
                id: case["id"].as_str().unwrap().to_owned(),
                step,
                method: s["method"].as_str().unwrap().to_owned(),
                path: s["path"].as_str().unwrap().to_owned(),
                content_type: s["headers"]["Content-Type"].as_str().unwrap_or("application/json").to_owned(),
                body,
                status: s["want"]["status"].as_u64().unwrap(),
                want: s["want"]["body"].clone(),
                warning: s["want"]["warning"].as_str().unwrap_or("").to_owned(),
            });
        }
    }
    out
}

/// The row and namespace of a path; `None` for paths that name no resource. Subresources are returned last.
pub fn row<'a>(tables: &'a Tables, path: &str) -> Option<(&'a Row, String, Vec<String>)> {
    let path = path.split('?').next().unwrap();
    let mut words: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, version) = match *words.first()? {
        "api" => {
            let version = words.get(1)?.to_string();
            words.drain(..2);
            (String::new(), version)
        }
        "apis" => {
            let (group, version) = (words.get(1)?.to_string(), words.get(2)?.to_string());
            words.drain(..3);
            (group, version)
        }
        _ => return None,
    };
    let mut namespace = String::new();
    if words.len() >= 3 && words[0] == "namespaces" {
        namespace = words[1].to_owned();
        words.drain(..2);
    }
    let row = tables.rows.get(&Gvr { group, version, resource: words.first()?.to_string() })?;
    Some((row, namespace, words[1..].iter().map(|w| w.to_string()).collect()))
}

/// What the stock admission plugins add to a new object, so that answers can be compared with what the rules alone make.
pub fn admit(row: &Row, object: &mut Value) {
    match row.gvk.kind.as_str() {
        "Pod" => admit_pod(object),
        "PersistentVolumeClaim" => finalizer(object, "kubernetes.io/pvc-protection"),
        "Node" => {
            let mut taints = object["spec"]["taints"].as_array().cloned().unwrap_or_default();
            taints.push(json!({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}));
            object["spec"]["taints"] = taints.into();
        }
        "VolumeAttributesClass" => finalizer(object, "kubernetes.io/vac-protection"),
        "PersistentVolume" => finalizer(object, "kubernetes.io/pv-protection"),
        _ => {}
    }
}

fn finalizer(object: &mut Value, name: &str) {
    let mut list = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    if !list.iter().any(|f| f == name) {
        list.push(name.into());
    }
    object["metadata"]["finalizers"] = list.into();
}

fn admit_pod(pod: &mut Value) {
    let spec = &mut pod["spec"];
    if spec["serviceAccountName"].as_str().unwrap_or("").is_empty() {
        spec["serviceAccountName"] = json!("default");
        spec["serviceAccount"] = json!("default");
    }
    if spec["priority"].is_null() {
        spec["priority"] = match spec["priorityClassName"].as_str() {
            Some("system-cluster-critical") => json!(2000000000),
            Some("system-node-critical") => json!(2000001000),
            _ => json!(0),
        };
    }
    if spec["preemptionPolicy"].is_null() {
        spec["preemptionPolicy"] = json!("PreemptLowerPriority");
    }
    tolerate(pod);
}

/// The tolerations that the DefaultTolerationSeconds plugin adds, at updates too.
pub fn tolerate(pod: &mut Value) {
    let spec = &mut pod["spec"];
    let mut tolerations = spec["tolerations"].as_array().cloned().unwrap_or_default();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerated = |t: &Value| {
            (t["key"] == key || t["key"].as_str().unwrap_or("").is_empty())
                && (t["effect"] == "NoExecute" || t["effect"].is_null())
        };
        if !tolerations.iter().any(tolerated) {
            tolerations.push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}));
        }
    }
    spec["tolerations"] = tolerations.into();
}

/// Takes out what admission put in and what no two servers share, and marks times, as the recording does.
pub fn scrub(value: &mut Value) {
    match value {
        Value::Object(o) => {
            if o.get("name").and_then(Value::as_str).is_some_and(|n| n.starts_with("gen-")) && o.contains_key("generateName") {
                o.insert("name".into(), "gen-<rand>".into());
            }
            for (key, v) in o.iter_mut() {
                let time =
                    v.as_str().is_some_and(|t| t.len() >= 20 && t.ends_with('Z') && t.as_bytes()[4] == b'-' && t.contains('T'));
                match key.as_str() {
                    "uid" if v.is_string() => *v = "<uid>".into(),
                    "creationTimestamp" if v.is_string() => *v = "<creationTimestamp>".into(),
                    "deletionTimestamp" if v.is_string() => *v = "<deletionTimestamp>".into(),
                    "resourceVersion" if v.is_string() => *v = "<resourceVersion>".into(),
                    "selfLink" if v.is_string() => *v = "<selfLink>".into(),
                    "time" | "lastTransitionTime" | "firstTimestamp" | "lastTimestamp" | "lastProbeTime" | "lastUpdateTime"
                        if v.is_string() =>
                    {
                        *v = "<time>".into();
                    }
                    "renewTime" | "acquireTime" | "eventTime" => {}
                    _ if time => *v = "<time>".into(),
                    _ => scrub(v),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(scrub),
        Value::String(text) => {
            if text.contains("gen-") && text.len() == 9 {
                *text = "gen-<rand>".into();
            }
            if text.len() == 36 && text.matches('-').count() == 4 {
                *text = "<uuid>".into();
            }
        }
        _ => {}
    }
}

/// Takes the mounted token of the ServiceAccount plugin, managed fields and allocated addresses out of an answer.
pub fn strip(kind: &str, value: &mut Value) {
    if let Some(m) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        m.remove("managedFields");
        m.remove("resourceVersion");
    }
    if kind == "Pod" {
        let is_token = |v: &Value| v["name"].as_str().is_some_and(|n| n.starts_with("kube-api-access-"));
        let drop_from = |o: &mut Value, field: &str| {
            if let Some(list) = o.get_mut(field).and_then(Value::as_array_mut) {
                list.retain(|v| !is_token(v));
                if list.is_empty() {
                    o.as_object_mut().unwrap().remove(field);
                }
            }
        };
        let spec = &mut value["spec"];
        drop_from(spec, "volumes");
        for list in ["containers", "initContainers"] {
            for c in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                drop_from(c, "volumeMounts");
            }
        }
    }
    if kind == "Service" {
        let spec = value["spec"].as_object_mut().unwrap();
        for f in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort"] {
            spec.remove(f);
        }
        for p in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            p.as_object_mut().unwrap().remove("nodePort");
        }
    }
    if kind == "CertificateSigningRequest" {
        for f in ["username", "groups", "uid", "extra"] {
            value["spec"].as_object_mut().unwrap().remove(f);
        }
    }
    if kind == "APIService" || kind.ends_with("Review") {
        value.as_object_mut().unwrap().remove("status");
    }
}

/// The first difference of two trees, for people.
pub fn difference(want: &Value, got: &Value, path: &str) -> Option<String> {
    match (want, got) {
        (Value::Object(a), Value::Object(b)) => {
            for (k, v) in a {
                match b.get(k) {
                    None => return Some(format!("{path}.{k}: missing, want {v}")),
                    Some(w) => {
                        if let Some(d) = difference(v, w, &format!("{path}.{k}")) {
                            return Some(d);
                        }
                    }
                }
            }
            b.iter().find(|(k, _)| !a.contains_key(*k)).map(|(k, v)| format!("{path}.{k}: unexpected {v}"))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(i, (x, y))| difference(x, y, &format!("{path}[{i}]")))
        }
        _ if want == got => None,
        _ => Some(format!("{path}: want {want} got {got}")),
    }
}
