use serde_json::json;

use super::*;
use crate::settings::parse_resolv_conf;

fn spec(value: serde_json::Value) -> PodSpec {
    let mut value = value;
    value["containers"] = json!([]);
    serde_json::from_value(value).expect("a spec")
}

fn pod() -> PodRef {
    PodRef { namespace: "shop".to_owned(), name: "web".to_owned(), uid: "u".to_owned() }
}

fn settings() -> Settings {
    let mut settings = crate::settings::for_tests();
    settings.host_dns =
        parse_resolv_conf("# by hand\nsearch lan.example\nnameserver 192.0.2.53 ; the router\noptions timeout:2\n");
    settings
}

fn dns(value: serde_json::Value) -> Option<Dns> {
    of_pod(&pod(), &spec(value), &settings())
}

#[test]
fn a_pod_asks_the_cluster_first_and_searches_its_namespace() {
    let dns = dns(json!({})).expect("its own");
    assert_eq!(dns.servers, ["10.96.0.10"]);
    assert_eq!(dns.searches, ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "lan.example"]);
    assert_eq!(dns.options, ["ndots:5"]);
}

#[test]
fn a_pod_on_the_host_network_keeps_the_machines_names_unless_it_says_so() {
    assert_eq!(dns(json!({ "hostNetwork": true, "dnsPolicy": "ClusterFirst" })), None);
    assert_eq!(dns(json!({ "dnsPolicy": "Default" })), None);
    let with = dns(json!({ "hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet" })).expect("the cluster's");
    assert_eq!(with.servers, ["10.96.0.10"]);
}

#[test]
fn what_the_pod_says_is_added_and_overrules_options() {
    let config = json!({ "nameservers": ["9.9.9.9"], "searches": ["x.example"], "options": [{ "name": "ndots", "value": "2" }, { "name": "edns0" }] });
    let own = dns(json!({ "dnsPolicy": "None", "dnsConfig": config })).expect("its own");
    assert_eq!((own.servers, own.searches), (vec!["9.9.9.9".to_owned()], vec!["x.example".to_owned()]));
    assert_eq!(own.options, ["ndots:2", "edns0"]);
    let both = dns(json!({ "dnsPolicy": "Default", "dnsConfig": config })).expect("its own");
    assert_eq!(both.servers, ["192.0.2.53", "9.9.9.9"]);
    assert_eq!(both.options, ["timeout:2", "ndots:2", "edns0"]);
}

#[test]
fn hosts_name_the_pod_and_its_aliases() {
    let aliases = json!([{ "ip": "192.0.2.9", "hostnames": ["a", "b"] }]);
    let ips = ["10.42.0.5".to_owned(), "fd00::5".to_owned()];
    let own = spec(json!({ "hostname": "db", "subdomain": "all", "hostAliases": aliases }));
    let text = etc_hosts(&pod(), &own, &ips, &settings(), "machine");
    assert!(
        text.contains("10.42.0.5\tdb.all.shop.svc.cluster.local\tdb\nfd00::5\tdb.all.shop.svc.cluster.local\tdb\n"),
        "{text}"
    );
    assert!(text.ends_with("192.0.2.9\ta\tb\n"), "{text}");
    let host = spec(json!({ "hostNetwork": true }));
    assert_eq!(etc_hosts(&pod(), &host, &ips, &settings(), "machine\n"), "machine\n");
}
