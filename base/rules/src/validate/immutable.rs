//! What an update may not change. Pods have a file of their own.
use hashbrown::HashMap;

use irori_api::{
    field::{ErrorList, FieldPath, Wrong},
    row::Row,
};
use serde_json::Value;

use super::{batch, check, core_v1, definition::shown, limits, node, storage_change};
use crate::tree::{flag, get, int, items, remove, same, same_without, set, text};

pub fn change(row: &Row, new: &Value, old: &Value, errors: &mut ErrorList) {
    let root = FieldPath::root();
    let fixed = |errors: &mut ErrorList, paths: &[&[&str]]| {
        for path in paths {
            check::immutable(errors, new, old, &root, path);
        }
    };
    match (row.gvk.group.as_str(), row.gvk.kind.as_str()) {
        ("", "ConfigMap") if flag(old, &["immutable"]) => locked(new, old, &["data", "binaryData"], errors),
        ("", "Secret") => {
            fixed(errors, &[&["type"]]);
            if flag(old, &["immutable"]) {
                locked(new, old, &["data"], errors);
            }
        }
        ("", "Service") => service(new, old, errors),
        ("events.k8s.io", "Event") => {
            if !same(get(new, &["series"]), get(old, &["series"])) {
                core_v1::series(new, errors);
            }
            for field in [
                "involvedObject",
                "reason",
                "message",
                "source",
                "firstTimestamp",
                "lastTimestamp",
                "count",
                "type",
                "eventTime",
                "action",
                "related",
            ] {
                check::immutable(errors, new, old, &root, &[field]);
            }
            for (field, told) in [("reportingComponent", "reportingController"), ("reportingInstance", "reportingInstance")] {
                if !same(get(new, &[field]), get(old, &[field])) {
                    errors.invalid(FieldPath::new(told), text(new, &[field]), "field is immutable");
                }
            }
        }
        ("", "PersistentVolume") => storage_change::volume(new, old, errors),
        ("", "PersistentVolumeClaim") => storage_change::claim(new, old, errors),
        ("", "Node") => node::change(new, old, errors),
        ("", "ResourceQuota") => limits::quota_change(new, old, errors),
        ("apps", "Deployment" | "ReplicaSet" | "DaemonSet") => fixed(errors, &[&["spec", "selector"]]),
        ("apps", "StatefulSet") => stateful_set(new, old, errors),
        ("apps", "ControllerRevision") => fixed(errors, &[&["data"]]),
        ("batch", "Job") => job(new, old, errors),
        ("discovery.k8s.io", "EndpointSlice") => fixed(errors, &[&["addressType"]]),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            let (was, is) = (get(old, &["roleRef"]), get(new, &["roleRef"]));
            if was != is {
                errors.invalid(FieldPath::new("roleRef"), is.cloned().unwrap_or(Value::Null), "cannot change roleRef");
            }
        }
        ("scheduling.k8s.io", "PriorityClass") => {
            if int(new, &["value"]) != int(old, &["value"]) {
                errors.forbidden(FieldPath::new("value"), "may not be changed in an update.");
            }
            fixed(errors, &[&["preemptionPolicy"]]);
        }
        ("storage.k8s.io", "StorageClass") => {
            for (field, why) in [
                ("parameters", "updates to parameters are forbidden."),
                ("provisioner", "updates to provisioner are forbidden."),
                ("reclaimPolicy", "updates to reclaimPolicy are forbidden."),
            ] {
                if !same(get(new, &[field]), get(old, &[field])) {
                    errors.forbidden(FieldPath::new(field), why);
                }
            }
            fixed(errors, &[&["volumeBindingMode"]]);
        }
        ("storage.k8s.io", "VolumeAttributesClass") => {
            for (field, why) in
                [("driverName", "updates to driverName are forbidden."), ("parameters", "updates to parameters are forbidden.")]
            {
                if !same(get(new, &[field]), get(old, &[field])) {
                    errors.forbidden(FieldPath::new(field), why);
                }
            }
        }
        ("node.k8s.io", "RuntimeClass") => fixed(errors, &[&["handler"]]),
        ("networking.k8s.io", "IPAddress") => fixed_struct(new, old, &["spec", "parentRef"], parent, errors),
        ("storage.k8s.io", "VolumeAttachment") => fixed_struct(new, old, &["spec"], attachment, errors),
        ("storage.k8s.io", "CSIDriver") => {
            // The first of these paths is spelled so by the API itself.
            for (field, told) in [("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")] {
                let is = get(new, &["spec", field]);
                if !same(is, get(old, &["spec", field])) {
                    errors.invalid(FieldPath::new("spec").child(told), is.cloned().unwrap_or(Value::Null), "field is immutable");
                }
            }
        }
        ("storage.k8s.io", "CSINode") => csi_node(new, old, errors),
        ("resource.k8s.io", "ResourceSlice") => {
            fixed(errors, &[&["spec", "pool", "name"], &["spec", "driver"], &["spec", "nodeName"]]);
        }
        ("storage.k8s.io", "CSIStorageCapacity") => fixed(errors, &[&["nodeTopology"], &["storageClassName"]]),
        ("resource.k8s.io", "ResourceClaim" | "ResourceClaimTemplate") => fixed(errors, &[&["spec"]]),
        _ => {}
    }
}

