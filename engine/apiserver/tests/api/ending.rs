//! Deletion as kinds of their own have it: namespaces, definitions, Jobs; and options that are not understood.
use serde_json::json;

use crate::harness::*;

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

#[tokio::test]
async fn an_option_of_a_deletion_that_is_not_understood_deletes_nothing() {
    let api = Api::start().await;
    let admin = api.admin();
    admin.post(&format!("{MAPS}?dryRun="), config_map("c")).await.refuses(422, "Invalid", "dryRun: Unsupported value");
    admin.get(&format!("{MAPS}/c")).await.refuses(404, "NotFound", "");
    admin.post(MAPS, config_map("c")).await.expect(201);
    for query in ["dryRun=", "dryRun=All&dryRun=", "propagationPolicy=", "propagationPolicy=&orphanDependents=true"] {
        admin.delete(&format!("{MAPS}/c?{query}")).await.refuses(422, "Invalid", "");
        admin.delete(&format!("{MAPS}?{query}")).await.refuses(422, "Invalid", "");
    }
    for body in [json!({"dryRun": [""]}), json!({"propagationPolicy": ""})] {
        admin.raw("DELETE", &format!("{MAPS}/c"), &[], body.to_string()).await.refuses(422, "Invalid", "Unsupported value");
    }
    admin.get(&format!("{MAPS}/c")).await.expect(200);
}

#[tokio::test]
async fn preconditions_of_what_ends_in_stages_name_the_resource() {
    let api = Api::with(|settings| settings.store_unenforced = true).await;
    let admin = api.admin();
    let namespace = admin.post("/api/v1/namespaces", json!({"metadata": {"name": "n"}})).await.expect(201);
    let definition = admin.post(CRDS, definition("n")).await.expect(201);
    let cases = [
        ("/api/v1/namespaces/n", &namespace, "namespaces", json!({"kind": "namespaces", "name": "n"})),
        (
            &*format!("{CRDS}/ns.x.example"),
            &definition,
            "customresourcedefinitions.apiextensions.k8s.io",
            json!({"group": "apiextensions.k8s.io", "kind": "customresourcedefinitions", "name": "ns.x.example"}),
        ),
    ];
    for (path, object, resource, details) in cases {
        let (meta, name) = (&object["metadata"], &object["metadata"]["name"]);
        let of = |what: &str, is: &serde_json::Value| {
            let (field, is) = (if what == "UID" { "uid" } else { "resourceVersion" }, is.as_str().unwrap().to_owned());
            let why = format!("Precondition failed: {what} in precondition: 1, {what} in object meta: {is}");
            (json!({"preconditions": {field: "1"}}), format!("Operation cannot be fulfilled on {resource} {name}: {why}"))
        };
        for (body, text) in [of("UID", &meta["uid"]), of("ResourceVersion", &meta["resourceVersion"])] {
            let refused = admin.raw("DELETE", path, &[], body.to_string()).await.refuses(409, "Conflict", &text);
            assert_eq!(refused["details"], details);
        }
    }
}

fn definition(singular: &str) -> serde_json::Value {
    let schema = json!({"openAPIV3Schema": {"type": "object"}});
    json!({
        "metadata": {"name": format!("{singular}s.x.example")},
        "spec": {
            "group": "x.example",
            "scope": "Namespaced",
            "names": {"plural": format!("{singular}s"), "singular": singular, "kind": "Thing", "listKind": "ThingList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}],
        },
    })
}

#[tokio::test]
async fn a_definition_is_answered_as_it_ends() {
    let api = Api::with(|settings| settings.store_unenforced = true).await;
    let admin = api.admin();
    let path = format!("{CRDS}/things.x.example");
    let check = |ended: &serde_json::Value, finalizers: serde_json::Value| {
        assert_eq!((ended["kind"].as_str(), &ended["metadata"]["finalizers"]), (Some("CustomResourceDefinition"), &finalizers));
        assert_eq!(ended["metadata"]["deletionTimestamp"], "2026-11-21T10:00:00Z");
        assert!(ended["metadata"]["deletionGracePeriodSeconds"].is_null());
        let conditions = ended["status"]["conditions"].as_array().unwrap();
        let wanted = json!({
            "type": "Terminating",
            "status": "True",
            "lastTransitionTime": "2026-11-21T10:00:00Z",
            "reason": "InstanceDeletionPending",
            "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will be initiated soon",
        });
        assert_eq!(conditions.last(), Some(&wanted));
    };
    let own = "customresourcecleanup.apiextensions.k8s.io";
    admin.post(CRDS, definition("thing")).await.expect(201);
    check(&admin.delete(&format!("{path}?dryRun=All")).await.expect(200), json!([own]));
    check(&admin.delete(&path).await.expect(200), json!([own]));
    admin.get(&path).await.refuses(404, "NotFound", "");

    let mut held = definition("thing");
    held["metadata"]["finalizers"] = json!(["a.example/x"]);
    admin.post(CRDS, held).await.expect(201);
    check(&admin.delete(&path).await.expect(200), json!(["a.example/x", own]));
    assert_eq!(admin.get(&path).await.expect(200)["metadata"]["finalizers"], json!(["a.example/x"]));
    admin.merge(&path, json!({"metadata": {"finalizers": null}})).await.expect(200);
    admin.get(&path).await.refuses(404, "NotFound", "");
}

#[tokio::test]
async fn a_deletion_of_jobs_without_a_policy_warns_that_pods_stay() {
    let api = Api::start().await;
    api.namespace("j").await;
    let jobs = "/apis/batch/v1/namespaces/j/jobs";
    for (path, warns) in [
        (format!("{jobs}/none"), true),
        (format!("{jobs}/none?dryRun=All"), true),
        (jobs.to_owned(), true),
        (format!("{jobs}/none?propagationPolicy=Background"), false),
        (format!("{jobs}/none?orphanDependents=true"), false),
        (format!("{MAPS}/none"), false),
    ] {
        let answer = api.admin().delete(&path).await;
        let warning = answer.headers.get("warning").map(|w| w.to_str().unwrap());
        assert_eq!(warning.is_some(), warns, "{path}: {warning:?}");
        assert!(warning.is_none_or(|w| w.starts_with("299 - \"child pods are preserved by default when jobs are deleted; set ")));
    }
}
