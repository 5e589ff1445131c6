//! Volumes of a pod, and where containers mount them.
use hashbrown::{HashMap, HashSet};

use irori_api::{
    field::{ErrorList, FieldPath},
    names,
};
use serde_json::Value;

use super::{check, container, selector};
use crate::tree::{get, int, items, map, text};

/// Checks the volumes of a pod and gives those that containers may mount.
pub fn volumes<'v>(list: &'v [Value], pod: &str, at: &FieldPath, errors: &mut ErrorList) -> Vec<&'v Value> {
    let mut good = Vec::new();
    let mut seen = HashSet::new();
    for (i, volume) in list.iter().enumerate() {
        let at = at.index(i);
        let name = text(volume, &["name"]);
        let before = errors.len();
        let again = !seen.insert(name);
        sources(volume, pod, &at, errors);
        if name.is_empty() {
            errors.required(at.child("name"), "");
        } else {
            let wrong = names::dns_label(name);
            if wrong.is_empty() && again {
                errors.duplicate(at.child("name"), name);
            }
            errors.invalid_each(&at.child("name"), name, wrong);
        }
        if errors.len() == before {
            good.push(volume);
        }
    }
    good
}

fn sources(volume: &Value, pod: &str, at: &FieldPath, errors: &mut ErrorList) {
    // The order in which upstream looks at the sources: the first counts, the others are too many.
    const ORDER: &[&str] = &[
        "emptyDir",
        "hostPath",
        "gitRepo",
        "gcePersistentDisk",
        "awsElasticBlockStore",
        "secret",
        "nfs",
        "iscsi",
        "glusterfs",
        "flocker",
        "persistentVolumeClaim",
        "rbd",
        "cinder",
        "cephfs",
        "quobyte",
        "downwardAPI",
        "fc",
        "flexVolume",
        "configMap",
        "azureFile",
        "vsphereVolume",
        "photonPersistentDisk",
        "portworxVolume",
        "azureDisk",
        "storageos",
        "projected",
        "scaleIO",
        "csi",
        "ephemeral",
        "image",
    ];
    let there = volume.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let mut given: Vec<usize> = there.filter_map(|(name, _)| ORDER.iter().position(|kind| kind == name)).collect();
    given.sort_unstable();
    for (i, kind) in given.into_iter().map(|at| ORDER[at]).enumerate() {
        let named = at;
        let at = at.child(kind);
        if i > 0 {
            errors.forbidden(at, "may not specify more than 1 volume type");
            continue;
        }
        let Some(source) = get(volume, &[kind]) else { continue };
        source_of(kind, source, (text(volume, &["name"]), pod, named), &at, errors);
    }
}

/// `whose`: names of volume and pod, path of the volume.
fn source_of(kind: &str, source: &Value, whose: (&str, &str, &FieldPath), at: &FieldPath, errors: &mut ErrorList) {
    let (name, pod, named) = whose;
    match kind {
        "emptyDir" if text(source, &["sizeLimit"]).starts_with('-') => {
            errors.forbidden(at.child("sizeLimit"), "SizeLimit field must be a valid resource quantity");
        }
        "hostPath" => host_path(source, at, errors),
        "secret" => {
            check::required(errors, source, at, &["secretName"]);
            files(source, "defaultMode", at, errors);
        }
        "configMap" => {
            check::required(errors, source, at, &["name"]);
            files(source, "defaultMode", at, errors);
        }
        "downwardAPI" => {
            mode(source, "defaultMode", at, errors);
            downward(source, at, errors);
        }
        "projected" => projected(source, at, errors),
        "persistentVolumeClaim" => {
            check::required(errors, source, at, &["claimName"]);
        }
        "nfs" => nfs(source, at, errors),
        "csi" => {
            check::required(errors, source, at, &["driver"]);
        }
        "image" => {
            check::one_of(errors, source, at, &["pullPolicy"], &["Always", "IfNotPresent", "Never"]);
        }
        "ephemeral" => match get(source, &["volumeClaimTemplate"]) {
            None => errors.required(at.child("volumeClaimTemplate"), ""),
            Some(template) => {
                let claim = format!("{pod}-{name}");
                if !pod.is_empty() && !name.is_empty() {
                    for why in names::dns_subdomain(&claim) {
                        errors.invalid(named.child("name"), name, format!("PVC name \"{claim}\": {why}"));
                    }
                }
                super::storage::claim_spec(
                    get(template, &["spec"]).unwrap_or(&Value::Null),
                    &at.child("volumeClaimTemplate").child("spec"),
                    errors,
                );
            }
        },
        "iscsi" => {
            for field in ["targetPortal", "iqn"] {
                check::required(errors, source, at, &[field]);
            }
        }
        "rbd" => {
            if items(source, &["monitors"]).is_empty() {
                errors.required(at.child("monitors"), "");
            }
            check::required(errors, source, at, &["image"]);
        }
        "cephfs" if items(source, &["monitors"]).is_empty() => errors.required(at.child("monitors"), ""),
        "glusterfs" => {
            check::required(errors, source, at, &["endpoints"]);
            check::required(errors, source, at, &["path"]);
        }
        "azureFile" => {
            check::required(errors, source, at, &["secretName"]);
            check::required(errors, source, at, &["shareName"]);
        }
        "gcePersistentDisk" => {
            check::required(errors, source, at, &["pdName"]);
        }
        "awsElasticBlockStore" | "cinder" | "portworxVolume" => {
            check::required(errors, source, at, &["volumeID"]);
        }
        "flexVolume" => {
            check::required(errors, source, at, &["driver"]);
        }
        "gitRepo" => {
            check::required(errors, source, at, &["repository"]);
        }
        _ => {}
    }
}

