//! Attempts to reach what one may not: by other paths, other spellings, other parts of a request.
use serde_json::{Value, json};

use crate::harness::*;

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// Lets a user do what the rules say: in a namespace, or (empty) everywhere.
async fn allow(api: &Api, user: &str, namespace: &str, rules: Value) {
    let (scope, kind, bindings) = match namespace {
        "" => (String::new(), "ClusterRole", "clusterrolebindings"),
        ns => (format!("/namespaces/{ns}"), "Role", "rolebindings"),
    };
    let roles = format!("{RBAC}{scope}/{}s", kind.to_lowercase());
    api.admin().post(&roles, json!({"metadata": {"name": user}, "rules": rules})).await.expect(201);
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": user});
    let subject = json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user});
    let binding = json!({"metadata": {"name": user}, "roleRef": role, "subjects": [subject]});
    api.admin().post(&format!("{RBAC}{scope}/{bindings}"), binding).await.expect(201);
}

async fn secrets(api: &Api, namespace: &str, names: &[&str]) {
    api.namespace(namespace).await;
    for name in names {
        let secret = json!({"metadata": {"name": name}, "stringData": {"key": "value"}});
        api.admin().post(&format!("/api/v1/namespaces/{namespace}/secrets"), secret).await.expect(201);
    }
}

async fn bind(api: &Api, namespace: &str, pod: Value, node: &str) {
    let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    api.admin().post(&pods, pod).await.expect(201);
    let target = json!({"metadata": {"name": name}, "target": {"kind": "Node", "name": node}});
    api.admin().post(&format!("{pods}/{name}/binding"), target).await.expect(201);
}

#[tokio::test]
async fn the_master_of_one_namespace_does_not_reach_others_through_its_path() {
    let api = Api::start().await;
    api.namespace("mine").await;
    api.namespace("theirs").await;
    allow(&api, "bob", "mine", json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}])).await;
    let bob = api.user("bob", &[]);
    bob.get("/api/v1/namespaces/mine").await.expect(200);
    for path in ["/api/v1/namespaces/mine/namespaces", "/api/v1/namespaces/mine/namespaces/theirs"] {
        assert_eq!(bob.get(path).await.code, 404, "{path}");
        assert_eq!(bob.delete(path).await.code, 404, "{path}");
        assert_eq!(bob.merge(path, json!({"metadata": {"labels": {"a": "b"}}})).await.code, 404, "{path}");
    }
    assert_eq!(bob.get("/api/v1/watch/namespaces/mine/namespaces").await.code, 404);
    let another = json!({"metadata": {"name": "another"}});
    assert_eq!(bob.post("/api/v1/namespaces/mine/namespaces", another).await.code, 404);
    let end = json!({"metadata": {"name": "theirs"}, "spec": {"finalizers": []}});
    assert_eq!(bob.put("/api/v1/namespaces/mine/namespaces/theirs/finalize", end).await.code, 404);
    let theirs = api.admin().get("/api/v1/namespaces/theirs").await.expect(200);
    assert_eq!((&theirs["status"]["phase"], &theirs["metadata"].get("deletionTimestamp")), (&json!("Active"), &None));
}

