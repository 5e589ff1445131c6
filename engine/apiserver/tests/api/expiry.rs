//! Events end some time after they were last written.
use std::time::{Duration, Instant};

use irori_runtime::SignedDuration;
use serde_json::json;

use crate::harness::*;

const EVENTS: &str = "/api/v1/namespaces/default/events";

fn event(name: &str) -> serde_json::Value {
    json!({"metadata": {"name": name}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reason": "Tested", "type": "Normal"})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_ends_some_time_after_its_last_write_whatever_the_clock_says() {
    const TTL: Duration = Duration::from_secs(3);
    let api = Api::with(|settings| settings.event_ttl = TTL).await;
    let admin = api.admin();
    let born = Instant::now();
    for name in ["once", "again"] {
        admin.post(EVENTS, event(name)).await.expect(201);
    }
    let mut watch = admin.watch(&format!("{EVENTS}?watch=1&resourceVersion=0")).await;
    watch.next().await.unwrap();
    watch.next().await.unwrap();
    // A year ahead, then forty years back: neither ends an Event early nor keeps it.
    api.time.advance(SignedDuration::from_hours(24 * 365));
    tokio::time::sleep(Duration::from_secs(1)).await;
    api.time.set("1986-01-01T00:00:00Z".parse().unwrap());
    admin.merge(&format!("{EVENTS}/again"), json!({"count": 2})).await.expect(200);
    assert_eq!(watch.next().await.unwrap()["type"], "MODIFIED");
    assert_eq!(admin.get(EVENTS).await.expect(200)["items"].as_array().unwrap().len(), 2);
    let ended = watch.next().await.unwrap();
    assert_eq!((&ended["type"], &ended["object"]["metadata"]["name"]), (&json!("DELETED"), &json!("once")));
    assert!(born.elapsed() >= TTL, "after {:?}", born.elapsed());
    assert_eq!(watch.next().await.unwrap()["object"]["metadata"]["name"], "again");
    assert!(born.elapsed() >= TTL + Duration::from_secs(1), "after {:?}", born.elapsed());
    assert_eq!(admin.get(EVENTS).await.expect(200)["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_cannot_be_deleted_yet_goes_later_and_nothing_else_does() {
    let api = Api::with(|settings| settings.event_ttl = Duration::from_millis(200)).await;
    let admin = api.admin();
    admin.post(EVENTS, event("e")).await.expect(201);
    admin.post(MAPS, config_map("m")).await.expect(201);
    api.store.full.store(true, std::sync::atomic::Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(admin.get(EVENTS).await.expect(200)["items"].as_array().unwrap().len(), 1);
    api.store.full.store(false, std::sync::atomic::Ordering::Relaxed);
    tokio::time::timeout(Duration::from_secs(20), async {
        while admin.get(EVENTS).await.expect(200)["items"] != json!([]) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("it is tried again");
    assert_eq!(admin.get(MAPS).await.expect(200)["items"].as_array().unwrap().len(), 1);
}
