//! Admission webhooks, and what admission policies have in common with them.
//!
//! Source: https://kubernetes.io/docs/reference/kubernetes-api/extend-resources/validating-webhook-configuration-v1/.
use hashbrown::HashSet;

use irori_api::{
    field::{ErrorList, FieldPath},
    names,
};
use serde_json::Value;

use super::{cel, check, selector};
use crate::tree::{get, int, items, text};

mod url;

/// Conditions of one webhook or policy.
const CONDITIONS_MAX: usize = 64;
/// Seconds that a webhook may take.
const TIMEOUT_MAX: i64 = 30;

/// Variables of conditions.
pub const REQUEST: &[&str] = &["object", "oldObject", "request", "authorizer"];

const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];

pub fn content(kind: &str, object: &Value, errors: &mut ErrorList) {
    let list = FieldPath::new("webhooks");
    let hooks = items(object, &["webhooks"]);
    let mut seen = HashSet::new();
    for (i, hook) in hooks.iter().enumerate() {
        if errors.is_full() {
            break;
        }
        let at = list.index(i);
        webhook(kind, hook, &at, errors);
        review_versions(items(hook, &["admissionReviewVersions"]), &at.child("admissionReviewVersions"), errors);
        let name = text(hook, &["name"]);
        if !name.is_empty() && !seen.insert(name) {
            errors.duplicate(at.child("name"), name);
        }
    }
}

fn webhook(kind: &str, hook: &Value, at: &FieldPath, errors: &mut ErrorList) {
    full_name(text(hook, &["name"]), &at.child("name"), errors);
    for (i, one) in items(hook, &["rules"]).iter().enumerate() {
        rule(one, &at.child("rules").index(i), errors);
    }
    check::one_of(errors, hook, at, &["failurePolicy"], &["Fail", "Ignore"]);
    check::one_of(errors, hook, at, &["matchPolicy"], &["Equivalent", "Exact"]);
    match get(hook, &["sideEffects"]) {
        None => errors.required(at.child("sideEffects"), "must specify one of None, NoneOnDryRun"),
        Some(_) => check::one_of(errors, hook, at, &["sideEffects"], &["None", "NoneOnDryRun"]),
    }
    if let Some(n) = int(hook, &["timeoutSeconds"]).filter(|n| !(1..=TIMEOUT_MAX).contains(n)) {
        errors.invalid(at.child("timeoutSeconds"), n, format!("the timeout value must be between 1 and {TIMEOUT_MAX} seconds"));
    }
    for field in ["namespaceSelector", "objectSelector"] {
        selector::label_selector(get(hook, &[field]), &at.child(field), errors);
    }
    client(get(hook, &["clientConfig"]).unwrap_or(&Value::Null), &at.child("clientConfig"), errors);
    if kind == "MutatingWebhookConfiguration" {
        check::one_of(errors, hook, at, &["reinvocationPolicy"], &["IfNeeded", "Never"]);
    }
    conditions(items(hook, &["matchConditions"]), REQUEST, &at.child("matchConditions"), errors);
}

/// A domain of three parts or more.
fn full_name(name: &str, at: &FieldPath, errors: &mut ErrorList) {
    if name.is_empty() {
        errors.required(at.clone(), "");
        return;
    }
    let wrong = names::dns_subdomain(name);
    if !wrong.is_empty() {
        errors.invalid(at.clone(), name, wrong.join(","));
    } else if name.split('.').count() < 3 {
        errors.invalid(at.clone(), name, "should be a domain with at least three segments separated by dots");
    }
}

fn review_versions(versions: &[Value], at: &FieldPath, errors: &mut ErrorList) {
    if versions.is_empty() {
        errors.required(at.clone(), "must specify one of v1, v1beta1");
        return;
    }
    let mut known = false;
    let mut wrong = false;
    let mut seen = HashSet::new();
    for (i, version) in versions.iter().filter_map(Value::as_str).enumerate() {
        if !seen.insert(version) {
            errors.invalid(at.index(i), version, "duplicate version");
            wrong = true;
            continue;
        }
        let faults = names::dns_1035_label(version);
        wrong |= !faults.is_empty();
        errors.invalid_each(&at.index(i), version, faults);
        known |= matches!(version, "v1" | "v1beta1");
    }
    if !known && !wrong {
        errors.invalid(at.clone(), Value::Array(versions.to_vec()), "must include at least one of v1, v1beta1");
    }
}

/// Where a webhook is reached: at a URL or behind a Service.
pub fn client(config: &Value, at: &FieldPath, errors: &mut ErrorList) {
    match (get(config, &["url"]).and_then(Value::as_str), get(config, &["service"])) {
        (Some(url), None) => self::url(url, &at.child("url"), errors),
        (None, Some(service)) => {
            let at = at.child("service");
            // Stock servers tell each of these two at the other's place.
            for (field, told) in [("name", "namespace"), ("namespace", "name")] {
                if text(service, &[field]).is_empty() {
                    errors.required(at.child(told), "");
                }
            }
            if let Some(why) = get(service, &["path"]).and_then(Value::as_str).map(path_faults) {
                errors.invalid_each(&at.child("path"), text(service, &["path"]), why);
            }
            port(int(service, &["port"]).unwrap_or(0), &at.child("port"), errors);
        }
        _ => errors.required(at.clone(), "exactly one of url or service is required"),
    }
}

