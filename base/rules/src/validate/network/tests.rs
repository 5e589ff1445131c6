use serde_json::json;

use super::*;

fn told(kind: &str, object: Value, old: Option<&Value>) -> Vec<String> {
    let mut errors = ErrorList::default();
    content(kind, &object, old, &mut errors);
    errors.iter().map(ToString::to_string).collect()
}

fn cidrs(list: Value) -> Value {
    json!({"spec": {"cidrs": list}})
}

#[test]
fn a_range_of_services_is_written_in_the_one_way_and_once_for_each_family() {
    let made = |list: Value| told("ServiceCIDR", cidrs(list), None);
    assert_eq!(made(json!(["10.97.0.0/24", "2001:db8::/64"])), [""; 0]);
    assert_eq!(made(json!([])), ["spec.cidrs: Required value: at least one CIDR required"]);
    assert_eq!(
        made(json!(["2001:DB8::/64"])),
        ["spec.cidrs[0]: Invalid value: \"2001:DB8::/64\": must be in canonical form (\"2001:db8::/64\")"]
    );
    assert_eq!(
        made(json!(["10.97.0.0/24", "10.97.0.0/24"])),
        ["spec.cidrs: Invalid value: [\"10.97.0.0/24\",\"10.97.0.0/24\"]: may specify no more than one IP for each IP family, \
          i.e 192.168.0.0/24 and 2001:db8::/64"]
    );
    assert_eq!(
        made(json!(["a", "b", "c"])),
        ["spec.cidrs: Invalid value: {\"CIDRs\":[\"a\",\"b\",\"c\"]}: may only hold up to 2 values"]
    );
}

#[test]
fn a_range_of_services_may_only_be_joined_by_a_second_one() {
    let old = cidrs(json!(["10.9.0.0/24"]));
    let changed = |list: Value| told("ServiceCIDR", cidrs(list), Some(&old));
    assert_eq!(changed(json!(["10.9.0.0/24"])), [""; 0]);
    assert_eq!(changed(json!(["10.9.0.0/24", "2001:db8::/64"])), [""; 0]);
    let fixed = |at: &str, value: &str| format!("{at}: Invalid value: {value}: field is immutable");
    assert_eq!(changed(json!(["10.9.1.0/24"])), [fixed("spec.cidrs[0]", "\"10.9.1.0/24\"")]);
    assert_eq!(changed(json!(["10.9.1.0/24", "2001:db8::/64"])), [fixed("spec.cidrs[0]", "\"10.9.1.0/24\"")]);
    assert_eq!(changed(json!([])), [fixed("spec.cidrs", "null")]);
    let (both, one) = (cidrs(json!(["10.9.0.0/24", "2001:db8::/64"])), cidrs(json!(["10.9.0.0/24"])));
    assert_eq!(told("ServiceCIDR", one, Some(&both)), [fixed("spec.cidrs", "[\"10.9.0.0/24\"]")]);
}

#[test]
fn networks_of_a_policy_are_plain_unless_they_were_there() {
    let policy = |cidr: &str, except: Value| json!({"spec": {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": cidr, "except": except}}]}]}});
    let wrong = policy("10.0.0.1/8", json!(["10.1.0.1/16"]));
    let at = "spec.ingress[0].from[0].ipBlock";
    let why = "must not have bits set beyond the prefix length";
    assert_eq!(
        told("NetworkPolicy", wrong.clone(), None),
        [
            format!("{at}.cidr: Invalid value: \"10.0.0.1/8\": {why}"),
            format!("{at}.except[0]: Invalid value: \"10.1.0.1/16\": {why}")
        ]
    );
    assert_eq!(told("NetworkPolicy", wrong.clone(), Some(&wrong)), [""; 0]);
    assert_eq!(told("NetworkPolicy", policy("10.0.0.2/8", json!([])), Some(&wrong)).len(), 1);
    let wide = policy("10.0.0.0/8", json!(["10.0.0.0/8", "11.0.0.0/16"]));
    assert_eq!(told("NetworkPolicy", wide, None).iter().filter(|why| why.ends_with("strict subset of `cidr`")).count(), 2);
}

fn ingress_with(path: Value) -> Value {
    json!({"spec": {"rules": [{"http": {"paths": [path]}}]}})
}

#[test]
fn a_path_without_a_type_is_told_that_alone() {
    let at = "spec.rules[0].http.paths[0].pathType";
    for path in [json!({"path": "/"}), json!({"path": "/", "pathType": null})] {
        assert_eq!(told("Ingress", ingress_with(path), None), [format!("{at}: Required value: pathType must be specified")]);
    }
    assert!(
        told("Ingress", ingress_with(json!({"path": "/", "pathType": ""})), None)[0]
            .starts_with(&format!("{at}: Unsupported value"))
    );
}

#[test]
fn a_new_ingress_names_one_class() {
    let made = |annotation: &str| {
        json!({
            "metadata": {"annotations": {"kubernetes.io/ingress.class": annotation}},
            "spec": {"ingressClassName": "a", "defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}},
        })
    };
    assert_eq!(told("Ingress", made("a"), None), [""; 0]);
    assert_eq!(
        told("Ingress", made("b"), None),
        ["annotations.kubernetes.io/ingress.class: Invalid value: \"b\": must match `ingressClassName` when both are specified"]
    );
    assert_eq!(told("Ingress", made("b"), Some(&made("b"))), [""; 0]);
}

#[test]
fn a_resource_that_answers_has_names_that_stand_in_a_path() {
    let backend = json!({"resource": {"apiGroup": "Bad_!", "kind": "a/b", "name": ".."}});
    let told = told("Ingress", json!({"spec": {"defaultBackend": backend}}), None);
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!(told[1], "spec.defaultBackend.resource.kind: Invalid value: \"a/b\": may not contain '/'");
    assert_eq!(told[2], "spec.defaultBackend.resource.name: Invalid value: \"..\": may not be '..'");
}

#[test]
fn where_an_ingress_is_reached_is_an_address_or_a_name() {
    let status = |ip: &str, host: &str| json!({"status": {"loadBalancer": {"ingress": [{"ip": ip, "hostname": host}]}}});
    let told = |new: Value, old: Value| {
        let mut errors = ErrorList::default();
        ingress_status(&new, &old, &mut errors);
        errors.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let at = "status.loadBalancer.ingress[0]";
    assert_eq!(told(status("1.2.3.4", "lb.example"), json!({})), [""; 0]);
    assert_eq!(
        told(status("010.1.1.1", ""), json!({})),
        [format!("{at}.ip: Invalid value: \"010.1.1.1\": must not have leading 0s")]
    );
    assert_eq!(told(status("010.1.1.1", ""), status("010.1.1.1", "")), [""; 0]);
    assert_eq!(
        told(status("", "1.2.3.4"), json!({})),
        [format!("{at}.hostname: Invalid value: \"1.2.3.4\": must be a DNS name, not an IP address")]
    );
}

#[test]
fn a_controller_is_told_by_its_parts() {
    let class = |controller: &str| told("IngressClass", json!({"spec": {"controller": controller}}), None);
    assert_eq!(class("acme.io/foo/bar"), [""; 0]);
    assert!(class("Acme.io/foo")[0].starts_with("spec.controller: Invalid value: \"Acme.io\": a lowercase RFC 1123 subdomain"));
    assert_eq!(
        class("acme.io/a b"),
        [
            "spec.controller: Invalid value: \"a b\": Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')"
        ]
    );
    assert!(class("acme.io")[0].ends_with("must be a domain-prefixed path (such as \"acme.io/foo\")"));
}
