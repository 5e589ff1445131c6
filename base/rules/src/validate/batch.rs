//! Jobs and CronJobs.
use hashbrown::HashSet;

use irori_api::field::{ErrorList, FieldPath};
use serde_json::Value;

use super::{check, pod, selector};
use crate::tree::{get, int, items, text};

pub fn content(kind: &str, object: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("spec");
    let spec = get(object, &["spec"]).unwrap_or(&Value::Null);
    match kind {
        "Job" => {
            if get(spec, &["selector"]).is_none_or(Value::is_null) {
                errors.required(at.child("selector"), "");
            } else {
                selector::label_selector(get(spec, &["selector"]), &at.child("selector"), errors);
            }
            job(spec, &at, errors);
            let name = text(object, &["metadata", "name"]);
            if text(spec, &["completionMode"]) == "Indexed" {
                let last = int(spec, &["completions"]).unwrap_or(1) - 1;
                let pod = format!("{name}-{last}");
                if !irori_api::names::dns_label(&pod).is_empty() {
                    errors.invalid(
                        FieldPath::new("metadata").child("name"),
                        name,
                        format!("will not able to create pod with invalid DNS label: {pod}"),
                    );
                }
            }
        }
        "CronJob" => cron_job(object, spec, &at, errors),
        _ => {}
    }
}

fn cron_job(object: &Value, spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let schedule = text(spec, &["schedule"]);
    if schedule.is_empty() {
        errors.required(at.child("schedule"), "");
    } else if let Err(why) = cron(schedule) {
        errors.invalid(at.child("schedule"), schedule, why);
    }
    if schedule.contains("TZ") {
        errors.invalid(at.child("schedule"), schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
    }
    match get(spec, &["timeZone"]).and_then(Value::as_str) {
        None => {}
        Some("") => errors.invalid(at.child("timeZone"), "", "timeZone must be nil or non-empty string"),
        Some("Local") => errors.invalid(
            at.child("timeZone"),
            "Local",
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
        ),
        Some(zone) if !zone_name(zone) => errors.invalid(at.child("timeZone"), zone, format!("unknown time zone {zone}")),
        Some(_) => {}
    }
    for field in ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        check::not_negative(errors, spec, at, &[field]);
    }
    check::required_one_of(errors, spec, at, &["concurrencyPolicy"], &["Allow", "Forbid", "Replace"]);
    job(get(spec, &["jobTemplate", "spec"]).unwrap_or(&Value::Null), &at.child("jobTemplate").child("spec"), errors);
    let name = text(object, &["metadata", "name"]);
    if name.len() > 52 {
        errors.invalid(FieldPath::new("metadata").child("name"), name, "must be no more than 52 characters");
    }
}

/// Whether a text has the form of a zone of the IANA database; the database itself is the controller's.
fn zone_name(zone: &str) -> bool {
    let part = |p: &str| {
        p.starts_with(|c: char| c.is_ascii_alphabetic()) && p.chars().all(|c| c.is_ascii_alphanumeric() || "_+-".contains(c))
    };
    let first = zone.split('/').next().unwrap_or("");
    const AREAS: &[&str] = &[
        "Africa",
        "America",
        "Antarctica",
        "Arctic",
        "Asia",
        "Atlantic",
        "Australia",
        "Brazil",
        "Canada",
        "Chile",
        "Etc",
        "Europe",
        "Indian",
        "Mexico",
        "Pacific",
        "US",
    ];
    let known = AREAS.contains(&first) && zone.contains('/')
        || !zone.contains('/') && zone.len() <= 10 && zone.starts_with(|c: char| c.is_ascii_uppercase()) && !zone.contains('_');
    known && zone.split('/').all(part)
}

