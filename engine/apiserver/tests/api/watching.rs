//! Watches: no gap, no duplicate, and what a selection makes of a change.
use serde_json::json;

use crate::harness::*;

#[tokio::test]
async fn a_watch_tells_of_creation_change_and_deletion() {
    let api = Api::start().await;
    let admin = api.admin();
    let mut watch = admin.watch(&format!("{MAPS}?watch=true&timeoutSeconds=20")).await;
    admin.post(MAPS, config_map("w")).await.expect(201);
    assert_eq!(watch.brief().await, brief("ADDED", "w"));
    let changed = admin.merge(&format!("{MAPS}/w"), json!({"data": {"a": "2"}})).await.expect(200);
    let event = watch.next().await.unwrap();
    assert_eq!((event["type"].as_str(), &event["object"]), (Some("MODIFIED"), &changed));
    admin.delete(&format!("{MAPS}/w")).await.expect(200);
    let event = watch.next().await.unwrap();
    assert_eq!((event["type"].as_str(), event["object"]["data"]["a"].as_str()), (Some("DELETED"), Some("2")));
    assert!(revision(&event["object"]) > revision(&changed), "a deletion has a revision of its own");
}

#[tokio::test]
async fn a_watch_resumed_at_any_revision_sees_exactly_what_came_after() {
    let api = Api::start().await;
    let admin = api.admin();
    let mut revisions = Vec::new();
    for n in 0..12 {
        revisions.push(revision(&admin.post(MAPS, config_map(&format!("r{n:02}"))).await.expect(201)));
    }
    for (seen, from) in revisions.iter().enumerate() {
        let mut watch = admin.watch(&format!("{MAPS}?watch=1&resourceVersion={from}&timeoutSeconds=20")).await;
        for n in seen + 1..12 {
            assert_eq!(watch.brief().await, brief("ADDED", &format!("r{n:02}")));
        }
        admin.post(MAPS, config_map(&format!("end-of-{seen}"))).await.expect(201);
        for other in 0..=seen {
            let event = watch.next().await.unwrap();
            assert_eq!(event["object"]["metadata"]["name"], format!("end-of-{other}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_reconnected_under_writes_has_no_gap_and_no_duplicate() {
    let api = Api::start().await;
    let admin = api.admin();
    let writer = {
        let admin = admin.clone();
        tokio::spawn(async move {
            for n in 0..300 {
                admin.post(MAPS, config_map(&format!("n{n:03}"))).await.expect(201);
            }
        })
    };
    let mut at = 0;
    let mut seen = Vec::new();
    while seen.len() < 300 {
        let from = if at == 0 { String::new() } else { format!("&resourceVersion={at}") };
        let mut watch = admin.watch(&format!("{MAPS}?watch=1{from}&timeoutSeconds=20")).await;
        for _ in 0..3 {
            if seen.len() == 300 {
                break;
            }
            let event = watch.next().await.unwrap();
            let revision = revision(&event["object"]);
            // Without a revision a watch starts with what is there, in the order of names; from then on revisions only grow.
            assert!(at == 0 || revision > at, "{revision} after {at}");
            if at == 0 {
                break;
            }
            at = revision;
            seen.push(event["object"]["metadata"]["name"].as_str().unwrap().to_owned());
        }
        if at == 0 {
            let list = admin.get(MAPS).await.expect(200);
            at = list["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
            seen = list["items"].as_array().unwrap().iter().map(|i| i["metadata"]["name"].as_str().unwrap().to_owned()).collect();
        }
    }
    writer.await.unwrap();
    assert_eq!(seen, (0..300).map(|n| format!("n{n:03}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_change_that_enters_or_leaves_the_selection_is_an_addition_or_deletion() {
    let api = Api::start().await;
    let admin = api.admin();
    let mut watch = admin.watch(&format!("{MAPS}?watch=true&labelSelector=on%3Dyes&timeoutSeconds=20")).await;
    admin.post(MAPS, config_map("x")).await.expect(201);
    admin.merge(&format!("{MAPS}/x"), json!({"metadata": {"labels": {"on": "yes"}}})).await.expect(200);
    assert_eq!(watch.brief().await, brief("ADDED", "x"));
    admin.merge(&format!("{MAPS}/x"), json!({"data": {"b": "1"}})).await.expect(200);
    assert_eq!(watch.brief().await, brief("MODIFIED", "x"));
    admin.merge(&format!("{MAPS}/x"), json!({"metadata": {"labels": {"on": "no"}}})).await.expect(200);
    assert_eq!(watch.brief().await, brief("DELETED", "x"));
    admin.delete(&format!("{MAPS}/x")).await.expect(200);
    admin.post(MAPS, json!({"metadata": {"name": "y", "labels": {"on": "yes"}}})).await.expect(201);
    assert_eq!(watch.brief().await, brief("ADDED", "y"), "the deletion of what was not selected is not told");
}

#[tokio::test]
async fn a_watch_of_one_name_sees_no_other() {
    let api = Api::start().await;
    let admin = api.admin();
    admin.post(MAPS, config_map("a")).await.expect(201);
    let mut watch = admin.watch(&format!("{MAPS}?watch=true&fieldSelector=metadata.name%3Da&timeoutSeconds=20")).await;
    assert_eq!(watch.brief().await, brief("ADDED", "a"));
    admin.post(MAPS, config_map("ab")).await.expect(201);
    admin.merge(&format!("{MAPS}/a"), json!({"data": {"a": "9"}})).await.expect(200);
    assert_eq!(watch.brief().await, brief("MODIFIED", "a"));
}

#[tokio::test]
async fn initial_events_end_with_a_marked_bookmark() {
    let api = Api::start().await;
    let admin = api.admin();
    admin.post(MAPS, config_map("a")).await.expect(201);
    let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=20";
    let mut watch = admin.watch(&format!("{MAPS}?{query}")).await;
    assert_eq!(watch.brief().await, brief("ADDED", "a"));
    let mark = watch.next().await.unwrap();
    assert_eq!(
        (mark["type"].as_str(), mark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"].as_str()),
        (Some("BOOKMARK"), Some("true"))
    );
    admin.post(MAPS, config_map("b")).await.expect(201);
    let event = watch.next().await.unwrap();
    assert!(revision(&event["object"]) > revision(&mark["object"]));
}

#[tokio::test]
async fn a_watch_ends_at_its_timeout() {
    let api = Api::start().await;
    let mut watch = api.admin().watch(&format!("{MAPS}?watch=true&timeoutSeconds=1")).await;
    assert_eq!(watch.next().await, None);
}

#[tokio::test]
async fn a_watch_may_be_a_table_whose_columns_come_once() {
    let api = Api::start().await;
    let admin = api.admin();
    let request = request(
        "GET",
        &format!("{MAPS}?watch=true&timeoutSeconds=20"),
        &[("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")],
        String::new(),
    );
    let mut watch = Events::of(admin.open(request).await);
    admin.post(MAPS, config_map("a")).await.expect(201);
    let first = watch.next().await.unwrap();
    assert_eq!((first["object"]["kind"].as_str(), first["object"]["rows"][0]["cells"][0].as_str()), (Some("Table"), Some("a")));
    assert!(first["object"]["columnDefinitions"].is_array());
    admin.post(MAPS, config_map("b")).await.expect(201);
    assert!(watch.next().await.unwrap()["object"]["columnDefinitions"].is_null());
}

#[tokio::test]
async fn a_watch_of_a_revision_that_is_gone_is_told_so_as_an_event() {
    let api = Api::start().await;
    let old = revision(&api.admin().post(MAPS, config_map("a")).await.expect(201));
    api.admin().post(MAPS, config_map("b")).await.expect(201);
    api.store.forgotten_below.store(old + 1, std::sync::atomic::Ordering::Relaxed);
    let mut watch = api.admin().watch(&format!("{MAPS}?watch=true&resourceVersion={old}")).await;
    let event = watch.next().await.unwrap();
    assert_eq!(
        (event["type"].as_str(), event["object"]["code"].as_u64(), event["object"]["reason"].as_str()),
        (Some("ERROR"), Some(410), Some("Expired"))
    );
    assert!(event["object"]["message"].as_str().unwrap().starts_with("too old resource version"));
    assert_eq!(watch.next().await, None);
}

#[tokio::test]
async fn what_was_there_ends_with_a_mark_for_whoever_takes_bookmarks() {
    let api = Api::start().await;
    let admin = api.admin();
    admin.post(MAPS, config_map("a")).await.expect(201);
    for (query, marked) in [
        ("allowWatchBookmarks=true", true),
        ("allowWatchBookmarks=true&resourceVersion=0", true),
        ("", false),
        ("sendInitialEvents=true&resourceVersionMatch=NotOlderThan", false),
    ] {
        let mut watch = admin.watch(&format!("{MAPS}?watch=1&timeoutSeconds=1&{query}")).await;
        assert_eq!(watch.brief().await, brief("ADDED", "a"), "{query}");
        let mut mark = false;
        while let Some(event) = watch.next().await {
            mark |= event["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"] == "true";
        }
        assert_eq!(mark, marked, "{query}");
    }
}

#[tokio::test]
async fn a_watch_from_a_revision_to_come_is_silent_until_then() {
    let api = Api::start().await;
    let admin = api.admin();
    let now = revision(&admin.post(MAPS, config_map("a")).await.expect(201));
    let mut watch = admin.watch(&format!("{MAPS}?watch=1&resourceVersion={}&timeoutSeconds=20", now + 2)).await;
    let mut later = now;
    while later <= now + 2 {
        later = revision(&admin.merge(&format!("{MAPS}/a"), json!({"data": {"n": later.to_string()}})).await.expect(200));
    }
    assert_eq!(revision(&watch.next().await.unwrap()["object"]), later, "the first after the revision that was asked for");
}

#[tokio::test]
async fn initial_events_of_a_revision_that_does_not_come_end_with_an_error() {
    let api = Api::start().await;
    let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=999999";
    let mut watch = api.admin().watch(&format!("{MAPS}?{query}")).await;
    let event = watch.next().await.unwrap();
    assert_eq!((event["type"].as_str(), event["object"]["code"].as_u64()), (Some("ERROR"), Some(504)));
    assert_eq!(watch.next().await, None);
}

#[tokio::test]
async fn a_bookmark_of_a_table_is_the_row_of_an_empty_object() {
    let api = Api::start().await;
    let accept = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let path = format!("{MAPS}?watch=1&allowWatchBookmarks=true&timeoutSeconds=20");
    let mut watch = Events::of(api.admin().open(request("GET", &path, &accept, String::new())).await);
    let table = &watch.next().await.unwrap()["object"];
    assert_eq!(table["rows"][0]["cells"], json!(["", 0, "<unknown>"]));
    assert_eq!(table["rows"][0]["object"]["metadata"]["annotations"], json!({"k8s.io/initial-events-end": "true"}));
    assert!(table["columnDefinitions"].is_array());
}

#[tokio::test]
async fn old_watch_paths_are_only_read() {
    let api = Api::start().await;
    let admin = api.admin();
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        for path in ["/api/v1/watch/configmaps", "/api/v1/watch/namespaces/default/configmaps", "/api/v1/watch/nodes"] {
            admin.raw(method, path, &[], String::new()).await.refuses(405, "MethodNotAllowed", "");
        }
    }
    admin.post(MAPS, config_map("a")).await.expect(201);
    let mut watch = admin.watch("/api/v1/watch/configmaps?timeoutSeconds=20").await;
    assert_eq!(watch.brief().await, brief("ADDED", "a"));
}
