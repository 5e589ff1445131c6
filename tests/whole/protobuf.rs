//! A client that speaks only protobuf, by a second implementation.
use std::{path::Path, process::Command};

use irori_testkit::{Api, binary, python};

/// Typed create, get, list, watch, update and delete, and an object of every kind through Python's protobuf runtime and back.
#[test]
fn a_client_that_speaks_only_protobuf_works() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut api = Api::up(&binary());
    let recordings = ["life", "create", "table"].map(|group| root.join(format!("golden/{group}.jsonl.gz")));
    let said = Command::new(python())
        .arg(root.join("protobuf/client.py"))
        .args([&api.url(), api.token()])
        .arg(api.data().join("trust/root.crt"))
        .args(recordings)
        .output()
        .unwrap();
    assert!(said.status.success(), "{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    api.kill();
}
