//! The CNI plugin.
use serde_json::{Value, json};

use crate::world::{Host, Irori, Namespace};

/// How many addresses are given out.
fn leases(irori: &Irori<'_>) -> usize {
    let files = std::fs::read_dir(irori.settings.leases_dir()).unwrap();
    files.filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().parse::<u32>().is_ok()).count()
}

const DUAL: [&str; 2] = ["10.42.0.0/24", "fd42::/64"];

#[test]
fn an_attached_pod_has_one_address_of_each_family_and_talks_to_its_node_and_to_other_pods() {
    let host = Host::new();
    let irori = host.irori("a00001", &DUAL);
    irori.prepare();
    let (one, two) = (irori.pod(), irori.pod());
    assert_eq!(one.ips, ["10.42.0.2", "fd42::2"]);
    assert_eq!(two.ips, ["10.42.0.3", "fd42::3"]);
    host.namespace.serve_tcp("[::]:80", "node");
    two.namespace.serve_tcp("[::]:80", "two");
    assert_eq!(one.namespace.ask_tcp("10.42.0.1:80").unwrap(), "node ::ffff:10.42.0.2");
    assert_eq!(one.namespace.ask_tcp("[fd42::1]:80").unwrap(), "node fd42::2");
    assert_eq!(one.namespace.ask_tcp("10.42.0.3:80").unwrap(), "two ::ffff:10.42.0.2");
    assert_eq!(one.namespace.ask_tcp("[fd42::3]:80").unwrap(), "two fd42::2");
    assert_eq!(host.namespace.ask_tcp("10.42.0.3:80").unwrap(), "two ::ffff:10.42.0.1");
    assert_eq!(host.namespace.ask_tcp("[fd42::3]:80").unwrap(), "two fd42::1");
}

#[test]
fn the_result_names_interfaces_addresses_gateways_and_routes() {
    let host = Host::new();
    let irori = host.irori("a00002", &DUAL);
    irori.prepare();
    let pod = irori.pod();
    let (host_mac, pod_mac) = (host.namespace.link(&pod.host_link).unwrap(), pod.namespace.link("eth0").unwrap());
    let expected = json!({
        "cniVersion": "1.0.0",
        "interfaces": [
            { "name": "ira00002p2", "mac": host_mac.mac_text() },
            { "name": "eth0", "mac": pod_mac.mac_text(), "sandbox": pod.namespace.path() },
        ],
        "ips": [
            { "address": "10.42.0.2/32", "gateway": "10.42.0.1", "interface": 1 },
            { "address": "fd42::2/128", "gateway": "fd42::1", "interface": 1 },
        ],
        "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }],
        "dns": {},
    });
    assert_eq!(pod.result, expected);
    assert_eq!((host_mac.mtu, pod_mac.mtu), (1_450, 1_450));
}

#[test]
fn add_again_gives_the_same_addresses_and_a_working_pod() {
    let host = Host::new();
    let irori = host.irori("a00003", &DUAL);
    irori.prepare();
    let pod = irori.pod();
    let (exit, again) = irori.call("ADD", &pod.container, pod.namespace.path());
    assert_eq!((exit, &again["ips"]), (0, &pod.result["ips"]));
    host.namespace.serve_tcp("0.0.0.0:80", "node");
    assert_eq!(pod.namespace.ask_tcp("10.42.0.1:80").unwrap(), "node 10.42.0.2");
}

#[test]
fn del_succeeds_again_and_again_and_when_the_namespace_is_gone() {
    let host = Host::new();
    let irori = host.irori("a00004", &DUAL);
    irori.prepare();
    let before = host.namespace.links();
    let (one, two) = (irori.pod(), irori.pod());
    irori.delete(&one);
    irori.delete(&one);
    assert!(one.namespace.link("eth0").is_none());
    assert_eq!(irori.call("DEL", &two.container, "/run/netns/never-was"), (0, Value::Null));
    assert_eq!(irori.call("DEL", "never-added", ""), (0, Value::Null));
    assert_eq!(host.namespace.links(), before);
    assert_eq!(leases(&irori), 0);
}

