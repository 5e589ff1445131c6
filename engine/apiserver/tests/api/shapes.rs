//! What an answer may be asked for as: Accept, `as=`, `includeObject`; and the documents beside the kinds.
use serde_json::json;

use crate::harness::*;

const PODS: &str = "/api/v1/namespaces/g/pods";

async fn accepting(api: &Api, method: &str, path: &str, accept: &str) -> Answer {
    api.admin().raw(method, path, &[("accept", accept)], "{}".to_owned()).await
}

#[tokio::test]
async fn types_that_a_path_does_not_produce_are_refused_by_the_router() {
    let api = Api::start().await;
    api.admin().post(MAPS, config_map("a")).await.expect(201);
    let forms = "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf";
    let streams = format!("{forms}, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch");
    for (method, path, text) in [
        ("GET", format!("{MAPS}/a"), forms),
        ("DELETE", format!("{MAPS}/a"), forms),
        ("POST", MAPS.to_owned(), forms),
        ("GET", MAPS.to_owned(), &streams),
        ("GET", format!("{MAPS}?watch=1"), &streams),
    ] {
        for accept in ["text/html", "application/*", "application/cbor;q=0.9, garbage"] {
            let refused = accepting(&api, method, &path, accept).await.refuses(406, "NotAcceptable", "");
            assert_eq!((refused["message"].as_str(), &refused["details"]), (Some(text), &json!({})), "{method} {path} {accept}");
        }
    }
    accepting(&api, "GET", &format!("{MAPS}/a"), "text/html, */*;q=0.1").await.expect(200);
}

#[tokio::test]
async fn a_watch_in_yaml_is_told_of_the_streams() {
    let api = Api::start().await;
    accepting(&api, "GET", &format!("{MAPS}?watch=1"), "application/yaml").await.refuses(
        406,
        "NotAcceptable",
        "only the following media types are accepted: application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch",
    );
}

#[tokio::test]
async fn another_shape_is_named_in_full_and_before_anything_is_done() {
    let api = Api::start().await;
    let only =
        "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf";
    api.admin().post(MAPS, config_map("a")).await.expect(201);
    for parameters in ["as=Table", "as=Table;g=meta.k8s.io", "as=Table;v=v1", "g=meta.k8s.io;v=v1", "as=Other;g=meta.k8s.io;v=v1"]
    {
        let accept = format!("application/json;{parameters}");
        accepting(&api, "GET", MAPS, &accept).await.refuses(406, "NotAcceptable", only);
        accepting(&api, "DELETE", &format!("{MAPS}/a"), &accept).await.refuses(406, "NotAcceptable", only);
        accepting(&api, "GET", MAPS, &format!("{accept}, application/json")).await.expect(200);
    }
    api.admin().get(&format!("{MAPS}/a")).await.expect(200);
}

#[tokio::test]
async fn what_has_no_table_is_refused_as_one_before_it_is_done() {
    let api = Api::start().await;
    api.namespace("g").await;
    api.admin().post(PODS, pod("p")).await.expect(201);
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    for path in [
        format!("{PODS}/p/eviction"),
        format!("{PODS}/p/binding"),
        "/api/v1/namespaces/g/serviceaccounts/default/token".to_owned(),
        "/apis/authentication.k8s.io/v1/selfsubjectreviews".to_owned(),
    ] {
        accepting(&api, "POST", &path, table).await.refuses(406, "NotAcceptable", "only the following media types");
    }
    api.admin().get(&format!("{PODS}/p")).await.expect(200);
}

#[tokio::test]
async fn metadata_is_of_one_object_or_of_a_list() {
    let api = Api::start().await;
    api.namespace("g").await;
    api.admin().post(PODS, pod("p")).await.expect(201);
    let of = |kind: &str| format!("application/json;as={kind};v=v1;g=meta.k8s.io");
    let (one, list) = (of("PartialObjectMetadata"), of("PartialObjectMetadataList"));
    accepting(&api, "GET", &format!("{PODS}/p"), &one).await.expect(200);
    accepting(&api, "GET", PODS, &list).await.expect(200);
    accepting(&api, "GET", &format!("{PODS}/p"), &list).await.refuses(
        406,
        "NotAcceptable",
        "you requested PartialObjectMetadataList, but the requested object is not a list (*core.Pod)",
    );
    accepting(&api, "GET", PODS, &one).await.refuses(
        406,
        "NotAcceptable",
        "you requested PartialObjectMetadata, but the requested object is a list (*core.PodList)",
    );
}

#[tokio::test]
async fn a_table_includes_what_it_can() {
    let api = Api::start().await;
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    for known in ["None", "Metadata", "Object", ""] {
        accepting(&api, "GET", &format!("{MAPS}?includeObject={known}"), table).await.expect(200);
    }
    accepting(&api, "GET", &format!("{MAPS}?includeObject=Bogus"), "application/json").await.expect(200);
    accepting(&api, "GET", &format!("{MAPS}?includeObject=Bogus"), table).await.refuses(
        400,
        "BadRequest",
        "Unable to convert to Table as requested: includeObject: Invalid value: \"Bogus\": must be 'Metadata', 'Object', 'None', or empty",
    );
}

#[tokio::test]
async fn a_name_that_is_no_step_of_a_path_is_refused() {
    let api = Api::start().await;
    let refused = api.admin().get(&format!("{MAPS}/a%25b")).await;
    refused.refuses(400, "BadRequest", "Name parameter invalid: \"a%b\": may not contain '%'");
}

#[tokio::test]
async fn checks_of_health_are_left_out_by_name() {
    let api = Api::start().await;
    let text = |answer: Answer| String::from_utf8_lossy(&answer.bytes).into_owned();
    let told = text(api.admin().get("/livez?verbose&exclude=etcd&exclude=bogus").await);
    assert!(told.contains("[+]ping ok\n") && told.contains("[+]etcd excluded: ok\n"), "{told}");
    assert!(told.contains("warn: some health checks cannot be excluded: no matches for \"bogus\"\n"), "{told}");
    assert_eq!(text(api.admin().get("/livez/etcd").await), "ok");
    let unknown = api.admin().get("/livez/bogus").await;
    assert_eq!((unknown.code, text(unknown).as_str()), (404, "404 page not found\n"));
}

#[tokio::test]
async fn a_document_by_its_hash_never_changes() {
    let api = Api::start().await;
    let index = api.admin().get("/openapi/v3").await.expect(200);
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
    let known = api.admin().get(url).await;
    assert_eq!((known.code, known.headers["cache-control"].to_str().unwrap()), (200, "public, immutable"));
    assert_eq!(known.headers["expires"], "Sun, 21 Nov 2027 10:00:00 UTC");
    let moved = api.admin().get("/openapi/v3/apis/apps/v1?hash=BOGUS").await;
    assert_eq!((moved.code, moved.headers["location"].to_str().unwrap()), (301, url));
    let newest = api.admin().get("/openapi/v3/apis/apps/v1").await;
    assert_eq!((newest.code, newest.headers["cache-control"].to_str().unwrap()), (200, "no-cache, private"));
}
