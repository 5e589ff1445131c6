//! Containers that are added to a running pod to look into it.
//!
//! Source: https://kubernetes.io/docs/concepts/workloads/pods/ephemeral-containers/.
use hashbrown::HashSet;

use irori_api::field::{ErrorList, FieldPath};
use serde_json::Value;

use super::container;
use crate::tree::{get, items, remove, text};

/// What a container for debugging may not have, in the order of the API.
const NOT_EPHEMERAL: [&str; 9] = [
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];

/// `names`: of all containers before; `targets`: of those that it may look into.
pub fn container<'a>(
    one: &'a Value,
    at: &FieldPath,
    names: &mut HashSet<&'a str>,
    targets: &HashSet<&str>,
    around: &container::Around<'_>,
    errors: &mut ErrorList,
) {
    // How it is watched and started again is refused below, whatever it says.
    let mut bare = one.clone();
    for field in &NOT_EPHEMERAL[3..] {
        remove(&mut bare, &[field]);
    }
    container::common(&bare, at, around, errors);
    container::plain_image(one, at, errors);
    let name = text(one, &["name"]);
    if !names.insert(name) {
        errors.duplicate(at.child("name"), name);
    }
    let target = text(one, &["targetContainerName"]);
    if !target.is_empty() && !targets.contains(target) {
        errors.not_found(at.child("targetContainerName"), target);
    }
    const WHY: &str = "cannot be set for an Ephemeral Container";
    let set =
        |field: &&str| get(one, &[field]).is_some_and(|v| v.as_object().is_none_or(|o| *field != "resources" || !o.is_empty()));
    for field in NOT_EPHEMERAL.iter().filter(|field| set(field)) {
        errors.forbidden(at.child(field), WHY);
    }
    for (i, mount) in items(one, &["volumeMounts"]).iter().enumerate() {
        for field in ["subPath", "subPathExpr"].iter().filter(|field| !text(mount, &[field]).is_empty()) {
            errors.forbidden(at.child("volumeMounts").index(i).child(field), WHY);
        }
    }
}
