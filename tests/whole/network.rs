//! The network as pods see it: names, Services, the API, the world outside.
use irori_testkit::{Home, Neighbour, Options, Said};

const OBJECTS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: server, labels: {app: server}}
spec:
  terminationGracePeriodSeconds: 1
  hostname: one
  subdomain: group
  containers:
  - name: main
    image: example.test/box:1
    command:
    - sh
    - -c
    - >-
      mkdir -p /tmp/w; echo hello > /tmp/w/index.html; httpd -p 8080 -h /tmp/w;
      exec perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalPort => 5353, Proto => q(udp)) or die $!;
      while ($from = recv($s, $got, 999, 0)) { send($s, qq(got $got), 0, $from) }'
    ports: [{name: web, containerPort: 8080}, {name: echo, containerPort: 5353, protocol: UDP}]
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: server}, ports: [{name: http, port: 80, targetPort: web}, {name: echo, port: 7, protocol: UDP, targetPort: echo}]}
---
apiVersion: v1
kind: Service
metadata: {name: group}
spec: {clusterIP: None, selector: {app: server}, ports: [{name: http, port: 80, targetPort: web}]}
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere}
spec: {type: ExternalName, externalName: outside.test}
---
apiVersion: v1
kind: Service
metadata: {name: empty}
spec: {selector: {app: nobody}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: port}
spec: {type: NodePort, selector: {app: server}, ports: [{port: 80, targetPort: web, nodePort: 30080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: main, image: example.test/box:1, command: [sleep, "100000"]}]
"#;

/// Answers every A question with 198.51.100.7 and everything else with nothing.
const RESOLVER: &str = r#"
use IO::Socket::INET;
my $socket = IO::Socket::INET->new(LocalAddr => "192.0.2.1", LocalPort => 53, Proto => "udp") or die $!;
while (my $from = recv($socket, my $question, 4096, 0)) {
    my ($id) = unpack("n", $question);
    my $end = 12;
    $end += 1 + ord(substr($question, $end, 1)) while ord(substr($question, $end, 1));
    my $asked = substr($question, 12, $end + 5 - 12);
    my $kind = unpack("n", substr($question, $end + 1, 2));
    my $answer = $kind == 1 ? pack("nnnNnC4", 0xc00c, 1, 1, 60, 4, 198, 51, 100, 7) : "";
    send($socket, pack("n6", $id, 0x8180, 1, $answer ? 1 : 0, 0, 0) . $asked . $answer, 0, $from);
}
"#;

/// Answers every connection with the address that it comes from.
const WITNESS: &str = r#"
use IO::Socket::INET;
my $socket = IO::Socket::INET->new(LocalAddr => "192.0.2.1", LocalPort => 8000, Listen => 5, ReuseAddr => 1) or die $!;
while (my $caller = $socket->accept) {
    while (<$caller>) { last if /^\s*$/ }
    print $caller "HTTP/1.0 200 OK\r\n\r\n", $caller->peerhost, "\n";
    close $caller;
}
"#;

#[test]
fn pods_reach_services_names_the_api_and_the_world() {
    let mut home = Home::new(Options::default());
    let _neighbour = with_a_resolver(&home);
    home.start();
    home.wait_ready();
    drive(&home);
    home.expect_clean_log();
}

/// The world outside, which the home takes for its upstream resolver.
pub fn with_a_resolver(home: &Home) -> Neighbour {
    home.edit("  network:\n", "  network:\n    dns: {upstream: [192.0.2.1]}\n");
    let mut neighbour = Neighbour::of(&home.machine);
    neighbour.start("perl", &["-e", RESOLVER]);
    neighbour.start("perl", &["-e", WITNESS]);
    neighbour
}

/// Everything that pods reach; also run with server, node and gateway apart.
pub fn drive(home: &Home) {
    home.import_box();
    home.apply(OBJECTS).expect_ok();
    home.wait_pod_ready("server");
    home.wait_pod_ready("client");
    services(home);
    names(home);
    the_world(home);
    the_api(home);
}

fn curl(home: &Home, pod: &str, url: &str) -> Said {
    home.script(pod, &format!("curl -sS -m 5 {url}"))
}

fn services(home: &Home) {
    for url in ["http://web/", "http://web.default.svc.cluster.local/", "http://group:8080/", "http://one.group:8080/"] {
        assert_eq!(curl(home, "client", url).expect_ok(), "hello\n", "{url}");
    }
    // Its own host name is not the Service's, so this goes out and comes back.
    assert_eq!(curl(home, "server", "http://web/").expect_ok(), "hello\n", "to itself through its Service");
    let ask = "perl -MIO::Socket::INET -e 'alarm 5; $s = IO::Socket::INET->new(PeerHost => q(web), PeerPort => 7, Proto => q(udp)) or die $!; \
               $s->send(q(it)); $s->recv($b, 99); print $b'";
    assert_eq!(home.inside("client", ask), "got it");
    assert_eq!(home.inside("server", ask), "got it", "to itself by UDP");
    // Nobody behind it: refused at once, not after a time-out.
    let refused = home.script("client", "time -f %e curl -sS -m 5 http://empty/");
    assert!(refused.err.contains("Couldn't connect") || refused.err.contains("Connection refused"), "{refused:?}");
    let took: f64 = refused.err.lines().find_map(|line| line.parse().ok()).unwrap();
    assert!(took < 1.0, "{took} s");
    // From the machine itself, and by its port.
    let ip = home.get(&["service", "web"])["spec"]["clusterIP"].as_str().unwrap().to_owned();
    for url in [format!("http://{ip}/"), "http://192.0.2.10:30080/".to_owned()] {
        let said = home.machine.run("curl", &["-sS", "-m", "5", &url]);
        assert_eq!(said.out, "hello\n", "{url}: {}", said.err);
    }
}

/// What nslookup says of a name, without the part about the server.
fn lookup(home: &Home, words: &str) -> String {
    let said = home.script("client", &format!("nslookup {words}")).out;
    assert!(said.contains("10.96.0.10:53"), "{said}");
    said.split_once("\n\n").map(|(_, answer)| answer.to_owned()).unwrap_or_default()
}

fn names(home: &Home) {
    let web = home.get(&["service", "web"])["spec"]["clusterIP"].as_str().unwrap().to_owned();
    let pod = home.get(&["pod", "server"])["status"]["podIP"].as_str().unwrap().to_owned();
    let domain = "default.svc.cluster.local";
    for (words, wanted) in [
        (format!("web.{domain}"), format!("Address: {web}")),
        (format!("group.{domain}"), format!("Address: {pod}")),
        (format!("one.group.{domain}"), format!("Address: {pod}")),
        (format!("-type=srv _http._tcp.web.{domain}"), format!("service = 0 100 80 web.{domain}")),
        (format!("-type=srv _http._tcp.group.{domain}"), format!("service = 0 100 8080 one.group.{domain}")),
        (format!("-type=srv _echo._udp.web.{domain}"), format!("service = 0 100 7 web.{domain}")),
        (web.clone(), format!("name = web.{domain}")),
        (format!("elsewhere.{domain}"), "canonical name = outside.test".to_owned()),
        (format!("elsewhere.{domain}"), "Address: 198.51.100.7".to_owned()),
        ("anything.example".to_owned(), "Address: 198.51.100.7".to_owned()),
        (format!("nobody.{domain}"), "NXDOMAIN".to_owned()),
    ] {
        let said = lookup(home, &words);
        assert!(said.contains(&wanted), "`{wanted}` for {words} in\n{said}");
    }
    let resolver = home.inside("client", "cat /etc/resolv.conf");
    assert!(resolver.starts_with(&format!("search {domain} svc.cluster.local cluster.local")), "{resolver}");
}

/// The world sees the machine's address, not the pod's.
fn the_world(home: &Home) {
    let url = format!("http://{}:8000/", Neighbour::ADDRESS);
    assert_eq!(curl(home, "client", &url).expect_ok(), "192.0.2.10\n");
    home.inside("client", &format!("ping -c 1 -W 5 {}", Neighbour::ADDRESS));
}

/// A pod's own token and CA open the API, and RBAC says how far.
fn the_api(home: &Home) {
    let ask = "cd /var/run/secrets/kubernetes.io/serviceaccount; \
               curl -sS -m 5 -o /tmp/said -w '%{http_code}' --cacert ca.crt -H \"Authorization: Bearer $(cat token)\" \
               https://kubernetes.default/api/v1/namespaces/$(cat namespace)/pods";
    assert_eq!(home.inside("client", ask), "403");
    let said = home.inside("client", "cat /tmp/said");
    assert!(said.contains("User \\\"system:serviceaccount:default:default\\\" cannot list resource \\\"pods\\\""), "{said}");
    home.kubectl(&["create", "rolebinding", "view", "--clusterrole=view", "--serviceaccount=default:default"]).expect_ok();
    assert_eq!(home.inside("client", ask), "200");
    let stranger = home.inside("client", "curl -sSk -m 5 -o /dev/null -w '%{http_code}' https://kubernetes.default/api/v1/pods");
    assert_eq!(stranger, "403", "anonymous may not");
    let wrong = home.inside(
        "client",
        "curl -sSk -m 5 -o /dev/null -w '%{http_code}' -H 'Authorization: Bearer a.b.c' https://kubernetes.default/api",
    );
    assert_eq!(wrong, "401");
}
