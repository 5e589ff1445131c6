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
        "MutatingAdmissionPolicyBinding" => {
            binding(spec, &at, errors);
            changing(get(spec, &["matchResources"]), &at.child("matchResources"), errors);
        }
        _ => {}
    }
}

/// What a patch is made of, in the expressions that make one.
const PATCH: &[&str] = &["Object", "JSONPatch", "jsonpatch"];

/// Words that name no variable.
const RESERVED: &[&str] = &[
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// What the expressions of a policy may name: its variables where it has any.
fn variables(spec: &Value) -> Vec<&str> {
    let mut known = [REQUEST, &["namespaceObject"]].concat();
    if !items(spec, &["variables"]).is_empty() {
        known.push("variables");
    }
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
    changing(get(spec, &["matchConstraints"]), &at.child("matchConstraints"), errors);
    let known = [variables(spec).as_slice(), &["variables"], PATCH].concat();
    let (mutations, list) = (items(spec, &["mutations"]), at.child("mutations"));
    if mutations.is_empty() {
        errors.required(list.clone(), "mutations must contain at least one item");
    }
    for (i, one) in mutations.iter().enumerate() {
        let at = list.index(i);
        let (field, other) = match text(one, &["patchType"]) {
            "ApplyConfiguration" => ("applyConfiguration", "jsonPatch"),
            "JSONPatch" => ("jsonPatch", "applyConfiguration"),
            _ => {
                check::required_one_of(errors, one, &at, &["patchType"], &["ApplyConfiguration", "JSONPatch"]);
                continue;
            }
        };
        let kind = text(one, &["patchType"]);
        match get(one, &[field]) {
            None => errors.required(at.child(field), &format!("must be specified when patchType is {kind}")),
            Some(given) => hooks::expression(given, "expression", &known, "", &at.child(field), errors),
        }
        if get(one, &[other]).is_some() {
            errors.invalid(at.child(other), format!("{{{other}}}"), format!("must not be specified when patchType is {kind}"));
        }
    }
    check::required_one_of(errors, spec, at, &["reinvocationPolicy"], &["IfNeeded", "Never"]);
}

/// A policy that changes objects has nothing to do where one goes.
fn changing(resources: Option<&Value>, at: &FieldPath, errors: &mut ErrorList) {
    const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "UPDATE"];
    let at = at.child("resourceRules").child("operations");
    let rules = resources.map_or(&[][..], |resources| items(resources, &["resourceRules"]));
    for operation in rules.iter().flat_map(|rule| items(rule, &["operations"])).filter_map(Value::as_str) {
        if !OPERATIONS.contains(&operation) {
            errors.not_supported(at.clone(), operation, OPERATIONS);
        }
    }
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
    let known = [variables(spec).as_slice(), &["variables"]].concat();
    for (i, variable) in items(spec, &["variables"]).iter().enumerate() {
        let at = at.child("variables").index(i);
        let name = text(variable, &["name"]);
        if name.trim().is_empty() {
            errors.required(at.child("name"), "name is not specified");
        } else if !names::c_identifier(name).is_empty() || RESERVED.contains(&name) {
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
    let message = text(validation, &["message"]);
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
        () => {}
    }
    check::one_of(errors, validation, at, &["reason"], &["Forbidden", "Invalid", "RequestEntityTooLarge"]);
}

fn annotation(policy: &str, annotation: &Value, known: &[&str], at: &FieldPath, errors: &mut ErrorList) {
    let key = text(annotation, &["key"]);
    let whole = if policy.is_empty() { key.to_owned() } else { format!("{policy}/{key}") };
    errors.invalid_each(&at.child("key"), whole.as_str(), names::qualified_name(&whole));
    let value = text(annotation, &["valueExpression"]);
    if value.trim().len() > ANNOTATION_BYTES_MAX {
        errors.required(at.child("valueExpression"), &format!("must not exceed {ANNOTATION_BYTES_MAX} bytes in length"));
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
    check::required_one_of(errors, reference, at, &["parameterNotFoundAction"], &["Deny", "Allow"]);
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
    fn variables_are_known_where_there_are_any() {
        let told = policy(|p| p["variables"] = json!([]));
        assert!(told[0].contains("undeclared reference to 'variables'"), "{told:?}");
        for (name, why) in [(" ", "Required value: name is not specified"), ("namespace", "name is not a valid CEL identifier")] {
            let told = policy(|p| p["variables"][0]["name"] = json!(name));
            assert!(told.len() == 1 && told[0].ends_with(why), "{told:?}");
        }
    }

    #[test]
    fn an_expression_may_have_lines_and_a_message_may_not() {
        assert_eq!(policy(|p| p["validations"] = json!([{"expression": "object.a == 1 &&\n object.b == 2"}])), [""; 0]);
        let told = policy(|p| p["validations"] = json!([{"expression": "true", "message": "a\nb"}]));
        assert_eq!(told, ["spec.validations[0].message: Invalid value: \"a\\nb\": message must not contain line breaks"]);
    }

    fn mutation(operation: &str, mutation: Value) -> Vec<String> {
        let rule = json!({"operations": [operation], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]});
        let constraints = json!({"matchPolicy": "Exact", "resourceRules": [rule]});
        told(
            "MutatingAdmissionPolicy",
            json!({"matchConstraints": constraints, "reinvocationPolicy": "Never", "mutations": [mutation]}),
        )
    }

    #[test]
    fn a_patch_is_made_of_types_of_its_own() {
        let apply = |expression: &str| {
            mutation("CREATE", json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}))
        };
        let json_patch =
            |expression: &str| mutation("CREATE", json!({"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}));
        assert_eq!(apply("Object{spec: Object.spec{replicas: variables.n}}"), [""; 0]);
        assert_eq!(
            json_patch("[JSONPatch{op: 'add', path: '/a/' + jsonpatch.escapeKey('a/b'), value: Object.spec{paused: true}}]"),
            [""; 0]
        );
        assert_eq!(json_patch(" "), ["spec.mutations[0].jsonPatch.expression: Required value"]);
        assert!(policy(|p| p["validations"] = json!([{"expression": "Object.spec == 1"}]))[0].contains("undeclared reference"));
    }

    #[test]
    fn a_mutation_is_of_one_type() {
        let expression = json!({"expression": "[]"});
        let both = |kind: &str| {
            mutation(
                "CREATE",
                json!({"patchType": kind, "jsonPatch": expression, "applyConfiguration": {"expression": "Object{}"}}),
            )
        };
        let why = "must not be specified when patchType is";
        assert_eq!(
            both("JSONPatch"),
            [format!("spec.mutations[0].applyConfiguration: Invalid value: \"{{applyConfiguration}}\": {why} JSONPatch")]
        );
        assert_eq!(
            both("ApplyConfiguration"),
            [format!("spec.mutations[0].jsonPatch: Invalid value: \"{{jsonPatch}}\": {why} ApplyConfiguration")]
        );
        assert_eq!(both("X").len(), 1);
    }

    #[test]
    fn nothing_is_changed_where_an_object_goes() {
        let patch = json!({"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}});
        let at = "resourceRules.operations: Unsupported value: \"DELETE\": supported values: \"*\", \"CONNECT\", \"CREATE\", \"UPDATE\"";
        assert_eq!(mutation("DELETE", patch), [format!("spec.matchConstraints.{at}")]);
        let rule = json!({"operations": ["DELETE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]});
        let binding = json!({"policyName": "p", "matchResources": {"resourceRules": [rule]}});
        assert_eq!(told("MutatingAdmissionPolicyBinding", binding), [format!("spec.matchResources.{at}")]);
    }

    #[test]
    fn a_key_is_told_with_the_name_before_it() {
        let told = policy(|p| p["auditAnnotations"] = json!([{"key": "a b", "valueExpression": "'v'"}]));
        assert!(
            told[0].starts_with("spec.auditAnnotations[0].key: Invalid value: \"p/a b\": name part must consist"),
            "{told:?}"
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
                .ends_with("must not exceed 5120 bytes in length")
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
