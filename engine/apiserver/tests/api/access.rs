//! Who may what: identities, RBAC, nodes, impersonation.
use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use irori_apiserver::UserInfo;
use irori_http::Peer;
use irori_runtime::SignedDuration;
use irori_trust::{Identity, Lifetime};
use serde_json::{Value, json};

use crate::harness::*;

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

fn role(name: &str, rules: Value) -> Value {
    json!({"metadata": {"name": name}, "rules": rules})
}

fn binding(name: &str, kind: &str, role: &str, subject: Value) -> Value {
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role});
    json!({"metadata": {"name": name}, "roleRef": role, "subjects": [subject]})
}

fn person(name: &str) -> Value {
    json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": name})
}

#[tokio::test]
async fn strangers_see_health_and_version_and_nothing_else() {
    let api = Api::start().await;
    for path in ["/healthz", "/livez", "/readyz", "/version"] {
        assert_eq!(api.over_network("GET", path, &[], "").await.code, 200, "{path}");
    }
    let refused = api.over_network("GET", "/api/v1/pods", &[], "").await;
    refused.refuses(
        403,
        "Forbidden",
        "pods is forbidden: User \"system:anonymous\" cannot list resource \"pods\" in API group \"\" at the cluster scope",
    );
    for path in ["/api", "/apis", "/metrics", "/openapi/v3"] {
        api.over_network("GET", path, &[], "").await.refuses(
            403,
            "Forbidden",
            &format!("User \"system:anonymous\" cannot get path \"{path}\""),
        );
    }
    let verbose = api.over_network("GET", "/readyz?verbose", &[], "").await;
    assert!(String::from_utf8_lossy(&verbose.bytes).contains("[+]etcd ok"));
}

#[tokio::test]
async fn a_wrong_token_is_unauthorized_and_the_right_one_an_administrator() {
    let api = Api::start().await;
    api.over_network("GET", "/api/v1/pods", &[("authorization", "Bearer wrong")], "").await.refuses(
        401,
        "Unauthorized",
        "Unauthorized",
    );
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    assert_eq!(api.over_network("GET", "/api/v1/pods", &[("authorization", &bearer)], "").await.code, 200);
}

#[tokio::test]
async fn an_identity_in_an_extension_counts_in_process_only() {
    let api = Api::start().await;
    let mut request = request("GET", "/api/v1/secrets", &[], String::new());
    request.extensions_mut().insert(UserInfo::new("boss", &["system:masters"]));
    let answer = Answer::of(api.server.answer(request).await).await;
    answer.refuses(403, "Forbidden", "User \"system:anonymous\"");
    let mut request = crate::harness::request("GET", "/api/v1/secrets", &[], String::new());
    request.extensions_mut().insert(UserInfo::new("boss", &["system:masters"]));
    assert_eq!(api.user("nobody", &[]).open(request).await.status(), 200);
}

async fn with_certificate(api: &Api, identity: &Identity, path: &str) -> Answer {
    let mut request = request("GET", path, &[], String::new());
    let certificates = Arc::new(identity.chain().unwrap());
    let peer = Peer { address: "127.0.0.1:1".parse().unwrap(), certificates, server_name: None };
    request.extensions_mut().insert(peer);
    Answer::of(api.server.answer(request).await).await
}

#[tokio::test]
async fn a_client_certificate_says_name_and_group() {
    let api = Api::start().await;
    let boss = api.trust.issue_client("jane", Some("system:masters"), Lifetime::default()).unwrap();
    assert_eq!(with_certificate(&api, &boss, "/api/v1/secrets").await.code, 200);
    let jane = api.trust.issue_client("jane", None, Lifetime::default()).unwrap();
    with_certificate(&api, &jane, "/api/v1/secrets").await.refuses(403, "Forbidden", "User \"jane\" cannot list");
}

#[tokio::test]
async fn certificates_of_other_uses_other_homes_and_other_times_are_strangers() {
    let (api, other) = (Api::start().await, Api::start().await);
    let masters = Some("system:masters");
    let foreign = other.trust.issue_client("boss", masters, Lifetime::default()).unwrap();
    with_certificate(&api, &foreign, "/api/v1/secrets").await.refuses(401, "Unauthorized", "Unauthorized");
    let server = api.trust.issue_server(&["localhost".into()], Lifetime::default()).unwrap();
    with_certificate(&api, &server, "/api/v1/secrets").await.refuses(401, "Unauthorized", "Unauthorized");
    let short = api.trust.issue_client("boss", masters, Lifetime(SignedDuration::from_hours(1))).unwrap();
    assert_eq!(with_certificate(&api, &short, "/api/v1/secrets").await.code, 200);
    api.time.advance(SignedDuration::from_hours(2));
    with_certificate(&api, &short, "/api/v1/secrets").await.refuses(401, "Unauthorized", "Unauthorized");
}

