use super::*;
use serde_json::json;

fn ingress(name: &str, created: &str, spec: serde_json::Value) -> Arc<Ingress> {
    let meta = json!({"name": name, "namespace": "apps", "creationTimestamp": created});
    Arc::new(serde_json::from_value(json!({"metadata": meta, "spec": spec})).unwrap())
}

fn path(path: &str, kind: &str, service: &str) -> serde_json::Value {
    json!({"path": path, "pathType": kind, "backend": {"service": {"name": service, "port": {"number": 80}}}})
}

fn host(host: Option<&str>, paths: &[serde_json::Value]) -> serde_json::Value {
    json!({"host": host, "http": {"paths": paths}})
}

fn table(ingresses: &[Arc<Ingress>]) -> Table {
    let service = |_: &Key| {
        let spec = json!({"ports": [{"name": "http", "port": 80, "targetPort": 8080}]});
        Some(Arc::new(serde_json::from_value(json!({"spec": spec})).unwrap()))
    };
    let slices = |_: &Key| {
        let slice = json!({
            "metadata": {}, "addressType": "IPv4", "ports": [{"name": "http", "port": 8080}],
            "endpoints": [
                {"addresses": ["10.42.0.2"], "conditions": {"ready": true}},
                {"addresses": ["10.42.0.3"], "conditions": {"ready": true}},
                {"addresses": ["10.42.0.4"], "conditions": {"ready": false}},
            ],
        });
        vec![Arc::new(serde_json::from_value(slice).unwrap())]
    };
    build(ingresses, &service, &slices)
}

fn to(table: &Table, host: &str, path: &str) -> String {
    match table.route(host, path) {
        Decision::To(backend) => backend.service.name.clone(),
        Decision::NoRoute => "none".to_owned(),
    }
}

#[test]
fn exact_paths_win_over_prefixes_and_longer_prefixes_over_shorter() {
    let paths =
        [path("/", "Prefix", "root"), path("/a", "Prefix", "a"), path("/a/b", "Prefix", "ab"), path("/a", "Exact", "exact")];
    let table = table(&[ingress("one", "2026-01-01T00:00:00Z", json!({"rules": [host(Some("x.home.arpa"), &paths)]}))]);
    for (path, service) in [("/", "root"), ("/a", "exact"), ("/a/", "a"), ("/a/b/c", "ab"), ("/ab", "root"), ("/a/bc", "a")] {
        assert_eq!(to(&table, "x.home.arpa", path), service, "{path}");
    }
    assert_eq!(to(&table, "y.home.arpa", "/"), "none");
}

#[test]
fn a_wildcard_covers_one_label_and_yields_to_the_exact_host() {
    let rules = json!([
        host(Some("*.home.arpa"), &[path("/", "Prefix", "wild")]),
        host(Some("a.home.arpa"), &[path("/", "Prefix", "exact")])
    ]);
    let table = table(&[ingress("one", "2026-01-01T00:00:00Z", json!({"rules": rules}))]);
    assert_eq!(to(&table, "a.home.arpa", "/"), "exact");
    assert_eq!(to(&table, "b.home.arpa", "/"), "wild");
    assert_eq!(to(&table, "b.c.home.arpa", "/"), "none");
    assert_eq!(to(&table, "home.arpa", "/"), "none");
}

#[test]
fn of_two_ingresses_with_one_path_the_older_counts() {
    let rules = |service: &str| json!({"rules": [host(Some("a.home.arpa"), &[path("/", "Prefix", service)])]});
    let young = ingress("aaa", "2026-02-01T00:00:00Z", rules("young"));
    let old = ingress("zzz", "2026-01-01T00:00:00Z", rules("old"));
    assert_eq!(to(&table(&[young, old]), "a.home.arpa", "/"), "old");
}

#[test]
fn what_no_rule_takes_goes_to_the_default_backend() {
    let spec = json!({"defaultBackend": {"service": {"name": "rest", "port": {"name": "http"}}}});
    assert_eq!(to(&table(&[ingress("one", "2026-01-01T00:00:00Z", spec)]), "any.thing", "/x"), "rest");
}

#[test]
fn only_ready_endpoints_are_asked_and_in_turn() {
    let spec = json!({"rules": [host(None, &[path("/", "Prefix", "a")])]});
    let table = table(&[ingress("one", "2026-01-01T00:00:00Z", spec)]);
    let Decision::To(backend) = table.route("a", "/") else { panic!("there is a rule") };
    let first: Vec<String> = (0..3).map(|_| backend.in_turn()[0].to_string()).collect();
    assert_eq!(first, ["10.42.0.2:8080", "10.42.0.3:8080", "10.42.0.2:8080"]);
    assert_eq!(backend.in_turn().len(), 2);
}

#[test]
fn an_ingress_of_another_class_is_not_ours() {
    let spec = json!({"ingressClassName": "other", "rules": [host(Some("a"), &[path("/", "Prefix", "a")])]});
    assert_eq!(to(&table(&[ingress("one", "2026-01-01T00:00:00Z", spec)]), "a", "/"), "none");
}

#[test]
fn the_secret_of_a_name_is_found_by_name_and_by_wildcard() {
    let spec = json!({"tls": [{"hosts": ["a.home.arpa"], "secretName": "a"}, {"hosts": ["*.home.arpa"], "secretName": "wild"}]});
    let table = table(&[ingress("one", "2026-01-01T00:00:00Z", spec)]);
    assert_eq!(table.secret_for("a.home.arpa").unwrap().name, "a");
    assert_eq!(table.secret_for("b.home.arpa").unwrap().name, "wild");
    assert!(table.secret_for("home.arpa").is_none());
}
