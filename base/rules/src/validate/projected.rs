//! Files that a volume of a pod is filled with: from Secrets, ConfigMaps, the pod itself, tokens.
//!
//! Source: https://kubernetes.io/docs/concepts/storage/projected-volumes/.
use hashbrown::HashSet;

use irori_api::field::{ErrorList, FieldPath};
use serde_json::Value;

use super::{check, env, selector, volume};
use crate::tree::{get, int, items, map, text};

/// Fields of a pod that a file may show.
const SHOWN: &[&str] = &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

pub fn mode(source: &Value, field: &str, at: &FieldPath, errors: &mut ErrorList) {
    if let Some(mode) = int(source, &[field]).filter(|m| !(0..=0o777).contains(m)) {
        errors.invalid(at.child(field), mode, "must be a number between 0 and 0777 (octal), both inclusive");
    }
}

/// The path of a file that a volume writes: local, and not one of the volume's own.
fn file_path(errors: &mut ErrorList, path: &str, at: &FieldPath) {
    volume::local_path(errors, path, at);
    if path.starts_with("..") && !path.starts_with("../") {
        errors.invalid(at.clone(), path, "must not start with '..'");
    }
}

/// Keys of an object and the files that they become.
pub fn keys(source: &Value, at: &FieldPath, errors: &mut ErrorList) {
    for (i, item) in items(source, &["items"]).iter().enumerate() {
        let at = at.child("items").index(i);
        check::required(errors, item, &at, &["key"]);
        check::required(errors, item, &at, &["path"]);
        file_path(errors, text(item, &["path"]), &at.child("path"));
        mode(item, "mode", &at, errors);
    }
}

/// Files that show the pod; all are told by the path of their volume.
pub fn downward(source: &Value, at: &FieldPath, errors: &mut ErrorList) {
    for item in items(source, &["items"]) {
        check::required(errors, item, at, &["path"]);
        file_path(errors, text(item, &["path"]), &at.child("path"));
        match (get(item, &["fieldRef"]), get(item, &["resourceFieldRef"])) {
            (Some(field), also) => {
                env::field_ref(field, SHOWN, &at.child("fieldRef"), errors);
                if also.is_some() {
                    let why = "fieldRef and resourceFieldRef can not be specified simultaneously";
                    errors.invalid(at.clone(), "resource", why);
                }
            }
            (None, Some(field)) => env::resource_field(field, true, &at.child("resourceFieldRef"), errors),
            (None, None) => errors.required(at.clone(), "one of fieldRef and resourceFieldRef is required"),
        }
        mode(item, "mode", at, errors);
    }
}

/// Paths of the files of a volume: none stands twice.
#[derive(Default)]
struct Paths<'a>(HashSet<&'a str>);

impl<'a> Paths<'a> {
    fn add(&mut self, path: &'a str, shown: &str, at: &FieldPath, errors: &mut ErrorList) {
        if !path.is_empty() && !self.0.insert(path) {
            errors.invalid(at.clone(), shown, "conflicting duplicate paths");
        }
    }
}

pub fn projected(source: &Value, volume: &FieldPath, errors: &mut ErrorList) {
    mode(source, "defaultMode", volume, errors);
    let mut paths = Paths::default();
    for (i, one) in items(source, &["sources"]).iter().enumerate() {
        let at = volume.child("sources").index(i);
        for kind in ["secret", "configMap"] {
            let Some(inner) = get(one, &[kind]) else { continue };
            check::required(errors, inner, &at.child(kind), &["name"]);
            keys(inner, &at.child(kind), errors);
            for item in items(inner, &["items"]) {
                paths.add(text(item, &["path"]), text(inner, &["name"]), volume, errors);
            }
        }
        if let Some(inner) = get(one, &["downwardAPI"]) {
            downward(inner, &at.child("downwardAPI"), errors);
            for path in items(inner, &["items"]).iter().map(|item| text(item, &["path"])) {
                paths.add(path, path, volume, errors);
            }
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
            // The path of a token is told by that of the volume.
            if check::required(errors, token, volume, &["path"]) {
                file_path(errors, text(token, &["path"]), &volume.child("path"));
            }
        }
        if let Some(bundle) = get(one, &["clusterTrustBundle"]) {
            let at = at.child("clusterTrustBundle").child("labelSelector");
            selector::label_selector(get(bundle, &["labelSelector"]), &at, errors);
        }
        if map(one, &[]).map_or(0, |kinds| kinds.len()) > 1 {
            errors.forbidden(at, "may not specify more than 1 volume type per source");
        }
    }
}
