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
    outside.refuses(422, "Invalid", "the provided IP (10.1.1.1) is not in the valid range");
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