/// A struct that may not be changed, told in a stock server's own form of it.
fn fixed_struct(new: &Value, old: &Value, path: &[&str], shown: fn(&Value) -> String, errors: &mut ErrorList) {
    let is = get(new, path);
    if !same(is, get(old, path)) {
        let shown = is.map_or_else(|| "null".to_owned(), shown);
        check::wrong_go(errors, check::below(&FieldPath::root(), path), Wrong::Invalid, &shown, "field is immutable");
    }
}

fn parent(of: &Value) -> String {
    let fields = [("Group", "group"), ("Resource", "resource"), ("Namespace", "namespace"), ("Name", "name")];
    check::go(of, &fields.map(|(name, here)| (name, here, "\"\"")))
}

fn attachment(spec: &Value) -> String {
    let source = get(spec, &["source"]).unwrap_or(&Value::Null);
    let source = check::go(
        source,
        &[("PersistentVolumeName", "persistentVolumeName", "null"), ("InlineVolumeSpec", "inlineVolumeSpec", "null")],
    );
    let text = |field| shown::json(&Value::from(text(spec, &[field])));
    format!("{{\"Attacher\":{},\"Source\":{source},\"NodeName\":{}}}", text("attacher"), text("nodeName"))
}

/// Of items of one name the first.
pub fn first_by_name(items: &[Value]) -> HashMap<&str, &Value> {
    let mut first = HashMap::with_capacity(items.len());
    for item in items {
        first.entry(text(item, &["name"])).or_insert(item);
    }
    first
}

/// What a driver said of a node stays until it is taken back, save how many volumes it takes.
fn csi_node(new: &Value, old: &Value, errors: &mut ErrorList) {
    let is = first_by_name(items(new, &["spec", "drivers"]));
    for was in items(old, &["spec", "drivers"]) {
        let kept = is.get(text(was, &["name"])).copied();
        if let Some(changed) = kept.filter(|driver| !same_without(driver, was, &["allocatable"])) {
            let fields = [("Name", "name", "\"\""), ("NodeID", "nodeID", "\"\""), ("TopologyKeys", "topologyKeys", "null")];
            let shown = format!("{{{},\"Allocatable\":null}}", check::go(changed, &fields).trim_matches(['{', '}']));
            check::wrong_go(errors, FieldPath::new("spec").child("drivers"), Wrong::Invalid, &shown, "field is immutable");
        }
    }
}

/// An object that has made itself immutable.
fn locked(new: &Value, old: &Value, fields: &[&str], errors: &mut ErrorList) {
    const WHY: &str = "field is immutable when `immutable` is set";
    if !flag(new, &["immutable"]) {
        errors.forbidden(FieldPath::new("immutable"), WHY);
    }
    for field in fields {
        if !same(get(new, &[field]), get(old, &[field])) {
            errors.forbidden(FieldPath::new(field), WHY);
        }
    }
}

