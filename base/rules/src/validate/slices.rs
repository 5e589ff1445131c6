//! Resource slices: the devices that a driver offers.
//!
//! Source: https://kubernetes.io/docs/reference/kubernetes-api/ (resource.k8s.io/v1): limits stand in the fields' descriptions.
use std::cmp::Ordering;

use hashbrown::HashSet;

use irori_api::{
    field::{ErrorList, FieldPath},
    names,
};
use serde_json::{Map, Value};

use super::{
    check,
    devices::{driver, short, unique},
    selector,
};
use crate::{
    scalar::quantity_compare,
    tree::{flag, get, int, items, map, text},
};

pub const EFFECTS: &[&str] = &["NoExecute", "NoSchedule", "None"];

const DEVICES_MAX: usize = 128;
/// Devices of a slice where any has taints or draws on shared counters.
const TAINTED_DEVICES_MAX: usize = 64;
const COUNTER_SETS_MAX: usize = 8;
const COUNTERS_MAX: usize = 32;
/// Attributes and capacities of one device together.
const PROPERTIES_MAX: usize = 32;
const TAINTS_MAX: usize = 16;
const CONDITIONS_MAX: usize = 4;
/// Counter sets that one device draws on.
const DRAWN_SETS_MAX: usize = 2;
/// Values that a request for a capacity may choose from.
const CHOICES_MAX: usize = 10;
/// Bytes of a text or version among attributes.
const VALUE_MAX: usize = 64;
/// Bytes of the name of an attribute without its domain.
const NAME_MAX: usize = 32;

pub fn slice(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    driver(errors, text(spec, &["driver"]), &at.child("driver"));
    pool(get(spec, &["pool"]).unwrap_or(&Value::Null), &at.child("pool"), errors);
    place(spec, at, errors);
    let (devices, sets) = (items(spec, &["devices"]), items(spec, &["sharedCounters"]));
    if !devices.is_empty() && !sets.is_empty() {
        errors.invalid(at.clone(), "", "only one of `sharedCounters` or `devices` is allowed");
    }
    let heavy = devices.iter().any(|d| !items(d, &["taints"]).is_empty() || !items(d, &["consumesCounters"]).is_empty());
    let list_at = at.child("devices");
    if short(devices, if heavy { TAINTED_DEVICES_MAX } else { DEVICES_MAX }, &list_at, errors) {
        let each = flag(spec, &["perDeviceNodeSelection"]);
        for (i, one) in devices.iter().enumerate() {
            device(one, each, &list_at.index(i), errors);
        }
        unique(devices.iter().map(|d| text(d, &["name"])), &list_at, errors);
    }
    let list_at = at.child("sharedCounters");
    if short(sets, COUNTER_SETS_MAX, &list_at, errors) {
        for (i, one) in sets.iter().enumerate() {
            check::required_name(errors, one, &list_at.index(i), &["name"], names::dns_label);
            counters(one, &list_at.index(i), errors);
        }
        unique(sets.iter().map(|s| text(s, &["name"])), &list_at, errors);
    }
}

fn pool(pool: &Value, at: &FieldPath, errors: &mut ErrorList) {
    pool_name(errors, text(pool, &["name"]), &at.child("name"));
    let count = int(pool, &["resourceSliceCount"]).unwrap_or(0);
    if count <= 0 {
        errors.invalid(at.child("resourceSliceCount"), count, "must be greater than zero");
    }
    if let Some(n) = int(pool, &["generation"]).filter(|n| *n < 0) {
        errors.invalid(at.child("generation"), n, "must be greater than or equal to zero");
    }
}

/// Subdomains with slashes between them.
pub fn pool_name(errors: &mut ErrorList, name: &str, at: &FieldPath) {
    if name.is_empty() {
        return errors.required(at.clone(), "");
    }
    if name.len() > names::DNS_SUBDOMAIN_BYTES_MAX {
        errors.too_long(at.clone(), names::DNS_SUBDOMAIN_BYTES_MAX);
    }
    for part in name.split('/') {
        errors.invalid_each(at, part, names::dns_subdomain(part));
    }
}

