//! Where a container sees the volumes of its pod.
//!
//! Source: https://kubernetes.io/docs/concepts/storage/volumes/ and
//! https://kubernetes.io/docs/concepts/storage/persistent-volumes/#raw-block-volume-support.
use hashbrown::{HashMap, HashSet};

use irori_api::field::{ErrorList, FieldPath};
use serde_json::Value;

use super::volume;
use crate::tree::{flag, get, items, text};

/// Volumes of one kind in a container, and the paths at which it sees them. Of a volume that stands twice the last path counts.
struct Seen<'a> {
    names: HashMap<&'a str, &'a str>,
    paths: HashSet<&'a str>,
}

impl<'a> Seen<'a> {
    fn of(list: &'a [Value], field: &str) -> Seen<'a> {
        let names: HashMap<&str, &str> = list.iter().map(|one| (text(one, &["name"]), text(one, &[field]))).collect();
        Seen { paths: names.values().copied().collect(), names }
    }
}

/// Mounts and devices of a container; `volumes`: those of its pod, by their names.
pub fn all(container: &Value, volumes: &HashMap<&str, &Value>, at: &FieldPath, errors: &mut ErrorList) {
    let (list, raw) = (items(container, &["volumeMounts"]), items(container, &["volumeDevices"]));
    let (mounted, devices) = (Seen::of(list, "mountPath"), Seen::of(raw, "devicePath"));
    mounts(container, volumes, &devices, &at.child("volumeMounts"), errors);
    block_devices(raw, volumes, &mounted, &at.child("volumeDevices"), errors);
}

fn mounts(container: &Value, volumes: &HashMap<&str, &Value>, devices: &Seen<'_>, list: &FieldPath, errors: &mut ErrorList) {
    let privileged = flag(container, &["securityContext", "privileged"]);
    let mut seen = HashSet::new();
    for (i, mount) in items(container, &["volumeMounts"]).iter().enumerate() {
        let at = list.index(i);
        let (name, path) = (text(mount, &["name"]), text(mount, &["mountPath"]));
        if name.is_empty() {
            errors.required(at.child("name"), "");
        }
        if !volumes.contains_key(name) {
            errors.not_found(at.child("name"), name);
        }
        if path.is_empty() {
            errors.required(at.child("mountPath"), "");
        }
        if !seen.insert(path) {
            errors.invalid(at.child("mountPath"), path, "must be unique");
        }
        if devices.names.contains_key(name) {
            errors.invalid(at.child("name"), name, "must not already exist in volumeDevices");
        }
        if devices.paths.contains(path) {
            errors.invalid(at.child("mountPath"), path, "must not already exist as a path in volumeDevices");
        }
        // From here on upstream tells the path of the list.
        let (sub, expression) = (text(mount, &["subPath"]), text(mount, &["subPathExpr"]));
        volume::local_path(errors, sub, &list.child("subPath"));
        if !sub.is_empty() && !expression.is_empty() {
            errors.invalid(at.child("subPathExpr"), expression, "subPathExpr and subPath are mutually exclusive");
        }
        volume::local_path(errors, expression, &list.child("subPathExpr"));
        let propagation = get(mount, &["mountPropagation"]).and_then(Value::as_str);
        if let Some(given) = propagation {
            const KNOWN: &[&str] = &["Bidirectional", "HostToContainer", "None"];
            let at = list.child("mountPropagation");
            if !KNOWN.contains(&given) {
                errors.not_supported(at, given, KNOWN);
            } else if given == "Bidirectional" && !privileged {
                errors.forbidden(at, "Bidirectional mount propagation is available only to privileged containers");
            }
        }
        let at = list.child("recursiveReadOnly");
        match get(mount, &["recursiveReadOnly"]).and_then(Value::as_str) {
            None | Some("Disabled") => {}
            Some("Enabled" | "IfPossible") => {
                if !flag(mount, &["readOnly"]) {
                    errors.forbidden(at.clone(), "may only be specified when readOnly is true");
                }
                if propagation.is_some_and(|given| given != "None") {
                    errors.forbidden(at, "may only be specified when mountPropagation is None or not specified");
                }
            }
            Some(given) => errors.not_supported(at, given, &["Disabled", "Enabled", "IfPossible"]),
        }
    }
}

fn block_devices(list: &[Value], volumes: &HashMap<&str, &Value>, mounted: &Seen<'_>, at: &FieldPath, errors: &mut ErrorList) {
    let (mut names, mut paths) = (HashSet::new(), HashSet::new());
    for (i, device) in list.iter().enumerate() {
        let at = at.index(i);
        let (name_at, path_at) = (at.child("name"), at.child("devicePath"));
        let (name, path) = (text(device, &["name"]), text(device, &["devicePath"]));
        if name.is_empty() {
            errors.required(name_at.clone(), "");
        }
        if !name.is_empty() && !names.insert(name) {
            errors.invalid(name_at.clone(), name, "must be unique");
        }
        match volumes.get(name) {
            None => errors.not_found(name_at.clone(), name),
            Some(volume) if get(volume, &["persistentVolumeClaim"]).is_none() && get(volume, &["ephemeral"]).is_none() => {
                let why = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.invalid(name_at.clone(), name, why);
            }
            Some(_) => {}
        }
        if path.is_empty() {
            errors.required(path_at.clone(), "");
        }
        if paths.contains(path) {
            errors.invalid(path_at.clone(), path, "must be unique");
        }
        if path.split('/').any(|step| step == "..") {
            errors.invalid(path_at.clone(), path, "can not contain backsteps ('..')");
        } else {
            paths.insert(path);
        }
        if mounted.names.contains_key(name) {
            errors.invalid(name_at, name, "must not already exist in volumeMounts");
        }
        if mounted.paths.contains(path) {
            errors.invalid(path_at, path, "must not already exist as a path in volumeMounts");
        }
    }
}
