//! What namespaces ask of their pods: security levels, limits, defaults.
use serde_json::{Value, json};

use crate::harness::*;

const PODS: &str = "/api/v1/namespaces/a/pods";

fn privileged(name: &str) -> Value {
    let mut made = pod(name);
    made["spec"]["containers"][0]["securityContext"] = json!({"privileged": true});
    made
}

fn warnings(answer: &Answer) -> Vec<String> {
    answer.headers.get_all("warning").iter().map(|w| w.to_str().unwrap().to_owned()).collect()
}

async fn label(api: &Api, key: &str, value: &str) -> Answer {
    let labels = json!({"metadata": {"labels": {format!("pod-security.kubernetes.io/{key}"): value}}});
    api.admin().merge("/api/v1/namespaces/a", labels).await
}

#[tokio::test]
async fn a_namespace_refuses_pods_above_its_security_level() {
    let api = Api::start().await;
    api.namespace("a").await;
    api.admin().post(PODS, privileged("before")).await.expect(201);
    let set = label(&api, "enforce", "baseline").await;
    assert_eq!(
        warnings(&set),
        [
            "299 - \"existing pods in namespace \\\"a\\\" violate the new PodSecurity enforce level \\\"baseline:latest\\\"\"",
            "299 - \"before: privileged\""
        ]
    );
    set.expect(200);
    api.admin().post(PODS, privileged("after")).await.refuses(
        403,
        "Forbidden",
        "pods \"after\" is forbidden: violates PodSecurity \"baseline:latest\": privileged (container \"c\" must not set securityContext.privileged=true)",
    );
    api.admin().post(PODS, pod("plain")).await.expect(201);
}

#[tokio::test]
async fn templates_above_the_level_are_warned_of_and_stored() {
    let api = Api::start().await;
    api.namespace("a").await;
    label(&api, "enforce", "baseline").await.expect(200);
    let deployment = json!({"metadata": {"name": "d"}, "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": privileged("x")["spec"]},
    }});
    let made = api.admin().post("/apis/apps/v1/namespaces/a/deployments", deployment).await;
    let told = warnings(&made);
    assert!(told.iter().any(|w| w.contains("would violate PodSecurity \\\"baseline:latest\\\": privileged")), "{told:?}");
    made.expect(201);
}

#[tokio::test]
async fn a_level_that_is_none_is_refused() {
    let api = Api::start().await;
    api.namespace("a").await;
    label(&api, "enforce", "strict").await.refuses(
        422,
        "Invalid",
        "Namespace \"a\" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": must be one of privileged, baseline, restricted",
    );
    label(&api, "warn-version", "v2").await.refuses(422, "Invalid", "must be \"latest\" or \"v1.x\"");
}

