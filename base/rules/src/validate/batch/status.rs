//! What the controller of a job may say of it.
//!
//! A rule is asked only where one of the things that it speaks of has changed, so that a status that is wrong already does not stand in
//! the way of what has nothing to do with it.
use hashbrown::HashSet;

use irori_api::field::{ErrorList, FieldError, FieldPath, Wrong};
use serde_json::Value;

use super::policies::{index_count, overlap};
use crate::{
    tree::{flag, get, int, items, same, text},
    validate::check,
};

/// What both sides of a change are asked for.
struct Said<'a> {
    job: &'a Value,
    complete: bool,
    failed: bool,
    failing: bool,
    succeeding: bool,
}

impl<'a> Said<'a> {
    fn of(job: &'a Value) -> Said<'a> {
        let is = |kind: &str| condition(job, kind, "True");
        Said {
            job,
            complete: is("Complete"),
            failed: is("Failed"),
            failing: is("FailureTarget"),
            succeeding: is("SuccessCriteriaMet"),
        }
    }

    fn finished(&self) -> bool {
        self.complete || self.failed
    }

    fn number(&self, field: &str) -> i64 {
        int(self.job, &["status", field]).unwrap_or(0)
    }

    fn time(&self, field: &str) -> Option<&'a str> {
        get(self.job, &["status", field]).and_then(Value::as_str)
    }
}

fn condition(job: &Value, kind: &str, status: &str) -> bool {
    items(job, &["status", "conditions"]).iter().any(|one| text(one, &["type"]) == kind && text(one, &["status"]) == status)
}

pub fn change(new: &Value, old: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("status");
    for field in ["active", "succeeded", "failed", "ready", "terminating"] {
        check::not_negative(errors, new, &FieldPath::root(), &["status", field]);
    }
    uncounted(new, &at.child("uncountedTerminatedPods"), errors);
    let (is, was) = (Said::of(new), Said::of(old));
    conditions(&is, &was, &at.child("conditions"), errors);
    times(&is, &was, &at, errors);
    if is.finished() {
        at_the_end(&is, &was, &at, errors);
    }
    indexes(new, old, &at, errors);
    let changed = |field: &str| !same(get(new, &["status", field]), get(old, &["status", field]));
    if let Some(ready) = int(new, &["status", "ready"]).filter(|ready| *ready > is.number("active"))
        && (changed("ready") || is.number("active") != was.number("active"))
    {
        errors.invalid(at.child("ready"), ready, "cannot set more ready pods than active");
    }
    // A job that can be made smaller has fewer successes then.
    let elastic = text(new, &["spec", "completionMode"]) == "Indexed"
        && int(new, &["spec", "completions"]) == int(new, &["spec", "parallelism"]);
    for field in ["failed", "succeeded"] {
        if is.number(field) < was.number(field) && !(elastic && field == "succeeded") {
            errors.invalid(at.child(field), is.number(field), format!("cannot decrease the {field} counter"));
        }
    }
}

fn uncounted(job: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let mut seen = HashSet::new();
    for list in ["succeeded", "failed"] {
        for (i, uid) in items(job, &["status", "uncountedTerminatedPods", list]).iter().enumerate() {
            let at = at.child(list).index(i);
            if uid == "" {
                errors.invalid(at, "", "must not be empty");
            } else if !seen.insert(uid) {
                errors.duplicate(at, uid.clone());
            }
        }
    }
}

