//! Claims of devices, their templates, and device classes.
//!
//! Source: https://kubernetes.io/docs/reference/kubernetes-api/ (resource.k8s.io/v1): limits stand in the fields' descriptions.
use hashbrown::HashSet;

use irori_api::{
    field::{ErrorList, FieldPath},
    names,
};
use serde_json::Value;

use super::{cel, check, meta, slices};
use crate::tree::{get, int, items, text};

/// Requests, constraints, configurations, selectors: each list on its own.
pub const LIST_MAX: usize = 32;
/// Alternatives of one request.
const ALTERNATIVES_MAX: usize = 8;
/// Tolerations of one request.
const TOLERATIONS_MAX: usize = 16;
/// Bytes of the parameters of one configuration, and of a selector's expression.
const PARAMETERS_MAX: usize = 10 * 1024;

pub fn content(kind: &str, object: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("spec");
    let spec = get(object, &["spec"]).unwrap_or(&Value::Null);
    match kind {
        "DeviceClass" => class(spec, &at, errors),
        "ResourceClaim" => claim(spec, &at, errors),
        "ResourceClaimTemplate" => {
            if let Some(metadata) = get(spec, &["metadata"]) {
                let at = at.child("metadata");
                meta::labels(get(metadata, &["labels"]), &at.child("labels"), errors);
                meta::annotations(metadata, &at.child("annotations"), errors);
            }
            claim(get(spec, &["spec"]).unwrap_or(&Value::Null), &at.child("spec"), errors);
        }
        "ResourceSlice" => slices::slice(spec, &at, errors),
        _ => {}
    }
}

/// A list of at most so many; whether it is worth a look.
pub fn short(list: &[Value], most: usize, at: &FieldPath, errors: &mut ErrorList) -> bool {
    if list.len() > most {
        errors.too_many(at.clone(), list.len(), most);
    }
    list.len() <= most
}

/// Names of drivers: those of CSI drivers.
pub fn driver(errors: &mut ErrorList, name: &str, at: &FieldPath) {
    if name.is_empty() {
        errors.required(at.clone(), "");
        return;
    }
    if name.len() > names::DNS_LABEL_BYTES_MAX {
        errors.too_long(at.clone(), names::DNS_LABEL_BYTES_MAX);
    }
    errors.invalid_each(at, name, names::dns_subdomain(&name.to_lowercase()));
}

fn class(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    selectors(items(spec, &["selectors"]), &at.child("selectors"), errors);
    let (list, at_config) = (items(spec, &["config"]), at.child("config"));
    if short(list, LIST_MAX, &at_config, errors) {
        for (i, one) in list.iter().enumerate() {
            configuration(one, &at_config.index(i), errors);
        }
    }
    if let Some(name) = get(spec, &["extendedResourceName"]).and_then(Value::as_str)
        && !extended(name)
    {
        errors.invalid(at.child("extendedResourceName"), name, "must be a valid extended resource name");
    }
}

/// Whether a name may be that of a resource outside of Kubernetes' own domain.
fn extended(name: &str) -> bool {
    name.contains('/')
        && !name.contains("kubernetes.io/")
        && !name.starts_with("requests.")
        && names::qualified_name(&format!("requests.{name}")).is_empty()
}

fn selectors(list: &[Value], at: &FieldPath, errors: &mut ErrorList) {
    if !short(list, LIST_MAX, at, errors) {
        return;
    }
    for (i, one) in list.iter().enumerate() {
        let at = at.index(i).child("cel");
        let Some(rule) = get(one, &["cel"]) else {
            errors.required(at, "");
            continue;
        };
        let expression = text(rule, &["expression"]);
        if expression.len() > PARAMETERS_MAX {
            errors.too_long(at.child("expression"), PARAMETERS_MAX);
        } else if let Some(why) = cel::fault(expression, &["device"]) {
            errors.invalid(at.child("expression"), expression, why);
        }
    }
}

