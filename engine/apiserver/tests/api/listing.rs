//! Lists: pages, selectors, tables.
use serde_json::{Value, json};

use crate::harness::*;

async fn fill(api: &Api, count: usize) {
    for n in 0..count {
        let tier = if n % 2 == 0 { "even" } else { "odd" };
        let body = json!({"metadata": {"name": format!("m{n:02}"), "labels": {"tier": tier}}, "data": {"n": n.to_string()}});
        api.admin().post(MAPS, body).await.expect(201);
    }
}

fn names(list: &Value) -> Vec<String> {
    list["items"].as_array().unwrap().iter().map(|i| i["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn pages_show_one_revision_whatever_happens_between_them() {
    let api = Api::start().await;
    let admin = api.admin();
    fill(&api, 5).await;
    let first = admin.get(&format!("{MAPS}?limit=2")).await.expect(200);
    assert_eq!(
        (names(&first), first["metadata"]["remainingItemCount"].as_u64()),
        (vec!["m00".to_owned(), "m01".to_owned()], Some(3))
    );
    admin.delete(&format!("{MAPS}/m02")).await.expect(200);
    admin.post(MAPS, config_map("m03a")).await.expect(201);
    let next = first["metadata"]["continue"].as_str().unwrap();
    let second = admin.get(&format!("{MAPS}?limit=2&continue={next}")).await.expect(200);
    assert_eq!(names(&second), ["m02", "m03"]);
    let next = second["metadata"]["continue"].as_str().unwrap();
    let third = admin.get(&format!("{MAPS}?limit=2&continue={next}")).await.expect(200);
    assert_eq!((names(&third), third["metadata"].get("continue")), (vec!["m04".to_owned()], None));
    assert_eq!(first["metadata"]["resourceVersion"], third["metadata"]["resourceVersion"]);
    admin.get(&format!("{MAPS}?limit=2&continue=nonsense")).await.refuses(400, "BadRequest", "continue key is not valid");
}

#[tokio::test]
async fn selectors_choose_by_labels_and_fields() {
    let api = Api::start().await;
    let admin = api.admin();
    fill(&api, 6).await;
    let odd = admin.get(&format!("{MAPS}?labelSelector=tier%3Dodd")).await.expect(200);
    assert_eq!(names(&odd), ["m01", "m03", "m05"]);
    let page = admin.get(&format!("{MAPS}?labelSelector=tier+in+(odd)&limit=2")).await.expect(200);
    assert_eq!((names(&page), page["metadata"].get("remainingItemCount")), (vec!["m01".to_owned(), "m03".to_owned()], None));
    let next = page["metadata"]["continue"].as_str().unwrap();
    assert_eq!(
        names(&admin.get(&format!("{MAPS}?labelSelector=tier+in+(odd)&limit=2&continue={next}")).await.expect(200)),
        ["m05"]
    );
    let one = admin.get(&format!("{MAPS}?fieldSelector=metadata.name%3Dm04")).await.expect(200);
    assert_eq!(names(&one), ["m04"]);
    let none = admin.get(&format!("{MAPS}?fieldSelector=metadata.name!%3Dm04,metadata.namespace%3Dother")).await.expect(200);
    assert_eq!(names(&none), Vec::<String>::new());
    admin.get(&format!("{MAPS}?labelSelector=a%3D%3D%3D")).await.refuses(400, "BadRequest", "");
    admin.get(&format!("{MAPS}?fieldSelector=data.n%3D1")).await.refuses(400, "BadRequest", "is not a known field selector");
}

#[tokio::test]
async fn pods_are_selected_by_the_node_they_run_on() {
    let api = Api::start().await;
    api.namespace("p").await;
    let pods = "/api/v1/namespaces/p/pods";
    for name in ["a", "b"] {
        api.admin().post(pods, pod(name)).await.expect(201);
    }
    let binding = json!({"metadata": {"name": "b"}, "target": {"kind": "Node", "name": "n1"}});
    api.admin().post(&format!("{pods}/b/binding"), binding).await.expect(201);
    let here = api.admin().get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1").await.expect(200);
    assert_eq!(names(&here), ["b"]);
    let nowhere = api.admin().get("/api/v1/pods?fieldSelector=spec.nodeName%3D").await.expect(200);
    assert_eq!(names(&nowhere), ["a"]);
}

#[tokio::test]
async fn list_items_carry_no_type_and_their_own_revision() {
    let api = Api::start().await;
    let made = api.admin().post(MAPS, config_map("one")).await.expect(201);
    let list = api.admin().get("/api/v1/configmaps").await.expect(200);
    assert_eq!((list["kind"].as_str(), list["apiVersion"].as_str()), (Some("ConfigMapList"), Some("v1")));
    let mut wanted = made;
    wanted.as_object_mut().unwrap().remove("kind");
    wanted.as_object_mut().unwrap().remove("apiVersion");
    assert_eq!(list["items"], json!([wanted]));
}

#[tokio::test]
async fn lists_are_shown_as_tables_metadata_protobuf_and_gzip() {
    let api = Api::start().await;
    let admin = api.admin();
    fill(&api, 3).await;
    let table =
        admin.raw("GET", MAPS, &[("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")], String::new()).await.expect(200);
    assert_eq!((table["kind"].as_str(), table["rows"].as_array().unwrap().len()), (Some("Table"), 3));
    assert_eq!(table["rows"][0]["cells"][0], "m00");
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let partial = admin.raw("GET", MAPS, &[("accept", accept)], String::new()).await.expect(200);
    assert_eq!((partial["kind"].as_str(), partial["items"][1].get("data")), (Some("PartialObjectMetadataList"), None));
    let proto = admin.raw("GET", MAPS, &[("accept", "application/vnd.kubernetes.protobuf")], String::new()).await;
    assert_eq!((&proto.bytes[..4], proto.code), (&b"k8s\0"[..], 200));
    let big = json!({"metadata": {"name": "big"}, "data": {"x": "x".repeat(300_000)}});
    admin.post(MAPS, big).await.expect(201);
    let packed = admin.raw("GET", MAPS, &[("accept-encoding", "gzip")], String::new()).await;
    assert_eq!(packed.headers["content-encoding"], "gzip");
    let mut plain = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&packed.bytes[..]), &mut plain).unwrap();
    assert_eq!(plain.trim(), String::from_utf8_lossy(&admin.get(MAPS).await.bytes).trim());
    assert!(packed.bytes.len() < 10_000);
}

