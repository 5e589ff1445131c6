//! Definitions of custom resources: names, versions, and what is said of each version.
//!
//! Source: https://kubernetes.io/docs/reference/kubernetes-api/extend-resources/custom-resource-definition-v1/ and
//! https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/. What versions have in common is
//! checked once and told under `spec.validation`, `spec.subresources` and so on, as a stock server keeps it: see [`versions`].
//!
//! Not here: what expressions cost, and whether defaults satisfy them.
use std::collections::{BTreeMap, BTreeSet};

use irori_api::{
    field::{ErrorList, FieldPath},
    names,
};
use serde_json::Value;

use super::{
    hooks,
    schema::{self, Findings, Ratchet, Way},
};
use crate::tree::{flag, get, items, text};

mod parts;
pub mod shown;
#[cfg(test)]
mod tests;
mod versions;

pub use versions::Version;
use versions::Versions;

const APPROVAL: &str = "api-approved.kubernetes.io";

const SCOPES: &[&str] = &["Cluster", "Namespaced"];

/// Versions of the conversion review that the server speaks.
const REVIEW_VERSIONS: &[&str] = &["v1", "v1beta1"];

/// What is wrong with the name of a definition.
pub fn name_faults(object: &Value, name: &str) -> Vec<String> {
    let mut wrong = names::dns_subdomain(name);
    let names = get(object, &["spec", "names"]).unwrap_or(&Value::Null);
    if name != format!("{}.{}", text(names, &["plural"]), text(object, &["spec", "group"])) {
        wrong.push(r#"must be spec.names.plural+"."+spec.group"#.into());
    }
    wrong
}

/// The rules of a new definition, metadata aside.
pub fn create(object: &Value, errors: &mut ErrorList) {
    let asked = Asked { ratchet: Ratchet::default(), old: None };
    content(object, &asked, errors);
}

/// The rules of a changed definition, metadata aside.
pub fn update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let asked = Asked { ratchet: Ratchet::of(&schemas(old)), old: Some(old) };
    content(new, &asked, errors);
}

/// The rules of a status that is written on its own.
pub fn status(object: &Value, errors: &mut ErrorList) {
    let accepted = get(object, &["status", "acceptedNames"]).unwrap_or(&Value::Null);
    named(accepted, &FieldPath::new("status").child("acceptedNames"), errors);
}

/// Formats of values that nobody checks, each once.
pub fn unknown_formats(object: &Value) -> BTreeSet<&str> {
    schemas(object).into_iter().flatten().flat_map(schema::unknown_formats).collect()
}

/// Whether nothing more is told: a definition of a megabyte could be wrong in a hundred thousand places.
fn full(errors: &ErrorList) -> bool {
    errors.len() >= schema::ERRORS_MAX
}

/// What a definition is held to.
struct Asked<'a> {
    ratchet: Ratchet,
    /// What it was before; `None` at creation.
    old: Option<&'a Value>,
}

fn content(object: &Value, asked: &Asked<'_>, errors: &mut ErrorList) {
    let at = FieldPath::new("spec");
    let spec = get(object, &["spec"]).unwrap_or(&Value::Null);
    self::spec(object, spec, asked, &at, errors);
    if let Some(old) = asked.old {
        let was = get(old, &["spec"]).unwrap_or(&Value::Null);
        let mut fixed: Vec<&[&str]> = vec![&["group"], &["names", "plural"]];
        if established(old) {
            fixed.splice(0..0, [&["scope"][..], &["names", "kind"]]);
        }
        for path in fixed {
            if text(spec, path) != text(was, path) {
                errors.invalid(super::check::below(&at, path), text(spec, path), "field is immutable");
            }
        }
    }
    status(object, errors);
    stored_versions(object, spec, errors);
    approval(object, asked.old, errors);
    let preserved = |object: &Value| flag(object, &["spec", "preserveUnknownFields"]);
    if preserved(object) && !asked.old.is_some_and(preserved) {
        let why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.invalid(at.child("preserveUnknownFields"), true, why);
    }
}

fn established(object: &Value) -> bool {
    items(object, &["status", "conditions"]).iter().any(|c| text(c, &["type"]) == "Established" && text(c, &["status"]) == "True")
}

/// Every schema of a definition.
fn schemas(object: &Value) -> Vec<Option<&Value>> {
    items(object, &["spec", "versions"]).iter().map(|version| get(version, &["schema", "openAPIV3Schema"])).collect()
}

