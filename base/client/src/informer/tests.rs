use super::*;
use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Request, Response, StatusCode};
use irori_http::{Body, BoxError, full};
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::in_process;

const DEADLINE: Duration = Duration::from_secs(10);

/// What the scripted server does with one request, in order.
enum Answer {
    List(Value),
    /// Events, and whether the watch stays open after them.
    Watch(Vec<Value>, bool),
    Refuse(u16),
}

/// A server that answers from a script and hands on what it was asked.
fn scripted(answers: Vec<Answer>) -> (kube::Client, mpsc::UnboundedReceiver<String>) {
    let (asked, asks) = mpsc::unbounded_channel();
    let answers = Arc::new(Mutex::new(VecDeque::from(answers)));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (asked, answers) = (asked.clone(), answers.clone());
        async move {
            let Some(answer) = answers.lock().unwrap().pop_front() else {
                let _test_over = asked.send(format!("unexpected: {}", request.uri()));
                return std::future::pending().await;
            };
            let _test_over = asked.send(request.uri().to_string());
            let response = match answer {
                Answer::List(list) => Response::new(full(list.to_string())),
                Answer::Refuse(code) => {
                    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
                        "reason": if code == 410 { "Expired" } else { "InternalError" }, "message": "as told"});
                    let mut response = Response::new(full(status.to_string()));
                    *response.status_mut() = StatusCode::from_u16(code).unwrap();
                    response
                }
                Answer::Watch(events, open) => {
                    // In pieces of seven bytes, so that lines never arrive whole.
                    let text: Vec<u8> = events.iter().flat_map(|event| format!("{event}\n").into_bytes()).collect();
                    let pieces: Vec<Result<Bytes, BoxError>> = text.chunks(7).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
                    let rest = if open { stream::pending().left_stream() } else { stream::empty().right_stream() };
                    Response::new(irori_http::stream(stream::iter(pieces).chain(rest)))
                }
            };
            Ok::<_, BoxError>(response)
        }
    });
    (in_process(service), asks)
}

fn map(name: &str, revision: u32, value: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "ns", "uid": format!("uid-{name}"), "resourceVersion": revision.to_string(),
        "managedFields": [{"manager": "x", "operation": "Update"}]}, "data": {"v": value}})
}

fn list(revision: u32, items: &[Value]) -> Answer {
    Answer::List(
        json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": revision.to_string()}, "items": items}),
    )
}

fn event(kind: &str, object: Value) -> Value {
    json!({"type": kind, "object": object})
}

fn bookmark(revision: u32) -> Value {
    event("BOOKMARK", json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"resourceVersion": revision.to_string()}}))
}

async fn next(asks: &mut mpsc::UnboundedReceiver<String>) -> String {
    tokio::time::timeout(DEADLINE, asks.recv()).await.expect("a request in time").unwrap()
}

/// The next change: of what, to which value.
async fn changed(changes: &mut ChangeStream<ConfigMap>) -> (String, Option<String>) {
    let change = tokio::time::timeout(DEADLINE, changes.next()).await.expect("a change in time").unwrap();
    (change.key.name, change.new.and_then(|map| map.data.clone()?.remove("v")))
}

fn informers(client: kube::Client) -> (Informers, Tasks) {
    let tasks = Tasks::new(Shutdown::new());
    (Informers::new(client, tasks.clone()), tasks)
}

#[tokio::test]
async fn a_watch_goes_on_from_the_list_and_is_resumed_from_the_last_revision_seen() {
    let (client, mut asks) = scripted(vec![
        list(10, &[map("a", 3, "1")]),
        Answer::Watch(vec![event("MODIFIED", map("a", 11, "2")), bookmark(40)], false),
        Answer::Watch(vec![event("ADDED", map("b", 41, "1")), event("DELETED", map("a", 42, "2"))], true),
    ]);
    let (informers, _tasks) = informers(client);
    let maps = informers.of::<ConfigMap>();
    let mut changes = maps.changes();
    tokio::time::timeout(DEADLINE, maps.synced()).await.unwrap();
    assert!(next(&mut asks).await.starts_with("/api/v1/configmaps?limit=500"));
    assert!(next(&mut asks).await.contains("resourceVersion=10"));
    assert!(next(&mut asks).await.contains("resourceVersion=40"), "the bookmark's");
    while maps.get(&Key::new("ns", "a")).is_some() || maps.list().is_empty() {
        changed(&mut changes).await;
    }
    assert!(maps.get(&Key::new("ns", "a")).is_none());
    assert_eq!(maps.in_namespace("ns").len(), 1);
    assert!(maps.in_namespace("n").is_empty() && maps.in_namespace("ns2").is_empty());
}

#[tokio::test]
async fn a_compacted_revision_is_listed_anew_and_told_as_differences() {
    for gone in [
        Answer::Refuse(410),
        Answer::Watch(
            vec![event(
                "ERROR",
                json!({"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"}),
            )],
            false,
        ),
    ] {
        let (client, mut asks) = scripted(vec![
            list(10, &[map("gone", 3, "1"), map("same", 4, "1"), map("moved", 5, "1")]),
            gone,
            list(90, &[map("same", 4, "1"), map("moved", 80, "2"), map("new", 81, "1")]),
            Answer::Watch(vec![], true),
        ]);
        let (informers, _tasks) = informers(client);
        let maps = informers.of::<ConfigMap>();
        maps.synced().await;
        let mut changes = maps.changes();
        for _ in 0..3 {
            next(&mut asks).await;
        }
        assert!(next(&mut asks).await.contains("resourceVersion=90"));
        let mut last = std::collections::BTreeMap::new();
        while !last.contains_key("new") || last.get("moved") != Some(&Some("2".to_owned())) {
            let (name, new) = changed(&mut changes).await;
            last.insert(name, new);
        }
        let names: Vec<String> = maps.list().iter().filter_map(|map| map.metadata.name.clone()).collect();
        assert_eq!(names, ["moved", "new", "same"]);
    }
}

