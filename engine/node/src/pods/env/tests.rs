use std::sync::Arc;

use serde_json::json;

use super::*;

fn pod() -> Pod {
    let meta = json!({ "name": "web", "namespace": "shop", "uid": "u1", "labels": { "app": "we\"b" } });
    serde_json::from_value(json!({ "metadata": meta, "spec": { "nodeName": "n1", "containers": [] } })).expect("a pod")
}

fn env_of(container: serde_json::Value) -> Result<Vec<(String, String)>, Failure> {
    let container: Container = serde_json::from_value(container).expect("a container");
    let map = serde_json::from_value(json!({ "data": { "k": "v", "b": "c" } })).expect("a map");
    let secret = serde_json::from_value(json!({ "data": { "p": "c2VjcmV0" } })).expect("a secret");
    let mut found = Found::default();
    found.config_maps.insert("m".to_owned(), Some(Arc::new(map)));
    found.config_maps.insert("gone".to_owned(), None);
    found.secrets.insert("s".to_owned(), Some(Arc::new(secret)));
    let place = Place { pod_ips: vec!["10.42.0.5".to_owned(), "fd00::5".to_owned()], host_ips: vec!["192.0.2.1".to_owned()] };
    let services = vec![("A".to_owned(), "service".to_owned())];
    environment(&container, &Sources { pod: &pod(), found: &found, place: &place, machine: &Machine::default(), services })
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn later_sources_overrule_earlier_ones_and_may_refer_to_them() {
    let env = env_of(json!({ "name": "c",
        "envFrom": [{ "configMapRef": { "name": "m" }, "prefix": "M_" }, { "configMapRef": { "name": "gone", "optional": true } }],
        "env": [
            { "name": "A", "value": "own" },
            { "name": "B", "value": "$(A)-$(M_k)-$(NOPE)-$$(A)" },
            { "name": "IP", "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } } },
            { "name": "IPS", "valueFrom": { "fieldRef": { "fieldPath": "status.podIPs" } } },
            { "name": "L", "valueFrom": { "fieldRef": { "fieldPath": "metadata.labels['app']" } } },
            { "name": "P", "valueFrom": { "secretKeyRef": { "name": "s", "key": "p" } } },
            { "name": "O", "valueFrom": { "configMapKeyRef": { "name": "m", "key": "none", "optional": true } } },
        ] }));
    let expected = [
        ("A", "own"),
        ("M_b", "c"),
        ("M_k", "v"),
        ("B", "own-v-$(NOPE)-$(A)"),
        ("IP", "10.42.0.5"),
        ("IPS", "10.42.0.5,fd00::5"),
        ("L", "we\"b"),
        ("P", "secret"),
    ];
    assert_eq!(env.expect("an environment"), pairs(&expected));
}

#[test]
fn what_is_missing_and_not_optional_is_said() {
    let message = |source: serde_json::Value| {
        env_of(json!({ "name": "c", "env": [{ "name": "X", "valueFrom": source }] })).expect_err("missing").message
    };
    assert_eq!(message(json!({ "configMapKeyRef": { "name": "gone", "key": "k" } })), "configmap \"gone\" not found");
    assert_eq!(message(json!({ "secretKeyRef": { "name": "s", "key": "k" } })), "couldn't find key k in Secret shop/s");
}

#[test]
fn labels_are_shown_as_quoted_lines() {
    assert_eq!(field(&pod(), "metadata.labels").as_deref(), Some("app=\"we\\\"b\""));
    assert_eq!(field(&pod(), "spec.containers"), None);
}

#[test]
fn services_are_named_with_host_port_and_links() {
    let service = |namespace: &str, name: &str, ip: &str| -> Service {
        let ports = json!([{ "name": "https", "port": 443, "protocol": "TCP" }]);
        serde_json::from_value(
            json!({ "metadata": { "name": name, "namespace": namespace }, "spec": { "clusterIP": ip, "ports": ports } }),
        )
        .expect("a service")
    };
    let all = [
        service("default", "kubernetes", "10.96.0.1"),
        service("shop", "my-db", "10.96.0.7"),
        service("other", "x", "10.96.0.8"),
        service("shop", "headless", "None"),
    ];
    let vars = services(all.iter(), "shop", true);
    assert!(vars.contains(&("KUBERNETES_SERVICE_HOST".to_owned(), "10.96.0.1".to_owned())));
    assert!(vars.contains(&("MY_DB_SERVICE_PORT_HTTPS".to_owned(), "443".to_owned())));
    assert!(vars.contains(&("MY_DB_PORT_443_TCP".to_owned(), "tcp://10.96.0.7:443".to_owned())));
    assert_eq!(vars.len(), 16);
    assert_eq!(services(all.iter(), "shop", false).len(), 8);
}
