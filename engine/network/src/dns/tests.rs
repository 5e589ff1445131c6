use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{CNAME, SOA},
    },
};
use irori_runtime::{Shutdown, Tasks};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    time::{Instant, timeout},
};

use super::{
    Directory, DnsSettings, Upstreams,
    cache::{Cache, Reply},
    question::{Read, read},
    run,
};

/// A cluster that a test wrote down.
#[derive(Clone, Default)]
struct Written {
    incomplete: bool,
    services: Vec<Arc<Service>>,
    slices: Vec<Arc<EndpointSlice>>,
}

impl Written {
    fn with(mut self, name: &str, spec: Value) -> Self {
        let whole = json!({ "metadata": { "namespace": "shop", "name": name }, "spec": spec });
        self.services.push(Arc::new(serde_json::from_value(whole).expect("a Service")));
        self
    }

    fn endpoints(mut self, service: &str, endpoints: Value) -> Self {
        let v6 = endpoints.to_string().contains("fd42");
        let whole = json!({
            "metadata": { "namespace": "shop", "name": service, "labels": { "kubernetes.io/service-name": service } },
            "addressType": if v6 { "IPv6" } else { "IPv4" }, "endpoints": endpoints,
            "ports": [{ "name": "http", "port": 8080 }],
        });
        self.slices.push(Arc::new(serde_json::from_value(whole).expect("an EndpointSlice")));
        self
    }

    /// What most tests ask about.
    fn shop() -> Self {
        let ports = json!([{ "name": "http", "port": 80 }, { "name": "dns", "port": 53, "protocol": "UDP" }]);
        let headless = json!([
            { "addresses": ["10.42.0.2"], "hostname": "db-0" },
            { "addresses": ["10.42.0.3"] },
            { "addresses": ["10.42.0.4"], "hostname": "db-2", "conditions": { "ready": false } },
        ]);
        Self::default()
            .with("web", json!({ "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7", "fd96::7"], "ports": ports }))
            .with("v4", json!({ "clusterIP": "10.96.0.8", "ports": [] }))
            .with("db", json!({ "clusterIP": "None", "clusterIPs": ["None"], "ports": ports }))
            .endpoints("db", headless)
            .with("starting", json!({ "clusterIP": "None", "publishNotReadyAddresses": true }))
            .endpoints("starting", json!([{ "addresses": ["10.42.0.9"], "conditions": { "ready": false } }]))
            .with("empty", json!({ "clusterIP": "None" }))
            .with("alias", json!({ "type": "ExternalName", "externalName": "www.example.net" }))
            .with("inner", json!({ "type": "ExternalName", "externalName": "web.shop.svc.cluster.local" }))
            .with("circle", json!({ "type": "ExternalName", "externalName": "circle.shop.svc.cluster.local" }))
    }
}

impl Directory for Written {
    fn is_complete(&self) -> bool {
        !self.incomplete
    }

    fn has_namespace(&self, name: &str) -> bool {
        name == "shop" || name == "bare"
    }

    fn service(&self, namespace: &str, name: &str) -> Option<Arc<Service>> {
        let is = |s: &&Arc<Service>| namespace == "shop" && s.metadata.name.as_deref() == Some(name);
        self.services.iter().find(is).cloned()
    }

    fn services(&self) -> Vec<Arc<Service>> {
        self.services.clone()
    }

    fn slices_in(&self, namespace: &str) -> Vec<Arc<EndpointSlice>> {
        if namespace == "shop" { self.slices.clone() } else { Vec::new() }
    }
}

/// A server with its process, and a client of it.
struct Dns {
    address: SocketAddr,
    tasks: Tasks,
}

impl Dns {
    async fn start(directory: Written, upstreams: &[SocketAddr]) -> Self {
        let tasks = Tasks::new(Shutdown::new());
        let settings = DnsSettings {
            listen: vec!["127.0.0.1:0".parse().expect("an address")],
            domain: "cluster.local".to_owned(),
            service_addresses: vec!["10.96.0.10".parse().expect("an address")],
            reverse: ["10.42.0.0/16", "10.96.0.0/12", "fd96::/112"].map(|r| r.parse().expect("a range")).to_vec(),
            upstreams: Upstreams::Fixed(upstreams.to_vec()),
        };
        let server = run(settings, directory, &tasks).await.expect("it binds");
        Self { address: server.addresses[0], tasks }
    }

    async fn shop() -> Self {
        Self::start(Written::shop(), &[]).await
    }

