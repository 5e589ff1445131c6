use std::sync::Arc;

use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use serde_json::{Value, json};

use super::{Plan, plan, stale};
use crate::{
    Settings,
    netlink::conntrack::Connection,
    nft::ruleset::{Ruleset, difference},
};

fn settings() -> Settings {
    Settings {
        instance: "0a1b2c".parse().expect("an id"),
        node_name: "n1".to_owned(),
        data_dir: "/nowhere".into(),
        pod_cidrs: vec!["10.42.0.0/24".parse().expect("a range"), "fd42::/64".parse().expect("a range")],
        cluster_cidrs: Vec::new(),
        service_cidrs: Vec::new(),
        uplinks: Vec::new(),
        node_addresses: Vec::new(),
        nft: "nft".into(),
    }
}

fn service(name: &str, spec: Value) -> Service {
    let mut whole = json!({ "metadata": { "namespace": "ns", "name": name }, "spec": {
        "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"], "ports": [{ "port": 80, "targetPort": 8080 }],
    } });
    for (field, value) in spec.as_object().expect("an object") {
        whole["spec"][field] = value.clone();
    }
    serde_json::from_value(whole).expect("a Service")
}

fn slice(name: &str, endpoints: Value) -> EndpointSlice {
    slice_of("IPv4", name, endpoints, json!([{ "port": 8080 }]))
}

fn slice_of(family: &str, name: &str, endpoints: Value, ports: Value) -> EndpointSlice {
    let meta = json!({ "namespace": "ns", "name": name, "labels": { "kubernetes.io/service-name": "web" } });
    let whole = json!({ "metadata": meta, "addressType": family, "endpoints": endpoints, "ports": ports });
    serde_json::from_value(whole).expect("an EndpointSlice")
}

fn planned(service: Service, slices: Vec<EndpointSlice>) -> Plan {
    let slices: Vec<_> = slices.into_iter().map(Arc::new).collect();
    plan(&[Arc::new(service)], &slices, &settings())
}

/// Frontends with their endpoints, as a table to read.
fn table(ruleset: &Ruleset) -> Vec<String> {
    let line = |front: String, chain: &str| {
        let endpoints: Vec<String> = ruleset.endpoints(chain).iter().map(ToString::to_string).collect();
        format!("{front} -> {}", endpoints.join(" "))
    };
    let services = ruleset.services.iter();
    let mut lines: Vec<_> =
        services.map(|(at, chain)| line(format!("{} {} {}", at.protocol.name(), at.address, at.port), chain)).collect();
    lines.extend(
        ruleset
            .node_ports
            .iter()
            .map(|(at, chain)| line(format!("{} node{} {}", at.protocol.name(), if at.v6 { 6 } else { 4 }, at.port), chain)),
    );
    lines
}

#[test]
fn a_service_leads_to_its_ready_endpoints() {
    let endpoints = json!([
        { "addresses": ["10.42.0.2"] },
        { "addresses": ["10.42.0.3"], "conditions": { "ready": true } },
        { "addresses": ["10.42.0.4"], "conditions": { "ready": false } },
    ]);
    let plan = planned(service("web", json!({})), vec![slice("a", endpoints)]);
    assert_eq!(table(&plan.ruleset), ["tcp 10.96.0.7 80 -> 10.42.0.2:8080 10.42.0.3:8080"]);
    assert_eq!(plan.problems, []);
}

#[test]
fn an_endpoint_in_two_slices_counts_once() {
    let one = json!([{ "addresses": ["10.42.0.2"] }]);
    let plan = planned(service("web", json!({})), vec![slice("a", one.clone()), slice("b", one)]);
    assert_eq!(table(&plan.ruleset), ["tcp 10.96.0.7 80 -> 10.42.0.2:8080"]);
}

#[test]
fn terminating_endpoints_that_still_serve_are_used_only_if_no_other_is_ready() {
    let ending = json!({ "addresses": ["10.42.0.3"], "conditions": { "ready": false, "serving": true, "terminating": true } });
    let dead = json!({ "addresses": ["10.42.0.4"], "conditions": { "ready": false, "serving": false, "terminating": true } });
    let both = json!([{ "addresses": ["10.42.0.2"] }, ending, dead]);
    let plan = planned(service("web", json!({})), vec![slice("a", both)]);
    assert_eq!(table(&plan.ruleset), ["tcp 10.96.0.7 80 -> 10.42.0.2:8080"]);
    let plan = planned(service("web", json!({})), vec![slice("a", json!([ending, dead]))]);
    assert_eq!(table(&plan.ruleset), ["tcp 10.96.0.7 80 -> 10.42.0.3:8080"]);
}