/// A schedule in five fields, or a name such as `@daily`.
fn cron(schedule: &str) -> Result<(), String> {
    if let Some(name) = schedule.strip_prefix('@') {
        let known = matches!(name, "yearly" | "annually" | "monthly" | "weekly" | "daily" | "midnight" | "hourly");
        return if known || name.strip_prefix("every ").is_some_and(|d| irori_api::scalar::parse_duration(d).is_ok()) {
            Ok(())
        } else {
            Err(format!("unrecognized descriptor: {schedule}"))
        };
    }
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    let fields: Vec<&str> = match fields.first() {
        Some(zone) if zone.starts_with("TZ=") || zone.starts_with("CRON_TZ=") => fields[1..].to_vec(),
        _ => fields,
    };
    if fields.len() != 5 {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    }
    const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    for (field, (least, most, names)) in
        fields.iter().zip([(0, 59, &[][..]), (0, 23, &[]), (1, 31, &[]), (1, 12, MONTHS), (0, 6, DAYS)])
    {
        for part in field.split(',') {
            cron_part(part, least, most, names)?;
        }
    }
    Ok(())
}

fn cron_part(part: &str, least: u32, most: u32, names: &[&str]) -> Result<(), String> {
    let number = |text: &str| -> Result<u32, String> {
        if let Some(at) = names.iter().position(|n| n.eq_ignore_ascii_case(text)) {
            return Ok(u32::try_from(at).unwrap_or(0) + least);
        }
        text.parse().map_err(|_| format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: invalid syntax"))
    };
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, number(step)?),
        None => (part, 1),
    };
    if step == 0 {
        return Err(format!("step of range should be a positive number: {part}"));
    }
    let (from, to) = match range {
        "*" | "?" => (least, most),
        _ => match range.split_once('-') {
            Some((from, to)) => (number(from)?, number(to)?),
            None => {
                let from = number(range)?;
                (from, if part.contains('/') { most } else { from })
            }
        },
    };
    if from < least {
        return Err(format!("beginning of range ({from}) below minimum ({least}): {part}"));
    }
    if to > most {
        return Err(format!("end of range ({to}) above maximum ({most}): {part}"));
    }
    if from > to {
        return Err(format!("beginning of range ({from}) beyond end of range ({to}): {part}"));
    }
    Ok(())
}

