use irori_api::row::Tables;
use serde_json::{Value, json};

use crate::validate::{validate_create, validate_update};

const CONTAINER: &str = "container.apparmor.security.beta.kubernetes.io/c";

fn pod(annotations: Value, spec: Value) -> Value {
    let mut pod = json!({
        "metadata": {"name": "p", "namespace": "n", "annotations": annotations},
        "spec": {"containers": [{"name": "c", "image": "i"}], "serviceAccountName": "default"},
    });
    pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    pod
}

fn decoded(group: &str, resource: &str, body: Value) -> Value {
    let tables = Tables::builtin();
    let row = tables.resource(group, "v1", resource).unwrap();
    let mut object = crate::decode(&tables, row, body).unwrap().object;
    crate::default_object(&tables, row, &mut object);
    object
}

fn told(annotations: Value, spec: Value) -> Vec<String> {
    let tables = Tables::builtin();
    let row = tables.resource("", "v1", "pods").unwrap();
    validate_create(row, row, &decoded("", "pods", pod(annotations, spec))).iter().map(ToString::to_string).collect()
}

#[test]
fn annotations_that_steer_a_pod_are_held_to_their_forms() {
    for (annotation, value, want) in [
        (
            "kubernetes.io/config.mirror",
            "x",
            "[kubernetes.io/config.mirror]: Invalid value: \"x\": must set spec.nodeName if mirror pod annotation is set",
        ),
        (
            "seccomp.security.alpha.kubernetes.io/pod",
            "bad",
            ".seccomp.security.alpha.kubernetes.io/pod: Invalid value: \"bad\": must be a valid seccomp profile",
        ),
        (
            "container.seccomp.security.alpha.kubernetes.io/c",
            "localhost//a",
            ".container.seccomp.security.alpha.kubernetes.io/c: Invalid value: \"/a\": must be a relative path",
        ),
        (
            CONTAINER,
            "bad",
            "[container.apparmor.security.beta.kubernetes.io/c]: Invalid value: \"bad\": invalid AppArmor profile name: \"bad\"",
        ),
        (
            "container.apparmor.security.beta.kubernetes.io/zz",
            "unconfined",
            "[container.apparmor.security.beta.kubernetes.io/zz]: Invalid value: \"zz\": container not found",
        ),
        (
            "scheduler.alpha.kubernetes.io/tolerations",
            "x",
            ": Invalid value: \"scheduler.alpha.kubernetes.io/tolerations\": invalid character 'x' looking for beginning of value",
        ),
        (
            "scheduler.alpha.kubernetes.io/tolerations",
            "[{\"operator\":\"Foo\",\"key\":\"a\"}]",
            ".scheduler.alpha.kubernetes.io/tolerations[0].operator: Unsupported value: \"Foo\": supported values: \"Equal\", \"Exists\"",
        ),
        (
            "controller.kubernetes.io/pod-deletion-cost",
            "x",
            "[controller.kubernetes.io/pod-deletion-cost]: Invalid value: \"x\": must be a 32bit integer",
        ),
    ] {
        assert_eq!(told(json!({annotation: value}), json!({})), [format!("metadata.annotations{want}")]);
    }
    let mirror = json!({"kubernetes.io/config.mirror": "x"});
    assert_eq!(told(mirror, json!({"nodeName": "n1"})), [""; 0]);
    let fine = json!({CONTAINER: "localhost/a", "seccomp.security.alpha.kubernetes.io/pod": "docker/default", "scheduler.alpha.kubernetes.io/tolerations": ""});
    assert_eq!(told(fine, json!({})), [""; 0]);
}

#[test]
fn a_cost_is_a_number_of_32_bits() {
    let wrong = |cost: &str| !told(json!({"controller.kubernetes.io/pod-deletion-cost": cost}), json!({})).is_empty();
    for cost in ["0", "-1", "2147483647", "-2147483648"] {
        assert!(!wrong(cost), "{cost}");
    }
    for cost in ["", "+1", "01", "00", "2147483648", "1.5", "-"] {
        assert!(wrong(cost), "{cost}");
    }
}

