//! Namespaces, their standard contents, and nodes.
use std::time::Duration;

use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{ConfigMap, Namespace, Node, Pod, ResourceQuota, Secret, ServiceAccount},
    rbac::v1::ClusterRole,
};
use kube::{Api, ResourceExt, api::PostParams};
use serde_json::json;

use crate::home::Home;

async fn namespace(home: &Home, name: &str) -> Api<Namespace> {
    let namespaces: Api<Namespace> = Api::all(home.client.clone());
    let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    home.until("default service account", || home.found::<ServiceAccount>(name, "default")).await;
    namespaces
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_namespace_has_a_service_account_and_the_root_ca() {
    let home = Home::start().await;
    namespace(&home, "one").await;
    let map = home.until("root CA", || home.found::<ConfigMap>("one", "kube-root-ca.crt")).await;
    let pem = map.data.unwrap()["ca.crt"].clone();
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----"));
    home.api::<ServiceAccount>("one").delete("default", &Default::default()).await.unwrap();
    home.until("service account made anew", || home.found::<ServiceAccount>("one", "default")).await;
    home.patch::<ConfigMap>("one", "kube-root-ca.crt", json!({"data": {"ca.crt": "forged"}})).await;
    home.until("root CA set right", async || {
        let map = home.found::<ConfigMap>("one", "kube-root-ca.crt").await?;
        (map.data?["ca.crt"] == pem).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_namespace_is_emptied_and_goes() {
    let home = Home::start().await;
    let namespaces = namespace(&home, "doomed").await;
    home.make::<Pod>("doomed", json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "one"}]}})).await;
    home.make::<Secret>("doomed", json!({"metadata": {"name": "s"}, "stringData": {"a": "b"}})).await;
    home.make::<ConfigMap>("doomed", json!({"metadata": {"name": "held", "finalizers": ["example.org/held"]}})).await;
    namespaces.delete("doomed", &Default::default()).await.unwrap();
    let held = home
        .until("condition about the finalizer", async || {
            let status = namespaces.get_opt("doomed").await.unwrap()?.status?;
            let condition = status.conditions?.into_iter().find(|c| c.type_ == "NamespaceFinalizersRemaining")?;
            (condition.status == "True").then_some(condition.message?)
        })
        .await;
    assert!(held.contains("example.org/held in 1 resource instances"), "{held}");
    assert!(home.all::<Pod>("doomed").await.is_empty());
    home.patch::<ConfigMap>("doomed", "held", json!({"metadata": {"finalizers": null}})).await;
    home.until("end of the namespace", async || namespaces.get_opt("doomed").await.unwrap().is_none().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_counts_what_was_there_and_what_comes() {
    let home = Home::start().await;
    namespace(&home, "one").await;
    let secret = |name: &str| json!({"metadata": {"name": name}, "stringData": {"a": "b"}});
    home.make::<Secret>("one", secret("before")).await;
    home.make::<ResourceQuota>("one", json!({"metadata": {"name": "q"}, "spec": {"hard": {"secrets": "2"}}})).await;
    let used = async || {
        let status = home.found::<ResourceQuota>("one", "q").await?.status?;
        Some((status.hard?.get("secrets")?.0.clone(), status.used?.get("secrets")?.0.clone()))
    };
    let is = async |hard: &str, wanted: &str| {
        home.until("count of the quota", async || {
            let (of, count) = used().await?;
            (of == hard && count == wanted).then_some(())
        })
        .await;
    };
    is("2", "1").await;
    home.make::<Secret>("one", secret("after")).await;
    is("2", "2").await;
    home.patch::<ResourceQuota>("one", "q", json!({"spec": {"hard": {"secrets": "5"}}})).await;
    is("5", "2").await;
    home.api::<Secret>("one").delete("before", &Default::default()).await.unwrap();
    is("5", "1").await;
}

async fn node(home: &Home, name: &str) -> Node {
    let nodes: Api<Node> = Api::all(home.client.clone());
    let node = serde_json::from_value(
        json!({"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
    );
    nodes.create(&PostParams::default(), &node.unwrap()).await.unwrap();
    home.until("pod range", async || {
        let node = nodes.get(name).await.unwrap();
        node.spec.as_ref()?.pod_cidr.is_some().then_some(node)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_get_ranges_of_their_own_and_taints_by_their_state() {
    let home = Home::start().await;
    let ranges: Vec<_> =
        [node(&home, "n1").await, node(&home, "n2").await].into_iter().map(|n| n.spec.unwrap().pod_cidrs.unwrap()).collect();
    assert_eq!(ranges, [["10.42.0.0/24"], ["10.42.1.0/24"]]);
    let nodes: Api<Node> = Api::all(home.client.clone());
    let cordon = kube::api::Patch::Merge(json!({"spec": {"unschedulable": true}}));
    nodes.patch("n1", &Default::default(), &cordon).await.unwrap();
    home.until("taint of a cordoned node", async || {
        let taints = nodes.get("n1").await.unwrap().spec?.taints?;
        taints.iter().any(|taint| taint.key == "node.kubernetes.io/unschedulable").then_some(())
    })
    .await;
    let down = kube::api::Patch::Merge(json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}}));
    nodes.patch_status("n2", &Default::default(), &down).await.unwrap();
    home.until("taints of a node that is not ready", async || {
        let taints = nodes.get("n2").await.unwrap().spec?.taints?;
        let of = |effect: &str| taints.iter().any(|taint| taint.key == "node.kubernetes.io/not-ready" && taint.effect == effect);
        (of("NoSchedule") && of("NoExecute")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_drives_out_empties_itself_of_those_that_do_not_tolerate_it() {
    let home = Home::start().await;
    node(&home, "n1").await;
    for (name, tolerations) in [("leaves", json!([])), ("stays", json!([{"key": "k", "operator": "Exists"}]))] {
        let pod = json!({"metadata": {"name": name}, "spec": {"nodeName": "n1", "tolerations": tolerations, "containers": [{"name": "c", "image": "one"}]}});
        home.make::<Pod>("default", pod).await;
    }
    let nodes: Api<Node> = Api::all(home.client.clone());
    let taint = kube::api::Patch::Merge(
        json!({"spec": {"taints": [{"key": "k", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"}]}}),
    );
    nodes.patch("n1", &Default::default(), &taint).await.unwrap();
    home.until("end of the pod that does not tolerate it", async || {
        home.found::<Pod>("default", "leaves").await.is_none().then_some(())
    })
    .await;
    assert!(home.found::<Pod>("default", "stays").await.is_some_and(|pod| pod.metadata.deletion_timestamp.is_none()));
    assert_eq!(nodes.get("n1").await.unwrap().name_any(), "n1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_node_is_unknown_until_it_is_heard_again() {
    let home = Home::with(|settings| settings.node_grace = Duration::from_millis(1500)).await;
    for name in ["silent", "other", "patient"] {
        node(&home, name).await;
    }
    let lease = json!({"metadata": {"name": "patient"}, "spec": {"holderIdentity": "patient", "leaseDurationSeconds": 3600}});
    home.make::<Lease>("kube-node-lease", lease).await;
    home.make::<Pod>(
        "default",
        json!({"metadata": {"name": "p"}, "spec": {"nodeName": "silent", "containers": [{"name": "c", "image": "one"}]}}),
    )
    .await;
    let nodes: Api<Node> = Api::all(home.client.clone());
    let ready = async |name: &str| {
        let conditions = nodes.get(name).await.unwrap().status.unwrap().conditions.unwrap();
        conditions.into_iter().find(|c| c.type_ == "Ready").unwrap()
    };
    let silence = home
        .until("unknown state of the silent node", async || {
            renew(&home, "other").await;
            let condition = ready("silent").await;
            (condition.status == "Unknown").then_some(condition)
        })
        .await;
    assert_eq!(silence.message.as_deref(), Some("Kubelet stopped posting node status."));
    assert_eq!(ready("other").await.status, "True", "a renewed lease is a sign of life");
    assert_eq!(ready("patient").await.status, "True", "a lease that lasts longer says so itself");
    home.until("taints, and a pod that serves nobody", async || {
        renew(&home, "other").await;
        let taints = nodes.get("silent").await.unwrap().spec?.taints?;
        let tainted = taints.iter().filter(|taint| taint.key == "node.kubernetes.io/unreachable").count() == 2;
        let conditions = home.found::<Pod>("default", "p").await?.status?.conditions?;
        (tainted && conditions.iter().any(|c| c.type_ == "Ready" && c.status == "False")).then_some(())
    })
    .await;
    let alive = kube::api::Patch::Strategic(json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}));
    nodes.patch_status("silent", &Default::default(), &alive).await.unwrap();
    home.until("end of the taints", async || {
        renew(&home, "silent").await;
        nodes.get("silent").await.unwrap().spec?.taints.unwrap_or_default().is_empty().then_some(())
    })
    .await;
}

async fn renew(home: &Home, node: &str) {
    let leases = home.api::<Lease>("kube-node-lease");
    let now = k8s_openapi::jiff::Timestamp::now();
    let lease = json!({"metadata": {"name": node}, "spec": {"holderIdentity": node, "renewTime": now.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()}});
    match leases.get_opt(node).await.unwrap() {
        Some(_) => drop(leases.patch(node, &Default::default(), &kube::api::Patch::Merge(lease)).await.unwrap()),
        None => drop(leases.create(&PostParams::default(), &serde_json::from_value(lease).unwrap()).await.unwrap()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_role_can_be_the_sum_of_others() {
    let home = Home::start().await;
    let roles: Api<ClusterRole> = Api::all(home.client.clone());
    let part = json!({"metadata": {"name": "part", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [{"apiGroups": ["example.org"], "resources": ["things"], "verbs": ["get"]}]});
    roles.create(&PostParams::default(), &serde_json::from_value(part).unwrap()).await.unwrap();
    home.until("rule in the sum", async || {
        let rules = roles.get("view").await.unwrap().rules?;
        rules.iter().any(|rule| rule.resources.iter().flatten().any(|name| name == "things")).then_some(())
    })
    .await;
    roles.delete("part", &Default::default()).await.unwrap();
    home.until("end of the rule", async || {
        let rules = roles.get("view").await.unwrap().rules?;
        (!rules.is_empty() && rules.iter().all(|rule| rule.resources.iter().flatten().all(|name| name != "things"))).then_some(())
    })
    .await;
}
