//! Defaults of pods and what is in them.
use serde_json::{Map, Value, json};

use super::{blank, child, has, objects, or, or_nonzero, or_pointer};
use crate::quota::by_containers;

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
        "SecretVolumeSource" | "ConfigMapVolumeSource" | "DownwardAPIVolumeSource" | "ProjectedVolumeSource" => {
            or_pointer(o, "defaultMode", 0o644)
        }
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
        pod_resources(spec);
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

/// What a pod as a whole may use and asks for, as far as it says only a part of it.
///
/// Source: https://kubernetes.io/docs/tasks/configure-pod-container/assign-pod-level-resources/.
fn pod_resources(spec: &mut Map<String, Value>) {
    let list = |name: &str| spec.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let sums = |side: &str| by_containers(list("containers"), list("initContainers"), side);
    let (asked, used) = (sums("requests"), sums("limits"));
    let Some(resources) = spec.get_mut("resources").and_then(Value::as_object_mut) else { return };
    let given =
        |resources: &Map<String, Value>, side: &str| resources.get(side).and_then(Value::as_object).cloned().unwrap_or_default();
    let (mut limits, mut requests) = (given(resources, "limits"), given(resources, "requests"));
    if limits.is_empty() && requests.is_empty() {
        return;
    }
    // Pages that containers use are the pod's.
    for (name, sum) in used.into_iter().filter(|(name, _)| is_huge(name) && !requests.contains_key(name)) {
        limits.entry(name).or_insert_with(|| sum.to_string().into());
    }
    if !limits.is_empty() {
        for (name, sum) in asked.into_iter().filter(|(name, _)| matches!(name.as_str(), "cpu" | "memory")) {
            requests.entry(name).or_insert_with(|| sum.to_string().into());
        }
        for (name, limit) in limits.iter().filter(|(name, _)| matches!(name.as_str(), "cpu" | "memory") || is_huge(name)) {
            requests.entry(name.clone()).or_insert_with(|| limit.clone());
        }
    }
    for (side, amounts) in [("limits", limits), ("requests", requests)] {
        if !amounts.is_empty() {
            resources.insert(side.into(), amounts.into());
        }
    }
}

fn is_huge(name: &str) -> bool {
    name.starts_with("hugepages-")
}

fn pod_spec(o: &mut Map<String, Value>) {
    or(o, "dnsPolicy", "ClusterFirst");
    or(o, "restartPolicy", "Always");
    or_pointer(o, "securityContext", json!({}));
    or_pointer(o, "terminationGracePeriodSeconds", 30);
    or(o, "schedulerName", "default-scheduler");
    // The old name of the field follows the new one, and fills it where only the old one is given.
    if blank(o, "serviceAccountName")
        && let Some(old) = o.get("serviceAccount").cloned()
    {
        o.insert("serviceAccountName".into(), old);
    }
    if let Some(name) = o.get("serviceAccountName").cloned() {
        o.insert("serviceAccount".into(), name);
    }
}

fn container(o: &mut Map<String, Value>) {
    pull_policy(o, "imagePullPolicy", "image");
    or(o, "terminationMessagePath", "/dev/termination-log");
    or(o, "terminationMessagePolicy", "File");
}

/// What is named by the tag `latest` may be another image every time.
fn pull_policy(o: &mut Map<String, Value>, field: &str, image: &str) {
    if blank(o, field) {
        let latest = o.get(image).and_then(Value::as_str).is_some_and(|image| tag(image) == Some("latest"));
        o.insert(field.into(), if latest { "Always" } else { "IfNotPresent" }.into());
    }
}

/// The tag of an image reference: `latest` where it names neither tag nor digest, `None` where it has only a digest or is no
/// reference at all.
fn tag(image: &str) -> Option<&str> {
    let (name, digest) = match image.split_once('@') {
        Some((name, _)) => (name, true),
        None => (image, false),
    };
    let slash = name.rfind('/').map_or(0, |at| at + 1);
    let (path, tag) = match name[slash..].split_once(':') {
        Some((last, tag)) => (&name[..slash + last.len()], Some(tag)),
        None => (name, None),
    };
    if !is_repository(path) || tag.is_some_and(|tag| !is_tag(tag)) {
        return None;
    }
    tag.or(if digest { None } else { Some("latest") })
}

fn is_tag(tag: &str) -> bool {
    !tag.is_empty()
        && tag.len() <= 128
        && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        && !tag.starts_with(['.', '-'])
}

/// Host and path: lower case parts joined by single separators; the first part may be a host with a port.
fn is_repository(path: &str) -> bool {
    let mut parts: Vec<&str> = path.split('/').collect();
    if path.is_empty() || path.len() > 255 {
        return false;
    }
    let is_host = parts.len() > 1
        && (parts[0].contains(['.', ':']) || parts[0] == "localhost" || parts[0].bytes().any(|b| b.is_ascii_uppercase()));
    if is_host {
        let host = parts.remove(0);
        if !host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b)) {
            return false;
        }
    }
    parts.iter().all(|part| {
        let ends = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let bytes = part.as_bytes();
        ends(bytes.first())
            && ends(bytes.last())
            && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(b))
            && !["..", "___", "._", "_.", "-.", ".-", "_-", "-_"].iter().any(|pair| part.contains(pair))
    })
}

fn volume(o: &mut Map<String, Value>) {
    if !o.iter().any(|(name, source)| name != "name" && !source.is_null()) {
        o.insert("emptyDir".into(), json!({}));
    }
    if let Some(image) = o.get_mut("image").and_then(Value::as_object_mut) {
        pull_policy(image, "pullPolicy", "reference");
    }
}