#[tokio::test]
async fn a_watch_of_one_object_by_the_old_path_shows_that_object_alone() {
    let api = Api::start().await;
    secrets(&api, "n", &["mine", "other"]).await;
    let rule = json!({"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["mine"], "verbs": ["watch"]});
    allow(&api, "bob", "n", json!([rule])).await;
    let path = "/api/v1/watch/namespaces/n/secrets/mine?timeoutSeconds=1";
    for fields in ["", "&fieldSelector=metadata.namespace%3Dn", "&fieldSelector=metadata.name!%3Dx"] {
        let mut events = api.user("bob", &[]).watch(&format!("{path}{fields}")).await;
        assert_eq!(events.brief().await, brief("ADDED", "mine"), "{fields}");
        assert_eq!(events.next().await, None, "{fields}");
    }
    let mut events = api.user("bob", &[]).watch(&format!("{path}&fieldSelector=metadata.name%3Dother")).await;
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_node_does_not_see_pods_of_others_by_a_selector_that_only_looks_like_its_own() {
    let api = Api::start().await;
    api.namespace("n").await;
    bind(&api, "n", pod("p"), "n2").await;
    let node = api.node("n1");
    let trick = "spec.nodeName!%3Dx%5C,spec.nodeName%3Dn1";
    node.get(&format!("/api/v1/pods?fieldSelector={trick}")).await.refuses(403, "Forbidden", "spec.nodeName");
    let own = node.get("/api/v1/pods?fieldSelector=status.phase!%3DFailed,spec.nodeName%3D%3Dn1").await.expect(200);
    assert_eq!(own["items"], json!([]));
}

#[tokio::test]
async fn a_node_gains_no_secret_by_a_mirror_pod() {
    let api = Api::start().await;
    secrets(&api, "n", &["wanted"]).await;
    let (admin, node) = (api.admin(), api.node("n1"));
    let mirror = |spec: Value| {
        let mut spec = spec;
        spec["nodeName"] = "n1".into();
        json!({"metadata": {"name": "m", "annotations": {"kubernetes.io/config.mirror": "x"}}, "spec": spec})
    };
    let from = |env: Value| {
        let mut container = json!({"name": "c", "image": "i"});
        container.as_object_mut().unwrap().extend(env.as_object().unwrap().clone());
        json!({"containers": [container]})
    };
    let plain = json!({"containers": [{"name": "c", "image": "i"}]});
    let mut pulls = plain.clone();
    pulls["imagePullSecrets"] = json!([{"name": "wanted"}]);
    for spec in [
        from(json!({"envFrom": [{"secretRef": {"name": "wanted"}}]})),
        from(json!({"env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "wanted", "key": "k"}}}]})),
        pulls,
    ] {
        let refused = node.post("/api/v1/namespaces/n/pods", mirror(spec)).await;
        refused.refuses(403, "Forbidden", "can not create pods that reference");
    }
    // Nor by one that somebody else made.
    let refers = mirror(from(json!({"envFrom": [{"secretRef": {"name": "wanted"}}]})));
    admin.post("/api/v1/namespaces/n/pods", refers).await.expect(201);
    node.get("/api/v1/namespaces/n/pods/m").await.expect(200);
    node.get("/api/v1/namespaces/n/secrets/wanted").await.refuses(403, "Forbidden", "no relationship found");
}

#[tokio::test]
async fn a_node_gets_tokens_bound_to_its_pods_alone() {
    let api = Api::start().await;
    secrets(&api, "n", &["s"]).await;
    let node = api.node("n1");
    node.post("/api/v1/nodes", json!({"metadata": {"name": "n1"}})).await.expect(201);
    bind(&api, "n", pod("p"), "n1").await;
    let path = "/api/v1/namespaces/n/serviceaccounts/default/token";
    let bound = |kind: &str, name: &str| json!({"spec": {"boundObjectRef": {"apiVersion": "v1", "kind": kind, "name": name}}});
    for (kind, name) in [("Secret", "s"), ("Node", "n1")] {
        node.post(path, bound(kind, name)).await.refuses(403, "Forbidden", "node requested token not bound to a pod");
    }
    node.post(path, bound("Pod", "p")).await.expect(201);
}

#[tokio::test]
async fn a_node_does_not_label_itself_into_a_role_nor_its_pods_into_a_service() {
    let api = Api::start().await;
    api.namespace("n").await;
    let node = api.node("n1");
    let labelled = json!({"metadata": {"name": "n1", "labels": {"node-restriction.kubernetes.io/trusted": "yes"}}});
    node.post("/api/v1/nodes", labelled).await.refuses(403, "Forbidden", "is not allowed to set the following labels");
    node.post("/api/v1/nodes", json!({"metadata": {"name": "n1", "labels": {"kubernetes.io/os": "linux"}}})).await.expect(201);
    bind(&api, "n", pod("p"), "n1").await;
    let status = "/api/v1/namespaces/n/pods/p/status";
    let label = json!({"metadata": {"labels": {"app": "bank"}}});
    node.merge(status, label).await.refuses(403, "Forbidden", "cannot update labels through pod status");
    node.merge(status, json!({"status": {"phase": "Running"}})).await.expect(200);
}

#[tokio::test]
async fn who_may_only_update_creates_nothing_by_it() {
    let api = Api::start().await;
    allow(&api, "bob", "default", json!([{"apiGroups": [""], "resources": ["services"], "verbs": ["get", "update", "patch"]}]))
        .await;
    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    let path = "/api/v1/namespaces/default/services/s";
    let refused = api.user("bob", &[]).put(path, service.clone()).await;
    refused.refuses(403, "Forbidden", "User \"bob\" cannot create resource \"services\"");
    assert_eq!(api.admin().get(path).await.code, 404);
    api.admin().put(path, service.clone()).await.expect(201);
    api.user("bob", &[]).put(path, service).await.expect(200);
}

#[tokio::test]
async fn an_impersonation_that_cannot_be_read_is_refused_and_not_forgotten() {
    let api = Api::start().await;
    for header in ["impersonate-user", "impersonate-uid", "impersonate-group", "impersonate-extra-scope"] {
        let mut request = request("GET", "/api/v1/secrets", &[], String::new());
        let headers = request.headers_mut();
        if header != "impersonate-user" {
            headers.insert("impersonate-user", "bob".parse().unwrap());
        }
        let name = http::HeaderName::from_static(header);
        headers.append(name, http::HeaderValue::from_bytes(b"J\xfcrgen").unwrap());
        Answer::of(api.admin().open(request).await).await.refuses(400, "BadRequest", header);
    }
    let mut request = request("GET", "/api/v1/secrets", &[], String::new());
    request.headers_mut().insert("impersonate-user", http::HeaderValue::from_bytes("Jürgen".as_bytes()).unwrap());
    Answer::of(api.admin().open(request).await).await.refuses(403, "Forbidden", "User \"Jürgen\" cannot list");
}

#[tokio::test]
async fn a_deletion_that_asks_for_an_unknown_dry_run_deletes_nothing() {
    let api = Api::start().await;
    let admin = api.admin();
    admin.post(MAPS, config_map("x")).await.expect(201);
    let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "dryRun": ["all"]}).to_string();
    for path in [format!("{MAPS}/x"), MAPS.to_owned()] {
        admin.raw("DELETE", &path, &[], options.clone()).await.refuses(422, "Invalid", "dryRun");
    }
    admin.get(&format!("{MAPS}/x")).await.expect(200);
}

#[tokio::test]
async fn an_aggregation_by_expressions_selects_no_more_than_they_say() {
    let api = Api::start().await;
    let admin = api.admin();
    let expression = json!({"key": "dangerous", "operator": "DoesNotExist"});
    let selector = json!({"matchLabels": {"for": "bob"}, "matchExpressions": [expression]});
    let sum = json!({"metadata": {"name": "sum"}, "aggregationRule": {"clusterRoleSelectors": [selector]}});
    admin.post(&format!("{RBAC}/clusterroles"), sum).await.expect(201);
    for (name, resource, labels) in
        [("safe", "pods", json!({"for": "bob"})), ("dangerous", "secrets", json!({"for": "bob", "dangerous": ""}))]
    {
        let rules = json!([{"apiGroups": [""], "resources": [resource], "verbs": ["list"]}]);
        let role = json!({"metadata": {"name": name, "labels": labels}, "rules": rules});
        admin.post(&format!("{RBAC}/clusterroles"), role).await.expect(201);
    }
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "sum"});
    let subject = json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "bob"});
    let binding = json!({"metadata": {"name": "bob"}, "roleRef": role, "subjects": [subject]});
    admin.post(&format!("{RBAC}/clusterrolebindings"), binding).await.expect(201);
    let bob = api.user("bob", &[]);
    bob.get("/api/v1/pods").await.expect(200);
    bob.get("/api/v1/secrets").await.refuses(403, "Forbidden", "");
}

