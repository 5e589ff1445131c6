//! Volumes of a pod.
//!
//! Source: https://kubernetes.io/docs/concepts/storage/volumes/.
use hashbrown::HashSet;

use irori_api::{
    field::{ErrorList, FieldPath},
    names,
};
use serde_json::{Map, Value};

use super::{check, disk, meta, projected};
use crate::tree::{get, map, text};

#[cfg(test)]
mod tests;

/// Checks the volumes of a pod and gives those that containers may mount. `pod`: the name of the pod; `None` in a template.
pub fn volumes<'v>(list: &'v [Value], pod: Option<&str>, at: &FieldPath, errors: &mut ErrorList) -> Vec<&'v Value> {
    let claims = made_claims(list, pod);
    let (mut good, mut seen) = (Vec::new(), HashSet::new());
    for (i, volume) in list.iter().enumerate() {
        let at = at.index(i);
        let name = text(volume, &["name"]);
        let before = errors.len();
        sources(volume, pod, &at, errors);
        check::required_name(errors, volume, &at, &["name"], names::dns_label);
        // Names of broken volumes are not remembered.
        if seen.contains(name) {
            errors.duplicate(at.child("name"), name);
        }
        if errors.len() == before {
            seen.insert(name);
            good.push(volume);
        }
        let claim = text(volume, &["persistentVolumeClaim", "claimName"]);
        if claims.contains(claim) {
            let why = "must not reference a PVC that gets created for an ephemeral volume";
            errors.invalid(at.at(["persistentVolumeClaim", "claimName"]), claim, why);
        }
    }
    good
}

/// Names of the claims that are made for volumes of a pod.
fn made_claims(list: &[Value], pod: Option<&str>) -> HashSet<String> {
    let Some(pod) = pod.filter(|name| !name.is_empty()) else { return HashSet::new() };
    let ephemeral = list.iter().filter(|volume| get(volume, &["ephemeral"]).is_some());
    ephemeral.map(|volume| format!("{pod}-{}", text(volume, &["name"]))).collect()
}

/// Kinds of sources in the order in which upstream looks at them, and how errors of one too many spell them.
const SOURCES: &[(&str, &str)] = &[
    ("emptyDir", "emptyDir"),
    ("hostPath", "hostPath"),
    ("gitRepo", "gitRepo"),
    ("gcePersistentDisk", "gcePersistentDisk"),
    ("awsElasticBlockStore", "awsElasticBlockStore"),
    ("secret", "secret"),
    ("nfs", "nfs"),
    ("iscsi", "iscsi"),
    ("glusterfs", "glusterfs"),
    ("flocker", "flocker"),
    ("persistentVolumeClaim", "persistentVolumeClaim"),
    ("rbd", "rbd"),
    ("cinder", "cinder"),
    ("cephfs", "cephFS"),
    ("quobyte", "quobyte"),
    ("downwardAPI", "downwarAPI"),
    ("fc", "fc"),
    ("flexVolume", "flexVolume"),
    ("configMap", "configMap"),
    ("azureFile", "azureFile"),
    ("vsphereVolume", "vsphereVolume"),
    ("photonPersistentDisk", "photonPersistentDisk"),
    ("portworxVolume", "portworxVolume"),
    ("azureDisk", "azureDisk"),
    ("storageos", "storageos"),
    ("projected", "projected"),
    ("scaleIO", "scaleIO"),
    ("csi", "csi"),
    ("ephemeral", "ephemeral"),
    ("image", "image"),
];

fn sources(volume: &Value, pod: Option<&str>, at: &FieldPath, errors: &mut ErrorList) {
    let there = volume.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let mut given: Vec<usize> = there.filter_map(|(name, _)| SOURCES.iter().position(|(kind, _)| kind == name)).collect();
    given.sort_unstable();
    // The first counts, the others are too many.
    for (i, (kind, told)) in given.into_iter().map(|at| SOURCES[at]).enumerate() {
        let Some(source) = get(volume, &[kind]) else { continue };
        if i > 0 {
            errors.forbidden(at.child(told), "may not specify more than 1 volume type");
        } else {
            // Errors of this kind are spelled so.
            let path = if kind == "gcePersistentDisk" { "persistentDisk" } else { kind };
            source_of(kind, source, pod.is_some(), &at.child(path), errors);
        }
        match kind {
            "iscsi" => host_session(volume, source, at, errors),
            "ephemeral" if i == 0 => claim_name(text(volume, &["name"]), pod, at, errors),
            _ => {}
        }
    }
}

