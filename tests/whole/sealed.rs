//! Secrets at rest: nowhere in the data folder in plain text, and not without the key.
use std::{fs, path::Path, process::Command};

use irori_testkit::{Api, binary};
use serde_json::json;

const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const MARKER: &str = "a-marker-that-stands-nowhere-else";

/// Whether a file below the folder holds the marker, as it is or as an API object has it.
fn found_below(folder: &Path, marker: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(found_below(&path, marker));
        } else if fs::read(&path).unwrap().windows(marker.len()).any(|window| window == marker.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn a_secret_is_nowhere_on_the_disk_and_a_lost_key_is_told() {
    // In base64, as secrets come.
    let packed = "YS1tYXJrZXItdGhhdC1zdGFuZHMtbm93aGVyZS1lbHNl";
    let mut api = Api::up(&binary());
    let mut client = api.door().client();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "door"}, "data": {"code": packed}});
    assert!(client.send("POST", SECRETS, &secret).unwrap().is_ok());
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "open"}, "data": {"word": MARKER}});
    assert!(client.send("POST", "/api/v1/namespaces/default/configmaps", &map).unwrap().is_ok());
    assert_eq!(client.get(&format!("{SECRETS}/door")).unwrap().json()["data"]["code"], packed);
    api.kill();
    assert_eq!(found_below(&api.data(), packed), Vec::<String>::new());
    assert!(!found_below(&api.data(), MARKER).is_empty(), "what is not sealed is found, so this looks in the right place");

    api.start();
    let listed = api.door().client().get(SECRETS).unwrap().json();
    assert_eq!(listed["items"][0]["data"]["code"], packed);
    api.kill();

    let key = api.data().join("sealing.key");
    fs::rename(&key, api.folder().join("away")).unwrap();
    let refused = |api: &Api| {
        let mut irori = Command::new(binary());
        irori.args(["api", "--listen", "127.0.0.1:0", "--data-dir"]).arg(api.data());
        let out = irori.arg("--admin-token-file").arg(api.folder().join("token")).output().unwrap();
        assert!(!out.status.success());
        String::from_utf8(out.stderr).unwrap()
    };
    let said = refused(&api);
    assert!(said.contains("sealing.key` is missing") && said.contains("docs/errors/E10.md"), "{said}");
    fs::write(&key, "0".repeat(64)).unwrap();
    let said = refused(&api);
    assert!(said.contains("does not open this store") && said.contains("docs/errors/E10.md"), "{said}");
    fs::rename(api.folder().join("away"), &key).unwrap();
    api.start();
    assert_eq!(api.door().client().get(&format!("{SECRETS}/door")).unwrap().json()["data"]["code"], packed);
}