#[tokio::test]
async fn a_failing_server_is_asked_again_and_nothing_is_forgotten_meanwhile() {
    let (client, mut asks) = scripted(vec![
        Answer::Refuse(500),
        list(10, &[map("a", 3, "1")]),
        Answer::Refuse(500),
        Answer::Watch(vec![event("MODIFIED", map("a", 11, "2"))], true),
    ]);
    let (informers, _tasks) = informers(client);
    let maps = informers.of::<ConfigMap>();
    let mut changes = maps.changes();
    for _ in 0..2 {
        next(&mut asks).await;
    }
    assert_eq!(changed(&mut changes).await, ("a".to_owned(), Some("1".to_owned())));
    assert!(next(&mut asks).await.contains("watch=true"));
    assert!(maps.get(&Key::new("ns", "a")).is_some());
    assert_eq!(changed(&mut changes).await, ("a".to_owned(), Some("2".to_owned())));
    assert!(next(&mut asks).await.contains("resourceVersion=10"), "no new list after a failed watch");
}

#[tokio::test]
async fn an_object_that_does_not_decode_never_breaks_its_list() {
    let broken = json!({"metadata": {"name": "broken", "namespace": "ns", "resourceVersion": "12"}, "data": {"v": 7}});
    let (client, mut asks) = scripted(vec![
        list(10, &[broken.clone(), map("a", 3, "1")]),
        Answer::Watch(vec![event("ADDED", broken)], false),
        Answer::Watch(vec![], true),
    ]);
    let (informers, _tasks) = informers(client);
    let maps = informers.of::<ConfigMap>();
    maps.synced().await;
    assert_eq!(maps.list().len(), 1);
    next(&mut asks).await;
    next(&mut asks).await;
    assert!(next(&mut asks).await.contains("resourceVersion=12"), "its revision still counts");
}

#[tokio::test]
async fn pages_are_followed_to_the_end() {
    let page = json!({"metadata": {"resourceVersion": "10", "continue": "more/="}, "items": [map("a", 3, "1")]});
    let (client, mut asks) = scripted(vec![Answer::List(page), list(10, &[map("b", 4, "1")]), Answer::Watch(vec![], true)]);
    let (informers, _tasks) = informers(client);
    let maps = informers.of_namespace::<ConfigMap>("ns", "metadata.name!=x", "");
    maps.synced().await;
    assert_eq!(maps.list().len(), 2);
    let first = next(&mut asks).await;
    assert!(first.starts_with("/api/v1/namespaces/ns/configmaps?") && first.contains("fieldSelector=metadata.name%21%3Dx"));
    assert!(next(&mut asks).await.contains("continue=more%2F%3D"));
}

#[tokio::test]
async fn managed_fields_are_dropped() {
    let (client, _asks) = scripted(vec![list(10, &[map("a", 3, "1")]), Answer::Watch(vec![], true)]);
    let (informers, _tasks) = informers(client);
    let maps = informers.of::<ConfigMap>();
    maps.synced().await;
    assert!(maps.list()[0].metadata.managed_fields.is_none());
}

#[tokio::test]
async fn two_readers_share_one_watch_which_ends_with_the_last() {
    let (client, mut asks) =
        scripted(vec![list(10, &[]), Answer::Watch(vec![], true), list(11, &[]), Answer::Watch(vec![], true)]);
    let (informers, tasks) = informers(client);
    let (one, two) = (informers.of::<ConfigMap>(), informers.of::<ConfigMap>());
    one.synced().await;
    two.synced().await;
    next(&mut asks).await;
    next(&mut asks).await;
    assert_eq!(tasks.list().len(), 1);
    let changes = one.changes();
    drop((one, two));
    assert_eq!(tasks.list().len(), 1, "a stream is a reader too");
    drop(changes);
    assert!(tasks.drain(DEADLINE).await.is_empty());
    informers.of::<ConfigMap>().synced().await;
    assert!(next(&mut asks).await.contains("limit="), "a later reader starts it anew");
}

#[tokio::test]
async fn shutdown_ends_the_streams() {
    let (client, _asks) = scripted(vec![list(10, &[]), Answer::Watch(vec![], true)]);
    let (informers, tasks) = informers(client);
    let maps = informers.of::<ConfigMap>();
    let mut changes = maps.changes();
    maps.synced().await;
    tasks.shutdown().start();
    assert!(tokio::time::timeout(DEADLINE, changes.next()).await.unwrap().is_none());
    assert!(maps.changes().next().await.is_none(), "also one asked for afterwards");
}

#[tokio::test]
async fn own_writes_are_waited_for_until_the_informer_shows_them() {
    let (client, _asks) = scripted(vec![list(10, &[]), Answer::Watch(vec![event("ADDED", map("a", 12, "1"))], true)]);
    let (informers, _tasks) = informers(client);
    let maps = informers.of::<ConfigMap>();
    let mut changes = maps.changes();
    let (key, writes) = (Key::cluster("writer"), crate::OwnWrites::default());
    let wrote = |revision| serde_json::from_value::<ConfigMap>(map("x", revision, "1")).unwrap();
    writes.wrote(&key, &wrote(12));
    assert!(!writes.seen_by(&key, &maps));
    assert!(writes.seen_by(&Key::cluster("other"), &maps));
    changed(&mut changes).await;
    assert!(writes.seen_by(&key, &maps));
    writes.wrote(&key, &wrote(13));
    assert!(!writes.seen_by(&key, &maps));
}