#[tokio::test]
async fn what_is_stored_can_be_read_by_every_client_however_deep_it_is() {
    let api = Api::start().await;
    let admin = api.admin();
    let deep = |levels: usize| format!("{}1{}", "{\"f:a\":".repeat(levels), "}".repeat(levels));
    let mut stored = 0;
    for levels in [60, 90, 110, 125, 140, 200, 240] {
        let managed = format!("[{{\"manager\":\"m\",\"operation\":\"Update\",\"fieldsV1\":{}}}]", deep(levels));
        let body = format!("{{\"metadata\":{{\"name\":\"d{levels}\",\"managedFields\":{managed}}}}}");
        let answer = admin.raw("POST", MAPS, &[], body).await;
        assert!(matches!(answer.code, 201 | 400), "{levels}: {}", answer.code);
        stored += usize::from(answer.code == 201);
    }
    assert!(stored > 0, "sixty levels are taken");
    // serde_json, as every client of ours, reads no more than 128 levels.
    let listed = admin.get(MAPS).await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), stored);
    let mut events = admin.watch(&format!("{MAPS}?watch=1&resourceVersion=0&timeoutSeconds=1")).await;
    for _ in 0..stored {
        assert_eq!(events.brief().await.0, "ADDED");
    }
}

#[tokio::test]
async fn copies_of_a_json_patch_do_not_nest_without_end() {
    let api = Api::start().await;
    let admin = api.admin();
    admin.post(MAPS, config_map("x")).await.expect(201);
    let mut patch = vec![json!({"op": "add", "path": "/x", "value": {}})];
    // Each copy goes to the deepest place of what it copies, and so doubles the depth.
    for step in 0..17 {
        let deepest = "/a".repeat((1 << step) - 1);
        patch.push(json!({"op": "copy", "from": "/x", "path": format!("/x{deepest}/a")}));
    }
    let headers = [("content-type", "application/json-patch+json")];
    let answer = admin.raw("PATCH", &format!("{MAPS}/x"), &headers, Value::from(patch).to_string()).await;
    answer.refuses(422, "Invalid", "");
    admin.get(&format!("{MAPS}/x")).await.expect(200);
}

#[tokio::test]
async fn a_watch_for_ever_is_one_that_ends_some_day() {
    let api = Api::start().await;
    for seconds in ["9223372036854775807", "99999999999999999999"] {
        let path = format!("/api/v1/namespaces?watch=1&timeoutSeconds={seconds}");
        let answer = api.admin().open(request("GET", &path, &[], String::new())).await;
        assert!(matches!(answer.status().as_u16(), 200 | 400), "{seconds}");
    }
}