#[tokio::test]
async fn a_revision_may_be_asked_for_exactly_at_least_or_not_at_all() {
    let api = Api::start().await;
    let admin = api.admin();
    let first = revision(&admin.post(MAPS, config_map("a")).await.expect(201));
    admin.post(MAPS, config_map("b")).await.expect(201);
    let exact = admin.get(&format!("{MAPS}?resourceVersion={first}&resourceVersionMatch=Exact")).await.expect(200);
    assert_eq!(names(&exact), ["a"]);
    let at_least = admin.get(&format!("{MAPS}?resourceVersion={first}&resourceVersionMatch=NotOlderThan")).await.expect(200);
    assert_eq!(names(&at_least), ["a", "b"]);
    assert_eq!(names(&admin.get(&format!("{MAPS}?resourceVersion=0")).await.expect(200)), ["a", "b"]);
    admin.get(&format!("{MAPS}?resourceVersionMatch=Exact")).await.refuses(
        422,
        "Invalid",
        "resourceVersionMatch is forbidden unless resourceVersion",
    );
    let future = admin.get(&format!("{MAPS}?resourceVersion=999999")).await;
    assert_eq!(future.headers["retry-after"], "1");
    future.refuses(504, "Timeout", "Too large resource version: 999999");
}

#[tokio::test]
async fn a_continue_token_of_a_forgotten_revision_is_gone_and_brings_another() {
    let api = Api::start().await;
    let admin = api.admin();
    fill(&api, 4).await;
    let first = admin.get(&format!("{MAPS}?limit=2")).await.expect(200);
    let at: u64 = first["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    admin.delete(&format!("{MAPS}/m02")).await.expect(200);
    api.store.forgotten_below.store(at + 1, std::sync::atomic::Ordering::Relaxed);
    let next = first["metadata"]["continue"].as_str().unwrap();
    let gone = admin.get(&format!("{MAPS}?limit=2&continue={next}")).await.refuses(
        410,
        "Expired",
        "The provided continue parameter is too old",
    );
    let other = gone["metadata"]["continue"].as_str().unwrap();
    let rest = admin.get(&format!("{MAPS}?limit=2&continue={other}")).await.expect(200);
    assert_eq!(names(&rest), ["m03"], "what goes on is newer, and says so by its own revision");
}

#[tokio::test]
async fn over_all_namespaces_a_kind_is_only_listed_and_watched() {
    let api = Api::start().await;
    let admin = api.admin();
    admin.post(MAPS, config_map("a")).await.expect(201);
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let said = config_map("b").to_string();
        admin.raw(method, "/api/v1/configmaps", &[], said).await.refuses(405, "MethodNotAllowed", "does not allow this method");
    }
    admin.get("/api/v1/configmaps/a").await.refuses(404, "NotFound", "");
    let review = json!({"spec": {"user": "u", "resourceAttributes": {"verb": "get", "resource": "pods"}}});
    admin.post("/apis/authorization.k8s.io/v1/localsubjectaccessreviews", review).await.refuses(404, "NotFound", "");
    assert_eq!(names(&admin.get("/api/v1/configmaps").await.expect(200)), ["a"]);
}

#[tokio::test]
async fn events_are_selected_by_the_fields_of_their_newer_kind() {
    let api = Api::start().await;
    let admin = api.admin();
    let event = json!({
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reportingComponent": "x",
    });
    admin.post("/api/v1/namespaces/default/events", event).await.expect(201);
    for (selector, found) in
        [("regarding.kind%3DPod", 1), ("regarding.name%3Dp", 1), ("reportingController%3Dx", 1), ("regarding.name%3Dq", 0)]
    {
        let path = format!("/apis/events.k8s.io/v1/namespaces/default/events?fieldSelector={selector}");
        assert_eq!(names(&admin.get(&path).await.expect(200)).len(), found, "{selector}");
    }
}

#[tokio::test]
async fn a_revision_that_is_no_number_is_refused_to_reads_of_one_object_too() {
    let api = Api::start().await;
    let text = "resourceVersion: Invalid value: \"abc\": strconv.ParseUint: parsing \"abc\": invalid syntax";
    api.admin().get(&format!("{MAPS}/any?resourceVersion=abc")).await.refuses(500, "", text);
}

#[tokio::test]
async fn a_continue_token_is_read_before_the_revision_beside_it() {
    let api = Api::start().await;
    let admin = api.admin();
    let broken = "invalid continue token: continue key is not valid: invalid character 'i' looking for beginning of value";
    admin.get(&format!("{MAPS}?continue=abc&resourceVersion=5")).await.refuses(400, "BadRequest", broken);
    fill(&api, 2).await;
    let first = admin.get(&format!("{MAPS}?limit=1")).await.expect(200);
    let next = first["metadata"]["continue"].as_str().unwrap();
    let refused = admin.get(&format!("{MAPS}?continue={next}&resourceVersion=5")).await;
    refused.refuses(400, "BadRequest", "specifying resource version is not allowed when using continue");
}