/// That a chain was verified a moment ago makes it no older than it is.
#[tokio::test]
async fn a_certificate_in_use_is_refused_from_its_end_on() {
    let api = Api::start().await;
    let short = api.trust.issue_client("boss", Some("system:masters"), Lifetime(SignedDuration::from_hours(1))).unwrap();
    for _ in 0..2 {
        assert_eq!(with_certificate(&api, &short, "/api/v1/secrets").await.code, 200);
    }
    api.time.advance(SignedDuration::from_secs(3_580));
    assert_eq!(with_certificate(&api, &short, "/api/v1/secrets").await.code, 200);
    api.time.advance(SignedDuration::from_secs(30));
    with_certificate(&api, &short, "/api/v1/secrets").await.refuses(401, "Unauthorized", "Unauthorized");
}

#[tokio::test]
async fn a_role_grants_what_it_says_as_soon_as_it_is_bound() {
    let api = Api::start().await;
    let (admin, bob) = (api.admin(), api.user("bob", &[]));
    bob.get(MAPS).await.refuses(
        403,
        "Forbidden",
        "User \"bob\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"default\"",
    );
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["mine"], "verbs": ["update"]}]);
    admin.post(&format!("{RBAC}/namespaces/default/roles"), role("r", rules)).await.expect(201);
    admin.post(&format!("{RBAC}/namespaces/default/rolebindings"), binding("b", "Role", "r", person("bob"))).await.expect(201);
    bob.get(MAPS).await.expect(200);
    bob.get("/api/v1/configmaps").await.refuses(403, "Forbidden", "at the cluster scope");
    bob.post(MAPS, config_map("x")).await.refuses(403, "Forbidden", "cannot create");
    admin.post(MAPS, config_map("mine")).await.expect(201);
    bob.put(&format!("{MAPS}/mine"), config_map("mine")).await.expect(200);
    bob.put(&format!("{MAPS}/other"), config_map("other")).await.refuses(403, "Forbidden", "cannot update");
    admin.delete(&format!("{RBAC}/namespaces/default/rolebindings/b")).await.expect(200);
    bob.get(MAPS).await.refuses(403, "Forbidden", "cannot list");
}

#[tokio::test]
async fn an_aggregated_role_grants_what_the_roles_it_selects_grant() {
    let api = Api::start().await;
    let (admin, eve) = (api.admin(), api.user("eve", &[]));
    admin.post(&format!("{RBAC}/clusterrolebindings"), binding("v", "ClusterRole", "view", person("eve"))).await.expect(201);
    eve.get("/api/v1/pods").await.expect(200);
    eve.get("/api/v1/secrets").await.refuses(403, "Forbidden", "");
    let mut more = role("more", json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}]));
    more["metadata"]["labels"] = json!({"rbac.authorization.k8s.io/aggregate-to-view": "true"});
    admin.post(&format!("{RBAC}/clusterroles"), more).await.expect(201);
    eve.get("/api/v1/secrets").await.expect(200);
}

#[tokio::test]
async fn nobody_grants_more_than_they_have() {
    let api = Api::start().await;
    let (admin, mallory) = (api.admin(), api.user("mallory", &[]));
    let rules = json!([{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]);
    // `*` on RBAC would include escalate and bind: leave those out.
    let mut rules = rules;
    rules[0]["verbs"] = json!(["create", "update", "patch", "get"]);
    admin.post(&format!("{RBAC}/clusterroles"), role("rbac-writer", rules)).await.expect(201);
    admin
        .post(&format!("{RBAC}/clusterrolebindings"), binding("m", "ClusterRole", "rbac-writer", person("mallory")))
        .await
        .expect(201);
    let roles = format!("{RBAC}/namespaces/default/roles");
    let own = role("own", json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]));
    mallory.post(&roles, own).await.expect(201);
    let more = role("more", json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]));
    mallory.post(&roles, more).await.refuses(403, "Forbidden", "is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}");
    // Verbs of one resource are told together, and lists as Go prints them.
    let several = role("more", json!([{"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": ["get", "list", "delete"]}]));
    mallory.post(&roles, several).await.refuses(
        403,
        "Forbidden",
        "(groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n\
         {APIGroups:[\"\"], Resources:[\"nodes\"], Verbs:[\"get\" \"list\" \"delete\"]}\n\
         {APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\"]}",
    );
    let bindings = format!("{RBAC}/clusterrolebindings");
    let all = binding("all", "ClusterRole", "cluster-admin", person("mallory"));
    mallory.post(&bindings, all).await.refuses(403, "Forbidden", "is attempting to grant RBAC permissions");
    let wide = role("own", json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]));
    mallory.put(&format!("{roles}/own"), wide).await.refuses(403, "Forbidden", "is attempting to grant");
}

