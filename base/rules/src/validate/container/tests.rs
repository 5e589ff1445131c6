use serde_json::{Value, json};

use super::super::tests::{container, pod, template, with_container};

const C: &str = "spec.containers[0]";

/// Each of the fields is refused for just these reasons, paths below the container.
fn refused(cases: &[(Value, &[&str])]) {
    for (fields, want) in cases {
        let want: Vec<String> = want.iter().map(|error| format!("{C}{error}")).collect();
        assert_eq!(container(fields.clone()), want, "{fields}");
    }
}

#[test]
fn names_of_resources_are_standard_or_have_a_domain() {
    let limits = |name: &str| json!({"resources": {"limits": {name: "1"}}});
    let requests = |name: &str| json!({"resources": {"requests": {name: "1"}}});
    refused(&[
        (
            limits("foo"),
            &[
                ".resources.limits[foo]: Invalid value: \"foo\": must be a standard resource type or fully qualified",
                ".resources.limits[foo]: Invalid value: \"foo\": must be a standard resource for containers",
                ".resources.requests[foo]: Invalid value: \"foo\": must be a standard resource type or fully qualified",
                ".resources.requests[foo]: Invalid value: \"foo\": must be a standard resource for containers",
            ],
        ),
        (
            requests("storage"),
            &[".resources.requests[storage]: Invalid value: \"storage\": must be a standard resource for containers"],
        ),
        (
            requests("requests.a.example/k"),
            &[
                ".resources.requests[requests.a.example/k]: Invalid value: \"requests.a.example/k\": doesn't follow extended resource name standard",
                ".resources.limits: Required value: Limit must be set for non overcommitable resources",
            ],
        ),
        (limits("a.example/k"), &[]),
    ]);
}

#[test]
fn what_cannot_be_overcommitted_is_asked_for_in_full() {
    let both = |name: &str, asked: &str, limit: &str| json!({"resources": {"limits": {name: limit, "cpu": "1"}, "requests": {name: asked, "cpu": "1"}}});
    refused(&[
        (both("a.example/k", "1", "2"), &[".resources.requests: Invalid value: \"1\": must be equal to a.example/k limit of 2"]),
        (both("memory", "1", "2"), &[]),
        (
            both("memory", "2", "1"),
            &[".resources.requests: Invalid value: \"2\": must be less than or equal to memory limit of 1"],
        ),
        (both("hugepages-2Mi", "4Mi", "4Mi"), &[]),
    ]);
}

#[test]
fn pages_are_whole_and_go_with_cpu_or_memory() {
    refused(&[
        (json!({"resources": {"limits": {"hugepages-2Mi": "4Mi"}}}), &[".resources: Forbidden: HugePages require cpu or memory"]),
        (
            json!({"resources": {"limits": {"hugepages-2Mi": "3Mi", "cpu": "1"}}}),
            &[
                ".resources.limits[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer multiple of hugepages-2Mi",
                ".resources.requests[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer multiple of hugepages-2Mi",
            ],
        ),
    ]);
}

#[test]
fn containers_use_claims_of_their_pod() {
    let claims = |list: Value| json!({"resources": {"claims": list}});
    let empty = "must be one of the names in pod.spec.resourceClaims which is empty";
    assert_eq!(container(claims(json!([{"name": "a"}]))), [format!("{C}.resources.claims[0]: Not found: \"a\": {empty}")]);
    let with = |list: Value| {
        let mut spec = with_container(claims(list));
        spec["resourceClaims"] = json!([{"name": "b", "resourceClaimName": "b"}, {"name": "a", "resourceClaimName": "a"}]);
        pod(spec)
    };
    let known = "must be one of the names in pod.spec.resourceClaims: a, b";
    assert_eq!(with(json!([{"name": "c"}])), [format!("{C}.resources.claims[0]: Not found: \"c\": {known}")]);
    assert_eq!(
        with(json!([{"name": "a", "request": "r"}, {"name": "a", "request": "r"}, {"name": "a"}, {"name": "b", "request": "B"}])),
        [
            format!("{C}.resources.claims[1]: Duplicate value: \"a/r\""),
            format!("{C}.resources.claims[2]: Duplicate value: \"a\""),
            format!("{C}.resources.claims[3].request: Invalid value: \"B\": {}", irori_api::names::dns_label("B")[0]),
        ]
    );
    assert_eq!(with(json!([{"name": ""}])), [format!("{C}.resources.claims[0]: Required value")]);
}

