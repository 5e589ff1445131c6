//! Deletion: preconditions, grace, finalizers, namespaces, collections.
use serde_json::{Value, json};

use crate::harness::*;

#[tokio::test]
async fn a_deleted_object_is_gone_and_its_status_says_what_it_was() {
    let api = Api::start().await;
    let admin = api.admin();
    let made = admin.post(MAPS, config_map("d")).await.expect(201);
    let wrong = json!({"preconditions": {"uid": "nope"}}).to_string();
    admin.raw("DELETE", &format!("{MAPS}/d"), &[], wrong).await.refuses(
        409,
        "Conflict",
        "the UID in the precondition (nope) does not match",
    );
    let old = json!({"preconditions": {"resourceVersion": "1"}}).to_string();
    admin.raw("DELETE", &format!("{MAPS}/d"), &[], old).await.refuses(
        409,
        "Conflict",
        "the ResourceVersion in the precondition (1)",
    );
    let status = admin.delete(&format!("{MAPS}/d")).await.expect(200);
    assert_eq!((&status["status"], &status["details"]["uid"]), (&json!("Success"), &made["metadata"]["uid"]));
    admin.delete(&format!("{MAPS}/d")).await.refuses(404, "NotFound", "");
}

#[tokio::test]
async fn finalizers_keep_an_object_until_the_last_is_gone() {
    let api = Api::start().await;
    let admin = api.admin();
    let mut body = config_map("f");
    body["metadata"]["finalizers"] = json!(["a.example/x", "a.example/y"]);
    admin.post(MAPS, body).await.expect(201);
    let waiting = admin.delete(&format!("{MAPS}/f")).await.expect(200);
    assert_eq!(
        (waiting["kind"].as_str(), waiting["metadata"]["deletionTimestamp"].as_str()),
        (Some("ConfigMap"), Some("2026-11-21T10:00:00Z"))
    );
    admin.merge(&format!("{MAPS}/f"), json!({"metadata": {"finalizers": ["a.example/y"]}})).await.expect(200);
    admin.get(&format!("{MAPS}/f")).await.expect(200);
    admin.merge(&format!("{MAPS}/f"), json!({"metadata": {"finalizers": null}})).await.expect(200);
    admin.get(&format!("{MAPS}/f")).await.refuses(404, "NotFound", "");
}

#[tokio::test]
async fn propagation_leaves_its_finalizer() {
    let api = Api::start().await;
    let admin = api.admin();
    for (policy, finalizer) in [("Orphan", "orphan"), ("Foreground", "foregroundDeletion")] {
        admin.post(MAPS, config_map("p")).await.expect(201);
        let waiting = admin.delete(&format!("{MAPS}/p?propagationPolicy={policy}")).await.expect(200);
        assert_eq!(waiting["metadata"]["finalizers"], json!([finalizer]));
        admin.merge(&format!("{MAPS}/p"), json!({"metadata": {"finalizers": null}})).await.expect(200);
    }
    admin.post(MAPS, config_map("p")).await.expect(201);
    admin.delete(&format!("{MAPS}/p?propagationPolicy=Other")).await.refuses(
        422,
        "Invalid",
        "supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"",
    );
    admin.delete(&format!("{MAPS}/p?propagationPolicy=Background")).await.expect(200);
    admin.get(&format!("{MAPS}/p")).await.refuses(404, "NotFound", "");
}

#[tokio::test]
async fn a_pod_that_runs_gets_its_grace_and_one_that_does_not_goes_at_once() {
    let api = Api::start().await;
    api.namespace("g").await;
    let (admin, pods) = (api.admin(), "/api/v1/namespaces/g/pods");
    admin.post(pods, pod("waiting")).await.expect(201);
    admin.delete(&format!("{pods}/waiting")).await.expect(200);
    admin.get(&format!("{pods}/waiting")).await.refuses(404, "NotFound", "");
    admin.post(pods, pod("running")).await.expect(201);
    for (wrong, code, why) in [
        (json!({"target": {"name": "n1"}}), 400, "name in URL does not match name in Binding object"),
        (json!({"metadata": {"name": "waiting"}, "target": {"name": "n1"}}), 400, "name in URL does not match name"),
        (json!({"metadata": {"name": "running"}, "target": {"kind": "Node"}}), 500, "target.name: Required value"),
        (
            json!({"metadata": {"name": "running"}, "target": {"kind": "Foo"}}),
            500,
            "[target.kind: Unsupported value: \"Foo\": supported values: \"Node\", \"<empty>\", target.name: Required value]",
        ),
    ] {
        let reason = if code == 400 { "BadRequest" } else { "" };
        admin.post(&format!("{pods}/running/binding"), wrong).await.refuses(code, reason, why);
    }
    let target = json!({"metadata": {"name": "running"}, "target": {"kind": "Node", "name": "n1"}});
    admin.post(&format!("{pods}/running/binding"), target.clone()).await.expect(201);
    admin.post(&format!("{pods}/running/binding"), target).await.refuses(409, "Conflict", "is already assigned to node \"n1\"");
    let going = admin.delete(&format!("{pods}/running")).await.expect(200);
    assert_eq!(
        (going["metadata"]["deletionGracePeriodSeconds"].as_i64(), going["metadata"]["deletionTimestamp"].as_str()),
        (Some(30), Some("2026-11-21T10:00:30Z"))
    );
    let longer = admin.delete(&format!("{pods}/running?gracePeriodSeconds=90")).await.expect(200);
    assert_eq!(longer["metadata"]["deletionGracePeriodSeconds"], 30, "never longer");
    let shorter = admin.delete(&format!("{pods}/running?gracePeriodSeconds=5")).await.expect(200);
    assert_eq!(shorter["metadata"]["deletionTimestamp"], "2026-11-21T10:00:05Z");
    admin.delete(&format!("{pods}/running?gracePeriodSeconds=0")).await.expect(200);
    admin.get(&format!("{pods}/running")).await.refuses(404, "NotFound", "");
}