fn spec(object: &Value, spec: &Value, asked: &Asked<'_>, at: &FieldPath, errors: &mut ErrorList) {
    let group = text(spec, &["group"]);
    if group.is_empty() {
        errors.required(at.child("group"), "");
    } else {
        let wrong = names::dns_subdomain(group);
        if !wrong.is_empty() {
            errors.invalid(at.child("group"), group, wrong.join(","));
        } else if !group.contains('.') {
            errors.invalid(at.child("group"), group, "should be a domain with at least one dot");
        }
    }
    super::check::required_one_of(errors, spec, at, &["scope"], SCOPES);

    let versions = Versions::of(object);
    let preserved = flag(spec, &["preserveUnknownFields"]);
    if versions.schema.and_then(|schema| get(schema, &["openAPIV3Schema"])).is_none() {
        let why = if asked.ratchet.schema_needed { "" } else { "because otherwise all fields are pruned" };
        for (i, version) in versions.list.iter().enumerate() {
            if full(errors) {
                break;
            }
            let missing = version.schema.and_then(|schema| get(schema, &["openAPIV3Schema"])).is_none();
            if missing && (asked.ratchet.schema_needed || (!preserved && flag(version.own, &["served"]))) {
                errors.required(at.child("versions").index(i).at(["schema", "openAPIV3Schema"]), why);
            }
        }
    }
    let all: Vec<&Value> = schemas(object).into_iter().flatten().collect();
    let defaults = all.iter().any(|schema| schema::any(schema, |s| get(s, &["default"]).is_some()));
    if defaults && preserved {
        errors.invalid(at.child("preserveUnknownFields"), true, "must be false in order to use defaults in the schema");
    }
    let mut ratchet = asked.ratchet;
    ratchet.structural |= !preserved || defaults || all.iter().any(|schema| schema::any(schema, schema::has_extensions));

    versions::check(&versions, &ratchet, at, errors);
    let spec_names = get(spec, &["names"]).unwrap_or(&Value::Null);
    for field in ["plural", "singular", "kind", "listKind"] {
        super::check::required(errors, spec_names, &at.child("names"), &[field]);
    }
    named(spec_names, &at.child("names"), errors);
    versions::check_shared(&versions, &ratchet, at, errors);

    if let Some(conversion) = get(spec, &["conversion"]) {
        let at = at.child("conversion");
        let strategy = text(conversion, &["strategy"]);
        if strategy != "None" && preserved {
            errors.invalid(at.child("strategy"), strategy, "must be None if spec.preserveUnknownFields is true");
        }
        self::conversion(conversion, asked.old, &at, errors);
    }
}

/// Names as they are asked for or accepted; which of them have to be there is said elsewhere.
fn named(of: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let rule = |name: &str| names::dns_1035_label(name).join(",");
    let mut check = |at: FieldPath, given: &str, wrong: String, before: &str| {
        if !given.is_empty() && !wrong.is_empty() {
            errors.invalid(at, given, format!("{before}{wrong}"));
        }
    };
    for field in ["plural", "singular"] {
        let given = text(of, &[field]);
        check(at.child(field), given, rule(given), "");
    }
    for field in ["kind", "listKind"] {
        let given = text(of, &[field]);
        check(at.child(field), given, rule(&given.to_lowercase()), "may have mixed case, but should otherwise match: ");
    }
    let list = |field: &str, errors: &mut ErrorList| {
        for (i, given) in items(of, &[field]).iter().filter_map(Value::as_str).enumerate() {
            if full(errors) {
                return;
            }
            let wrong = rule(given);
            if !wrong.is_empty() {
                errors.invalid(at.child(field).index(i), given, wrong);
            }
        }
    };
    list("shortNames", errors);
    let (kind, list_kind) = (text(of, &["kind"]), text(of, &["listKind"]));
    if !kind.is_empty() && kind == list_kind {
        errors.invalid(at.child("listKind"), list_kind, "kind and listKind may not be the same");
    }
    list("categories", errors);
}

/// Versions that objects may be stored in have to stay, and the one that they are stored in is among them.
fn stored_versions(object: &Value, spec: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("status").child("storedVersions");
    let stored: Vec<&str> = items(object, &["status", "storedVersions"]).iter().filter_map(Value::as_str).collect();
    if stored.is_empty() {
        errors.invalid(at, Value::Null, "must have at least one stored version");
        return;
    }
    let versions = items(spec, &["versions"]);
    let known: BTreeSet<&str> = stored.iter().copied().collect();
    for version in versions.iter().filter(|v| flag(v, &["storage"])) {
        let name = text(version, &["name"]);
        if !known.contains(name) && !full(errors) {
            errors.invalid(at.clone(), stored.clone(), format!("must have the storage version {name}"));
        }
    }
    let mut left: BTreeMap<&str, usize> = stored.iter().enumerate().map(|(i, name)| (*name, i)).collect();
    for version in versions {
        left.remove(text(version, &["name"]));
    }
    for (name, i) in left {
        if full(errors) {
            break;
        }
        let why = format!(
            "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage \
             migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
        );
        errors.invalid(at.index(i), name, why);
    }
}

#[derive(PartialEq)]
enum Approval {
    Missing,
    Invalid,
    Approved,
    Bypassed,
}

fn approval_of(object: &Value) -> Approval {
    let said = text(object, &["metadata", "annotations", APPROVAL]);
    let link = said.split_once("://").is_some_and(|(scheme, rest)| {
        hooks::is_scheme(scheme) && !rest.starts_with(['/', '?', '#']) && !rest.is_empty() && !rest.contains([' ', '\n'])
    });
    match said {
        "" => Approval::Missing,
        _ if said.starts_with("unapproved") => Approval::Bypassed,
        _ if link => Approval::Approved,
        _ => Approval::Invalid,
    }
}