pub fn nfs(source: &Value, at: &FieldPath, errors: &mut ErrorList) {
    check::required(errors, source, at, &["server"]);
    if check::required(errors, source, at, &["path"]) && !text(source, &["path"]).starts_with('/') {
        errors.invalid(at.child("path"), text(source, &["path"]), "must be an absolute path");
    }
}

pub fn host_path(source: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let path = text(source, &["path"]);
    if path.is_empty() {
        errors.required(at.child("path"), "");
        return;
    }
    if path.split('/').any(|step| step == "..") {
        errors.invalid(at.child("path"), path, "must not contain '..'");
    }
    let known = ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    check::one_of(errors, source, at, &["type"], &known);
}

/// A path below a folder: not absolute, not upwards.
pub fn local_path(errors: &mut ErrorList, path: &str, at: &FieldPath) {
    if path.starts_with('/') {
        errors.invalid(at.clone(), path, "must be a relative path");
    }
    if path.split('/').any(|step| step == "..") {
        errors.invalid(at.clone(), path, "must not contain '..'");
    }
}

fn mode(source: &Value, field: &str, at: &FieldPath, errors: &mut ErrorList) {
    if let Some(mode) = int(source, &[field]).filter(|m| !(0..=0o777).contains(m)) {
        errors.invalid(at.child(field), mode, "must be a number between 0 and 0777 (octal), both inclusive");
    }
}

fn files(source: &Value, default_mode: &str, at: &FieldPath, errors: &mut ErrorList) {
    mode(source, default_mode, at, errors);
    for (i, item) in items(source, &["items"]).iter().enumerate() {
        let at = at.child("items").index(i);
        check::required(errors, item, &at, &["key"]);
        if check::required(errors, item, &at, &["path"]) {
            file_path(errors, text(item, &["path"]), &at.child("path"));
        }
        mode(item, "mode", &at, errors);
    }
}

/// The path of a file that a volume writes: local, and not one of the volume's own.
fn file_path(errors: &mut ErrorList, path: &str, at: &FieldPath) {
    local_path(errors, path, at);
    if path.starts_with("..") && !path.starts_with("../") {
        errors.invalid(at.clone(), path, "must not start with '..'");
    }
}

