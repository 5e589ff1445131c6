//! Several servers on one etcd.
use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use irori_testkit::{
    Api, Etcd, bad_lines, binary, eventually,
    kills::{self, Plan},
};
use serde_json::{Value, json};

use crate::server::Server;

const COLLECTION: &str = "/api/v1/namespaces/default/configmaps";
/// From the death of a leader to the work of its successor.
const FAILOVER_MAX: Duration = Duration::from_secs(15);

/// Words of irori's command line for a store on this etcd.
fn on(etcd: &Etcd, shared_key: &Path) -> Vec<String> {
    let store = format!("etcd://{}", etcd.endpoints().join(","));
    vec!["--store".to_owned(), store, "--shared-key".to_owned(), shared_key.display().to_string()]
}

#[test]
fn two_apis_on_one_etcd_see_each_others_writes() {
    let etcd = Etcd::single();
    let folder = tempfile::tempdir().unwrap();
    let words = on(&etcd, &folder.path().join("shared.key"));
    let (mut one, mut other) = (Api::new(&binary()).with(&words), Api::new(&binary()).with(&words));
    one.start();
    other.start();
    let (mut first, mut second) = (one.door().client(), other.door().client());
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "1"}});
    let made = first.send("POST", COLLECTION, &map).unwrap();
    assert_eq!(made.status, 201, "{made:?}");
    let seen = second.get(&format!("{COLLECTION}/a")).unwrap();
    assert_eq!((seen.status, seen.json()), (200, made.json()), "at once, and the same");
    let mut changed = seen.json();
    changed["data"]["k"] = "2".into();
    assert_eq!(second.send("PUT", &format!("{COLLECTION}/a"), &changed).unwrap().status, 200);
    let stale = first.send("PUT", &format!("{COLLECTION}/a"), &made.json()).unwrap();
    assert_eq!((stale.status, stale.json()["reason"].as_str()), (409, Some("Conflict")), "{stale:?}");
    // A watch on one from before tells what the other wrote.
    let from = made.json()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let watched = first.get(&format!("{COLLECTION}?watch=true&resourceVersion={from}&timeoutSeconds=2")).unwrap();
    let text = String::from_utf8_lossy(&watched.body).into_owned();
    let event: Value = serde_json::from_str(text.lines().next().expect("an event")).unwrap();
    assert_eq!((event["type"].as_str(), event["object"]["data"]["k"].as_str()), (Some("MODIFIED"), Some("2")));
    // One home, one CA: what one signed, the other knows.
    assert_eq!(one.trust(0).root_pem(), other.trust(0).root_pem());
    one.expect_clean_log();
    other.expect_clean_log();
}

