//! Server-side apply and field management through the door.
use serde_json::{Value, json};

use crate::harness::*;

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const APPLY: [(&str, &str); 1] = [("content-type", "application/apply-patch+yaml")];

fn deployment(replicas: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}},
    }})
}

async fn apply(client: &Client, path: &str, body: &Value) -> Answer {
    client.raw("PATCH", path, &APPLY, body.to_string()).await
}

/// Who has an entry by which operation, through which part.
fn managers(object: &Value) -> Vec<String> {
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or("").to_owned();
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    entries
        .iter()
        .map(|e| ["manager", "operation", "subresource"].map(|name| text(e, name)).join(" ").trim_end().to_owned())
        .collect()
}

#[tokio::test]
async fn an_apply_makes_an_object_and_the_same_again_changes_nothing() {
    let api = Api::start().await;
    let admin = api.admin();
    let path = format!("{DEPLOYMENTS}/web?fieldManager=one");
    let made = apply(&admin, &path, &deployment(json!(2))).await.expect(201);
    assert_eq!(managers(&made), ["one Apply"]);
    let again = apply(&admin, &path, &deployment(json!(2))).await.expect(200);
    assert_eq!(revision(&again), revision(&made));
    // YAML says the same.
    let yaml = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 2\n  selector: {matchLabels: {app: web}}\n  \
                template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: c, image: \"i:1\"}]}\n";
    let yaml = admin.raw("PATCH", &path, &APPLY, yaml.to_owned()).await.expect(200);
    assert_eq!(revision(&yaml), revision(&made));
}

#[tokio::test]
async fn fields_of_others_are_a_conflict_that_force_takes_over() {
    let api = Api::start().await;
    let admin = api.admin();
    apply(&admin, &format!("{DEPLOYMENTS}/web?fieldManager=one"), &deployment(json!(2))).await.expect(201);
    let two = format!("{DEPLOYMENTS}/web?fieldManager=two");
    let refused = apply(&admin, &two, &deployment(json!(3))).await.refuses(409, "Conflict", "Apply failed with 1 conflict");
    assert_eq!(refused["details"]["causes"][0]["reason"], "FieldManagerConflict");
    assert_eq!(refused["details"]["causes"][0]["field"], ".spec.replicas");
    let taken = apply(&admin, &format!("{two}&force=true"), &deployment(json!(3))).await.expect(200);
    assert_eq!(taken["spec"]["replicas"], 3);
    apply(&admin, &format!("{DEPLOYMENTS}/web?fieldManager=one"), &deployment(json!(2))).await.refuses(409, "Conflict", "two");
    // An update takes without asking.
    let mut put = admin.get(&format!("{DEPLOYMENTS}/web")).await.expect(200);
    put["spec"]["replicas"] = 5.into();
    let put = admin.put(&format!("{DEPLOYMENTS}/web?fieldManager=three"), put).await.expect(200);
    assert_eq!(managers(&put), ["one Apply", "two Apply", "three Update"]);
}

#[tokio::test]
async fn what_is_applied_no_more_goes_unless_somebody_else_applies_it() {
    let api = Api::start().await;
    let admin = api.admin();
    let map = |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data});
    let as_of = |name: &str| format!("{MAPS}/m?fieldManager={name}");
    apply(&admin, &as_of("one"), &map(json!({"a": "1", "b": "2", "c": "3"}))).await.expect(201);
    apply(&admin, &as_of("two"), &map(json!({"b": "2"}))).await.expect(200);
    let left = apply(&admin, &as_of("one"), &map(json!({"c": "3"}))).await.expect(200);
    assert_eq!(left["data"], json!({"b": "2", "c": "3"}));
}

#[tokio::test]
async fn parts_of_an_object_have_managers_of_their_own() {
    let api = Api::start().await;
    let admin = api.admin();
    apply(&admin, &format!("{DEPLOYMENTS}/web?fieldManager=one"), &deployment(json!(2))).await.expect(201);
    let status = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "status": {"replicas": 2}});
    let told = apply(&admin, &format!("{DEPLOYMENTS}/web/status?fieldManager=two"), &status).await.expect(200);
    assert_eq!(managers(&told), ["one Apply", "two Apply status"]);
    // Whoever scales takes the replicas from the applier.
    let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web"}, "spec": {"replicas": 4}});
    admin.put(&format!("{DEPLOYMENTS}/web/scale?fieldManager=three"), scale.clone()).await.expect(200);
    let scaled = admin.get(&format!("{DEPLOYMENTS}/web")).await.expect(200);
    assert_eq!(managers(&scaled), ["one Apply", "two Apply status", "three Update scale"]);
    apply(&admin, &format!("{DEPLOYMENTS}/web?fieldManager=one"), &deployment(json!(2))).await.refuses(409, "Conflict", "scale");
    apply(&admin, &format!("{DEPLOYMENTS}/web/scale?fieldManager=one"), &scale).await.expect(200);
    let absent = apply(&admin, &format!("{DEPLOYMENTS}/gone/status?fieldManager=two"), &status).await;
    absent.refuses(404, "NotFound", "gone");
}

