use std::{collections::BTreeMap, os::unix::fs::MetadataExt, sync::Arc};

use serde_json::json;

use super::{payload::TokenKey, *};

fn pod(spec: serde_json::Value) -> Pod {
    let meta = json!({ "name": "web", "namespace": "shop", "uid": "u1", "labels": { "app": "web" } });
    serde_json::from_value(json!({ "metadata": meta, "spec": spec })).expect("a pod")
}

fn found() -> Found {
    let map = serde_json::from_value(json!({ "data": { "a": "1", "b": "2" } })).expect("a map");
    let secret = serde_json::from_value(json!({ "data": { "p": "c2VjcmV0" } })).expect("a secret");
    Found {
        config_maps: BTreeMap::from([("m".to_owned(), Some(Arc::new(map))), ("gone".to_owned(), None)]),
        secrets: BTreeMap::from([("s".to_owned(), Some(Arc::new(secret)))]),
        tokens: BTreeMap::from([(TokenKey { audience: String::new(), expiration_s: 3607 }, "token!".to_owned())]),
    }
}

struct Room(tempfile::TempDir);

impl Room {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn folder(&self) -> PodFolder {
        PodFolder::new(self.0.path(), "u1")
    }

    fn prepare(&self, pod: &Pod) -> Result<(), Failure> {
        self.folder().prepare(pod, &found(), &Machine::default())
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.path().join("u1/volumes").join(path)).expect("readable")
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.folder().remove().expect("nothing stays mounted");
    }
}

#[test]
fn the_usual_api_access_volume_is_made_in_memory_and_for_its_user_only() {
    let room = Room::new();
    let sources = json!([
        { "serviceAccountToken": { "path": "token", "expirationSeconds": 3607 } },
        { "configMap": { "name": "m", "items": [{ "key": "a", "path": "ca.crt" }] } },
        { "downwardAPI": { "items": [{ "path": "namespace", "fieldRef": { "fieldPath": "metadata.namespace" } }] } },
    ]);
    let pod = pod(json!({
        "containers": [{ "name": "c" }], "securityContext": { "runAsUser": 1000 },
        "volumes": [{ "name": "access", "projected": { "defaultMode": 420, "sources": sources } }],
    }));
    room.prepare(&pod).expect("prepared");
    assert_eq!(
        (room.read("access/token"), room.read("access/ca.crt"), room.read("access/namespace")),
        ("token!".into(), "1".into(), "shop".into())
    );
    let meta = fs::metadata(room.0.path().join("u1/volumes/access/token")).expect("there");
    assert_eq!((meta.mode() & 0o7777, meta.uid()), (0o600, 1000));
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("read");
    let path = fs::canonicalize(room.0.path().join("u1/volumes/access")).expect("there");
    assert!(mounts.lines().any(|line| line.contains(&*path.to_string_lossy()) && line.contains("tmpfs")));
}

#[test]
fn a_missing_config_map_is_named_and_an_optional_one_is_an_empty_volume() {
    let room = Room::new();
    let with = |optional: bool| {
        pod(json!({ "containers": [], "volumes": [{ "name": "v", "configMap": { "name": "gone", "optional": optional } }] }))
    };
    let failure = room.prepare(&with(false)).expect_err("missing");
    assert!(failure.message.ends_with("configmap \"shop/gone\" not found"), "{}", failure.message);
    room.prepare(&with(true)).expect("prepared");
}

#[test]
fn an_empty_dir_belongs_to_the_group_and_a_memory_one_keeps_its_size() {
    let room = Room::new();
    let pod = pod(json!({ "containers": [], "securityContext": { "fsGroup": 3000 },
        "volumes": [{ "name": "e", "emptyDir": {} }, { "name": "m", "emptyDir": { "medium": "Memory", "sizeLimit": "64Ki" } }] }));
    room.prepare(&pod).expect("prepared");
    let meta = fs::metadata(room.0.path().join("u1/volumes/e")).expect("there");
    assert_eq!((meta.mode() & 0o7777, meta.gid()), (0o2777, 3000));
    assert!(fs::write(room.0.path().join("u1/volumes/m/big"), vec![0; 200_000]).is_err());
}

#[test]
fn mounts_follow_the_container_and_files_of_the_api_are_read_only() {
    let room = Room::new();
    let container = json!({ "name": "c", "volumeMounts": [
        { "name": "v", "mountPath": "/etc/app" },
        { "name": "e", "mountPath": "/data", "subPathExpr": "x/$(WHO)" },
        { "name": "h", "mountPath": "/host", "mountPropagation": "HostToContainer" },
    ] });
    let pod = pod(json!({ "containers": [container], "volumes": [
        { "name": "v", "configMap": { "name": "m" } }, { "name": "e", "emptyDir": {} }, { "name": "h", "hostPath": { "path": "/tmp", "type": "Directory" } },
    ] }));
    room.prepare(&pod).expect("prepared");
    let spec = pod.spec.as_ref().expect("a spec");
    let env = vec![("WHO".to_owned(), "me".to_owned())];
    let mounts = room.folder().mounts(spec, &spec.containers[0], &env).expect("mounts");
    let short: Vec<_> = mounts.iter().map(|m| (m.container_path.as_str(), m.read_only, m.propagation)).collect();
    assert_eq!(
        short,
        [
            ("/etc/app", true, Propagation::Private),
            ("/data", false, Propagation::Private),
            ("/host", false, Propagation::HostToContainer)
        ]
    );
    fs::write(mounts[1].host_path.join("f"), "x").expect("written");
    assert_eq!(room.read("e/x/me/f"), "x");
    assert!(room.folder().mounts(spec, &spec.containers[0], &[]).is_err(), "a variable that is not set is no path");
}
