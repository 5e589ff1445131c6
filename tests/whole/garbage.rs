//! What strangers, broken clients and attackers send to the API: a clear answer, no panic, and a server that goes on.
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use irori_testkit::{
    Api, binary,
    client::{Answer, Door},
};
use irori_trust::{CaTree, Lifetime, SubjectName};
use serde_json::json;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const DAY: i64 = 24 * 3600;

/// A case: what it is, the request, the status codes that are right.
struct Case {
    what: &'static str,
    method: &'static str,
    path: String,
    content_type: &'static str,
    body: Vec<u8>,
    wanted: &'static [u16],
}

fn post(what: &'static str, body: impl Into<Vec<u8>>, wanted: &'static [u16]) -> Case {
    Case { what, method: "POST", path: MAPS.to_owned(), content_type: "application/json", body: body.into(), wanted }
}

fn get(what: &'static str, path: impl Into<String>, wanted: &'static [u16]) -> Case {
    Case { what, method: "GET", path: path.into(), content_type: "", body: Vec::new(), wanted }
}

fn patch(what: &'static str, content_type: &'static str, body: &str, wanted: &'static [u16]) -> Case {
    Case { what, method: "PATCH", path: format!("{MAPS}/here"), content_type, body: body.into(), wanted }
}

fn bodies() -> Vec<Case> {
    let map = |data: &str| format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"x"}},"data":{data}}}"#);
    let nested = |open: &str, close: &str| map(&format!("{}{}", open.repeat(10_000), close.repeat(10_000)));
    let yaml = |body: &str| Case { content_type: "application/yaml", ..post("yaml", body, &[400]) };
    let laughs: String = (0..30).map(|n| format!("a{}: &a{} [*a{n},*a{n},*a{n},*a{n}]\n", n + 1, n + 1)).collect();
    let mut bad_utf8 = map(r#"{"a":"?"}"#).into_bytes();
    let mark = bad_utf8.iter().position(|byte| *byte == b'?').unwrap();
    bad_utf8[mark] = 0xff;
    vec![
        post("half an object", r#"{"apiVersion":"v1","kind":"#, &[400]),
        post("no JSON", "hello", &[400]),
        post("nothing", "", &[400]),
        // An object without anything.
        post("null", "null", &[422]),
        post("a list", "[1,2,3]", &[400]),
        post("a number", "42", &[400]),
        post("two objects", map("{}") + &map("{}"), &[400]),
        post("ten megabytes", map(&format!(r#"{{"a":"{}"}}"#, "x".repeat(10 << 20))), &[413]),
        post("10,000 objects in each other", nested(r#"{"a":"#, "}"), &[400]),
        post("10,000 lists in each other", nested("[", "]"), &[400]),
        post("10,000 lists that stay open", "[".repeat(10_000), &[400]),
        post("a list for a map", map("[1,2]"), &[400]),
        post("numbers for text", map(r#"{"a":1}"#), &[400]),
        post("text for metadata", r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":"x"}"#, &[400]),
        post(
            "a number too large for anything",
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","generation":1e999}}"#,
            &[400],
        ),
        post("another kind", r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"x"}}"#, &[400]),
        post("another version", r#"{"apiVersion":"v9","kind":"ConfigMap","metadata":{"name":"x"}}"#, &[400]),
        post("a name that is none", r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"../etc/passwd"}}"#, &[422]),
        post("a name of 10,000 letters", map("{}").replace(r#""x""#, &format!(r#""{}""#, "x".repeat(10_000))), &[422]),
        post(
            "another namespace",
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","namespace":"other"}}"#,
            &[400],
        ),
        // Like the stock server, that reads it as U+FFFD; refusing is as well.
        post("bad UTF-8", bad_utf8, &[400, 201]),
        post("a NUL", "\0\0\0\0", &[400]),
        yaml("a: [b"),
        yaml(&format!("a0: &a0 x\n{laughs}")),
        yaml(&"- ".repeat(10_000)),
        Case { content_type: "application/xml", ..post("XML", "<a/>", &[415]) },
        Case { content_type: "a/b/c; ;;=", ..post("no content type", "{}", &[415]) },
        Case { content_type: "application/vnd.kubernetes.protobuf", ..post("protobuf without its mark", "xxxx", &[400]) },
        Case {
            content_type: "application/vnd.kubernetes.protobuf",
            ..post("broken protobuf", &b"k8s\0\x0a\xff\xff\xff\xff\x7f"[..], &[400])
        },
    ]
}

fn patches() -> Vec<Case> {
    const JSON: &str = "application/json-patch+json";
    const MERGE: &str = "application/merge-patch+json";
    const STRATEGIC: &str = "application/strategic-merge-patch+json";
    vec![
        patch("a patch that is no list", JSON, "{}", &[400]),
        patch("an operation that is none", JSON, r#"[{"op":"explode","path":"/data"}]"#, &[400, 422]),
        patch("a path that is none", JSON, r#"[{"op":"replace","path":"data//","value":1}]"#, &[400, 422]),
        patch(
            "an index far away",
            JSON,
            r#"[{"op":"add","path":"/metadata/finalizers/99999999999999999999","value":"a"}]"#,
            &[400, 422],
        ),
        patch("a list as a merge patch", MERGE, "[]", &[400]),
        patch("a wrong type by a merge patch", MERGE, r#"{"data":[1]}"#, &[400, 422]),
        patch("nesting in a merge patch", MERGE, &format!("{}1{}", r#"{"a":"#.repeat(10_000), "}".repeat(10_000)), &[400]),
        // The stock server's code, too.
        patch("a directive that is none", STRATEGIC, r#"{"$patch":"explode"}"#, &[500]),
        patch("a strategic patch that is a number", STRATEGIC, "7", &[400]),
        patch("a patch of no known kind", "application/json", "{}", &[415]),
        patch("an apply by nobody", "application/apply-patch+yaml", "{}", &[422]),
        Case {
            path: format!("{MAPS}/here?fieldManager=me"),
            ..patch("an apply that is no YAML", "application/apply-patch+yaml", "a: [", &[400])
        },
    ]
}

/// A 500 here is what the stock server answers.
fn queries() -> Vec<Case> {
    vec![
        get("a limit that is none", format!("{MAPS}?limit=many"), &[400]),
        get("a revision that is none", format!("{MAPS}?resourceVersion=abc"), &[500]),
        get("a watch from a revision that is none", format!("{MAPS}?watch=1&resourceVersion=-1"), &[500]),
        get("a watch from far ahead", format!("{MAPS}?resourceVersion=99999999999999999999999"), &[500]),
        get("a continue token that is none", format!("{MAPS}?limit=1&continue=%00%ff"), &[400]),
        get("a label selector that is none", format!("{MAPS}?labelSelector=a%3D%3D%3Db,("), &[400]),
        get("a field that is none", format!("{MAPS}?fieldSelector=spec.nothing%3D1"), &[400]),
        get("a path of 60,000 letters", format!("/api/v1/{}", "x".repeat(60_000)), &[404, 414, 431]),
        get("a thousand slashes", "/".repeat(1000), &[200, 301, 404]),
        get("a way up", "/api/v1/../../../etc/passwd", &[301, 404]),
        get("a hidden way up", "/api/v1/namespaces/%2e%2e%2f%2e%2e%2f/configmaps/a", &[400, 403, 404]),
        get("a NUL in a name", format!("{MAPS}/a%00b"), &[400, 404]),
        get("bad UTF-8 in a name", format!("{MAPS}/%ff%fe"), &[400, 404]),
        get("half an escape", format!("{MAPS}/a%2"), &[400, 404]),
        get("a group that is none", "/apis/no.such.group/v1/things", &[404]),
        Case { method: "BREW", ..get("a method that is none", MAPS, &[405]) },
        Case { method: "TRACE", ..get("TRACE", MAPS, &[405]) },
        Case { method: "POST", ..get("a create of one that has a name", format!("{MAPS}/here"), &[405]) },
    ]
}

#[test]
fn garbage_gets_a_clear_answer_and_the_server_goes_on() {
    let api = Api::up(&binary());
    let door = api.door();
    let here = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "here"}});
    assert_eq!(door.client().send("POST", MAPS, &here).unwrap().status, 201);
    let mut wrong = Vec::new();
    for case in bodies().into_iter().chain(patches()).chain(queries()) {
        // Each case has its own connection: a server that refuses early closes it.
        match door.client().call(case.method, &case.path, case.content_type, &case.body) {
            Ok(answer) => wrong.extend(judge(case.what, &answer, case.wanted)),
            Err(source) => wrong.push(format!("{}: no answer: {source}", case.what)),
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    still_fine(&api);
}

/// The code, and for refusals a Status that repeats it and says something.
fn judge(what: &str, answer: &Answer, wanted: &[u16]) -> Option<String> {
    if !wanted.contains(&answer.status) {
        return Some(format!("{what}: wanted {wanted:?}: {answer:?}"));
    }
    if answer.is_ok() || answer.status == 301 {
        return None;
    }
    let status = answer.json();
    let is_status = status["kind"] == "Status"
        && status["code"] == answer.status
        && status["message"].as_str().is_some_and(|m| !m.is_empty());
    // What no route is found for is answered in plain text, as the stock server does.
    let is_plain = answer.status == 404 && answer.body.starts_with(b"404 page not found");
    (!is_status && !is_plain).then(|| format!("{what}: not a Status: {answer:?}"))
}

#[track_caller]
fn still_fine(api: &Api) {
    let mut client = api.door().client();
    assert_eq!(client.get("/readyz").unwrap().status, 200);
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "fine-"}});
    assert_eq!(client.send("POST", MAPS, &object).unwrap().status, 201);
    assert_eq!(client.get(MAPS).unwrap().status, 200);
    api.expect_clean_log();
}

/// Below the request: headers, lengths and frames that do not fit together.
#[test]
fn broken_http_is_refused_and_the_server_goes_on() {
    let api = Api::up(&binary());
    let door = api.door();
    let head = format!("Host: x\r\nAuthorization: Bearer {}\r\n", "t".repeat(100));
    let cases: Vec<(&str, Vec<u8>, &[u16])> = vec![
        ("no HTTP", b"hello\r\n\r\n".into(), &[400]),
        ("a version that is none", b"GET / HTTP/9.9\r\n\r\n".into(), &[400, 505]),
        ("a header without a colon", b"GET /readyz HTTP/1.1\r\nHost x\r\n\r\n".into(), &[400]),
        ("a header with a NUL", b"GET /readyz HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n".into(), &[400]),
        (
            "a header of a megabyte",
            format!("GET /readyz HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(1 << 20)).into(),
            &[400, 431],
        ),
        ("a thousand headers", format!("GET /readyz HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(1000)).into(), &[400, 431]),
        ("a line of a megabyte", format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(1 << 20)).into(), &[400, 414, 431]),
        ("two lengths", format!("POST {MAPS} HTTP/1.1\r\n{head}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab").into(), &[400]),
        ("a length below nothing", format!("POST {MAPS} HTTP/1.1\r\n{head}Content-Length: -1\r\n\r\n").into(), &[400]),
        ("a broken chunk", format!("POST {MAPS} HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n").into(), &[400, 401]),
        ("a token that is none", format!("GET {MAPS} HTTP/1.1\r\n{head}\r\n").into(), &[401]),
        (
            "a token of bytes",
            [format!("GET {MAPS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ").as_bytes(), b"\xff\xfe\r\n\r\n"].concat(),
            &[400, 401],
        ),
        (
            "basic authentication",
            format!("GET {MAPS} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic Og==\r\n\r\n").into(),
            &[401, 403],
        ),
    ];
    let mut wrong = Vec::new();
    for (what, request, wanted) in cases {
        match door.raw(&request) {
            Ok(answer) if wanted.contains(&answer.status) => {}
            Ok(answer) => wrong.push(format!("{what}: wanted {wanted:?}: {answer:?}")),
            Err(source) => wrong.push(format!("{what}: no answer: {source}")),
        }
    }
    // Frames of h2 after its greeting that are none: the connection ends, and nothing else.
    let mut stream = door.connect().unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    let _may_be_gone = stream.write_all(&[0xff; 4096]).and_then(|()| stream.flush());
    let _may_be_cut = stream.read_to_end(&mut Vec::new());
    assert_eq!(wrong, Vec::<String>::new());
    still_fine(&api);
}

fn plain(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Plain HTTP on the TLS port is told so; handshakes that never end are ended, and hold up nobody.
#[test]
fn plain_http_and_half_open_handshakes_hold_up_nobody() {
    let api = Api::up(&binary());
    let door = api.door();
    let mut stream = plain(door.address);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert_eq!(said, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n");

    // The first bytes of a ClientHello, and nothing more; nothing at all; no TLS.
    let begun: Vec<TcpStream> = (0..200)
        .map(|number| {
            let mut stream = plain(door.address);
            stream.write_all([&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"[..], b"", b"\xff\xff\xff\xff"][number % 3]).unwrap();
            stream
        })
        .collect();
    still_fine(&api);
    for mut stream in begun {
        let mut rest = Vec::new();
        // Closed, with or without an alert; a read that times out fails the test.
        if let Err(source) = stream.read_to_end(&mut rest) {
            assert_eq!(source.kind(), std::io::ErrorKind::ConnectionReset, "a handshake is left open");
        }
    }
    still_fine(&api);
}

/// A body that never comes to its end does not keep the server from answering others, and a client that hangs up is forgotten.
#[test]
fn clients_that_hang_up_within_a_request_are_forgotten() {
    let api = Api::up(&binary());
    let door = api.door();
    for _ in 0..100 {
        let mut stream = door.connect().unwrap();
        let head = format!("POST {MAPS} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{{\"apiVersion\"");
        stream.write_all(head.as_bytes()).unwrap();
        stream.flush().unwrap();
    }
    still_fine(&api);
}

/// Only the home's `clients` CA makes clients: neither another home's, nor its own servers', nor one of yesterday.
#[test]
fn only_a_living_certificate_of_the_clients_ca_is_let_in() {
    let api = Api::up(&binary());
    let trust = api.trust(0);
    let day = Lifetime(irori_runtime::SignedDuration::from_secs(DAY));
    let asked = |door: Door| door.client().get("/api/v1/namespaces").unwrap();
    let admin = |trust: &CaTree| trust.issue_client("irori-admin", Some("system:masters"), day).unwrap();

    let known = asked(api.door_as(None, Some(&admin(&trust))));
    assert_eq!(known.status, 200, "{known:?}");

    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = CaTree::open(&elsewhere.path().join("trust"), "home.arpa", &irori_testkit::client::clock(0)).unwrap();
    let server = trust.issue_server(&[SubjectName::from("127.0.0.1")], day).unwrap();
    let strangers = [
        ("of another home", admin(&stranger)),
        ("of a server", server),
        ("that has expired", admin(&api.trust(-3 * DAY))),
        ("of next week", admin(&api.trust(7 * DAY))),
    ];
    for (what, identity) in strangers {
        let answer = asked(api.door_as(None, Some(&identity)));
        let status = answer.json();
        assert_eq!(
            (answer.status, status["reason"].as_str(), status["message"].as_str()),
            (401, Some("Unauthorized"), Some("Unauthorized")),
            "a certificate {what}"
        );
    }
    still_fine(&api);
}
