use irori_api::row::Tables;
use serde_json::{Value, json};

use super::{status_warnings, warnings};

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
            json!({"volumes": [{"name": "v", "storageos": {}}]}),
            "spec.volumes[0].storageOS: deprecated in v1.22, non-functional in v1.25+",
        ),
        (
            json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "preference": {"matchExpressions": [{"key": "k", "operator": "In", "values": ["-1"]}]}}]}}}),
            "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].values[0]: \
             -1 is invalid, a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start \
             and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is \
             '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        ),
        (
            json!({"containers": [{"ports": [{"containerPort": 1, "protocol": "TCP", "hostIP": "10.0.0.1"}]}]}),
            "spec.containers[0].ports[0]: hostIP set without hostPort: {Name: HostPort:0 ContainerPort:1 Protocol:TCP HostIP:10.0.0.1}",
        ),
        (
            json!({"initContainers": [{"ports": [{"containerPort": 1, "name": "p"}]}],
                "containers": [{"ports": [{"containerPort": 2, "name": "p"}]}]}),
            "spec.containers[0].ports[0]: duplicate port name \"p\" with spec.initContainers[0].ports[0], services and probes that \
             select ports by name will use spec.initContainers[0].ports[0]",
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
        (
            json!({"containers": [{"ports": [{"containerPort": 80, "protocol": "TCP", "hostIP": "1.2.3.4"}]}]}),
            "spec.containers[0].ports[0]: hostIP set without hostPort: {Name: HostPort:0 ContainerPort:80 Protocol:TCP HostIP:1.2.3.4}",
        ),
        (
            json!({"volumes": [{"name": "v", "storageos": {}}]}),
            "spec.volumes[0].storageOS: deprecated in v1.22, non-functional in v1.25+",
        ),
    ] {
        assert_eq!(pod(spec), [want]);
    }
}

/// Kubernetes page "Projected Volumes".
#[test]
fn files_in_the_same_place_are_told() {
    let volume = |source: Value| {
        let mut volume = json!({"name": "v"});
        volume.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
        pod(json!({ "volumes": [volume] }))
    };
    let paths = |paths: &[&str]| paths.iter().map(|path| json!({"key": "k", "path": path})).collect::<Value>();
    for (source, want) in [
        (json!({"configMap": {"name": "m", "items": paths(&["a", "ab", "b/c"])}}), vec![]),
        (
            json!({"configMap": {"name": "m", "items": paths(&["a", "a/b/"])}}),
            vec!["(ConfigMap \"m\"): overlapping paths: \"a/b\" with \"a\""],
        ),
        (
            json!({"secret": {"secretName": "s", "items": paths(&["a/b", "a"])}}),
            vec!["(Secret \"s\"): overlapping paths: \"a\" with \"a/b\""],
        ),
        (json!({"downwardAPI": {"items": paths(&["a", "a"])}}), vec!["(DownwardAPI): overlapping paths: \"a\" with \"a\""]),
        (json!({"projected": {"sources": [{}]}}), vec!["(Projected) has no sources provided"]),
        (
            json!({"projected": {"sources": [
                {"clusterTrustBundle": {"signerName": "t", "path": "a/a"}},
                {"secret": {"name": "s", "items": paths(&["a"])}},
                {"serviceAccountToken": {"path": "a"}},
            ]}}),
            vec![
                "(Projected): overlapping paths: \"a\" (Secret \"s\") with \"a/a\" (ClusterTrustBundle \"t\")",
                "(Projected): overlapping paths: \"a\" (ServiceAccountToken) with \"a/a\" (ClusterTrustBundle \"t\")",
                "(Projected): overlapping paths: \"a\" (ServiceAccountToken) with \"a\" (Secret \"s\")",
            ],
        ),
    ] {
        let want: Vec<String> = want.into_iter().map(|want| format!("volume \"v\" {want}")).collect();
        assert_eq!(volume(source.clone()), want, "{source}");
    }
}

/// 50,000 equal ports are more than a thousand million pairs.
#[test]
fn of_very_many_warnings_a_thousand_are_told() {
    let ports = vec![json!({"containerPort": 80, "name": "p"}); 50_000];
    let secrets = vec![json!({}); 50_000];
    for spec in [
        json!({"containers": [{"ports": ports}]}),
        json!({ "imagePullSecrets": secrets }),
        json!({"volumes": [{"name": "v", "configMap": {"items": vec![json!({"path": "a"}); 50_000]}}]}),
    ] {
        assert_eq!(pod(spec).len(), super::WARNINGS_MAX);
    }
}

#[test]
fn addresses_of_pods_should_be_written_plainly() {
    assert_eq!(
        pod(json!({
            "dnsConfig": {"nameservers": ["10.0.0.1", "FD00::1"]},
            "hostAliases": [{"ip": "::ffff:10.0.0.1"}, {"ip": "fd00::1"}],
        })),
        [
            "spec.dnsConfig.nameservers[1]: IPv6 address \"FD00::1\" should be in RFC 5952 canonical format (\"fd00::1\")",
            "spec.hostAliases[0].ip: non-standard IP address \"::ffff:10.0.0.1\" will be considered invalid in a future Kubernetes \
             release: use \"10.0.0.1\""
        ]
    );
    let tables = Tables::builtin();
    let status = json!({"status": {"podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00:0::1"}], "hostIPs": [{"ip": "FD00::2"}]}});
    assert_eq!(
        status_warnings(tables.resource("", "v1", "pods").unwrap(), &status),
        [
            "status.podIPs[1].ip: IPv6 address \"fd00:0::1\" should be in RFC 5952 canonical format (\"fd00::1\")",
            "status.hostIPs[0].ip: IPv6 address \"FD00::2\" should be in RFC 5952 canonical format (\"fd00::2\")"
        ]
    );
}

#[test]
fn a_changed_pod_is_warned_of_nothing() {
    let tables = Tables::builtin();
    let row = tables.resource("", "v1", "pods").unwrap();
    let pod = json!({"metadata": {"name": "p"}, "spec": {"imagePullSecrets": [{}]}});
    assert_eq!(warnings(row, &pod, Some(&pod)), [""; 0]);
}

#[test]
fn many_ports_and_paths_are_warned_of_in_time() {
    let ports: Vec<Value> = (0..20_000).map(|n| json!({"containerPort": 1, "hostPort": n})).collect();
    let paths: Vec<Value> = (0..20_000).map(|n| json!({"path": format!("{n}")})).collect();
    let sources: Vec<Value> = (0..10_000).map(|n| json!({"serviceAccountToken": {"path": format!("{n}")}})).collect();
    let deep = json!([{"path": "a/".repeat(200_000)}, {"path": "a/".repeat(200_001)}]);
    let volumes = json!([
        {"name": "v", "configMap": {"items": paths}},
        {"name": "w", "projected": {"sources": sources}},
        {"name": "x", "configMap": {"items": deep}}
    ]);
    let got = pod(json!({"containers": [{"ports": ports}], "volumes": volumes}));
    assert!((1..=1_000).contains(&got.len()), "{}", got.len());
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

#[test]
fn an_account_whose_secrets_are_narrowed_is_told() {
    let metadata = json!({"name": "a", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}});
    assert_eq!(
        told("", "serviceaccounts", json!({ "metadata": metadata })),
        [
            "metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
        ]
    );
}