#[tokio::test]
async fn a_limit_range_completes_and_refuses_pods() {
    let api = Api::start().await;
    api.namespace("a").await;
    let limits = json!([{"type": "Container", "max": {"cpu": "2"}, "default": {"cpu": "1"}, "defaultRequest": {"cpu": "500m"}}]);
    let range = json!({"metadata": {"name": "l"}, "spec": {"limits": limits}});
    api.admin().post("/api/v1/namespaces/a/limitranges", range).await.expect(201);
    let made = api.admin().post(PODS, pod("p")).await.expect(201);
    let resources = &made["spec"]["containers"][0]["resources"];
    assert_eq!(*resources, json!({"limits": {"cpu": "1"}, "requests": {"cpu": "500m"}}));
    let mut greedy = pod("q");
    greedy["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "3"}});
    api.admin().post(PODS, greedy).await.refuses(
        403,
        "Forbidden",
        "pods \"q\" is forbidden: maximum cpu usage per Container is 2, but limit is 3",
    );
}

#[tokio::test]
async fn what_names_no_class_gets_the_default_one() {
    let api = Api::start().await;
    api.namespace("a").await;
    let claim = |name: &str| json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let claims = "/api/v1/namespaces/a/persistentvolumeclaims";
    assert!(api.admin().post(claims, claim("before")).await.expect(201)["spec"].get("storageClassName").is_none());
    let mark = |kind: &str| json!({format!("{kind}.kubernetes.io/is-default-class"): "true"});
    let class = json!({"metadata": {"name": "usual", "annotations": mark("storageclass")}, "provisioner": "p.example"});
    api.admin().post("/apis/storage.k8s.io/v1/storageclasses", class).await.expect(201);
    assert_eq!(api.admin().post(claims, claim("after")).await.expect(201)["spec"]["storageClassName"], "usual");
    let ingress = |name: &str| json!({"metadata": {"name": name}, "spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}});
    let ingresses = "/apis/networking.k8s.io/v1/namespaces/a/ingresses";
    for name in ["one", "two"] {
        let class =
            json!({"metadata": {"name": name, "annotations": mark("ingressclass")}, "spec": {"controller": "c.example/i"}});
        api.admin().post("/apis/networking.k8s.io/v1/ingressclasses", class).await.expect(201);
        let made = api.admin().post(ingresses, ingress(name)).await;
        match name {
            "one" => assert_eq!(made.expect(201)["spec"]["ingressClassName"], "one"),
            _ => drop(made.refuses(403, "Forbidden", "2 default IngressClasses were found, only 1 allowed")),
        }
    }
}

#[tokio::test]
async fn administrators_of_devices_need_a_marked_namespace() {
    let api = Api::start().await;
    api.namespace("a").await;
    let request = json!({"name": "r", "exactly": {"deviceClassName": "c", "adminAccess": true}});
    let claim = json!({"metadata": {"name": "c"}, "spec": {"devices": {"requests": [request]}}});
    let claims = "/apis/resource.k8s.io/v1/namespaces/a/resourceclaims";
    let refused = api.admin().post(claims, claim.clone()).await.refuses(422, "Invalid", "admin access to devices requires");
    assert_eq!(refused["details"]["causes"][0]["field"], "spec.devices.requests[0].adminAccess");
    let labels = json!({"metadata": {"labels": {"resource.kubernetes.io/admin-access": "true"}}});
    api.admin().merge("/api/v1/namespaces/a", labels).await.expect(200);
    api.admin().post(claims, claim).await.expect(201);
}

const QUOTA: &str = "/api/v1/namespaces/a/resourcequotas/q";
const MAPS: &str = "/api/v1/namespaces/a/configmaps";

/// A quota with the status that its controller would give it.
async fn quota(api: &Api, hard: Value, used: Value) {
    let admin = api.admin();
    let made = json!({"metadata": {"name": "q"}, "spec": {"hard": hard}});
    let mut made = admin.post("/api/v1/namespaces/a/resourcequotas", made).await.expect(201);
    made["status"] = json!({"hard": hard, "used": used});
    admin.put(&format!("{QUOTA}/status"), made).await.expect(200);
}

async fn used(api: &Api) -> Value {
    api.admin().get(QUOTA).await.expect(200)["status"]["used"].clone()
}

#[tokio::test]
async fn a_quota_counts_what_is_made_and_what_goes() {
    let api = Api::start().await;
    api.namespace("a").await;
    quota(&api, json!({"configmaps": "1"}), json!({"configmaps": "0"})).await;
    api.admin().post(MAPS, config_map("one")).await.expect(201);
    assert_eq!(used(&api).await, json!({"configmaps": "1"}));
    let two = api.admin().post(MAPS, config_map("two")).await;
    two.refuses(
        403,
        "Forbidden",
        "configmaps \"two\" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=1, limited: configmaps=1",
    );
    api.admin().delete(&format!("{MAPS}/one")).await.expect(200);
    assert_eq!(used(&api).await, json!({"configmaps": "0"}));
    api.admin().post(&format!("{MAPS}?dryRun=All"), config_map("two")).await.expect(201);
    assert_eq!(used(&api).await, json!({"configmaps": "0"}), "what is tried uses nothing");
}

#[tokio::test]
async fn a_quota_is_never_exceeded_however_many_ask_at_once() {
    let api = Api::start().await;
    api.namespace("a").await;
    quota(&api, json!({"configmaps": "3"}), json!({"configmaps": "0"})).await;
    let made = (0..12).map(|i| {
        let admin = api.admin();
        async move { admin.post(MAPS, config_map(&format!("m{i}"))).await.code }
    });
    let codes = futures_join(made).await;
    assert_eq!(codes.iter().filter(|code| **code == 201).count(), 3, "{codes:?}");
    assert_eq!(used(&api).await, json!({"configmaps": "3"}));
}

async fn futures_join<F: Future<Output = u16> + Send + 'static>(all: impl Iterator<Item = F>) -> Vec<u16> {
    let tasks: Vec<_> = all.map(tokio::spawn).collect();
    let mut codes = Vec::new();
    for task in tasks {
        codes.push(task.await.unwrap());
    }
    codes
}

#[tokio::test]
async fn a_pod_names_what_a_quota_counts_and_gives_it_back_when_it_ends() {
    let api = Api::start().await;
    api.namespace("a").await;
    quota(&api, json!({"pods": "2", "requests.cpu": "1"}), json!({"pods": "0", "requests.cpu": "0"})).await;
    api.admin().post(PODS, pod("silent")).await.refuses(403, "Forbidden", "failed quota: q: must specify requests.cpu for: c");
    let mut asks = pod("p");
    asks["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "600m"}});
    api.admin().post(PODS, asks.clone()).await.expect(201);
    assert_eq!(used(&api).await, json!({"pods": "1", "requests.cpu": "600m"}));
    asks["metadata"]["name"] = "q".into();
    api.admin().post(PODS, asks).await.refuses(
        403,
        "Forbidden",
        "exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1",
    );
    let ended = json!({"status": {"phase": "Succeeded"}});
    api.admin().merge(&format!("{PODS}/p/status"), ended).await.expect(200);
    assert_eq!(used(&api).await, json!({"pods": "0", "requests.cpu": "0"}));
}

#[tokio::test]
async fn a_quota_without_a_status_counts_nothing_and_one_with_half_of_it_refuses() {
    let api = Api::start().await;
    api.namespace("a").await;
    quota(&api, json!({"configmaps": "1"}), json!({})).await;
    api.admin().post(MAPS, config_map("m")).await.refuses(403, "Forbidden", "status unknown for quota: q, resources: configmaps");
    api.admin().delete(QUOTA).await.expect(200);
    let bare = json!({"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "0"}}});
    api.admin().post("/api/v1/namespaces/a/resourcequotas", bare).await.expect(201);
    api.admin().post(MAPS, config_map("m")).await.expect(201);
}
