//! Conditions of a status, as kinds with the shared type have them.
//!
//! Source: https://kubernetes.io/docs/reference/kubernetes-api/ ("Condition"); limits stand in the fields' descriptions.
use hashbrown::HashSet;

use irori_api::{
    field::{ErrorList, FieldPath},
    names,
};
use serde_json::Value;

use super::check;
use crate::tree::{get, int, items, text};

const REASON_BYTES_MAX: usize = 1024;
const MESSAGE_BYTES_MAX: usize = 32 * 1024;

const REASON: &str = "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric \
                      characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or \
                      'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is \
                      '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')";

/// Each type once.
pub fn conditions(list: &[Value], at: &FieldPath, errors: &mut ErrorList) {
    let mut seen = HashSet::new();
    for (i, condition) in list.iter().enumerate() {
        let at = at.index(i);
        let kind = text(condition, &["type"]);
        if !seen.insert(kind) {
            errors.duplicate(at.child("type"), kind);
        }
        errors.invalid_each(&at.child("type"), kind, names::qualified_name(kind));
        one(condition, &at, errors);
    }
}

fn one(condition: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let status = text(condition, &["status"]);
    if !matches!(status, "False" | "True" | "Unknown") {
        errors.not_supported(at.child("status"), status, &["False", "True", "Unknown"]);
    }
    if let Some(generation) = int(condition, &["observedGeneration"]).filter(|n| *n < 0) {
        errors.invalid(at.child("observedGeneration"), generation, "must be greater than or equal to zero");
    }
    if get(condition, &["lastTransitionTime"]).is_none() {
        errors.required(at.child("lastTransitionTime"), "must be set");
    }
    let reason = text(condition, &["reason"]);
    if reason.is_empty() {
        errors.required(at.child("reason"), "must be set");
    } else {
        if !is_reason(reason) {
            errors.invalid(at.child("reason"), reason, REASON);
        }
        if reason.len() > REASON_BYTES_MAX {
            errors.too_long(at.child("reason"), REASON_BYTES_MAX);
        }
    }
    if text(condition, &["message"]).len() > MESSAGE_BYTES_MAX {
        errors.too_long(at.child("message"), MESSAGE_BYTES_MAX);
    }
}

fn is_reason(reason: &str) -> bool {
    let last = |c: char| c.is_ascii_alphanumeric() || c == '_';
    reason.starts_with(|c: char| c.is_ascii_alphabetic())
        && reason.ends_with(last)
        && reason.chars().all(|c| last(c) || matches!(c, ',' | ':'))
}

/// What an admission policy's controller says of its types and state.
pub fn policy_status(object: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("status");
    let list = at.at(["typeChecking", "expressionWarnings"]);
    for (i, warning) in items(object, &["status", "typeChecking", "expressionWarnings"]).iter().enumerate() {
        check::required(errors, warning, &list.index(i), &["warning"]);
        if text(warning, &["fieldRef"]).trim().is_empty() {
            errors.required(list.index(i).child("fieldRef"), "");
        }
    }
    conditions(items(object, &["status", "conditions"]), &at.child("conditions"), errors);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(list: Value) -> Vec<String> {
        let mut errors = ErrorList::default();
        conditions(list.as_array().unwrap(), &FieldPath::new("c"), &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    fn condition(change: Value) -> Value {
        let mut one = json!({"type": "Ready", "status": "True", "reason": "Done", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        one.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        one
    }

    #[test]
    fn a_condition_says_since_when_and_why() {
        assert_eq!(
            told(json!([condition(json!({})), condition(json!({"type": "a.example/Other", "reason": "A:b,C_"}))])),
            [""; 0]
        );
        assert_eq!(
            told(json!([{"type": "Ready", "status": "X", "observedGeneration": -1}])),
            [
                "c[0].status: Unsupported value: \"X\": supported values: \"False\", \"True\", \"Unknown\"",
                "c[0].observedGeneration: Invalid value: -1: must be greater than or equal to zero",
                "c[0].lastTransitionTime: Required value: must be set",
                "c[0].reason: Required value: must be set",
            ]
        );
        assert_eq!(told(json!([condition(json!({})), condition(json!({}))])), ["c[1].type: Duplicate value: \"Ready\""]);
        for bad in ["1a", "a:", "a b"] {
            assert!(told(json!([condition(json!({ "reason": bad }))]))[0].contains("a condition reason must start"), "{bad}");
        }
        let long = condition(json!({"reason": "r".repeat(1025), "message": "m".repeat(32769)}));
        assert_eq!(told(json!([long])).len(), 2);
    }

    #[test]
    fn warnings_of_types_say_what_and_where() {
        let mut errors = ErrorList::default();
        policy_status(
            &json!({"status": {"typeChecking": {"expressionWarnings": [{"warning": "", "fieldRef": " "}]}}}),
            &mut errors,
        );
        let at = "status.typeChecking.expressionWarnings[0]";
        assert_eq!(errors.to_string(), format!("[{at}.warning: Required value, {at}.fieldRef: Required value]"));
    }
}
