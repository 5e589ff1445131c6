//! Services in the kernel.
use std::{collections::BTreeSet, io, sync::Arc, time::Duration};

use irori_network::services::{Kernel, plan};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use serde_json::{Value, json};

use crate::world::{Host, Irori, ask_again};

const DUAL: [&str; 2] = ["10.42.0.0/24", "fd42::/64"];

/// Services and their endpoints as they would come from the API.
#[derive(Default)]
struct Wanted {
    services: Vec<Arc<Service>>,
    slices: Vec<Arc<EndpointSlice>>,
}

impl Wanted {
    /// A Service `web` on 10.96.0.7 and fd96::7, TCP 80 and UDP 53, with endpoints on the same ports.
    fn web(endpoints: &[&str]) -> Self {
        Self::default().with("web", json!({}), endpoints)
    }

    fn with(mut self, name: &str, extra: Value, endpoints: &[&str]) -> Self {
        let mut spec = json!({ "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7", "fd96::7"], "ports": [
            { "name": "http", "port": 80 }, { "name": "dns", "port": 53, "protocol": "UDP" },
        ] });
        for (field, value) in extra.as_object().unwrap() {
            spec[field] = value.clone();
        }
        let service = json!({ "metadata": { "namespace": "ns", "name": name }, "spec": spec });
        self.services.push(Arc::new(serde_json::from_value(service).unwrap()));
        for family in ["IPv4", "IPv6"] {
            let of_family = endpoints.iter().filter(|e| e.contains(':') == (family == "IPv6"));
            let slice = json!({
                "metadata": { "namespace": "ns", "name": family, "labels": { "kubernetes.io/service-name": name } },
                "addressType": family,
                "endpoints": of_family.map(|e| json!({ "addresses": [e], "nodeName": "n1" })).collect::<Vec<_>>(),
                "ports": [{ "name": "http", "port": 80 }, { "name": "dns", "port": 53, "protocol": "UDP" }],
            });
            self.slices.push(Arc::new(serde_json::from_value(slice).unwrap()));
        }
        self
    }
}

fn apply(irori: &Irori<'_>, kernel: &Kernel, wanted: &Wanted) {
    let plan = plan(&wanted.services, &wanted.slices, &irori.settings);
    assert_eq!(plan.problems, []);
    irori.host.block_on(kernel.apply(&irori.settings, plan.ruleset)).unwrap();
}

fn refused(result: io::Result<String>) -> bool {
    result.is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
}

#[test]
fn pods_and_the_node_reach_a_service_by_tcp_and_udp_in_both_families() {
    let host = Host::new();
    let irori = host.irori("c00001", &DUAL);
    irori.prepare();
    let (client, server) = (irori.pod(), irori.pod());
    server.namespace.serve_tcp("[::]:80", "server");
    server.namespace.serve_udp("0.0.0.0:53", "server");
    server.namespace.serve_udp(&format!("[{}]:53", server.v6()), "server");
    let kernel = Kernel::new(&irori.settings);
    apply(&irori, &kernel, &Wanted::web(&[server.v4(), server.v6()]));
    assert_eq!(client.namespace.ask_tcp("10.96.0.7:80").unwrap(), "server ::ffff:10.42.0.2");
    assert_eq!(client.namespace.ask_tcp("[fd96::7]:80").unwrap(), "server fd42::2");
    assert_eq!(client.namespace.ask_udp("10.96.0.7:53").unwrap(), "server 10.42.0.2");
    assert_eq!(client.namespace.ask_udp("[fd96::7]:53").unwrap(), "server fd42::2");
    assert_eq!(host.namespace.ask_tcp("10.96.0.7:80").unwrap(), "server ::ffff:10.42.0.1");
    assert_eq!(host.namespace.ask_tcp("[fd96::7]:80").unwrap(), "server fd42::1");
    assert_eq!(host.namespace.ask_udp("10.96.0.7:53").unwrap(), "server 10.42.0.1");
    assert!(refused(client.namespace.ask_tcp("10.96.0.7:81")), "a port that the Service does not have");
}

#[test]
fn a_pod_reaches_itself_through_its_service() {
    let host = Host::new();
    let irori = host.irori("c00002", &DUAL);
    irori.prepare();
    let pod = irori.pod();
    pod.namespace.serve_tcp("[::]:80", "me");
    pod.namespace.serve_udp("0.0.0.0:53", "me");
    let kernel = Kernel::new(&irori.settings);
    apply(&irori, &kernel, &Wanted::web(&[pod.v4(), pod.v6()]));
    assert_eq!(pod.namespace.ask_tcp("10.96.0.7:80").unwrap(), "me ::ffff:10.42.0.1");
    assert!(pod.namespace.ask_tcp("[fd96::7]:80").unwrap().starts_with("me "));
    assert_eq!(pod.namespace.ask_udp("10.96.0.7:53").unwrap(), "me 10.42.0.1");
}

