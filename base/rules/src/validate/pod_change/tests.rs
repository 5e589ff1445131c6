use irori_api::row::Tables;
use serde_json::{Value, json};

use crate::{Part, validate::validate_update};

const MAY_NOT: &str = "spec: Forbidden: pod updates may not change fields other than";

/// What is told of a change of a pod with one container, with these specs besides; `pod`: of both.
fn told(part: Part<'_>, pod: Value, old: Value, new: Value) -> Vec<String> {
    let tables = Tables::builtin();
    let row = tables.resource("", "v1", "pods").unwrap();
    let made = |spec: Value| {
        let bare = json!({
            "metadata": {"name": "p", "namespace": "n"},
            "spec": {"containers": [{"name": "c", "image": "i"}], "serviceAccountName": "default"},
        });
        let parts = [&pod, &json!({ "spec": spec })];
        let whole = parts
            .into_iter()
            .fold(bare, |object, part| crate::apply_patch(&tables, row, &object, crate::PatchKind::Merge, part).unwrap());
        let mut object = crate::decode(&tables, row, whole).unwrap().object;
        crate::default_object(&tables, row, &mut object);
        object
    };
    validate_update(row, row, &made(new), &made(old), part).iter().map(ToString::to_string).collect()
}

fn main(old: Value, new: Value) -> Vec<String> {
    told(Part::Main, json!({}), old, new)
}

