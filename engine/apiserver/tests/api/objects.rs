//! create, get, update, patch: what is kept, what is refused.
use serde_json::{Value, json};

use crate::harness::*;

#[tokio::test]
async fn a_created_object_is_answered_and_found_again() {
    let api = Api::start().await;
    let admin = api.admin();
    let made = admin.post(MAPS, config_map("one")).await.expect(201);
    assert_eq!((made["kind"].as_str(), made["apiVersion"].as_str()), (Some("ConfigMap"), Some("v1")));
    assert_eq!(made["metadata"]["namespace"], "default");
    assert_eq!(made["metadata"]["creationTimestamp"], "2026-11-21T10:00:00Z");
    assert_eq!(made["metadata"]["uid"].as_str().unwrap().len(), 36);
    let found = admin.get(&format!("{MAPS}/one")).await.expect(200);
    assert_eq!(found, made);
    admin.post(MAPS, config_map("one")).await.refuses(409, "AlreadyExists", "configmaps \"one\" already exists");
    admin.get(&format!("{MAPS}/two")).await.refuses(404, "NotFound", "configmaps \"two\" not found");
}

#[tokio::test]
async fn a_name_is_generated_and_different_each_time() {
    let api = Api::start().await;
    let body = json!({"metadata": {"generateName": "gen-"}});
    let one = api.admin().post(MAPS, body.clone()).await.expect(201);
    let two = api.admin().post(MAPS, body).await.expect(201);
    let (one, two) = (one["metadata"]["name"].as_str().unwrap(), two["metadata"]["name"].as_str().unwrap());
    assert!(one.starts_with("gen-") && one.len() == 9 && one != two, "{one} {two}");
}

#[tokio::test]
async fn an_update_that_changes_nothing_keeps_the_revision() {
    let api = Api::start().await;
    let admin = api.admin();
    let made = admin.post(MAPS, config_map("same")).await.expect(201);
    let again = admin.put(&format!("{MAPS}/same"), config_map("same")).await.expect(200);
    assert_eq!(revision(&again), revision(&made));
    let patched = admin.merge(&format!("{MAPS}/same"), json!({"data": {"a": "1"}})).await.expect(200);
    assert_eq!(revision(&patched), revision(&made));
    let changed = admin.merge(&format!("{MAPS}/same"), json!({"data": {"a": "2"}})).await.expect(200);
    assert!(revision(&changed) > revision(&made));
}

