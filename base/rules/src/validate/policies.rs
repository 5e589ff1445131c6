//! Admission policies and their bindings.
//!
//! Source: https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/.
use hashbrown::HashSet;

use irori_api::{
    field::{ErrorList, FieldPath},
    names,
};
use serde_json::Value;

use super::{
    check,
    hooks::{self, REQUEST},
    selector,
};
use crate::tree::{get, items, text};

/// Audit annotations of one policy.
const ANNOTATIONS_MAX: usize = 20;
/// Bytes of the expression of an annotation.
const ANNOTATION_BYTES_MAX: usize = 5 * 1024;

pub fn content(kind: &str, object: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("spec");
    let spec = get(object, &["spec"]).unwrap_or(&Value::Null);
    match kind {
        "ValidatingAdmissionPolicy" => validating(text(object, &["metadata", "name"]), spec, &at, errors),
        "MutatingAdmissionPolicy" => mutating(spec, &at, errors),
        "ValidatingAdmissionPolicyBinding" => {
            binding(spec, &at, errors);
            actions(items(spec, &["validationActions"]), &at.child("validationActions"), errors);
        }
        "MutatingAdmissionPolicyBinding" => binding(spec, &at, errors),
        _ => {}
    }
}

/// What the expressions of a policy may name.
fn variables(spec: &Value) -> Vec<&str> {
    let mut known = [REQUEST, &["namespaceObject", "variables"]].concat();
    if get(spec, &["paramKind"]).is_some() {
        known.push("params");
    }
    known
}

fn validating(name: &str, spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    common(spec, at, errors);
    let known = variables(spec);
    let (validations, annotations) = (items(spec, &["validations"]), items(spec, &["auditAnnotations"]));
    if validations.is_empty() && annotations.is_empty() {
        let why = "validations or auditAnnotations must contain at least one item";
        errors.required(at.child("validations"), why);
        errors.required(at.child("auditAnnotations"), why);
    }
    for (i, one) in validations.iter().enumerate() {
        validation(one, &known, &at.child("validations").index(i), errors);
    }
    let list = at.child("auditAnnotations");
    if annotations.len() > ANNOTATIONS_MAX {
        let why = format!("must not have more than {ANNOTATIONS_MAX} auditAnnotations");
        errors.invalid(list.clone(), Value::Array(annotations.to_vec()), why);
    }
    let mut keys = HashSet::new();
    for (i, one) in annotations.iter().enumerate() {
        annotation(name, one, &known, &list.index(i), errors);
        let key = text(one, &["key"]);
        if !keys.insert(key) {
            errors.duplicate(list.index(i).child("key"), key);
        }
    }
}

fn mutating(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    common(spec, at, errors);
    let known = variables(spec);
    let (mutations, list) = (items(spec, &["mutations"]), at.child("mutations"));
    if mutations.is_empty() {
        errors.required(list.clone(), "mutations must contain at least one item");
    }
    for (i, one) in mutations.iter().enumerate() {
        let at = list.index(i);
        check::required_one_of(errors, one, &at, &["patchType"], &["ApplyConfiguration", "JSONPatch"]);
        for (kind, field) in [("ApplyConfiguration", "applyConfiguration"), ("JSONPatch", "jsonPatch")] {
            match (get(one, &[field]), text(one, &["patchType"]) == kind) {
                (None, true) => errors.required(at.child(field), &format!("must be specified when patchType is {kind}")),
                (Some(given), true) => {
                    hooks::expression(given, "expression", &known, "expression is not specified", &at.child(field), errors);
                }
                (Some(_), false) => errors.forbidden(at.child(field), format!("must be unset unless patchType is {kind}")),
                (None, false) => {}
            }
        }
    }
    check::required_one_of(errors, spec, at, &["reinvocationPolicy"], &["IfNeeded", "Never"]);
}

/// What both kinds of policies have.
fn common(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    check::one_of(errors, spec, at, &["failurePolicy"], &["Fail", "Ignore"]);
    if let Some(kind) = get(spec, &["paramKind"]) {
        param_kind(kind, &at.child("paramKind"), errors);
    }
    match get(spec, &["matchConstraints"]) {
        None => errors.required(at.child("matchConstraints"), ""),
        Some(constraints) => {
            let at = at.child("matchConstraints");
            match_resources(constraints, &at, errors);
            if items(constraints, &["resourceRules"]).is_empty() {
                errors.required(at.child("resourceRules"), "");
            }
        }
    }
    let conditions: Vec<&str> = variables(spec).into_iter().filter(|v| *v != "variables").collect();
    hooks::conditions(items(spec, &["matchConditions"]), &conditions, &at.child("matchConditions"), errors);
    let known = variables(spec);
    for (i, variable) in items(spec, &["variables"]).iter().enumerate() {
        let at = at.child("variables").index(i);
        let name = text(variable, &["name"]);
        if name.is_empty() {
            errors.required(at.child("name"), "name is not specified");
        } else if !names::c_identifier(name).is_empty() || matches!(name, "true" | "false" | "null" | "in") {
            errors.invalid(at.child("name"), name, "name is not a valid CEL identifier");
        }
        hooks::expression(variable, "expression", &known, "expression is not specified", &at, errors);
    }
}

