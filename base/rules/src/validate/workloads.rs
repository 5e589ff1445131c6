//! Workloads of apps, and ReplicationController.
use irori_api::field::{ErrorList, FieldPath, Wrong};
use serde_json::Value;

use super::{check, definition::shown, pod, selector};
use crate::tree::{get, int, items, map, text};

pub fn content(kind: &str, object: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("spec");
    let spec = get(object, &["spec"]).unwrap_or(&Value::Null);
    match kind {
        "Deployment" => deployment(spec, &at, errors),
        "ReplicaSet" => {
            counts(spec, &at, &["replicas", "minReadySeconds"], errors);
            selected(spec, &at, "replicaset", errors);
            nothing_selected(spec, &at, errors);
            long_running(spec, &at, "ReplicaSet", errors);
        }
        "StatefulSet" => stateful_set(spec, &at, errors),
        "DaemonSet" => daemon_set(spec, &at, errors),
        "ReplicationController" => controller(spec, &at, errors),
        "ControllerRevision" => {
            check::not_negative(errors, object, &FieldPath::root(), &["revision"]);
            if get(object, &["data"]).is_none_or(Value::is_null) {
                errors.required(FieldPath::new("data"), "data is mandatory");
            }
        }
        _ => {}
    }
}

fn counts(spec: &Value, at: &FieldPath, fields: &[&str], errors: &mut ErrorList) {
    for field in fields {
        check::not_negative(errors, spec, at, &[field]);
    }
}

/// The selector is there, chooses something, and matches the template's labels.
fn selected(spec: &Value, at: &FieldPath, word: &str, errors: &mut ErrorList) {
    let Some(given) = get(spec, &["selector"]).filter(|s| !s.is_null()) else {
        errors.required(at.child("selector"), "");
        return;
    };
    let before = errors.len();
    selector::label_selector(Some(given), &at.child("selector"), errors);
    if selector::is_empty(Some(given)) {
        errors.invalid(at.child("selector"), given.clone(), format!("empty selector is invalid for {word}"));
    } else if errors.len() > before {
        if word == "daemonset" {
            return;
        }
        errors.invalid(at.child("selector"), given.clone(), "invalid label selector");
    } else {
        let labels = map(spec, &["template", "metadata", "labels"]);
        if !selector::matches(given, labels) {
            let labels = labels.map_or(Value::Null, |l| Value::Object(l.clone()));
            let at = at.child("template").child("metadata").child("labels");
            errors.invalid(at, labels, "`selector` does not match template `labels`");
        }
    }
}

/// Without a selector no template matches.
fn nothing_selected(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    if get(spec, &["selector"]).is_none() {
        let labels = map(spec, &["template", "metadata", "labels"]).map_or(Value::Null, |l| Value::Object(l.clone()));
        let at = at.child("template").child("metadata").child("labels");
        errors.invalid(at, labels, "`selector` does not match template `labels`");
    }
}

/// The template of something that keeps its pods running.
fn long_running(spec: &Value, at: &FieldPath, word: &str, errors: &mut ErrorList) {
    let at = at.child("template");
    pod::template_value_at(get(spec, &["template"]).unwrap_or(&Value::Null), &at, errors);
    let policy = text(spec, &["template", "spec", "restartPolicy"]);
    if matches!(policy, "Never" | "OnFailure") || (!policy.is_empty() && policy != "Always") {
        errors.not_supported(at.child("spec").child("restartPolicy"), policy, &["Always"]);
    }
    if get(spec, &["template", "spec", "activeDeadlineSeconds"]).is_some() {
        errors.forbidden(
            at.child("spec").child("activeDeadlineSeconds"),
            format!("activeDeadlineSeconds in {word} is not Supported"),
        );
    }
}

fn deployment(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    check::not_negative(errors, spec, at, &["replicas"]);
    selected(spec, at, "deployment", errors);
    nothing_selected(spec, at, errors);
    long_running(spec, at, "ReplicaSet", errors);
    let strategy = get(spec, &["strategy"]).unwrap_or(&Value::Null);
    let rolling = get(strategy, &["rollingUpdate"]);
    let path = at.child("strategy");
    match text(strategy, &["type"]) {
        "Recreate" if rolling.is_some() => {
            errors.forbidden(path.child("rollingUpdate"), "may not be specified when strategy `type` is 'Recreate'");
        }
        "Recreate" => {}
        "RollingUpdate" => match rolling {
            None => errors.required(path.child("rollingUpdate"), "this should be defaulted and never be nil"),
            Some(rolling) => rolling_deployment(rolling, &path.child("rollingUpdate"), errors),
        },
        kind => {
            let fields = [("MaxUnavailable", "maxUnavailable", "0"), ("MaxSurge", "maxSurge", "0")];
            let rolling = rolling.map_or_else(|| "null".to_owned(), |rolling| check::go(rolling, &fields));
            let shown = format!("{{\"Type\":{},\"RollingUpdate\":{rolling}}}", shown::json(&Value::from(kind)));
            let why = "supported values: \"Recreate\", \"RollingUpdate\"";
            check::wrong_go(errors, path, Wrong::NotSupported, &shown, why);
        }
    }
    counts(spec, at, &["minReadySeconds", "revisionHistoryLimit"], errors);
    if let Some(deadline) = int(spec, &["progressDeadlineSeconds"]) {
        let at = at.child("progressDeadlineSeconds");
        if deadline < 0 {
            errors.invalid(at.clone(), deadline, "must be greater than or equal to 0");
        }
        if deadline <= int(spec, &["minReadySeconds"]).unwrap_or(0) {
            errors.invalid(at, deadline, "must be greater than minReadySeconds");
        }
    }
}

