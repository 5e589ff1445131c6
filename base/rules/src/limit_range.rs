//! LimitRanges at work: what containers get that say nothing, and what is too little or too much.
//!
//! Source: https://kubernetes.io/docs/concepts/policy/limit-range/; the words are those of a stock server.
use std::cmp::Ordering;

use irori_api::quantity::Quantity;
use serde_json::{Map, Value, json};

use crate::{
    scalar::quantity_compare,
    tree::{get, items, items_mut, map, set, text},
};

const ANNOTATION: &str = "kubernetes.io/limit-ranger";
const LISTS: [(&str, &str); 2] = [("containers", "container"), ("initContainers", "init container")];

/// Gives the containers of a pod the requests and limits that they lack, and says so in an annotation.
pub fn complete_pod(ranges: &[Value], pod: &mut Value) {
    for range in ranges {
        let defaults = defaults_of(range);
        let mut said = Vec::new();
        for (list, word) in LISTS {
            for container in items_mut(pod, &["spec", list]) {
                let name = text(container, &["name"]).to_owned();
                for (side, what) in [("requests", "request"), ("limits", "limit")] {
                    let given = complete(container, side, &defaults[side]);
                    if !given.is_empty() {
                        said.push(format!("{} {what} for {word} {name}", given.join(", ")));
                    }
                }
            }
        }
        if !said.is_empty() {
            set(pod, &["metadata", "annotations", ANNOTATION], format!("LimitRanger plugin set: {}", said.join("; ")));
        }
    }
}

/// `limits` and `requests` for containers that name none: of several items the last counts.
fn defaults_of(range: &Value) -> Value {
    let mut defaults = json!({"limits": {}, "requests": {}});
    for item in of_type(range, "Container") {
        for (field, side) in [("default", "limits"), ("defaultRequest", "requests")] {
            for (name, amount) in map(item, &[field]).into_iter().flatten() {
                defaults[side][name] = amount.clone();
            }
        }
    }
    defaults
}

/// Names of the resources that were missing on that side and are there now.
fn complete(container: &mut Value, side: &str, defaults: &Value) -> Vec<String> {
    let mut given = Vec::new();
    for (name, amount) in defaults.as_object().into_iter().flatten() {
        if get(container, &["resources", side, name]).is_none() {
            set(container, &["resources", side, name], amount.clone());
            given.push(name.clone());
        }
    }
    given.sort_unstable();
    given
}

fn of_type<'a>(range: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    items(range, &["spec", "limits"]).iter().filter(move |item| text(item, &["type"]) == kind)
}

/// What a pod asks for that a range does not allow.
pub fn pod_faults(range: &Value, pod: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let all = LISTS.iter().flat_map(|(list, _)| items(pod, &["spec", list]));
    let own = |of: &Value, side: &str| map(of, &["resources", side]).cloned().unwrap_or_default();
    for container in all {
        for item in of_type(range, "Container") {
            bounds("Container", item, &own(container, "requests"), &own(container, "limits"), &mut faults);
        }
    }
    for item in of_type(range, "Pod") {
        bounds("Pod", item, &whole(pod, "requests"), &whole(pod, "limits"), &mut faults);
    }
    faults
}

/// What a claim asks for that a range does not allow.
pub fn claim_faults(range: &Value, claim: &Value) -> Vec<String> {
    const KIND: &str = "PersistentVolumeClaim";
    let mut faults = Vec::new();
    let requests = map(claim, &["spec", "resources", "requests"]).cloned().unwrap_or_default();
    for item in of_type(range, KIND) {
        for (name, least) in bounds_of(item, "min") {
            least_of(KIND, name, least, &requests, &Map::new(), &mut faults);
        }
        for (name, most) in bounds_of(item, "max") {
            match amount(&requests, name) {
                None => faults.push(format!("maximum {name} usage per {KIND} is {most}.  No request is specified")),
                Some(asked) if quantity_compare(asked, most) == Ordering::Greater => {
                    faults.push(format!("maximum {name} usage per {KIND} is {most}, but request is {asked}"));
                }
                Some(_) => {}
            }
        }
    }
    faults
}

fn bounds_of<'a>(item: &'a Value, field: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    map(item, &[field]).into_iter().flatten().filter_map(|(name, amount)| Some((name.as_str(), amount.as_str()?)))
}

fn amount<'a>(amounts: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    amounts.get(name).and_then(Value::as_str)
}

fn bounds(kind: &str, item: &Value, requests: &Map<String, Value>, limits: &Map<String, Value>, faults: &mut Vec<String>) {
    for (name, least) in bounds_of(item, "min") {
        least_of(kind, name, least, requests, limits, faults);
    }
    for (name, most) in bounds_of(item, "max") {
        let more = |given: &&str| quantity_compare(given, most) == Ordering::Greater;
        match amount(limits, name) {
            None => faults.push(format!("maximum {name} usage per {kind} is {most}.  No limit is specified")),
            Some(limit) if more(&limit) => {
                faults.push(format!("maximum {name} usage per {kind} is {most}, but limit is {limit}"))
            }
            Some(_) => {
                if let Some(asked) = amount(requests, name).filter(more) {
                    faults.push(format!("maximum {name} usage per {kind} is {most}, but request is {asked}"));
                }
            }
        }
    }
    for (name, most) in bounds_of(item, "maxLimitRequestRatio") {
        faults.extend(ratio(kind, name, most, amount(requests, name), amount(limits, name)));
    }
}