/// https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access
#[tokio::test]
async fn a_local_review_is_of_the_namespace_that_it_is_asked_in() {
    let api = Api::start().await;
    let admin = api.admin();
    let path = "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews";
    let asked = |metadata: Value, namespace: &str| {
        let attributes = json!({"namespace": namespace, "verb": "get", "resource": "pods"});
        json!({"metadata": metadata, "spec": {"user": "u", "resourceAttributes": attributes}})
    };
    admin.post(path, asked(json!({}), "default")).await.expect(201);
    let text = "spec.resourceAttributes.namespace: Invalid value: \"other\": must match metadata.namespace";
    admin.post(path, asked(json!({}), "other")).await.refuses(422, "Invalid", text);
    let text = "the namespace of the provided object does not match the namespace sent on the request";
    admin.post(path, asked(json!({"namespace": "other"}), "other")).await.refuses(400, "BadRequest", text);
}

#[tokio::test]
async fn acting_as_another_needs_permission_and_has_that_ones_rights() {
    let api = Api::start().await;
    let act = [("impersonate-user", "bob"), ("impersonate-group", "system:masters")];
    let by_admin = api.admin().raw("GET", "/api/v1/secrets", &act[..1], String::new()).await;
    by_admin.refuses(403, "Forbidden", "User \"bob\" cannot list");
    assert_eq!(api.admin().raw("GET", "/api/v1/secrets", &act, String::new()).await.code, 200);
    let by_bob = api.user("bob", &[]).raw("GET", "/api/v1/pods", &[("impersonate-user", "boss")], String::new()).await;
    by_bob.refuses(403, "Forbidden", "User \"bob\" cannot impersonate resource \"users\"");
}

async fn token(api: &Api, namespace: &str, body: Value) -> String {
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/default/token");
    let answer = api.admin().post(&path, body).await.expect(201);
    answer["status"]["token"].as_str().unwrap().to_owned()
}

async fn whoami(api: &Api, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    api.over_network("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", &[("authorization", &bearer)], "{}").await
}

#[tokio::test]
async fn a_service_account_token_names_its_account_until_it_expires() {
    let api = Api::start().await;
    api.namespace("sa").await;
    let token = token(&api, "sa", json!({"spec": {"expirationSeconds": 600}})).await;
    let who = whoami(&api, &token).await.expect(201);
    assert_eq!(who["status"]["userInfo"]["username"], "system:serviceaccount:sa:default");
    let groups = who["status"]["userInfo"]["groups"].as_array().unwrap();
    assert!(groups.contains(&json!("system:serviceaccounts:sa")) && groups.contains(&json!("system:authenticated")));
    api.time.advance(SignedDuration::from_secs(599));
    whoami(&api, &token).await.expect(201);
    api.time.advance(SignedDuration::from_secs(1));
    whoami(&api, &token).await.refuses(401, "Unauthorized", "Unauthorized");
}