    async fn send(&self, message: &Message) -> Message {
        let bytes = self.send_bytes(&message.to_vec().expect("bytes")).await.expect("an answer");
        Message::from_vec(&bytes).expect("a message")
    }

    async fn send_bytes(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
        socket.send_to(bytes, self.address).await.expect("send");
        let mut buffer = vec![0; 65_535];
        let read = timeout(Duration::from_secs(8), socket.recv(&mut buffer)).await.ok()?.expect("receive");
        buffer.truncate(read);
        Some(buffer)
    }

    async fn ask(&self, name: &str, kind: RecordType) -> Message {
        self.send(&question(name, kind)).await
    }

    async fn ask_tcp(&self, questions: &[Message]) -> Vec<Message> {
        let mut stream = TcpStream::connect(self.address).await.expect("connect");
        let mut answers = Vec::new();
        for question in questions {
            stream.write_all(&framed(question)).await.expect("write");
            answers.push(read_framed(&mut stream).await);
        }
        answers
    }

    /// Answers as `name kind data`, or the code if there are none.
    async fn say(&self, name: &str, kind: RecordType) -> Vec<String> {
        let answer = self.ask(name, kind).await;
        let mut lines: Vec<String> =
            answer.answers.iter().map(|r| format!("{} {} {}", r.name, r.record_type(), r.data)).collect();
        lines.sort();
        if lines.is_empty() {
            let soa = answer.authorities.iter().filter(|r| r.record_type() == RecordType::SOA).count();
            lines.push(format!("{:?} soa={soa}", answer.metadata.response_code));
        }
        lines
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.tasks.shutdown().start();
    }
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    let mut name = Name::from_ascii(name).expect("a name");
    name.set_fqdn(true);
    message.add_query(Query::query(name, kind));
    message
}

fn framed(message: &Message) -> Vec<u8> {
    let bytes = message.to_vec().expect("bytes");
    let mut framed = u16::try_from(bytes.len()).expect("short").to_be_bytes().to_vec();
    framed.extend(bytes);
    framed
}

async fn read_framed(stream: &mut TcpStream) -> Message {
    let length = stream.read_u16().await.expect("a length");
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await.expect("a message");
    Message::from_vec(&bytes).expect("a message")
}

#[tokio::test]
async fn a_service_has_its_addresses_and_no_others() {
    let dns = Dns::shop().await;
    assert_eq!(dns.say("web.shop.svc.cluster.local", RecordType::A).await, ["web.shop.svc.cluster.local. A 10.96.0.7"]);
    assert_eq!(dns.say("web.shop.svc.cluster.local", RecordType::AAAA).await, ["web.shop.svc.cluster.local. AAAA fd96::7"]);
    assert_eq!(dns.say("WEB.Shop.svc.Cluster.local", RecordType::A).await, ["WEB.Shop.svc.Cluster.local. A 10.96.0.7"]);
    assert_eq!(dns.say("v4.shop.svc.cluster.local", RecordType::AAAA).await, ["NoError soa=1"]);
    assert_eq!(dns.say("web.shop.svc.cluster.local", RecordType::MX).await, ["NoError soa=1"]);
}

#[tokio::test]
async fn what_is_not_there_is_denied_with_the_zones_soa_and_what_has_names_below_is_empty() {
    let dns = Dns::shop().await;
    for nowhere in [
        "nothing.shop.svc.cluster.local",
        "web.other.svc.cluster.local",
        "x.web.shop.svc.cluster.local",
        "other.svc.cluster.local",
        "nothing.cluster.local",
        "a.b.c.d.e.cluster.local",
        "empty.shop.svc.cluster.local",
        "_no._tcp.web.shop.svc.cluster.local",
    ] {
        assert_eq!(dns.say(nowhere, RecordType::A).await, ["NXDomain soa=1"], "{nowhere}");
    }
    for between in [
        "svc.cluster.local",
        "shop.svc.cluster.local",
        "bare.svc.cluster.local",
        "pod.cluster.local",
        "_tcp.web.shop.svc.cluster.local",
        "_http._tcp.web.shop.svc.cluster.local",
    ] {
        assert_eq!(dns.say(between, RecordType::A).await, ["NoError soa=1"], "{between}");
    }
    let answer = dns.ask("nothing.shop.svc.cluster.local", RecordType::A).await;
    assert!(answer.metadata.authoritative && answer.metadata.recursion_available && answer.metadata.recursion_desired);
}