#[test]
fn a_pod_as_a_whole_holds_its_containers() {
    let own = |resources: Value, container: Value| {
        let mut spec = with_container(json!({"resources": container}));
        spec["resources"] = resources;
        spec
    };
    for (spec, want) in [
        (
            own(json!({"claims": [{"name": "a"}]}), json!({})),
            &[
                "spec.resources.claims: Forbidden: claims may not be set for Resources at pod-level",
                "spec.resources.claims[0]: Not found: \"a\": must be one of the names in pod.spec.resourceClaims which is empty",
            ][..],
        ),
        (
            own(json!({"requests": {"a.example/k": "1"}}), json!({})),
            &[
                "spec.resources.requests[a.example/k]: Unsupported value: \"a.example/k\": supported values: \"cpu\", \"hugepages-\", \"memory\"",
                "spec.resources.limits: Required value: Limit must be set for non overcommitable resources",
            ],
        ),
        (
            own(json!({"requests": {"cpu": "1"}}), json!({"requests": {"cpu": "2"}})),
            &[
                "spec.resources.requests[cpu]: Invalid value: \"1\": must be greater than or equal to aggregate container requests of 2",
            ],
        ),
        (
            own(
                json!({"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}),
                json!({"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}),
            ),
            &["spec.resources.containers[0][cpu].limits: Invalid value: \"2\": must be less than or equal to pod limits of 1"],
        ),
        (own(json!({"limits": {"cpu": "2"}}), json!({"requests": {"cpu": "1"}})), &[]),
    ] {
        assert_eq!(pod(spec.clone()), want, "{spec}");
    }
}

#[test]
fn variables_show_what_there_is_to_show() {
    let from = |source: Value| json!({"env": [{"name": "A", "valueFrom": source}]});
    let field = |path: &str| from(json!({"fieldRef": {"fieldPath": path}}));
    let resource = |resource: &str, divisor: &str| from(json!({"resourceFieldRef": {"resource": resource, "divisor": divisor}}));
    let known = "supported values: \"metadata.name\", \"metadata.namespace\", \"metadata.uid\", \"spec.nodeName\", \"spec.serviceAccountName\", \"status.hostIP\", \"status.hostIPs\", \"status.podIP\", \"status.podIPs\"";
    let known = [format!(".env[0].valueFrom.fieldRef.fieldPath: Unsupported value: \"status.phase\": {known}")];
    let bad = |kind: &str| {
        [format!(".env[0].valueFrom.{kind}.name: Invalid value: \"B!\": {}", irori_api::names::dns_subdomain("B!")[0])]
    };
    let (map, secret) = (bad("configMapKeyRef"), bad("secretKeyRef"));
    refused(&[
        (field("status.phase"), &[&known[0]]),
        (field("spec.host"), &[]),
        (field("metadata.labels['a']"), &[]),
        (
            field("spec.hostname"),
            &[
                ".env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"spec.hostname\": error converting fieldPath: field label not supported: spec.hostname",
            ],
        ),
        (
            field("metadata.labels[a]"),
            &[
                ".env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"metadata.labels[a]\": error converting fieldPath: field label not supported: metadata.labels[a]",
            ],
        ),
        (
            field("metadata.name['a']"),
            &[
                ".env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"metadata.name['a']\": error converting fieldPath: field label does not support subscript: metadata.name['a']",
            ],
        ),
        (
            resource("limits.cpu", "2"),
            &[
                ".env[0].valueFrom.resourceFieldRef.divisor: Invalid value: \"limits.cpu\": only divisor's values 1m and 1 are supported with the cpu resource",
            ],
        ),
        (
            resource("requests.ephemeral-storage", "2Mi"),
            &[
                ".env[0].valueFrom.resourceFieldRef.divisor: Invalid value: \"requests.ephemeral-storage\": only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the local ephemeral storage resource",
            ],
        ),
        (resource("limits.hugepages-2Mi", "1Mi"), &[]),
        (from(json!({"configMapKeyRef": {"name": "B!", "key": "k"}})), &[&map[0]]),
        (from(json!({"secretKeyRef": {"name": "B!", "key": "k"}})), &[&secret[0]]),
        (
            from(json!({"fileKeyRef": {"volumeName": "v", "path": "../a", "key": "k"}})),
            &[
                ".env[0].valueFrom.fileKeyRef.path: Invalid value: \"../a\": must not contain '..'",
                ".env[0].valueFrom.fileKeyRef.volumeName: Not found: \"v\"",
            ],
        ),
        (
            json!({"envFrom": [{"configMapRef": {"name": "a"}, "secretRef": {"name": "a"}}]}),
            &[".envFrom: Invalid value: \"\": may not have more than one field specified at a time"],
        ),
    ]);
}

#[test]
fn hooks_and_probes_say_what_they_can_do() {
    let sleep = |seconds: i64| json!({"lifecycle": {"preStop": {"sleep": {"seconds": seconds}}}});
    let why = "must be non-negative and less than terminationGracePeriodSeconds (30)";
    assert_eq!(container(sleep(100)), [format!("{C}.lifecycle.preStop.sleep: Invalid value: 100: {why}")]);
    assert_eq!(container(sleep(-1)), [format!("{C}.lifecycle.preStop.sleep: Invalid value: -1: {why}")]);
    assert!(container(sleep(30)).is_empty());
    let probe = json!({"readinessProbe": {"httpGet": {"port": 80, "httpHeaders": [{"name": "a b", "value": ""}]}}});
    let got = container(probe);
    assert_eq!(got.len(), 1);
    assert!(
        got[0].starts_with("spec.containers[0].readinessProbe.httpGet.httpHeaders: Invalid value: \"a b\": a valid HTTP header")
    );
}

#[test]
fn containers_restart_by_few_rules() {
    let rules = |rules: Value| json!({"restartPolicy": "Never", "restartPolicyRules": rules});
    let rule = |operator: &str, n: usize| json!({"action": "Restart", "exitCodes": {"operator": operator, "values": vec![1; n]}});
    let many: Vec<Value> = (0..21).map(|_| rule("In", 1)).collect();
    refused(&[
        (
            rules(json!([rule("", 1)])),
            &[".restartPolicyRules[0].exitCodes.operator: Unsupported value: \"\": supported values: \"In\", \"NotIn\""],
        ),
        (
            rules(json!([{"action": "", "exitCodes": {"operator": "In", "values": [1]}}])),
            &[".restartPolicyRules[0].action: Unsupported value: \"\": supported values: \"Restart\", \"RestartAllContainers\""],
        ),
        (rules(json!(many)), &[".restartPolicyRules: Too many: 21: must have at most 20 items"]),
    ]);
    let got = container(rules(json!([rule("In", 300)])));
    assert!(
        got.contains(&format!("{C}.restartPolicyRules[0].exitCodes.values: Too many: 300: must have at most 255 items")),
        "{got:?}"
    );
}

#[test]
fn resizes_are_agreed_on_once() {
    let policy = |resource: &str, policy: &str| json!({"resourceName": resource, "restartPolicy": policy});
    let twice = json!({"resizePolicy": [policy("cpu", "NotRequired"), policy("cpu", "NotRequired")]});
    assert_eq!(container(twice), [format!("{C}.resizePolicy[1]: Duplicate value: \"cpu\"")]);
    let mut never = with_container(json!({"resizePolicy": [policy("cpu", "RestartContainer")]}));
    assert!(pod(never.clone()).is_empty());
    never["restartPolicy"] = "Never".into();
    assert_eq!(
        pod(never),
        [format!(
            "{C}.resizePolicy: Invalid value: \"RestartContainer\": must be 'NotRequired' when pod `restartPolicy` is 'Never'"
        )]
    );
}

#[test]
fn init_containers_stand_alone() {
    let init = |fields: Value| {
        let mut one = with_container(fields)["containers"][0].take();
        one["name"] = "i".into();
        pod(json!({"initContainers": [{"name": "h", "image": "a"}, one]}))
    };
    let port = json!({"containerPort": 1, "hostPort": 80});
    assert_eq!(init(json!({"ports": [port, port]})), ["spec.initContainers[0].ports[1].hostPort: Duplicate value: \"TCP//80\""]);
    let why = "may not be set for init containers without restartPolicy=Always";
    assert_eq!(init(json!({"lifecycle": {"preStop": {}}})), [format!("spec.initContainers[1].lifecycle: Forbidden: {why}")]);
    assert_eq!(
        init(json!({"resizePolicy": [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]})),
        [
            "spec.initContainers[1].resizePolicy[0].restartPolicy: Invalid value: \"RestartContainer\": must not be set to 'RestartContainer' for non-sidecar initContainers"
        ]
    );
    assert_eq!(
        init(json!({"restartPolicyRules": [{"action": "a"}]})),
        ["spec.initContainers[1].restartPolicy: Required value: must specify restartPolicy when restart rules are used"]
    );
    let nameless = json!({"containers": [{"image": "a"}, {"image": "a"}]});
    assert_eq!(
        pod(nameless),
        [
            "spec.containers[0].name: Required value",
            "spec.containers[1].name: Required value",
            "spec.containers[1].name: Duplicate value: \"\""
        ]
    );
}

#[test]
fn templates_leave_to_their_pods_what_comes_later() {
    let spec = with_container(json!({"image": " a "}));
    assert_eq!(pod(spec.clone()), [format!("{C}.image: Invalid value: \" a \": must not have leading or trailing whitespace")]);
    assert!(template(spec).is_empty());
    let network = |port: Value| {
        let mut spec = with_container(json!({"ports": [port]}));
        spec["hostNetwork"] = true.into();
        spec
    };
    let why = "must match `containerPort` when `hostNetwork` is true";
    let other = network(json!({"containerPort": 1, "hostPort": 80}));
    assert_eq!(pod(other.clone()), [format!("{C}.ports[0].hostPort: Invalid value: 80: {why}")]);
    assert_eq!(template(other), [format!("spec.template.{C}.ports[0].hostPort: Invalid value: 80: {why}")]);
    assert!(template(network(json!({"containerPort": 1}))).is_empty());
    assert!(pod(network(json!({"containerPort": 1}))).is_empty());
}

#[test]
fn what_is_the_hosts_does_not_go_with_what_is_the_pods() {
    let sysctl = |name: &str| json!({"sysctls": [{"name": name, "value": "0"}]});
    for (spec, want) in [
        (
            json!({"hostNetwork": true, "securityContext": sysctl("net.core.somaxconn")}),
            &[
                "spec.securityContext.sysctls[0].name: Invalid value: \"net.core.somaxconn\": may not be specified when 'hostNetwork' is true",
            ][..],
        ),
        (
            json!({"hostIPC": true, "securityContext": sysctl("kernel/shm_rmid_forced")}),
            &[
                "spec.securityContext.sysctls[0].name: Invalid value: \"kernel/shm_rmid_forced\": may not be specified when 'hostIPC' is true",
            ],
        ),
        (json!({"hostIPC": true, "securityContext": sysctl("net.core.somaxconn")}), &[]),
        (
            json!({"hostPID": true, "shareProcessNamespace": true}),
            &[
                "spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled",
            ],
        ),
        (
            json!({"hostUsers": false, "hostPID": true, "hostIPC": true, "hostNetwork": true}),
            &[
                "spec.hostNetwork: Forbidden: when `hostUsers` is false",
                "spec.HostPID: Forbidden: when `hostUsers` is false",
                "spec.HostIPC: Forbidden: when `hostUsers` is false",
            ],
        ),
        (
            json!({"hostnameOverride": "a", "setHostnameAsFQDN": true, "hostNetwork": true}),
            &[
                "spec.hostnameOverride: Forbidden: may not be specified when setHostnameAsFQDN is true",
                "spec.hostnameOverride: Forbidden: may not be specified when hostNetwork is true",
            ],
        ),
        (
            json!({"schedulingGates": [{"name": "a"}], "nodeName": "n"}),
            &["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
        ),
        (
            json!({"resourceClaims": [{"name": "a", "resourceClaimName": ""}]}),
            &[
                "spec.resourceClaims[0].resourceClaimName: Invalid value: \"\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            ],
        ),
    ] {
        assert_eq!(pod(spec.clone()), want, "{spec}");
    }
}

#[test]
fn profiles_are_named_where_they_are_local() {
    let armor =
        |kind: &str, name: &str| json!({"securityContext": {"appArmorProfile": {"type": kind, "localhostProfile": name}}});
    refused(&[
        (
            armor("Localhost", " a "),
            &[".securityContext.appArmorProfile.localhostProfile: Invalid value: \" a \": must not be padded with whitespace"],
        ),
        (
            armor("Localhost", &"a".repeat(4096)),
            &[".securityContext.appArmorProfile.localhostProfile: Too long: may not be more than 4095 bytes"],
        ),
        (
            armor("a", "b"),
            &[
                ".securityContext.appArmorProfile.type: Unsupported value: \"a\": supported values: \"Localhost\", \"RuntimeDefault\", \"Unconfined\"",
            ],
        ),
        (json!({"securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": ""}}}), &[]),
        (
            json!({"securityContext": {"privileged": true, "allowPrivilegeEscalation": false}}),
            &[
                ".securityContext: Invalid value: {\"Capabilities\":null,\"Privileged\":true,\"SELinuxOptions\":null,\"WindowsOptions\":null,\"RunAsUser\":null,\"RunAsGroup\":null,\"RunAsNonRoot\":null,\"ReadOnlyRootFilesystem\":null,\"AllowPrivilegeEscalation\":false,\"ProcMount\":null,\"SeccompProfile\":null,\"AppArmorProfile\":null}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
            ],
        ),
    ]);
}

#[test]
fn a_pod_has_what_its_system_has() {
    let with = |os: &str, mut spec: Value| {
        spec["os"] = json!({"name": os});
        spec
    };
    let windows = |options: Value| with_container(json!({"securityContext": {"windowsOptions": options}}));
    for (spec, want) in [
        (
            with("windows", json!({"hostPID": true, "securityContext": {"fsGroup": 1}})),
            &[
                "spec.hostPID: Forbidden: cannot be set for a windows pod",
                "spec.securityContext.fsGroup: Forbidden: cannot be set for a windows pod",
            ][..],
        ),
        (
            with("windows", with_container(json!({"securityContext": {"capabilities": {}, "runAsUser": 1}}))),
            &[
                "spec.containers[0].securityContext.capabilities: Forbidden: cannot be set for a windows pod",
                "spec.containers[0].securityContext.runAsUser: Forbidden: cannot be set for a windows pod",
            ],
        ),
        (
            with("windows", json!({"resources": {"limits": {"cpu": "1"}}})),
            &["spec.resources: Forbidden: may not be set for a windows pod"],
        ),
        (
            with("linux", windows(json!({"runAsUserName": "u"}))),
            &["spec.containers[0].securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod"],
        ),
        (
            windows(json!({"gmsaCredentialSpec": "", "runAsUserName": "."})),
            &[
                "spec.containers[0].securityContext.windowsOptions.gmsaCredentialSpec: Invalid value: \"\": gmsaCredentialSpec cannot be an empty string",
                "spec.containers[0].securityContext.windowsOptions.runAsUserName: Invalid value: \".\": runAsUserName's User cannot contain only periods or spaces",
            ],
        ),
        (
            windows(json!({"runAsUserName": "*\\"})),
            &[
                "spec.containers[0].securityContext.windowsOptions.runAsUserName: Invalid value: \"*\\\\\": runAsUserName's Domain doesn't match the NetBios nor the DNS format",
                "spec.containers[0].securityContext.windowsOptions.runAsUserName: Invalid value: \"*\\\\\": runAsUserName's User cannot be empty",
            ],
        ),
        (windows(json!({"runAsUserName": "a.example\\u"})), &[]),
        (
            {
                let mut spec = windows(json!({"hostProcess": true}));
                spec["initContainers"] = json!([{"name": "i", "image": "a"}]);
                spec
            },
            &[
                "spec: Invalid value: \"\": If pod contains any hostProcess containers then all containers must be HostProcess containers",
                "spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any hostProcess containers",
            ],
        ),
        (
            {
                let mut spec = windows(json!({"hostProcess": false}));
                spec["securityContext"] = json!({"windowsOptions": {"hostProcess": true}});
                spec
            },
            &[
                "spec.containers[0].securityContext.windowsOptions.hostProcess: Invalid value: false: pod hostProcess value must be identical if both are specified, was true",
            ],
        ),
    ] {
        assert_eq!(pod(spec.clone()), want, "{spec}");
    }
}

#[test]
fn searched_paths_are_few_and_may_have_underscores() {
    let searches = |list: &[&str]| pod(json!({"dnsConfig": {"searches": list}}));
    assert!(searches(&["_a.b_c.", "."]).is_empty());
    let got = searches(&["b-."]);
    assert!(got.len() == 1 && got[0].starts_with("spec.dnsConfig.searches[0]: Invalid value: \"b-\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.'"), "{got:?}");
    let long = "a".repeat(63);
    let long = [long.as_str(); 3].join(".");
    let got = searches(&[long.as_str(); 11]);
    assert!(
        got.len() == 1 && got[0].ends_with("must not have more than 2048 characters (including spaces) in the search list"),
        "{got:?}"
    );
}

/// A MiB of each list that others refer to: none is gone through again for each of them.
#[test]
fn large_pods_are_looked_at_once() {
    let n = 20_000;
    let named = |prefix: &str| (0..n).map(|i| json!({"name": format!("{prefix}{i}")})).collect::<Vec<_>>();
    let mounts: Vec<Value> = (0..n).map(|i| json!({"name": "v", "mountPath": format!("/{i}")})).collect();
    let devices: Vec<Value> = (0..n).map(|i| json!({"name": format!("d{i}"), "devicePath": format!("/d{i}")})).collect();
    let keys: Vec<String> = (0..n).map(|i| format!("k{i}")).collect();
    let mut spec = with_container(json!({"volumeMounts": mounts, "volumeDevices": devices, "resources": {"claims": named("x")}}));
    spec["resourceClaims"] = named("a").into();
    spec["initContainers"] = (0..n / 4)
        .map(|i| json!({"name": format!("i{i}"), "image": "a", "restartPolicy": if i % 2 == 0 { Some("Always") } else { None }, "resources": {"requests": {format!("a.example/{i}"): "1"}}}))
        .collect();
    spec["resources"] = json!({"requests": {"cpu": "1"}});
    spec["topologySpreadConstraints"] = json!([{"maxSkew": 1, "topologyKey": "t", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}, "matchLabelKeys": keys}]);
    assert!(pod(spec).len() >= irori_api::field::ERRORS_MAX);
}
