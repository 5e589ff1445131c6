//! What a request says of the object that it means: name, uid, revision, owners.
use serde_json::{Value, json};

use crate::harness::*;

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

async fn patch(client: &Client, kind: &str, path: &str, body: Value) -> Answer {
    client.raw("PATCH", path, &[("content-type", &format!("application/{kind}"))], body.to_string()).await
}

async fn apply(client: &Client, path: &str, body: Value) -> Answer {
    patch(client, "apply-patch+yaml", &format!("{path}?fieldManager=m"), body).await
}

fn lease(meta: Value) -> Value {
    json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta})
}

fn message(status: &Value) -> &str {
    status["message"].as_str().unwrap()
}

/// A restored copy that says a revision is not a new object; to PUT and apply it is one.
#[tokio::test]
async fn what_is_created_has_no_revision_yet() {
    let api = Api::start().await;
    let admin = api.admin();
    let map = |name: &str, revision: &str| json!({"metadata": {"name": name, "resourceVersion": revision}});
    let told =
        admin.post(MAPS, map("a", "5")).await.refuses(500, "", "resourceVersion should not be set on objects to be created");
    assert_eq!(told.get("details"), None, "{told}");
    admin.get(&format!("{MAPS}/a")).await.refuses(404, "NotFound", "");
    admin.post(&format!("{MAPS}?dryRun=All"), map("a", "5")).await.expect(201);
    for (name, revision) in [("none", "0"), ("word", "abc")] {
        let made = admin.post(MAPS, map(name, revision)).await.expect(201);
        assert_ne!(made["metadata"]["resourceVersion"], revision);
    }
    // The name is taken as well: the revision is told first.
    admin.post(MAPS, map("none", "5")).await.refuses(500, "", "should not be set");
    let put = lease(json!({"name": "l", "resourceVersion": "5"}));
    admin.put(&format!("{LEASES}/l"), put).await.expect(201);
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ap", "resourceVersion": "5"}});
    apply(&admin, &format!("{MAPS}/ap"), config).await.expect(201);
}

#[tokio::test]
async fn a_put_is_for_the_object_of_its_uid_even_if_there_is_none() {
    let api = Api::start().await;
    let admin = api.admin();
    let made = admin.post(MAPS, config_map("a")).await.expect(201);
    let other = |meta: Value| json!({"metadata": meta, "data": {"a": "2"}});
    let told = admin.put(&format!("{MAPS}/a"), other(json!({"name": "a", "uid": "z", "resourceVersion": "1"}))).await.expect(409);
    let own = made["metadata"]["uid"].as_str().unwrap();
    let failed = "Precondition failed: UID in precondition: z, UID in object meta: ";
    let text = format!(
        "Operation cannot be fulfilled on configmaps \"a\": StorageError: invalid object, Code: 4, Key: /registry/configmaps/default/a, ResourceVersion: 0, AdditionalErrorMsg: {failed}"
    );
    assert_eq!(message(&told), format!("{text}{own}"));
    let told = admin.put(&format!("{MAPS}/b"), other(json!({"name": "b", "uid": "z"}))).await.refuses(409, "Conflict", failed);
    assert_eq!(message(&told), text.replace("\"a\"", "\"b\"").replace("default/a", "default/b"));
    let told = admin.put(&format!("{LEASES}/l"), lease(json!({"name": "l", "uid": "z"}))).await.refuses(409, "Conflict", failed);
    assert!(message(&told).contains("/registry/leases/default/l,"), "{told}");
    admin.get(&format!("{LEASES}/l")).await.refuses(404, "NotFound", "");
    admin.put(&format!("{MAPS}/a"), other(json!({"name": "a", "uid": own}))).await.expect(200);
}

/// Whoever ends a namespace means that one, not its successor of the same name.
#[tokio::test]
async fn a_namespace_is_ended_by_its_own_uid_only() {
    let api = Api::start().await;
    let admin = api.admin();
    let made = admin.post("/api/v1/namespaces", json!({"metadata": {"name": "n"}})).await.expect(201);
    let finalize = |uid: &Value| json!({"metadata": {"name": "n", "uid": uid}, "spec": {"finalizers": ["kubernetes"]}});
    let path = "/api/v1/namespaces/n/finalize";
    let text = "Key: /registry/namespaces/n, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: z";
    admin.put(path, finalize(&json!("z"))).await.refuses(409, "Conflict", text);
    admin.put(path, finalize(&made["metadata"]["uid"])).await.expect(200);
}

