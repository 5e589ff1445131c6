use serde_json::json;

use super::*;
use crate::runtime::{ImageConfig, ImageInfo, Qos};

fn image(uid: Option<i64>, username: &str) -> Image {
    Image::new(ImageInfo {
        id: "sha256:1".to_owned(),
        repo_tags: Vec::new(),
        repo_digests: Vec::new(),
        size_bytes: 0,
        uid,
        username: username.to_owned(),
        config: ImageConfig::default(),
        pinned: false,
    })
}

fn pod(spec: serde_json::Value) -> Pod {
    let meta = json!({ "name": "web", "namespace": "shop", "uid": "u" });
    serde_json::from_value(json!({ "metadata": meta, "spec": spec, "status": { "qosClass": "Burstable" } })).expect("a pod")
}

fn config(spec: serde_json::Value, image: Image) -> Result<ContainerConfig, Failure> {
    let pod = pod(spec);
    let first = pod.spec.as_ref().expect("a spec").containers[0].clone();
    let env = vec![("WHO".to_owned(), "world".to_owned())];
    container(&pod, &first, ContainerParts { attempt: 2, image, env, mounts: Vec::new() }, &Machine::default())
}

#[test]
fn the_containers_word_overrules_the_pods() {
    let spec = json!({
        "securityContext": { "runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "supplementalGroups": [4, 3], "seccompProfile": { "type": "RuntimeDefault" } },
        "containers": [{ "name": "c", "image": "x", "args": ["hi $(WHO)", "$$(WHO)"],
            "securityContext": { "runAsUser": 10, "allowPrivilegeEscalation": false, "capabilities": { "add": ["CAP_NET_ADMIN"], "drop": ["ALL"] } } }],
    });
    let config = config(spec, image(Some(7), "")).expect("a config");
    let security = &config.security;
    assert_eq!((security.run_as_user, security.run_as_group), (Some(10), Some(2)));
    assert_eq!((&security.supplemental_groups, &security.seccomp), (&vec![4, 3], &Seccomp::RuntimeDefault));
    assert_eq!((&security.capabilities_add, security.no_new_privileges), (&vec!["NET_ADMIN".to_owned()], true));
    assert_eq!((config.args, config.attempt), (vec!["hi world".to_owned(), "$(WHO)".to_owned()], 2));
}

#[test]
fn a_pod_that_must_not_run_as_root_is_held_back_where_it_would() {
    let spec = |user: Option<i64>| json!({ "securityContext": { "runAsNonRoot": true, "runAsUser": user }, "containers": [{ "name": "c", "image": "x" }] });
    let message = |user, image| config(spec(user), image).map(|c| c.security.run_as_user).map_err(|f| f.message);
    assert_eq!(message(Some(5), image(None, "")), Ok(Some(5)));
    assert_eq!(message(None, image(Some(6), "")), Ok(Some(6)));
    assert!(message(None, image(None, "")).is_err_and(|m| m.contains("image will run as root")));
    assert!(message(None, image(Some(0), "")).is_err_and(|m| m.contains("breaks non-root policy")));
    assert!(message(Some(0), image(Some(6), "")).is_err());
    assert!(message(None, image(None, "nginx")).is_err_and(|m| m.contains("non-numeric user (nginx)")));
}

#[test]
fn a_sandbox_takes_names_groups_and_namespaces_of_the_pod() {
    let spec = json!({ "hostPID": true, "shareProcessNamespace": false, "hostname": "db", "securityContext": { "sysctls": [{ "name": "net/ipv4/tcp_syncookies", "value": "1" }] },
        "containers": [{ "name": "c", "securityContext": { "privileged": true } }] });
    let pod = pod(spec);
    let pod_ref = facts::pod_ref(&pod).expect("a reference");
    let sandbox = sandbox(&pod_ref, &pod, 3, &crate::settings::for_tests(), &Machine::default()).expect("a sandbox");
    assert_eq!((sandbox.hostname.as_str(), sandbox.attempt, sandbox.qos, sandbox.privileged), ("db", 3, Qos::Burstable, true));
    assert_eq!(sandbox.sysctls.get("net.ipv4.tcp_syncookies").map(String::as_str), Some("1"));
    assert_eq!(sandbox.namespaces, Namespaces { pid: NamespaceMode::Node, ..Namespaces::default() });
}