#[test]
fn a_failed_add_says_why_and_leaves_nothing() {
    let host = Host::new();
    let irori = host.irori("a00005", &DUAL);
    irori.prepare();
    let before = host.namespace.links();
    let (exit, error) = irori.call("ADD", "c", "/run/netns/never-was");
    assert_eq!((exit, &error["code"]), (1, &json!(3)));
    assert_eq!(error["msg"], "enter the network namespace /run/netns/never-was");
    let occupied = Namespace::new();
    irori.call("ADD", "c1", occupied.path());
    let (exit, error) = irori.call("ADD", "c2", occupied.path());
    assert_eq!((exit, &error["code"]), (1, &json!(101)), "eth0 is there already: {error}");
    assert_eq!(leases(&irori), 1, "only of the one that is attached");
    irori.call("DEL", "c1", occupied.path());
    assert_eq!(host.namespace.links(), before);
}

#[test]
fn check_notices_what_was_changed_behind_our_back() {
    let host = Host::new();
    let irori = host.irori("a00006", &DUAL);
    irori.prepare();
    let pod = irori.pod();
    assert_eq!(irori.call("CHECK", &pod.container, pod.namespace.path()), (0, Value::Null));
    pod.namespace.run(|| {
        std::fs::write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "1").unwrap();
    });
    let (exit, error) = irori.call("CHECK", &pod.container, pod.namespace.path());
    assert_eq!((exit, &error["code"]), (1, &json!(102)));
    assert_eq!(error["msg"], "find address fd42::2 in the pod");
    let (_, error) = irori.call("CHECK", "never-added", pod.namespace.path());
    assert_eq!(error["code"], 3);
}

#[test]
fn version_lists_what_is_spoken_and_others_are_refused() {
    let host = Host::new();
    let irori = host.irori("a00007", &DUAL);
    let asked = json!({ "cniVersion": "0.4.0" });
    let (exit, answer) = irori.call_with("VERSION", "", "", &asked);
    assert_eq!((exit, answer), (0, json!({ "cniVersion": "0.4.0", "supportedVersions": ["0.3.1", "0.4.0", "1.0.0"] })));
    let old = json!({ "cniVersion": "0.2.0", "name": "x", "type": "irori-cni" });
    let (exit, error) = irori.call_with("ADD", "c", "/x", &old);
    assert_eq!((exit, &error["code"]), (1, &json!(1)));
    for (command, config, code) in [
        ("ADD", json!({ "cniVersion": "1.0.0", "name": "x", "type": "bridge" }), 7),
        ("ADD", json!({ "cniVersion": "1.0.0", "name": "x", "type": "irori-cni" }), 7),
        ("ADD", json!(["no object"]), 6),
        ("SING", json!({}), 4),
        ("ADD", json!({ "cniVersion": "1.0.0", "type": "loopback" }), 4),
    ] {
        let (exit, error) = irori.call_with(command, "", "", &config);
        assert_eq!((exit, &error["code"]), (1, &json!(code)), "{command} {config}: {error}");
    }
}

#[test]
fn cni_0_4_0_results_name_the_family_of_each_address() {
    let host = Host::new();
    let irori = host.irori("a00008", &DUAL);
    irori.prepare();
    let namespace = Namespace::new();
    let mut config = irori_network::cni::conflist(&irori.settings, 1_500)["plugins"][0].clone();
    config["cniVersion"] = "0.4.0".into();
    let (exit, result) = irori.call_with("ADD", "c", namespace.path(), &config);
    assert_eq!(exit, 0, "{result}");
    assert_eq!((&result["ips"][0]["version"], &result["ips"][1]["version"]), (&json!("4"), &json!("6")));
}

#[test]
fn the_loopback_plugin_sets_lo_up() {
    let host = Host::new();
    let irori = host.irori("a00009", &DUAL);
    let pod = Namespace::new();
    pod.run(|| {
        let down = std::process::Command::new("ip").args(["link", "set", "lo", "down"]).status().unwrap();
        assert!(down.success());
    });
    let config = json!({ "cniVersion": "1.0.0", "name": "cni-loopback", "type": "loopback" });
    let (exit, result) = irori.call_with("ADD", "c", pod.path(), &config);
    assert_eq!((exit, &result["ips"][0]["address"]), (0, &json!("127.0.0.1/8")));
    assert!(pod.link("lo").unwrap().up);
    assert_eq!(irori.call_with("DEL", "c", pod.path(), &config), (0, Value::Null));
}