fn claim(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let at = at.child("devices");
    let requests = items(spec, &["devices", "requests"]);
    let list_at = at.child("requests");
    if short(requests, LIST_MAX, &list_at, errors) {
        for (i, one) in requests.iter().enumerate() {
            request(one, &list_at.index(i), errors);
        }
        unique(requests.iter().map(|r| text(r, &["name"])), &list_at, errors);
    }
    let (list, list_at) = (items(spec, &["devices", "constraints"]), at.child("constraints"));
    if short(list, LIST_MAX, &list_at, errors) {
        for (i, one) in list.iter().enumerate() {
            constraint(one, requests, &list_at.index(i), errors);
        }
    }
    let (list, list_at) = (items(spec, &["devices", "config"]), at.child("config"));
    if short(list, LIST_MAX, &list_at, errors) {
        for (i, one) in list.iter().enumerate() {
            named_requests(one, requests, &list_at.index(i), errors);
            configuration(one, &list_at.index(i), errors);
        }
    }
}

/// Keys that stand twice, told at the second item.
pub fn unique<'a>(keys: impl Iterator<Item = &'a str>, at: &FieldPath, errors: &mut ErrorList) {
    let mut seen = HashSet::new();
    for (i, key) in keys.enumerate() {
        if !seen.insert(key) {
            errors.duplicate(at.index(i), key);
        }
    }
}

fn request(request: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let name = text(request, &["name"]);
    errors.invalid_each(&at.child("name"), name, names::dns_label(name));
    let (exactly, first) = (get(request, &["exactly"]), items(request, &["firstAvailable"]));
    match (exactly, first.is_empty()) {
        (None, true) => errors.required(at.clone(), "exactly one of `exactly` or `firstAvailable` is required"),
        (Some(_), false) => {
            let why = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
            errors.invalid(at.clone(), Value::Null, why);
        }
        (Some(exactly), true) => asked(exactly, &at.child("exactly"), errors),
        (None, false) => {
            let at = at.child("firstAvailable");
            if short(first, ALTERNATIVES_MAX, &at, errors) {
                for (i, one) in first.iter().enumerate() {
                    let name = text(one, &["name"]);
                    errors.invalid_each(&at.index(i).child("name"), name, names::dns_label(name));
                    asked(one, &at.index(i), errors);
                }
                unique(first.iter().map(|r| text(r, &["name"])), &at, errors);
            }
        }
    }
}

/// What a request and each of its alternatives have in common.
fn asked(asked: &Value, at: &FieldPath, errors: &mut ErrorList) {
    check::required_name(errors, asked, at, &["deviceClassName"], names::dns_subdomain);
    selectors(items(asked, &["selectors"]), &at.child("selectors"), errors);
    let count = int(asked, &["count"]).unwrap_or(0);
    match text(asked, &["allocationMode"]) {
        "All" if count != 0 => {
            errors.invalid(at.child("count"), count, "must not be specified when allocationMode is 'All'");
        }
        "All" => {}
        "ExactCount" if count <= 0 => errors.invalid(at.child("count"), count, "must be greater than zero"),
        "ExactCount" => {}
        other => errors.not_supported(at.child("allocationMode"), other, &["All", "ExactCount"]),
    }
    let (list, at) = (items(asked, &["tolerations"]), at.child("tolerations"));
    if short(list, TOLERATIONS_MAX, &at, errors) {
        for (i, one) in list.iter().enumerate() {
            toleration(one, &at.index(i), errors);
        }
    }
}

fn toleration(toleration: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let key = text(toleration, &["key"]);
    if !key.is_empty() {
        errors.invalid_each(&at.child("key"), key, names::qualified_name(key));
    }
    let value = text(toleration, &["value"]);
    match text(toleration, &["operator"]) {
        "Exists" if !value.is_empty() => errors.invalid(at.child("value"), value, "must be empty for operator `Exists`"),
        "Exists" => {}
        "Equal" => errors.invalid_each(&at.child("value"), value, names::label_value(value)),
        "" => errors.required(at.child("operator"), ""),
        other => errors.not_supported(at.child("operator"), other, &["Equal", "Exists"]),
    }
    let effect = text(toleration, &["effect"]);
    if !effect.is_empty() && !slices::EFFECTS.contains(&effect) {
        errors.not_supported(at.child("effect"), effect, slices::EFFECTS);
    }
}

/// The requests that a constraint or configuration is about.
pub fn named_requests(of: &Value, requests: &[Value], at: &FieldPath, errors: &mut ErrorList) {
    let (list, at) = (items(of, &["requests"]), at.child("requests"));
    if !short(list, LIST_MAX, &at, errors) {
        return;
    }
    for (i, name) in list.iter().filter_map(Value::as_str).enumerate() {
        named_request(name, requests, &at.index(i), errors);
    }
    unique(list.iter().filter_map(Value::as_str), &at, errors);
}

