//! The scheduler against a real API, as `system:kube-scheduler`.
#![allow(clippy::unwrap_used)] // a test says what it expects by ending
mod home;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{ResourceExt, api::DeleteParams};
use serde_json::json;

use crate::home::{Home, cpu};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_is_bound_and_told_so() {
    let home = Home::start().await;
    home.node("n1", "4").await;
    home.pod("p", cpu("1")).await;
    assert_eq!(home.bound("p").await, "n1");
    let told = home
        .until("event about the binding", async || {
            let events = home.all::<Event>().await;
            events.into_iter().find(|event| event.reason.as_deref() == Some("Scheduled"))
        })
        .await;
    assert_eq!(told.message.as_deref(), Some("Successfully assigned default/p to n1"));
    assert_eq!(told.reporting_component.as_deref(), Some("default-scheduler"));
    let pod = home.get("p").await;
    let scheduled = pod.status.unwrap().conditions.unwrap().into_iter().find(|c| c.type_ == "PodScheduled").unwrap();
    assert_eq!(scheduled.status, "True");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_without_a_place_says_why_and_goes_as_soon_as_there_is_one() {
    let home = Home::start().await;
    home.node("small", "1").await;
    home.pod("first", cpu("1")).await;
    home.bound("first").await;
    home.pod("second", cpu("1")).await;
    let why = home.waits("second").await;
    assert_eq!(why, "0/1 nodes are available: 1 Insufficient cpu.");
    home.pods().delete("first", &DeleteParams::default().grace_period(0)).await.unwrap();
    assert_eq!(home.bound("second").await, "small");
    home.pod("third", cpu("2")).await;
    home.waits("third").await;
    home.node("big", "4").await;
    assert_eq!(home.bound("third").await, "big");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_pod_makes_room() {
    let home = Home::start().await;
    home.node("n1", "1").await;
    home.pod("done", cpu("1")).await;
    home.bound("done").await;
    home.pod("next", cpu("1")).await;
    home.waits("next").await;
    let finished = kube::api::Patch::Merge(json!({"status": {"phase": "Succeeded"}}));
    home.pods().patch_status("done", &Default::default(), &finished).await.unwrap();
    assert_eq!(home.bound("next").await, "n1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gates_and_other_schedulers_are_respected() {
    let home = Home::start().await;
    home.node("n1", "4").await;
    let mut gated = cpu("1");
    gated["schedulingGates"] = json!([{"name": "example.org/later"}]);
    home.pod("gated", gated).await;
    let mut foreign = cpu("1");
    foreign["schedulerName"] = json!("another");
    home.pod("foreign", foreign).await;
    home.pod("plain", cpu("1")).await;
    home.bound("plain").await;
    assert_eq!(home.node_of("gated").await, None);
    let open = kube::api::Patch::Merge(json!({"spec": {"schedulingGates": null}}));
    home.pods().patch("gated", &Default::default(), &open).await.unwrap();
    home.bound("gated").await;
    assert_eq!(home.node_of("foreign").await, None);
}

/// Many at once: assumed pods count before the copy shows them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_node_is_given_more_than_it_has() {
    let home = Home::start().await;
    for n in 0..10 {
        home.node(&format!("n{n}"), "2").await;
    }
    let names: Vec<_> = (0..120).map(|n| format!("p{n}")).collect();
    for name in &names {
        home.pod(name, cpu("200m")).await;
    }
    let placed = home
        .until("100 pods with a node", async || {
            let pods = home.all::<Pod>().await;
            let mut by_node: BTreeMap<String, usize> = BTreeMap::new();
            for node in pods.iter().filter_map(|pod| pod.spec.as_ref()?.node_name.clone()) {
                *by_node.entry(node).or_default() += 1;
            }
            (by_node.values().sum::<usize>() == 100).then_some(by_node)
        })
        .await;
    assert_eq!(placed.into_values().collect::<Vec<_>>(), [10; 10]);
    let waiting = home.all::<Pod>().await.into_iter().filter(|pod| pod.spec.as_ref().unwrap().node_name.is_none()).count();
    assert_eq!(waiting, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_promised_is_refused_by_name() {
    let home = Home::start().await;
    home.node("n1", "4").await;
    let mut claims = cpu("1");
    claims["volumes"] = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]);
    home.pod("claims", claims).await;
    let why = home.waits("claims").await;
    assert_eq!(why, "0/1 nodes are available: pod uses persistentvolumeclaim \"data\", and volumes are not bound yet.");
    assert_eq!(home.get("claims").await.name_any(), "claims");
}
