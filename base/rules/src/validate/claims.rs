//! The status of a claim of devices: what was allocated, for whom it is kept, and what drivers say of it.
//!
//! Source: https://kubernetes.io/docs/reference/kubernetes-api/ (resource.k8s.io/v1): limits stand in the fields' descriptions.
use hashbrown::HashSet;

use irori_api::{
    field::{ErrorList, FieldPath, Wrong},
    names,
};
use serde_json::Value;

use super::{
    address, check, condition,
    devices::{self, driver, short, unique},
    selector, slices,
};
use crate::tree::{get, items, text};

const CONSUMERS_MAX: usize = 256;
const RESULTS_MAX: usize = 32;
/// Configurations of the claim and of its classes together.
const CONFIGS_MAX: usize = 2 * devices::LIST_MAX;
const CONDITIONS_MAX: usize = 8;
const INTERFACE_BYTES_MAX: usize = 256;
const HARDWARE_BYTES_MAX: usize = 128;
const ADDRESSES_MAX: usize = 16;

pub fn status(new: &Value, old: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("status");
    let allocation = get(new, &["status", "allocation"]);
    consumers(new, &at.child("reservedFor"), errors);
    let results = allocation.map_or(&[][..], |given| items(given, &["devices", "results"]));
    let allocated: HashSet<String> = results.iter().map(shown).collect();
    let (list, list_at) = (items(new, &["status", "devices"]), at.child("devices"));
    let mut seen = HashSet::new();
    for (i, one) in list.iter().enumerate() {
        let at = list_at.index(i);
        device(one, &allocated, &at, errors);
        if !seen.insert(shown(one)) {
            check::wrong_go(errors, at, Wrong::Duplicate, &shown(one), "");
        }
    }
    reserved(new, old, &at.child("reservedFor"), errors);
    // What is allocated stays until it is given back, and is not looked at again.
    match (allocation, get(old, &["status", "allocation"])) {
        (Some(_), Some(_)) => check::immutable(errors, new, old, &FieldPath::root(), &["status", "allocation"]),
        (Some(given), None) => result(given, items(new, &["spec", "devices", "requests"]), &at.child("allocation"), errors),
        (None, _) => {}
    }
}

/// A device, as it is told: driver, pool and name, and which share of it.
fn shown(device: &Value) -> String {
    let parts = ["driver", "pool", "device"].map(|field| text(device, &[field])).join("/");
    match text(device, &["shareID"]) {
        "" => parts,
        share => format!("{parts}/{share}"),
    }
}

fn consumers(claim: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let list = items(claim, &["status", "reservedFor"]);
    if !short(list, CONSUMERS_MAX, at, errors) {
        return;
    }
    for (i, one) in list.iter().enumerate() {
        for field in ["resource", "name", "uid"] {
            check::required(errors, one, &at.index(i), &[field]);
        }
    }
    unique(list.iter().map(|one| text(one, &["uid"])), at, errors);
}

/// Only what is allocated is kept for anybody, and for nobody new once the claim goes.
fn reserved(new: &Value, old: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let list = |claim| items(claim, &["status", "reservedFor"]);
    if list(new).is_empty() {
        return;
    }
    if get(new, &["status", "allocation"]).is_none() {
        return errors.forbidden(at.clone(), "may not be specified when `allocated` is not set");
    }
    let key = |one: &'_ Value| ["uid", "name", "resource", "apiGroup"].map(|field| text(one, &[field]).to_owned());
    let before: HashSet<_> = list(old).iter().map(key).collect();
    if get(new, &["metadata", "deletionTimestamp"]).is_some() && list(new).iter().any(|one| !before.contains(&key(one))) {
        let why = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
        errors.forbidden(at.clone(), why);
    }
}

/// What the scheduler chose, where nothing was chosen before.
fn result(allocation: &Value, requests: &[Value], at: &FieldPath, errors: &mut ErrorList) {
    let (list, list_at) = (items(allocation, &["devices", "results"]), at.child("devices").child("results"));
    if short(list, RESULTS_MAX, &list_at, errors) {
        for (i, one) in list.iter().enumerate() {
            let at = list_at.index(i);
            devices::named_request(text(one, &["request"]), requests, &at.child("request"), errors);
            place(one, &at, errors);
            slices::binding(one, &at, errors);
        }
    }
    let (list, list_at) = (items(allocation, &["devices", "config"]), at.child("devices").child("config"));
    if short(list, CONFIGS_MAX, &list_at, errors) {
        for (i, one) in list.iter().enumerate() {
            let at = list_at.index(i);
            check::required_one_of(errors, one, &at, &["source"], &["FromClaim", "FromClass"]);
            devices::named_requests(one, requests, &at, errors);
            devices::configuration(one, &at, errors);
        }
    }
    if let Some(nodes) = get(allocation, &["nodeSelector"]) {
        selector::node_selector(nodes, &at.child("nodeSelector"), errors);
    }
}

/// Which device.
fn place(of: &Value, at: &FieldPath, errors: &mut ErrorList) {
    driver(errors, text(of, &["driver"]), &at.child("driver"));
    slices::pool_name(errors, text(of, &["pool"]), &at.child("pool"));
    let name = text(of, &["device"]);
    errors.invalid_each(&at.child("device"), name, names::dns_label(name));
}