#[tokio::test]
async fn a_token_dies_with_its_account_and_with_its_pod() {
    let api = Api::start().await;
    api.namespace("sa").await;
    let admin = api.admin();
    admin.post("/api/v1/namespaces/sa/pods", pod("p")).await.expect(201);
    let bound = json!({"spec": {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p"}}});
    let (of_pod, of_account) = (token(&api, "sa", bound).await, token(&api, "sa", json!({})).await);
    let who = whoami(&api, &of_pod).await.expect(201);
    assert_eq!(who["status"]["userInfo"]["extra"]["authentication.kubernetes.io/pod-name"], json!(["p"]));
    admin.delete("/api/v1/namespaces/sa/pods/p").await.expect(200);
    whoami(&api, &of_pod).await.refuses(401, "Unauthorized", "");
    whoami(&api, &of_account).await.expect(201);
    admin.delete("/api/v1/namespaces/sa/serviceaccounts/default").await.expect(200);
    admin.post("/api/v1/namespaces/sa/serviceaccounts", json!({"metadata": {"name": "default"}})).await.expect(201);
    whoami(&api, &of_account).await.refuses(401, "Unauthorized", "");
}

#[tokio::test]
async fn tokens_for_others_forged_or_changed_are_not_taken() {
    let api = Api::start().await;
    api.namespace("sa").await;
    let foreign = token(&api, "sa", json!({"spec": {"audiences": ["vault"]}})).await;
    whoami(&api, &foreign).await.refuses(401, "Unauthorized", "");
    let good = token(&api, "sa", json!({})).await;
    let mut parts: Vec<String> = good.split('.').map(str::to_owned).collect();
    parts[1] = parts[1].replacen('e', "f", 1);
    whoami(&api, &parts.join(".")).await.refuses(401, "Unauthorized", "");
    let none = format!(
        "{}.{}.",
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode("{\"alg\":\"none\"}"),
        good.split('.').nth(1).unwrap()
    );
    whoami(&api, &none).await.refuses(401, "Unauthorized", "");
    let review = json!({"spec": {"token": foreign, "audiences": ["vault"]}});
    let review = api.admin().post("/apis/authentication.k8s.io/v1/tokenreviews", review).await.expect(201);
    assert_eq!((&review["status"]["authenticated"], &review["status"]["audiences"]), (&json!(true), &json!(["vault"])));
}

#[tokio::test]
async fn reviews_answer_what_would_be_allowed() {
    let api = Api::start().await;
    let admin = api.admin();
    let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]);
    admin.post(&format!("{RBAC}/namespaces/default/roles"), role("r", rules)).await.expect(201);
    admin.post(&format!("{RBAC}/namespaces/default/rolebindings"), binding("b", "Role", "r", person("bob"))).await.expect(201);
    let asked =
        json!({"spec": {"user": "bob", "resourceAttributes": {"namespace": "default", "verb": "get", "resource": "pods"}}});
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let yes = admin.post(path, asked.clone()).await.expect(201);
    assert_eq!(yes["status"]["reason"], "RBAC: allowed by RoleBinding \"b/default\" of Role \"r\" to User \"bob\"");
    let mut other = asked;
    other["spec"]["resourceAttributes"]["verb"] = "delete".into();
    assert_eq!(admin.post(path, other).await.expect(201)["status"]["allowed"], false);
    let own = json!({"spec": {"namespace": "default"}});
    let rules = api.user("bob", &[]).post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", own).await.expect(201);
    let listed = rules["status"]["resourceRules"].as_array().unwrap();
    assert!(listed.iter().any(|r| r["resources"] == json!(["pods"])), "{rules}");
}

#[tokio::test]
async fn a_node_reads_what_its_pods_refer_to_and_nothing_else() {
    let api = Api::start().await;
    api.namespace("n").await;
    let (admin, node) = (api.admin(), api.node("n1"));
    for secret in ["wanted", "other"] {
        admin.post("/api/v1/namespaces/n/secrets", json!({"metadata": {"name": secret}})).await.expect(201);
    }
    let mut with_secret = pod("p");
    with_secret["spec"]["volumes"] = json!([{"name": "v", "secret": {"secretName": "wanted"}}]);
    admin.post("/api/v1/namespaces/n/pods", with_secret).await.expect(201);
    let wanted = "/api/v1/namespaces/n/secrets/wanted";
    node.get(wanted).await.refuses(403, "Forbidden", "no relationship found between node 'n1' and this object");
    let target = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}});
    admin.post("/api/v1/namespaces/n/pods/p/binding", target).await.expect(201);
    node.get(wanted).await.expect(200);
    node.get("/api/v1/namespaces/n/secrets/other").await.refuses(403, "Forbidden", "no relationship found");
    node.get("/api/v1/namespaces/n/secrets").await.refuses(403, "Forbidden", "No Object name found");
    api.node("n2").get(wanted).await.refuses(403, "Forbidden", "no relationship found between node 'n2'");
    node.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1").await.expect(200);
    node.get("/api/v1/pods").await.refuses(403, "Forbidden", "spec.nodeName");
    node.get("/api/v1/namespaces/n/pods/p").await.expect(200);
    let bound = |uid: &str| json!({"spec": {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid}}});
    let path = "/api/v1/namespaces/n/serviceaccounts/default/token";
    node.post(path, bound("")).await.expect(201);
    node.post(path, json!({})).await.refuses(403, "Forbidden", "not bound to a pod");
    api.node("n2").post(path, bound("")).await.refuses(403, "Forbidden", "no relationship found");
    admin.delete("/api/v1/namespaces/n/pods/p?gracePeriodSeconds=0").await.expect(200);
}

