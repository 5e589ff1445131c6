//! Flow schemas and priority levels.
//!
//! Source: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/flow-schema-v1/ and priority-level-configuration-v1.
use irori_api::{
    field::{ErrorList, FieldPath},
    names,
};
use serde_json::{Value, json};

use super::check;
use crate::tree::{get, int, items, text};

/// The place of the last flow schema in the order of matching.
const PRECEDENCE_MAX: i64 = 10_000;
/// Queues of one priority level.
const QUEUES_MAX: i64 = 10_000_000;
/// Bits of the hash that deals a flow its hand of queues.
const HASH_BITS_MAX: u32 = 60;

const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

pub fn content(kind: &str, object: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("spec");
    let spec = get(object, &["spec"]).unwrap_or(&Value::Null);
    let name = text(object, &["metadata", "name"]);
    match kind {
        "FlowSchema" => schema(name, spec, &at, errors),
        "PriorityLevelConfiguration" => level(name, spec, &at, errors),
        _ => return,
    }
    if mandatory(kind, name).is_some_and(|fixed| fixed != *spec) {
        errors.invalid(at, spec.clone(), format!("spec of '{name}' must equal the fixed value"));
    }
}

/// The specs that a server cannot be without.
fn mandatory(kind: &str, name: &str) -> Option<Value> {
    let everything = |groups: &[&str], level: &str, precedence: i64| {
        let subjects: Vec<Value> = groups.iter().map(|name| json!({"kind": "Group", "group": {"name": name}})).collect();
        json!({
            "priorityLevelConfiguration": {"name": level},
            "matchingPrecedence": precedence,
            "rules": [{
                "subjects": subjects,
                "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"]}],
                "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            }],
        })
    };
    match (kind, name) {
        ("FlowSchema", "exempt") => Some(everything(&["system:masters"], "exempt", 1)),
        ("FlowSchema", "catch-all") => {
            let mut fixed = everything(&["system:unauthenticated", "system:authenticated"], "catch-all", PRECEDENCE_MAX);
            fixed["distinguisherMethod"] = json!({"type": "ByUser"});
            Some(fixed)
        }
        ("PriorityLevelConfiguration", "catch-all") => Some(json!({
            "type": "Limited",
            "limited": {"nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"}},
        })),
        _ => None,
    }
}

fn schema(name: &str, spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let precedence = int(spec, &["matchingPrecedence"]).unwrap_or(0);
    let place = at.child("matchingPrecedence");
    if precedence <= 0 {
        errors.invalid(place.clone(), precedence, "must be a positive value");
    }
    if precedence > PRECEDENCE_MAX {
        errors.invalid(place.clone(), precedence, format!("must not be greater than {PRECEDENCE_MAX}"));
    }
    if precedence == 1 && name != "exempt" {
        errors.invalid(place, precedence, "only the schema named 'exempt' may have matchingPrecedence 1");
    }
    if let Some(method) = get(spec, &["distinguisherMethod"])
        && !matches!(text(method, &["type"]), "ByNamespace" | "ByUser")
    {
        let at = at.child("distinguisherMethod").child("type");
        errors.not_supported(at, text(method, &["type"]), &["ByNamespace", "ByUser"]);
    }
    let level = text(spec, &["priorityLevelConfiguration", "name"]);
    let level_at = at.child("priorityLevelConfiguration").child("name");
    if level.is_empty() {
        errors.required(level_at, "must reference a priority level");
    } else {
        errors.invalid_each(&level_at, level, names::dns_subdomain(level));
    }
    for (i, one) in items(spec, &["rules"]).iter().enumerate() {
        rule(one, &at.child("rules").index(i), errors);
    }
}