/// A flag that is true or not there.
fn only_true(of: &Value, field: &str, at: &FieldPath, errors: &mut ErrorList) -> bool {
    match get(of, &[field]) {
        Some(Value::Bool(true)) => return true,
        Some(_) => errors.invalid(at.child(field), false, "must be either unset or set to true"),
        None => {}
    }
    false
}

/// Where the devices are: said in one way.
fn place(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let mut ways = Vec::new();
    match get(spec, &["nodeName"]).and_then(Value::as_str) {
        Some("") => errors.invalid(at.child("nodeName"), "", "must be either unset or set to a non-empty string"),
        Some(name) => {
            ways.push("`nodeName`");
            errors.invalid_each(&at.child("nodeName"), name, names::dns_subdomain(name));
        }
        None => {}
    }
    if let Some(given) = get(spec, &["nodeSelector"]) {
        ways.push("`nodeSelector`");
        let at = at.child("nodeSelector");
        selector::node_selector(given, &at, errors);
        let terms = items(given, &["nodeSelectorTerms"]);
        if terms.len() != 1 {
            let given = if terms.is_empty() { Value::Null } else { Value::Array(terms.to_vec()) };
            errors.invalid(at.child("nodeSelectorTerms"), given, "must have exactly one node selector term");
        }
    }
    for (field, word) in [("allNodes", "`allNodes`"), ("perDeviceNodeSelection", "`perDeviceNodeSelection`")] {
        if only_true(spec, field, at, errors) {
            ways.push(word);
        }
    }
    let why = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    match ways.len() {
        0 => errors.required(at.clone(), why),
        1 => {}
        _ => errors.invalid(at.clone(), format!("{{{}}}", ways.join(", ")), format!("{why}, but multiple fields are set")),
    }
}

fn counters(of: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let at = at.child("counters");
    let given = map(of, &["counters"]).filter(|c| !c.is_empty());
    let Some(given) = given else {
        errors.required(at, "");
        return;
    };
    if given.len() > COUNTERS_MAX {
        errors.too_many(at, given.len(), COUNTERS_MAX);
        return;
    }
    for name in given.keys() {
        errors.invalid_each(&at.key(name), name.as_str(), names::dns_label(name));
    }
}

fn device(device: &Value, placed_each: bool, at: &FieldPath, errors: &mut ErrorList) {
    let name = text(device, &["name"]);
    errors.invalid_each(&at.child("name"), name, names::dns_label(name));
    let none = Map::new();
    let attributes = map(device, &["attributes"]).unwrap_or(&none);
    let capacity = map(device, &["capacity"]).unwrap_or(&none);
    let count = attributes.len() + capacity.len();
    if count > PROPERTIES_MAX {
        let why = format!("the total number of attributes and capacities must not exceed {PROPERTIES_MAX}");
        errors.invalid(at.clone(), count, why);
    }
    for (name, value) in attributes {
        // Stock servers tell wrong names of attributes at the map, and those of capacities at the entry.
        let at = at.child("attributes");
        attribute_name(errors, name, &at);
        attribute(value, &at.key(name), errors);
    }
    let shared = flag(device, &["allowMultipleAllocations"]);
    for (name, value) in capacity {
        let at = at.child("capacity").key(name);
        attribute_name(errors, name, &at);
        let Some(policy) = get(value, &["requestPolicy"]) else { continue };
        let at = at.child("requestPolicy");
        if shared {
            request_policy(text(value, &["value"]), policy, &at, errors);
        } else {
            errors.forbidden(at, "allowMultipleAllocations must be true");
        }
    }
    let (taints, list_at) = (items(device, &["taints"]), at.child("taints"));
    if short(taints, TAINTS_MAX, &list_at, errors) {
        for (i, one) in taints.iter().enumerate() {
            taint(one, &list_at.index(i), errors);
        }
    }
    let (drawn, list_at) = (items(device, &["consumesCounters"]), at.child("consumesCounters"));
    if short(drawn, DRAWN_SETS_MAX, &list_at, errors) {
        for (i, one) in drawn.iter().enumerate() {
            check::required_name(errors, one, &list_at.index(i), &["counterSet"], names::dns_label);
            counters(one, &list_at.index(i), errors);
        }
        unique(drawn.iter().map(|d| text(d, &["counterSet"])), &list_at, errors);
    }
    device_place(device, placed_each, at, errors);
    binding(device, at, errors);
}