fn downward(source: &Value, at: &FieldPath, errors: &mut ErrorList) {
    for item in items(source, &["items"]) {
        if check::required(errors, item, at, &["path"]) {
            file_path(errors, text(item, &["path"]), &at.child("path"));
        }
        match (get(item, &["fieldRef"]), get(item, &["resourceFieldRef"])) {
            (Some(_), Some(_)) => {
                errors.invalid(at.clone(), "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
            }
            (Some(field), None) => {
                let path = text(field, &["fieldPath"]);
                let labels = matches!(path, "metadata.labels" | "metadata.annotations");
                if !labels {
                    container::field_ref(field, &at.child("fieldRef"), errors);
                }
            }
            (None, Some(field)) => {
                check::required(errors, field, &at.child("resourceFieldRef"), &["containerName"]);
                if check::required(errors, field, &at.child("resourceFieldRef"), &["resource"]) {
                    container::resource_field(
                        text(field, &["resource"]),
                        &at.child("resourceFieldRef").child("resource"),
                        errors,
                    );
                }
            }
            (None, None) => errors.required(at.child("fieldRef"), "one of fieldRef and resourceFieldRef is required"),
        }
        mode(item, "mode", at, errors);
    }
}

fn projected(source: &Value, at: &FieldPath, errors: &mut ErrorList) {
    mode(source, "defaultMode", at, errors);
    for (i, one) in items(source, &["sources"]).iter().enumerate() {
        let at = at.child("sources").index(i);
        let given = map(one, &[]).map_or(0, |m| m.len());
        if given > 1 {
            errors.forbidden(at.clone(), "may not specify more than 1 volume type");
        }
        for kind in ["secret", "configMap"] {
            if let Some(inner) = get(one, &[kind]) {
                check::required(errors, inner, &at.child(kind), &["name"]);
                files(inner, "defaultMode", &at.child(kind), errors);
            }
        }
        if let Some(inner) = get(one, &["downwardAPI"]) {
            downward(inner, &at.child("downwardAPI"), errors);
        }
        if let Some(token) = get(one, &["serviceAccountToken"]) {
            let at = at.child("serviceAccountToken");
            let seconds = int(token, &["expirationSeconds"]).unwrap_or(3600);
            if seconds < 600 {
                errors.invalid(at.child("expirationSeconds"), seconds, "may not specify a duration less than 10 minutes");
            }
            if seconds > 1 << 32 {
                errors.invalid(at.child("expirationSeconds"), seconds, "may not specify a duration larger than 2^32 seconds");
            }
            if check::required(errors, token, &at, &["path"]) {
                file_path(errors, text(token, &["path"]), &at.child("path"));
            }
        }
        if let Some(bundle) = get(one, &["clusterTrustBundle"]) {
            selector::label_selector(
                get(bundle, &["labelSelector"]),
                &at.child("clusterTrustBundle").child("labelSelector"),
                errors,
            );
        }
    }
}

/// Where a container sees its volumes.
pub fn mounts(container: &Value, volumes: &HashMap<&str, &Value>, at: &FieldPath, errors: &mut ErrorList) {
    let mut seen = HashSet::new();
    for (i, mount) in items(container, &["volumeMounts"]).iter().enumerate() {
        let at = at.child("volumeMounts").index(i);
        let name = text(mount, &["name"]);
        if name.is_empty() {
            errors.required(at.child("name"), "");
        }
        if !volumes.contains_key(name) {
            errors.not_found(at.child("name"), name);
        }
        let path = text(mount, &["mountPath"]);
        if path.is_empty() {
            errors.required(at.child("mountPath"), "");
        }
        if !seen.insert(path) {
            errors.invalid(at.child("mountPath"), path, "must be unique");
        }
        for field in ["subPath", "subPathExpr"] {
            let sub = text(mount, &[field]);
            if !sub.is_empty() {
                local_path(errors, sub, &at.child(field));
            }
        }
        if !text(mount, &["subPath"]).is_empty() && !text(mount, &["subPathExpr"]).is_empty() {
            errors.invalid(
                at.child("subPathExpr"),
                text(mount, &["subPathExpr"]),
                "subPathExpr and subPath are mutually exclusive",
            );
        }
        let propagation = ["None", "HostToContainer", "Bidirectional"];
        if let Some(given) = get(mount, &["mountPropagation"]).and_then(Value::as_str) {
            let mut sorted = propagation;
            sorted.sort_unstable();
            if !propagation.contains(&given) {
                errors.not_supported(at.child("mountPropagation"), given, &sorted);
            }
            if given == "Bidirectional" && !crate::tree::flag(container, &["securityContext", "privileged"]) {
                errors.forbidden(
                    at.child("mountPropagation"),
                    "Bidirectional mount propagation is available only to privileged containers",
                );
            }
        }
        if let Some(given) = get(mount, &["recursiveReadOnly"]).and_then(Value::as_str)
            && !matches!(given, "Disabled" | "Enabled" | "IfPossible")
        {
            let at = FieldPath::new(at.to_string().rsplit_once('[').map_or("", |(head, _)| head));
            errors.not_supported(at.child("recursiveReadOnly"), given, &["Disabled", "Enabled", "IfPossible"]);
        }
    }
    let claims =
        |name: &str| volumes.get(name).map(|v| get(v, &["persistentVolumeClaim"]).is_some() || get(v, &["ephemeral"]).is_some());
    for (i, device) in items(container, &["volumeDevices"]).iter().enumerate() {
        let at = at.child("volumeDevices").index(i);
        let name = text(device, &["name"]);
        if name.is_empty() {
            errors.required(at.child("name"), "");
        }
        match claims(name) {
            None => errors.not_found(at.child("name"), name),
            Some(false) => errors.not_found(at.child("name"), name),
            Some(true) => {}
        }
        let path = text(device, &["devicePath"]);
        if path.is_empty() {
            errors.required(at.child("devicePath"), "");
        } else if path.split('/').any(|s| s == "..") {
            errors.invalid(at.child("devicePath"), path, "can not contain backsteps ('..')");
        }
    }
}