fn param_kind(kind: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let version = text(kind, &["apiVersion"]);
    let version_at = at.child("apiVersion");
    let parts: Vec<&str> = version.split('/').collect();
    match parts.as_slice() {
        _ if version.is_empty() => errors.required(version_at, ""),
        [_, _, _, ..] => errors.invalid(version_at, version, format!("unexpected GroupVersion string: {version}")),
        [group @ .., bare] => {
            if let Some(group) = group.first().filter(|g| !g.is_empty()) {
                joined(&version_at, group, "", names::dns_subdomain(group), errors);
            }
            if bare.is_empty() {
                errors.invalid(version_at, version, "version must be specified");
            } else {
                joined(&version_at, bare, "", names::dns_1035_label(bare), errors);
            }
        }
        [] => {}
    }
    let name = text(kind, &["kind"]);
    if name.is_empty() {
        errors.required(at.child("kind"), "");
    } else {
        let wrong = names::dns_1035_label(&name.to_lowercase());
        joined(&at.child("kind"), name, "may have mixed case, but should otherwise match: ", wrong, errors);
    }
}

/// Several faults of one text, told as one.
pub fn joined(at: &FieldPath, given: &str, opening: &str, wrong: Vec<String>, errors: &mut ErrorList) {
    if !wrong.is_empty() {
        errors.invalid(at.clone(), given, format!("{opening}{}", wrong.join(",")));
    }
}

fn match_resources(of: &Value, at: &FieldPath, errors: &mut ErrorList) {
    check::one_of(errors, of, at, &["matchPolicy"], &["Equivalent", "Exact"]);
    for field in ["namespaceSelector", "objectSelector"] {
        selector::label_selector(get(of, &[field]), &at.child(field), errors);
    }
    for field in ["resourceRules", "excludeResourceRules"] {
        for (i, rule) in items(of, &[field]).iter().enumerate() {
            let at = at.child(field).index(i);
            hooks::rule(rule, &at, errors);
            let mut seen = HashSet::new();
            for (j, name) in items(rule, &["resourceNames"]).iter().filter_map(Value::as_str).enumerate() {
                let at = at.child("resourceNames").index(j);
                errors.invalid_each(&at, name, names::path_segment(name));
                if !seen.insert(name) {
                    errors.duplicate(at, name);
                }
            }
        }
    }
}

fn validation(validation: &Value, known: &[&str], at: &FieldPath, errors: &mut ErrorList) {
    hooks::expression(validation, "expression", known, "expression is not specified", at, errors);
    let lines = |text: &str| text.trim().contains(['\n', '\r']);
    let (message, rule) = (text(validation, &["message"]), text(validation, &["expression"]));
    let by_expression = text(validation, &["messageExpression"]);
    if !by_expression.is_empty() && by_expression.trim().is_empty() {
        errors.invalid(at.child("messageExpression"), by_expression, "must be non-empty if specified");
    } else if !by_expression.is_empty() {
        // What the request is authorised for is nothing to be told.
        let known: Vec<&str> = known.iter().copied().filter(|v| *v != "authorizer").collect();
        hooks::expression(validation, "messageExpression", &known, "", at, errors);
    }
    let at_message = at.child("message");
    match () {
        () if !message.is_empty() && message.trim().is_empty() => {
            errors.invalid(at_message, message, "message must be non-empty if specified");
        }
        () if lines(message) => errors.invalid(at_message, message, "message must not contain line breaks"),
        () if lines(rule) && message.is_empty() => {
            errors.required(at_message, "message must be specified if expression contains line breaks");
        }
        () => {}
    }
    check::one_of(errors, validation, at, &["reason"], &["Forbidden", "Invalid", "RequestEntityTooLarge"]);
}

fn annotation(policy: &str, annotation: &Value, known: &[&str], at: &FieldPath, errors: &mut ErrorList) {
    let key = text(annotation, &["key"]);
    if policy.is_empty() {
        errors.invalid_each(&at.child("key"), key, names::qualified_name(key));
    } else {
        errors.invalid_each(&at.child("key"), key, names::qualified_name(&format!("{policy}/{key}")));
    }
    let value = text(annotation, &["valueExpression"]);
    if value.trim().len() > ANNOTATION_BYTES_MAX {
        errors.required(at.child("valueExpression"), "must not exceed 5kb in length");
    } else {
        hooks::expression(annotation, "valueExpression", known, "valueExpression is not specified", at, errors);
    }
}

