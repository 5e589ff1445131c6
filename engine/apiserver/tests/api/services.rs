//! Addresses and ports of Services.
use std::collections::HashSet;

use irori_apiserver::Cidr;
use serde_json::{Value, json};

use crate::harness::*;

const SERVICES: &str = "/api/v1/namespaces/default/services";
const ADDRESSES: &str = "/apis/networking.k8s.io/v1/ipaddresses";

fn service(name: &str, more: Value) -> Value {
    let mut spec = json!({"ports": [{"port": 80}], "selector": {"app": "a"}});
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    json!({"metadata": {"name": name}, "spec": spec})
}

fn two_families() -> Vec<Cidr> {
    vec![Cidr { address: "10.96.0.0".parse().unwrap(), bits: 12 }, Cidr { address: "fd00::".parse().unwrap(), bits: 112 }]
}

#[tokio::test]
async fn a_service_gets_an_address_that_nobody_else_has_and_gives_it_back() {
    let api = Api::start().await;
    let admin = api.admin();
    let made = admin.post(SERVICES, service("a", json!({}))).await.expect(201);
    let address = made["spec"]["clusterIP"].as_str().unwrap().to_owned();
    assert_eq!(made["spec"]["clusterIPs"], json!([address]));
    assert_eq!((&made["spec"]["ipFamilies"], &made["spec"]["ipFamilyPolicy"]), (&json!(["IPv4"]), &json!("SingleStack")));
    let object = admin.get(&format!("{ADDRESSES}/{address}")).await.expect(200);
    assert_eq!(object["spec"]["parentRef"]["name"], "a");
    let taken = admin.post(SERVICES, service("b", json!({"clusterIP": address}))).await;
    taken.refuses(422, "Invalid", "provided IP is already allocated");
    let outside = admin.post(SERVICES, service("b", json!({"clusterIP": "10.1.1.1"}))).await;
    outside.refuses(422, "Invalid", "failed to allocate IP 10.1.1.1: the provided network does not match the current range");
    admin.delete(&format!("{SERVICES}/a")).await.expect(200);
    admin.get(&format!("{ADDRESSES}/{address}")).await.refuses(404, "NotFound", "");
    admin.post(SERVICES, service("b", json!({"clusterIP": address}))).await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_made_at_once_share_neither_address_nor_port() {
    let api = Api::with(|s| {
        s.service_cidrs = vec![Cidr { address: "10.96.0.0".parse().unwrap(), bits: 26 }];
        s.node_ports = (30_000, 30_039);
    })
    .await;
    let made = (0..40).map(|n| {
        let admin = api.admin();
        async move { admin.post(SERVICES, service(&format!("s{n}"), json!({"type": "NodePort"}))).await.expect(201) }
    });
    let made = futures::future::join_all(made).await;
    let addresses: HashSet<String> = made.iter().map(|s| s["spec"]["clusterIP"].to_string()).collect();
    let ports: HashSet<i64> = made.iter().map(|s| s["spec"]["ports"][0]["nodePort"].as_i64().unwrap()).collect();
    assert_eq!((addresses.len(), ports.len()), (40, 40));
    let full = api.admin().post(SERVICES, service("more", json!({"type": "NodePort"}))).await;
    full.refuses(500, "InternalError", "failed to allocate a nodePort: range is full");
    api.admin().delete(&format!("{SERVICES}/s7")).await.expect(200);
    api.admin().post(SERVICES, service("more", json!({"type": "NodePort"}))).await.expect(201);
}

#[tokio::test]
async fn a_service_that_changes_its_type_takes_and_gives_back() {
    let api = Api::start().await;
    let admin = api.admin();
    admin.post(SERVICES, service("s", json!({"type": "NodePort"}))).await.expect(201);
    let path = format!("{SERVICES}/s");
    let plain = admin.merge(&path, json!({"spec": {"type": "ClusterIP"}})).await.expect(200);
    assert!(plain["spec"]["ports"][0].get("nodePort").is_none());
    let external = admin.merge(&path, json!({"spec": {"type": "ExternalName", "externalName": "a.example"}})).await.expect(200);
    assert!(external["spec"].get("clusterIP").is_none() && external["spec"].get("clusterIPs").is_none());
    assert_eq!(admin.get(ADDRESSES).await.expect(200)["items"], json!([]));
    let back = admin.merge(&path, json!({"spec": {"type": "ClusterIP", "externalName": null}})).await.expect(200);
    assert!(back["spec"]["clusterIP"].as_str().unwrap().starts_with("10."));
}

#[tokio::test]
async fn headless_services_have_no_address() {
    let api = Api::start().await;
    let made = api.admin().post(SERVICES, service("h", json!({"clusterIP": "None"}))).await.expect(201);
    assert_eq!((&made["spec"]["clusterIP"], &made["spec"]["clusterIPs"]), (&json!("None"), &json!(["None"])));
    assert_eq!(api.admin().get(ADDRESSES).await.expect(200)["items"], json!([]));
}

#[tokio::test]
async fn both_families_are_given_where_both_are_there() {
    let api = Api::with(|s| s.service_cidrs = two_families()).await;
    let admin = api.admin();
    let one = admin.post(SERVICES, service("one", json!({}))).await.expect(201);
    assert_eq!(one["spec"]["ipFamilies"], json!(["IPv4"]));
    let both = admin.post(SERVICES, service("both", json!({"ipFamilyPolicy": "PreferDualStack"}))).await.expect(201);
    assert_eq!(both["spec"]["ipFamilies"], json!(["IPv4", "IPv6"]));
    assert!(both["spec"]["clusterIPs"][1].as_str().unwrap().starts_with("fd00::"));
    let single = Api::start().await;
    let refused = single.admin().post(SERVICES, service("x", json!({"ipFamilyPolicy": "RequireDualStack"}))).await;
    refused.refuses(422, "Invalid", "this cluster is not configured for dual-stack services");
}

#[tokio::test]
async fn a_node_port_may_be_chosen_within_its_range_once() {
    let api = Api::start().await;
    let admin = api.admin();
    let with = |port: u16| json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]});
    admin.post(SERVICES, service("a", with(30_080))).await.expect(201);
    admin.post(SERVICES, service("b", with(30_080))).await.refuses(422, "Invalid", "provided port is already allocated");
    admin.post(SERVICES, service("b", with(80))).await.refuses(422, "Invalid", "The range of valid ports is 30000-32767");
}