#[tokio::test]
async fn a_node_writes_itself_its_pods_and_its_lease() {
    let api = Api::start().await;
    api.namespace("n").await;
    let (admin, node) = (api.admin(), api.node("n1"));
    node.post("/api/v1/nodes", json!({"metadata": {"name": "n1"}})).await.expect(201);
    node.post("/api/v1/nodes", json!({"metadata": {"name": "n2"}})).await.refuses(
        403,
        "Forbidden",
        "is not allowed to modify node \"n2\"",
    );
    node.merge("/api/v1/nodes/n1/status", json!({"status": {"nodeInfo": {"kubeletVersion": "v"}}})).await.expect(200);
    node.merge("/api/v1/nodes/n1", json!({"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}})).await.refuses(
        403,
        "Forbidden",
        "is not allowed to modify labels",
    );
    node.merge("/api/v1/nodes/n1", json!({"metadata": {"labels": {"topology.kubernetes.io/zone": "a"}}})).await.expect(200);
    node.merge("/api/v1/nodes/n1", json!({"spec": {"taints": null}})).await.refuses(
        403,
        "Forbidden",
        "is not allowed to modify taints",
    );
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    node.post(leases, json!({"metadata": {"name": "n1"}, "spec": {"holderIdentity": "n1"}})).await.expect(201);
    node.post(leases, json!({"metadata": {"name": "n2"}})).await.refuses(403, "Forbidden", "");
    admin.post("/api/v1/namespaces/n/pods", pod("p")).await.expect(201);
    let running = json!({"status": {"phase": "Running"}});
    node.merge("/api/v1/namespaces/n/pods/p/status", running.clone()).await.refuses(
        403,
        "Forbidden",
        "spec.nodeName set to itself",
    );
    let target = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}});
    admin.post("/api/v1/namespaces/n/pods/p/binding", target).await.expect(201);
    node.merge("/api/v1/namespaces/n/pods/p/status", running).await.expect(200);
    node.post("/api/v1/namespaces/n/pods", pod("q")).await.refuses(403, "Forbidden", "");
}

#[tokio::test]
async fn a_signing_request_says_who_asked_and_is_approved_by_who_may() {
    let api = Api::start().await;
    let key = irori_trust::request_server(&["web.home.arpa".into()]).unwrap();
    let path = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let body = json!({"metadata": {"name": "r"}, "spec": {"request": STANDARD.encode(&key.request_pem), "signerName": "irori.dev/servers",
        "usages": ["digital signature", "server auth"], "username": "somebody-else"}});
    let rules = json!([{"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests", "certificatesigningrequests/approval"], "verbs": ["*"]}]);
    api.admin().post(&format!("{RBAC}/clusterroles"), role("csr", rules)).await.expect(201);
    api.admin()
        .post(&format!("{RBAC}/clusterrolebindings"), binding("csr", "ClusterRole", "csr", person("ann")))
        .await
        .expect(201);
    let ann = api.user("ann", &[]);
    let mut made = ann.post(path, body).await.expect(201);
    assert_eq!((made["spec"]["username"].as_str(), made.get("status")), (Some("ann"), Some(&json!({}))));
    made["status"] = json!({"conditions": [{"type": "Approved", "status": "True", "reason": "r", "message": "m"}]});
    let approval = format!("{path}/r/approval");
    ann.put(&approval, made.clone()).await.refuses(
        403,
        "Forbidden",
        "user not permitted to approve requests with signerName \"irori.dev/servers\"",
    );
    let approved = api.admin().put(&approval, made).await.expect(200);
    assert_eq!(approved["status"]["conditions"][0]["type"], "Approved");
}