fn rule(rule: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let subjects = items(rule, &["subjects"]);
    if subjects.is_empty() {
        errors.required(at.child("subjects"), "subjects must contain at least one value");
    }
    for (i, one) in subjects.iter().enumerate() {
        subject(one, &at.child("subjects").index(i), errors);
    }
    let (resources, urls) = (items(rule, &["resourceRules"]), items(rule, &["nonResourceRules"]));
    if resources.is_empty() && urls.is_empty() {
        errors.required(at.clone(), "at least one of resourceRules and nonResourceRules has to be non-empty");
    }
    for (i, one) in resources.iter().enumerate() {
        resource_rule(one, &at.child("resourceRules").index(i), errors);
    }
    for (i, one) in urls.iter().enumerate() {
        url_rule(one, &at.child("nonResourceRules").index(i), errors);
    }
}

/// The fields of a subject and the kinds that they belong to.
const SUBJECTS: &[(&str, &str)] = &[("serviceAccount", "ServiceAccount"), ("user", "User"), ("group", "Group")];

fn subject(subject: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let kind = text(subject, &["kind"]);
    if !SUBJECTS.iter().any(|(_, known)| *known == kind) {
        errors.not_supported(at.child("kind"), kind, &["Group", "ServiceAccount", "User"]);
        return;
    }
    for (field, of) in SUBJECTS {
        let given = get(subject, &[field]);
        let at = at.child(field);
        match (given, *of == kind) {
            (None, true) => errors.required(at, &format!("{field} is required when subject kind is '{kind}'")),
            (Some(named), true) => named_subject(kind, named, &at, errors),
            (Some(_), false) => errors.forbidden(at, format!("{field} is forbidden when subject kind is not '{of}'")),
            (None, false) => {}
        }
    }
}

fn named_subject(kind: &str, named: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let found = check::required(errors, named, at, &["name"]);
    if kind != "ServiceAccount" {
        return;
    }
    if found && text(named, &["name"]) != "*" {
        check::name(errors, named, at, &["name"], names::dns_subdomain);
    }
    let namespace = text(named, &["namespace"]);
    if namespace.is_empty() {
        errors.required(at.child("namespace"), "must specify namespace for service account");
    } else {
        errors.invalid_each(&at.child("namespace"), namespace, names::dns_label(namespace));
    }
}

fn wild(list: &[Value]) -> bool {
    list.iter().any(|item| item == "*")
}

fn alone(list: &[Value], words: &str, at: FieldPath, errors: &mut ErrorList) {
    if list.len() > 1 && wild(list) {
        errors.invalid(at, Value::Array(list.to_vec()), format!("if '*' is present, must not specify other {words}"));
    }
}

fn verbs(rule: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let list = items(rule, &["verbs"]);
    let at = at.child("verbs");
    if list.is_empty() {
        errors.required(at, "verbs must contain at least one value");
    } else if wild(list) {
        alone(list, "verbs", at, errors);
    } else if list.iter().any(|verb| !VERBS.iter().any(|known| verb == known)) {
        errors.not_supported(at, Value::Array(list.to_vec()), VERBS);
    }
}

fn resource_rule(rule: &Value, at: &FieldPath, errors: &mut ErrorList) {
    verbs(rule, at, errors);
    for (field, one, words) in [("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")] {
        let list = items(rule, &[field]);
        if list.is_empty() {
            errors.required(at.child(field), &format!("resource rules must supply at least one {one}"));
        } else {
            alone(list, words, at.child(field), errors);
        }
    }
    let namespaces = items(rule, &["namespaces"]);
    let at = at.child("namespaces");
    if namespaces.is_empty() && !crate::tree::flag(rule, &["clusterScope"]) {
        errors.required(at, "resource rules that are not cluster scoped must supply at least one namespace");
    } else if wild(namespaces) {
        alone(namespaces, "namespaces", at, errors);
    } else {
        for (i, namespace) in namespaces.iter().filter_map(Value::as_str).enumerate() {
            for why in names::dns_label(namespace) {
                let why = format!("each member of this list must be '*' or a DNS-1123 label; {why}");
                errors.invalid(at.index(i), namespace, why);
            }
        }
    }
}

