//! The commands that people type, with kubectl 1.32.
use std::time::Duration;

use irori_testkit::{Home, Options, eventually};

pub const APP: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: irori.dev/whoami:1
        imagePullPolicy: Never
        args: [whoami]
        env: [{name: PORT, value: '8080'}]
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
";

#[test]
fn kubectl_drives_a_home() {
    let home = Home::up(Options::default());
    // A node alone with its server hardly ever writes that it lives.
    assert_eq!(node_lease_seconds(&home), "3600");
    drive(&home);
    home.expect_clean_log();
}

/// How long the lease of the home's one node lasts.
pub fn node_lease_seconds(home: &Home) -> String {
    home.kubectl(&["get", "leases", "-n", "kube-node-lease", "-o", "jsonpath={.items[*].spec.leaseDurationSeconds}"]).expect_ok()
}

/// Everything that Must show 1 names; also run with server, node and gateway apart.
pub fn drive(home: &Home) {
    let nodes = home.kubectl(&["get", "nodes"]).expect_ok();
    assert!(nodes.contains(" Ready "), "{nodes}");
    let pods = home.kubectl(&["get", "pods", "-A", "-o", "wide"]).expect_ok();
    assert_eq!(pods.matches("Running").count(), 3, "{pods}");

    home.kubectl_with(&["apply", "-f", "-"], APP.as_bytes()).expect_ok();
    home.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]).expect_ok();
    let again = home.kubectl_with(&["apply", "-f", "-"], APP.as_bytes()).expect_ok();
    assert_eq!(again.matches("unchanged").count(), 2, "{again}");

    let pod = home.get(&["pods", "-l", "app=web"])["items"][0]["metadata"]["name"].as_str().unwrap().to_owned();
    let described = home.kubectl(&["describe", "pod", &pod]).expect_ok();
    for part in ["Image:         irori.dev/whoami:1", "Scheduled", "Started", "Ready             True"] {
        assert!(described.contains(part), "`{part}` in\n{described}");
    }
    home.kubectl(&["describe", "deployment", "web"]).expect_ok();
    home.kubectl(&["describe", "node"]).expect_ok();
    assert_eq!(home.kubectl(&["logs", &pod]).expect_ok(), "listening on port 8080\n");

    home.kubectl(&["scale", "deployment/web", "--replicas=3"]).expect_ok();
    home.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]).expect_ok();
    home.kubectl(&["set", "env", "deployment/web", "COLOR=blue"]).expect_ok();
    home.kubectl(&["rollout", "status", "deployment/web", "--timeout=90s"]).expect_ok();
    let history = home.kubectl(&["rollout", "history", "deployment/web"]).expect_ok();
    assert!(history.contains("\n2 "), "{history}");
    home.kubectl(&["rollout", "undo", "deployment/web"]).expect_ok();
    home.kubectl(&["rollout", "status", "deployment/web", "--timeout=90s"]).expect_ok();

    home.kubectl(&["delete", "deployment/web", "service/web"]).expect_ok();
    eventually("pods of a deleted deployment are gone", Duration::from_secs(60), || {
        let left = home.get(&["pods,replicasets", "-l", "app=web"]);
        if left["items"].as_array().unwrap().is_empty() { Ok(()) } else { Err(left.to_string()) }
    });
    applied(home);
}

/// Server-side apply, and what kubectl knows of fields: by OpenAPI v3 and, as older tools do, by v2 in protobuf.
fn applied(home: &Home) {
    let apply = ["apply", "--server-side", "-f", "-"];
    let made = home.kubectl_with(&apply, APP.as_bytes()).expect_ok();
    assert_eq!(made.matches("serverside-applied").count(), 2, "{made}");
    home.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]).expect_ok();
    // The controllers write the status under a name and a part of their own: no conflict.
    home.kubectl_with(&apply, APP.as_bytes()).expect_ok();
    home.kubectl(&["scale", "deployment/web", "--replicas=2"]).expect_ok();
    let conflict = home.kubectl_with(&apply, APP.as_bytes());
    assert!(!conflict.ok() && conflict.err.contains(".spec.replicas"), "{}", conflict.err);
    home.kubectl_with(&[&apply[..], &["--force-conflicts"]].concat(), APP.as_bytes()).expect_ok();
    let shown = home.kubectl(&["get", "deployment", "web", "-o", "yaml", "--show-managed-fields"]).expect_ok();
    assert!(shown.contains("manager: kube-controller-manager") && shown.contains("manager: kubectl"), "{shown}");
    for output in ["plaintext", "plaintext-openapiv2"] {
        let told = home.kubectl(&["explain", "deployment.spec.replicas", "--output", output]).expect_ok();
        assert!(told.contains("Number of desired pods"), "{told}");
    }
    home.kubectl(&["delete", "deployment/web", "service/web"]).expect_ok();
}
