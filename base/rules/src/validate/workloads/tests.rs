use serde_json::{Value, json};

use crate::{
    tree::{remove, set},
    validate::tests::{changed, created},
};

fn workload(spec: Value) -> Value {
    let mut object = json!({"metadata": {"name": "x", "namespace": "n"}, "spec": {
        "selector": {"matchLabels": {"app": "a"}},
        "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    }});
    for (field, value) in spec.as_object().into_iter().flatten() {
        set(&mut object, &["spec", field], value.clone());
    }
    object
}

fn told(kind: &str, spec: Value) -> Vec<String> {
    created(("apps", kind), workload(spec))
}

/// A stateful set with claims, volumes and what one container does with them.
fn set_of(claims: &[&str], volumes: &[&str], mounts: &[&str], devices: &[&str]) -> Value {
    let claim = |name: &&str| json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let mut set_of = workload(json!({"serviceName": "s", "volumeClaimTemplates": claims.iter().map(claim).collect::<Vec<_>>()}));
    let volumes: Vec<Value> = volumes.iter().map(|name| json!({"name": name, "emptyDir": {}})).collect();
    set(&mut set_of, &["spec", "template", "spec", "volumes"], volumes);
    let mount = |name: &&str| json!({"name": name, "mountPath": format!("/{name}")});
    let device = |name: &&str| json!({"name": name, "devicePath": format!("/dev/{name}")});
    let container = json!({"name": "c", "image": "i",
        "volumeMounts": mounts.iter().map(mount).collect::<Vec<_>>(), "volumeDevices": devices.iter().map(device).collect::<Vec<_>>()});
    set(&mut set_of, &["spec", "template", "spec", "containers"], json!([container.clone()]));
    set_of
}

/// https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#volume-claim-templates
#[test]
fn containers_of_a_stateful_set_mount_its_claims() {
    let sets = ("apps", "statefulsets");
    let at = "spec.template.spec.containers[0]";
    let all = set_of(&["data", "log", "raw"], &["config"], &["data", "log", "config"], &["raw"]);
    assert_eq!(created(sets, all.clone()), [""; 0]);
    assert_eq!(changed(sets, all.clone(), all), [""; 0]);
    assert_eq!(
        created(sets, set_of(&["data"], &[], &["data", "other"], &[])),
        [format!("{at}.volumeMounts[1].name: Not found: \"other\"")]
    );
    // A claim takes the place of a volume of its name, and one name makes one volume.
    assert_eq!(created(sets, set_of(&["data", "data"], &["data"], &[], &["data"])), [""; 0]);
    assert_eq!(
        created(sets, set_of(&["data"], &["raw"], &[], &["raw"])),
        [format!(
            "{at}.volumeDevices[0].name: Invalid value: \"raw\": can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
        )]
    );
    // Volumes are counted as they stand in the pod: behind the claims.
    let told = created(sets, set_of(&["data"], &["data", "Bad"], &["data"], &[]));
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("spec.template.spec.volumes[1].name: Invalid value: \"Bad\""), "{told:?}");
}

#[test]
fn a_stateful_set_keeps_all_revisions_where_the_number_is_negative() {
    assert_eq!(told("statefulsets", json!({"revisionHistoryLimit": -1})), [""; 0]);
    assert_eq!(told("daemonsets", json!({"revisionHistoryLimit": -1})).len(), 1);
}

#[test]
fn a_new_stateful_set_names_its_service_as_a_label() {
    let named = |name: &str| workload(json!({"serviceName": name}));
    let sets = ("apps", "statefulsets");
    assert_eq!(created(sets, named("a.b")), ["spec.serviceName: Invalid value: \"a.b\": must not contain dots"]);
    assert_eq!(created(sets, named("")), [""; 0]);
    assert_eq!(changed(sets, named("a.b"), named("a.b")), [""; 0]);
}

#[test]
fn strategies_that_nobody_knows_are_shown_whole() {
    assert_eq!(
        told("daemonsets", json!({"updateStrategy": {"type": "abc", "rollingUpdate": {"maxUnavailable": 1}}})),
        [
            "spec.updateStrategy: Unsupported value: {\"Type\":\"abc\",\"RollingUpdate\":{\"MaxUnavailable\":1,\"MaxSurge\":0}}: supported values: \"RollingUpdate\", \"OnDelete\""
        ]
    );
    assert_eq!(
        told("statefulsets", json!({"updateStrategy": {"type": "abc", "rollingUpdate": {"partition": 1}}})),
        [
            "spec.updateStrategy: Invalid value: {\"Type\":\"abc\",\"RollingUpdate\":{\"Partition\":1,\"MaxUnavailable\":null}}: must be 'RollingUpdate' or 'OnDelete'"
        ]
    );
}

#[test]
fn without_a_selector_no_template_matches() {
    let without = |kind: &str| {
        let mut object = workload(json!({}));
        remove(&mut object, &["spec", "selector"]);
        created(("apps", kind), object)
    };
    let mismatch = "spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`";
    assert_eq!(without("daemonsets"), [mismatch]);
    for kind in ["deployments", "replicasets", "statefulsets"] {
        assert_eq!(without(kind), ["spec.selector: Required value", mismatch]);
    }
}

/// Amounts of `maxUnavailable` and `maxSurge`, and how many faults a daemon set and a deployment have with them.
#[test]
fn amounts_that_are_none_count_nothing() {
    for (unavailable, surge, daemon, deployment) in [
        (json!(1), json!(0), 0, 0),
        (json!("101%"), json!(0), 1, 1),
        (json!(0), json!("101%"), 1, 0),
        (json!("abc"), json!(0), 2, 2),
        (json!(""), json!("1%"), 1, 1),
        (json!("-5%"), json!(0), 2, 2),
        (json!(1), json!("1"), 2, 1),
        (json!(1), json!(-1), 2, 1),
        (json!(0), json!("1.5Gi"), 2, 2),
        (json!("99999999999999999999%"), json!(0), 1, 1),
    ] {
        let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}});
        let got = told("daemonsets", json!({"updateStrategy": rolling.clone()}));
        assert_eq!(got.len(), daemon, "{unavailable} {surge}: {got:?}");
        let got = told("deployments", json!({"strategy": rolling}));
        assert_eq!(got.len(), deployment, "{unavailable} {surge}: {got:?}");
    }
}