fn url_rule(rule: &Value, at: &FieldPath, errors: &mut ErrorList) {
    verbs(rule, at, errors);
    let urls = items(rule, &["nonResourceURLs"]);
    let at = at.child("nonResourceURLs");
    if urls.is_empty() {
        errors.required(at, "nonResourceURLs must contain at least one value");
    } else if wild(urls) {
        alone(urls, "non-resource URLs", at, errors);
    } else {
        for (i, url) in urls.iter().filter_map(Value::as_str).enumerate() {
            if let Some(why) = url_fault(url) {
                errors.invalid(at.index(i), url, why);
            }
        }
    }
}

fn url_fault(url: &str) -> Option<&'static str> {
    match url {
        "" => Some("must not be empty"),
        "/" => None,
        _ if !url.starts_with('/') => Some("must start with slash"),
        _ if url.contains(' ') => Some("must not contain white-space"),
        _ if url.contains("//") => Some("must not contain double slash"),
        _ if url.contains('*') && (url.matches('*').count() > 1 || !url.ends_with("/*")) => {
            Some("wildcard can only do suffix matching")
        }
        _ => None,
    }
}

fn level(name: &str, spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let kind = text(spec, &["type"]);
    if (name == "exempt") != (kind == "Exempt") {
        errors.invalid(at.child("type"), kind, "type must be 'Exempt' if and only if name is 'exempt'");
    }
    let (limited, exempt) = (get(spec, &["limited"]), get(spec, &["exempt"]));
    match kind {
        "Exempt" => {
            if limited.is_some() {
                errors.forbidden(at.child("limited"), "must be nil if the type is not Limited");
            }
            if let Some(exempt) = exempt {
                shares(exempt, &at.child("exempt"), errors);
            }
        }
        "Limited" => {
            if exempt.is_some() {
                errors.forbidden(at.child("exempt"), "must be nil if the type is Limited");
            }
            match limited {
                None => errors.required(at.child("limited"), "must not be empty when type is Limited"),
                Some(limited) => limits(limited, &at.child("limited"), errors),
            }
        }
        other => errors.not_supported(at.child("type"), other, &["Exempt", "Limited"]),
    }
}

fn shares(of: &Value, at: &FieldPath, errors: &mut ErrorList) {
    if let Some(n) = int(of, &["nominalConcurrencyShares"]).filter(|n| *n < 0) {
        errors.invalid(at.child("nominalConcurrencyShares"), n, "must be a non-negative integer");
    }
    check::between(errors, of, at, &["lendablePercent"], 0, 100);
}

fn limits(limited: &Value, at: &FieldPath, errors: &mut ErrorList) {
    shares(limited, at, errors);
    if let Some(n) = int(limited, &["borrowingLimitPercent"]).filter(|n| *n < 0) {
        errors.invalid(at.child("borrowingLimitPercent"), n, "if specified, must be a non-negative integer");
    }
    let at = at.child("limitResponse");
    let queuing = get(limited, &["limitResponse", "queuing"]);
    match text(limited, &["limitResponse", "type"]) {
        "Reject" => {
            if queuing.is_some() {
                errors.forbidden(at.child("queuing"), "must be nil if limited.limitResponse.type is not Limited");
            }
        }
        "Queue" => match queuing {
            None => errors.required(at.child("queuing"), "must not be empty if limited.limitResponse.type is Limited"),
            Some(queuing) => queues(queuing, &at.child("queuing"), errors),
        },
        other => errors.not_supported(at.child("type"), other, &["Queue", "Reject"]),
    }
}

