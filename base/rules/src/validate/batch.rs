//! Jobs.
//!
//! Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/job-v1/
use irori_api::field::{ErrorList, FieldPath, Wrong};
use serde_json::Value;

use super::{check, pod, selector};
use crate::tree::{flag, get, int, map, text};

mod policies;
pub mod status;
#[cfg(test)]
mod tests;

pub use policies::{failure_policy_shown, success_policy_shown};

/// Pods of an indexed job at one time, and indexes that may fail.
const INDEXES_MAX: i64 = 100_000;
/// Completions from which on the two next are limited.
const COMPLETIONS_HIGH: i64 = 100_000;
const AT_HIGH_MAX: i64 = 10_000;
/// Bytes of `managedBy`.
const MANAGER_BYTES_MAX: usize = 63;

/// `old`: what it was, at an update.
pub fn job(object: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let spec = get(object, &["spec"]).unwrap_or(&Value::Null);
    generated(object, old, errors);
    spec_with_selector(spec, errors);
    let name = text(object, &["metadata", "name"]);
    let completions = int(spec, &["completions"]).unwrap_or(0);
    if text(spec, &["completionMode"]) == "Indexed" && completions > 0 {
        let pod = format!("{name}-{}", completions - 1);
        if !irori_api::names::dns_label(&pod).is_empty() {
            let why = format!("will not able to create pod with invalid DNS label: {pod}");
            errors.invalid(FieldPath::new("metadata").child("name"), name, why);
        }
    }
}

/// The spec of a job, which selects its pods.
pub fn spec_with_selector(spec: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("spec");
    job_spec(spec, &at, errors);
    let given = get(spec, &["selector"]);
    let before = errors.len();
    match given {
        None => errors.required(at.child("selector"), ""),
        Some(_) => selector::label_selector(given, &at.child("selector"), errors),
    }
    let labels = map(spec, &["template", "metadata", "labels"]);
    let readable = given.is_none() || errors.len() == before;
    if readable && !given.is_some_and(|given| selector::matches(given, labels)) {
        let labels = labels.map_or(Value::Null, |labels| Value::Object(labels.clone()));
        errors.invalid(at.at(["template", "metadata", "labels"]), labels, "`selector` does not match template `labels`");
    }
}

/// Unless the user selects by hand, the pods of a job carry its uid and name, and nothing else is asked of them.
fn generated(object: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    const LABELS: [(&str, &str); 4] = [
        ("controller-uid", "uid"),
        ("job-name", "name"),
        ("batch.kubernetes.io/controller-uid", "uid"),
        ("batch.kubernetes.io/job-name", "name"),
    ];
    let Some(selector) = get(object, &["spec", "selector"]).filter(|_| !flag(object, &["spec", "manualSelector"])) else {
        return;
    };
    if text(object, &["metadata", "uid"]).is_empty() {
        errors.required(FieldPath::new("metadata").child("uid"), "");
    }
    let labels = ["spec", "template", "metadata", "labels"];
    // Jobs of older servers have the first two alone.
    let had = |old: &Value| LABELS[2..].iter().all(|(label, _)| map(old, &labels).is_some_and(|all| all.contains_key(*label)));
    let wanted = if old.is_none_or(had) { &LABELS[..] } else { &LABELS[..2] };
    let given = map(object, &labels);
    let mut expected = serde_json::Map::new();
    for (label, from) in wanted {
        let value = text(object, &["metadata", from]);
        let at = FieldPath::new("spec").at(["template", "metadata", "labels"]).key(label);
        match given.and_then(|given| given.get(*label)) {
            None => errors.required(at, &format!("must be '{value}'")),
            Some(is) if is != value => {
                let given = given.map_or(Value::Null, |given| Value::Object(given.clone()));
                errors.invalid(at, given, format!("must be '{value}'"));
            }
            Some(_) => {}
        }
        expected.insert((*label).to_owned(), value.into());
    }
    let mut unread = ErrorList::default();
    selector::label_selector(Some(selector), &FieldPath::root(), &mut unread);
    if unread.is_empty() && !selector::matches(selector, Some(&expected)) {
        errors.invalid(FieldPath::new("spec").child("selector"), selector.clone(), "`selector` not auto-generated");
    }
}