/// `name` or `name/alternative` of a request of the same claim.
pub fn named_request(name: &str, requests: &[Value], at: &FieldPath, errors: &mut ErrorList) {
    const WHY: &str = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
    let parts: Vec<&str> = name.split('/').collect();
    if parts.len() > 2 {
        return errors.invalid(at.clone(), name, WHY);
    }
    for part in &parts {
        errors.invalid_each(at, *part, names::dns_label(part));
    }
    let found = requests.iter().any(|r| {
        text(r, &["name"]) == parts[0]
            && (parts.len() == 1 || items(r, &["firstAvailable"]).iter().any(|s| text(s, &["name"]) == parts[1]))
    });
    if !found {
        errors.invalid(at.clone(), name, WHY);
    }
}

fn constraint(constraint: &Value, requests: &[Value], at: &FieldPath, errors: &mut ErrorList) {
    named_requests(constraint, requests, at, errors);
    let field = ["matchAttribute", "distinctAttribute"].into_iter().find(|f| get(constraint, &[f]).is_some());
    let Some(field) = field else {
        // The words are those of the opposite case; so are a stock server's.
        let why = "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set";
        errors.required(at.clone(), why);
        return;
    };
    let (name, at) = (text(constraint, &[field]), at.child(field));
    slices::attribute_name(errors, name, &at);
    if !name.contains('/') {
        errors.invalid(at, name, "a fully qualified name must be a domain and a name separated by a slash");
    }
}

pub fn configuration(config: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let at = at.child("opaque");
    let Some(opaque) = get(config, &["opaque"]) else {
        errors.required(at, "");
        return;
    };
    driver(errors, text(opaque, &["driver"]), &at.child("driver"));
    match get(opaque, &["parameters"]) {
        None => errors.required(at.child("parameters"), ""),
        Some(given) => raw(given, &at.child("parameters"), errors),
    }
}

/// An object of a driver's own making.
pub fn raw(given: &Value, at: &FieldPath, errors: &mut ErrorList) {
    match given {
        given if given.to_string().len() > PARAMETERS_MAX => errors.too_long(at.clone(), PARAMETERS_MAX),
        Value::Object(_) => {}
        _ => errors.invalid(at.clone(), "<value omitted>", "must be a valid JSON object"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(kind: &str, spec: Value) -> Vec<String> {
        let mut errors = ErrorList::default();
        content(kind, &json!({ "spec": spec }), &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    fn request(name: &str) -> Value {
        json!({"name": name, "exactly": {"deviceClassName": "c", "allocationMode": "ExactCount", "count": 1}})
    }

    #[test]
    fn a_claim_has_at_most_thirty_two_requests() {
        let claim = |n: usize| json!({"devices": {"requests": (0..n).map(|i| request(&format!("r{i}"))).collect::<Vec<_>>()}});
        assert_eq!(told("ResourceClaim", claim(32)), [""; 0]);
        assert_eq!(told("ResourceClaim", claim(33)), ["spec.devices.requests: Too many: 33: must have at most 32 items"]);
    }

    #[test]
    fn a_constraint_names_requests_of_the_claim() {
        let claim = |name: &str| {
            let first = json!({"name": "f", "firstAvailable": [{"name": "a", "deviceClassName": "c", "allocationMode": "All"}]});
            json!({"devices": {"requests": [request("r"), first], "constraints": [{"requests": [name], "matchAttribute": "d.example/m"}]}})
        };
        for good in ["r", "f", "f/a"] {
            assert_eq!(told("ResourceClaim", claim(good)), [""; 0], "{good}");
        }
        for bad in ["x", "r/a", "f/b", "f/a/b"] {
            assert!(told("ResourceClaim", claim(bad))[0].contains("must be the name of a request"), "{bad}");
        }
    }

    #[test]
    fn extended_resources_have_a_domain_of_their_own() {
        for (name, good) in
            [("d.example/gpu", true), ("gpu", false), ("kubernetes.io/gpu", false), ("requests.d.example/gpu", false)]
        {
            assert_eq!(extended(name), good, "{name}");
        }
    }
}