/// Groups of the Kubernetes community are only for what it has approved.
fn approval(object: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    const SEE: &str = "see https://github.com/kubernetes/enhancements/pull/1111";
    let group = text(object, &["spec", "group"]);
    let is_protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')));
    let state = approval_of(object);
    if !is_protected || old.is_some_and(|old| approval_of(old) == state) {
        return;
    }
    let at = FieldPath::new("metadata").child("annotations").key(APPROVAL);
    match state {
        Approval::Missing => {
            errors.required(at, &format!("protected groups must have approval annotation {APPROVAL:?}, {SEE}"));
        }
        Approval::Invalid => {
            let why = format!(
                "protected groups must have approval annotation {APPROVAL:?} with either a URL or a reason starting with \
                 \"unapproved\", {SEE}"
            );
            errors.invalid(at, text(object, &["metadata", "annotations", APPROVAL]), why);
        }
        Approval::Approved | Approval::Bypassed => {}
    }
}

fn conversion(of: &Value, old: Option<&Value>, at: &FieldPath, errors: &mut ErrorList) {
    super::check::required_one_of(errors, of, at, &["strategy"], &["None", "Webhook"]);
    let client = get(of, &["webhook", "clientConfig"]);
    let versions = items(of, &["webhook", "conversionReviewVersions"]);
    let (client_at, versions_at) = (at.child("webhookClientConfig"), at.child("conversionReviewVersions"));
    if text(of, &["strategy"]) == "Webhook" {
        match client {
            None => errors.required(client_at, "required when strategy is set to Webhook"),
            Some(client) => {
                hooks::client(client, &client_at, errors);
                let bundle = text(client, &["caBundle"]);
                if let Some(why) = bundle_fault(bundle).filter(|_| bundle_counts(old)) {
                    errors.invalid(client_at.child("caBundle"), bundle, why);
                }
            }
        }
        let was = old.map(|old| items(old, &["spec", "conversion", "webhook", "conversionReviewVersions"]));
        let known_before = was.is_none_or(|was| was.is_empty() || was.iter().any(is_review_version));
        review_versions(versions, known_before, &versions_at, errors);
        return;
    }
    let why = "should not be set when strategy is not set to Webhook";
    if client.is_some() {
        errors.forbidden(client_at, why);
    }
    if !versions.is_empty() {
        errors.forbidden(versions_at, why);
    }
}

fn is_review_version(version: &Value) -> bool {
    version.as_str().is_some_and(|version| REVIEW_VERSIONS.contains(&version))
}

fn review_versions(versions: &[Value], known_needed: bool, at: &FieldPath, errors: &mut ErrorList) {
    if versions.is_empty() {
        errors.required(at.clone(), "");
        return;
    }
    let mut seen = BTreeSet::new();
    for (i, version) in versions.iter().filter_map(Value::as_str).enumerate() {
        if full(errors) {
            return;
        }
        if seen.insert(version) {
            errors.invalid_each(&at.index(i), version, names::dns_1035_label(version));
        } else {
            errors.invalid(at.index(i), version, "duplicate version");
        }
    }
    if known_needed && !versions.iter().any(is_review_version) {
        errors.invalid(at.clone(), versions.to_vec(), format!("must include at least one of {}", REVIEW_VERSIONS.join(", ")));
    }
}

/// Whether a bundle of certificates is held to its form: once the definition is established, unless it was wrong before.
fn bundle_counts(old: Option<&Value>) -> bool {
    old.is_some_and(|old| {
        established(old) && bundle_fault(text(old, &["spec", "conversion", "webhook", "clientConfig", "caBundle"])).is_none()
    })
}

/// Why base64 text holds no certificates in PEM; `None` for no text at all.
fn bundle_fault(bundle: &str) -> Option<String> {
    use base64::Engine;
    if bundle.is_empty() {
        return None;
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(bundle).unwrap_or_default();
    let pem = String::from_utf8_lossy(&bytes);
    let body = pem
        .split_once("-----BEGIN CERTIFICATE-----")
        .and_then(|(_, rest)| rest.split_once("-----END CERTIFICATE-----"))
        .map(|(body, _)| body.split_whitespace().collect::<String>());
    let read = |body: String| base64::engine::general_purpose::STANDARD.decode(body).is_ok_and(|der| der.first() == Some(&0x30));
    if body.is_some_and(read) {
        return None;
    }
    Some("unable to load root certificates: unable to parse bytes as PEM block".into())
}

/// Holds a schema to its rules below a path.
fn schema_at(schema: &Value, status: bool, ratchet: &Ratchet, at: &FieldPath, errors: &mut ErrorList) {
    let mut found = Findings::default();
    schema::check(schema, status, ratchet, &Way::start(at), &mut found);
    errors.extend(found.into_errors());
}