#[test]
fn without_the_shared_key_no_other_server_joins() {
    let etcd = Etcd::single();
    let folder = tempfile::tempdir().unwrap();
    let mut one = Api::new(&binary()).with(&on(&etcd, &folder.path().join("shared.key")));
    one.start();
    fs::write(folder.path().join("wrong.key"), "a".repeat(64)).unwrap();
    for (key, told) in [("missing.key", "copy shared.key from its first server"), ("wrong.key", "sealed with another key file")] {
        let data = folder.path().join(key).with_extension("data");
        fs::write(folder.path().join("token"), "long-enough").unwrap();
        let said = Command::new(binary())
            .args(["api", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data)
            .arg("--admin-token-file")
            .arg(folder.path().join("token"))
            .args(on(&etcd, &folder.path().join(key)))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(!said.status.success() && text.contains(told), "{key}: {text}");
        assert!(!data.join("trust").exists(), "no keys of its own are left behind");
    }
}

#[test]
fn an_api_on_etcd_killed_under_16_writers_keeps_every_acknowledged_write() {
    let etcd = Etcd::three();
    let folder = tempfile::tempdir().unwrap();
    let words = on(&etcd, &folder.path().join("shared.key"));
    let plan = Plan { cycles: 6, writers: 16, seed: 5, plant_loss: false, scratch: folder.path(), words: &words };
    let report = kills::run(&binary(), plan, &|said| println!("{said}"));
    println!("{report}");
    assert_eq!(report.breaches, Vec::<String>::new());
    assert!(report.acknowledged > 100 && report.unanswered > 0, "{report}");
}

#[test]
fn when_the_leading_server_is_killed_another_goes_on_within_15_seconds() {
    let etcd = Etcd::three();
    let folder = tempfile::tempdir().unwrap();
    let words = on(&etcd, &folder.path().join("shared.key"));
    let mut one = Server::new(folder.path().join("one"), words.clone());
    let mut other = Server::new(folder.path().join("other"), words);
    one.start();
    for lease in ["kube-controller-manager", "kube-scheduler"] {
        eventually("the first server leads", FAILOVER_MAX, || one.leads(lease));
    }
    other.start();
    one.kubectl(&["create", "deployment", "before", "--image", "none", "--replicas", "2"]).unwrap();
    let pods = |server: &Server, app: &str| -> Result<(), String> {
        let path = "jsonpath={.items[*].status.conditions[?(@.type==\"PodScheduled\")].reason}";
        let reasons = server.kubectl(&["get", "pods", "-l", &format!("app={app}"), "-o", path])?;
        if reasons.trim() == "Unschedulable Unschedulable" { Ok(()) } else { Err(reasons) }
    };
    // Made by the one's controllers, looked at by its scheduler, seen through the other, as whom the one knows.
    eventually("pods of the first server", Duration::from_secs(30), || pods(&other, "before"));
    other.kubectl_as(&one, &["auth", "can-i", "delete", "nodes"]).unwrap();
    // What each would keep if it listened where pods reach it.
    for server in [&one, &other] {
        other.apply(&json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": format!("kubernetes-{}", server.identity()), "namespace": "default",
                "labels": {"kubernetes.io/service-name": "kubernetes"}},
            "endpoints": [{"addresses": ["192.0.2.10"]}], "ports": [{"name": "https", "port": 6443}],
        }));
    }

    one.kill();
    let since = Instant::now();
    other.kubectl(&["create", "deployment", "after", "--image", "none", "--replicas", "2"]).unwrap();
    eventually("pods of the second server", FAILOVER_MAX.saturating_sub(since.elapsed()), || pods(&other, "after"));
    println!("failover: {:.1} s from kill -9 to pods that were looked at by the scheduler", since.elapsed().as_secs_f64());
    other.leads("kube-controller-manager").unwrap();
    other.leads("kube-scheduler").unwrap();

    eventually("the dead server's address is taken away, and no other", 2 * FAILOVER_MAX, || {
        let slices = other.kubectl(&["get", "endpointslices", "-n", "default", "-o", "name"])?;
        let own = format!("endpointslice.discovery.k8s.io/kubernetes-{}", other.identity());
        if slices.trim() == own { Ok(()) } else { Err(slices) }
    });
    // The one comes back beside it, and takes nothing away.
    one.start();
    assert_eq!(one.kubectl(&["get", "deployments", "-o", "name"]).unwrap().lines().count(), 2);
    other.leads("kube-controller-manager").unwrap();
    for server in [&one, &other] {
        assert_eq!(bad_lines(&server.log(), &[]), Vec::<String>::new());
    }
}

#[test]
fn a_leading_server_that_ends_hands_over_at_once() {
    let etcd = Etcd::single();
    let folder = tempfile::tempdir().unwrap();
    let words = on(&etcd, &folder.path().join("shared.key"));
    let mut one = Server::new(folder.path().join("one"), words.clone());
    let mut other = Server::new(folder.path().join("other"), words);
    one.start();
    eventually("the first server leads", FAILOVER_MAX, || one.leads("kube-controller-manager"));
    other.start();
    one.end();
    let since = Instant::now();
    for lease in ["kube-controller-manager", "kube-scheduler"] {
        eventually("the second server leads", Duration::from_secs(5), || other.leads(lease));
    }
    println!("handover: {:.1} s", since.elapsed().as_secs_f64());
    for server in [&one, &other] {
        assert_eq!(bad_lines(&server.log(), &[]), Vec::<String>::new());
    }
}

/// With one server and its own store nobody has to be asked who leads.
#[test]
fn a_server_alone_keeps_no_leases() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::new(folder.path().join("one"), Vec::new());
    server.start();
    server.kubectl(&["create", "deployment", "a", "--image", "none"]).unwrap();
    eventually("a pod", Duration::from_secs(30), || {
        let pods = server.kubectl(&["get", "pods", "-o", "name"])?;
        if pods.lines().count() == 1 { Ok(()) } else { Err(pods) }
    });
    assert_eq!(server.kubectl(&["get", "leases", "-A", "-o", "name"]).unwrap(), "");
}