#[test]
fn a_cost_that_was_wrong_already_stays_and_paths_in_templates_leave_the_metadata_out() {
    let tables = Tables::builtin();
    let row = tables.resource("apps", "v1", "deployments").unwrap();
    let made = |cost: &str, replicas: u32| {
        let template = json!({
            "metadata": {"labels": {"a": "b"}, "annotations": {"controller.kubernetes.io/pod-deletion-cost": cost, CONTAINER: "runtime/default"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        });
        decoded(
            "apps",
            "deployments",
            json!({
                "metadata": {"name": "d", "namespace": "n"},
                "spec": {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}}, "template": template},
            }),
        )
    };
    let changed = |old: &Value, new: &Value| -> Vec<String> {
        validate_update(row, row, new, old, crate::Part::Main).iter().map(ToString::to_string).collect()
    };
    let want =
        "spec.template.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: \"x\": must be a 32bit integer";
    assert_eq!(validate_create(row, row, &made("x", 1)).iter().map(ToString::to_string).collect::<Vec<_>>(), [want]);
    assert_eq!(changed(&made("1", 1), &made("x", 1)), [want]);
    assert_eq!(changed(&made("x", 1), &made("y", 2)), [""; 0]);
}

#[test]
fn fields_and_the_annotations_before_them_agree() {
    let armed = |kind: Value| json!({"containers": [{"name": "c", "image": "i", "securityContext": {"appArmorProfile": kind}}]});
    let at = "spec.containers[0].securityContext.appArmorProfile";
    let different = format!("{at}.type: Forbidden: apparmor type in annotation and field must match");
    for (written, kind, want) in [
        ("runtime/default", json!({"type": "RuntimeDefault"}), vec![]),
        ("unconfined", json!({"type": "RuntimeDefault"}), vec![different.clone()]),
        ("localhost/a", json!({"type": "Localhost", "localhostProfile": "a"}), vec![]),
        ("unconfined", json!({"type": "Localhost", "localhostProfile": "a"}), vec![different.clone()]),
        ("localhost/a", json!({"type": "Unconfined"}), vec![different]),
        (
            "localhost/b",
            json!({"type": "Localhost", "localhostProfile": "a"}),
            vec![format!("{at}.localhostProfile: Forbidden: apparmor profile in annotation and field must match")],
        ),
    ] {
        assert_eq!(told(json!({CONTAINER: written}), armed(kind)), want, "{written}");
    }
    let of_pod = |field: &str, kind: &str| json!({"securityContext": {field: {"type": kind}}});
    assert_eq!(told(json!({CONTAINER: "unconfined"}), of_pod("appArmorProfile", "RuntimeDefault")).len(), 1);
    let seccomp = |written: &str| json!({"seccomp.security.alpha.kubernetes.io/pod": written});
    assert_eq!(told(seccomp("docker/default"), of_pod("seccompProfile", "RuntimeDefault")), [""; 0]);
    assert_eq!(
        told(seccomp("unconfined"), of_pod("seccompProfile", "RuntimeDefault")),
        ["spec.securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field must match"]
    );
}

#[test]
fn an_update_adds_changes_and_removes_neither_profiles_nor_mirrors() {
    let tables = Tables::builtin();
    let row = tables.resource("", "v1", "pods").unwrap();
    let changed = |old: Value, new: Value, part: crate::Part<'_>| -> Vec<String> {
        let made = |annotations: Value| decoded("", "pods", pod(annotations, json!({"nodeName": "n1"})));
        let mut old = made(old);
        old["status"] = json!({"phase": "Running", "qosClass": "BestEffort"});
        let mut new = made(new);
        new["status"] = old["status"].clone();
        validate_update(row, row, &new, &old, part).iter().map(ToString::to_string).collect()
    };
    let (mirror, other) = ("kubernetes.io/config.mirror", "a.example/b");
    for part in [crate::Part::Main, crate::Part::Status] {
        for (key, of) in [(CONTAINER, "AppArmor annotations"), (mirror, "mirror pod annotation")] {
            let at = format!("metadata.annotations[{key}]: Forbidden: may not");
            let (one, two) = (json!({key: "unconfined"}), json!({key: "runtime/default"}));
            assert_eq!(changed(json!({}), one.clone(), part), [format!("{at} add {of}")]);
            assert_eq!(changed(one.clone(), two, part), [format!("{at} remove or update {of}")]);
            assert_eq!(changed(one.clone(), json!({}), part), [format!("{at} remove or update {of}")]);
            assert_eq!(changed(one.clone(), one, part), [""; 0]);
        }
        assert_eq!(changed(json!({other: "1"}), json!({other: "2"}), part), [""; 0]);
    }
}