#[tokio::test]
async fn an_object_from_before_the_first_apply_keeps_what_it_had() {
    let api = Api::start().await;
    let admin = api.admin();
    let made = admin.post(&format!("{MAPS}?fieldManager=maker"), config_map("m")).await.expect(201);
    assert_eq!(managers(&made), ["maker Update"]);
    let forgotten = admin.merge(&format!("{MAPS}/m"), json!({"metadata": {"managedFields": [{}]}})).await.expect(200);
    assert_eq!(managers(&forgotten), Vec::<String>::new());
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"b": "1"}});
    let applied = apply(&admin, &format!("{MAPS}/m?fieldManager=one"), &map).await.expect(200);
    assert_eq!(managers(&applied), ["one Apply", "before-first-apply Update"]);
    assert_eq!(applied["data"], json!({"a": "1", "b": "1"}));
}

#[tokio::test]
async fn wrong_options_and_bodies_of_an_apply_are_told() {
    let api = Api::start().await;
    let admin = api.admin();
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}});
    let told = apply(&admin, &format!("{MAPS}/m?dryRun=Some"), &map).await.refuses(422, "Invalid", "is required for apply patch");
    assert_eq!(told["details"]["causes"].as_array().unwrap().len(), 2, "each wrong option is told: {told}");
    admin.merge(&format!("{MAPS}/m?force=true"), json!({})).await.refuses(
        422,
        "Invalid",
        "may not be specified for non-apply patch",
    );
    let long = "x".repeat(129);
    admin.post(&format!("{MAPS}?fieldManager={long}"), config_map("m")).await.refuses(422, "Invalid", "fieldManager: Too long");
    admin.post(&format!("{MAPS}?fieldManager=a%07b"), config_map("m")).await.refuses(
        422,
        "Invalid",
        "\"a\\ab\": invalid character U+0007 (at position 1)",
    );
    let named = format!("{MAPS}/m?fieldManager=one");
    admin.raw("PATCH", &named, &APPLY, "a: [".to_owned()).await.refuses(400, "BadRequest", "error decoding YAML");
    apply(&admin, &named, &json!({"apiVersion": "v1", "kind": "Secret"})).await.refuses(400, "BadRequest", "invalid object type");
    let managed = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"managedFields": []}});
    apply(&admin, &named, &managed).await.refuses(400, "BadRequest", "managedFields must be nil");
    let unknown = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "color": "red"});
    apply(&admin, &named, &unknown).await.refuses(500, "", "field not declared in schema");
    let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "n"}});
    apply(&admin, &named, &other).await.refuses(400, "BadRequest", "does not match the name on the URL");
    admin.get(&format!("{MAPS}/m")).await.refuses(404, "NotFound", "m");
}

#[tokio::test]
async fn whoever_may_only_patch_makes_nothing_new_by_it() {
    let api = Api::start().await;
    let admin = api.admin();
    let role = json!({"metadata": {"name": "patcher"}, "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch", "get"]}]});
    admin.post("/apis/rbac.authorization.k8s.io/v1/clusterroles", role).await.expect(201);
    let binding = json!({"metadata": {"name": "patcher"}, "roleRef": {"kind": "ClusterRole", "name": "patcher"},
        "subjects": [{"kind": "User", "name": "eve"}]});
    admin.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding).await.expect(201);
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "2"}});
    let eve = api.user("eve", &[]);
    apply(&eve, &format!("{MAPS}/m?fieldManager=eve"), &map).await.refuses(403, "Forbidden", "cannot create");
    admin.post(MAPS, config_map("m")).await.expect(201);
    apply(&eve, &format!("{MAPS}/m?fieldManager=eve&force=true"), &map).await.expect(200);
}

/// However many writers apply and update at once, nothing of any of them is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appliers_at_once_all_end_up_in_the_object() {
    let api = Api::start().await;
    let admin = api.admin();
    let writers: Vec<_> = (0..12)
        .map(|i| {
            let admin = admin.clone();
            tokio::spawn(async move {
                let map =
                    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {format!("k{i}"): "v"}});
                let code = apply(&admin, &format!("{MAPS}/m?fieldManager=w{i}"), &map).await.code;
                assert!(matches!(code, 200 | 201), "{code}");
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let object = admin.get(&format!("{MAPS}/m")).await.expect(200);
    assert_eq!(object["data"].as_object().unwrap().len(), 12);
    assert_eq!(managers(&object).len(), 12);
}