/// What a driver says of a device of the claim.
fn device(device: &Value, allocated: &HashSet<String>, at: &FieldPath, errors: &mut ErrorList) {
    place(device, at, errors);
    let name = shown(device);
    if !allocated.contains(&name) {
        check::wrong_go(errors, at.clone(), Wrong::Invalid, &name, "must be an allocated device in the claim");
    }
    let conditions = items(device, &["conditions"]);
    short(conditions, CONDITIONS_MAX, &at.child("conditions"), errors);
    condition::conditions(conditions, &at.child("conditions"), errors);
    if let Some(given) = get(device, &["data"]) {
        devices::raw(given, &at.child("data"), errors);
    }
    let at = at.child("networkData");
    for (field, most) in [("interfaceName", INTERFACE_BYTES_MAX), ("hardwareAddress", HARDWARE_BYTES_MAX)] {
        if text(device, &["networkData", field]).len() > most {
            errors.too_long(at.child(field), most);
        }
    }
    let (ips, at) = (items(device, &["networkData", "ips"]), at.child("ips"));
    if short(ips, ADDRESSES_MAX, &at, errors) {
        for (i, ip) in ips.iter().filter_map(Value::as_str).enumerate() {
            if let Some(why) = address::interface_fault(ip) {
                errors.invalid(at.index(i), ip, why);
            }
        }
        unique(ips.iter().filter_map(Value::as_str), &at, errors);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NO_REQUEST: &str =
        "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";

    fn told(new: Value, old: Value) -> Vec<String> {
        let claim = |status: Value| json!({"spec": {"devices": {"requests": [{"name": "r"}]}}, "status": status});
        let mut errors = ErrorList::default();
        status(&claim(new), &claim(old), &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    fn allocated(request: &str) -> Value {
        json!({"devices": {"results": [{"request": request, "driver": "d.example", "pool": "p", "device": "x"}]}})
    }

    fn consumer(uid: &str) -> Value {
        json!({"resource": "pods", "name": "p", "uid": uid})
    }

    #[test]
    fn what_is_allocated_answers_a_request_and_stays() {
        let new = |request: &str| json!({"allocation": allocated(request)});
        assert_eq!(told(new("r"), json!({})), [""; 0]);
        let at = "status.allocation.devices.results[0]";
        assert_eq!(told(new("zz"), json!({})), [format!("{at}.request: Invalid value: \"zz\": {NO_REQUEST}")]);
        assert_eq!(told(new("zz"), new("zz")), [""; 0]);
        assert!(told(new("r"), new("zz"))[0].ends_with("field is immutable"));
        assert_eq!(told(json!({"allocation": {"devices": {"results": [{"request": "r"}]}}}), json!({})).len(), 3);
    }

    #[test]
    fn only_what_is_allocated_is_kept_for_anybody() {
        assert_eq!(
            told(json!({"allocation": allocated("r"), "reservedFor": [consumer("a"), consumer("b")]}), json!({})),
            [""; 0]
        );
        assert_eq!(
            told(json!({"reservedFor": [consumer("a")]}), json!({})),
            ["status.reservedFor: Forbidden: may not be specified when `allocated` is not set"]
        );
        assert_eq!(
            told(json!({"allocation": allocated("r"), "reservedFor": [consumer("a"), consumer("a"), {}]}), json!({})),
            [
                "status.reservedFor[2].resource: Required value",
                "status.reservedFor[2].name: Required value",
                "status.reservedFor[2].uid: Required value",
                "status.reservedFor[1]: Duplicate value: \"a\"",
            ]
        );
        let many: Vec<Value> = (0..257).map(|i| consumer(&i.to_string())).collect();
        assert_eq!(
            told(json!({"allocation": allocated("r"), "reservedFor": many}), json!({})),
            ["status.reservedFor: Too many: 257: must have at most 256 items"]
        );
    }

    #[test]
    fn nobody_joins_a_claim_that_goes() {
        let claim = |uids: &[&str]| {
            let list: Vec<Value> = uids.iter().map(|uid| consumer(uid)).collect();
            let meta = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
            json!({"metadata": meta, "status": {"allocation": allocated("r"), "reservedFor": list}})
        };
        let told = |new: &[&str], old: &[&str]| {
            let mut errors = ErrorList::default();
            status(&claim(new), &claim(old), &mut errors);
            errors.len()
        };
        assert_eq!((told(&["a"], &["a", "b"]), told(&["a", "b"], &["a"])), (0, 1));
    }

    #[test]
    fn drivers_speak_of_devices_of_the_claim() {
        let of = |device: &str, change: Value| {
            let mut one = json!({"driver": "d.example", "pool": "p", "device": device});
            one.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            told(json!({"allocation": allocated("r"), "devices": [one]}), json!({"allocation": allocated("r")}))
        };
        assert_eq!(of("x", json!({"data": {}, "networkData": {"ips": ["10.9.8.7/24"]}})), [""; 0]);
        assert_eq!(
            of("y", json!({})),
            ["status.devices[0]: Invalid value: d.example/p/y: must be an allocated device in the claim"]
        );
        let long = json!({"interfaceName": "i".repeat(257), "hardwareAddress": "h".repeat(129), "ips": ["10.9.8.7"]});
        assert_eq!(of("x", json!({"networkData": long, "data": 1})).len(), 4);
    }
}
