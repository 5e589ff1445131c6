//! Objects that read like speech, for tests.
use std::sync::Arc;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, ReplicaSet},
        core::v1::Pod,
    },
    jiff::Timestamp,
};
use serde_json::{Value, json};

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

/// A pod under construction.
pub struct PodBuilder(Value);

/// A pending pod of namespace `ns`, labelled `app=web`, made at second 0.
pub fn pod(name: &str) -> PodBuilder {
    PodBuilder(json!({
        "metadata": {
            "name": name, "namespace": "ns", "uid": format!("uid-{name}"), "labels": {"app": "web"},
            "creationTimestamp": at(0).to_string(), "resourceVersion": "1",
        },
        "spec": {"containers": []},
        "status": {"phase": "Pending"},
    }))
}

impl PodBuilder {
    fn with(mut self, pointer: &str, value: Value) -> Self {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        self.0.pointer_mut(parent).unwrap()[name] = value;
        self
    }

    pub fn on(self, node: &str) -> Self {
        self.with("/spec/nodeName", json!(node)).with("/status/phase", json!("Running"))
    }

    pub fn ready_since(self, seconds: i64) -> Self {
        let ready = json!([{"type": "Ready", "status": "True", "lastTransitionTime": at(seconds).to_string()}]);
        self.with("/status/conditions", ready).with("/status/phase", json!("Running"))
    }

    pub fn phase(self, phase: &str) -> Self {
        self.with("/status/phase", json!(phase))
    }

    pub fn terminating(self) -> Self {
        self.with("/metadata/deletionTimestamp", json!(at(0).to_string()))
    }

    pub fn made_at(self, seconds: i64) -> Self {
        self.with("/metadata/creationTimestamp", json!(at(seconds).to_string()))
    }

    pub fn annotated(self, name: &str, value: &str) -> Self {
        self.with("/metadata/annotations", json!({name: value}))
    }

    pub fn labelled(self, labels: Value) -> Self {
        self.with("/metadata/labels", labels)
    }

    pub fn restarted(self, times: i32) -> Self {
        let statuses = json!([{"name": "c", "restartCount": times, "ready": true, "image": "", "imageID": ""}]);
        self.with("/status/containerStatuses", statuses)
    }

    pub fn owned_by(self, set: &str) -> Self {
        let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set, "uid": format!("uid-{set}"), "controller": true}]);
        self.with("/metadata/ownerReferences", owner)
    }

    pub fn with_ips(self, ips: &[&str]) -> Self {
        let list: Vec<_> = ips.iter().map(|ip| json!({"ip": ip})).collect();
        self.with("/status/podIPs", json!(list)).with("/status/podIP", json!(ips.first()))
    }

    pub fn spec(self, name: &str, value: Value) -> Self {
        self.with(&format!("/spec/{name}"), value)
    }

    pub fn done(self) -> Arc<Pod> {
        Arc::new(serde_json::from_value(self.0).unwrap())
    }
}

/// A ReplicaSet of namespace `ns` that selects `app=web`.
pub fn replica_set(name: &str, replicas: i32) -> ReplicaSet {
    let set = json!({
        "metadata": {"name": name, "namespace": "ns", "uid": format!("uid-{name}"), "generation": 2, "creationTimestamp": at(0).to_string()},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web", "x": "y"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        },
    });
    serde_json::from_value(set).unwrap()
}

/// A deployment of namespace `ns` that runs `app=web` with image `image`, two more and none fewer in a rollout.
pub fn deployment(replicas: i32, image: &str) -> Deployment {
    let deployment = json!({
        "metadata": {"name": "web", "namespace": "ns", "uid": "uid-deployment", "generation": 1, "creationTimestamp": at(0).to_string()},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 2, "maxUnavailable": 0}},
            "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 2,
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}},
        },
    });
    serde_json::from_value(deployment).unwrap()
}