fn conditions(is: &Said<'_>, was: &Said<'_>, at: &FieldPath, errors: &mut ErrorList) {
    let completed = is.complete != was.complete;
    let by_policy = get(is.job, &["spec", "successPolicy"]).is_some();
    let failed_indexes = |said: &Said<'_>| get(said.job, &["status", "failedIndexes"]).cloned();
    let failed = is.failed != was.failed;
    for (wrong, why) in [
        (is.complete && is.failed && (completed || failed), "cannot set Complete=True and Failed=true conditions"),
        (
            is.complete && is.failing && (completed || is.failing != was.failing),
            "cannot set Complete=True and FailureTarget=true conditions",
        ),
        (
            is.failed && !is.failing && (failed || failed_indexes(is) != failed_indexes(was)),
            "cannot set Failed=True condition without the FailureTarget=true condition",
        ),
        (
            is.complete && !is.succeeding && (completed || is.succeeding != was.succeeding),
            "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
        ),
        (is.succeeding && is.failed, "cannot set SuccessCriteriaMet=True and Failed=true conditions"),
        (is.succeeding && is.failing, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"),
        (
            by_policy && is.complete && !is.succeeding,
            "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True",
        ),
        (was.failed && !is.failed, "cannot disable the terminal Failed=True condition"),
        (was.complete && !is.complete, "cannot disable the terminal Complete=True condition"),
        (was.failing && !is.failing, "cannot disable the terminal FailureTarget=True condition"),
        (was.succeeding && !is.succeeding, "cannot disable the SuccessCriteriaMet=True condition"),
        (
            was.complete && !was.succeeding && is.succeeding,
            "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions",
        ),
    ] {
        if wrong {
            errors.push(FieldError::without_value(at.clone(), Wrong::Invalid, why));
        }
    }
}

fn times(is: &Said<'_>, was: &Said<'_>, at: &FieldPath, errors: &mut ErrorList) {
    let (start, end) = (is.time("startTime"), is.time("completionTime"));
    let (started, ended) = (start != was.time("startTime"), end != was.time("completionTime"));
    let completed = is.complete != was.complete || ended;
    match end {
        None if is.complete && completed => {
            errors.required(at.child("completionTime"), "completionTime is required for Complete jobs");
        }
        Some(end) if !is.complete && completed => {
            let why = "cannot set completionTime when there is no Complete=True condition";
            errors.invalid(at.child("completionTime"), end, why);
        }
        _ => {}
    }
    if let (Some(start), Some(end), true) = (start, end, started || ended)
        && end < start
    {
        errors.invalid(at.child("completionTime"), end, "must be equal to or after `startTime`");
    }
    if let (Some(end), true) = (end, ended && was.time("completionTime").is_some()) {
        errors.invalid(at.child("completionTime"), end, "completionTime cannot be mutated");
    }
    let resumed = condition(was.job, "Suspended", "True") && condition(is.job, "Suspended", "False");
    if started && was.time("startTime").is_some() && !resumed && !flag(is.job, &["spec", "suspend"]) {
        errors.required(at.child("startTime"), "startTime cannot be removed for unsuspended job");
    }
}

/// A job that is over has begun, and has no pods left.
fn at_the_end(is: &Said<'_>, was: &Said<'_>, at: &FieldPath, errors: &mut ErrorList) {
    let over = !was.finished();
    let changed = |field: &str| over || !same(get(is.job, &["status", field]), get(was.job, &["status", field]));
    for field in ["active", "terminating"] {
        if is.number(field) > 0 && changed(field) {
            errors.invalid(at.child(field), is.number(field), format!("{field}>0 is invalid for finished job"));
        }
    }
    let never_runs = flag(is.job, &["spec", "suspend"]) && int(is.job, &["spec", "completions"]) == Some(0);
    if is.time("startTime").is_none() && changed("startTime") && !never_runs {
        errors.required(at.child("startTime"), "startTime is required for finished job");
    }
    let left = ["succeeded", "failed"].iter().any(|list| !items(is.job, &["status", "uncountedTerminatedPods", list]).is_empty());
    if let Some(given) =
        get(is.job, &["status", "uncountedTerminatedPods"]).filter(|_| left && changed("uncountedTerminatedPods"))
    {
        let fields = [("Succeeded", "succeeded", "null"), ("Failed", "failed", "null")];
        let why = "must be empty for finished job";
        check::wrong_go(errors, at.child("uncountedTerminatedPods"), Wrong::Invalid, &check::go(given, &fields), why);
    }
}

fn indexes(new: &Value, old: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let failed = |job: &'_ Value| get(job, &["status", "failedIndexes"]).and_then(Value::as_str).map(str::to_owned);
    let completed = text(new, &["status", "completedIndexes"]);
    let completed_changed = completed != text(old, &["status", "completedIndexes"]);
    let (failed, failed_changed) = (failed(new), failed(new) != failed(old));
    let completions = int(new, &["spec", "completions"]);
    let per_index = get(new, &["spec", "backoffLimitPerIndex"]).is_some();
    if completed_changed {
        let at = at.child("completedIndexes");
        if let Some(Err(why)) = completions.map(|completions| index_count(completed, completions)) {
            errors.invalid(at.clone(), completed, format!("error parsing completedIndexes: {why}"));
        }
        if !completed.is_empty() && text(new, &["spec", "completionMode"]) != "Indexed" {
            errors.invalid(at, completed, "cannot set non-empty completedIndexes when non-indexed completion mode");
        }
    }
    let Some(failed) = failed else { return };
    let at = at.child("failedIndexes");
    if failed_changed && !per_index {
        errors.invalid(at.clone(), failed.as_str(), "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
    }
    let Some(completions) = completions else { return };
    if let (true, Err(why)) = (failed_changed && per_index, index_count(&failed, completions)) {
        errors.invalid(at.clone(), failed.as_str(), format!("error parsing failedIndexes: {why}"));
    }
    if let (true, Some(index)) = (failed_changed || completed_changed, overlap(completed, &failed, completions)) {
        errors.invalid(at, failed.as_str(), format!("failedIndexes and completedIndexes overlap at index: {index}"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const START: &str = "2026-01-01T00:00:00Z";
    const END: &str = "2026-01-01T01:00:00Z";

    fn told(spec: Value, new: Value, old: Value) -> Vec<String> {
        let mut errors = ErrorList::default();
        change(&json!({"spec": spec, "status": new}), &json!({"spec": spec, "status": old}), &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    fn on(kinds: &[&str]) -> Value {
        Value::Array(kinds.iter().map(|kind| json!({"type": kind, "status": "True"})).collect())
    }

    /// A status with a start, a given end and conditions.
    fn ended(kinds: &[&str], end: Option<&str>) -> Value {
        json!({"startTime": START, "completionTime": end, "conditions": on(kinds)})
    }

    #[test]
    fn a_job_ends_in_one_way_and_says_so_first() {
        let begun = json!({"startTime": START});
        let whole = |kinds: &[&str]| told(json!({}), ended(kinds, kinds.contains(&"Complete").then_some(END)), begun.clone());
        assert_eq!(whole(&["SuccessCriteriaMet", "Complete"]), [""; 0]);
        assert_eq!(whole(&["FailureTarget", "Failed"]), [""; 0]);
        for (kinds, whys) in [
            (&["Complete"][..], &["cannot set Complete=True condition without the SuccessCriteriaMet=true condition"][..]),
            (&["Failed"], &["cannot set Failed=True condition without the FailureTarget=true condition"]),
            (
                &["Complete", "SuccessCriteriaMet", "FailureTarget"],
                &[
                    "cannot set Complete=True and FailureTarget=true conditions",
                    "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions",
                ],
            ),
            (
                &["Complete", "Failed", "SuccessCriteriaMet"],
                &[
                    "cannot set Complete=True and Failed=true conditions",
                    "cannot set Failed=True condition without the FailureTarget=true condition",
                    "cannot set SuccessCriteriaMet=True and Failed=true conditions",
                ],
            ),
        ] {
            let wanted: Vec<String> = whys.iter().map(|why| format!("status.conditions: Invalid value: {why}")).collect();
            assert_eq!(whole(kinds), wanted);
        }
        assert_eq!(
            told(json!({}), json!({"conditions": on(&["Complete", "SuccessCriteriaMet"])}), json!({})),
            [
                "status.completionTime: Required value: completionTime is required for Complete jobs",
                "status.startTime: Required value: startTime is required for finished job"
            ]
        );
        assert_eq!(
            told(json!({}), begun, ended(&["FailureTarget", "Failed"], None)),
            [
                "status.conditions: Invalid value: cannot disable the terminal Failed=True condition",
                "status.conditions: Invalid value: cannot disable the terminal FailureTarget=True condition"
            ]
        );
    }

    #[test]
    fn times_of_a_job_stay_and_follow_each_other() {
        let good = ended(&["SuccessCriteriaMet", "Complete"], Some(END));
        let begun = json!({"startTime": START});
        let at = "status.completionTime: Invalid value:";
        assert_eq!(
            told(json!({}), json!({"startTime": START, "completionTime": END}), begun.clone()),
            [format!("{at} \"{END}\": cannot set completionTime when there is no Complete=True condition")]
        );
        let early = ended(&["SuccessCriteriaMet", "Complete"], Some("2025-01-01T00:00:00Z"));
        assert_eq!(
            told(json!({}), early.clone(), begun.clone()),
            [format!("{at} \"2025-01-01T00:00:00Z\": must be equal to or after `startTime`")]
        );
        assert_eq!(told(json!({}), early, good).len(), 2);
        assert_eq!(
            told(json!({}), json!({}), begun.clone()),
            ["status.startTime: Required value: startTime cannot be removed for unsuspended job"]
        );
        assert_eq!(told(json!({"suspend": true}), json!({}), begun), [""; 0]);
        let suspended = |is: &str, time: &str| json!({"startTime": time, "conditions": [{"type": "Suspended", "status": is}]});
        assert_eq!(told(json!({}), suspended("False", END), suspended("True", START)), [""; 0]);
    }

    #[test]
    fn nothing_is_left_of_a_job_that_is_over() {
        let over = ended(&["FailureTarget", "Failed"], None);
        let with = |field: &str, value: Value| {
            let mut status = over.clone();
            crate::tree::set(&mut status, &[field], value);
            told(json!({}), status.clone(), over.clone())
                .into_iter()
                .chain(told(json!({}), status.clone(), status))
                .collect::<Vec<_>>()
        };
        assert_eq!(with("active", json!(1)), ["status.active: Invalid value: 1: active>0 is invalid for finished job"]);
        assert_eq!(
            with("terminating", json!(1)),
            ["status.terminating: Invalid value: 1: terminating>0 is invalid for finished job"]
        );
        assert_eq!(
            with("uncountedTerminatedPods", json!({"failed": ["a"]})),
            [
                "status.uncountedTerminatedPods: Invalid value: {\"Succeeded\":null,\"Failed\":[\"a\"]}: must be empty for finished job"
            ]
        );
    }

    #[test]
    fn indexes_of_a_status_are_those_of_the_job() {
        let indexed = json!({"completionMode": "Indexed", "completions": 4, "backoffLimitPerIndex": 1});
        assert_eq!(told(indexed.clone(), json!({"completedIndexes": "0,2-3", "failedIndexes": "1"}), json!({})), [""; 0]);
        assert_eq!(
            told(indexed.clone(), json!({"completedIndexes": "0-1", "failedIndexes": "1,2"}), json!({})),
            ["status.failedIndexes: Invalid value: \"1,2\": failedIndexes and completedIndexes overlap at index: 1"]
        );
        assert_eq!(
            told(indexed, json!({"completedIndexes": "a", "failedIndexes": "5"}), json!({})),
            [
                "status.completedIndexes: Invalid value: \"a\": error parsing completedIndexes: cannot convert string to integer for index: \"a\"",
                "status.failedIndexes: Invalid value: \"5\": error parsing failedIndexes: too large index: \"5\""
            ]
        );
        assert_eq!(
            told(json!({"completions": 4}), json!({"completedIndexes": "0", "failedIndexes": ""}), json!({})),
            [
                "status.completedIndexes: Invalid value: \"0\": cannot set non-empty completedIndexes when non-indexed completion mode",
                "status.failedIndexes: Invalid value: \"\": cannot set non-null failedIndexes when backoffLimitPerIndex is null"
            ]
        );
    }

    #[test]
    fn counters_grow_and_uids_stand_once() {
        let old = json!({"succeeded": 2, "failed": 2});
        assert_eq!(
            told(json!({}), json!({"succeeded": 1, "failed": 1}), old.clone()),
            [
                "status.failed: Invalid value: 1: cannot decrease the failed counter",
                "status.succeeded: Invalid value: 1: cannot decrease the succeeded counter"
            ]
        );
        let elastic = json!({"completionMode": "Indexed", "completions": 1, "parallelism": 1});
        assert_eq!(told(elastic, json!({"succeeded": 1, "failed": 2}), old), [""; 0]);
        assert_eq!(
            told(json!({}), json!({"ready": 2, "active": 1}), json!({})),
            ["status.ready: Invalid value: 2: cannot set more ready pods than active"]
        );
        assert_eq!(
            told(json!({}), json!({"uncountedTerminatedPods": {"succeeded": ["", "a"], "failed": ["a"]}}), json!({})),
            [
                "status.uncountedTerminatedPods.succeeded[0]: Invalid value: \"\": must not be empty",
                "status.uncountedTerminatedPods.failed[0]: Duplicate value: \"a\""
            ]
        );
    }
}