fn device_place(device: &Value, placed_each: bool, at: &FieldPath, errors: &mut ErrorList) {
    let given = |field: &str| get(device, &[field]);
    if !placed_each {
        if ["nodeName", "nodeSelector", "allNodes"].into_iter().any(|f| given(f).is_some()) {
            let why = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the \
                       ResourceSlice spec";
            errors.invalid(at.clone(), Value::Null, why);
        }
        return;
    }
    let mut ways = Vec::new();
    match given("nodeName").and_then(Value::as_str) {
        Some("") => errors.invalid(at.child("nodeName"), "", "must not be empty"),
        Some(name) => {
            ways.push("`nodeName`");
            errors.invalid_each(&at.child("nodeName"), name, names::dns_subdomain(name));
        }
        None => {}
    }
    if let Some(chosen) = given("nodeSelector") {
        ways.push("`nodeSelector`");
        selector::node_selector(chosen, &at.child("nodeSelector"), errors);
    }
    if only_true(device, "allNodes", at, errors) {
        ways.push("`allNodes`");
    }
    let why = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in \
               the ResourceSlice spec";
    match ways.len() {
        0 => errors.required(at.clone(), why),
        1 => {}
        _ => errors.invalid(at.clone(), format!("{{{}}}", ways.join(", ")), why),
    }
}

/// `name` or `domain/name`: what attributes and capacities are called. Told at the path that the caller gives.
pub fn attribute_name(errors: &mut ErrorList, name: &str, at: &FieldPath) {
    let parts: Vec<&str> = name.split('/').collect();
    match parts.as_slice() {
        [plain] => identifier(errors, plain, at),
        [domain, plain] => {
            if domain.is_empty() {
                errors.invalid(at.clone(), "", "the domain must not be empty");
            } else {
                driver(errors, domain, at);
            }
            if plain.is_empty() {
                errors.invalid(at.clone(), "", "the name must not be empty");
            } else {
                identifier(errors, plain, at);
            }
        }
        // Upstream looks no further here.
        _ => {}
    }
}

fn identifier(errors: &mut ErrorList, name: &str, at: &FieldPath) {
    if name.len() > NAME_MAX {
        errors.too_long(at.clone(), NAME_MAX);
    }
    errors.invalid_each(at, name, names::c_identifier(name));
}

fn attribute(value: &Value, at: &FieldPath, errors: &mut ErrorList) {
    for (field, is_version) in [("string", false), ("version", true)] {
        let Some(given) = get(value, &[field]).and_then(Value::as_str) else { continue };
        if is_version && !semantic_version(given) {
            errors.invalid(at.child(field), given, "must be a string compatible with semver.org spec 2.0.0");
        }
        if given.len() > VALUE_MAX {
            errors.too_long(at.child(field), VALUE_MAX);
        }
    }
    match ["bool", "int", "string", "version"].into_iter().filter(|f| get(value, &[f]).is_some()).count() {
        0 => errors.invalid(at.clone(), "", "exactly one value must be specified"),
        1 => {}
        _ => errors.invalid(at.clone(), value.clone(), "exactly one value must be specified"),
    }
}

/// https://semver.org, 2.0.0: three numbers, `-` and a prerelease, `+` and a build.
fn semantic_version(given: &str) -> bool {
    let number = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()) && (p == "0" || !p.starts_with('0'));
    let word = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let (rest, build) = given.split_once('+').map_or((given, None), |(rest, build)| (rest, Some(build)));
    let (core, pre) = rest.split_once('-').map_or((rest, None), |(core, pre)| (core, Some(pre)));
    let core: Vec<&str> = core.split('.').collect();
    core.len() == 3
        && core.into_iter().all(number)
        && pre.is_none_or(|p| p.split('.').all(|p| word(p) && (number(p) || !p.bytes().all(|b| b.is_ascii_digit()))))
        && build.is_none_or(|b| b.split('.').all(word))
}

fn taint(taint: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let (key, value) = (text(taint, &["key"]), text(taint, &["value"]));
    errors.invalid_each(&at.child("key"), key, names::qualified_name(key));
    if !value.is_empty() {
        errors.invalid_each(&at.child("value"), value, names::label_value(value));
    }
    check::required_one_of(errors, taint, at, &["effect"], EFFECTS);
}