#[tokio::test]
async fn a_headless_service_has_its_ready_endpoints_and_each_has_a_name() {
    let dns = Dns::shop().await;
    assert_eq!(
        dns.say("db.shop.svc.cluster.local", RecordType::A).await,
        ["db.shop.svc.cluster.local. A 10.42.0.2", "db.shop.svc.cluster.local. A 10.42.0.3",]
    );
    assert_eq!(dns.say("db-0.db.shop.svc.cluster.local", RecordType::A).await, ["db-0.db.shop.svc.cluster.local. A 10.42.0.2"]);
    assert_eq!(
        dns.say("10-42-0-3.db.shop.svc.cluster.local", RecordType::A).await,
        ["10-42-0-3.db.shop.svc.cluster.local. A 10.42.0.3"]
    );
    assert_eq!(dns.say("db-2.db.shop.svc.cluster.local", RecordType::A).await, ["NXDomain soa=1"], "not ready");
    assert_eq!(dns.say("starting.shop.svc.cluster.local", RecordType::A).await, ["starting.shop.svc.cluster.local. A 10.42.0.9"]);
}

#[tokio::test]
async fn named_ports_are_found_by_srv_with_the_addresses_beside() {
    let dns = Dns::shop().await;
    let asked = "_http._tcp.web.shop.svc.cluster.local";
    assert_eq!(dns.say(asked, RecordType::SRV).await, [format!("{asked}. SRV 0 100 80 web.shop.svc.cluster.local.")]);
    let beside = dns.ask(asked, RecordType::SRV).await.additionals;
    assert_eq!(beside.iter().map(|r| r.data.to_string()).collect::<Vec<_>>(), ["10.96.0.7", "fd96::7"]);
    assert_eq!(dns.say("_dns._udp.web.shop.svc.cluster.local", RecordType::SRV).await.len(), 1);
    assert_eq!(dns.say("_dns._tcp.web.shop.svc.cluster.local", RecordType::SRV).await, ["NXDomain soa=1"]);
    let asked = "_http._tcp.db.shop.svc.cluster.local";
    assert_eq!(
        dns.say(asked, RecordType::SRV).await,
        [
            format!("{asked}. SRV 0 100 8080 10-42-0-3.db.shop.svc.cluster.local."),
            format!("{asked}. SRV 0 100 8080 db-0.db.shop.svc.cluster.local."),
        ]
    );
}

#[tokio::test]
async fn addresses_lead_back_to_names() {
    let dns = Dns::shop().await;
    assert_eq!(
        dns.say("7.0.96.10.in-addr.arpa", RecordType::PTR).await,
        ["7.0.96.10.in-addr.arpa. PTR web.shop.svc.cluster.local."]
    );
    assert_eq!(
        dns.say("2.0.42.10.in-addr.arpa", RecordType::PTR).await,
        ["2.0.42.10.in-addr.arpa. PTR db-0.db.shop.svc.cluster.local."]
    );
    let six = format!("7.{}6.9.d.f.ip6.arpa", "0.".repeat(27));
    assert_eq!(dns.say(&six, RecordType::PTR).await, [format!("{six}. PTR web.shop.svc.cluster.local.")]);
    assert_eq!(dns.say("99.0.96.10.in-addr.arpa", RecordType::PTR).await, ["NXDomain soa=1"], "ours, but nobody's");
    assert_eq!(dns.say("9.2.0.192.in-addr.arpa", RecordType::PTR).await, ["ServFail soa=0"], "not ours, and no upstream");
}

#[tokio::test]
async fn pod_names_spell_their_address_in_namespaces_that_are_there() {
    let dns = Dns::shop().await;
    assert_eq!(
        dns.say("10-42-0-5.shop.pod.cluster.local", RecordType::A).await,
        ["10-42-0-5.shop.pod.cluster.local. A 10.42.0.5"]
    );
    assert_eq!(
        dns.say("fd42--5.shop.pod.cluster.local", RecordType::AAAA).await,
        ["fd42--5.shop.pod.cluster.local. AAAA fd42::5"]
    );
    assert_eq!(dns.say("10-42-0-5.shop.pod.cluster.local", RecordType::AAAA).await, ["NoError soa=1"]);
    assert_eq!(dns.say("10-42-0-5.other.pod.cluster.local", RecordType::A).await, ["NXDomain soa=1"]);
    assert_eq!(dns.say("10-42-0.shop.pod.cluster.local", RecordType::A).await, ["NXDomain soa=1"]);
}