fn binding(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    check::required_name(errors, spec, at, &["policyName"], names::dns_subdomain);
    if let Some(reference) = get(spec, &["paramRef"]) {
        param_ref(reference, &at.child("paramRef"), errors);
    }
    if let Some(resources) = get(spec, &["matchResources"]) {
        match_resources(resources, &at.child("matchResources"), errors);
    }
}

fn param_ref(reference: &Value, at: &FieldPath, errors: &mut ErrorList) {
    const ONE: &str = "name and selector are mutually exclusive";
    let (name, chosen) = (text(reference, &["name"]), get(reference, &["selector"]));
    if !name.is_empty() {
        errors.invalid_each(&at.child("name"), name, names::path_segment(name));
        if chosen.is_some() {
            errors.forbidden(at.child("name"), ONE);
        }
    }
    if let Some(chosen) = chosen {
        selector::label_selector(Some(chosen), &at.child("selector"), errors);
        if !name.is_empty() {
            errors.forbidden(at.child("selector"), ONE);
        }
    }
    if name.is_empty() && chosen.is_none() {
        errors.required(at.clone(), "one of name or selector must be specified");
    }
    check::required_one_of(errors, reference, at, &["parameterNotFoundAction"], &["Allow", "Deny"]);
}

fn actions(list: &[Value], at: &FieldPath, errors: &mut ErrorList) {
    if list.is_empty() {
        errors.required(at.clone(), "at least one validation action is required");
    }
    let mut seen = HashSet::new();
    for (i, action) in list.iter().filter_map(Value::as_str).enumerate() {
        if !matches!(action, "Audit" | "Deny" | "Warn") {
            errors.not_supported(at.index(i), action, &["Audit", "Deny", "Warn"]);
        }
        if !seen.insert(action) {
            errors.duplicate(at.index(i), action);
        }
    }
    if list.iter().any(|a| a == "Deny") && list.iter().any(|a| a == "Warn") {
        let why = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers \
                   serves no purpose)";
        errors.invalid(at.clone(), Value::Array(list.to_vec()), why);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(kind: &str, spec: Value) -> Vec<String> {
        let mut errors = ErrorList::default();
        content(kind, &json!({"metadata": {"name": "p"}, "spec": spec}), &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    fn policy(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let rule = json!({"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]});
        let mut spec = json!({
            "failurePolicy": "Fail",
            "matchConstraints": {"matchPolicy": "Exact", "resourceRules": [rule]},
            "validations": [{"expression": "object.metadata.name != variables.x"}],
            "variables": [{"name": "x", "expression": "'y'"}],
        });
        change(&mut spec);
        told("ValidatingAdmissionPolicy", spec)
    }

    #[test]
    fn parameters_are_known_where_their_kind_is_said() {
        assert_eq!(policy(|_| ()), [""; 0]);
        let rule = json!([{"expression": "object.spec.replicas <= params.max"}]);
        assert!(policy(|p| p["validations"] = rule.clone())[0].contains("undeclared reference to 'params'"));
        let kind = json!({"apiVersion": "rules.example/v1", "kind": "Max"});
        assert_eq!(
            policy(|p| {
                p["validations"] = rule;
                p["paramKind"] = kind;
            }),
            [""; 0]
        );
    }

    #[test]
    fn a_policy_has_at_most_twenty_annotations() {
        let list = |n: usize| -> Value { (0..n).map(|i| json!({"key": format!("k{i}"), "valueExpression": "'v'"})).collect() };
        assert_eq!(policy(|p| p["auditAnnotations"] = list(20)), [""; 0]);
        assert_eq!(policy(|p| p["auditAnnotations"] = list(21)).len(), 1);
        let long = format!("'{}'", "x".repeat(ANNOTATION_BYTES_MAX));
        assert!(
            policy(|p| p["auditAnnotations"] = json!([{"key": "k", "valueExpression": long}]))[0]
                .ends_with("must not exceed 5kb in length")
        );
    }

    #[test]
    fn a_binding_either_denies_or_warns() {
        let binding =
            |actions: Value| told("ValidatingAdmissionPolicyBinding", json!({"policyName": "p", "validationActions": actions}));
        assert_eq!(binding(json!(["Deny", "Audit"])), [""; 0]);
        assert!(binding(json!(["Deny", "Warn"]))[0].contains("must not contain both Deny and Warn"));
        assert_eq!(binding(json!(["Deny", "Deny", "Shout"])).len(), 2);
    }
}