#[test]
fn a_pod_changes_its_images_and_little_else() {
    let images =
        |image: &str| json!({"containers": [{"name": "c", "image": image}], "initContainers": [{"name": "d", "image": image}]});
    assert_eq!(main(images("i"), images("j")), [""; 0]);
    let changed = main(json!({}), json!({"nodeName": "n1"}));
    assert!(changed.len() == 1 && changed[0].starts_with(MAY_NOT), "{changed:?}");
    let command = main(json!({}), json!({"containers": [{"name": "c", "image": "i", "command": ["x"]}]}));
    assert!(command.len() == 1 && command[0].starts_with(MAY_NOT), "{command:?}");
    assert_eq!(
        main(json!({}), json!({"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "i"}], "nodeName": "n1"})),
        ["spec.containers: Forbidden: pod updates may not add or remove containers"]
    );
    assert_eq!(main(json!({"terminationGracePeriodSeconds": -1}), json!({"terminationGracePeriodSeconds": 1})), [""; 0]);
}

/// Clients count on the number of causes: what two looks find stands twice among them.
#[test]
fn all_that_is_wrong_with_a_change_is_told_and_images_and_tolerations_twice() {
    let image = |image: &str| json!({"containers": [{"name": "c", "image": image}]});
    let blank = "spec.containers[0].image: Invalid value: \" i:1\": must not have leading or trailing whitespace";
    assert_eq!(main(image("i:1"), image(" i:1")), [blank, blank]);
    let wrong = |operator: &str| json!({"tolerations": [{"key": "a", "operator": operator}]});
    let unknown = "spec.tolerations[0].operator: Unsupported value: \"Foo\": supported values: \"Equal\", \"Exists\"";
    assert_eq!(main(json!({}), wrong("Foo")), [unknown, unknown]);
    let all = main(wrong("Equal"), json!({"hostname": "Bad!", "nodeName": "n1", "tolerations": []}));
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(all[0].starts_with("spec.hostname: Invalid value: \"Bad!\""));
    assert_eq!(all[1], "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds");
    assert!(all[2].starts_with(MAY_NOT));
    let labelled = |value: &str| json!({"metadata": {"labels": {"a": value}}});
    assert_eq!(told(Part::Main, labelled("Bad value!"), json!({}), json!({})).len(), 2);
}

#[test]
fn a_deadline_comes_nearer() {
    let deadline = |seconds: Value| json!({"activeDeadlineSeconds": seconds});
    assert_eq!(main(json!({}), deadline(json!(100))), [""; 0]);
    assert_eq!(main(deadline(json!(100)), deadline(json!(50))), [""; 0]);
    let at = "spec.activeDeadlineSeconds: Invalid value:";
    assert_eq!(
        main(deadline(json!(100)), deadline(json!(200))),
        [format!("{at} 200: must be less than or equal to previous value")]
    );
    assert_eq!(
        main(deadline(json!(100)), json!({})),
        [format!("{at} null: must not update from a positive integer to nil value")]
    );
    assert_eq!(
        main(json!({}), deadline(json!(-1))),
        [
            format!("{at} -1: must be between 1 and 2147483647, inclusive"),
            format!("{at} -1: must be between 0 and 2147483647, inclusive")
        ]
    );
}

/// Kubernetes page "Pod Scheduling Readiness": mutable pod scheduling directives.
#[test]
fn a_gated_pod_becomes_choosier_only() {
    let gated = |spec: Value, new: Value| told(Part::Main, json!({"spec": {"schedulingGates": [{"name": "g"}]}}), spec, new);
    let selector = |labels: Value| json!({"nodeSelector": labels});
    assert_eq!(gated(json!({}), selector(json!({"a": "b"}))), [""; 0]);
    assert_eq!(gated(selector(json!({"a": "b"})), selector(json!({"a": "b", "c": "d"}))), [""; 0]);
    let why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
    assert_eq!(
        gated(selector(json!({"a": "b"})), selector(json!({"a": "c"}))),
        [format!("spec.nodeSelector: Invalid value: {{\"a\":\"c\"}}: {why}")]
    );
    assert_eq!(gated(selector(json!({"a": "b"})), json!({})), [format!("spec.nodeSelector: Invalid value: null: {why}")]);
    assert!(main(json!({}), selector(json!({"a": "b"})))[0].starts_with(MAY_NOT), "without a gate nothing of the kind");

    let terms = |terms: Value| json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}});
    let term = |values: &[&str]| {
        let all: Vec<Value> = values.iter().map(|v| json!({"key": "k", "operator": "In", "values": [v]})).collect();
        json!({ "matchExpressions": all })
    };
    let at = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    let shown = "{\"MatchExpressions\":[{\"Key\":\"k\",\"Operator\":\"In\",\"Values\":[\"b\"]}],\"MatchFields\":null}";
    assert_eq!(gated(json!({}), terms(json!([term(&["a"])]))), [""; 0]);
    assert_eq!(gated(terms(json!([term(&["a"])])), terms(json!([term(&["a", "b"])]))), [""; 0]);
    assert_eq!(
        gated(terms(json!([term(&["a"])])), terms(json!([term(&["b"])]))),
        [format!("{at}[0]: Invalid value: {shown}: only additions are allowed (no mutations or deletions)")]
    );
    assert_eq!(
        gated(terms(json!([term(&["a"]), term(&["b"])])), terms(json!([term(&["b"])]))),
        [format!("{at}: Invalid value: [{shown}]: no additions/deletions to non-empty NodeSelectorTerms list are allowed")]
    );
    assert_eq!(gated(terms(json!([term(&["a"])])), json!({})).len(), 1);
    let near = json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {}, "topologyKey": "k"}]}}});
    assert!(gated(json!({}), near)[0].starts_with(MAY_NOT), "pods are not nodes");
}

#[test]
fn gates_only_go() {
    let gates = |names: &[&str]| json!({"schedulingGates": names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>()});
    assert_eq!(main(gates(&["a", "b"]), gates(&["b"])), [""; 0]);
    assert_eq!(
        main(gates(&["a"]), gates(&["a", "b"])),
        ["spec.schedulingGates[1].name: Forbidden: only deletion is allowed, but found new scheduling gate 'b'"]
    );
}