fn least_of(
    kind: &str,
    name: &str,
    least: &str,
    requests: &Map<String, Value>,
    limits: &Map<String, Value>,
    faults: &mut Vec<String>,
) {
    let less = |given: &&str| quantity_compare(given, least) == Ordering::Less;
    match amount(requests, name) {
        None => faults.push(format!("minimum {name} usage per {kind} is {least}.  No request is specified")),
        Some(asked) if less(&asked) => faults.push(format!("minimum {name} usage per {kind} is {least}, but request is {asked}")),
        Some(_) => {
            if let Some(limit) = amount(limits, name).filter(less) {
                faults.push(format!("minimum {name} usage per {kind} is {least}, but limit is {limit}"));
            }
        }
    }
}

fn ratio(kind: &str, name: &str, most: &str, asked: Option<&str>, limit: Option<&str>) -> Option<String> {
    let number = |text: &str| text.parse::<Quantity>().map_or(0.0, |q| q.milli_value() as f64);
    let opening = format!("{name} max limit to request ratio per {kind} is {most}, but");
    let asked = asked.map(number).filter(|n| *n != 0.0);
    let Some(asked) = asked else { return Some(format!("{opening} no request is specified or request is 0")) };
    let limit = limit.map(number).filter(|n| *n != 0.0);
    let Some(limit) = limit else { return Some(format!("{opening} no limit is specified or limit is 0")) };
    let given = limit / asked;
    (given * 1000.0 > number(most)).then(|| format!("{opening} provided ratio is {given:.6}"))
}

/// What the containers of a pod ask for together, or what the largest one that initialises does, if that is more.
fn whole(pod: &Value, side: &str) -> Map<String, Value> {
    let mut total: Map<String, Value> = Map::new();
    for (list, init) in [("containers", false), ("initContainers", true)] {
        for container in items(pod, &["spec", list]) {
            for (name, given) in map(container, &["resources", side]).into_iter().flatten() {
                let given = given.as_str().unwrap_or("0");
                let so_far = amount(&total, name).unwrap_or("0").to_owned();
                let sum = if init { larger(&so_far, given) } else { added(&so_far, given) };
                total.insert(name.clone(), sum.into());
            }
        }
    }
    total
}

fn larger(a: &str, b: &str) -> String {
    if quantity_compare(a, b) == Ordering::Less { b } else { a }.to_owned()
}

/// The sum of two quantities, in the form of the second; a sum that is out of range is the larger of both.
pub fn added(a: &str, b: &str) -> String {
    match (a.parse::<Quantity>(), b.parse::<Quantity>()) {
        (Ok(first), Ok(second)) => second.checked_add(&first).map_or_else(|| larger(a, b), |sum| sum.to_string()),
        _ => larger(a, b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(item: Value) -> Value {
        json!({"spec": {"limits": [item]}})
    }

    fn pod(resources: Value) -> Value {
        json!({"metadata": {}, "spec": {"containers": [{"name": "c", "resources": resources}]}})
    }

    #[test]
    fn a_container_that_names_no_limits_gets_those_of_the_range() {
        let ranges =
            [range(json!({"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "500m", "memory": "1Gi"}}))];
        let mut given = pod(json!({"requests": {"cpu": "100m"}}));
        complete_pod(&ranges, &mut given);
        assert_eq!(
            given["spec"]["containers"][0]["resources"],
            json!({"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "1"}})
        );
        assert_eq!(
            given["metadata"]["annotations"][ANNOTATION],
            "LimitRanger plugin set: memory request for container c; cpu limit for container c"
        );
    }

    #[test]
    fn what_is_too_little_or_too_much_is_told_in_stock_words() {
        let item =
            json!({"type": "Container", "min": {"cpu": "100m"}, "max": {"cpu": "1"}, "maxLimitRequestRatio": {"cpu": "2"}});
        for (resources, want) in [
            (json!({"requests": {"cpu": "500m"}, "limits": {"cpu": "1"}}), vec![]),
            (
                json!({"requests": {"cpu": "50m"}, "limits": {"cpu": "100m"}}),
                vec!["minimum cpu usage per Container is 100m, but request is 50m"],
            ),
            (
                json!({"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}),
                vec!["maximum cpu usage per Container is 1, but limit is 2"],
            ),
            (
                json!({"requests": {"cpu": "200m"}, "limits": {"cpu": "1"}}),
                vec!["cpu max limit to request ratio per Container is 2, but provided ratio is 5.000000"],
            ),
            (
                json!({}),
                vec![
                    "minimum cpu usage per Container is 100m.  No request is specified",
                    "maximum cpu usage per Container is 1.  No limit is specified",
                    "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0",
                ],
            ),
        ] {
            assert_eq!(pod_faults(&range(item.clone()), &pod(resources)), want);
        }
    }

    #[test]
    fn a_pod_is_the_sum_of_its_containers_or_its_largest_beginning() {
        let amounts = |cpu: &str| json!({"limits": {"cpu": cpu}});
        let two = json!({"spec": {
            "containers": [{"resources": amounts("1")}, {"resources": amounts("500m")}],
            "initContainers": [{"resources": amounts("2")}],
        }});
        let item = json!({"type": "Pod", "max": {"cpu": "1900m"}});
        assert_eq!(pod_faults(&range(item), &two), ["maximum cpu usage per Pod is 1900m, but limit is 2"]);
        assert_eq!(added("500m", "1"), "1500m");
    }

    #[test]
    fn a_claim_asks_for_neither_too_little_nor_too_much() {
        let item = json!({"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "10Gi"}});
        let claim = |size: &str| json!({"spec": {"resources": {"requests": {"storage": size}}}});
        assert_eq!(claim_faults(&range(item.clone()), &claim("5Gi")), [""; 0]);
        assert_eq!(
            claim_faults(&range(item.clone()), &claim("20Gi")),
            ["maximum storage usage per PersistentVolumeClaim is 10Gi, but request is 20Gi"]
        );
        assert_eq!(claim_faults(&range(item), &claim("1Mi")).len(), 1);
    }
}