fn is_zero(value: Option<&Value>) -> bool {
    value.is_none_or(|v| v.as_i64() == Some(0) || check::percent(Some(v)) == Some(0))
}

fn rolling_deployment(rolling: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let (unavailable, surge) = (get(rolling, &["maxUnavailable"]), get(rolling, &["maxSurge"]));
    check::amount_or_percent(errors, unavailable, &at.child("maxUnavailable"));
    check::amount_or_percent(errors, surge, &at.child("maxSurge"));
    if is_zero(unavailable) && is_zero(surge) {
        errors.invalid(
            at.child("maxUnavailable"),
            unavailable.cloned().unwrap_or(Value::Null),
            "may not be 0 when `maxSurge` is 0",
        );
    }
    if check::percent(unavailable).is_some_and(|p| p > 100) {
        errors.invalid(at.child("maxUnavailable"), unavailable.cloned().unwrap_or(Value::Null), "must not be greater than 100%");
    }
}

fn stateful_set(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    match text(spec, &["podManagementPolicy"]) {
        "" => errors.required(at.child("podManagementPolicy"), ""),
        "OrderedReady" | "Parallel" => {}
        other => errors.invalid(at.child("podManagementPolicy"), other, "must be 'OrderedReady' or 'Parallel'"),
    }
    let path = at.child("updateStrategy");
    let strategy = get(spec, &["updateStrategy"]).unwrap_or(&Value::Null);
    match text(strategy, &["type"]) {
        "" => errors.required(path, ""),
        "OnDelete" => {
            if let Some(rolling) = get(strategy, &["rollingUpdate"]) {
                errors.invalid(path.child("rollingUpdate"), rolling.clone(), "only allowed for updateStrategy 'RollingUpdate'");
            }
        }
        "RollingUpdate" => check::not_negative(errors, strategy, &path, &["rollingUpdate", "partition"]),
        _ => errors.invalid(path, strategy.clone(), "must be 'RollingUpdate' or 'OnDelete'"),
    }
    for field in ["whenDeleted", "whenScaled"] {
        let at = at.child("persistentVolumeClaimRetentionPolicy");
        let policy = text(spec, &["persistentVolumeClaimRetentionPolicy", field]);
        if !policy.is_empty() && !matches!(policy, "Retain" | "Delete") {
            errors.not_supported(at.child(field), policy, &["Retain", "Delete"]);
        }
    }
    counts(spec, at, &["replicas", "minReadySeconds", "revisionHistoryLimit"], errors);
    check::not_negative(errors, spec, at, &["ordinals", "start"]);
    for (i, claim) in items(spec, &["volumeClaimTemplates"]).iter().enumerate() {
        let at = at.child("volumeClaimTemplates").index(i).child("spec");
        super::storage::claim_spec(get(claim, &["spec"]).unwrap_or(&Value::Null), &at, errors);
    }
    selected(spec, at, "statefulset", errors);
    // The host name of such a pod is its own name, whatever the template says.
    let mut unnamed = spec.clone();
    crate::tree::remove(&mut unnamed, &["template", "spec", "hostname"]);
    long_running(&unnamed, at, "StatefulSet", errors);
}

fn daemon_set(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    selected(spec, at, "daemonset", errors);
    long_running(spec, at, "DaemonSet", errors);
    counts(spec, at, &["minReadySeconds"], errors);
    let path = at.child("updateStrategy");
    match text(spec, &["updateStrategy", "type"]) {
        "OnDelete" => {}
        "RollingUpdate" => {
            let at = path.child("rollingUpdate");
            let Some(rolling) = get(spec, &["updateStrategy", "rollingUpdate"]) else {
                errors.required(at, "");
                return;
            };
            let (unavailable, surge) = (get(rolling, &["maxUnavailable"]), get(rolling, &["maxSurge"]));
            let before = errors.len();
            check::amount_or_percent(errors, unavailable, &at.child("maxUnavailable"));
            check::amount_or_percent(errors, surge, &at.child("maxSurge"));
            if errors.len() > before {
                return;
            }
            match (is_zero(unavailable), is_zero(surge)) {
                (true, true) => errors.required(at.child("maxUnavailable"), "cannot be 0 when maxSurge is 0"),
                (false, false) => {
                    errors.invalid(
                        at.child("maxSurge"),
                        surge.cloned().unwrap_or(Value::Null),
                        "may not be set when maxUnavailable is non-zero",
                    );
                }
                _ => {}
            }
        }
        other => errors.not_supported(path.child("type"), other, &["OnDelete", "RollingUpdate"]),
    }
    counts(spec, at, &["revisionHistoryLimit"], errors);
}

fn controller(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    counts(spec, at, &["minReadySeconds"], errors);
    let chosen = map(spec, &["selector"]).filter(|s| !s.is_empty());
    match chosen {
        None => errors.required(at.child("selector"), ""),
        Some(chosen) => {
            let labels = map(spec, &["template", "metadata", "labels"]);
            if !chosen.iter().all(|(key, value)| labels.and_then(|l| l.get(key)) == Some(value)) {
                let labels = labels.map_or(Value::Null, |l| Value::Object(l.clone()));
                errors.invalid(
                    at.child("template").child("metadata").child("labels"),
                    labels,
                    "`selector` does not match template `labels`",
                );
            }
        }
    }
    counts(spec, at, &["replicas"], errors);
    if get(spec, &["template"]).is_none_or(Value::is_null) {
        errors.required(at.child("template"), "");
        return;
    }
    long_running(spec, at, "ReplicationController", errors);
}
