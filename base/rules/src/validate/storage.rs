//! Volumes, claims and classes.
use irori_api::{
    field::{ErrorList, FieldPath},
    names,
};
use serde_json::Value;

use super::{check, selector, volume};
use crate::tree::{get, items, map, text};

pub fn content(kind: &str, object: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("spec");
    let spec = get(object, &["spec"]).unwrap_or(&Value::Null);
    let root = FieldPath::root();
    match kind {
        "PersistentVolume" => persistent_volume(spec, &at, errors),
        "PersistentVolumeClaim" => claim_spec(spec, &at, errors),
        "StorageClass" => {
            check::required_name(errors, object, &root, &["provisioner"], |p| names::qualified_name(&p.to_lowercase()));
            check::required_one_of(errors, object, &root, &["reclaimPolicy"], &["Delete", "Retain"]);
            check::required_one_of(errors, object, &root, &["volumeBindingMode"], &["Immediate", "WaitForFirstConsumer"]);
        }
        "VolumeAttributesClass" => {
            check::required(errors, object, &root, &["driverName"]);
            if map(object, &["parameters"]).is_none_or(|p| p.is_empty()) {
                errors.required(root.child("parameters"), "must contain at least one key/value pair");
            }
        }
        "VolumeAttachment" => {
            check::required_name(errors, spec, &at, &["attacher"], names::dns_subdomain);
            if text(spec, &["attacher"]).len() > 63 {
                errors.too_long(at.child("attacher"), 63);
            }
            let source = at.child("source");
            match (get(spec, &["source", "persistentVolumeName"]), get(spec, &["source", "inlineVolumeSpec"])) {
                (None, None) => errors.required(source, "must specify exactly one of inlineVolumeSpec and persistentVolumeName"),
                (None, Some(_)) => {}
                (Some(_), Some(_)) => {
                    errors.forbidden(source, "must specify exactly one of inlineVolumeSpec and persistentVolumeName")
                }
                (Some(name), None) => {
                    if name == "" {
                        errors.required(source.child("persistentVolumeName"), "must specify non empty persistentVolumeName");
                    }
                    let name = name.as_str().unwrap_or("");
                    errors.invalid_each(&source.child("persistentVolumeName"), name, names::dns_subdomain(name));
                }
            }
            let node = text(spec, &["nodeName"]);
            errors.invalid_each(&at.child("nodeName"), node, names::dns_subdomain(node));
        }
        "CSINode" => {
            let mut seen: Vec<&str> = Vec::new();
            for (i, driver) in items(spec, &["drivers"]).iter().enumerate() {
                let at = at.child("drivers").index(i);
                let name = text(driver, &["name"]);
                check::required_name(errors, driver, &at, &["name"], |n| names::dns_subdomain(&n.to_lowercase()));
                if seen.contains(&name) {
                    errors.duplicate(at.child("name"), name);
                }
                seen.push(name);
                check::required(errors, driver, &at, &["nodeID"]);
            }
        }
        _ => {}
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
}

fn positive(amount: &str, at: &FieldPath, errors: &mut ErrorList) {
    if amount.starts_with('-') || crate::scalar::quantity_is_zero(amount) {
        errors.invalid(at.clone(), amount, "must be greater than zero");
    }
}

/// Sources of volumes in the order in which upstream looks at them, and how error paths spell them.
const SOURCES: &[(&str, &str)] = &[
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

fn persistent_volume(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    if items(spec, &["accessModes"]).is_empty() {
        errors.required(at.child("accessModes"), "");
    }
    access_modes(spec, at, errors);
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
            errors.invalid(at.clone(), amount, "must be a valid resource quantity");
        }
        positive(amount, &at, errors);
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
        let at = at.child(told);
        if found > 1 && *field != "flexVolume" {
            errors.forbidden(at, "may not specify more than 1 volume type");
            continue;
        }
        match *field {
            "hostPath" => volume::host_path(source, &at, errors),
            "nfs" => volume::nfs(source, &at, errors),
            // This path is spelled so by the API itself.
            "gcePersistentDisk" => {
                check::required(errors, source, &FieldPath::new("spec").child("persistentDisk"), &["pdName"]);
            }
            "flexVolume" => {
                check::required(errors, source, &at, &["driver"]);
            }
            "iscsi" => {
                for field in ["targetPortal", "iqn"] {
                    check::required(errors, source, &at, &[field]);
                }
            }
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
            _ => {}
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
