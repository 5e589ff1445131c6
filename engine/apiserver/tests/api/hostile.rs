//! Input that means no good: a clear refusal, nothing lost, nothing broken.
use serde_json::json;

use crate::harness::*;

#[tokio::test]
async fn garbage_is_a_bad_request() {
    let api = Api::start().await;
    let admin = api.admin();
    for body in ["", "{", "null", "[]", "\"x\"", "{\"metadata\":}", "\u{0}", "{}{}", "{\"metadata\":{\"name\":\"x\"}} trailing"] {
        let answer = admin.raw("POST", MAPS, &[], body.to_owned()).await;
        assert!(matches!(answer.code, 400 | 422), "{body:?}: {} {}", answer.code, String::from_utf8_lossy(&answer.bytes));
    }
    for body in [
        json!({"metadata": 7}),
        json!({"metadata": {"name": []}}),
        json!({"metadata": {"name": "x"}, "data": {"a": 1}}),
        json!({"kind": "Pod", "metadata": {"name": "x"}}),
    ] {
        admin.post(MAPS, body).await.refuses(400, "BadRequest", "");
    }
    for form in ["application/yaml", "application/vnd.kubernetes.protobuf"] {
        let answer = admin.raw("POST", MAPS, &[("content-type", form)], "k8s\u{0}\u{7f}\u{7f}: [".to_owned()).await;
        answer.refuses(400, "BadRequest", "");
    }
    assert_eq!(admin.get(MAPS).await.expect(200)["items"], json!([]));
}

#[tokio::test]
async fn a_body_of_ten_megabytes_is_too_large() {
    let api = Api::start().await;
    let body = json!({"metadata": {"name": "x"}, "data": {"a": "x".repeat(10_000_000)}}).to_string();
    let answer = api.admin().raw("POST", MAPS, &[], body).await;
    answer.refuses(413, "RequestEntityTooLarge", "limit is 3145728");
}

#[tokio::test]
async fn an_object_that_its_defaults_make_too_large_is_refused() {
    let api = Api::start().await;
    let admin = api.admin();
    let pods = "/api/v1/namespaces/default/pods";
    let containers: Vec<_> = (0..30_000).map(|n| json!({"name": format!("c{n}"), "image": "i"})).collect();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": containers}});
    assert!(pod.to_string().len() < irori_apiserver::limits::BODY_BYTES_MAX);
    admin.post(pods, pod.clone()).await.refuses(
        413,
        "RequestEntityTooLarge",
        "the object has more than 1572864 bytes with its defaults",
    );
    let apply = [("content-type", "application/apply-patch+yaml")];
    let applied = admin.raw("PATCH", &format!("{pods}/x?fieldManager=m"), &apply, pod.to_string()).await;
    applied.refuses(413, "RequestEntityTooLarge", "the object has more than 1572864 bytes with its defaults");
    assert_eq!(admin.get(pods).await.expect(200)["items"], json!([]));
}