/// Conditions of binding: those to wait for, and those that say it failed. Both or none.
pub fn binding(device: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let list = |field: &str| -> Vec<&str> { items(device, &[field]).iter().filter_map(Value::as_str).collect() };
    let (good, bad) = (list("bindingConditions"), list("bindingFailureConditions"));
    for (field, names_of) in [("bindingConditions", &good), ("bindingFailureConditions", &bad)] {
        let at = at.child(field);
        if !short(items(device, &[field]), CONDITIONS_MAX, &at, errors) {
            continue;
        }
        for (i, name) in names_of.iter().enumerate() {
            errors.invalid_each(&at.index(i), *name, names::qualified_name(name));
        }
    }
    unique(good.iter().copied(), &at.child("bindingConditions"), errors);
    unique(bad.iter().copied(), &at.child("bindingFailureConditions"), errors);
    let known: HashSet<&str> = good.iter().copied().collect();
    for (i, name) in bad.iter().enumerate().filter(|(_, name)| known.contains(*name)) {
        let at = at.child("bindingFailureConditions").index(i);
        errors.invalid(at, *name, "bindingFailureConditions must not overlap with bindingConditions");
    }
    for (field, other, empty) in [
        ("bindingConditions", "bindingFailureConditions", good.is_empty() && !bad.is_empty()),
        ("bindingFailureConditions", "bindingConditions", bad.is_empty() && !good.is_empty()),
    ] {
        if empty {
            errors.invalid(at.child(field), Value::Null, format!("{field} are required to use {other}"));
        }
    }
}

fn request_policy(most: &str, policy: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let (values, range) = (items(policy, &["validValues"]), get(policy, &["validRange"]));
    let default = get(policy, &["default"]).and_then(Value::as_str);
    match (values.is_empty(), range) {
        (false, Some(_)) => {
            let why = "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the same time";
            errors.forbidden(at.clone(), why);
        }
        (false, None) => match default {
            None => errors.required(at.child("default"), "required when validValues is defined"),
            Some(default) => choices(default, most, values, &at.child("validValues"), errors),
        },
        (true, Some(range)) => match default {
            None => errors.required(at.child("default"), "required when validRange is defined"),
            Some(default) => bounds(default, most, range, &at.child("validRange"), errors),
        },
        (true, None) => {}
    }
}

fn choices(default: &str, most: &str, values: &[Value], at: &FieldPath, errors: &mut ErrorList) {
    let values: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
    for (i, pair) in values.windows(2).enumerate() {
        if quantity_compare(pair[0], pair[1]) == Ordering::Greater {
            errors.invalid(at.index(i + 1), pair[1], "values must be sorted in ascending order");
        }
    }
    if values.len() > CHOICES_MAX {
        errors.too_many(at.clone(), values.len(), CHOICES_MAX);
    } else {
        for (i, value) in values.iter().enumerate().filter(|(_, v)| quantity_compare(v, most) == Ordering::Greater) {
            errors.invalid(at.index(i), *value, format!("option is larger than capacity value: {most}"));
        }
        unique(values.iter().copied(), at, errors);
    }
    if values.len() > CHOICES_MAX || !values.iter().any(|v| quantity_compare(v, default) == Ordering::Equal) {
        errors.invalid(at.clone(), default, "default value is not valid according to the requestPolicy");
    }
}

fn bounds(default: &str, most: &str, range: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let more = |a: &str, b: &str| quantity_compare(a, b) == Ordering::Greater;
    let Some(min) = get(range, &["min"]).and_then(Value::as_str) else {
        errors.required(at.child("min"), "required when validRange is defined");
        return;
    };
    if more(min, most) {
        errors.invalid(at.child("min"), min, format!("min is larger than capacity value: {most}"));
    }
    if more(min, default) {
        errors.invalid(at.child("min"), default, format!("default is less than min: {min}"));
    }
    let max = get(range, &["max"]).and_then(Value::as_str);
    if let Some(max) = max {
        let at = at.child("max");
        if more(min, max) {
            errors.invalid(at.clone(), min, format!("min is larger than max: {max}"));
        }
        if more(max, most) {
            errors.invalid(at.clone(), max, format!("max is larger than capacity value: {most}"));
        }
        if more(default, max) {
            errors.invalid(at, default, format!("default is more than max: {max}"));
        }
    }
    if let Some(step) = get(range, &["step"]).and_then(Value::as_str) {
        steps(&[Some(default), max], (min, step, most), &at.child("step"), errors);
    }
}

