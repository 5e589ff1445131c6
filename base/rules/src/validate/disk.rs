//! Disks, shares and drivers that a volume of a pod may be.
//!
//! Source: https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/volume/.
use irori_api::{
    field::{ErrorList, FieldPath},
    names,
};
use serde_json::Value;

use super::{check, volume};
use crate::tree::{flag, get, int, items, map, text};

/// Texts that each kind has to have.
const REQUIRED: &[(&str, &[&str])] = &[
    ("awsElasticBlockStore", &["volumeID"]),
    ("azureDisk", &["diskName", "diskURI"]),
    ("azureFile", &["secretName", "shareName"]),
    ("cinder", &["volumeID"]),
    ("flexVolume", &["driver"]),
    ("gcePersistentDisk", &["pdName"]),
    ("gitRepo", &["repository"]),
    ("glusterfs", &["endpoints", "path"]),
    ("persistentVolumeClaim", &["claimName"]),
    ("photonPersistentDisk", &["pdID"]),
    ("portworxVolume", &["volumeID"]),
    ("scaleIO", &["gateway", "system", "volumeName"]),
    ("storageos", &["volumeName"]),
    ("vsphereVolume", &["volumePath"]),
];

/// What is wrong with a source of a kind.
pub fn source(kind: &str, source: &Value, at: &FieldPath, errors: &mut ErrorList) {
    for field in REQUIRED.iter().filter(|(of, _)| *of == kind).flat_map(|(_, fields)| fields.iter()) {
        check::required(errors, source, at, &[field]);
    }
    match kind {
        "awsElasticBlockStore" | "gcePersistentDisk" => {
            if let Some(n) = int(source, &["partition"]).filter(|n| !(0..=255).contains(n)) {
                errors.invalid(at.child("partition"), n, "must be between 1 and 255, inclusive");
            }
        }
        "azureDisk" => azure_disk(source, at, errors),
        "cephfs" => monitors(source, at, errors),
        "cinder" => secret_name(source, "secretRef", at, errors),
        "csi" => csi(source, at, errors),
        "fc" => fibre_channel(source, at, errors),
        "flexVolume" => {
            for name in map(source, &["options"]).into_iter().flatten().map(|(name, _)| name) {
                let domain = format!(".{}", name.split_once('/').map_or(name.as_str(), |(domain, _)| domain).to_lowercase());
                if domain.ends_with(".kubernetes.io") || domain.ends_with(".k8s.io") {
                    let why = "kubernetes.io and k8s.io namespaces are reserved";
                    errors.invalid(at.child("options").key(name), name.as_str(), why);
                }
            }
        }
        "flocker" => flocker(source, at, errors),
        "gitRepo" => volume::local_path(errors, text(source, &["directory"]), &at.child("directory")),
        "iscsi" => iscsi(source, at, errors),
        "quobyte" => quobyte(source, at, errors),
        "rbd" => {
            monitors(source, at, errors);
            check::required(errors, source, at, &["image"]);
        }
        "storageos" => {
            for field in ["volumeName", "volumeNamespace"].into_iter().filter(|field| !text(source, &[field]).is_empty()) {
                check::name(errors, source, at, &[field], names::dns_label);
            }
            secret_name(source, "secretRef", at, errors);
        }
        _ => {}
    }
}

fn monitors(source: &Value, at: &FieldPath, errors: &mut ErrorList) {
    if items(source, &["monitors"]).is_empty() {
        errors.required(at.child("monitors"), "");
    }
}

/// A secret that is named has a name.
fn secret_name(source: &Value, field: &str, at: &FieldPath, errors: &mut ErrorList) {
    if let Some(secret) = get(source, &[field]) {
        check::required(errors, secret, &at.child(field), &["name"]);
    }
}

fn azure_disk(source: &Value, at: &FieldPath, errors: &mut ErrorList) {
    check::one_of(errors, source, at, &["cachingMode"], &["None", "ReadOnly", "ReadWrite"]);
    check::one_of(errors, source, at, &["kind"], &["Dedicated", "Managed", "Shared"]);
    let Some(kind) = get(source, &["kind"]).and_then(Value::as_str) else { return };
    let (start, form) = if kind == "Managed" {
        ("/subscriptions/", "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}")
    } else {
        ("https://", "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd")
    };
    let uri = text(source, &["diskURI"]);
    if !uri.starts_with(start) {
        errors.not_supported(at.child("diskURI"), uri, &[form]);
    }
}

fn csi(source: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let driver = text(source, &["driver"]);
    check::required(errors, source, at, &["driver"]);
    if driver.len() > 63 {
        errors.too_long(at.child("driver"), 63);
    }
    errors.invalid_each(&at.child("driver"), driver, names::dns_subdomain(&driver.to_lowercase()));
    let secret = text(source, &["nodePublishSecretRef", "name"]);
    if secret.is_empty() {
        secret_name(source, "nodePublishSecretRef", at, errors);
    } else {
        // The path is upstream's.
        errors.invalid_each(&at.child("name"), secret, names::dns_subdomain(secret));
    }
}

