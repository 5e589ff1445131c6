//! RBAC and leases.
use irori_api::{
    field::{ErrorList, FieldPath},
    names,
};
use serde_json::Value;

use super::selector;
use crate::tree::{get, int, items, text};

const RBAC: &str = "rbac.authorization.k8s.io";

pub fn content(kind: &str, object: &Value, errors: &mut ErrorList) {
    match kind {
        "Role" | "ClusterRole" => role(kind, object, errors),
        "RoleBinding" | "ClusterRoleBinding" => binding(kind, object, errors),
        "Lease" => lease(object, errors),
        _ => {}
    }
}

fn role(kind: &str, object: &Value, errors: &mut ErrorList) {
    for (i, rule) in items(object, &["rules"]).iter().enumerate() {
        let at = FieldPath::new("rules").index(i);
        if items(rule, &["verbs"]).is_empty() {
            errors.required(at.child("verbs"), "verbs must contain at least one value");
        }
        let urls = items(rule, &["nonResourceURLs"]);
        let (groups, resources) = (items(rule, &["apiGroups"]), items(rule, &["resources"]));
        if !urls.is_empty() {
            if kind == "Role" {
                errors.invalid(
                    at.child("nonResourceURLs"),
                    Value::Array(urls.to_vec()),
                    "namespaced rules cannot apply to non-resource URLs",
                );
            }
            if !groups.is_empty() || !resources.is_empty() || !items(rule, &["resourceNames"]).is_empty() {
                errors.invalid(
                    at.child("nonResourceURLs"),
                    Value::Array(urls.to_vec()),
                    "rules cannot apply to both regular resources and non-resource URLs",
                );
            }
            continue;
        }
        if groups.is_empty() {
            errors.required(at.child("apiGroups"), "resource rules must supply at least one api group");
        }
        if resources.is_empty() {
            errors.required(at.child("resources"), "resource rules must supply at least one resource");
        }
    }
    if let Some(aggregation) = get(object, &["aggregationRule"]) {
        let at = FieldPath::new("aggregationRule").child("clusterRoleSelectors");
        let selectors = items(aggregation, &["clusterRoleSelectors"]);
        if selectors.is_empty() {
            errors.required(at, "at least one clusterRoleSelector required if aggregationRule is non-nil");
        } else {
            for (i, one) in selectors.iter().enumerate() {
                let before = errors.len();
                selector::label_selector(Some(one), &at.index(i), errors);
                if errors.len() > before {
                    errors.invalid(at.index(i), Value::Null, "invalid label selector.");
                }
            }
        }
    }
}

fn binding(kind: &str, object: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("roleRef");
    if text(object, &["roleRef", "apiGroup"]) != RBAC {
        errors.not_supported(at.child("apiGroup"), text(object, &["roleRef", "apiGroup"]), &[RBAC]);
    }
    let kinds: &[&str] = if kind == "RoleBinding" { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    let given = text(object, &["roleRef", "kind"]);
    if !kinds.contains(&given) {
        errors.not_supported(at.child("kind"), given, kinds);
    }
    let name = text(object, &["roleRef", "name"]);
    if name.is_empty() {
        errors.required(at.child("name"), "");
    } else {
        errors.invalid_each(&at.child("name"), name, names::path_segment(name));
    }
    for (i, subject) in items(object, &["subjects"]).iter().enumerate() {
        let at = FieldPath::new("subjects").index(i);
        let name = text(subject, &["name"]);
        if name.is_empty() {
            errors.required(at.child("name"), "");
        }
        let group = text(subject, &["apiGroup"]);
        match text(subject, &["kind"]) {
            "ServiceAccount" => {
                if !name.is_empty() {
                    errors.invalid_each(&at.child("name"), name, names::dns_subdomain(name));
                }
                if !group.is_empty() {
                    errors.not_supported(at.child("apiGroup"), group, &[""]);
                }
                if kind == "ClusterRoleBinding" && text(subject, &["namespace"]).is_empty() {
                    errors.required(at.child("namespace"), "");
                }
            }
            "User" | "Group" if group != RBAC => errors.not_supported(at.child("apiGroup"), group, &[RBAC]),
            "User" | "Group" => {}
            other => errors.not_supported(at.child("kind"), other, &["ServiceAccount", "User", "Group"]),
        }
    }
}

fn lease(object: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("spec");
    if let Some(seconds) = int(object, &["spec", "leaseDurationSeconds"]).filter(|s| *s <= 0) {
        errors.invalid(at.child("leaseDurationSeconds"), seconds, "must be greater than 0");
    }
    if let Some(n) = int(object, &["spec", "leaseTransitions"]).filter(|n| *n < 0) {
        errors.invalid(at.child("leaseTransitions"), n, "must be greater than or equal to 0");
    }
    if get(object, &["spec", "holderIdentity"]).is_some_and(|h| h == "") {
        errors.invalid(at.child("holderIdentity"), "", "must not be empty");
    }
}
