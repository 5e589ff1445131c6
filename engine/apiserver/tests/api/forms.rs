//! One object in all its forms: what is spliced from stored bytes, and what takes the slow path of decode, default and encode.
use std::{collections::BTreeSet, io::Read, sync::atomic::Ordering};

use serde_json::Value;

use crate::harness::*;

/// The objects that the recording makes of every kind: the path they are posted to, and their bodies.
fn recorded() -> Vec<(String, Value)> {
    let mut text = String::new();
    for group in ["life", "create", "table"] {
        let file = format!("{}/../../tests/golden/{group}.jsonl.gz", env!("CARGO_MANIFEST_DIR"));
        flate2::read::GzDecoder::new(std::fs::File::open(file).unwrap()).read_to_string(&mut text).unwrap();
    }
    let steps = text.lines().flat_map(|line| serde_json::from_str::<Value>(line).unwrap()["steps"].as_array().unwrap().clone());
    let makes = |step: &Value| step["method"] == "POST" && step["want"]["status"] == 201 && step["body"].is_object();
    let path = |step: &Value| step["path"].as_str().unwrap().split('?').next().unwrap().to_owned();
    steps.filter(makes).map(|step| (path(&step), step["body"].clone())).collect()
}

async fn all_forms(client: &Client, collection: &str, name: &str) -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    let proto = "application/vnd.kubernetes.protobuf";
    for path in [format!("{collection}/{name}"), collection.to_owned()] {
        for accept in ["application/json", proto, "application/yaml"] {
            let answer = client.raw("GET", &path, &[("accept", accept)], String::new()).await;
            assert_eq!(answer.code, 200, "{path} {accept}");
            out.push((format!("{path} as {accept}"), answer.bytes.to_vec()));
        }
    }
    let mut events = client.watch(&format!("{collection}?watch=1&resourceVersion=0&fieldSelector=metadata.name={name}")).await;
    let event = events.next().await.unwrap();
    out.push((format!("{collection} watched"), event.to_string().into_bytes()));
    out
}

/// DESIGN: both paths of a read pass the same tests. Here they give the same answers, for every kind.
#[tokio::test]
async fn the_slow_path_answers_what_the_spliced_one_does() {
    let api = Api::with(|settings| settings.store_unenforced = true).await;
    let admin = api.admin();
    api.namespace("golden").await;
    let mut kinds = BTreeSet::new();
    for (path, body) in recorded() {
        let made = admin.post(&path, body.clone()).await;
        if made.code != 201 || !made.json()["metadata"]["uid"].is_string() {
            continue; // a second object of that name, or one that is only answered
        }
        let made = made.json();
        let name = made["metadata"]["name"].as_str().unwrap();
        let spliced = all_forms(&admin, &path, name).await;
        api.store.older.store(true, Ordering::Relaxed);
        let slow = all_forms(&admin, &path, name).await;
        api.store.older.store(false, Ordering::Relaxed);
        for ((what, spliced), (_, slow)) in spliced.iter().zip(&slow) {
            let same = match serde_json::from_slice::<Value>(spliced) {
                Ok(spliced) => spliced == serde_json::from_slice::<Value>(slow).unwrap(),
                Err(_) => spliced == slow,
            };
            assert!(same, "{what}:\n{}\n{}", String::from_utf8_lossy(spliced), String::from_utf8_lossy(slow));
        }
        kinds.insert(made["kind"].as_str().unwrap().to_owned());
    }
    assert!(kinds.len() >= 55, "{} kinds: {kinds:?}", kinds.len());
}
