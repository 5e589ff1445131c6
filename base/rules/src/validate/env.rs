//! Environment variables of a container, and the fields of pods and containers that variables and files may show.
//!
//! Source: https://kubernetes.io/docs/concepts/workloads/pods/downward-api/.
use hashbrown::HashMap;

use irori_api::{
    field::{ErrorList, FieldPath},
    names,
};
use serde_json::Value;

use super::{check, volume};
use crate::tree::{get, items, map, text};

/// Fields of a pod that a variable may show.
const SHOWN: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Names of environment variables: printable ASCII but `=`.
fn env_name(name: &str) -> Vec<String> {
    if name.is_empty() || name.bytes().any(|b| !(0x20..=0x7e).contains(&b) || b == b'=') {
        return vec!["a valid environment variable name must consist only of printable ASCII characters other than '='".into()];
    }
    Vec::new()
}

/// Variables of a container, one by one and from whole objects.
pub fn variables(container: &Value, at: &FieldPath, errors: &mut ErrorList) {
    for (i, variable) in items(container, &["env"]).iter().enumerate() {
        let at = at.child("env").index(i);
        check::required_name(errors, variable, &at, &["name"], env_name);
        if let Some(source) = get(variable, &["valueFrom"]) {
            value_from(source, text(variable, &["value"]), &at.child("valueFrom"), errors);
        }
    }
    for (i, source) in items(container, &["envFrom"]).iter().enumerate() {
        let list = at.child("envFrom");
        let at = list.index(i);
        if !text(source, &["prefix"]).is_empty() {
            check::name(errors, source, &at, &["prefix"], env_name);
        }
        let given: Vec<&str> = ["configMapRef", "secretRef"].into_iter().filter(|r| get(source, &[r]).is_some()).collect();
        for reference in &given {
            check::required_name(errors, source, &at, &[reference, "name"], names::dns_subdomain);
        }
        // Both are told by the path of the list.
        match given.len() {
            0 => errors.invalid(list, "", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => errors.invalid(list, "", "may not have more than one field specified at a time"),
        }
    }
}

fn value_from(source: &Value, value: &str, at: &FieldPath, errors: &mut ErrorList) {
    if let Some(field) = get(source, &["fieldRef"]) {
        field_ref(field, SHOWN, &at.child("fieldRef"), errors);
    }
    if let Some(field) = get(source, &["resourceFieldRef"]) {
        resource_field(field, false, &at.child("resourceFieldRef"), errors);
    }
    for kind in ["configMapKeyRef", "secretKeyRef"] {
        if let Some(reference) = get(source, &[kind]) {
            let (at, name) = (at.child(kind), text(reference, &["name"]));
            errors.invalid_each(&at.child("name"), name, names::dns_subdomain(name));
            check::required_name(errors, reference, &at, &["key"], names::config_key);
        }
    }
    if let Some(file) = get(source, &["fileKeyRef"]) {
        let at = at.child("fileKeyRef");
        check::required_name(errors, file, &at, &["key"], env_name);
        check::required_name(errors, file, &at, &["volumeName"], names::dns_label);
        if check::required(errors, file, &at, &["path"]) {
            volume::no_backsteps(errors, text(file, &["path"]), &at.child("path"));
        }
    }
    match map(source, &[]).map_or(0, |given| given.len()) {
        0 => errors.invalid(
            at.clone(),
            "",
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        ),
        _ if !value.is_empty() => errors.invalid(at.clone(), "", "may not be specified when `value` is not empty"),
        1 => {}
        _ => errors.invalid(at.clone(), "", "may not have more than one field specified at a time"),
    }
}

/// Files that variables are read from lie in volumes that the pod itself fills.
pub fn files(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    // Of volumes of one name the last counts.
    let volumes: HashMap<&str, &Value> = items(spec, &["volumes"]).iter().map(|one| (text(one, &["name"]), one)).collect();
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for (i, container) in items(spec, &[list]).iter().enumerate() {
            for (j, variable) in items(container, &["env"]).iter().enumerate() {
                let Some(file) = get(variable, &["valueFrom", "fileKeyRef"]) else { continue };
                let name = text(file, &["volumeName"]);
                let at = at.child(list).index(i).child("env").index(j).at(["valueFrom", "fileKeyRef", "volumeName"]);
                match volumes.get(name) {
                    None => errors.not_found(at, name),
                    Some(volume) if get(volume, &["emptyDir"]).is_none() => {
                        errors.invalid(at, name, "referenced volume must be of type emptyDir");
                    }
                    Some(_) => {}
                }
            }
        }
    }
}