#[test]
fn a_service_whose_endpoint_is_the_node_itself_is_reached_from_pods_and_from_the_node() {
    let host = Host::new();
    let irori = host.irori("c00003", &DUAL);
    irori.prepare();
    let pod = irori.pod();
    host.namespace.serve_tcp("0.0.0.0:80", "node");
    let kernel = Kernel::new(&irori.settings);
    apply(&irori, &kernel, &Wanted::web(&["10.42.0.1"]));
    assert_eq!(pod.namespace.ask_tcp("10.96.0.7:80").unwrap(), "node 10.42.0.2");
    assert_eq!(host.namespace.ask_tcp("10.96.0.7:80").unwrap(), "node 10.42.0.1");
}

#[test]
fn without_endpoints_clients_are_refused_at_once_and_served_as_soon_as_there_is_one() {
    let host = Host::new();
    let irori = host.irori("c00004", &DUAL);
    irori.prepare();
    let (client, server) = (irori.pod(), irori.pod());
    server.namespace.serve_tcp("0.0.0.0:80", "server");
    let kernel = Kernel::new(&irori.settings);
    apply(&irori, &kernel, &Wanted::web(&[]));
    assert!(refused(client.namespace.ask_tcp("10.96.0.7:80")));
    assert!(refused(client.namespace.ask_udp("10.96.0.7:53")));
    assert!(refused(host.namespace.ask_tcp("10.96.0.7:80")));
    apply(&irori, &kernel, &Wanted::web(&[server.v4()]));
    assert_eq!(client.namespace.ask_tcp("10.96.0.7:80").unwrap(), "server 10.42.0.2");
    apply(&irori, &kernel, &Wanted::default());
    assert!(refused(client.namespace.ask_tcp("10.96.0.7:80")));
}

#[test]
fn connections_are_spread_over_all_endpoints() {
    let host = Host::new();
    let irori = host.irori("c00005", &DUAL);
    irori.prepare();
    let (client, one, two) = (irori.pod(), irori.pod(), irori.pod());
    one.namespace.serve_tcp("0.0.0.0:80", "one");
    two.namespace.serve_tcp("0.0.0.0:80", "two");
    let kernel = Kernel::new(&irori.settings);
    apply(&irori, &kernel, &Wanted::web(&[one.v4(), two.v4()]));
    let answers = (0..60).map(|_| client.namespace.ask_tcp("10.96.0.7:80").unwrap());
    let seen: BTreeSet<String> = answers.collect();
    assert_eq!(seen, ["one 10.42.0.2".to_owned(), "two 10.42.0.2".to_owned()].into()); // missed by chance once in 2^59
}

#[test]
fn with_session_affinity_a_client_stays_with_its_endpoint() {
    let host = Host::new();
    let irori = host.irori("c00006", &DUAL);
    irori.prepare();
    let (client, one, two) = (irori.pod(), irori.pod(), irori.pod());
    one.namespace.serve_tcp("0.0.0.0:80", "one");
    two.namespace.serve_tcp("0.0.0.0:80", "two");
    let kernel = Kernel::new(&irori.settings);
    let sticky = |endpoints: &[&str]| Wanted::default().with("web", json!({ "sessionAffinity": "ClientIP" }), endpoints);
    apply(&irori, &kernel, &sticky(&[one.v4(), two.v4()]));
    let seen: BTreeSet<String> = (0..60).map(|_| client.namespace.ask_tcp("10.96.0.7:80").unwrap()).collect();
    assert_eq!(seen.len(), 1, "{seen:?}");
    let other = if seen.contains("one 10.42.0.2") { (&two, "two 10.42.0.2") } else { (&one, "one 10.42.0.2") };
    apply(&irori, &kernel, &sticky(&[other.0.v4()]));
    assert_eq!(client.namespace.ask_tcp("10.96.0.7:80").unwrap(), other.1, "its endpoint went, so it gets another");
}

#[test]
fn a_udp_client_that_keeps_sending_follows_when_its_endpoint_goes() {
    let host = Host::new();
    let irori = host.irori("c00007", &DUAL);
    irori.prepare();
    let (client, one, two) = (irori.pod(), irori.pod(), irori.pod());
    one.namespace.serve_udp("0.0.0.0:53", "one");
    two.namespace.serve_udp("0.0.0.0:53", "two");
    let kernel = Kernel::new(&irori.settings);
    apply(&irori, &kernel, &Wanted::web(&[one.v4()]));
    let socket = client.namespace.udp_to("10.96.0.7:53").unwrap();
    let time = Duration::from_secs(5);
    assert_eq!(ask_again(&socket, time).unwrap(), "one 10.42.0.2");
    apply(&irori, &kernel, &Wanted::web(&[two.v4()]));
    assert_eq!(ask_again(&socket, time).unwrap(), "two 10.42.0.2");
}