#[tokio::test]
async fn a_namespace_ends_when_it_is_finalized() {
    let api = Api::start().await;
    let admin = api.admin();
    api.namespace("n").await;
    let going = admin.delete("/api/v1/namespaces/n").await.expect(200);
    assert_eq!((going["status"]["phase"].as_str(), &going["spec"]["finalizers"]), (Some("Terminating"), &json!(["kubernetes"])));
    let again = admin.delete("/api/v1/namespaces/n").await.expect(200);
    assert_eq!(again, going, "it is on its way");
    let mut bad = going.clone();
    bad["spec"] = json!({"finalizers": ["bad"]});
    admin.put("/api/v1/namespaces/n/finalize", bad).await.refuses(
        422,
        "Invalid",
        "spec.finalizers[0]: Invalid value: \"bad\": name is neither a standard finalizer name nor is it fully qualified",
    );
    let mut last = going;
    last["spec"] = json!({"finalizers": []});
    admin.put("/api/v1/namespaces/n/finalize", last).await.expect(200);
    admin.get("/api/v1/namespaces/n").await.refuses(404, "NotFound", "");
}

#[tokio::test]
async fn a_collection_is_deleted_as_far_as_it_is_selected() {
    let api = Api::start().await;
    let admin = api.admin();
    for (name, tier) in [("a", "x"), ("b", "y"), ("c", "x")] {
        admin.post(MAPS, json!({"metadata": {"name": name, "labels": {"tier": tier}}})).await.expect(201);
    }
    let gone = admin.delete(&format!("{MAPS}?labelSelector=tier%3Dx")).await.expect(200);
    assert_eq!((gone["kind"].as_str(), gone["items"].as_array().unwrap().len()), (Some("ConfigMapList"), 2));
    let left = admin.get(MAPS).await.expect(200);
    assert_eq!((left["items"].as_array().unwrap().len(), &left["items"][0]["metadata"]["name"]), (1, &json!("b")));
}

/// https://kubernetes.io/docs/concepts/architecture/garbage-collection/#orphan
#[tokio::test]
async fn whoever_deletes_a_job_hears_that_its_pods_stay() {
    let api = Api::start().await;
    let admin = api.admin();
    let jobs = "/apis/batch/v1/namespaces/default/jobs";
    let job = json!({"metadata": {"name": "j"}, "spec": {"template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
    admin.post(jobs, job).await.expect(201);
    let told =
        |answer: &Answer| answer.headers.get_all("warning").iter().any(|w| w.to_str().is_ok_and(|w| w.contains("child pods")));
    for (path, warns) in [
        (format!("{jobs}/j?dryRun=All"), true),
        (format!("{jobs}?dryRun=All"), true),
        (format!("{jobs}/j?dryRun=All&propagationPolicy=Orphan"), false),
        (format!("{jobs}/j?dryRun=All&propagationPolicy=Background"), false),
    ] {
        let answer = admin.delete(&path).await;
        assert_eq!((answer.code, told(&answer)), (200, warns), "{path}");
    }
}

#[tokio::test]
async fn an_eviction_deletes_unless_a_budget_covers_the_pod() {
    let api = Api::start().await;
    api.namespace("e").await;
    let (admin, pods) = (api.admin(), "/api/v1/namespaces/e/pods");
    for name in ["a", "b"] {
        let mut body = pod(name);
        body["metadata"]["labels"] = json!({"app": name});
        admin.post(pods, body).await.expect(201);
        let target = json!({"metadata": {"name": name}, "target": {"kind": "Node", "name": "n1"}});
        admin.post(&format!("{pods}/{name}/binding"), target).await.expect(201);
        admin.merge(&format!("{pods}/{name}/status"), json!({"status": {"phase": "Running"}})).await.expect(200);
    }
    let foreign = json!({"metadata": {"name": "a", "namespace": "other"}});
    admin.post(&format!("{pods}/a/eviction"), foreign).await.refuses(400, "BadRequest", "the namespace of the provided object");
    for other in [json!({"metadata": {"name": "b"}}), json!({})] {
        let refused = admin.post(&format!("{pods}/a/eviction"), other).await;
        refused.refuses(400, "BadRequest", "name in URL does not match name in Eviction object");
    }
    for name in ["a", "b"] {
        let pod = admin.get(&format!("{pods}/{name}")).await.expect(200);
        assert_eq!(pod["metadata"]["deletionTimestamp"], Value::Null, "an eviction that was refused evicts nothing");
    }
    let budget = json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "b"}}}});
    admin.post("/apis/policy/v1/namespaces/e/poddisruptionbudgets", budget).await.expect(201);
    admin.post(&format!("{pods}/a/eviction"), json!({"metadata": {"name": "a"}})).await.expect(201);
    assert!(admin.get(&format!("{pods}/a")).await.expect(200)["metadata"]["deletionTimestamp"].is_string());
    admin.post(&format!("{pods}/b/eviction"), json!({"metadata": {"name": "b"}})).await.refuses(
        501,
        "NotImplemented",
        "PodDisruptionBudget",
    );
}
