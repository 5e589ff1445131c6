//! CronJobs: when they run, and the job that they make.
//!
//! Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/cron-job-v1/ ; schedules are read as the cron
//! library of stock servers reads them.
use irori_api::{
    field::{ErrorList, FieldPath},
    scalar::parse_duration,
};
use serde_json::Value;

use super::{batch, check};
use crate::tree::{flag, get, text};

#[cfg(test)]
mod tests;

/// Bytes of a name to which the controller adds the time of a run.
const NAME_BYTES_MAX: usize = 52;

/// `old`: what it was, at an update.
pub fn cron_job(object: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let at = FieldPath::new("spec");
    let spec = get(object, &["spec"]).unwrap_or(&Value::Null);
    let schedule = text(spec, &["schedule"]);
    let zone = |object: &Value| get(object, &["spec", "timeZone"]).cloned();
    if schedule.is_empty() {
        errors.required(at.child("schedule"), "");
    } else if let Err(why) = read(schedule) {
        errors.invalid(at.child("schedule"), schedule, why);
    }
    if schedule.contains("TZ") {
        let had = old.is_some_and(|old| text(old, &["spec", "schedule"]).contains("TZ"));
        match (had, zone(object)) {
            (true, None) => {}
            (true, Some(_)) => {
                let why = "cannot use both timeZone field and TZ or CRON_TZ in schedule";
                errors.invalid(at.child("schedule"), schedule, why);
            }
            (false, _) => {
                let why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
                errors.invalid(at.child("schedule"), schedule, why);
            }
        }
    }
    if let Some(Value::String(given)) = zone(object).filter(|given| old.is_none_or(|old| zone(old).as_ref() != Some(given))) {
        time_zone(&given, &at.child("timeZone"), errors);
    }
    for field in ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        check::not_negative(errors, spec, &at, &[field]);
    }
    check::required_one_of(errors, spec, &at, &["concurrencyPolicy"], &["Allow", "Forbid", "Replace"]);
    let job = get(spec, &["jobTemplate", "spec"]).unwrap_or(&Value::Null);
    let at = at.at(["jobTemplate", "spec"]);
    batch::job_spec(job, &at, errors);
    if let Some(selector) = get(job, &["selector"]) {
        errors.invalid(at.child("selector"), selector.clone(), "`selector` will be auto-generated");
    }
    if flag(job, &["manualSelector"]) {
        errors.not_supported(at.child("manualSelector"), true, &["nil", "false"]);
    }
    let name = text(object, &["metadata", "name"]);
    if old.is_none() && name.len() > NAME_BYTES_MAX {
        let why = format!("must be no more than {NAME_BYTES_MAX} characters");
        errors.invalid(FieldPath::new("metadata").child("name"), name, why);
    }
}

fn time_zone(given: &str, at: &FieldPath, errors: &mut ErrorList) {
    if given.is_empty() {
        return errors.invalid(at.clone(), "", "timeZone must be nil or non-empty string");
    }
    if given.eq_ignore_ascii_case("Local") {
        let why = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        errors.invalid(at.clone(), given, why);
    }
    if given != "Local" && !is_zone(given) {
        errors.invalid(at.clone(), given, format!("unknown time zone {given}"));
    }
}

/// Whether the IANA database has a zone or link of this name (https://www.iana.org/time-zones, release 2025b).
fn is_zone(name: &str) -> bool {
    include_str!("cron/zones.txt").lines().any(|zone| zone == name)
}

/// A schedule in five fields, or a name such as `@daily`; before either may stand a zone.
fn read(schedule: &str) -> Result<(), String> {
    let rest = match schedule.strip_prefix("TZ=").or_else(|| schedule.strip_prefix("CRON_TZ=")) {
        None => schedule,
        Some(zoned) => {
            let (zone, rest) = zoned.split_once(' ').unwrap_or((zoned, ""));
            if !matches!(zone, "" | "Local") && !is_zone(zone) {
                return Err(format!("provided bad location {zone}: unknown time zone {zone}"));
            }
            rest.trim()
        }
    };
    if rest.starts_with('@') {
        return named(rest);
    }
    let fields: Vec<&str> = rest.split_whitespace().collect();
    if fields.len() != 5 {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    }
    const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    let bounds = [(0, 59, &[][..]), (0, 23, &[]), (1, 31, &[]), (1, 12, MONTHS), (0, 6, DAYS)];
    for (field, bounds) in fields.iter().zip(bounds) {
        for part in field.split(',').filter(|part| !part.is_empty()) {
            range(part, bounds)?;
        }
    }
    Ok(())
}

fn named(schedule: &str) -> Result<(), String> {
    match schedule {
        "@yearly" | "@annually" | "@monthly" | "@weekly" | "@daily" | "@midnight" | "@hourly" => Ok(()),
        _ => match schedule.strip_prefix("@every ") {
            None => Err(format!("unrecognized descriptor: {schedule}")),
            Some(every) => parse_duration(every).map(drop).map_err(|why| format!("failed to parse duration {schedule}: {why}")),
        },
    }
}

fn number(text: &str) -> Result<i64, String> {
    let n: i64 = text.parse().map_err(|error: std::num::ParseIntError| {
        use std::num::IntErrorKind::{NegOverflow, PosOverflow};
        let why = if matches!(error.kind(), PosOverflow | NegOverflow) { "value out of range" } else { "invalid syntax" };
        format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: {why}")
    })?;
    if n < 0 { Err(format!("negative number ({n}) not allowed: {text}")) } else { Ok(n) }
}

/// `*`, `2`, `2-5`, each with a step after a slash or without.
fn range(part: &str, (least, most, names): (i64, i64, &[&str])) -> Result<(), String> {
    let value = |text: &str| match names.iter().zip(least..).find(|(name, _)| name.eq_ignore_ascii_case(text)) {
        Some((_, n)) => Ok(n),
        None => number(text),
    };
    let (limits, step) = part.split_once('/').map_or((part, None), |(limits, step)| (limits, Some(step)));
    let (from, to) = limits.split_once('-').map_or((limits, None), |(from, to)| (from, Some(to)));
    let (from, to) = match (from, to) {
        // What follows a star is not looked at.
        ("*" | "?", _) => (least, most),
        (from, None) => {
            let from = value(from)?;
            (from, if step.is_some() { most } else { from })
        }
        (from, Some(to)) => {
            let from = value(from)?;
            if to.contains('-') {
                return Err(format!("too many hyphens: {part}"));
            }
            (from, value(to)?)
        }
    };
    let step = match step {
        None => 1,
        Some(step) if step.contains('/') => return Err(format!("too many slashes: {part}")),
        Some(step) => number(step)?,
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
    if step == 0 { Err(format!("step of range should be a positive number: {part}")) } else { Ok(()) }
}