#[test]
fn node_ports_and_external_addresses_serve_outsiders_with_their_own_address() {
    let (host, outside) = Host::with_outsider();
    let irori = host.irori("c00008", &DUAL);
    irori.prepare();
    let pod = irori.pod();
    pod.namespace.serve_tcp("[::]:80", "pod");
    let kernel = Kernel::new(&irori.settings);
    let spec =
        json!({ "type": "NodePort", "externalIPs": ["192.0.2.1"], "ports": [{ "name": "http", "port": 80, "nodePort": 30080 }] });
    apply(&irori, &kernel, &Wanted::default().with("web", spec, &[pod.v4(), pod.v6()]));
    assert_eq!(outside.ask_tcp("192.0.2.1:30080").unwrap(), "pod ::ffff:192.0.2.9");
    assert_eq!(outside.ask_tcp("[2001:db8::1]:30080").unwrap(), "pod 2001:db8::9");
    assert_eq!(outside.ask_tcp("192.0.2.1:80").unwrap(), "pod ::ffff:192.0.2.9");
    assert_eq!(host.namespace.ask_tcp("192.0.2.1:30080").unwrap(), "pod ::ffff:192.0.2.1");
    assert!(refused(host.namespace.ask_tcp("127.0.0.1:30080")), "not on loopback");
}

#[test]
fn a_new_process_takes_over_the_rules_without_refusing_anybody() {
    let host = Host::new();
    let irori = host.irori("c00009", &DUAL);
    irori.prepare();
    let (client, server) = (irori.pod(), irori.pod());
    server.namespace.serve_tcp("0.0.0.0:80", "server");
    let wanted = Wanted::web(&[server.v4()]);
    apply(&irori, &Kernel::new(&irori.settings), &wanted);
    irori.prepare();
    assert_eq!(client.namespace.ask_tcp("10.96.0.7:80").unwrap(), "server 10.42.0.2", "prepared, not yet synced");
    let before = host.nft(&["list", "table", "inet", "irori-c00009"]);
    apply(&irori, &Kernel::new(&irori.settings), &wanted);
    assert_eq!(host.nft(&["list", "table", "inet", "irori-c00009"]), before);
}

#[test]
fn rules_that_somebody_removed_are_written_again_with_the_next_change() {
    let host = Host::new();
    let irori = host.irori("c0000a", &DUAL);
    irori.prepare();
    let (client, server) = (irori.pod(), irori.pod());
    server.namespace.serve_tcp("0.0.0.0:80", "server");
    let kernel = Kernel::new(&irori.settings);
    apply(&irori, &kernel, &Wanted::web(&["10.42.0.77"]));
    host.nft(&["delete", "table", "inet", "irori-c0000a"]);
    apply(&irori, &kernel, &Wanted::web(&[server.v4()]));
    assert_eq!(client.namespace.ask_tcp("10.96.0.7:80").unwrap(), "server 10.42.0.2");
}

#[test]
fn services_of_two_instances_on_one_host_do_not_disturb_each_other() {
    let host = Host::new();
    let (one, two) = (host.irori("c0000b", &DUAL), host.irori("c0000c", &["10.43.0.0/24"]));
    one.prepare();
    two.prepare();
    let (a, b) = (one.pod(), two.pod());
    a.namespace.serve_tcp("0.0.0.0:80", "a");
    b.namespace.serve_tcp("0.0.0.0:80", "b");
    let (first, second) = (Kernel::new(&one.settings), Kernel::new(&two.settings));
    apply(&one, &first, &Wanted::web(&[a.v4()]));
    let other = json!({ "clusterIP": "10.97.0.7", "clusterIPs": ["10.97.0.7"] });
    apply(&two, &second, &Wanted::default().with("web", other, &[b.v4()]));
    assert!(a.namespace.ask_tcp("10.96.0.7:80").unwrap().starts_with("a "));
    assert!(b.namespace.ask_tcp("10.97.0.7:80").unwrap().starts_with("b "));
    one.remove();
    assert!(b.namespace.ask_tcp("10.97.0.7:80").unwrap().starts_with("b "));
    assert!(host.namespace.ask_tcp("10.97.0.7:80").unwrap().starts_with("b "));
}

#[test]
fn a_thousand_services_are_written_in_one_transaction_and_removed_again() {
    let host = Host::new();
    let irori = host.irori("c0000d", &DUAL);
    irori.prepare();
    let empty = host.nft(&["list", "table", "inet", "irori-c0000d"]);
    let mut wanted = Wanted::default();
    for n in 0..1_000 {
        let ip = format!("10.96.{}.{}", 1 + n / 250, 1 + n % 250);
        wanted = wanted.with(&format!("s{n}"), json!({ "clusterIP": ip, "clusterIPs": [ip] }), &["10.42.0.9", "10.42.0.8"]);
    }
    let kernel = Kernel::new(&irori.settings);
    apply(&irori, &kernel, &wanted);
    assert!(host.nft(&["list", "table", "inet", "irori-c0000d"]).contains("10.96.4.250 . tcp . 80"));
    apply(&irori, &kernel, &Wanted::default());
    assert_eq!(host.nft(&["list", "table", "inet", "irori-c0000d"]), empty);
}
