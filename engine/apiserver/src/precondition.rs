//! What a change says of the object that it means: its name, its uid, its revision.
//!
//! A PUT is for the object of its uid and for no other, not even for one that is to be made. To a patch the uid is a field like others,
//! which may not change. A revision of 0 is none.
use irori_api::{
    field::{FieldError, FieldPath, Wrong},
    row::Row,
    scalar,
};
use irori_rules::tree;
use irori_store::Entry;
use serde_json::Value;

use crate::{
    change::text,
    read,
    refusal::{About, Answered, Refusal},
};

/// The object's name must be the path's.
pub fn require_name(object: &Value, name: &str) -> Answered<()> {
    let own = text(object, "name");
    if own == name {
        return Ok(());
    }
    Err(Refusal::bad_request(if own.is_empty() {
        format!("the name of the object ({name} based on URL) was undeterminable: name must be provided")
    } else {
        format!("the name of the object ({own}) does not match the name on the URL ({name})")
    }))
}

/// A uid, if one is told, must be that of the object behind the key; `own` is empty where there is none.
pub fn require_uid(row: &Row, key: &str, name: &str, uid: &str, own: &str) -> Answered<()> {
    if uid.is_empty() || uid == own {
        return Ok(());
    }
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: /registry/{}, ResourceVersion: 0, AdditionalErrorMsg: {}",
        registry_key(key.split_once('/').map_or("", |(_, rest)| rest)),
        another_uid(uid, own)
    );
    Err(Refusal::conflict(read::about(row, name), &why))
}

/// A patch of scale is held to the uid by the resource itself.
pub fn require_scale_uid(row: &Row, name: &str, uid: &str, own: &str) -> Answered<()> {
    if uid.is_empty() || uid == own {
        return Ok(());
    }
    let resource = format!("{}/scale", row.gvr.resource);
    Err(Refusal::conflict(About { group: read::error_group(row), resource: &resource, name }, &another_uid(uid, own)))
}

/// An apply that makes an object cannot say which.
pub fn require_no_uid(row: &Row, name: &str, uid: &str) -> Answered<()> {
    if uid.is_empty() {
        return Ok(());
    }
    let why = format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
    Err(Refusal::conflict(read::about(row, name), &why))
}

fn another_uid(uid: &str, own: &str) -> String {
    format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {own}")
}

/// Which revision an object is meant to have; 0 is any.
pub fn revision(object: &Value) -> Answered<u64> {
    let given = text(object, "resourceVersion");
    match scalar::parse_resource_version(given) {
        Ok(revision) => Ok(revision.unwrap_or(0)),
        // Upstream answers this as an error of its own: without a reason, and without the field.
        Err(status) => {
            let why = status.message.find("strconv.").map_or(status.message.as_str(), |at| &status.message[at..]);
            Err(Refusal::new(500, "", why))
        }
    }
}

/// A changed object must say the revision it was made of, unless its kind does without; then it is taken for the newest.
pub fn require_revision(row: &Row, unconditional: bool, entry: &Entry, object: &mut Value) -> Answered<()> {
    match revision(object)? {
        0 if unconditional => {
            tree::set(object, &["metadata", "resourceVersion"], entry.revision.0.to_string());
            Ok(())
        }
        0 => {
            let field = FieldPath::new("metadata").child("resourceVersion");
            let error = FieldError::new(field, Wrong::Invalid, 0, "must be specified for an update");
            // The stock text names the resource here, not the kind.
            Err(Refusal::invalid_field(read::about(row, text(object, "name")), error))
        }
        asked if asked == entry.revision.0 => Ok(()),
        _ => Err(Refusal::modified(read::about(row, text(object, "name")))),
    }
}

/// What is to be made has no revision yet.
pub fn require_no_revision(object: &Value) -> Answered<()> {
    match revision(object) {
        Ok(1..) => Err(Refusal::new(500, "", "resourceVersion should not be set on objects to be created")),
        _ => Ok(()),
    }
}

/// Where a stock server stores an object, below `/registry`: a few resources have other names there.
fn registry_key(ours: &str) -> String {
    let (resource, rest) = ours.split_once('/').unwrap_or((ours, ""));
    let theirs = match resource {
        "services" => "services/specs",
        "endpoints" => "services/endpoints",
        "replicationcontrollers" => "controllers",
        "nodes" => "minions",
        "ingresses" => "ingress",
        // Servers of their own, which store by group.
        "customresourcedefinitions" => "apiextensions.k8s.io/customresourcedefinitions",
        "apiservices" => "apiregistration.k8s.io/apiservices",
        other => other,
    };
    format!("{theirs}/{rest}")
}
