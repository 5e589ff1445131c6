//! Routes between nodes.
use irori_network::nodes::{self, NodesPlan};
use k8s_openapi::api::core::v1::Node;
use serde_json::json;

use crate::world::{Host, Irori, connect};

fn node(name: &str, ranges: &[&str], addresses: &[&str]) -> Node {
    let addresses = addresses.iter().map(|ip| json!({ "type": "InternalIP", "address": ip })).collect::<Vec<_>>();
    let node = json!({
        "metadata": { "name": name }, "spec": { "podCIDRs": ranges }, "status": { "addresses": addresses },
    });
    serde_json::from_value(node).unwrap()
}

fn apply(irori: &Irori<'_>, others: &[Node]) -> NodesPlan {
    irori.host.namespace.run(|| {
        let plan = nodes::plan(others, &nodes::addresses().unwrap(), &irori.settings);
        nodes::apply(&plan, &irori.settings).unwrap();
        plan
    })
}

#[test]
fn pods_of_two_nodes_on_one_network_reach_each_other_with_their_own_addresses() {
    let (left, right) = (Host::new(), Host::new());
    connect(
        &left.namespace,
        "up0",
        &["192.0.2.1/24", "2001:db8::1/64"],
        &right.namespace,
        "up0",
        &["192.0.2.2/24", "2001:db8::2/64"],
    );
    let (mut one, mut two) =
        (left.irori("e00001", &["10.42.0.0/24", "fd42::/64"]), right.irori("e00001", &["10.42.1.0/24", "fd42:0:0:1::/64"]));
    two.settings.node_name = "n2".to_owned();
    one.settings.node_addresses = vec!["192.0.2.1".parse().unwrap()];
    two.settings.node_addresses = vec!["192.0.2.2".parse().unwrap()];
    one.prepare();
    two.prepare();
    let known = [
        node("n1", &["10.42.0.0/24", "fd42::/64"], &["192.0.2.1", "2001:db8::1"]),
        node("n2", &["10.42.1.0/24", "fd42:0:0:1::/64"], &["192.0.2.2", "2001:db8::2"]),
    ];
    assert_eq!(apply(&one, &known).routes.len(), 2);
    apply(&two, &known);
    let (a, b) = (one.pod(), two.pod());
    b.namespace.serve_tcp("[::]:80", "b");
    assert_eq!(a.namespace.ask_tcp("10.42.1.2:80").unwrap(), "b ::ffff:10.42.0.2");
    assert_eq!(a.namespace.ask_tcp("[fd42:0:0:1::2]:80").unwrap(), "b fd42::2");
    assert_eq!(left.namespace.ask_tcp("10.42.1.2:80").unwrap(), "b ::ffff:10.42.0.1", "the node itself, too");
    apply(&one, &known[..1]);
    assert!(a.namespace.ask_tcp("10.42.1.2:80").is_err(), "the other node is gone");
    one.remove();
    two.remove();
    let routes = right.namespace.run(|| std::process::Command::new("ip").args(["route"]).output().unwrap().stdout);
    assert!(!String::from_utf8(routes).unwrap().contains("10.42."));
}

#[test]
fn a_node_that_is_not_on_our_networks_is_named_with_the_reason() {
    let (host, _outside) = Host::with_outsider();
    let irori = host.irori("e00002", &["10.42.0.0/24"]);
    irori.prepare();
    let far = node("far", &["10.42.1.0/24"], &["198.51.100.7"]);
    let overlapping = node("twin", &["10.42.0.0/25"], &["192.0.2.9"]);
    let plan = apply(&irori, &[far, overlapping]);
    assert_eq!(plan.routes, []);
    assert_eq!(
        plan.unreached,
        [
            "node far: none of its addresses (198.51.100.7) is on a network of this node, and tunnels are not implemented",
            "node twin: its pod range 10.42.0.0/25 overlaps this node's 10.42.0.0/24",
        ]
    );
}
