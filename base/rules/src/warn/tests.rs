use irori_api::row::Tables;
use serde_json::{Value, json};

use super::warnings;

fn told(group: &str, resource: &str, object: Value) -> Vec<String> {
    let tables = Tables::builtin();
    warnings(tables.resource(group, "v1", resource).unwrap(), &object, None)
}

fn pod(spec: Value) -> Vec<String> {
    told("", "pods", json!({"metadata": {"name": "p"}, "spec": spec}))
}

#[test]
fn a_plain_pod_is_warned_of_nothing() {
    assert_eq!(
        pod(json!({"containers": [{"name": "c", "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}]}]})),
        [""; 0]
    );
}

#[test]
fn pods_are_warned_of_what_does_not_do_what_it_says() {
    for (spec, want) in [
        (
            json!({"nodeSelector": {"beta.kubernetes.io/os": "linux"}}),
            "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead",
        ),
        (
            json!({"topologySpreadConstraints": [{"topologyKey": "k"}]}),
            "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
        ),
        (json!({"imagePullSecrets": [{}]}), "spec.imagePullSecrets[0].name: invalid empty name \"\""),
        (
            json!({"terminationGracePeriodSeconds": -1}),
            "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
        ),
        (
            json!({"volumes": [{"name": "v", "gitRepo": {}}]}),
            "spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
        ),
        (
            json!({"containers": [{"resources": {"limits": {"memory": "1500m"}}}]}),
            "spec.containers[0].resources.limits[memory]: fractional byte value \"1500m\" is invalid, must be an integer",
        ),
        (
            json!({"containers": [{"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}]}),
            "spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply",
        ),
        (
            json!({"containers": [{"ports": [{"containerPort": 1}]}, {"ports": [{"containerPort": 1}]}]}),
            "spec.containers[1].ports[0]: duplicate port definition with spec.containers[0].ports[0]",
        ),
    ] {
        assert_eq!(pod(spec), [want]);
    }
}

#[test]
fn names_of_pods_should_be_labels() {
    let got = told("", "pods", json!({"metadata": {"name": "a.b"}, "spec": {}}));
    assert_eq!(
        got,
        [
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]"
        ]
    );
    assert_eq!(told("apps", "daemonsets", json!({"metadata": {"name": "a.b"}, "spec": {}})), [""; 0]);
}

#[test]
fn a_template_that_did_not_change_is_not_told_again() {
    let tables = Tables::builtin();
    let row = tables.resource("apps", "v1", "deployments").unwrap();
    let at = |generation: i64| json!({"metadata": {"name": "d", "generation": generation}, "spec": {"template": {"spec": {"imagePullSecrets": [{}]}}}});
    assert_eq!(warnings(row, &at(1), Some(&at(1))), [""; 0]);
    assert_eq!(warnings(row, &at(2), Some(&at(1))), ["spec.template.spec.imagePullSecrets[0].name: invalid empty name \"\""]);
}

#[test]
fn a_certificate_that_is_none_is_told() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let secret = |cert: &str, key: &str| {
        let data = json!({"tls.crt": STANDARD.encode(cert), "tls.key": STANDARD.encode(key)});
        told("", "secrets", json!({"metadata": {"name": "s"}, "type": "kubernetes.io/tls", "data": data}))
    };
    let pem = |kind: &str| format!("-----BEGIN {kind}-----\nYQ==\n-----END {kind}-----\n");
    assert_eq!(secret("a", "b"), ["tls: failed to find any PEM data in certificate input"]);
    assert_eq!(secret(&pem("CERTIFICATE"), "b"), ["tls: failed to find any PEM data in key input"]);
    assert_eq!(secret(&pem("CERTIFICATE"), &pem("EC PRIVATE KEY")), [""; 0]);
    assert_eq!(secret(&pem("EC PRIVATE KEY"), &pem("CERTIFICATE")).len(), 1);
}

#[test]
fn fields_of_a_service_that_count_for_nothing_are_told() {
    let service = |spec: Value| told("", "services", json!({"metadata": {"name": "s"}, "spec": spec}));
    assert_eq!(
        service(json!({"type": "ClusterIP", "clusterIP": "None", "loadBalancerIP": "192.0.2.1", "sessionAffinity": "None"})),
        ["spec.loadBalancerIP is ignored for headless services"]
    );
    assert_eq!(
        service(json!({"type": "ClusterIP", "externalName": "a.example"})),
        ["spec.externalName is ignored when spec.type is not \"ExternalName\""]
    );
    assert_eq!(
        service(json!({"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.1/8"]})),
        [
            "spec.loadBalancerSourceRanges[0]: CIDR value \"10.0.0.1/8\" is ambiguous in this context (should be \"10.0.0.0/8\" or \"10.0.0.1/32\"?)"
        ]
    );
}

#[test]
fn a_very_wide_indexed_job_is_warned_of() {
    let spec = |parallelism: i64| json!({"completionMode": "Indexed", "completions": 100_001, "parallelism": parallelism});
    let job = |parallelism: i64| told("batch", "jobs", json!({"metadata": {"name": "j"}, "spec": spec(parallelism)}));
    assert_eq!(job(10_000), [""; 0]);
    assert_eq!(job(10_001).len(), 1);
    let cron = json!({"metadata": {"name": "j"}, "spec": {"jobTemplate": {"spec": spec(10_001)}}});
    let warned = told("batch", "cronjobs", cron);
    assert!(warned.len() == 1 && warned[0].starts_with("spec.jobTemplate.spec: In Indexed Jobs"), "{warned:?}");
}
