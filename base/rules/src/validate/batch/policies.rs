//! When a job has failed, and when it has succeeded, before all its pods have.
use hashbrown::HashSet;

use irori_api::{
    field::{ErrorList, FieldError, FieldPath, Wrong},
    names,
};
use serde_json::Value;

use crate::{
    tree::{get, int, items, text},
    validate::{check, definition::shown},
};

const RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const CONDITIONS_MAX: usize = 20;
/// Bytes of `succeededIndexes`.
const INDEXES_BYTES_MAX: usize = 64 * 1024;

/// `at`: of the spec.
pub fn failure(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
    let at = at.at(["podFailurePolicy", "rules"]);
    let rules = items(spec, &["podFailurePolicy", "rules"]);
    if rules.len() > RULES_MAX {
        errors.too_many(at.clone(), rules.len(), RULES_MAX);
    }
    let containers: HashSet<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| items(spec, &["template", "spec", list]))
        .map(|container| text(container, &["name"]))
        .collect();
    for (i, rule) in rules.iter().enumerate() {
        let at = at.index(i);
        if text(rule, &["action"]) == "FailIndex" && get(spec, &["backoffLimitPerIndex"]).is_none() {
            errors.invalid(at.child("action"), "FailIndex", "requires the backoffLimitPerIndex to be set");
        }
        among(rule, "action", &ACTIONS, &at, errors);
        let (codes, conditions) = (get(rule, &["onExitCodes"]), items(rule, &["onPodConditions"]));
        if let Some(codes) = codes {
            exit_codes(codes, &containers, &at.child("onExitCodes"), errors);
        }
        on_conditions(conditions, &at.child("onPodConditions"), errors);
        let why = match (codes.is_some(), !conditions.is_empty()) {
            (true, true) => "specifying both OnExitCodes and OnPodConditions is not supported",
            (false, false) => "specifying one of OnExitCodes and OnPodConditions is required",
            _ => continue,
        };
        errors.push(FieldError::without_value(at, Wrong::Invalid, why));
    }
}

/// A text out of a set; where it is missing the set is told as Go prints a list.
fn among(of: &Value, field: &str, known: &[&str], at: &FieldPath, errors: &mut ErrorList) {
    match text(of, &[field]) {
        "" => {
            let listed: Vec<String> = known.iter().map(|one| format!("{one:?}")).collect();
            errors.required(at.child(field), &format!("valid values: [{}]", listed.join(" ")));
        }
        _ => check::one_of(errors, of, at, &[field], known),
    }
}

fn exit_codes(codes: &Value, containers: &HashSet<&str>, at: &FieldPath, errors: &mut ErrorList) {
    among(codes, "operator", &["In", "NotIn"], at, errors);
    if let Some(name) = get(codes, &["containerName"]).and_then(Value::as_str).filter(|name| !containers.contains(name)) {
        let why = "must be one of the container or initContainer names in the pod template";
        errors.invalid(at.child("containerName"), name, why);
    }
    let values = items(codes, &["values"]);
    let listed = at.child("values");
    if values.is_empty() {
        let given = get(codes, &["values"]).cloned().unwrap_or(Value::Null);
        errors.invalid(listed.clone(), given, "at least one value is required");
    } else if values.len() > EXIT_CODES_MAX {
        errors.too_many(listed.clone(), values.len(), EXIT_CODES_MAX);
    }
    let numbers: Vec<i64> = values.iter().map(|value| value.as_i64().unwrap_or(0)).collect();
    let mut seen = HashSet::new();
    for (i, n) in numbers.iter().enumerate() {
        if *n == 0 && text(codes, &["operator"]) == "In" {
            errors.invalid(listed.index(i), 0, "must not be 0 for the In operator");
        }
        if !seen.insert(n) {
            errors.duplicate(listed.index(i), *n);
        }
    }
    if !numbers.is_sorted() {
        errors.invalid(listed, Value::Array(values.to_vec()), "must be ordered");
    }
}

fn on_conditions(conditions: &[Value], at: &FieldPath, errors: &mut ErrorList) {
    if conditions.len() > CONDITIONS_MAX {
        errors.too_many(at.clone(), conditions.len(), CONDITIONS_MAX);
    }
    for (i, condition) in conditions.iter().enumerate() {
        let at = at.index(i);
        let kind = text(condition, &["type"]);
        errors.invalid_each(&at.child("type"), kind, names::qualified_name(kind));
        among(condition, "status", &["False", "True", "Unknown"], &at, errors);
    }
}

