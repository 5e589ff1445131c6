//! What the in-tree plugins complete and refuse.
use serde_json::json;

use crate::harness::*;

#[tokio::test]
async fn a_pod_gets_its_account_and_token_tolerations_and_priority() {
    let api = Api::start().await;
    api.namespace("a").await;
    let made = api.admin().post("/api/v1/namespaces/a/pods", pod("p")).await.expect(201);
    let spec = &made["spec"];
    assert_eq!((spec["serviceAccountName"].as_str(), spec["priority"].as_i64()), (Some("default"), Some(0)));
    let volume = &spec["volumes"][0];
    assert!(volume["name"].as_str().unwrap().starts_with("kube-api-access-"));
    let sources = volume["projected"]["sources"].as_array().unwrap();
    assert_eq!(sources[0], json!({"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}));
    assert_eq!(sources[1]["configMap"]["name"], "kube-root-ca.crt");
    assert_eq!(sources[2]["downwardAPI"]["items"][0]["path"], "namespace");
    assert_eq!(spec["containers"][0]["volumeMounts"][0]["mountPath"], "/var/run/secrets/kubernetes.io/serviceaccount");
    let keys: Vec<&str> = spec["tolerations"].as_array().unwrap().iter().map(|t| t["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]);
}

#[tokio::test]
async fn a_pod_may_do_without_its_token_but_not_without_its_account() {
    let api = Api::start().await;
    api.namespace("a").await;
    let pods = "/api/v1/namespaces/a/pods";
    let mut without = pod("p");
    without["spec"]["automountServiceAccountToken"] = false.into();
    assert!(api.admin().post(pods, without).await.expect(201)["spec"].get("volumes").is_none());
    let mut stranger = pod("q");
    stranger["spec"]["serviceAccountName"] = "nobody".into();
    api.admin().post(pods, stranger).await.refuses(
        403,
        "Forbidden",
        "error looking up service account a/nobody: serviceaccount \"nobody\" not found",
    );
}

#[tokio::test]
async fn a_priority_class_gives_its_value_and_a_missing_one_refuses() {
    let api = Api::start().await;
    api.namespace("a").await;
    let pods = "/api/v1/namespaces/a/pods";
    let mut critical = pod("p");
    critical["spec"]["priorityClassName"] = "system-cluster-critical".into();
    assert_eq!(api.admin().post(pods, critical).await.expect(201)["spec"]["priority"], 2_000_000_000);
    let mut unknown = pod("q");
    unknown["spec"]["priorityClassName"] = "none".into();
    api.admin().post(pods, unknown).await.refuses(403, "Forbidden", "no PriorityClass with name none was found");
    let classes = "/apis/scheduling.k8s.io/v1/priorityclasses";
    api.admin().post(classes, json!({"metadata": {"name": "usual"}, "value": 7, "globalDefault": true})).await.expect(201);
    let usual = api.admin().post(pods, pod("r")).await.expect(201);
    assert_eq!((usual["spec"]["priority"].as_i64(), usual["spec"]["priorityClassName"].as_str()), (Some(7), Some("usual")));
}

#[tokio::test]
async fn nothing_is_created_where_there_is_no_namespace_or_it_is_going() {
    let api = Api::start().await;
    let admin = api.admin();
    admin.post("/api/v1/namespaces/none/configmaps", config_map("a")).await.refuses(
        404,
        "NotFound",
        "namespaces \"none\" not found",
    );
    api.namespace("going").await;
    admin.delete("/api/v1/namespaces/going").await.expect(200);
    let status = admin.post("/api/v1/namespaces/going/configmaps", config_map("a")).await;
    let status =
        status.refuses(403, "Forbidden", "unable to create new content in namespace going because it is being terminated");
    assert_eq!(status["details"]["causes"][0]["reason"], "NamespaceTerminating");
    admin.delete("/api/v1/namespaces/kube-system").await.refuses(403, "Forbidden", "this namespace may not be deleted");
}

#[tokio::test]
async fn new_nodes_claims_and_runtime_classes_are_seen_to() {
    let api = Api::start().await;
    api.namespace("a").await;
    let node = api.admin().post("/api/v1/nodes", json!({"metadata": {"name": "n"}})).await.expect(201);
    assert_eq!(node["spec"]["taints"], json!([{"effect": "NoSchedule", "key": "node.kubernetes.io/not-ready"}]));
    let claim = json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let claim = api.admin().post("/api/v1/namespaces/a/persistentvolumeclaims", claim).await.expect(201);
    assert_eq!(claim["metadata"]["finalizers"], json!(["kubernetes.io/pvc-protection"]));
    let mut sandboxed = pod("p");
    sandboxed["spec"]["runtimeClassName"] = "gvisor".into();
    api.admin().post("/api/v1/namespaces/a/pods", sandboxed).await.refuses(403, "Forbidden", "RuntimeClass \"gvisor\" not found");
}

#[tokio::test]
async fn a_claim_grows_where_its_class_lets_it() {
    let api = Api::start().await;
    api.namespace("a").await;
    let admin = api.admin();
    for (name, expands) in [("fixed", false), ("growing", true)] {
        let class = json!({"metadata": {"name": name}, "provisioner": "p.example", "allowVolumeExpansion": expands});
        admin.post("/apis/storage.k8s.io/v1/storageclasses", class).await.expect(201);
        let claims = "/api/v1/namespaces/a/persistentvolumeclaims";
        let claim = json!({"metadata": {"name": name}, "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": name, "volumeName": "v", "resources": {"requests": {"storage": "1Gi"}},
        }});
        admin.post(claims, claim).await.expect(201);
        let path = format!("{claims}/{name}");
        let bound = json!({"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}});
        admin.merge(&format!("{path}/status"), bound).await.expect(200);
        let larger = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
        let answer = admin.merge(&path, larger).await;
        if expands {
            answer.expect(200);
        } else {
            answer.refuses(403, "Forbidden", "only dynamically provisioned pvc can be resized");
        }
    }
}

#[tokio::test]
async fn priority_classes_of_the_system_stay() {
    let api = Api::start().await;
    let path = "/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical";
    api.admin().delete(path).await.refuses(403, "Forbidden", "this is a system priority class and cannot be deleted");
    api.admin().get(path).await.expect(200);
}

#[tokio::test]
async fn a_token_is_asked_for_the_account_of_the_path() {
    let api = Api::start().await;
    api.namespace("a").await;
    let path = "/api/v1/namespaces/a/serviceaccounts/default/token";
    let of = |metadata: serde_json::Value| json!({"metadata": metadata, "spec": {}});
    let other = api.admin().post(path, of(json!({"name": "other"}))).await;
    other.refuses(422, "Invalid", "metadata.name: Invalid value: \"other\": must match the service account name if specified");
    let elsewhere = api.admin().post(path, of(json!({"namespace": "b"}))).await;
    elsewhere.refuses(400, "BadRequest", "the namespace of the provided object does not match");
    api.admin().post(path, of(json!({"name": "default", "namespace": "a"}))).await.expect(201);
}