#[tokio::test]
async fn an_update_of_an_old_revision_is_a_conflict() {
    let api = Api::start().await;
    let admin = api.admin();
    let old = admin.post(MAPS, config_map("race")).await.expect(201);
    admin.merge(&format!("{MAPS}/race"), json!({"data": {"a": "2"}})).await.expect(200);
    admin.put(&format!("{MAPS}/race"), old.clone()).await.refuses(
        409,
        "Conflict",
        "the object has been modified; please apply your changes",
    );
    let patch = json!({"metadata": {"resourceVersion": old["metadata"]["resourceVersion"]}, "data": {"a": "3"}});
    admin.merge(&format!("{MAPS}/race"), patch).await.refuses(409, "Conflict", "the object has been modified");
    let other = json!({"metadata": {"name": "race", "uid": "other"}});
    admin.put(&format!("{MAPS}/race"), other).await.refuses(409, "Conflict", "Precondition failed: UID in precondition: other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_at_once_are_all_applied() {
    let api = Api::start().await;
    let admin = api.admin();
    admin.post(MAPS, config_map("many")).await.expect(201);
    let patches = (0..20).map(|n| {
        let admin = admin.clone();
        async move { admin.merge(&format!("{MAPS}/many"), json!({"data": {format!("k{n}"): "v"}})).await.code }
    });
    assert!(futures::future::join_all(patches).await.iter().all(|code| *code == 200));
    let found = admin.get(&format!("{MAPS}/many")).await.expect(200);
    assert_eq!(found["data"].as_object().unwrap().len(), 21);
}

#[tokio::test]
async fn a_dry_run_answers_and_keeps_nothing() {
    let api = Api::start().await;
    let admin = api.admin();
    let answer = admin.post(&format!("{MAPS}?dryRun=All"), config_map("dry")).await.expect(201);
    assert_eq!(answer["data"]["a"], "1");
    admin.get(&format!("{MAPS}/dry")).await.refuses(404, "NotFound", "");
    admin.post(MAPS, config_map("dry")).await.expect(201);
    admin.raw("DELETE", &format!("{MAPS}/dry?dryRun=All"), &[], String::new()).await.expect(200);
    admin.get(&format!("{MAPS}/dry")).await.expect(200);
    admin.post(&format!("{MAPS}?dryRun=Some"), config_map("x")).await.refuses(422, "Invalid", "supported values: \"All\"");
}

#[tokio::test]
async fn unknown_fields_are_pruned_warned_about_or_refused_as_asked() {
    let api = Api::start().await;
    let admin = api.admin();
    let body = json!({"metadata": {"name": "x"}, "bogus": 1}).to_string();
    let warned = admin.raw("POST", &format!("{MAPS}?dryRun=All"), &[], body.clone()).await;
    assert_eq!(warned.headers.get("warning").unwrap(), "299 - \"unknown field \\\"bogus\\\"\"");
    assert!(warned.expect(201).get("bogus").is_none());
    let ignored = admin.raw("POST", &format!("{MAPS}?dryRun=All&fieldValidation=Ignore"), &[], body.clone()).await;
    assert!(ignored.headers.get("warning").is_none());
    let strict = admin.raw("POST", &format!("{MAPS}?dryRun=All&fieldValidation=Strict"), &[], body).await;
    strict.refuses(400, "BadRequest", "strict decoding error: unknown field \"bogus\"");
    let twice = r#"{"metadata":{"name":"x"},"data":{"a":"1","a":"2"}}"#.to_owned();
    let strict = admin.raw("POST", &format!("{MAPS}?dryRun=All&fieldValidation=Strict"), &[], twice).await;
    strict.refuses(400, "BadRequest", "duplicate field \"data.a\"");
}

#[tokio::test]
async fn a_body_may_be_yaml_or_protobuf_and_so_may_the_answer() {
    let api = Api::start().await;
    let admin = api.admin();
    let yaml = "metadata:\n  name: why\ndata:\n  a: \"1\"\n".to_owned();
    let made = admin.raw("POST", MAPS, &[("content-type", "application/yaml"), ("accept", "application/yaml")], yaml).await;
    assert_eq!(made.headers["content-type"], "application/yaml");
    assert_eq!(made.code, 201, "{}", String::from_utf8_lossy(&made.bytes));
    assert!(std::str::from_utf8(&made.bytes).unwrap().contains("name: why"));
    let proto = "application/vnd.kubernetes.protobuf";
    let got = admin.raw("GET", &format!("{MAPS}/why"), &[("accept", proto)], String::new()).await;
    assert_eq!(&got.bytes[..4], b"k8s\0");
    let mut request = http::Request::builder().method("PUT").uri(format!("{MAPS}/why")).header("content-type", proto);
    request = request.header("accept", "application/json");
    let again = admin.open(request.body(irori_http::full(got.bytes)).unwrap()).await;
    assert_eq!(Answer::of(again).await.expect(200)["data"]["a"], "1");
    admin.raw("GET", &format!("{MAPS}/why"), &[("accept", "text/html")], String::new()).await.refuses(
        406,
        "NotAcceptable",
        "application/json",
    );
    let odd = admin.raw("POST", MAPS, &[("content-type", "text/plain")], "x".to_owned()).await;
    odd.refuses(415, "UnsupportedMediaType", "accepted media types include: application/json");
}

#[tokio::test]
async fn what_people_ask_by_hand_is_answered_for_their_eyes() {
    let api = Api::start().await;
    let admin = api.admin();
    admin.post(MAPS, config_map("m")).await.expect(201);
    let lines = |answer: Answer| String::from_utf8_lossy(&answer.bytes).trim().lines().count();
    for path in [format!("{MAPS}/m"), MAPS.to_owned(), format!("{MAPS}/gone")] {
        let curl = [("user-agent", "curl/8.0")];
        assert!(lines(admin.raw("GET", &path, &curl, String::new()).await) > 5, "{path}");
        assert_eq!(lines(admin.raw("GET", &format!("{path}?pretty=false"), &curl, String::new()).await), 1, "{path}");
        assert_eq!(lines(admin.get(&path).await), 1, "{path}");
        assert!(lines(admin.get(&format!("{path}?pretty=1")).await) > 5, "{path}");
    }
}

/// The binary form CBOR is off in a stock server, in both directions.
#[tokio::test]
async fn cbor_is_answered_as_where_it_is_off() {
    let api = Api::start().await;
    let admin = api.admin();
    admin.post(MAPS, config_map("m")).await.expect(201);
    let path = format!("{MAPS}/m");
    admin.raw("GET", &path, &[("accept", "application/cbor")], String::new()).await.refuses(
        406,
        "NotAcceptable",
        "406: Not Acceptable",
    );
    // A client that would take it, and JSON too, gets JSON.
    let both = [("accept", "application/cbor, application/json;q=0.9")];
    assert_eq!(admin.raw("GET", &path, &both, String::new()).await.headers["content-type"], "application/json");
    admin.raw("POST", MAPS, &[("content-type", "application/cbor")], "x".to_owned()).await.refuses(
        415,
        "UnsupportedMediaType",
        "",
    );
    let apply = [("content-type", "application/apply-patch+cbor")];
    admin.raw("PATCH", &format!("{path}?fieldManager=t"), &apply, "x".to_owned()).await.refuses(
        415,
        "UnsupportedMediaType",
        "application/apply-patch+yaml",
    );
}

#[tokio::test]
async fn status_is_written_by_its_own_door_only() {
    let api = Api::start().await;
    let admin = api.admin();
    api.namespace("s").await;
    let pods = "/api/v1/namespaces/s/pods";
    let mut made = admin.post(pods, pod("p")).await.expect(201);
    assert_eq!(made["status"]["phase"], "Pending");
    made["status"]["phase"] = "Running".into();
    made["metadata"]["labels"] = json!({"main": "yes"});
    let main = admin.put(&format!("{pods}/p"), made).await.expect(200);
    assert_eq!((main["status"]["phase"].as_str(), main["metadata"]["labels"]["main"].as_str()), (Some("Pending"), Some("yes")));
    let patch = json!({"status": {"phase": "Running"}, "spec": {"nodeName": "elsewhere"}});
    let status = admin.merge(&format!("{pods}/p/status"), patch).await.expect(200);
    assert_eq!(status["status"]["phase"], "Running");
    assert!(status["spec"].get("nodeName").is_none());
}

#[tokio::test]
async fn scale_speaks_for_the_object_behind_it() {
    let api = Api::start().await;
    let admin = api.admin();
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let labels = json!({"app": "web"});
    let body = json!({"metadata": {"name": "web"}, "spec": {"replicas": 1, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    admin.post(deployments, body).await.expect(201);
    let scale = admin.merge(&format!("{deployments}/web/scale"), json!({"spec": {"replicas": 3}})).await.expect(200);
    assert_eq!((scale["kind"].as_str(), scale["spec"]["replicas"].as_i64()), (Some("Scale"), Some(3)));
    assert_eq!(scale["status"]["selector"], "app=web");
    let web = admin.get(&format!("{deployments}/web")).await.expect(200);
    assert_eq!((web["spec"]["replicas"].as_i64(), web["metadata"]["generation"].as_i64()), (Some(3), Some(2)));
    admin.merge(&format!("{deployments}/web/scale"), json!({"spec": {"replicas": -1}})).await.refuses(
        422,
        "Invalid",
        "must be greater than or equal to 0",
    );
}

#[tokio::test]
async fn two_versions_of_a_kind_are_one_object() {
    let api = Api::start().await;
    let admin = api.admin();
    let v1 = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers";
    let v2 = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    let body = json!({"metadata": {"name": "h"}, "spec": {"maxReplicas": 5, "scaleTargetRef": target, "targetCPUUtilizationPercentage": 70}});
    admin.post(v1, body).await.expect(201);
    let new = admin.get(&format!("{v2}/h")).await.expect(200);
    assert_eq!(new["apiVersion"], "autoscaling/v2");
    assert_eq!(new["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 70);
    let old = admin.get(&format!("{v1}/h")).await.expect(200);
    assert_eq!(
        (old["apiVersion"].as_str(), old["spec"]["targetCPUUtilizationPercentage"].as_i64()),
        (Some("autoscaling/v1"), Some(70))
    );
    let listed = admin.get(v1).await.expect(200);
    assert_eq!(listed["items"][0]["spec"]["targetCPUUtilizationPercentage"], 70);
}

#[tokio::test]
async fn what_is_not_built_yet_is_refused_plainly() {
    let api = Api::start().await;
    let admin = api.admin();
    let definition = json!({"metadata": {"name": "lamps.a.example"}, "spec": {
        "group": "a.example",
        "names": {"plural": "lamps", "kind": "Lamp"},
        "scope": "Cluster",
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}],
    }});
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    admin.post(definitions, definition).await.refuses(501, "NotImplemented", "CustomResourceDefinition");
    let hooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    admin.post(hooks, json!({"metadata": {"name": "a.b"}})).await.refuses(
        501,
        "NotImplemented",
        "ValidatingWebhookConfiguration",
    );
    api.namespace("n").await;
    admin.post("/api/v1/namespaces/n/pods", pod("p")).await.expect(201);
    for sub in ["ephemeralcontainers", "resize"] {
        admin.merge(&format!("/api/v1/namespaces/n/pods/p/{sub}"), json!({})).await.refuses(501, "NotImplemented", sub);
    }
    for sub in ["attach", "portforward"] {
        admin.get(&format!("/api/v1/namespaces/n/pods/p/{sub}")).await.refuses(501, "NotImplemented", sub);
    }
}

/// Kubernetes pages "Ephemeral Containers" and "Resize CPU and Memory Resources assigned to Containers".
#[tokio::test]
async fn ephemeral_containers_are_added_and_resources_changed_by_their_own_doors() {
    let api = Api::with(|settings| settings.store_unenforced = true).await;
    let admin = api.admin();
    api.namespace("n").await;
    let mut body = pod("p");
    body["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "100m", "memory": "32Mi"}});
    admin.post("/api/v1/namespaces/n/pods", body).await.expect(201);
    let at = "/api/v1/namespaces/n/pods/p";
    let strategic = [("content-type", "application/strategic-merge-patch+json")];
    let debugger = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"ephemeralContainers": [{"name": "d", "image": "i"}], "hostname": "other"}});
    let added = admin.raw("PATCH", &format!("{at}/ephemeralcontainers"), &strategic, debugger.to_string()).await.expect(200);
    assert_eq!(added["spec"]["ephemeralContainers"][0]["terminationMessagePath"], "/dev/termination-log");
    assert_eq!(
        (&added["spec"]["hostname"], added["metadata"].get("labels")),
        (&Value::Null, None),
        "the door changes nothing else"
    );
    let removed = json!({"spec": {"ephemeralContainers": [{"name": "d", "$patch": "delete"}]}});
    let refused = admin.raw("PATCH", &format!("{at}/ephemeralcontainers"), &strategic, removed.to_string()).await;
    refused.refuses(422, "Invalid", "may not be removed");

    let resize = |resources: Value| json!({"spec": {"containers": [{"name": "c", "resources": resources}]}}).to_string();
    let path = format!("{at}/resize");
    let more = resize(json!({"requests": {"cpu": "200m"}}));
    let grown = admin.raw("PATCH", &path, &strategic, more.clone()).await.expect(200);
    assert_eq!(grown["spec"]["containers"][0]["resources"]["requests"], json!({"cpu": "200m", "memory": "32Mi"}));
    admin.raw("PATCH", at, &strategic, resize(json!({"requests": {"cpu": "300m"}}))).await.refuses(
        422,
        "Invalid",
        "may not change",
    );
    let limits = resize(json!({"limits": {"cpu": "200m", "memory": "32Mi"}}));
    admin.raw("PATCH", &path, &strategic, limits).await.refuses(422, "Invalid", "Pod QOS Class may not change");
    let disk = resize(json!({"requests": {"ephemeral-storage": "1Gi"}}));
    admin.raw("PATCH", &path, &strategic, disk).await.refuses(422, "Invalid", "only cpu and memory resources are mutable");
    let less = resize(json!({"requests": {"memory": null}}));
    admin.raw("PATCH", &path, &strategic, less).await.refuses(422, "Invalid", "resource requests cannot be removed");
    // On a node whose containers do not say what they have, nothing can be resized.
    let running = json!({"status": {"containerStatuses": [{"name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": 0,
        "state": {"running": {"startedAt": "2026-11-21T10:00:00Z"}}}]}});
    admin.merge(&format!("{at}/status"), running).await.expect(200);
    admin.raw("PATCH", &path, &strategic, more.replace("200m", "250m")).await.refuses(
        422,
        "Invalid",
        "without support for resize",
    );
}

#[tokio::test]
async fn a_kind_without_controller_is_taken_with_a_warning() {
    let api = Api::with(|s| s.without_controller = vec![("batch".to_owned(), "CronJob".to_owned())]).await;
    let template =
        json!({"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
    let body = json!({"metadata": {"name": "c"}, "spec": {"schedule": "* * * * *", "jobTemplate": template}});
    let answer = api.admin().post("/apis/batch/v1/namespaces/default/cronjobs", body).await;
    assert!(answer.headers["warning"].to_str().unwrap().contains("no controller"));
    answer.expect(201);
}

/// Kubernetes pages "Restrict a Container's Access to Resources with AppArmor" and "API concepts" (warnings).
#[tokio::test]
async fn a_pod_is_warned_of_what_is_rewritten_and_its_status_of_addresses() {
    let api = Api::start().await;
    api.namespace("n").await;
    let (admin, pods) = (api.admin(), "/api/v1/namespaces/n/pods");
    let warnings = |answer: &Answer| answer.headers.get_all("warning").iter().map(|w| w.to_str().unwrap().to_owned()).collect();
    let mut body = pod("p");
    body["metadata"]["annotations"] = json!({"container.apparmor.security.beta.kubernetes.io/c": "runtime/default"});
    body["spec"]["imagePullSecrets"] = json!([{"name": "a"}, {"name": "a"}]);
    let made = admin.post(pods, body).await;
    let told: Vec<String> = warnings(&made);
    assert!(told.len() == 2 && told[0].contains("deprecated since v1.30") && told[1].contains("duplicate name"), "{told:?}");
    let made = made.expect(201);
    assert_eq!(made.pointer("/spec/containers/0/securityContext/appArmorProfile/type"), Some(&json!("RuntimeDefault")));
    let labelled = admin.merge(&format!("{pods}/p"), json!({"metadata": {"labels": {"a": "b"}}})).await;
    let told: Vec<String> = warnings(&labelled);
    assert_eq!((labelled.code, told), (200, vec![]), "a change of a pod is warned of nothing");
    let status = |status: Value| admin.merge("/api/v1/namespaces/n/pods/p/status", json!({ "status": status }));
    let addressed = status(json!({"podIP": "FD00::1", "podIPs": [{"ip": "FD00::1"}]})).await;
    let told: Vec<String> = warnings(&addressed);
    assert!(told.len() == 1 && told[0].contains("status.podIPs[0].ip: IPv6 address"), "{told:?}");
    addressed.expect(200);
    status(json!({"qosClass": "Guaranteed"})).await.refuses(422, "Invalid", "status.qosClass: Invalid value");
}

#[tokio::test]
async fn warnings_of_an_answer_are_cut_where_they_are_too_many() {
    let api = Api::start().await;
    api.namespace("n").await;
    let mut body = pod("p");
    body["spec"]["imagePullSecrets"] = vec![json!({"name": "x".repeat(253)}); 100].into();
    let made = api.admin().post("/api/v1/namespaces/n/pods", body).await;
    let told: Vec<usize> = made.headers.get_all("warning").iter().map(|w| w.len()).collect();
    assert_eq!(made.code, 201);
    assert_eq!(told.len(), 16, "4,096 characters of 256 each");
    assert!(told.iter().all(|bytes| *bytes < 300), "{told:?}");
}

/// https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
#[tokio::test]
async fn kinds_that_want_the_version_of_an_update_want_it_beside_the_uid_too() {
    let api = Api::start().await;
    let admin = api.admin();
    let classes = "/apis/node.k8s.io/v1/runtimeclasses";
    let mut class = admin.post(classes, json!({"metadata": {"name": "c"}, "handler": "h"})).await.expect(201);
    class["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    let path = format!("{classes}/c");
    let text = "metadata.resourceVersion: Invalid value: 0: must be specified for an update";
    admin.put(&path, class.clone()).await.refuses(422, "Invalid", text);
    class["metadata"]["uid"] = "other".into();
    admin.put(&path, class.clone()).await.refuses(409, "Conflict", "Precondition failed: UID in precondition: other");
}
