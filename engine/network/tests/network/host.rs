//! The host's own side.
use std::{io, net::UdpSocket, time::Duration};

use irori_network::host::Finding;

use crate::world::{Host, ask_again};

const DUAL: [&str; 2] = ["10.42.0.0/24", "fd42::/64"];

#[test]
fn pods_reach_the_outside_with_their_nodes_address() {
    let (host, outside) = Host::with_outsider();
    let irori = host.irori("b00001", &DUAL);
    let prepared = irori.prepare();
    assert_eq!((prepared.mtu, prepared.findings), (1_500, Vec::new()));
    outside.serve_tcp("[::]:80", "outside");
    outside.serve_udp("0.0.0.0:53", "outside");
    let pod = irori.pod();
    assert_eq!(pod.namespace.ask_tcp("192.0.2.9:80").unwrap(), "outside ::ffff:192.0.2.1");
    assert_eq!(pod.namespace.ask_tcp("[2001:db8::9]:80").unwrap(), "outside 2001:db8::1");
    assert_eq!(pod.namespace.ask_udp("192.0.2.9:53").unwrap(), "outside 192.0.2.1");
}

#[test]
fn a_pod_cannot_speak_with_an_address_that_is_not_its_own() {
    let host = Host::new();
    let irori = host.irori("b00002", &DUAL);
    irori.prepare();
    let (liar, target) = (irori.pod(), irori.pod());
    let heard = target.namespace.run(|| UdpSocket::bind("0.0.0.0:9").unwrap());
    heard.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    liar.namespace.run(|| {
        std::process::Command::new("ip").args(["address", "add", "10.42.0.77/32", "dev", "eth0"]).status().unwrap();
        let socket = UdpSocket::bind("10.42.0.77:0").unwrap();
        socket.send_to(b"lie", "10.42.0.3:9").unwrap();
    });
    let mut buffer = [0; 16];
    let nothing = heard.recv(&mut buffer).unwrap_err();
    assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    let honest = liar.namespace.udp_to("10.42.0.3:9").unwrap();
    honest.send(b"truth").unwrap();
    assert_eq!(heard.recv(&mut buffer).unwrap(), 5);
}

#[test]
fn an_address_that_no_pod_has_and_a_service_that_is_not_there_are_refused_at_once() {
    let host = Host::new();
    let irori = host.irori("b00003", &DUAL);
    irori.prepare();
    let pod = irori.pod();
    for from in [&pod.namespace, &host.namespace] {
        for service in ["10.96.0.99:80", "[fd96::99]:80"] {
            assert_eq!(from.ask_tcp(service).unwrap_err().kind(), io::ErrorKind::ConnectionRefused, "{service}");
        }
        for nobody in ["10.42.0.200:80", "[fd42::200]:80"] {
            let kind = from.ask_tcp(nobody).unwrap_err().kind();
            assert!(matches!(kind, io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable), "{nobody}: {kind}");
        }
    }
    let datagram = pod.namespace.ask_udp("10.96.0.99:53").unwrap_err();
    assert_eq!(datagram.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn preparing_again_keeps_running_pods_connected() {
    let (host, outside) = Host::with_outsider();
    let irori = host.irori("b00004", &DUAL);
    irori.prepare();
    outside.serve_udp("0.0.0.0:53", "outside");
    let pod = irori.pod();
    let socket = pod.namespace.udp_to("192.0.2.9:53").unwrap();
    let time = Duration::from_secs(5);
    assert_eq!(ask_again(&socket, time).unwrap(), "outside 192.0.2.1");
    let (rules, links) = (host.nft(&["list", "table", "inet", "irori-b00004"]), host.namespace.links());
    irori.prepare();
    assert_eq!(ask_again(&socket, time).unwrap(), "outside 192.0.2.1");
    assert_eq!(host.nft(&["list", "table", "inet", "irori-b00004"]), rules);
    assert_eq!(host.namespace.links(), links);
}

#[test]
fn removal_leaves_nothing_behind_and_sets_switches_back() {
    let (host, _outside) = Host::with_outsider();
    let links = host.namespace.links();
    let routes = || {
        host.namespace.run(|| {
            let output = std::process::Command::new("ip").args(["route", "show", "table", "all"]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        })
    };
    let routes_before = routes();
    let switches = ["ipv4/conf/up0/forwarding", "ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv6/conf/up0/accept_ra"];
    let before: Vec<String> = switches.iter().map(|name| host.switch(name)).collect();
    let irori = host.irori("b00005", &DUAL);
    irori.prepare();
    let _pod = irori.pod();
    assert_eq!(host.switch("ipv4/conf/up0/forwarding"), "1");
    assert_eq!(host.switch("ipv4/ip_forward"), "0", "the machine as a whole does not forward");
    irori.prepare();
    irori.remove();
    irori.remove();
    assert_eq!(host.namespace.links(), links);
    assert_eq!(host.nft(&["list", "ruleset"]), "");
    assert_eq!(switches.iter().map(|name| host.switch(name)).collect::<Vec<_>>(), before);
    assert_eq!(routes(), routes_before);
}

#[test]
fn two_on_one_host_do_not_disturb_each_other() {
    let (host, outside) = Host::with_outsider();
    let one = host.irori("b00006", &DUAL);
    let two = host.irori("b00007", &["10.43.0.0/24", "fd42:0:0:1::/64"]);
    one.prepare();
    two.prepare();
    outside.serve_tcp("0.0.0.0:80", "outside");
    let (a, b) = (one.pod(), two.pod());
    assert_eq!(a.namespace.ask_tcp("192.0.2.9:80").unwrap(), "outside 192.0.2.1");
    assert_eq!(b.namespace.ask_tcp("192.0.2.9:80").unwrap(), "outside 192.0.2.1");
    let c = two.pod();
    one.remove();
    assert_eq!(b.namespace.ask_tcp("192.0.2.9:80").unwrap(), "outside 192.0.2.1");
    c.namespace.serve_tcp("0.0.0.0:80", "c");
    assert_eq!(b.namespace.ask_tcp("10.43.0.3:80").unwrap(), "c 10.43.0.2");
    assert_eq!(a.namespace.ask_tcp("192.0.2.9:80").unwrap_err().kind(), io::ErrorKind::NetworkUnreachable);
    assert!(!host.nft(&["list", "tables"]).contains("irori-b00006"));
    assert!(host.nft(&["list", "tables"]).contains("irori-b00007"));
}

#[test]
fn a_pod_range_that_another_already_has_is_refused() {
    let host = Host::new();
    let (one, two) = (host.irori("b00008", &DUAL), host.irori("b00009", &DUAL));
    one.prepare();
    let refused = two.try_prepare().unwrap_err().to_string();
    assert_eq!(
        refused,
        "set up the pod network: 10.42.0.1 is already an address of irb00008; is another Irori here? Choose another pod range"
    );
    assert!(!host.nft(&["list", "tables"]).contains("b00009"));
}

#[test]
fn a_foreign_table_that_drops_forwarded_packets_is_reported_and_left_alone() {
    let (host, _outside) = Host::with_outsider();
    host.nft(&["add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }"]);
    let before = host.nft(&["list", "table", "ip", "filter"]);
    let irori = host.irori("b0000a", &DUAL);
    let findings = irori.prepare().findings;
    assert_eq!(
        findings,
        [Finding::DropPolicy { hook: "forward".to_owned(), table: "ip filter".to_owned(), chain: "FORWARD".to_owned() }]
    );
    assert_eq!(host.nft(&["list", "table", "ip", "filter"]), before);
}