fn service(new: &Value, old: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("spec");
    let external = |s: &Value| text(s, &["spec", "type"]) == "ExternalName";
    if !external(old) && !external(new) {
        let (was, is) = (items(old, &["spec", "clusterIPs"]), items(new, &["spec", "clusterIPs"]));
        if let (Some(was), Some(is_first)) = (was.first(), is.first()) {
            if was != is_first {
                errors.invalid(at.child("clusterIPs").index(0), Value::Array(is.to_vec()), "may not change once set");
            }
        } else if !was.is_empty() && is.is_empty() {
            errors.invalid(at.child("clusterIPs").index(0), Value::Array(Vec::new()), "primary clusterIP can not be unset");
        }
        let family = |s: &Value| items(s, &["spec", "ipFamilies"]).first().cloned();
        if let (Some(was), Some(is)) = (family(old), family(new))
            && was != is
        {
            errors.invalid(at.child("ipFamilies").index(0), is, "may not change once set");
        }
    }
    let balancer = |s: &Value| text(s, &["spec", "type"]) == "LoadBalancer";
    if balancer(old) && balancer(new) && !same(get(new, &["spec", "loadBalancerClass"]), get(old, &["spec", "loadBalancerClass"]))
    {
        let given = get(new, &["spec", "loadBalancerClass"]).cloned().unwrap_or(Value::Null);
        errors.invalid(at.child("loadBalancerClass"), given, "may not change once set");
    }
}

fn stateful_set(new: &Value, old: &Value, errors: &mut ErrorList) {
    const MUTABLE: &[&str] = &[
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let bare = |v: &Value| {
        let mut spec = get(v, &["spec"]).cloned().unwrap_or(Value::Null);
        for field in MUTABLE {
            remove(&mut spec, &[field]);
        }
        spec
    };
    if bare(new) != bare(old) {
        errors.forbidden(
            FieldPath::new("spec"),
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', \
             'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        );
    }
}

fn job(new: &Value, old: &Value, errors: &mut ErrorList) {
    let root = FieldPath::root();
    let completions = ["spec", "completions"];
    if text(new, &["spec", "completionMode"]) == "Indexed" {
        // An indexed job may become larger or smaller, completions and parallelism together.
        let (is, was) = (int(new, &completions), int(old, &completions));
        if let Some(is) = is.filter(|is| Some(*is) != was && int(new, &["spec", "parallelism"]) != Some(*is)) {
            errors.invalid(
                FieldPath::new("spec").child("completions"),
                is,
                "can only be modified in tandem with spec.parallelism",
            );
        }
    } else {
        check::immutable(errors, new, old, &root, &completions);
    }
    check::immutable(errors, new, old, &root, &["spec", "selector"]);
    let template = get(new, &["spec", "template"]).cloned().unwrap_or(Value::Null);
    let mut allowed = get(old, &["spec", "template"]).cloned().unwrap_or(Value::Null);
    if flag(old, &["spec", "suspend"]) && text(old, &["status", "startTime"]).is_empty() {
        steered(&template, &mut allowed);
    }
    if template != allowed {
        errors.invalid(FieldPath::new("spec").child("template"), template, "field is immutable");
    }
    check::immutable(errors, new, old, &root, &["spec", "completionMode"]);
    for (field, shown) in [
        ("podFailurePolicy", batch::failure_policy_shown as fn(&Value) -> String),
        ("successPolicy", batch::success_policy_shown),
    ] {
        let (is, was) = (get(new, &["spec", field]), get(old, &["spec", field]));
        if !same(is, was) {
            let shown = is.map_or_else(|| "null".to_owned(), shown);
            check::wrong_go(errors, FieldPath::new("spec").child(field), Wrong::Invalid, &shown, "field is immutable");
        }
    }
    for field in ["backoffLimitPerIndex", "managedBy"] {
        check::immutable(errors, new, old, &root, &["spec", field]);
    }
}

/// A job that has not begun may still be told which nodes to use, and what its pods are labelled and annotated with.
fn steered(template: &Value, allowed: &mut Value) {
    let mut take = |path: &[&str]| match get(template, path) {
        Some(value) => set(allowed, path, value.clone()),
        None => drop(remove(allowed, path)),
    };
    for path in [
        &["spec", "nodeSelector"][..],
        &["spec", "tolerations"],
        &["spec", "schedulingGates"],
        &["spec", "affinity", "nodeAffinity"],
        &["metadata", "labels"],
        &["metadata", "annotations"],
    ] {
        take(path);
    }
    // Affinity or metadata that hold nothing else may come and go.
    for path in [&["spec", "affinity"][..], &["metadata"]] {
        let empty = get(allowed, path).and_then(Value::as_object).is_none_or(serde_json::Map::is_empty);
        if empty {
            match get(template, path).filter(|given| given.as_object().is_some_and(serde_json::Map::is_empty)) {
                Some(given) => set(allowed, path, given.clone()),
                None => drop(remove(allowed, path)),
            }
        }
    }
}