fn source_of(kind: &str, source: &Value, of_pod: bool, at: &FieldPath, errors: &mut ErrorList) {
    match kind {
        "emptyDir" if text(source, &["sizeLimit"]).starts_with('-') => {
            errors.forbidden(at.child("sizeLimit"), "SizeLimit field must be a valid resource quantity");
        }
        "hostPath" => host_path(source, at, errors),
        "secret" | "configMap" => {
            check::required(errors, source, at, &[if kind == "secret" { "secretName" } else { "name" }]);
            projected::mode(source, "defaultMode", at, errors);
            projected::keys(source, at, errors);
        }
        "downwardAPI" => {
            projected::mode(source, "defaultMode", at, errors);
            projected::downward(source, at, errors);
        }
        "projected" => projected::projected(source, at, errors),
        "nfs" => nfs(source, at, errors),
        "image" => {
            if of_pod {
                check::required(errors, source, at, &["reference"]);
            }
            check::required_one_of(errors, source, at, &["pullPolicy"], &["Always", "IfNotPresent", "Never"]);
        }
        "ephemeral" => match get(source, &["volumeClaimTemplate"]) {
            None => errors.required(at.child("volumeClaimTemplate"), ""),
            Some(template) => claim_template(template, &at.child("volumeClaimTemplate"), errors),
        },
        _ => disk::source(kind, source, at, errors),
    }
}

/// The session of an initiator is named after the volume.
fn host_session(volume: &Value, source: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let (name, portal) = (text(volume, &["name"]), text(source, &["targetPortal"]));
    if get(source, &["initiatorName"]).is_some() && name.len() + 1 + portal.len() > 64 {
        let why =
            "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
        errors.invalid(at.child("name"), name, why);
    }
}

/// The claim of an ephemeral volume is named after pod and volume.
fn claim_name(name: &str, pod: Option<&str>, at: &FieldPath, errors: &mut ErrorList) {
    let Some(pod) = pod.filter(|pod| !pod.is_empty() && !name.is_empty()) else { return };
    let claim = format!("{pod}-{name}");
    for why in names::dns_subdomain(&claim) {
        errors.invalid(at.child("name"), name, format!("PVC name \"{claim}\": {why}"));
    }
}

fn claim_template(template: &Value, at: &FieldPath, errors: &mut ErrorList) {
    /// What a claim does not take from its template, as it is told.
    const OWN: &[(&str, &str)] = &[
        ("name", "name"),
        ("generateName", "generateName"),
        ("namespace", "namespace"),
        ("selfLink", "selfLink"),
        ("uid", "uID"),
        ("resourceVersion", "resourceVersion"),
        ("generation", "generation"),
        ("creationTimestamp", "creationTimestamp"),
        ("deletionTimestamp", "deletionTimestamp"),
        ("deletionGracePeriodSeconds", "deletionGracePeriodSeconds"),
        ("ownerReferences", "ownerReferences"),
        ("finalizers", "finalizers"),
        ("managedFields", "managedFields"),
    ];
    let nothing = Value::Object(Map::new());
    let given = get(template, &["metadata"]).unwrap_or(&nothing);
    let path = at.child("metadata");
    meta::annotations(given, &path.child("annotations"), errors);
    meta::labels(get(given, &["labels"]), &path.child("labels"), errors);
    for (field, told) in OWN {
        let set = map(given, &[]).and_then(|fields| fields.get(*field)).is_some_and(|value| match value {
            Value::Null => false,
            Value::String(text) => !text.is_empty(),
            Value::Number(n) => n.as_i64() != Some(0),
            _ => true,
        });
        if set {
            errors.forbidden(path.child(told), "cannot be set");
        }
    }
    super::storage::claim_spec(get(template, &["spec"]).unwrap_or(&Value::Null), &at.child("spec"), errors);
}

pub fn nfs(source: &Value, at: &FieldPath, errors: &mut ErrorList) {
    check::required(errors, source, at, &["server"]);
    check::required(errors, source, at, &["path"]);
    if !text(source, &["path"]).starts_with('/') {
        errors.invalid(at.child("path"), text(source, &["path"]), "must be an absolute path");
    }
}

pub fn host_path(source: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let path = text(source, &["path"]);
    if path.is_empty() {
        errors.required(at.child("path"), "");
        return;
    }
    no_backsteps(errors, path, &at.child("path"));
    let known = ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    check::one_of(errors, source, at, &["type"], &known);
}

/// A path below a folder: not absolute, not upwards.
pub fn local_path(errors: &mut ErrorList, path: &str, at: &FieldPath) {
    if path.starts_with('/') {
        errors.invalid(at.clone(), path, "must be a relative path");
    }
    no_backsteps(errors, path, at);
}

pub fn no_backsteps(errors: &mut ErrorList, path: &str, at: &FieldPath) {
    if path.split('/').any(|step| step == "..") {
        errors.invalid(at.clone(), path, "must not contain '..'");
    }
}
