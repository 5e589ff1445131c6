//! LimitRange and ResourceQuota.
use hashbrown::HashSet;

use irori_api::{
    field::{ErrorList, FieldPath, Wrong},
    names,
};
use serde_json::Value;

use super::{check, compute, definition::shown};
use crate::tree::{get, items, map, text};

pub fn limit_range(object: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("spec").child("limits");
    let mut kinds = HashSet::new();
    for (i, item) in items(object, &["spec", "limits"]).iter().enumerate() {
        let at = at.index(i);
        let kind = text(item, &["type"]);
        limit_type(kind, &at.child("type"), errors);
        if !kinds.insert(kind) {
            errors.duplicate(at.child("type"), kind);
        }
        let amount = |side: &str, name: &str| get(item, &[side, name]).and_then(Value::as_str);
        let (mut all, mut seen) = (Vec::new(), HashSet::new());
        for side in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
            for name in map(item, &[side]).into_iter().flatten().map(|(name, _)| name) {
                let at = at.child(side).key(name);
                if kind == "Container" || kind == "Pod" {
                    compute::resource_name(name, &at, errors);
                } else {
                    resource_name(name, &at, errors);
                }
                if seen.insert(name) {
                    all.push(name);
                }
            }
            if kind == "Pod" && matches!(side, "default" | "defaultRequest") && map(item, &[side]).is_some_and(|m| !m.is_empty())
            {
                errors.forbidden(at.child(side), "may not be specified when `type` is 'Pod'");
            }
        }
        if kind == "PersistentVolumeClaim" && amount("min", "storage").is_none() && amount("max", "storage").is_none() {
            errors.required(at.child("limits"), "either minimum or maximum storage value is required, but neither was provided");
        }
        for name in all {
            let more = |a: &str, b: &str| {
                let (a, b) = (amount(a, name)?, amount(b, name)?);
                crate::scalar::quantity_compare(a, b).is_gt().then(|| (a.to_owned(), b.to_owned()))
            };
            // Limits in the order in which they are compared: field told, smaller side, greater side, words.
            for (field, low, high, words) in [
                ("min", "min", "max", ("min value", "max value")),
                ("defaultRequest", "min", "defaultRequest", ("min value", "default request value")),
                ("defaultRequest", "defaultRequest", "max", ("default request value", "max value")),
                ("defaultRequest", "defaultRequest", "default", ("default request value", "default limit value")),
                ("default", "min", "default", ("min value", "default value")),
                ("default", "default", "max", ("default value", "max value")),
            ] {
                if let Some((a, b)) = more(low, high) {
                    // Of a wrong default the other side is shown.
                    let shown = if field == "default" && high == "default" {
                        low
                    } else if field == "default" {
                        high
                    } else {
                        field
                    };
                    let given = amount(shown, name).unwrap_or("").to_owned();
                    errors.invalid(at.child(field).key(name), given, format!("{} {a} is greater than {} {b}", words.0, words.1));
                }
            }
            if let Some(ratio) = amount("maxLimitRequestRatio", name) {
                ratio_of(item, name, ratio, &at, errors);
            }
        }
    }
}

/// What is limited: a kind that the server knows, or a name with a domain.
fn limit_type(kind: &str, at: &FieldPath, errors: &mut ErrorList) {
    let wrong = names::qualified_name(kind);
    if wrong.is_empty() && !kind.contains('/') && !matches!(kind, "Container" | "Pod" | "PersistentVolumeClaim") {
        errors.invalid(at.clone(), kind, "must be a standard limit type or fully qualified");
    }
    errors.invalid_each(at, kind, wrong);
}

/// A resource that something other than a container has.
fn resource_name(name: &str, at: &FieldPath, errors: &mut ErrorList) {
    let wrong = names::qualified_name(name);
    if wrong.is_empty() && !name.contains('/') && name != "storage" && !is_quoted(name) {
        errors.invalid(at.clone(), name, "must be a standard resource type or fully qualified");
    }
    errors.invalid_each(at, name, wrong);
}

fn ratio_of(item: &Value, name: &str, ratio: &str, at: &FieldPath, errors: &mut ErrorList) {
    let path = at.child("maxLimitRequestRatio").key(name);
    if crate::scalar::quantity_compare(ratio, "1").is_lt() {
        errors.invalid(path.clone(), ratio, format!("ratio {ratio} is less than 1"));
    }
    let number = |side: &str| {
        let text = get(item, &[side, name])?.as_str()?;
        text.parse::<irori_api::quantity::Quantity>().ok().map(|q| q.milli_value() as f64)
    };
    if let (Some(max), Some(min)) = (number("max"), number("min")) {
        let most = max / min;
        let given = ratio.parse::<irori_api::quantity::Quantity>().map_or(0.0, |q| q.milli_value() as f64 / 1000.0);
        if given > most {
            errors.invalid(path, ratio, format!("ratio {ratio} is greater than max/min = {most:.6}"));
        }
    }
}

pub fn quota(object: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("spec");
    amounts(object, &["spec", "hard"], errors);
    scopes(get(object, &["spec"]).unwrap_or(&Value::Null), &at, errors);
}

/// What a quota allows and what is used of it, as its controller says.
pub fn quota_status(object: &Value, errors: &mut ErrorList) {
    for field in ["hard", "used"] {
        amounts(object, &["status", field], errors);
    }
}