/// What jobs and the templates of cron jobs share.
pub fn job_spec(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        check::not_negative(errors, spec, at, &[field]);
    }
    if get(spec, &["maxFailedIndexes"]).is_some() && get(spec, &["backoffLimitPerIndex"]).is_none() {
        errors.required(at.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified");
    }
    if let Some(manager) = get(spec, &["managedBy"]).and_then(Value::as_str) {
        let at = at.child("managedBy");
        if manager.is_empty() {
            errors.required(at.clone(), "");
        } else {
            check::domain_path(errors, manager, &at);
        }
        if manager.len() > MANAGER_BYTES_MAX {
            errors.too_long(at, MANAGER_BYTES_MAX);
        }
    }
    check::one_of(errors, spec, at, &["completionMode"], &["NonIndexed", "Indexed"]);
    let mode = get(spec, &["completionMode"]).and_then(Value::as_str).unwrap_or("NonIndexed");
    match mode {
        "Indexed" => indexed(spec, at, errors),
        "NonIndexed" => {
            for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
                if let Some(n) = int(spec, &[field]) {
                    errors.invalid(at.child(field), n, "requires indexed completion mode");
                }
            }
        }
        _ => {}
    }
    policies::failure(spec, at, errors);
    if let Some(policy) = get(spec, &["successPolicy"]) {
        let at = at.child("successPolicy");
        if mode == "Indexed" {
            policies::success(policy, int(spec, &["completions"]).unwrap_or(0), &at, errors);
        } else {
            let shown = success_policy_shown(policy);
            check::wrong_go(errors, at, Wrong::Invalid, &shown, "requires indexed completion mode");
        }
    }
    if let Some(replacement) = get(spec, &["podReplacementPolicy"]).and_then(Value::as_str) {
        let after_failure = get(spec, &["podFailurePolicy"]).is_some();
        let known: &[&str] = if after_failure { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
        if !known.contains(&replacement) {
            errors.not_supported(at.child("podReplacementPolicy"), replacement, known);
        }
    }
    let template = at.child("template");
    pod::template_value_at(get(spec, &["template"]).unwrap_or(&Value::Null), &template, errors);
    let policy = text(spec, &["template", "spec", "restartPolicy"]);
    let policy_at = template.at(["spec", "restartPolicy"]);
    match policy {
        "" | "Always" => errors.required(policy_at, "valid values: \"OnFailure\", \"Never\""),
        "OnFailure" if get(spec, &["podFailurePolicy"]).is_some() => {
            errors.invalid(policy_at, policy, "only \"Never\" is supported when podFailurePolicy is specified");
        }
        "OnFailure" | "Never" => {}
        other => errors.not_supported(policy_at, other, &["OnFailure", "Never"]),
    }
}

fn indexed(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let number = |field: &str| int(spec, &[field]);
    let completions = number("completions");
    if completions.is_none() {
        errors.required(at.child("completions"), "when completion mode is Indexed");
    }
    let mut limit = |field: &str, most: i64, why: String| {
        if let Some(n) = number(field).filter(|n| *n > most) {
            errors.invalid(at.child(field), n, why);
        }
    };
    let pods = format!("must be less than or equal to {INDEXES_MAX} when completion mode is Indexed");
    limit("parallelism", INDEXES_MAX, pods);
    if let Some(completions) = completions {
        limit("maxFailedIndexes", completions, "must be less than or equal to completions".into());
    }
    limit("maxFailedIndexes", INDEXES_MAX, format!("must be less than or equal to {INDEXES_MAX}"));
    if completions.is_none_or(|n| n <= COMPLETIONS_HIGH) || number("backoffLimitPerIndex").is_none() {
        return;
    }
    for field in ["parallelism", "maxFailedIndexes"] {
        let why = format!(
            "must be less than or equal to {AT_HIGH_MAX} when completions are above {COMPLETIONS_HIGH} and used with backoff limit per index"
        );
        limit(field, AT_HIGH_MAX, why);
    }
    if number("maxFailedIndexes").is_none() {
        let why = format!("must be specified when completions is above {COMPLETIONS_HIGH}");
        errors.required(at.child("maxFailedIndexes"), &why);
    }
}