#[tokio::test]
async fn the_domain_itself_has_a_version_a_server_and_a_beginning() {
    let dns = Dns::shop().await;
    assert_eq!(dns.say("dns-version.cluster.local", RecordType::TXT).await, ["dns-version.cluster.local. TXT 1.1.0"]);
    assert_eq!(dns.say("cluster.local", RecordType::NS).await, ["cluster.local. NS ns.dns.cluster.local."]);
    assert_eq!(dns.say("ns.dns.cluster.local", RecordType::A).await, ["ns.dns.cluster.local. A 10.96.0.10"]);
    assert_eq!(dns.say("cluster.local", RecordType::SOA).await.len(), 1);
}

#[tokio::test]
async fn an_alias_inside_is_followed_a_circle_ends_and_one_outside_stands_even_without_upstream() {
    let dns = Dns::shop().await;
    assert_eq!(
        dns.say("inner.shop.svc.cluster.local", RecordType::A).await,
        ["inner.shop.svc.cluster.local. CNAME web.shop.svc.cluster.local.", "web.shop.svc.cluster.local. A 10.96.0.7",]
    );
    assert_eq!(
        dns.say("alias.shop.svc.cluster.local", RecordType::CNAME).await,
        ["alias.shop.svc.cluster.local. CNAME www.example.net."]
    );
    assert_eq!(
        dns.say("alias.shop.svc.cluster.local", RecordType::A).await,
        ["alias.shop.svc.cluster.local. CNAME www.example.net."]
    );
    assert_eq!(dns.ask("circle.shop.svc.cluster.local", RecordType::A).await.answers.len(), 9);
}

#[tokio::test]
async fn nothing_is_denied_before_everything_is_known() {
    let dns = Dns::start(Written { incomplete: true, ..Written::default() }, &[]).await;
    assert_eq!(dns.say("web.shop.svc.cluster.local", RecordType::A).await, ["ServFail soa=0"]);
}

#[tokio::test]
async fn an_answer_too_long_for_udp_is_cut_marked_and_whole_over_tcp() {
    let many: Vec<Value> = (0..250).map(|n| json!({ "addresses": [format!("10.42.3.{n}")] })).collect();
    let directory = Written::default().with("many", json!({ "clusterIP": "None" })).endpoints("many", json!(many));
    let dns = Dns::start(directory, &[]).await;
    let asked = question("many.shop.svc.cluster.local", RecordType::A);
    let bytes = dns.send_bytes(&asked.to_vec().expect("bytes")).await.expect("an answer");
    let cut = Message::from_vec(&bytes).expect("a message");
    assert!(bytes.len() <= 512 && cut.metadata.truncation && cut.answers.len() > 20, "{} in {}", cut.answers.len(), bytes.len());
    let mut big = asked.clone();
    let mut edns = Edns::new();
    edns.set_max_payload(60_000);
    big.set_edns(edns);
    let bytes = dns.send_bytes(&big.to_vec().expect("bytes")).await.expect("an answer");
    let more = Message::from_vec(&bytes).expect("a message");
    assert!(
        bytes.len() <= 1_232 && more.metadata.truncation && more.answers.len() > 60,
        "{} in {}",
        more.answers.len(),
        bytes.len()
    );
    assert_eq!(more.edns.map(|edns| edns.max_payload()), Some(1_232));
    let whole = dns.ask_tcp(&[asked.clone(), asked]).await;
    assert!(whole.iter().all(|answer| answer.answers.len() == 250 && !answer.metadata.truncation));
}

#[tokio::test]
async fn what_is_no_proper_question_gets_the_right_error_or_silence() {
    let dns = Dns::shop().await;
    let base = question("web.shop.svc.cluster.local", RecordType::A);
    let mut update = base.clone();
    update.metadata.op_code = OpCode::Update;
    let mut two = base.clone();
    two.add_query(Query::query(Name::from_str("b.").expect("a name"), RecordType::A));
    let mut chaos = base.clone();
    chaos.queries[0].set_query_class(DNSClass::CH);
    let mut version = base.clone();
    version.set_edns(Edns::new().set_version(1).clone());
    for (message, code) in [
        (update, ResponseCode::NotImp),
        (two, ResponseCode::FormErr),
        (chaos, ResponseCode::Refused),
        (question("cluster.local", RecordType::AXFR), ResponseCode::Refused),
    ] {
        assert_eq!(dns.send(&message).await.metadata.response_code, code);
    }
    let refused = dns.send(&version).await;
    assert_eq!((refused.edns.expect("EDNS").rcode_high(), refused.metadata.response_code.low()), (1, 0));
    let mut garbage = base.to_vec().expect("bytes");
    garbage.truncate(20);
    let answer = dns.send_bytes(&garbage).await.and_then(|b| Message::from_vec(&b).ok()).expect("an answer");
    assert_eq!((answer.metadata.response_code, answer.metadata.id), (ResponseCode::FormErr, base.metadata.id));
    let mut reply = base;
    reply.metadata.message_type = MessageType::Response;
    assert!(matches!(read(&reply.to_vec().expect("bytes")), Read::Ignore));
    assert!(matches!(read(&[0; 11]), Read::Ignore));
}