fn fibre_channel(source: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let (targets, ids) = (items(source, &["targetWWNs"]), items(source, &["wwids"]));
    if targets.is_empty() && ids.is_empty() {
        errors.required(at.child("targetWWNs"), "must specify either targetWWNs or wwids, but not both");
    }
    if targets.is_empty() {
        return;
    }
    if !ids.is_empty() {
        let why = "targetWWNs and wwids can not be specified simultaneously";
        errors.invalid(at.child("targetWWNs"), Value::Array(targets.to_vec()), why);
    }
    match int(source, &["lun"]) {
        None => errors.required(at.child("lun"), "lun is required if targetWWNs is specified"),
        Some(_) => check::between(errors, source, at, &["lun"], 0, 255),
    }
}

fn flocker(source: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let (name, uuid) = (text(source, &["datasetName"]), text(source, &["datasetUUID"]));
    match (name.is_empty(), uuid.is_empty()) {
        (true, true) => errors.required(at.clone(), "one of datasetName and datasetUUID is required"),
        (false, false) => {
            errors.invalid(at.clone(), "resource", "datasetName and datasetUUID can not be specified simultaneously");
        }
        _ => {}
    }
    if name.contains('/') {
        errors.invalid(at.child("datasetName"), name, "must not contain '/'");
    }
}

fn iscsi(source: &Value, at: &FieldPath, errors: &mut ErrorList) {
    check::required(errors, source, at, &["targetPortal"]);
    if check::required(errors, source, at, &["iqn"]) {
        initiator(text(source, &["iqn"]), &at.child("iqn"), errors);
    }
    check::between(errors, source, at, &["lun"], 0, 255);
    let chap = flag(source, &["chapAuthDiscovery"]) || flag(source, &["chapAuthSession"]);
    if chap && get(source, &["secretRef"]).is_none() {
        errors.required(at.child("secretRef"), "");
    }
    if let Some(name) = get(source, &["initiatorName"]).and_then(Value::as_str) {
        initiator(name, &at.child("initiatorname"), errors);
    }
}

/// Names of RFC 3720 and RFC 3980: `iqn.2001-04.com.example:x`, `eui.` and 16 digits, `naa.` and 32.
fn initiator(name: &str, at: &FieldPath, errors: &mut ErrorList) {
    let digits = |rest: &str, n: usize| {
        let mut rest = rest.chars();
        rest.next().is_some_and(|c| c != '\n') && {
            let rest = rest.as_str();
            rest.len() == n && rest.bytes().all(|b| b.is_ascii_alphanumeric())
        }
    };
    let good = match name.get(..3) {
        Some("iqn") => is_qualified(&name[3..]),
        Some("eui") => digits(&name[3..], 16),
        Some("naa") => digits(&name[3..], 32),
        _ => return errors.invalid(at.clone(), name, "must be valid format starting with iqn, eui, or naa"),
    };
    if !good {
        errors.invalid(at.clone(), name, "must be valid format");
    }
}

/// `.YYYY-MM.` and a domain, a colon and anything that a shell takes as it is.
fn is_qualified(rest: &str) -> bool {
    let bytes = rest.as_bytes();
    let date = bytes.len() > 9
        && bytes[..9].iter().enumerate().all(|(i, b)| match i {
            0 | 8 => *b == b'.',
            5 => *b == b'-',
            _ => b.is_ascii_digit(),
        });
    date && rest[9..].split_once(':').is_some_and(|(domain, own)| {
        !domain.is_empty()
            && domain.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
            && !own.is_empty()
            && !own.contains(|c: char| ",;*&$|".contains(c) || c.is_ascii_whitespace())
    })
}

fn quobyte(source: &Value, at: &FieldPath, errors: &mut ErrorList) {
    const PAIRS: &str = "must be a host:port pair or multiple pairs separated by commas";
    let registry = text(source, &["registry"]);
    if registry.is_empty() {
        errors.required(at.child("registry"), PAIRS);
    } else if text(source, &["tenant"]).len() >= 65 {
        errors.required(at.child("tenant"), "must be a UUID and may not exceed a length of 64 characters");
    } else {
        for _ in registry.split(',').filter(|pair| !is_host_and_port(pair)) {
            if errors.is_full() {
                break;
            }
            errors.invalid(at.child("registry"), registry, PAIRS);
        }
    }
    check::required(errors, source, at, &["volume"]);
}

/// `host:port`, or `[address]:port`.
fn is_host_and_port(pair: &str) -> bool {
    match pair.strip_prefix('[') {
        Some(rest) => {
            rest.split_once("]:").is_some_and(|(host, port)| !host.contains(['[', ']']) && !port.contains([':', '[', ']']))
        }
        None => pair.bytes().filter(|b| *b == b':').count() == 1 && !pair.contains(['[', ']']),
    }
}