fn queues(queuing: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let number = |field: &str| int(queuing, &[field]).unwrap_or(0);
    let (length, queues, hand) = (number("queueLengthLimit"), number("queues"), number("handSize"));
    if length <= 0 {
        errors.invalid(at.child("queueLengthLimit"), length, "must be positive");
    }
    if queues <= 0 {
        errors.invalid(at.child("queues"), queues, "must be positive");
    } else if queues > QUEUES_MAX {
        errors.invalid(at.child("queues"), queues, format!("must not be greater than {QUEUES_MAX}"));
    }
    let at = at.child("handSize");
    if hand <= 0 {
        errors.invalid(at, hand, "must be positive");
    } else if hand > queues {
        errors.invalid(at, hand, format!("should not be greater than queues ({queues})"));
    } else if entropy_bits(queues, hand) > HASH_BITS_MAX {
        let why =
            format!("required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS_MAX}");
        errors.invalid(at, hand, why);
    }
}

/// Bits that it takes to deal a hand out of a deck. A hand of 61 cards is always too large, so that no deck is counted long.
fn entropy_bits(deck: i64, hand: i64) -> u32 {
    let mut bits = 0.0;
    for card in 0..hand.min(i64::from(HASH_BITS_MAX) + 1) {
        let left = u32::try_from(deck - card).unwrap_or(u32::MAX);
        bits += f64::from(left).log2();
        if bits > f64::from(HASH_BITS_MAX) {
            return HASH_BITS_MAX + 1;
        }
    }
    HASH_BITS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: &str, object: Value) -> Vec<String> {
        let mut errors = ErrorList::default();
        content(kind, &object, &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    fn queue(queuing: Value) -> Vec<String> {
        let limited = json!({"nominalConcurrencyShares": 1, "limitResponse": {"type": "Queue", "queuing": queuing}});
        told("PriorityLevelConfiguration", json!({"metadata": {"name": "x"}, "spec": {"type": "Limited", "limited": limited}}))
    }

    #[test]
    fn a_hand_of_queues_needs_at_most_sixty_bits() {
        assert_eq!(queue(json!({"queues": 128, "handSize": 8, "queueLengthLimit": 50})), [""; 0]);
        let got = queue(json!({"queues": 512, "handSize": 8, "queueLengthLimit": 50}));
        assert_eq!(got.len(), 1, "{got:?}");
        assert!(got[0].contains("should not be greater than 60"), "{got:?}");
        assert_eq!(queue(json!({"queues": 10_000_001, "handSize": 1, "queueLengthLimit": 1})).len(), 1);
    }

    #[test]
    fn only_the_exempt_schema_comes_first() {
        let schema = |name: &str, precedence: i64| {
            told(
                "FlowSchema",
                json!({"metadata": {"name": name}, "spec": {"matchingPrecedence": precedence, "priorityLevelConfiguration": {"name": "l"}}}),
            )
        };
        assert_eq!(schema("x", 10_000), [""; 0]);
        assert!(schema("x", 10_001)[0].ends_with("must not be greater than 10000"));
        assert!(schema("x", 1)[0].ends_with("only the schema named 'exempt' may have matchingPrecedence 1"));
    }

    #[test]
    fn what_a_server_cannot_be_without_stays_as_it_is() {
        let own = json!({"type": "Limited", "limited": {"nominalConcurrencyShares": 6, "limitResponse": {"type": "Reject"}}});
        let got = told("PriorityLevelConfiguration", json!({"metadata": {"name": "catch-all"}, "spec": own}));
        assert!(got[0].ends_with("spec of 'catch-all' must equal the fixed value"), "{got:?}");
        let fixed = mandatory("PriorityLevelConfiguration", "catch-all").unwrap();
        assert_eq!(told("PriorityLevelConfiguration", json!({"metadata": {"name": "catch-all"}, "spec": fixed})), [""; 0]);
    }

    #[test]
    fn a_star_in_a_url_stands_at_its_end() {
        for good in ["/", "/healthz", "/healthz/*"] {
            assert_eq!(url_fault(good), None, "{good}");
        }
        for bad in ["", "healthz", "/a b", "/a//b", "/*/a", "/a*"] {
            assert!(url_fault(bad).is_some(), "{bad}");
        }
    }
}