/// What an upstream server of a test does with a question; the flag tells whether it came by TCP.
type Script = dyn Fn(&Message, bool) -> Option<Message> + Send + Sync;

/// An upstream server and how many questions it got.
async fn upstream(script: impl Fn(&Message, bool) -> Option<Message> + Send + Sync + 'static) -> (SocketAddr, Arc<AtomicUsize>) {
    let script: Arc<Script> = Arc::new(script);
    let tcp = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = tcp.local_addr().expect("bound");
    let udp = UdpSocket::bind(address).await.expect("bind");
    let count = Arc::new(AtomicUsize::new(0));
    let (script_udp, count_udp) = (script.clone(), count.clone());
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_535];
        while let Ok((read, peer)) = udp.recv_from(&mut buffer).await {
            count_udp.fetch_add(1, Ordering::SeqCst);
            let asked = Message::from_vec(&buffer[..read]).expect("a question");
            if let Some(answer) = script_udp(&asked, false) {
                udp.send_to(&answer.to_vec().expect("bytes"), peer).await.expect("send");
            }
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let asked = read_framed(&mut stream).await;
            if let Some(answer) = script(&asked, true) {
                stream.write_all(&framed(&answer)).await.expect("write");
            }
        }
    });
    (address, count)
}

fn reply(asked: &Message) -> Message {
    let mut answer = Message::response(asked.metadata.id, OpCode::Query);
    answer.queries.clone_from(&asked.queries);
    answer
}

fn with_address(asked: &Message, ip: &str, ttl: u32) -> Message {
    let mut answer = reply(asked);
    let ip: IpAddr = ip.parse().expect("an address");
    answer.add_answer(Record::from_rdata(asked.queries[0].name().clone(), ttl, RData::from(ip)));
    answer
}

