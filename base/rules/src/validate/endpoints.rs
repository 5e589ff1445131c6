//! Endpoints and EndpointSlice.
//!
//! Source: https://kubernetes.io/docs/reference/kubernetes-api/service-resources/endpoint-slice-v1/.
use hashbrown::HashSet;

use irori_api::{
    field::{ErrorList, FieldPath},
    names,
};
use serde_json::Value;

use super::{
    address::{self, Kept},
    check,
};
use crate::tree::{get, int, items, map, text};

/// Endpoints of one slice, addresses of one endpoint, hints of one kind, ports of one slice.
const ENDPOINTS_MAX: usize = 1000;
const ADDRESSES_MAX: usize = 100;
const HINTS_MAX: usize = 8;
const PORTS_MAX: usize = 20_000;

const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];

/// Endpoints that did not change are not looked at again.
pub fn slice(object: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let root = FieldPath::root();
    check::required_one_of(errors, object, &root, &["addressType"], &["FQDN", "IPv4", "IPv6"]);
    let changed = |field: &str| old.is_none_or(|old| items(old, &[field]) != items(object, &[field]));
    if changed("endpoints") {
        slice_endpoints(text(object, &["addressType"]), items(object, &["endpoints"]), &root.child("endpoints"), errors);
    }
    slice_ports(items(object, &["ports"]), &root.child("ports"), errors);
}

fn slice_endpoints(kind: &str, endpoints: &[Value], at: &FieldPath, errors: &mut ErrorList) {
    if endpoints.len() > ENDPOINTS_MAX {
        return errors.too_many(at.clone(), endpoints.len(), ENDPOINTS_MAX);
    }
    for (i, endpoint) in endpoints.iter().enumerate() {
        let at = at.index(i);
        let addresses = items(endpoint, &["addresses"]);
        if addresses.is_empty() {
            errors.required(at.child("addresses"), "must contain at least 1 address");
        } else if addresses.len() > ADDRESSES_MAX {
            errors.too_many(at.child("addresses"), addresses.len(), ADDRESSES_MAX);
        }
        for (j, address) in addresses.iter().filter_map(Value::as_str).enumerate() {
            slice_address(kind, address, &at.child("addresses"), j, errors);
        }
        check::name(errors, endpoint, &at, &["nodeName"], names::dns_subdomain);
        for (key, value) in map(endpoint, &["deprecatedTopology"]).into_iter().flatten() {
            let at = at.child("deprecatedTopology");
            errors.invalid_each(&at, key.as_str(), names::qualified_name(key));
            let value = value.as_str().unwrap_or("");
            errors.invalid_each(&at.key(key), value, names::label_value(value));
        }
        check::name(errors, endpoint, &at, &["hostname"], names::dns_label);
        let at = at.child("hints");
        hints(items(endpoint, &["hints", "forZones"]), &at.child("forZones"), names::label_value, errors);
        hints(items(endpoint, &["hints", "forNodes"]), &at.child("forNodes"), names::dns_subdomain, errors);
    }
}

/// For whom an endpoint is meant.
fn hints(list: &[Value], at: &FieldPath, rule: fn(&str) -> Vec<String>, errors: &mut ErrorList) {
    if list.len() > HINTS_MAX {
        return errors.too_many(at.clone(), list.len(), HINTS_MAX);
    }
    let mut seen = HashSet::new();
    for (i, name) in list.iter().map(|hint| text(hint, &["name"])).enumerate() {
        let at = at.index(i).child("name");
        if !seen.insert(name) {
            errors.duplicate(at.clone(), name);
        }
        errors.invalid_each(&at, name, rule(name));
    }
}

fn slice_ports(ports: &[Value], at: &FieldPath, errors: &mut ErrorList) {
    if ports.len() > PORTS_MAX {
        return errors.too_many(at.clone(), ports.len(), PORTS_MAX);
    }
    let mut seen = HashSet::new();
    for (i, port) in ports.iter().enumerate() {
        let at = at.index(i);
        let name = text(port, &["name"]);
        if !name.is_empty() {
            errors.invalid_each(&at.child("name"), name, names::dns_label(name));
        }
        if !seen.insert(name) {
            errors.duplicate(at.child("name"), name);
        }
        match get(port, &["protocol"]) {
            None => errors.required(at.child("protocol"), ""),
            Some(_) => check::one_of(errors, port, &at, &["protocol"], PROTOCOLS),
        }
        check::name(errors, port, &at, &["appProtocol"], names::qualified_name);
    }
}

fn slice_address(kind: &str, given: &str, list: &FieldPath, i: usize, errors: &mut ErrorList) {
    let at = list.index(i);
    match kind {
        "FQDN" => domain(given, &at, errors),
        "IPv4" | "IPv6" => {
            if !address::ip(errors, given, &at, &Kept::new()) {
                return;
            }
            if address::parse(given).is_some_and(|ip| ip.is_ipv4() != (kind == "IPv4")) {
                errors.invalid(list.clone(), given, format!("must be an {kind} address"));
            }
            address::special(given, &at, errors);
        }
        _ => {}
    }
}

/// A domain of two parts or more; a dot may end it.
fn domain(given: &str, at: &FieldPath, errors: &mut ErrorList) {
    if given.is_empty() {
        return errors.required(at.clone(), "");
    }
    let name = given.strip_suffix('.').unwrap_or(given);
    let wrong = names::dns_subdomain(name);
    if !wrong.is_empty() {
        errors.invalid(at.clone(), name, wrong.join(","));
    } else if !name.contains('.') {
        errors.invalid(at.clone(), name, "should be a domain with at least two segments separated by dots");
    } else if let Some((label, wrong)) =
        name.split('.').map(|label| (label, names::dns_label(label))).find(|(_, w)| !w.is_empty())
    {
        errors.invalid(at.clone(), label, wrong.join(","));
    }
}