fn job(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
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
    let indexed = text(spec, &["completionMode"]) == "Indexed";
    check::one_of(errors, spec, at, &["completionMode"], &["Indexed", "NonIndexed"]);
    let completions = int(spec, &["completions"]);
    if indexed && completions.is_none() {
        errors.required(at.child("completions"), "when completion mode is Indexed");
    }
    let per_index = int(spec, &["backoffLimitPerIndex"]);
    if let (Some(limit), false) = (per_index, indexed) {
        errors.invalid(at.child("backoffLimitPerIndex"), limit, "requires indexed completion mode");
    }
    if let Some(most) = int(spec, &["maxFailedIndexes"]) {
        if per_index.is_none() {
            errors.required(at.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified");
        }
        if indexed && completions.is_some_and(|c| most > c) {
            errors.invalid(at.child("maxFailedIndexes"), most, "must be less than or equal to completions");
        }
        if !indexed {
            errors.invalid(at.child("maxFailedIndexes"), most, "requires indexed completion mode");
        }
    }
    if let Some(replacement) = get(spec, &["podReplacementPolicy"]).and_then(Value::as_str) {
        if get(spec, &["podFailurePolicy"]).is_some() && replacement != "Failed" {
            errors.not_supported(at.child("podReplacementPolicy"), replacement, &["Failed"]);
        } else if !matches!(replacement, "Failed" | "TerminatingOrFailed") {
            errors.not_supported(at.child("podReplacementPolicy"), replacement, &["Failed", "TerminatingOrFailed"]);
        }
    }
    if let Some(manager) = get(spec, &["managedBy"]).and_then(Value::as_str) {
        let at = at.child("managedBy");
        if manager.is_empty() {
            errors.required(at.clone(), "");
        } else if !domain_path(manager) {
            errors.invalid(at.clone(), manager, "must be a domain-prefixed path (such as \"acme.io/foo\")");
        }
        if manager.len() > 63 {
            errors.too_long(at, 63);
        }
    }
    let template = at.child("template");
    pod::template_value_at(get(spec, &["template"]).unwrap_or(&Value::Null), &template, errors);
    let policy = text(spec, &["template", "spec", "restartPolicy"]);
    let policy_at = template.child("spec").child("restartPolicy");
    match policy {
        "" | "Always" => errors.required(policy_at, "valid values: \"OnFailure\", \"Never\""),
        "OnFailure" | "Never" => {}
        other => errors.not_supported(policy_at, other, &["OnFailure", "Never"]),
    }
    if get(spec, &["podFailurePolicy"]).is_some() && policy == "OnFailure" {
        errors.invalid(
            template.child("spec").child("restartPolicy"),
            policy,
            "only \"Never\" is supported when podFailurePolicy is specified",
        );
    }
    failure_policy(spec, at, errors);
    for (i, rule) in items(spec, &["successPolicy", "rules"]).iter().enumerate() {
        let at = at.child("successPolicy").child("rules").index(i);
        if let Some(indexes) = get(rule, &["succeededIndexes"]).and_then(Value::as_str)
            && let Err(why) = intervals(indexes, completions.unwrap_or(0))
        {
            errors.invalid(at.child("succeededIndexes"), indexes, format!("error parsing succeededIndexes: {why}"));
        }
        check::not_negative(errors, rule, &at, &["succeededCount"]);
    }
}

/// Indexes as `1,3-5,7`, in order and below the number of completions.
fn intervals(text: &str, completions: i64) -> Result<(), String> {
    let mut last = None;
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let bounds: Vec<&str> = part.split('-').collect();
        if bounds.len() > 2 {
            return Err(format!(
                "the fragment {part:?} violates the requirement that an index interval can have at most two parts separated by '-'"
            ));
        }
        for (i, bound) in bounds.iter().enumerate() {
            let n: i64 = bound.parse().map_err(|_| format!("cannot convert string to integer for index: {bound:?}"))?;
            if n >= completions {
                return Err(format!("too large index: {bound:?}"));
            }
            if last.is_some_and(|last| n <= last) && !(i == 1 && last == Some(n)) {
                return Err(format!("non-increasing order, previous: {}, current: {n}", last.unwrap_or(0)));
            }
            last = Some(n);
        }
    }
    Ok(())
}

/// A domain, a slash and a path.
pub fn domain_path(given: &str) -> bool {
    let Some((domain, path)) = given.split_once('/') else { return false };
    irori_api::names::dns_subdomain(domain).is_empty()
        && !path.is_empty()
        && path.chars().all(|c| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/%".contains(c))
}

fn failure_policy(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let at = at.child("podFailurePolicy").child("rules");
    let known: HashSet<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| items(spec, &["template", "spec", list]))
        .map(|container| text(container, &["name"]))
        .collect();
    for (i, rule) in items(spec, &["podFailurePolicy", "rules"]).iter().enumerate() {
        let at = at.index(i);
        check::required_one_of(errors, rule, &at, &["action"], &["Count", "FailIndex", "FailJob", "Ignore"]);
        let Some(codes) = get(rule, &["onExitCodes"]) else { continue };
        let at = at.child("onExitCodes");
        match text(codes, &["operator"]) {
            "" => errors.required(at.child("operator"), "valid values: [\"In\" \"NotIn\"]"),
            "In" | "NotIn" => {}
            other => errors.not_supported(at.child("operator"), other, &["In", "NotIn"]),
        }
        if let Some(name) = get(codes, &["containerName"]).and_then(Value::as_str)
            && !known.contains(name)
        {
            errors.invalid(
                at.child("containerName"),
                name,
                "must be one of the container or initContainer names in the pod template",
            );
        }
        if items(codes, &["values"]).is_empty() {
            errors.invalid(at.child("values"), Value::Null, "at least one value is required");
        }
    }
}
