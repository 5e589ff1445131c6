//! Defaults of pods and what is in them.
use serde_json::{Map, Value, json};

use super::{blank, child, has, is, objects, or, or_nonzero, or_pointer};

pub fn by_code(name: &str, o: &mut Map<String, Value>) {
    match name {
        "Pod" => pod(o),
        "PodSpec" => pod_spec(o),
        "Container" | "EphemeralContainer" => container(o),
        "Probe" => {
            or_nonzero(o, "timeoutSeconds", 1);
            or_nonzero(o, "periodSeconds", 10);
            or_nonzero(o, "successThreshold", 1);
            or_nonzero(o, "failureThreshold", 3);
        }
        "HTTPGetAction" => {
            or(o, "path", "/");
            or(o, "scheme", "HTTP");
        }
        "GRPCAction" => or_pointer(o, "service", ""),
        "ObjectFieldSelector" => or(o, "apiVersion", "v1"),
        "ResourceFieldSelector" => or_pointer(o, "divisor", "0"),
        "Volume" => volume(o),
        "SecretVolumeSource" | "ConfigMapVolumeSource" | "DownwardAPIVolumeSource" | "ProjectedVolumeSource" => or_pointer(o, "defaultMode", 0o644),
        "ServiceAccountTokenProjection" => or_pointer(o, "expirationSeconds", 3600),
        "HostPathVolumeSource" => or_pointer(o, "type", ""),
        _ => {}
    }
}

fn pod(o: &mut Map<String, Value>) {
    let Some(spec) = o.get_mut("spec").and_then(Value::as_object_mut) else { return };
    for list in ["containers", "initContainers"] {
        for container in objects(spec, list) {
            requests_from_limits(container);
        }
    }
    or_pointer(spec, "enableServiceLinks", true);
    if spec.get("hostNetwork").and_then(Value::as_bool) == Some(true) {
        for list in ["containers", "initContainers"] {
            for container in objects(spec, list) {
                for port in objects(container, "ports") {
                    if let Some(number) = port.get("containerPort").and_then(Value::as_i64) {
                        or_nonzero(port, "hostPort", number);
                    }
                }
            }
        }
    }
    if has(spec, "resources") {
        pod_requests(spec);
    }
}

/// What a container may use and does not ask for, it asks for.
fn requests_from_limits(container: &mut Map<String, Value>) {
    let Some(resources) = container.get_mut("resources").and_then(Value::as_object_mut) else { return };
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { return };
    let Some(requests) = child(resources, "requests") else { return };
    for (name, limit) in limits {
        requests.entry(name).or_insert(limit);
    }
}

/// Pod-level requests: cpu and memory limits that are not asked for by the pod, unless containers ask for them.
fn pod_requests(spec: &mut Map<String, Value>) {
    let asked = |spec: &Map<String, Value>, name: &str| {
        ["containers", "initContainers"].iter().any(|list| {
            spec.get(*list).and_then(Value::as_array).is_some_and(|cs| cs.iter().any(|c| crate::tree::get(c, &["resources", "requests", name]).is_some()))
        })
    };
    let by_containers: Vec<&str> = ["cpu", "memory"].into_iter().filter(|name| asked(spec, name)).collect();
    let Some(resources) = spec.get_mut("resources").and_then(Value::as_object_mut) else { return };
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { return };
    let Some(requests) = child(resources, "requests") else { return };
    for (name, limit) in limits {
        let supported = matches!(name.as_str(), "cpu" | "memory") || name.starts_with("hugepages-");
        if supported && !by_containers.contains(&name.as_str()) {
            requests.entry(name).or_insert(limit);
        }
    }
}

fn pod_spec(o: &mut Map<String, Value>) {
    or(o, "dnsPolicy", "ClusterFirst");
    or(o, "restartPolicy", "Always");
    or_pointer(o, "securityContext", json!({}));
    or_pointer(o, "terminationGracePeriodSeconds", 30);
    or(o, "schedulerName", "default-scheduler");
    // The old name of the field follows the new one, and fills it where only the old one is given.
    if blank(o, "serviceAccountName") {
        if let Some(old) = o.get("serviceAccount").cloned() {
            o.insert("serviceAccountName".into(), old);
        }
    }
    if let Some(name) = o.get("serviceAccountName").cloned() {
        o.insert("serviceAccount".into(), name);
    }
}

fn container(o: &mut Map<String, Value>) {
    if blank(o, "imagePullPolicy") {
        let latest = o.get("image").and_then(Value::as_str).is_none_or(|image| tag(image) == Some("latest"));
        o.insert("imagePullPolicy".into(), if latest { "Always" } else { "IfNotPresent" }.into());
    }
    or(o, "terminationMessagePath", "/dev/termination-log");
    or(o, "terminationMessagePolicy", "File");
}

/// The tag of an image reference: `latest` where it names neither tag nor digest, `None` where it has only a digest.
fn tag(image: &str) -> Option<&str> {
    let (name, digest) = match image.split_once('@') {
        Some((name, _)) => (name, true),
        None => (image, false),
    };
    let last = name.rsplit('/').next().unwrap_or(name);
    match last.split_once(':') {
        Some((_, tag)) => Some(tag),
        None if digest => None,
        // An empty reference cannot be parsed: no tag either.
        None if image.is_empty() => None,
        None => Some("latest"),
    }
}

fn volume(o: &mut Map<String, Value>) {
    if !o.iter().any(|(name, source)| name != "name" && !source.is_null()) {
        o.insert("emptyDir".into(), json!({}));
    }
    let _ = is;
}