#[tokio::test]
async fn nesting_of_ten_thousand_is_refused() {
    let api = Api::start().await;
    let deep = format!("{{\"metadata\":{{\"name\":\"x\"}},\"data\":{}1{}}}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    api.admin().raw("POST", MAPS, &[], deep.clone()).await.refuses(400, "BadRequest", "");
    let yaml = "[".repeat(10_000);
    api.admin().raw("POST", MAPS, &[("content-type", "application/yaml")], yaml).await.refuses(400, "BadRequest", "");
    api.admin().post(MAPS, config_map("x")).await.expect(201);
    let patch = [("content-type", "application/merge-patch+json")];
    api.admin().raw("PATCH", &format!("{MAPS}/x"), &patch, deep).await.refuses(400, "BadRequest", "");
}

#[tokio::test]
async fn long_urls_and_selectors_are_refused() {
    let api = Api::start().await;
    let long = "x".repeat(irori_apiserver::limits::URL_BYTES_MAX);
    assert_eq!(api.admin().get(&format!("{MAPS}?a={long}")).await.code, 414);
    let selector = "x".repeat(irori_apiserver::limits::SELECTOR_BYTES_MAX + 1);
    api.admin().get(&format!("{MAPS}?labelSelector={selector}")).await.refuses(400, "BadRequest", "longer than the limit");
}

#[tokio::test]
async fn patches_are_limited_and_checked() {
    let api = Api::start().await;
    let admin = api.admin();
    admin.post(MAPS, config_map("x")).await.expect(201);
    let json_patch = [("content-type", "application/json-patch+json")];
    let many =
        json!(vec![json!({"op": "add", "path": "/data/b", "value": "1"}); irori_apiserver::limits::PATCH_OPERATIONS_MAX + 1]);
    let refused = admin.raw("PATCH", &format!("{MAPS}/x"), &json_patch, many.to_string()).await;
    refused.refuses(413, "RequestEntityTooLarge", "The allowed maximum operations in a JSON patch is 10000, got 10001");
    for patch in [json!({}), json!([{"op": "remove", "path": "/nope"}]), json!([{"op": "test", "path": "/data/a", "value": "9"}])]
    {
        let code = admin.raw("PATCH", &format!("{MAPS}/x"), &json_patch, patch.to_string()).await.code;
        assert!(matches!(code, 400 | 422), "{patch}: {code}");
    }
    let rename = admin.merge(&format!("{MAPS}/x"), json!({"metadata": {"name": "y"}})).await;
    assert!(matches!(rename.code, 400 | 422));
    admin.merge(&format!("{MAPS}/x"), json!({"data": {"a": {"b": 1}}})).await.refuses(422, "Invalid", "");
    assert_eq!(admin.get(&format!("{MAPS}/x")).await.expect(200)["data"]["a"], "1");
}

#[tokio::test]
async fn names_cannot_climb_out_of_their_place() {
    let api = Api::start().await;
    let admin = api.admin();
    for name in ["..%2f..%2fsecrets", "a%2fb", "%2e%2e", "a%00b"] {
        let answer = admin.get(&format!("{MAPS}/{name}")).await;
        assert!(matches!(answer.code, 400 | 404), "{name}: {}", answer.code);
        let body = json!({"metadata": {"name": irori_name(name)}});
        let made = admin.post(MAPS, body).await;
        assert!(matches!(made.code, 400 | 422), "{name}: {}", made.code);
    }
    for path in ["/api/v1/namespaces/default%2fkube-system/configmaps", "/api/v1/namespaces/%2e%2e/configmaps/x"] {
        let answer = admin.get(path).await;
        assert!(matches!(answer.code, 200 | 400 | 404), "{path}: {}", answer.code);
    }
}

fn irori_name(escaped: &str) -> String {
    escaped.replace("%2f", "/").replace("%2e", ".").replace("%00", "\u{0}")
}

#[tokio::test]
async fn methods_and_paths_that_are_not_there_are_said_not_to_be() {
    let api = Api::start().await;
    let admin = api.admin();
    admin.raw("PUT", MAPS, &[], "{}".to_owned()).await.refuses(405, "MethodNotAllowed", "the server does not allow this method");
    admin.raw("POST", &format!("{MAPS}/x"), &[], "{}".to_owned()).await.refuses(405, "MethodNotAllowed", "");
    admin.raw("BREW", MAPS, &[], String::new()).await.refuses(405, "MethodNotAllowed", "");
    admin.get("/api/v1/nothings").await.refuses(404, "NotFound", "the server could not find the requested resource");
    admin.get("/apis/apps/v1/namespaces/default/deployments/x/nothing").await.refuses(
        404,
        "NotFound",
        "the server could not find the requested resource",
    );
    admin.get("/api/v1/namespaces/default/nodes").await.refuses(404, "NotFound", "");
    let plain = admin.get("/nope").await;
    assert_eq!((plain.code, &plain.bytes[..]), (404, &b"404 page not found\n"[..]));
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_goes_on_reading() {
    let api = Api::start().await;
    let admin = api.admin();
    admin.post(MAPS, config_map("x")).await.expect(201);
    api.store.full.store(true, std::sync::atomic::Ordering::Relaxed);
    admin.post(MAPS, config_map("y")).await.refuses(507, "InsufficientStorage", "no space left");
    admin.get(&format!("{MAPS}/x")).await.expect(200);
    api.store.full.store(false, std::sync::atomic::Ordering::Relaxed);
    admin.post(MAPS, config_map("y")).await.expect(201);
}