/// Kubernetes page "Ephemeral Containers".
#[test]
fn a_container_for_debugging_has_no_part_in_the_life_of_its_pod() {
    let debug = |container: Value| {
        let mut one = json!({"name": "e", "image": "i"});
        one.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
        json!({ "ephemeralContainers": [one] })
    };
    let pod = json!({"spec": {"initContainers": [{"name": "d", "image": "i"}], "volumes": [{"name": "v", "emptyDir": {}}]}});
    let added = |container: Value| told(Part::Sub("ephemeralcontainers"), pod.clone(), json!({}), debug(container));
    assert_eq!(added(json!({"targetContainerName": "d", "volumeMounts": [{"name": "v", "mountPath": "/v"}]})), [""; 0]);
    let probe = json!({"exec": {}});
    let all = added(json!({
        "ports": [{"containerPort": 80}], "resources": {"requests": {"cpu": "1"}},
        "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}],
        "restartPolicy": "Always", "restartPolicyRules": [{}], "livenessProbe": probe, "readinessProbe": probe,
        "startupProbe": probe, "lifecycle": {"preStop": {}},
        "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "a"}, {"name": "v", "mountPath": "/w", "subPathExpr": "b"}],
    }));
    let fields = [
        "ports",
        "resources",
        "resizePolicy",
        "restartPolicy",
        "restartPolicyRules",
        "livenessProbe",
        "readinessProbe",
        "startupProbe",
        "lifecycle",
        "volumeMounts[0].subPath",
        "volumeMounts[1].subPathExpr",
    ];
    let want =
        fields.map(|field| format!("spec.ephemeralContainers[0].{field}: Forbidden: cannot be set for an Ephemeral Container"));
    assert_eq!(all, want);
    let twice =
        json!({"ephemeralContainers": [{"name": "e", "image": "i"}, {"name": "e", "image": "i"}, {"name": "c", "image": "i"}]});
    assert_eq!(
        told(Part::Sub("ephemeralcontainers"), pod.clone(), json!({}), twice),
        ["spec.ephemeralContainers[1].name: Duplicate value: \"e\"", "spec.ephemeralContainers[2].name: Duplicate value: \"c\""]
    );
    let mirror = json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}, "spec": {"nodeName": "n1"}});
    assert_eq!(
        told(Part::Sub("ephemeralcontainers"), mirror.clone(), json!({}), debug(json!({"ports": [{"containerPort": 80}]}))),
        [": Forbidden: static pods do not support ephemeral containers"]
    );
    assert_eq!(told(Part::Sub("resize"), mirror, json!({}), json!({})), [": Forbidden: static pods cannot be resized"]);
}

/// Kubernetes page "Resize CPU and Memory Resources assigned to Containers".
#[test]
fn a_resize_changes_cpu_and_memory_of_what_goes_on_running() {
    let containers = |cpu: &str, more: Value| {
        let mut main = json!({"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}});
        main.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "containers": [main] })
    };
    let resized = |old: Value, new: Value| told(Part::Sub("resize"), json!({}), old, new);
    assert_eq!(resized(containers("1", json!({})), containers("2", json!({}))), [""; 0]);
    let others = ["spec: Forbidden: only cpu and memory resources are mutable"];
    let policy = json!({"resizePolicy": [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]});
    assert_eq!(resized(containers("1", json!({})), containers("1", policy)), others);
    let disk = json!({"resources": {"requests": {"cpu": "1", "ephemeral-storage": "1Gi"}}});
    assert_eq!(resized(containers("1", json!({})), containers("1", disk)), others);
    let less = json!({"resources": {"requests": {"memory": "1Gi"}}});
    assert_eq!(
        resized(containers("1", json!({})), containers("1", less)),
        ["spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed"]
    );

    let init = |policy: Value, resource: &str| {
        let one =
            json!({"name": "d", "image": "i", "restartPolicy": policy, "resources": {"requests": {"cpu": "1", resource: "2"}}});
        json!({"initContainers": [one], "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]})
    };
    let sidecar = |resource: &str| init(json!("Always"), resource);
    assert_eq!(resized(sidecar("cpu"), sidecar("memory")), [""; 0]);
    assert_eq!(
        resized(sidecar("memory"), sidecar("ephemeral-storage")),
        [
            "spec.initContainers[0].resources.requests: Forbidden: resource requests cannot be removed",
            "spec: Forbidden: only cpu and memory resources for sidecar containers are mutable"
        ]
    );
    assert_eq!(
        resized(init(Value::Null, "cpu"), init(Value::Null, "memory")),
        ["spec: Forbidden: resources for non-sidecar init containers are immutable"]
    );
    let of_pod = |name: &str| json!({"resources": {"requests": {"cpu": "1", name: "2"}}});
    assert_eq!(resized(of_pod("cpu"), of_pod("memory")), [""; 0]);

    assert_eq!(
        resized(containers("1", json!({})), containers("1", json!({"name": "x"}))),
        ["spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize"]
    );
    let two = json!({"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}, {"name": "d", "image": "i"}]});
    assert_eq!(
        resized(containers("1", json!({})), two),
        ["spec.containers: Forbidden: containers may not be added or removed on resize"]
    );
}