#[tokio::test]
async fn a_dry_run_asks_who_has_a_port_or_address_and_nothing_more() {
    let api = Api::start().await;
    let admin = api.admin();
    let dry = format!("{SERVICES}?dryRun=All");
    let port = |port: i64| json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]});
    for given in [1, 70_000, -1] {
        let made = admin.post(&dry, service("a", port(given))).await.expect(201);
        assert_eq!(made["spec"]["ports"][0]["nodePort"], given);
        let refused = admin.post(SERVICES, service("a", port(given))).await;
        refused.refuses(
            422,
            "Invalid",
            &format!("spec.ports[0].nodePort: Invalid value: {given}: provided port is not in the valid range"),
        );
    }
    let held = admin.post(SERVICES, service("a", port(30_080))).await.expect(201);
    admin.post(&dry, service("b", port(30_080))).await.refuses(422, "Invalid", "provided port is already allocated");
    admin.post(&dry, service("b", json!({"clusterIP": held["spec"]["clusterIP"]}))).await.expect(201);
    let outside = admin.post(&dry, service("b", json!({"clusterIP": "10.1.1.1"}))).await;
    outside.refuses(422, "Invalid", "the provided IP (10.1.1.1) is not in the valid range");
    let health = service("h", json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 1}));
    admin.post(&dry, health.clone()).await.expect(201);
    let why = "failed to allocate requested HealthCheck NodePort 1: provided port is not in the valid range";
    admin.post(SERVICES, health).await.refuses(500, "InternalError", why);
}

#[tokio::test]
async fn ports_of_one_number_share_a_node_port_and_others_do_not() {
    let api = Api::start().await;
    let admin = api.admin();
    let ports = |second: Value| {
        let mut ports =
            json!([{"name": "a", "port": 53, "protocol": "TCP", "nodePort": 30_053}, {"name": "b", "protocol": "UDP"}]);
        ports[1].as_object_mut().unwrap().extend(second.as_object().unwrap().clone());
        json!({"type": "NodePort", "ports": ports})
    };
    let made = admin.post(SERVICES, service("a", ports(json!({"port": 53})))).await.expect(201);
    assert_eq!(made["spec"]["ports"][1]["nodePort"], 30_053);
    admin.delete(&format!("{SERVICES}/a")).await.expect(200);
    let twice = admin.post(SERVICES, service("b", ports(json!({"port": 54, "nodePort": 30_053})))).await;
    twice.refuses(422, "Invalid", "spec.ports[1].nodePort: Invalid value: 30053: provided port is already allocated");
}

#[tokio::test]
async fn families_fit_the_policy_and_the_cluster() {
    let api = Api::start().await;
    let admin = api.admin();
    for (more, why) in [
        (
            json!({"ipFamilies": ["IPv4", "IPv6"]}),
            "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified",
        ),
        (
            json!({"clusterIP": "fd00::1"}),
            "spec.clusterIPs[0]: Invalid value: [\"fd00::1\"]: IPv6 is not configured on this cluster",
        ),
        (json!({"ipFamilies": ["IPv6"]}), "spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster"),
        (json!({"clusterIP": "1.2.3.4"}), "spec.clusterIPs: Invalid value: [\"1.2.3.4\"]: failed to allocate IP 1.2.3.4"),
    ] {
        admin.post(SERVICES, service("s", more)).await.refuses(422, "Invalid", why);
    }
    let dual = Api::with(|s| s.service_cidrs = two_families()).await;
    let admin = dual.admin();
    let both = admin.post(SERVICES, service("both", json!({"ipFamilyPolicy": "RequireDualStack"}))).await.expect(201);
    assert_eq!(both["spec"]["clusterIPs"].as_array().unwrap().len(), 2);
    let path = format!("{SERVICES}/both");
    let kept = admin.merge(&path, json!({"spec": {"ipFamilyPolicy": null}})).await.expect(200);
    assert_eq!(kept["spec"]["ipFamilyPolicy"], "RequireDualStack", "what is left out stays");
    let first = json!([both["spec"]["clusterIPs"][0]]);
    let refused = admin.merge(&path, json!({"spec": {"clusterIPs": first}})).await;
    refused.refuses(422, "Invalid", "must be 'SingleStack' to release the secondary cluster IP");
    let one = admin.merge(&path, json!({"spec": {"ipFamilyPolicy": "SingleStack"}})).await.expect(200);
    assert_eq!((&one["spec"]["clusterIPs"], &one["spec"]["ipFamilies"]), (&first, &json!(["IPv4"])));
    assert_eq!(admin.get(ADDRESSES).await.expect(200)["items"].as_array().unwrap().len(), 1, "the second is given back");
}
