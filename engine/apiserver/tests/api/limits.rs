//! Every limit of the API that is not already in `hostile`: at the number it is taken, above it refused.
use serde_json::{Value, json};

use crate::harness::*;

/// A page asked for with a token of another list, of garbage, or of another server.
#[tokio::test]
async fn continue_tokens_are_checked() {
    let api = Api::start().await;
    let admin = api.admin();
    for name in ["a", "b", "c"] {
        admin.post(MAPS, config_map(name)).await.expect(201);
    }
    let first = admin.get(&format!("{MAPS}?limit=2")).await.expect(200);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let next = admin.get(&format!("{MAPS}?limit=2&continue={token}")).await.expect(200);
    assert_eq!(next["items"].as_array().unwrap().len(), 1);
    for bad in ["x", "e30", "eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ", &"A".repeat(20_000)] {
        admin.get(&format!("{MAPS}?limit=2&continue={bad}")).await.refuses(400, "BadRequest", "continue key is not valid");
    }
    let both = admin.get(&format!("{MAPS}?continue={token}&resourceVersion=5")).await;
    both.refuses(400, "BadRequest", "resource version is not allowed");
}

/// Annotations: 256 KiB of keys and values (Kubernetes page "Annotations").
#[tokio::test]
async fn annotations_have_a_size() {
    let api = Api::start().await;
    let admin = api.admin();
    let with = |bytes: usize| json!({"metadata": {"name": "m", "annotations": {"key": "x".repeat(bytes - 3)}}});
    admin.post(&format!("{MAPS}?dryRun=All"), with(256 * 1024)).await.expect(201);
    admin.post(&format!("{MAPS}?dryRun=All"), with(256 * 1024 + 1)).await.refuses(
        422,
        "Invalid",
        "may not be more than 262144 bytes",
    );
}

/// managedFields: ten updaters; what older ones own is one entry.
#[tokio::test]
async fn managers_that_update_are_ten_at_most() {
    let api = Api::start().await;
    let admin = api.admin();
    admin.post(&format!("{MAPS}?fieldManager=maker"), config_map("m")).await.expect(201);
    let mut object = Value::Null;
    for i in 0..30 {
        let patch = json!({"data": {format!("k{i}"): "v"}});
        object = admin.merge(&format!("{MAPS}/m?fieldManager=w{i:02}"), patch).await.expect(200);
    }
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(entries.len(), 10);
    assert!(entries.iter().any(|entry| entry["manager"] == "ancient-changes"));
    // A manager of the longest name is taken, a longer one is not.
    let name = "n".repeat(128);
    admin.merge(&format!("{MAPS}/m?fieldManager={name}"), json!({"data": {"z": "1"}})).await.expect(200);
    admin.merge(&format!("{MAPS}/m?fieldManager={name}n"), json!({"data": {"z": "2"}})).await.refuses(422, "Invalid", "Too long");
}

/// ConfigMaps and Secrets: 1 MiB of data.
#[tokio::test]
async fn data_of_maps_and_secrets_has_a_size() {
    let api = Api::start().await;
    let admin = api.admin();
    let map = |bytes: usize| json!({"metadata": {"name": "m"}, "data": {"k": "x".repeat(bytes)}});
    admin.post(&format!("{MAPS}?dryRun=All"), map(1_048_576)).await.expect(201);
    admin.post(&format!("{MAPS}?dryRun=All"), map(1_048_577)).await.refuses(422, "Invalid", "Too long");
    admin.post(&format!("{MAPS}?dryRun=All"), map(2_500_000)).await.refuses(422, "Invalid", "Too long");
}

/// A selector of the longest text is taken.
#[tokio::test]
async fn a_selector_may_be_as_long_as_its_limit() {
    let api = Api::start().await;
    let most = irori_apiserver::limits::SELECTOR_BYTES_MAX;
    let many = vec!["a!=b"; most / 5].join(",");
    assert!(many.len() <= most);
    api.admin().get(&format!("{MAPS}?labelSelector={many}")).await.expect(200);
}

/// JSON patch: as many operations as its limit; copies that grow without end are refused.
#[tokio::test]
async fn a_json_patch_may_have_as_many_operations_as_its_limit() {
    let api = Api::start().await;
    let admin = api.admin();
    admin.post(MAPS, config_map("m")).await.expect(201);
    let patch = [("content-type", "application/json-patch+json")];
    let most = irori_apiserver::limits::PATCH_OPERATIONS_MAX;
    let many = json!(vec![json!({"op": "test", "path": "/data/a", "value": "1"}); most]).to_string();
    admin.raw("PATCH", &format!("{MAPS}/m"), &patch, many).await.expect(200);
    let double = json!([{"op": "copy", "from": "/data", "path": "/data/b"}]);
    let bomb: Vec<Value> = std::iter::repeat_n(double[0].clone(), 64).collect();
    let refused = admin.raw("PATCH", &format!("{MAPS}/m"), &patch, Value::from(bomb).to_string()).await;
    assert!(matches!(refused.code, 400 | 413 | 422), "{}", refused.code);
}
