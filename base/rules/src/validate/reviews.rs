//! Reviews of access: they are answered, never stored.
//!
//! Source: https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/
use irori_api::field::{ErrorList, FieldPath, Wrong};
use serde_json::Value;

use super::{check, selector};
use crate::tree::{get, items, map, text};

/// What an access review must and must not say; it is no object, so its metadata stays empty.
pub fn access(kind: &str, review: &Value) -> ErrorList {
    let mut errors = ErrorList::default();
    let spec = FieldPath::new("spec");
    let resource = get(review, &["spec", "resourceAttributes"]);
    let path = get(review, &["spec", "nonResourceAttributes"]);
    let wrong_path = |errors: &mut ErrorList, path: &Value, why: &str| {
        let shown = check::go(path, &[("Path", "path", "\"\""), ("Verb", "verb", "\"\"")]);
        check::wrong_go(errors, spec.child("nonResourceAttributes"), Wrong::Invalid, &shown, why);
    };
    match (resource, path) {
        (Some(_), Some(path)) => wrong_path(&mut errors, path, "cannot be specified in combination with resourceAttributes"),
        (None, None) => {
            let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            errors.invalid(spec.child("resourceAttributes"), Value::Null, why);
        }
        _ => {}
    }
    let own = kind.starts_with("Self");
    if !own && text(review, &["spec", "user"]).is_empty() && items(review, &["spec", "groups"]).is_empty() {
        errors.invalid(spec.child("user"), "", "at least one of user or group must be specified");
    }
    for field in ["fieldSelector", "labelSelector"] {
        if let Some(selector) = resource.and_then(|resource| get(resource, &[field])) {
            narrowed(field, selector, &spec.child("resourceAttributes").child(field), &mut errors);
        }
    }
    let local = kind == "LocalSubjectAccessReview";
    let metadata = map(review, &["metadata"]);
    if let Some(metadata) = metadata.filter(|m| m.keys().any(|field| !matches!(field.as_str(), "managedFields" | "namespace"))) {
        let why = if local { "must be empty except for namespace" } else { "must be empty" };
        errors.invalid(FieldPath::new("metadata"), Value::Object(metadata.clone()), why);
    }
    if local {
        let namespace = |resource: &'_ Value| text(resource, &["namespace"]).to_owned();
        let own = text(review, &["metadata", "namespace"]);
        if let Some(asked) = resource.map(namespace).filter(|asked| asked != own) {
            errors.invalid(spec.at(["resourceAttributes", "namespace"]), asked, "must match metadata.namespace");
        }
        if let Some(path) = path {
            wrong_path(&mut errors, path, "disallowed on this kind of request");
        }
    }
    errors
}

/// A selector that narrows what is asked for. Operators that are not known are those of newer clients.
fn narrowed(field: &str, given: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let (raw, requirements) = (text(given, &["rawSelector"]), items(given, &["requirements"]));
    if !raw.is_empty() && !requirements.is_empty() {
        errors.invalid(at.child("rawSelector"), raw, "may not specified at the same time as requirements");
    }
    if raw.is_empty() && requirements.is_empty() {
        errors.required(at.child("requirements"), &format!("when {at} is specified, requirements or rawSelector is required"));
    }
    for (i, requirement) in requirements.iter().enumerate() {
        let at = at.child("requirements").index(i);
        if field == "fieldSelector" {
            if text(requirement, &["key"]).is_empty() {
                errors.required(at.child("key"), "must be specified");
            }
            selector::values_of(requirement, &at, errors);
        } else {
            selector::values_of(requirement, &at, errors);
            selector::label_names_of(requirement, &at, errors);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(kind: &str, review: Value) -> Vec<String> {
        access(kind, &review).iter().map(ToString::to_string).collect()
    }

    fn with(attributes: Value) -> Value {
        json!({"spec": {"user": "u", "resourceAttributes": attributes}})
    }

    #[test]
    fn a_review_may_be_narrowed_in_one_way() {
        let narrowed = |field: &str, selector: Value| {
            let mut attributes = json!({});
            attributes[field] = selector;
            told("SubjectAccessReview", with(attributes))
        };
        let at = "spec.resourceAttributes";
        for field in ["fieldSelector", "labelSelector"] {
            assert_eq!(narrowed(field, json!({"rawSelector": "a=b"})), [""; 0]);
            assert_eq!(
                narrowed(field, json!({})),
                [format!(
                    "{at}.{field}.requirements: Required value: when {at}.{field} is specified, requirements or rawSelector is required"
                )]
            );
            let one = |key: &str, operator: &str, values: Value| {
                narrowed(field, json!({"requirements": [{"key": key, "operator": operator, "values": values}]}))
            };
            assert_eq!(one("a", "In", json!(["b"])), [""; 0]);
            assert_eq!(one("a", "Newer", json!([])), [""; 0]);
            assert_eq!(
                one("a", "In", json!([])),
                [format!(
                    "{at}.{field}.requirements[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"
                )]
            );
            assert_eq!(one("a", "Exists", json!(["b"])).len(), 1);
            assert_eq!(one("", "Exists", json!([])).len(), if field == "fieldSelector" { 1 } else { 2 });
            let both = json!({"rawSelector": "a=b", "requirements": [{"key": "a", "operator": "Exists"}]});
            assert_eq!(
                narrowed(field, both),
                [format!("{at}.{field}.rawSelector: Invalid value: \"a=b\": may not specified at the same time as requirements")]
            );
        }
    }

    #[test]
    fn a_local_review_asks_for_its_own_namespace() {
        let local = |metadata: Value, spec: Value| {
            let mut review = json!({"metadata": metadata, "spec": spec});
            review["spec"]["user"] = "u".into();
            told("LocalSubjectAccessReview", review)
        };
        let here = json!({"namespace": "n"});
        assert_eq!(local(here.clone(), json!({"resourceAttributes": {"namespace": "n"}})), [""; 0]);
        assert_eq!(
            local(here.clone(), json!({"resourceAttributes": {"namespace": "other"}})),
            ["spec.resourceAttributes.namespace: Invalid value: \"other\": must match metadata.namespace"]
        );
        assert_eq!(
            local(here, json!({"nonResourceAttributes": {"path": "/a", "verb": "get"}})),
            ["spec.nonResourceAttributes: Invalid value: {\"Path\":\"/a\",\"Verb\":\"get\"}: disallowed on this kind of request"]
        );
        let named = local(json!({"namespace": "n", "name": "x"}), json!({"resourceAttributes": {"namespace": "n"}}));
        assert_eq!(named.len(), 1);
        assert!(named[0].ends_with("must be empty except for namespace"), "{named:?}");
        assert_eq!(
            told("SubjectAccessReview", json!({"metadata": {"namespace": "n"}, "spec": with(json!({}))["spec"]})),
            [""; 0]
        );
    }
}