/// A field of the pod; `known`: those without a subscript that may be shown here.
pub fn field_ref(field: &Value, known: &[&str], at: &FieldPath, errors: &mut ErrorList) {
    if !check::required(errors, field, at, &["apiVersion"]) || !check::required(errors, field, at, &["fieldPath"]) {
        return;
    }
    let (version, path) = (text(field, &["apiVersion"]), text(field, &["fieldPath"]));
    let subscript = path.strip_suffix("']").and_then(|path| path.split_once("['")).filter(|(of, _)| !of.is_empty());
    let cannot = if version != "v1" {
        format!("unsupported pod version: {version}")
    } else {
        match (subscript, path) {
            (Some(("metadata.annotations", key)), _) => {
                return errors.invalid_each(at, key.to_lowercase(), names::qualified_name(&key.to_lowercase()));
            }
            (Some(("metadata.labels", key)), _) => return errors.invalid_each(at, key, names::qualified_name(key)),
            (Some(_), _) => format!("field label does not support subscript: {path}"),
            // The old name of `spec.nodeName`.
            (None, "spec.host") => return unknown(known, "spec.nodeName", at, errors),
            (None, "metadata.annotations" | "metadata.labels" | "spec.restartPolicy" | "spec.schedulerName" | "status.phase") => {
                return unknown(known, path, at, errors);
            }
            (None, path) if SHOWN.contains(&path) => return unknown(known, path, at, errors),
            (None, _) => format!("field label not supported: {path}"),
        }
    };
    errors.invalid(at.child("fieldPath"), path, format!("error converting fieldPath: {cannot}"));
}

fn unknown(known: &[&str], path: &str, at: &FieldPath, errors: &mut ErrorList) {
    if !known.contains(&path) {
        errors.not_supported(at.child("fieldPath"), path, known);
    }
}

/// An amount of a container; `of_another`: as a file shows it, which has to say of which container.
pub fn resource_field(field: &Value, of_another: bool, at: &FieldPath, errors: &mut ErrorList) {
    const KNOWN: &[&str] = &[
        "limits.cpu",
        "limits.ephemeral-storage",
        "limits.memory",
        "requests.cpu",
        "requests.ephemeral-storage",
        "requests.memory",
    ];
    let resource = text(field, &["resource"]);
    let of = resource.strip_prefix("limits.").or_else(|| resource.strip_prefix("requests.")).unwrap_or("");
    if (!of_another || check::required(errors, field, at, &["containerName"]))
        && check::required(errors, field, at, &["resource"])
        && !KNOWN.contains(&resource)
        && !of.starts_with("hugepages-")
    {
        errors.not_supported(at.child("resource"), resource, KNOWN);
    }
    divisor(resource, of, text(field, &["divisor"]), at, errors);
}

/// What an amount is divided by before it is shown: nothing, or one unit.
fn divisor(resource: &str, of: &str, divisor: &str, at: &FieldPath, errors: &mut ErrorList) {
    const UNITS: &[&str] = &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
    let (units, word) = match of {
        "cpu" => (&["1m", "1"][..], "cpu"),
        "memory" => (UNITS, "memory"),
        "ephemeral-storage" => (UNITS, "local ephemeral storage"),
        of if of.starts_with("hugepages-") => (UNITS, "hugepages"),
        _ => return,
    };
    if !divisor.is_empty() && !crate::scalar::quantity_is_zero(divisor) && !units.contains(&divisor) {
        let units = if word == "cpu" { "1m and 1".to_owned() } else { units.join(", ") };
        let why = format!("only divisor's values {units} are supported with the {word} resource");
        errors.invalid(at.child("divisor"), resource, why);
    }
}
