//! Volumes and claims.
use irori_api::{
    field::{ErrorList, FieldPath},
    names,
};
use serde_json::Value;

use super::{check, disk, selector, volume};
use crate::tree::{get, items, map, text};

pub fn content(kind: &str, object: &Value, fresh: bool, errors: &mut ErrorList) {
    let at = FieldPath::new("spec");
    let spec = get(object, &["spec"]).unwrap_or(&Value::Null);
    match kind {
        "PersistentVolume" => persistent_volume(spec, false, &at, errors),
        "PersistentVolumeClaim" => {
            claim_spec(spec, &at, errors);
            if fresh {
                source_groups(spec, &at, errors);
            }
        }
        _ => super::classes::content(kind, object, spec, errors),
    }
}

const MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

fn access_modes(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let at = at.child("accessModes");
    let modes = items(spec, &["accessModes"]);
    let mut single = false;
    for mode in modes.iter().filter_map(Value::as_str) {
        single |= mode == "ReadWriteOncePod";
        if !MODES.contains(&mode) {
            errors.not_supported(at.clone(), mode, MODES);
        }
    }
    if single && modes.len() > 1 {
        errors.forbidden(at, "may not use ReadWriteOncePod with other access modes");
    }
}

pub fn claim_spec(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    if items(spec, &["accessModes"]).is_empty() {
        errors.required(at.child("accessModes"), "at least 1 access mode is required");
    }
    selector::label_selector(get(spec, &["selector"]), &at.child("selector"), errors);
    access_modes(spec, at, errors);
    match get(spec, &["resources", "requests", "storage"]).and_then(Value::as_str) {
        None => errors.required(at.child("resources").key("storage"), ""),
        Some(size) => positive(size, &at.child("resources").key("storage"), errors),
    }
    if let Some(class) = get(spec, &["storageClassName"]).and_then(Value::as_str).filter(|c| !c.is_empty()) {
        errors.invalid_each(&at.child("storageClassName"), class, names::dns_subdomain(class));
    }
    check::one_of(errors, spec, at, &["volumeMode"], &["Block", "Filesystem"]);
    if let Some(class) = get(spec, &["volumeAttributesClassName"]).and_then(Value::as_str).filter(|c| !c.is_empty()) {
        errors.invalid_each(&at.child("volumeAttributesClassName"), class, names::dns_subdomain(class));
    }
    for field in ["dataSource", "dataSourceRef"] {
        let Some(source) = get(spec, &[field]) else { continue };
        let at = at.child(field);
        check::required(errors, source, &at, &["name"]);
        check::required(errors, source, &at, &["kind"]);
        if text(source, &["apiGroup"]).is_empty() && text(source, &["kind"]) != "PersistentVolumeClaim" {
            errors.invalid(at, text(source, &["kind"]), "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
        }
    }
    if let (Some(one), Some(other)) = (get(spec, &["dataSource"]), get(spec, &["dataSourceRef"]))
        && ["apiGroup", "kind", "name"].into_iter().any(|part| text(one, &[part]) != text(other, &[part]))
    {
        // Stock servers show no value here, but an empty struct.
        errors.invalid(at.clone(), serde_json::json!({}), "must match dataSourceRef");
    }
}

/// Groups of what a new claim's data come from; a claim that was there keeps its own.
fn source_groups(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    for field in ["dataSource", "dataSourceRef"] {
        if let Some(source) = get(spec, &[field]).filter(|source| !text(source, &["apiGroup"]).is_empty()) {
            check::name(errors, source, &at.child(field), &["apiGroup"], names::dns_subdomain);
        }
    }
}

fn positive(amount: &str, at: &FieldPath, errors: &mut ErrorList) {
    if amount.starts_with('-') || crate::scalar::quantity_is_zero(amount) {
        errors.invalid(at.clone(), amount, "must be greater than zero");
    }
}

fn capacity(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let capacity = map(spec, &["capacity"]);
    if capacity.is_none_or(|c| c.is_empty()) {
        errors.required(at.child("capacity"), "");
    }
    if capacity.is_none_or(|c| c.len() != 1 || !c.contains_key("storage")) {
        errors.not_supported(at.child("capacity"), get(spec, &["capacity"]).cloned().unwrap_or(Value::Null), &["storage"]);
    }
    for (name, amount) in capacity.into_iter().flatten() {
        let at = at.child("capacity").key(name);
        let amount = amount.as_str().unwrap_or("0");
        if amount.starts_with('-') {
            let whole = amount.parse::<irori_api::quantity::Quantity>().map_or(0, |q| q.value());
            errors.invalid(at.clone(), whole, "must be a valid resource quantity");
        }
        positive(amount, &at, errors);
    }
}

/// Sources of volumes in the order in which upstream looks at them, and how error paths spell them.
pub const SOURCES: &[(&str, &str)] = &[
    ("hostPath", "hostPath"),
    ("gcePersistentDisk", "gcePersistentDisk"),
    ("awsElasticBlockStore", "awsElasticBlockStore"),
    ("glusterfs", "glusterfs"),
    ("flocker", "flocker"),
    ("nfs", "nfs"),
    ("rbd", "rbd"),
    ("quobyte", "quobyte"),
    ("cephfs", "cephFS"),
    ("iscsi", "iscsi"),
    ("cinder", "cinder"),
    ("fc", "fc"),
    ("flexVolume", "flexVolume"),
    ("azureFile", "azureFile"),
    ("vsphereVolume", "vsphereVolume"),
    ("photonPersistentDisk", "photonPersistentDisk"),
    ("portworxVolume", "portworxVolume"),
    ("azureDisk", "azureDisk"),
    ("scaleIO", "scaleIO"),
    ("local", "local"),
    ("storageos", "storageos"),
    ("csi", "csi"),
];

/// Nobody empties the root of a machine to use it again.
fn root_is_kept(spec: &Value, source: &Value, errors: &mut ErrorList) {
    let path = text(source, &["path"]);
    let is_root = path.starts_with('/') && path.split('/').all(|step| step.is_empty() || step == ".");
    if is_root && text(spec, &["persistentVolumeReclaimPolicy"]) == "Recycle" {
        let at = FieldPath::new("spec").child("persistentVolumeReclaimPolicy");
        errors.forbidden(at, "may not be 'recycle' for a hostPath mount of '/'");
    }
}

/// A volume; `inline`: as part of an attachment, where it is bound to nothing.
pub fn persistent_volume(spec: &Value, inline: bool, at: &FieldPath, errors: &mut ErrorList) {
    if inline {
        const INLINE: &str = "may not be specified in the context of inline volumes";
        for field in ["claimRef", "capacity", "nodeAffinity"] {
            if get(spec, &[field]).is_some() {
                errors.forbidden(at.child(field), INLINE);
            }
        }
        if get(spec, &["csi"]).is_none() {
            errors.required(at.child("csi"), "must be specified in the context of inline volumes");
        }
    }
    if items(spec, &["accessModes"]).is_empty() {
        errors.required(at.child("accessModes"), "");
    }
    access_modes(spec, at, errors);
    if !inline {
        capacity(spec, at, errors);
    }
    check::one_of(errors, spec, at, &["persistentVolumeReclaimPolicy"], &["Delete", "Recycle", "Retain"]);
    if let Some(affinity) = get(spec, &["nodeAffinity"]) {
        let at = at.child("nodeAffinity");
        match get(affinity, &["required"]) {
            None => errors.required(at.child("required"), "must specify required node constraints"),
            Some(required) => selector::node_selector(required, &at.child("required"), errors),
        }
    }
    let mut found = 0;
    for (field, told) in SOURCES {
        let Some(source) = get(spec, &[field]) else { continue };
        found += 1;
        if found > 1 && *field != "flexVolume" {
            errors.forbidden(at.child(told), "may not specify more than 1 volume type");
            continue;
        }
        // Errors of this kind are spelled so.
        let at = at.child(if *field == "gcePersistentDisk" { "persistentDisk" } else { field });
        match *field {
            "hostPath" => {
                volume::host_path(source, &at, errors);
                root_is_kept(spec, source, errors);
            }
            "nfs" => volume::nfs(source, &at, errors),
            "csi" => {
                let driver = text(source, &["driver"]);
                if driver.is_empty() {
                    errors.required(at.child("driver"), "");
                } else {
                    if driver.len() > 63 {
                        errors.too_long(at.child("driver"), 63);
                    }
                    errors.invalid_each(&at.child("driver"), driver, names::dns_subdomain(&driver.to_lowercase()));
                }
                check::required(errors, source, &at, &["volumeHandle"]);
                for secret in [
                    "controllerPublishSecretRef",
                    "nodeStageSecretRef",
                    "nodePublishSecretRef",
                    "controllerExpandSecretRef",
                    "nodeExpandSecretRef",
                ] {
                    if let Some(reference) = get(source, &[secret]) {
                        check::required(errors, reference, &at.child(secret), &["name"]);
                        check::required(errors, reference, &at.child(secret), &["namespace"]);
                    }
                }
            }
            "local" => {
                if check::required(errors, source, &at, &["path"]) && text(source, &["path"]).split('/').any(|s| s == "..") {
                    errors.invalid(at.child("path"), text(source, &["path"]), "must not contain '..'");
                }
                if get(spec, &["nodeAffinity"]).is_none() {
                    errors.required(FieldPath::new("metadata").child("annotations"), "Local volume requires node affinity");
                }
            }
            // As of a pod, but that the secrets of these two stand in any namespace.
            kind => {
                disk::source(kind, source, &at, errors);
                let secret = get(source, &["secretRef"]).filter(|_| matches!(kind, "cinder" | "storageos"));
                if let Some(secret) = secret {
                    check::required(errors, secret, &at.child("secretRef"), &["namespace"]);
                }
            }
        }
    }
    if found == 0 {
        errors.required(at.clone(), "must specify a volume type");
    }
    if let Some(class) = get(spec, &["storageClassName"]).and_then(Value::as_str).filter(|c| !c.is_empty()) {
        errors.invalid_each(&at.child("storageClassName"), class, names::dns_subdomain(class));
    }
    check::one_of(errors, spec, at, &["volumeMode"], &["Block", "Filesystem"]);
    if let Some(class) = get(spec, &["volumeAttributesClassName"]).and_then(Value::as_str) {
        if class.is_empty() {
            errors.required(at.child("volumeAttributesClassName"), "an empty string is disallowed");
        } else {
            errors.invalid_each(&at.child("volumeAttributesClassName"), class, names::dns_subdomain(class));
        }
        if get(spec, &["csi"]).is_none() {
            errors.required(at.child("csi"), "has to be specified when using volumeAttributesClassName");
        }
    }
}