/// Scopes stay; their order means nothing.
pub fn quota_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    let of = |quota| items(quota, &["spec", "scopes"]).iter().filter_map(Value::as_str).collect::<HashSet<_>>();
    if of(new) != of(old) {
        let given = get(new, &["spec", "scopes"]).cloned().unwrap_or(Value::Null);
        errors.invalid(FieldPath::new("spec").child("scopes"), given, "field is immutable");
    }
}

/// Names and amounts of resources that a quota counts.
fn amounts(object: &Value, path: &[&str], errors: &mut ErrorList) {
    for (name, given) in map(object, path).into_iter().flatten() {
        let at = check::below(&FieldPath::root(), path).key(name);
        let wrong = names::qualified_name(name);
        if !wrong.is_empty() {
            errors.invalid_each(&at, name.as_str(), wrong);
        } else if !name.contains('/') && !is_quoted(name) {
            errors.invalid(at.clone(), name.as_str(), "must be a standard resource for quota");
        }
        amount(name, given, &at, errors);
    }
}

/// An amount of a resource: not negative, and whole where things are counted.
pub fn amount(name: &str, given: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let given = given.as_str().unwrap_or("0");
    compute::quantity_not_negative(given, at, errors);
    let counted = name.starts_with("count/") || COUNTED.contains(&name);
    if counted && !compute::whole(given) {
        errors.invalid(at.clone(), given, "must be an integer");
    }
}

const SCOPES: &[&str] = &[
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
];

/// Scopes of a quota, as a list and as a selector.
fn scopes(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let hard: Vec<&String> = map(spec, &["hard"]).into_iter().flatten().map(|(name, _)| name).collect();
    let list: Vec<&str> = items(spec, &["scopes"]).iter().filter_map(Value::as_str).collect();
    let shown = shown::json(&Value::Array(items(spec, &["scopes"]).to_vec()));
    for scope in &list {
        // Each shows them all.
        if errors.is_full() {
            break;
        }
        scope_of(scope, &hard, &at.child("scopes"), &shown, errors);
    }
    conflicts(&list.iter().copied().collect(), spec, &at.child("scopes"), errors);
    let expressions = items(spec, &["scopeSelector", "matchExpressions"]);
    let at = at.child("scopeSelector").child("matchExpressions");
    let fields = [("ScopeName", "scopeName", "\"\""), ("Operator", "operator", "\"\""), ("Values", "values", "null")];
    let shown: Vec<String> = expressions.iter().map(|expression| check::go(expression, &fields)).collect();
    let shown = format!("{{\"MatchExpressions\":[{}]}}", shown.join(","));
    for expression in expressions {
        let (scope, operator) = (text(expression, &["scopeName"]), text(expression, &["operator"]));
        if SCOPES.contains(&scope) {
            scope_of(scope, &hard, &at, &shown, errors);
        } else {
            errors.invalid(at.child("scopeName"), scope, "unsupported scope");
        }
        let values = items(expression, &["values"]);
        let whole =
            matches!(scope, "Terminating" | "NotTerminating" | "BestEffort" | "NotBestEffort" | "CrossNamespacePodAffinity");
        if whole && operator != "Exists" {
            let why = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, \
                       ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
            errors.invalid(at.child("operator"), operator, why);
        }
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                errors.required(
                    at.child("values"),
                    "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
                );
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let why = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                errors.invalid(at.child("values"), Value::Array(values.to_vec()), why);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.invalid(at.child("operator"), other, "not a valid selector operator"),
        }
    }
    conflicts(&expressions.iter().map(|expression| text(expression, &["scopeName"])).collect(), spec, &at, errors);
}

/// Scopes that leave nothing. What is shown are those of the list, wherever the conflict is.
fn conflicts(named: &HashSet<&str>, spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    for pair in [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]] {
        if pair.iter().all(|scope| named.contains(scope)) {
            let list = get(spec, &["scopes"]).cloned().unwrap_or(Value::Null);
            errors.invalid(at.clone(), list, "conflicting scopes");
        }
    }
}

/// A scope has to be able to tell the things that the quota counts.
fn scope_of(scope: &str, hard: &[&String], at: &FieldPath, shown: &str, errors: &mut ErrorList) {
    if !SCOPES.contains(&scope) {
        check::wrong_go(errors, at.clone(), Wrong::Invalid, shown, "unsupported scope");
        return;
    }
    let fits = |name: &str| {
        let claims =
            name == "persistentvolumeclaims" || name == "requests.storage" || name.contains(".storageclass.storage.k8s.io/");
        let pods = matches!(name, "pods" | "count/pods");
        match scope {
            "BestEffort" => pods,
            "VolumeAttributesClass" => claims,
            _ => {
                pods || matches!(
                    name,
                    "cpu"
                        | "memory"
                        | "requests.cpu"
                        | "requests.memory"
                        | "limits.cpu"
                        | "limits.memory"
                        | "ephemeral-storage"
                        | "requests.ephemeral-storage"
                        | "limits.ephemeral-storage"
                )
            }
        }
    };
    if hard.iter().any(|name| is_one_of_ours(name) && !fits(name)) {
        check::wrong_go(errors, at.clone(), Wrong::Invalid, shown, "unsupported scope applied to resource");
    }
}

const COUNTED: &[&str] = &[
    "pods",
    "services",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

/// Resources that a quota counts without a domain or a size.
fn is_one_of_ours(name: &str) -> bool {
    compute::STANDARD.contains(&name) && name != "storage"
}

/// Whether a quota may count a resource of the server's own.
fn is_quoted(name: &str) -> bool {
    is_one_of_ours(name) || name.starts_with("requests.hugepages-") || name.starts_with("hugepages-")
}