#[test]
fn publish_not_ready_addresses_counts_every_endpoint_as_ready() {
    let endpoints = json!([{ "addresses": ["10.42.0.2"], "conditions": { "ready": false } }]);
    let plan = planned(service("web", json!({ "publishNotReadyAddresses": true })), vec![slice("a", endpoints)]);
    assert_eq!(table(&plan.ruleset), ["tcp 10.96.0.7 80 -> 10.42.0.2:8080"]);
}

#[test]
fn without_endpoints_there_is_no_rule_so_that_the_base_rejects() {
    let plan = planned(service("web", json!({})), vec![]);
    assert_eq!(plan, Plan::default());
    let headless = service("web", json!({ "clusterIP": "None", "clusterIPs": ["None"] }));
    assert_eq!(planned(headless, vec![slice("a", json!([{ "addresses": ["10.42.0.2"] }]))]), Plan::default());
    let external = service("web", json!({ "type": "ExternalName", "externalName": "example.net" }));
    assert_eq!(planned(external, vec![slice("a", json!([{ "addresses": ["10.42.0.2"] }]))]), Plan::default());
}

#[test]
fn internal_traffic_policy_local_uses_this_nodes_endpoints_only() {
    let endpoints = json!([
        { "addresses": ["10.42.0.2"], "nodeName": "n1" },
        { "addresses": ["10.42.1.2"], "nodeName": "n2" },
        { "addresses": ["10.42.1.3"] },
    ]);
    let spec = json!({ "internalTrafficPolicy": "Local", "type": "NodePort", "ports": [{ "port": 80, "nodePort": 30080 }] });
    let plan = planned(service("web", spec), vec![slice("a", endpoints)]);
    assert_eq!(
        table(&plan.ruleset),
        ["tcp 10.96.0.7 80 -> 10.42.0.2:8080", "tcp node4 30080 -> 10.42.0.2:8080 10.42.1.2:8080 10.42.1.3:8080",]
    );
}

#[test]
fn ports_are_matched_by_name_and_protocol_in_each_family() {
    let spec = json!({ "clusterIPs": ["10.96.0.7", "fd96::7"], "ports": [
        { "name": "dns", "port": 53, "protocol": "UDP" }, { "name": "dns-tcp", "port": 53, "protocol": "TCP" },
    ] });
    let ports = json!([
        { "name": "dns", "port": 5353, "protocol": "UDP" }, { "name": "dns-tcp", "port": 5300, "protocol": "TCP" },
        { "name": "metrics", "port": 9153 },
    ]);
    let four = slice_of("IPv4", "a", json!([{ "addresses": ["10.42.0.2"] }]), ports.clone());
    let six = slice_of("IPv6", "b", json!([{ "addresses": ["fd42::2"] }]), ports);
    let plan = planned(service("web", spec), vec![four, six]);
    assert_eq!(
        table(&plan.ruleset),
        [
            "tcp 10.96.0.7 53 -> 10.42.0.2:5300",
            "udp 10.96.0.7 53 -> 10.42.0.2:5353",
            "tcp fd96::7 53 -> [fd42::2]:5300",
            "udp fd96::7 53 -> [fd42::2]:5353",
        ]
    );
}

#[test]
fn external_and_load_balancer_addresses_lead_to_the_same_endpoints() {
    let spec = json!({ "type": "LoadBalancer", "externalIPs": ["192.0.2.5"] });
    let mut web = service("web", spec);
    web.status = serde_json::from_value(json!({ "loadBalancer": { "ingress": [{ "ip": "192.0.2.6" }] } })).expect("a status");
    let endpoints = || vec![slice("a", json!([{ "addresses": ["10.42.0.2"] }]))];
    let plan = planned(web.clone(), endpoints());
    assert_eq!(table(&plan.ruleset).len(), 3);
    let spec = web.spec.as_mut().expect("it has one");
    spec.load_balancer_source_ranges = Some(vec!["192.0.2.0/24".to_owned()]);
    let plan = planned(web, endpoints());
    assert_eq!(table(&plan.ruleset), ["tcp 10.96.0.7 80 -> 10.42.0.2:8080", "tcp 192.0.2.5 80 -> 10.42.0.2:8080"]);
    assert_eq!(plan.problems[0].reason, "SourceRangesUnsupported");
}

