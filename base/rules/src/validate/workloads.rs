//! Workloads of apps, and ReplicationController.
use std::num::IntErrorKind;

use hashbrown::HashSet;

use irori_api::{
    field::{ErrorList, FieldPath, Wrong},
    names,
};
use serde_json::{Value, json};

use super::{check, definition::shown, pod, selector};
use crate::tree::{get, int, items, map, set, text};

#[cfg(test)]
mod tests;

/// `fresh`: at creation.
pub fn content(kind: &str, object: &Value, fresh: bool, errors: &mut ErrorList) {
    let at = FieldPath::new("spec");
    let spec = get(object, &["spec"]).unwrap_or(&Value::Null);
    match kind {
        "Deployment" => deployment(spec, &at, errors),
        "ReplicaSet" => {
            counts(spec, &at, &["replicas", "minReadySeconds"], errors);
            selected(spec, &at, "replicaset", errors);
            long_running(spec, &at, "ReplicaSet", errors);
        }
        "StatefulSet" => stateful_set(spec, fresh, &at, errors),
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

/// The selector chooses something, and matches the template's labels; without one no template matches.
fn selected(spec: &Value, at: &FieldPath, word: &str, errors: &mut ErrorList) {
    let labels = map(spec, &["template", "metadata", "labels"]);
    let mismatch = |errors: &mut ErrorList| {
        let labels = labels.map_or(Value::Null, |labels| Value::Object(labels.clone()));
        errors.invalid(at.at(["template", "metadata", "labels"]), labels, "`selector` does not match template `labels`");
    };
    let Some(given) = get(spec, &["selector"]) else {
        if word != "daemonset" {
            errors.required(at.child("selector"), "");
        }
        return mismatch(errors);
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
    } else if !selector::matches(given, labels) {
        mismatch(errors);
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
        _ => unknown_strategy(strategy, path, "supported values: \"Recreate\", \"RollingUpdate\"", errors),
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

/// A stock server shows the whole strategy where its type is none that it knows.
fn unknown_strategy(strategy: &Value, at: FieldPath, why: &str, errors: &mut ErrorList) {
    let fields = [("MaxUnavailable", "maxUnavailable", "0"), ("MaxSurge", "maxSurge", "0")];
    let rolling = get(strategy, &["rollingUpdate"]).map_or_else(|| "null".to_owned(), |rolling| check::go(rolling, &fields));
    let kind = shown::json(&Value::from(text(strategy, &["type"])));
    check::wrong_go(errors, at, Wrong::NotSupported, &format!("{{\"Type\":{kind},\"RollingUpdate\":{rolling}}}"), why);
}

/// What a number or percentage counts: a text that is neither counts nothing.
fn amount(value: Option<&Value>) -> i64 {
    let number = |text: &str| match text.parse::<i64>() {
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => i64::MAX,
        parsed => parsed.unwrap_or(0),
    };
    match value {
        Some(Value::String(text)) => check::percent(value).unwrap_or_else(|| number(text)),
        _ => value.and_then(Value::as_i64).unwrap_or(0),
    }
}

fn at_most_all(errors: &mut ErrorList, value: Option<&Value>, at: &FieldPath) {
    if let Some(given) = value.filter(|value| check::percent(Some(value)).is_some_and(|percent| percent > 100)) {
        errors.invalid(at.clone(), given.clone(), "must not be greater than 100%");
    }
}

fn rolling_deployment(rolling: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let (unavailable, surge) = (get(rolling, &["maxUnavailable"]), get(rolling, &["maxSurge"]));
    check::amount_or_percent(errors, unavailable, &at.child("maxUnavailable"));
    check::amount_or_percent(errors, surge, &at.child("maxSurge"));
    if amount(unavailable) == 0 && amount(surge) == 0 {
        errors.invalid(
            at.child("maxUnavailable"),
            unavailable.cloned().unwrap_or(Value::Null),
            "may not be 0 when `maxSurge` is 0",
        );
    }
    at_most_all(errors, unavailable, &at.child("maxUnavailable"));
}

fn stateful_set(spec: &Value, fresh: bool, at: &FieldPath, errors: &mut ErrorList) {
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
                let why = "only allowed for updateStrategy 'RollingUpdate'";
                check::wrong_go(errors, path.child("rollingUpdate"), Wrong::Invalid, &rolling_set(rolling), why);
            }
        }
        "RollingUpdate" => check::not_negative(errors, strategy, &path, &["rollingUpdate", "partition"]),
        kind => {
            let rolling = get(strategy, &["rollingUpdate"]).map_or_else(|| "null".to_owned(), rolling_set);
            let shown = format!("{{\"Type\":{},\"RollingUpdate\":{rolling}}}", shown::json(&Value::from(kind)));
            check::wrong_go(errors, path, Wrong::Invalid, &shown, "must be 'RollingUpdate' or 'OnDelete'");
        }
    }
    for field in ["whenDeleted", "whenScaled"] {
        let at = at.child("persistentVolumeClaimRetentionPolicy");
        let policy = text(spec, &["persistentVolumeClaimRetentionPolicy", field]);
        if !policy.is_empty() && !matches!(policy, "Retain" | "Delete") {
            errors.not_supported(at.child(field), policy, &["Retain", "Delete"]);
        }
    }
    counts(spec, at, &["replicas", "minReadySeconds"], errors);
    check::not_negative(errors, spec, at, &["ordinals", "start"]);
    // These two never change again, and older objects have them as they are.
    let service = text(spec, &["serviceName"]);
    if fresh && !service.is_empty() {
        errors.invalid_each(&at.child("serviceName"), service, names::dns_label(service));
    }
    for (i, claim) in items(spec, &["volumeClaimTemplates"]).iter().enumerate().filter(|_| fresh) {
        let at = at.child("volumeClaimTemplates").index(i).child("spec");
        super::storage::claim_spec(get(claim, &["spec"]).unwrap_or(&Value::Null), &at, errors);
    }
    selected(spec, at, "statefulset", errors);
    // The host name of such a pod is its own name, whatever the template says.
    let mut as_run = spec.clone();
    crate::tree::remove(&mut as_run, &["template", "spec", "hostname"]);
    set(&mut as_run, &["template", "spec", "volumes"], volumes_with_claims(spec));
    long_running(&as_run, at, "StatefulSet", errors);
}

/// The volumes of a pod of a stateful set: one for each claim template, and those of the template that no claim takes the place of.
fn volumes_with_claims(spec: &Value) -> Vec<Value> {
    let mut claimed = HashSet::new();
    let names = items(spec, &["volumeClaimTemplates"]).iter().map(|claim| text(claim, &["metadata", "name"]));
    let mut volumes: Vec<Value> = names
        .filter(|name| claimed.insert(*name))
        .map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": name}}))
        .collect();
    let own = items(spec, &["template", "spec", "volumes"]).iter();
    volumes.extend(own.filter(|volume| !claimed.contains(text(volume, &["name"]))).cloned());
    volumes
}

fn rolling_set(rolling: &Value) -> String {
    check::go(rolling, &[("Partition", "partition", "0"), ("MaxUnavailable", "maxUnavailable", "null")])
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
            check::amount_or_percent(errors, unavailable, &at.child("maxUnavailable"));
            check::amount_or_percent(errors, surge, &at.child("maxSurge"));
            at_most_all(errors, unavailable, &at.child("maxUnavailable"));
            at_most_all(errors, surge, &at.child("maxSurge"));
            match (amount(unavailable) == 0, amount(surge) == 0) {
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
        _ => {
            let strategy = get(spec, &["updateStrategy"]).unwrap_or(&Value::Null);
            unknown_strategy(strategy, path, "supported values: \"RollingUpdate\", \"OnDelete\"", errors);
        }
    }
    counts(spec, at, &["revisionHistoryLimit"], errors);
}

fn controller(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    counts(spec, at, &["minReadySeconds"], errors);
    let chosen = map(spec, &["selector"]).filter(|s| !s.is_empty());
    let template = get(spec, &["template"]);
    match chosen {
        None => errors.required(at.child("selector"), ""),
        Some(_) if template.is_none() => {}
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
    if template.is_none() {
        errors.required(at.child("template"), "");
        return;
    }
    long_running(spec, at, "ReplicationController", errors);
}