/// Subsets that did not change are not looked at again.
pub fn endpoints(object: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    if old.is_some_and(|old| items(old, &["subsets"]) == items(object, &["subsets"])) {
        return;
    }
    for (i, subset) in items(object, &["subsets"]).iter().enumerate() {
        let at = FieldPath::new("subsets").index(i);
        let (ready, unready) = (items(subset, &["addresses"]), items(subset, &["notReadyAddresses"]));
        if ready.is_empty() && unready.is_empty() {
            errors.required(at.clone(), "must specify `addresses` or `notReadyAddresses`");
        }
        for (field, list) in [("addresses", ready), ("notReadyAddresses", unready)] {
            for (j, one) in list.iter().enumerate() {
                let at = at.child(field).index(j);
                let ip = text(one, &["ip"]);
                address::ip(errors, ip, &at.child("ip"), &Kept::new());
                check::name(errors, one, &at, &["hostname"], names::dns_label);
                check::name(errors, one, &at, &["nodeName"], names::dns_subdomain);
                address::special(ip, &at.child("ip"), errors);
            }
        }
        let ports = items(subset, &["ports"]);
        for (j, port) in ports.iter().enumerate() {
            let at = at.child("ports").index(j);
            let name = text(port, &["name"]);
            if name.is_empty() && ports.len() > 1 {
                errors.required(at.child("name"), "");
            } else if !name.is_empty() {
                errors.invalid_each(&at.child("name"), name, names::dns_label(name));
            }
            let number = int(port, &["port"]).unwrap_or(0);
            errors.invalid_each(&at.child("port"), number, names::port_number(number));
            check::required_one_of(errors, port, &at, &["protocol"], PROTOCOLS);
            check::name(errors, port, &at, &["appProtocol"], names::qualified_name);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn slice_with(kind: &str, endpoint: Value) -> Value {
        json!({"addressType": kind, "endpoints": [endpoint]})
    }

    fn told(object: &Value, old: Option<&Value>) -> Vec<String> {
        let mut errors = ErrorList::default();
        slice(object, old, &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn addresses_of_a_slice_are_of_its_type() {
        let of = |kind: &str, address: &str| told(&slice_with(kind, json!({"addresses": [address]})), None);
        for (kind, good) in [("IPv4", "10.0.0.1"), ("IPv4", "224.1.1.1"), ("IPv6", "2001:db8::1"), ("FQDN", "a.example.com.")] {
            assert_eq!(of(kind, good), [""; 0], "{good}");
        }
        for (kind, bad, why) in [
            ("IPv4", "010.0.0.1", "must not have leading 0s"),
            ("IPv4", "::ffff:1.2.3.4", "must not be an IPv4-mapped IPv6 address"),
            ("IPv4", "2001:db8::1", "must be an IPv4 address"),
            ("IPv4", "224.0.0.1", "link-local multicast range (224.0.0.0/24, ff02::/10)"),
            ("FQDN", "example", "should be a domain with at least two segments separated by dots"),
            ("FQDN", "", "Required value"),
        ] {
            let told = of(kind, bad);
            assert!(told.len() == 1 && told[0].ends_with(why), "{bad}: {told:?}");
        }
    }

    #[test]
    fn hints_name_few_zones_and_each_once() {
        let hints = |names: &[&str]| {
            let zones: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
            told(&slice_with("IPv4", json!({"addresses": ["10.0.0.1"], "hints": {"forZones": zones}})), None)
        };
        assert_eq!(hints(&["a", "b"]), [""; 0]);
        assert_eq!(hints(&["a", "a"]), ["endpoints[0].hints.forZones[1].name: Duplicate value: \"a\""]);
        assert!(hints(&["b c"])[0].starts_with("endpoints[0].hints.forZones[0].name: Invalid value: \"b c\": a valid label"));
        assert_eq!(hints(&["a"; 9]), ["endpoints[0].hints.forZones: Too many: 9: must have at most 8 items"]);
    }

    #[test]
    fn endpoints_that_did_not_change_stay() {
        let old = slice_with("IPv4", json!({"addresses": ["::ffff:1.2.3.4"]}));
        assert_eq!(told(&old, Some(&old)), [""; 0]);
        assert_eq!(told(&slice_with("IPv4", json!({"addresses": ["::ffff:1.2.3.5"]})), Some(&old)).len(), 1);
        let old = json!({"subsets": [{"addresses": [{"ip": "::ffff:1.2.3.4"}]}]});
        let mut errors = ErrorList::default();
        endpoints(&old, Some(&old), &mut errors);
        assert!(errors.is_empty());
        endpoints(&old, None, &mut errors);
        assert_eq!(errors.len(), 1);
    }

    #[test]
    fn an_address_is_refused_for_one_reason() {
        let mut errors = ErrorList::default();
        endpoints(&json!({"subsets": [{"addresses": [{"ip": "010.1.2.3"}]}]}), None, &mut errors);
        assert_eq!(errors.to_string(), "subsets[0].addresses[0].ip: Invalid value: \"010.1.2.3\": must not have leading 0s");
    }

    #[test]
    fn a_port_has_a_protocol_of_few() {
        let port = |protocol: Value| told(&json!({"addressType": "IPv4", "ports": [{"protocol": protocol}]}), None);
        assert_eq!(port(Value::Null), ["ports[0].protocol: Required value"]);
        assert_eq!(port(json!("")), ["ports[0].protocol: Unsupported value: \"\": supported values: \"SCTP\", \"TCP\", \"UDP\""]);
    }
}