#[test]
fn what_another_service_has_and_what_is_not_spoken_is_a_problem_of_that_service_alone() {
    let first = service("web", json!({ "externalIPs": ["192.0.2.5"] }));
    let mut second = service(
        "web2",
        json!({ "clusterIPs": ["10.96.0.8"], "externalIPs": ["192.0.2.5"], "ports": [
        { "port": 80 }, { "name": "s", "port": 9, "protocol": "SCTP" },
    ] }),
    );
    second.metadata.namespace = Some("ns".to_owned());
    let mut other = slice("b", json!([{ "addresses": ["10.42.0.9"] }]));
    other.metadata.labels = Some([("kubernetes.io/service-name".to_owned(), "web2".to_owned())].into());
    let slices = [slice("a", json!([{ "addresses": ["10.42.0.2"] }])), other].map(Arc::new);
    let plan = plan(&[Arc::new(first), Arc::new(second)], &slices, &settings());
    assert_eq!(
        table(&plan.ruleset),
        ["tcp 10.96.0.7 80 -> 10.42.0.2:8080", "tcp 10.96.0.8 80 -> 10.42.0.9:8080", "tcp 192.0.2.5 80 -> 10.42.0.2:8080",]
    );
    let told: Vec<String> = plan.problems.iter().map(|p| format!("{} {} {}", p.service, p.reason, p.message)).collect();
    assert_eq!(
        told,
        [
            "ns/web2 AddressTaken 192.0.2.5 port 80/tcp is not served for this Service: another has it",
            "ns/web2 ProtocolUnsupported port 9/SCTP is not served: only TCP and UDP are",
        ]
    );
}

#[test]
fn a_change_of_one_endpoint_touches_only_its_service() {
    let old = planned(service("web", json!({})), vec![slice("a", json!([{ "addresses": ["10.42.0.2"] }]))]).ruleset;
    let both = json!([{ "addresses": ["10.42.0.2"] }, { "addresses": ["10.42.0.3"] }]);
    let new = planned(service("web", json!({})), vec![slice("a", both)]).ruleset;
    assert_eq!(difference("t", &old, &old), Vec::<Value>::new());
    let verbs = |commands: Vec<Value>| -> Vec<String> {
        let verb = |command: &Value| {
            let (verb, what) = command.as_object().expect("an object").iter().next().expect("one verb");
            let (kind, body) = what.as_object().expect("an object").iter().next().expect("one kind");
            let name = body.get("name").or_else(|| body.get("chain")).and_then(Value::as_str).unwrap_or_default();
            format!("{verb} {kind} {name}")
        };
        commands.iter().map(verb).collect()
    };
    assert_eq!(
        verbs(difference("t", &old, &new)),
        [
            "add chain endpoint/ns/web/tcp/80/10.42.0.3/8080",
            "add rule endpoint/ns/web/tcp/80/10.42.0.3/8080",
            "flush chain service/ns/web/tcp/80/4",
            "add rule service/ns/web/tcp/80/4",
            "add element hairpin4",
        ]
    );
    assert_eq!(
        verbs(difference("t", &new, &old)),
        [
            "flush chain service/ns/web/tcp/80/4",
            "add rule service/ns/web/tcp/80/4",
            "delete element hairpin4",
            "flush chain endpoint/ns/web/tcp/80/10.42.0.3/8080",
            "delete chain endpoint/ns/web/tcp/80/10.42.0.3/8080",
        ]
    );
}

#[test]
fn udp_connections_to_what_serves_no_more_are_stale_and_others_are_not() {
    let spec = json!({ "type": "NodePort", "ports": [{ "port": 53, "protocol": "UDP", "nodePort": 30053 }] });
    let ports = json!([{ "port": 53, "protocol": "UDP" }]);
    let with =
        |endpoints: Value| planned(service("web", spec.clone()), vec![slice_of("IPv4", "a", endpoints, ports.clone())]).ruleset;
    let old = with(json!([{ "addresses": ["10.42.0.2"] }, { "addresses": ["10.42.0.3"] }]));
    let new = with(json!([{ "addresses": ["10.42.0.3"] }]));
    let connections = [
        ("10.96.0.7:53", "10.42.0.2:53"),       // its endpoint went
        ("10.96.0.7:53", "10.42.0.3:53"),       // stays
        ("10.96.0.7:53", "10.96.0.7:53"),       // from a time without rules
        ("192.0.2.1:30053", "10.42.0.2:53"),    // by the node port, its endpoint went
        ("192.0.2.1:30053", "10.42.0.3:53"),    // stays
        ("10.42.0.2:53", "10.42.0.2:53"),       // not through the Service
        ("192.0.2.9:30053", "192.0.2.9:30053"), // somebody else's port of that number
    ]
    .map(|(to, answers)| Connection::udp_for_test(to, answers));
    let found: Vec<usize> =
        (0..connections.len()).filter(|n| stale(&old, &new, &connections).contains(&&connections[*n])).collect();
    assert_eq!(found, [0, 2, 3]);
    let gone = stale(&new, &Ruleset::default(), &connections).len();
    assert_eq!(gone, 4, "all to the ClusterIP, and the node port's");
}