/// `at`: of the policy.
pub fn success(policy: &Value, completions: i64, at: &FieldPath, errors: &mut ErrorList) {
    let rules = items(policy, &["rules"]);
    let at = at.child("rules");
    if rules.is_empty() {
        errors.required(at.clone(), "at least one rules must be specified when the successPolicy is specified");
    }
    if rules.len() > RULES_MAX {
        errors.too_many(at.clone(), rules.len(), RULES_MAX);
    }
    for (i, rule) in rules.iter().enumerate() {
        let at = at.index(i);
        let (indexes, count) = (get(rule, &["succeededIndexes"]).and_then(Value::as_str), int(rule, &["succeededCount"]));
        if indexes.is_none() && count.is_none() {
            errors.required(at.clone(), "at least one of succeededCount or succeededIndexes must be specified");
        }
        let mut total = 0;
        if let Some(given) = indexes {
            let at = at.child("succeededIndexes");
            if given.len() > INDEXES_BYTES_MAX {
                errors.too_long(at.clone(), INDEXES_BYTES_MAX);
            }
            match index_count(given, completions) {
                Ok(n) => total = n,
                Err(why) => errors.invalid(at, given, format!("error parsing succeededIndexes: {why}")),
            }
        }
        let Some(count) = count else { continue };
        check::not_negative(errors, rule, &at, &["succeededCount"]);
        let mut limit = |most: i64, of: &str| {
            if count > most {
                let why = format!("must be less than or equal to {most} (the number of {of})");
                errors.invalid(at.child("succeededCount"), count, why);
            }
        };
        limit(completions, "specified completions");
        if indexes.is_some() {
            limit(total, "indexes in the specified succeededIndexes field");
        }
    }
}

/// A success policy as a stock server shows it.
pub fn success_policy_shown(policy: &Value) -> String {
    let fields = [("SucceededIndexes", "succeededIndexes", "null"), ("SucceededCount", "succeededCount", "null")];
    let rules: Vec<String> = items(policy, &["rules"]).iter().map(|rule| check::go(rule, &fields)).collect();
    rules_shown(policy, &rules)
}

/// A failure policy as a stock server shows it.
pub fn failure_policy_shown(policy: &Value) -> String {
    const CODES: &[(&str, &str, &str)] =
        &[("ContainerName", "containerName", "null"), ("Operator", "operator", "\"\""), ("Values", "values", "null")];
    const CONDITION: &[(&str, &str, &str)] = &[("Type", "type", "\"\""), ("Status", "status", "\"\"")];
    let null = || "null".to_owned();
    let rule = |rule: &Value| {
        let action = shown::json(&Value::from(text(rule, &["action"])));
        let codes = get(rule, &["onExitCodes"]).map_or_else(null, |codes| check::go(codes, CODES));
        let conditions: Vec<String> =
            items(rule, &["onPodConditions"]).iter().map(|condition| check::go(condition, CONDITION)).collect();
        let conditions = if conditions.is_empty() { null() } else { format!("[{}]", conditions.join(",")) };
        format!("{{\"Action\":{action},\"OnExitCodes\":{codes},\"OnPodConditions\":{conditions}}}")
    };
    let rules: Vec<String> = items(policy, &["rules"]).iter().map(rule).collect();
    rules_shown(policy, &rules)
}

fn rules_shown(policy: &Value, rules: &[String]) -> String {
    match get(policy, &["rules"]) {
        None => "{\"Rules\":null}".into(),
        Some(_) => format!("{{\"Rules\":[{}]}}", rules.join(",")),
    }
}

/// How many indexes there are in `1,3-5,7`: intervals in order, below the number of completions.
pub fn index_count(text: &str, completions: i64) -> Result<i64, String> {
    let mut total = 0;
    let mut last = None;
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let (from, to) = read(part, completions)?;
        if let Some(last) = last.filter(|last| *last >= from) {
            return Err(disorder(last, from));
        }
        total += to - from + 1;
        last = Some(to);
    }
    Ok(total)
}

/// The first index that two lists share; what cannot be read is passed over.
pub fn overlap(a: &str, b: &str, completions: i64) -> Option<i64> {
    let all = |text: &'_ str| -> Vec<(i64, i64)> { text.split(',').filter_map(|part| read(part, completions).ok()).collect() };
    let (a, b) = (all(a), all(b));
    let (mut i, mut j) = (0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        if x.0 <= y.1 && y.0 <= x.1 {
            return Some(x.0.max(y.0));
        }
        if x.0 <= y.0 { i += 1 } else { j += 1 }
    }
    None
}

fn read(part: &str, completions: i64) -> Result<(i64, i64), String> {
    let bounds: Vec<&str> = part.splitn(3, '-').collect();
    let index = |bound: &str| -> Result<i64, String> {
        match bound.parse::<i64>() {
            Err(_) => Err(format!("cannot convert string to integer for index: {bound:?}")),
            Ok(n) if n >= completions => Err(format!("too large index: {bound:?}")),
            Ok(n) => Ok(n),
        }
    };
    match bounds[..] {
        [one] => index(one).map(|n| (n, n)),
        [from, to] => {
            let (from, to) = (index(from)?, index(to)?);
            if from >= to { Err(disorder(from, to)) } else { Ok((from, to)) }
        }
        _ => Err(format!(
            "the fragment {part:?} violates the requirement that an index interval can have at most two parts separated by '-'"
        )),
    }
}

fn disorder(before: i64, now: i64) -> String {
    format!("non-increasing order, previous: {before}, current: {now}")
}