/// The port of a Service that extends the API.
pub fn port(port: i64, at: &FieldPath, errors: &mut ErrorList) {
    let wrong = names::port_number(port);
    if !wrong.is_empty() {
        errors.invalid(at.clone(), port, format!("port is not valid: {}", wrong.join(",")));
    }
}

fn path_faults(path: &str) -> Vec<String> {
    match path {
        "" | "/" => return Vec::new(),
        "//" => return vec!["segment[0] may not be empty".into()],
        _ => {}
    }
    let Some(rest) = path.strip_prefix('/') else { return vec!["must start with a '/'".into()] };
    let mut faults = Vec::new();
    for (i, segment) in rest.strip_suffix('/').unwrap_or(rest).split('/').enumerate() {
        if segment.is_empty() {
            faults.push(format!("segment[{i}] may not be empty"));
        } else {
            faults.extend(names::dns_subdomain(segment).into_iter().map(|why| format!("segment[{i}]: {why}")));
        }
    }
    faults
}

/// `https://host[/path]`, nothing else.
fn url(url: &str, at: &FieldPath, errors: &mut ErrorList) {
    const FORM: &str = "; desired format: https://host[/path]";
    if let Some(why) = url::fault(url) {
        return errors.required(at.clone(), &format!("url must be a valid URL: {why}{FORM}"));
    }
    let (scheme, rest) = url.split_once(':').filter(|(scheme, _)| is_scheme(scheme)).unwrap_or(("", url));
    if scheme != "https" {
        errors.invalid(at.clone(), scheme, format!("'https' is the only allowed URL scheme{FORM}"));
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest.strip_prefix("//").map_or("", |rest| rest.split('/').next().unwrap_or(""));
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    if host.is_empty() {
        errors.invalid(at.clone(), "", format!("host must be specified{FORM}"));
    }
    for (given, what) in [(user, "user information is"), (Some(fragment), "fragments are"), (Some(query), "query parameters are")]
    {
        if let Some(given) = given.filter(|g| !g.is_empty()) {
            errors.invalid(at.clone(), given, format!("{what} not permitted in the URL"));
        }
    }
}

pub fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

/// Conditions under which a webhook or policy is asked at all.
pub fn conditions(list: &[Value], variables: &[&str], at: &FieldPath, errors: &mut ErrorList) {
    if list.len() > CONDITIONS_MAX {
        errors.too_many(at.clone(), list.len(), CONDITIONS_MAX);
    }
    let mut seen = HashSet::new();
    for (i, condition) in list.iter().enumerate() {
        let at = at.index(i);
        expression(condition, "expression", variables, "", &at, errors);
        let name = text(condition, &["name"]);
        if name.is_empty() {
            errors.required(at.child("name"), "");
        } else {
            errors.invalid_each(&at.child("name"), name, names::qualified_name(name));
            if !seen.insert(name) {
                errors.duplicate(at.child("name"), name);
            }
        }
    }
}

/// An expression that has to be there; `missing`: what is said where it is not.
pub fn expression(of: &Value, field: &str, variables: &[&str], missing: &str, at: &FieldPath, errors: &mut ErrorList) {
    let given = text(of, &[field]);
    if given.trim().is_empty() {
        errors.required(at.child(field), missing);
    } else if let Some(why) = cel::fault(given.trim(), variables) {
        errors.invalid(at.child(field), given, why);
    }
}

/// Operations and resources that a webhook or policy is about.
pub fn rule(rule: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let list = items(rule, &["operations"]);
    let operations = at.child("operations");
    if list.is_empty() {
        errors.required(operations.clone(), "");
    }
    alone(list, "operations", &operations, errors);
    for (i, operation) in list.iter().filter_map(Value::as_str).enumerate() {
        if !OPERATIONS.contains(&operation) {
            errors.not_supported(operations.index(i), operation, OPERATIONS);
        }
    }
    for (field, words) in [("apiGroups", "API groups"), ("apiVersions", "API versions")] {
        let (list, at) = (items(rule, &[field]), at.child(field));
        if list.is_empty() {
            errors.required(at.clone(), "");
        }
        alone(list, words, &at, errors);
        for (i, _) in list.iter().enumerate().filter(|(_, item)| field == "apiVersions" && **item == "") {
            errors.required(at.index(i), "");
        }
    }
    resources(items(rule, &["resources"]), &at.child("resources"), errors);
    check::one_of(errors, rule, at, &["scope"], &["*", "Cluster", "Namespaced"]);
}

fn alone(list: &[Value], words: &str, at: &FieldPath, errors: &mut ErrorList) {
    if list.len() > 1 && list.iter().any(|item| item == "*") {
        errors.invalid(at.clone(), Value::Array(list.to_vec()), format!("if '*' is present, must not specify other {words}"));
    }
}

fn resources(list: &[Value], at: &FieldPath, errors: &mut ErrorList) {
    if list.is_empty() {
        errors.required(at.clone(), "");
    }
    let (mut whole, mut of_any): (HashSet<&str>, HashSet<&str>) = Default::default();
    for (i, given) in list.iter().filter_map(Value::as_str).enumerate() {
        let at = at.index(i);
        if given.is_empty() {
            errors.required(at, "");
            continue;
        }
        let Some((resource, part)) = given.split_once('/') else { continue };
        if whole.contains(resource) {
            errors.invalid(at.clone(), given, format!("if '{resource}/*' is present, must not specify {given}"));
        }
        if of_any.contains(part) {
            errors.invalid(at, given, format!("if '*/{part}' is present, must not specify {given}"));
        }
        if part == "*" {
            whole.insert(resource);
        }
        if resource == "*" {
            of_any.insert(part);
        }
    }
    let has = |wanted: &str| list.iter().any(|item| item == wanted);
    if list.len() > 1 && has("*/*") {
        errors.invalid(at.clone(), Value::Array(list.to_vec()), "if '*/*' is present, must not specify other resources");
    }
    let plain = list.iter().filter_map(Value::as_str).any(|r| r != "*" && !r.is_empty() && !r.contains('/'));
    if has("*") && plain {
        let why = "if '*' is present, must not specify other resources without subresources";
        errors.invalid(at.clone(), Value::Array(list.to_vec()), why);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(check: impl FnOnce(&FieldPath, &mut ErrorList)) -> Vec<String> {
        let mut errors = ErrorList::default();
        check(&FieldPath::new("x"), &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_webhook_is_reached_over_https_alone() {
        let url = |given: &str| told(|at, errors| self::url(given, at, errors));
        assert_eq!(url("https://a.example:8443/path"), [""; 0]);
        for (bad, count) in [("http://a.example", 1), ("https://u@a.example", 1), ("https://a.example?q=1#f", 2), ("abc", 2)] {
            assert_eq!(url(bad).len(), count, "{bad}");
        }
    }

    #[test]
    fn a_url_that_cannot_be_read_is_told_once() {
        let why = "parse \"http://h:x\": invalid port \":x\" after host; desired format: https://host[/path]";
        assert_eq!(
            told(|at, errors| self::url("http://h:x", at, errors)),
            [format!("x: Required value: url must be a valid URL: {why}")]
        );
    }

    #[test]
    fn a_webhook_says_what_it_does_besides() {
        let hook = |effects: Value| {
            let hook = json!({"name": "a.b.c", "sideEffects": effects, "clientConfig": {"url": "https://h"}});
            told(|at, errors| webhook("ValidatingWebhookConfiguration", &hook, at, errors))
        };
        assert_eq!(hook(json!("None")), [""; 0]);
        assert_eq!(hook(Value::Null), ["x.sideEffects: Required value: must specify one of None, NoneOnDryRun"]);
        assert_eq!(hook(json!("")), ["x.sideEffects: Unsupported value: \"\": supported values: \"None\", \"NoneOnDryRun\""]);
    }

    #[test]
    fn the_name_of_a_webhook_does_not_end_with_a_dot() {
        let name = |given: &str| told(|at, errors| full_name(given, at, errors)).len();
        assert_eq!((name("a.b.c"), name("a.b.c."), name("a.b")), (0, 1, 1));
    }

    #[test]
    fn wildcards_stand_alone() {
        let rule = |resources: Value| {
            let rule = json!({"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": resources});
            told(|at, errors| self::rule(&rule, at, errors))
        };
        for good in [json!(["pods", "pods/status"]), json!(["*", "*/scale"]), json!(["*/*"]), json!(["pods/*"])] {
            assert_eq!(rule(good.clone()), [""; 0], "{good}");
        }
        for bad in [json!(["*", "pods"]), json!(["*/*", "pods"]), json!(["pods/*", "pods/status"]), json!([]), json!([""])] {
            assert!(!rule(bad.clone()).is_empty(), "{bad}");
        }
    }

    #[test]
    fn a_webhook_has_at_most_sixty_four_conditions() {
        let list = |n: usize| -> Vec<Value> { (0..n).map(|i| json!({"name": format!("c{i}"), "expression": "true"})).collect() };
        assert_eq!(told(|at, errors| conditions(&list(64), REQUEST, at, errors)), [""; 0]);
        assert_eq!(
            told(|at, errors| conditions(&list(65), REQUEST, at, errors)),
            ["x: Too many: 65: must have at most 64 items"]
        );
    }

    #[test]
    fn the_path_of_a_service_has_no_empty_part() {
        for (path, faults) in [("/", 0), ("/a/b/", 0), ("a", 1), ("/a//b", 1), ("//", 1), ("/A", 1)] {
            assert_eq!(path_faults(path).len(), faults, "{path}");
        }
    }
}
