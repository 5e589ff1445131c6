use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Pem, certificate_fault};
use crate::{
    prepare::Part,
    tree::set,
    validate::tests::{changed_part, created},
};

const REQUESTS: (&str, &str) = ("certificates.k8s.io", "certificatesigningrequests");

fn block(kind: &str, body: &str) -> String {
    format!("-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n")
}

fn request(status: Value) -> Value {
    json!({"metadata": {"name": "x"}, "spec": {
        "request": STANDARD.encode(block("CERTIFICATE REQUEST", "YWJj")),
        "signerName": "a.b/c",
        "usages": ["client auth"],
    }, "status": status})
}

fn told(part: Part<'_>, old: Value, new: Value) -> Vec<String> {
    changed_part(REQUESTS, request(old), request(new), part)
}

const APPROVAL: Part<'static> = Part::Sub("approval");

#[test]
fn what_is_decided_of_a_request_is_true_and_said_once() {
    let one = |kind: &str, status: &str| told(APPROVAL, json!({}), json!({"conditions": [{"type": kind, "status": status}]}));
    assert_eq!(one("Approved", "True"), [""; 0]);
    assert_eq!(one("Other", "Unknown"), [""; 0]);
    assert_eq!(one("Approved", ""), ["status.conditions[0].status: Required value"]);
    assert_eq!(one("Denied", "False"), ["status.conditions[0].status: Unsupported value: \"False\": supported values: \"True\""]);
    assert_eq!(
        one("Other", "x"),
        ["status.conditions[0].status: Unsupported value: \"x\": supported values: \"False\", \"True\", \"Unknown\""]
    );
    assert_eq!(one("", "True"), ["status.conditions[0].type: Required value"]);
    let on = |kinds: &[&str]| json!({"conditions": kinds.iter().map(|kind| json!({"type": kind, "status": "True"})).collect::<Vec<_>>()});
    assert_eq!(
        told(APPROVAL, json!({}), on(&["Approved", "Denied"])),
        ["status.conditions: Invalid value: \"Denied\": Approved and Denied conditions are mutually exclusive"]
    );
    assert_eq!(
        told(APPROVAL, json!({}), on(&["Approved", "Approved"])),
        ["status.conditions[1].type: Duplicate value: \"Approved\""]
    );
    for odd in [&["Approved", "Denied"][..], &["Approved", "Approved"], &[""]] {
        assert_eq!(told(APPROVAL, on(odd), on(odd)), [""; 0], "{odd:?}");
    }
    let forbidden = |what: &str| format!("status.conditions: Forbidden: updates may not {what} a condition of type \"Approved\"");
    assert_eq!(told(APPROVAL, on(&["Approved"]), on(&[])), [forbidden("remove")]);
    assert_eq!(told(Part::Status, on(&["Approved"]), on(&[])), [forbidden("remove")]);
    assert_eq!(told(Part::Status, on(&[]), on(&["Approved"])), [forbidden("add")]);
    assert_eq!(told(Part::Status, on(&[]), on(&["Failed"])), [""; 0]);
}

#[test]
fn a_certificate_is_written_once() {
    let with = |pem: &str| json!({"certificate": STANDARD.encode(pem)});
    let (one, other) = (block("CERTIFICATE", "YWJj"), block("CERTIFICATE", "YWJk"));
    assert_eq!(told(Part::Status, json!({}), with(&one)), [""; 0]);
    assert_eq!(
        told(Part::Status, json!({}), with("abc")),
        ["status.certificate: Invalid value: \"<certificate data>\": must contain at least one CERTIFICATE PEM block"]
    );
    let why = "status.certificate: Forbidden: updates may not modify existing certificate content";
    assert_eq!(told(Part::Status, with(&one), with(&other)), [why]);
    assert_eq!(told(Part::Status, with(&one), json!({})), [why]);
    assert_eq!(told(Part::Status, with("abc"), with("abc")), [""; 0]);
}

#[test]
fn certificates_are_plain_blocks() {
    let chain = format!("leaf\n{}{}", block("CERTIFICATE", "YWJj"), block("CERTIFICATE", "YWJk"));
    assert_eq!(certificate_fault(&chain), None);
    let key = format!("{chain}{}", block("PRIVATE KEY", "YWJj"));
    assert_eq!(certificate_fault(&key).as_deref(), Some("only CERTIFICATE PEM blocks are allowed, found \"PRIVATE KEY\""));
    let headed = block("CERTIFICATE", "a: b\n\nYWJj");
    assert_eq!(certificate_fault(&headed).as_deref(), Some("no PEM block headers are permitted"));
    for unread in [
        "-----BEGIN A-----\n!!!\n-----END A-----\n",
        "-----BEGIN A-----\nYWJj\n-----END B-----\n",
        "x-----BEGIN A-----\n-----END A-----",
    ] {
        assert!(Pem::first(unread).is_none(), "{unread}");
    }
    // Begun and never ended, many times: read in no time.
    assert!(Pem::first(&"-----BEGIN A-----\n".repeat(50_000)).is_none());
}

#[test]
fn a_request_is_pem_for_a_signer_of_today() {
    let with = |field: &str, value: Value| {
        let mut request = request(json!({}));
        set(&mut request, &["spec", field], value);
        created(REQUESTS, request)
    };
    assert_eq!(with("usages", json!(["client auth"])), [""; 0]);
    assert_eq!(with("usages", json!(["abc", "abc"])).len(), 3);
    assert_eq!(
        with("signerName", json!("kubernetes.io/legacy-unknown")),
        [
            "spec.signerName: Invalid value: \"kubernetes.io/legacy-unknown\": the legacy signerName is not allowed via this API version"
        ]
    );
    let told = with("request", json!(STANDARD.encode(block("CERTIFICATE REQUEST", "!!!"))));
    assert_eq!(told.len(), 1);
    assert!(told[0].ends_with("PEM block type must be CERTIFICATE REQUEST"), "{told:?}");
}