#[tokio::test]
async fn to_a_patch_the_uid_is_a_field_that_may_not_change() {
    let api = Api::start().await;
    let admin = api.admin();
    let path = format!("{MAPS}/a");
    let made = admin.post(MAPS, config_map("a")).await.expect(201);
    let text = "ConfigMap \"a\" is invalid: metadata.uid: Invalid value: \"z\": field is immutable";
    let uid = json!({"metadata": {"uid": "z"}});
    admin.merge(&path, uid.clone()).await.refuses(422, "Invalid", text);
    patch(&admin, "strategic-merge-patch+json", &path, uid).await.refuses(422, "Invalid", text);
    let config =
        |name: &str, uid: &Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "uid": uid}});
    apply(&admin, &path, config("a", &json!("z"))).await.refuses(422, "Invalid", text);
    apply(&admin, &path, config("a", &made["metadata"]["uid"])).await.expect(200);
    let text = "Operation cannot be fulfilled on configmaps \"b\": uid mismatch: the provided object specified uid z, and no existing object was found";
    apply(&admin, &format!("{MAPS}/b"), config("b", &json!("z"))).await.refuses(409, "Conflict", text);
}

#[tokio::test]
async fn scale_is_for_the_object_of_its_uid() {
    let api = Api::start().await;
    let admin = api.admin();
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let spec = json!({"selector": {"matchLabels": {"a": "b"}}, "template": template});
    let made = admin.post(DEPLOYMENTS, json!({"metadata": {"name": "d"}, "spec": spec})).await.expect(201);
    let path = format!("{DEPLOYMENTS}/d/scale");
    let failed =
        format!("Precondition failed: UID in precondition: z, UID in object meta: {}", made["metadata"]["uid"].as_str().unwrap());
    let scale = |meta: Value| json!({"metadata": meta, "spec": {"replicas": 2}});
    let told = admin.put(&path, scale(json!({"name": "d", "uid": "z"}))).await.refuses(409, "Conflict", &failed);
    assert!(
        message(&told).starts_with("Operation cannot be fulfilled on deployments.apps \"d\": StorageError: invalid object"),
        "{told}"
    );
    let told = admin.merge(&path, scale(json!({"uid": "z"}))).await.expect(409);
    assert_eq!(message(&told), format!("Operation cannot be fulfilled on deployments/scale.apps \"d\": {failed}"));
    assert_eq!(told["details"], json!({"group": "apps", "kind": "deployments/scale", "name": "d"}));
    admin.put(&path, scale(json!({"name": "d", "resourceVersion": "1"}))).await.refuses(409, "Conflict", "has been modified");
    admin.put(&path, scale(json!({"name": "d", "resourceVersion": "0"}))).await.expect(200);
    admin.merge(&path, scale(json!({"name": null}))).await.refuses(400, "BadRequest", "name must be provided");
}

#[tokio::test]
async fn an_object_without_a_name_is_not_taken_for_the_one_of_the_path() {
    let api = Api::start().await;
    let admin = api.admin();
    let path = format!("{MAPS}/a");
    admin.post(MAPS, config_map("a")).await.expect(201);
    let text = "the name of the object (a based on URL) was undeterminable: name must be provided";
    let (merge, strategic, json) = ("merge-patch+json", "strategic-merge-patch+json", "json-patch+json");
    for (kind, body) in [
        (merge, json!({"metadata": {"name": null}})),
        (merge, json!({"metadata": null})),
        (strategic, json!({"metadata": null})),
        (strategic, json!({"$patch": "delete"})),
        (json, json!([{"op": "remove", "path": "/metadata/name"}])),
    ] {
        patch(&admin, kind, &path, body).await.refuses(400, "BadRequest", text);
    }
    admin.put(&path, json!({"data": {"a": "2"}})).await.refuses(400, "BadRequest", text);
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap"});
    apply(&admin, &format!("{MAPS}/b"), config).await.refuses(400, "BadRequest", "the name of the object (b based on URL) was");
    // A namespace that is taken away is the one of the path.
    admin.merge(&path, json!({"metadata": {"namespace": null}})).await.expect(200);
}