/// Values lie a whole number of steps above the least one.
fn steps(values: &[Option<&str>], (min, step, most): (&str, &str, &str), at: &FieldPath, errors: &mut ErrorList) {
    let number = |text: &str| text.parse::<irori_api::quantity::Quantity>().map_or(0, |q| q.milli_value() / 1000);
    let (least, by) = (number(min), number(step));
    let first = least.saturating_add(by);
    if first > number(most) {
        errors.invalid(at.clone(), step, format!("one step {first} is larger than capacity value: {most}"));
    }
    for value in values.iter().flatten() {
        if by == 0 || number(value).saturating_sub(least) % by != 0 {
            let why = format!("value is not a multiple of a given step ({step}) from ({min})");
            errors.invalid(at.clone(), *value, why);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(devices: Value) -> Vec<String> {
        let spec =
            json!({"driver": "d.example", "nodeName": "n", "pool": {"name": "p", "resourceSliceCount": 1}, "devices": devices});
        let mut errors = ErrorList::default();
        slice(&spec, &FieldPath::new("spec"), &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_slice_holds_fewer_devices_where_they_have_taints() {
        let devices = |n: usize, taints: Value| -> Value {
            (0..n).map(|i| json!({"name": format!("d{i}"), "taints": taints})).collect::<Vec<_>>().into()
        };
        let taint = json!([{"key": "k", "effect": "NoExecute"}]);
        assert_eq!(told(devices(128, json!([]))), [""; 0]);
        assert_eq!(told(devices(129, json!([]))), ["spec.devices: Too many: 129: must have at most 128 items"]);
        assert_eq!(told(devices(64, taint.clone())), [""; 0]);
        assert_eq!(told(devices(65, taint)), ["spec.devices: Too many: 65: must have at most 64 items"]);
    }

    #[test]
    fn an_attribute_has_one_value() {
        let device = |attribute: Value| told(json!([{"name": "d", "attributes": {"d.example/a": attribute}}]));
        assert_eq!(device(json!({"int": 1})), [""; 0]);
        assert_eq!(device(json!({"version": "1.2.3-rc.1+x"})), [""; 0]);
        assert_eq!(device(json!({"version": "1.02.3"})).len(), 1);
        assert_eq!(device(json!({})).len(), 1);
        assert_eq!(device(json!({"int": 1, "bool": true})).len(), 1);
        assert_eq!(device(json!({"string": "x".repeat(65)})).len(), 1);
    }

    #[test]
    fn a_request_policy_fits_the_capacity() {
        let device = |policy: Value| {
            let capacity = json!({"m": {"value": "10Gi", "requestPolicy": policy}});
            told(json!([{"name": "d", "allowMultipleAllocations": true, "capacity": capacity}]))
        };
        assert_eq!(device(json!({"default": "1Gi", "validRange": {"min": "1Gi", "step": "1Gi", "max": "4Gi"}})), [""; 0]);
        assert_eq!(device(json!({"default": "1Gi", "validValues": ["1Gi", "2Gi"]})), [""; 0]);
        assert_eq!(device(json!({"validValues": ["1Gi"]})).len(), 1);
        assert_eq!(device(json!({"default": "3Gi", "validValues": ["2Gi", "1Gi"]})).len(), 2);
        assert_eq!(device(json!({"default": "1500Mi", "validRange": {"min": "1Gi", "step": "1Gi"}})).len(), 1);
    }

    #[test]
    fn conditions_of_binding_come_with_those_of_failure() {
        let device =
            |good: Value, bad: Value| told(json!([{"name": "d", "bindingConditions": good, "bindingFailureConditions": bad}]));
        assert_eq!(device(json!(["a"]), json!(["b"])), [""; 0]);
        assert_eq!(device(json!(["a"]), json!([])).len(), 1);
        assert_eq!(device(json!(["a"]), json!(["a"])).len(), 1);
    }
}