#[tokio::test]
async fn other_names_are_asked_upstream_once_and_kept() {
    let (server, count) = upstream(|asked, _| Some(with_address(asked, "192.0.2.80", 60))).await;
    let dns = Dns::start(Written::shop(), &[server]).await;
    assert_eq!(dns.say("www.example.net", RecordType::A).await, ["www.example.net. A 192.0.2.80"]);
    assert_eq!(dns.say("WWW.example.net", RecordType::A).await, ["www.example.net. A 192.0.2.80"]);
    assert_eq!(count.load(Ordering::SeqCst), 1);
    assert_eq!(
        dns.say("alias.shop.svc.cluster.local", RecordType::A).await,
        ["alias.shop.svc.cluster.local. CNAME www.example.net.", "www.example.net. A 192.0.2.80",]
    );
    let over_tcp = dns.ask_tcp(&[question("www.example.net", RecordType::A)]).await;
    assert_eq!(over_tcp[0].answers.len(), 1);
    assert!(!over_tcp[0].metadata.authoritative);
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_server_that_fails_is_passed_over_and_the_good_one_is_asked_first_from_then_on() {
    let (bad, bad_count) = upstream(|asked, _| {
        let mut answer = reply(asked);
        answer.metadata.response_code = ResponseCode::ServFail;
        Some(answer)
    })
    .await;
    let (good, _) = upstream(|asked, _| Some(with_address(asked, "192.0.2.80", 0))).await;
    let dns = Dns::start(Written::shop(), &[bad, good]).await;
    for _ in 0..3 {
        assert_eq!(dns.say("www.example.net", RecordType::A).await.len(), 1);
        assert_eq!(dns.ask("www.example.net", RecordType::A).await.metadata.response_code, ResponseCode::NoError);
    }
    assert_eq!(bad_count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_cut_answer_is_fetched_by_tcp_and_one_without_edns_is_understood() {
    let (server, _) = upstream(|asked, tcp| {
        if asked.edns.is_some() && asked.queries[0].name().to_string().starts_with("old") {
            let mut answer = reply(asked);
            answer.metadata.response_code = ResponseCode::FormErr;
            return Some(answer);
        }
        let mut answer = with_address(asked, "192.0.2.81", 60);
        if !tcp && !asked.queries[0].name().to_string().starts_with("old") {
            answer = answer.truncate();
        }
        Some(answer)
    })
    .await;
    let dns = Dns::start(Written::shop(), &[server]).await;
    assert_eq!(dns.say("big.example.net", RecordType::A).await, ["big.example.net. A 192.0.2.81"]);
    assert_eq!(dns.say("old.example.net", RecordType::A).await, ["old.example.net. A 192.0.2.81"]);
}

#[tokio::test]
async fn a_forged_answer_is_not_believed() {
    let (server, _) = upstream(|asked, _| {
        let mut answer = with_address(asked, "203.0.113.66", 60);
        answer.metadata.id = answer.metadata.id.wrapping_add(1);
        Some(answer)
    })
    .await;
    let dns = Dns::start(Written::shop(), &[server]).await;
    assert_eq!(dns.say("www.example.net", RecordType::A).await, ["ServFail soa=0"]);
}

#[tokio::test]
async fn the_same_question_from_many_is_asked_once_and_a_loop_of_forwarders_ends() {
    // The upstream sends every question back to us before it would answer: we are its upstream, too.
    let us = Arc::new(Mutex::new(None::<SocketAddr>));
    let back = us.clone();
    let (server, count) = upstream(move |asked, _| {
        let target = (*back.lock().expect("no panic"))?;
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("bind");
        socket.send_to(&asked.to_vec().expect("bytes"), target).expect("send");
        None
    })
    .await;
    let dns = Dns::start(Written::shop(), &[server]).await;
    *us.lock().expect("no panic") = Some(dns.address);
    let asking = (0..20).map(|_| dns.say("loop.example.net", RecordType::A));
    let answers = futures::future::join_all(asking).await;
    assert!(answers.iter().all(|answer| *answer == ["ServFail soa=0"]));
    assert_eq!(count.load(Ordering::SeqCst), 2, "one try in each round");
}

#[tokio::test]
async fn that_a_name_is_not_there_is_passed_on_with_its_soa() {
    let (server, count) = upstream(|asked, _| {
        let mut answer = reply(asked);
        answer.metadata.response_code = ResponseCode::NXDomain;
        let name = || Name::from_str("example.net.").expect("a name");
        answer.add_authority(Record::from_rdata(name(), 60, RData::SOA(SOA::new(name(), name(), 1, 1, 1, 1, 60))));
        Some(answer)
    })
    .await;
    let dns = Dns::start(Written::shop(), &[server]).await;
    for _ in 0..2 {
        assert_eq!(dns.say("no.example.net", RecordType::A).await, ["NXDomain soa=1"]);
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

fn kept(ttl: u32) -> Reply {
    let name = Name::from_str("a.").expect("a name");
    let record = Record::from_rdata(name.clone(), ttl, RData::CNAME(CNAME(name)));
    Reply { code: ResponseCode::NoError, answers: vec![record], authorities: Vec::new() }
}

#[test]
fn a_kept_answer_grows_old_and_ends() {
    let start = Instant::now();
    let asked = (Name::from_str("a.").expect("a name"), RecordType::A);
    let mut cache = Cache::default();
    cache.put(asked.clone(), &kept(60), start);
    assert_eq!(cache.get(&asked, start + Duration::from_secs(20)).expect("kept").answers[0].ttl, 40);
    assert_eq!(cache.get(&asked, start + Duration::from_secs(60)), None);
    cache.put(asked.clone(), &kept(0), start);
    assert_eq!(cache.get(&asked, start).map(|reply| reply.answers[0].ttl), Some(60), "one that may not be kept changes nothing");
}

#[test]
fn a_full_cache_forgets_what_ends_first() {
    let mut cache = Cache::default();
    let now = Instant::now();
    let asked = |n: u32| (Name::from_str(&format!("n{n}.")).expect("a name"), RecordType::A);
    for n in 0..3_000 {
        cache.put(asked(n), &kept(1_000 - n / 10), now);
    }
    assert_eq!(cache.len(), 2_048);
    assert!(cache.get(&asked(0), now).is_some() && cache.get(&asked(2_999), now).is_none());
}

proptest::proptest! {
    #[test]
    fn any_packet_is_read_without_a_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..600)) {
        if let Read::Refuse(message) = read(&bytes) {
            proptest::prop_assert!(message.to_vec().is_ok());
        }
    }
}