#[tokio::test]
async fn a_revision_of_zero_is_none() {
    let api = Api::start().await;
    let admin = api.admin();
    admin.post(MAPS, config_map("a")).await.expect(201);
    let path = format!("{MAPS}/a");
    let map = |revision: &str, value: &str| json!({"metadata": {"name": "a", "resourceVersion": revision}, "data": {"a": value}});
    admin.put(&path, map("0", "2")).await.expect(200);
    admin.merge(&path, map("0", "3")).await.expect(200);
    let wrong = "strconv.ParseUint: parsing \"abc\": invalid syntax";
    for told in [admin.put(&path, map("abc", "4")).await.expect(500), admin.merge(&path, map("abc", "4")).await.expect(500)] {
        assert_eq!((message(&told), told.get("reason")), (wrong, None));
    }
    // A dry run answers with the revision that it would have changed.
    let dry = admin.put(&format!("{path}?dryRun=All"), json!({"metadata": {"name": "a"}})).await.expect(200);
    assert_eq!(dry["metadata"]["resourceVersion"], admin.get(&path).await.expect(200)["metadata"]["resourceVersion"]);

    let path = format!("{LEASES}/l");
    let made = admin.post(LEASES, lease(json!({"name": "l"}))).await.expect(201);
    let text = "leases.coordination.k8s.io \"l\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update";
    for meta in
        [json!({"name": "l"}), json!({"name": "l", "resourceVersion": "0"}), json!({"name": "l", "uid": made["metadata"]["uid"]})]
    {
        admin.put(&path, lease(meta)).await.refuses(422, "Invalid", text);
    }
    admin.merge(&path, json!({"metadata": {"resourceVersion": null}})).await.refuses(422, "Invalid", text);
    admin.merge(&path, json!({"metadata": {"labels": {"a": "b"}}})).await.expect(200);
}

#[tokio::test]
async fn a_saved_object_is_put_back_whatever_its_times() {
    let api = Api::start().await;
    let admin = api.admin();
    let made = admin.post(MAPS, config_map("a")).await.expect(201);
    let old = json!({"metadata": {"name": "a", "creationTimestamp": "2020-01-01T00:00:00Z"}, "data": {"a": "2"}});
    let put = admin.put(&format!("{MAPS}/a"), old.clone()).await.expect(200);
    let merged = admin.merge(&format!("{MAPS}/a"), old).await.expect(200);
    for now in [put, merged] {
        assert_eq!(now["metadata"]["creationTimestamp"], made["metadata"]["creationTimestamp"]);
    }
}

#[tokio::test]
async fn owners_that_are_told_twice_are_kept_once_with_a_warning() {
    let api = Api::start().await;
    let admin = api.admin();
    let owner = json!({"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u1"});
    let twice = json!({"metadata": {"name": "a", "ownerReferences": [owner, owner]}});
    let text = |when: &str| {
        format!(
            "299 - \".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: u1\""
        )
    };
    let path = format!("{MAPS}/a");
    for (answer, when) in [
        (admin.post(MAPS, twice.clone()).await, ""),
        (admin.put(&path, twice.clone()).await, ""),
        (admin.merge(&path, twice).await, " after mutating admission happens"),
    ] {
        assert_eq!(answer.headers["warning"], text(when));
        let object = answer.json();
        assert_eq!(object["metadata"]["ownerReferences"], json!([owner]), "{object}");
    }
}

#[tokio::test]
async fn options_of_a_write_are_told_as_they_were_asked() {
    let api = Api::start().await;
    let admin = api.admin();
    for (query, text) in [
        ("dryRun=", "dryRun: Unsupported value: [\"\"]: supported values: \"All\""),
        ("dryRun=All&dryRun=x", "dryRun: Unsupported value: [\"All\",\"x\"]: supported values: \"All\""),
        (
            "fieldValidation=y",
            "fieldValidation: Unsupported value: \"y\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"",
        ),
        ("fieldManager=%01a", "fieldManager: Invalid value: \"\\x01a\": invalid character U+0001 (at position 0)"),
    ] {
        let told = admin.post(&format!("{MAPS}?{query}"), config_map("a")).await.refuses(422, "Invalid", text);
        assert_eq!(told["details"]["causes"].as_array().unwrap().len(), 1, "{told}");
    }
    admin.post(MAPS, config_map("a")).await.expect(201);
    let force = format!("{MAPS}/a?force=");
    admin.merge(&force, json!({})).await.refuses(422, "Invalid", "force: Forbidden: may not be specified for non-apply patch");
    admin.delete(&format!("{MAPS}/a?dryRun=x")).await.refuses(422, "Invalid", "dryRun: Unsupported value: [\"x\"]");
    admin.get(&format!("{MAPS}/a")).await.expect(200);
}
