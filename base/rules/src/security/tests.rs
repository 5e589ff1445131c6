use serde_json::{Value, json};

use super::{Level, Policy, Standard, details, label_errors, reasons, violations};

const LATEST: u32 = Standard::LATEST;

fn told(level: Level, minor: u32, spec: Value) -> String {
    details(&violations(Standard { level, minor }, &json!({ "spec": spec })))
}

fn with(context: Value) -> Value {
    json!({"containers": [{"name": "c", "securityContext": context}]})
}

#[test]
fn the_baseline_forbids_what_is_known_to_escalate() {
    for (spec, want) in [
        (json!({"hostNetwork": true, "hostPID": true}), "host namespaces (hostNetwork=true, hostPID=true)"),
        (with(json!({"privileged": true})), "privileged (container \"c\" must not set securityContext.privileged=true)"),
        (
            with(json!({"capabilities": {"add": ["SYS_ADMIN", "CHOWN"]}})),
            "non-default capabilities (container \"c\" must not include \"SYS_ADMIN\" in securityContext.capabilities.add)",
        ),
        (json!({"volumes": [{"name": "h", "hostPath": {"path": "/"}}]}), "hostPath volumes (volume \"h\")"),
        (
            json!({"containers": [{"name": "a", "ports": [{"hostPort": 90}]}, {"name": "b", "ports": [{"hostPort": 80}]}]}),
            "hostPort (containers \"a\", \"b\" use hostPorts 80, 90)",
        ),
        (
            json!({"containers": [{"name": "c", "livenessProbe": {"httpGet": {"host": "h"}}}]}),
            "probe or lifecycle host (container \"c\" uses probe or lifecycle host \"h\")",
        ),
        (
            with(json!({"procMount": "Unmasked"})),
            "procMount (container \"c\" must not set securityContext.procMount to \"Unmasked\")",
        ),
        (
            json!({"securityContext": {"seLinuxOptions": {"type": "x", "user": "u"}}}),
            "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type \"x\"; user may not be set)",
        ),
        (
            with(json!({"seccompProfile": {"type": "Unconfined"}})),
            "seccompProfile (container \"c\" must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ),
        (json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}]}}), "forbidden sysctls (kernel.msgmax)"),
        (
            with(json!({"appArmorProfile": {"type": "Unconfined"}})),
            "forbidden AppArmor profile (container \"c\" must not set AppArmor profile type to \"Unconfined\")",
        ),
        (
            json!({"securityContext": {"windowsOptions": {"hostProcess": true}}}),
            "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
        ),
        (with(json!({})), ""),
    ] {
        assert_eq!(told(Level::Baseline, LATEST, spec.clone()), want, "{spec}");
        assert_eq!(told(Level::Privileged, LATEST, spec), "");
    }
}

#[test]
fn the_restricted_level_asks_for_what_hardens() {
    assert_eq!(
        told(Level::Restricted, LATEST, with(json!({}))),
        "allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false), unrestricted \
         capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or container \
         \"c\" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container \"c\" must set \
         securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
    );
    let good = json!({
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "c", "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}}],
        "volumes": [{"name": "e", "emptyDir": {}}],
    });
    assert_eq!(told(Level::Restricted, LATEST, good.clone()), "");
    let mut root = good.clone();
    root["securityContext"]["runAsUser"] = json!(0);
    root["volumes"][0] = json!({"name": "n", "nfs": {}});
    assert_eq!(
        told(Level::Restricted, LATEST, root.clone()),
        "restricted volume types (volume \"n\" uses restricted volume type \"nfs\"), runAsUser=0 (pod must not set runAsUser=0)"
    );
    root["hostUsers"] = json!(false);
    let own = violations(Standard { level: Level::Restricted, minor: LATEST }, &json!({ "spec": root }));
    assert_eq!(reasons(&own), "restricted volume types", "root of its own users is root of nothing");
}

#[test]
fn versions_know_what_they_knew() {
    let probe = json!({"containers": [{"name": "c", "livenessProbe": {"httpGet": {"host": "h"}}}]});
    assert_eq!(told(Level::Baseline, 33, probe.clone()), "");
    assert_ne!(told(Level::Baseline, 34, probe), "");
    let sysctl = json!({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_rmem"}]}});
    assert_ne!(told(Level::Baseline, 31, sysctl.clone()), "");
    assert_eq!(told(Level::Baseline, 32, sysctl), "");
    let windows = json!({"os": {"name": "windows"}, "securityContext": {"runAsNonRoot": true}, "containers": [{"name": "c"}]});
    assert_ne!(told(Level::Restricted, 24, windows.clone()), "");
    assert_eq!(told(Level::Restricted, 25, windows), "");
}

#[test]
fn labels_say_the_policy_of_a_namespace() {
    let labels = json!({"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/enforce-version": "v1.30"});
    let policy = Policy::of(labels.as_object());
    assert_eq!((policy.enforce.to_string(), policy.warn.to_string()), ("baseline:v1.30".into(), "baseline:v1.30".into()));
    let policy = Policy::of(json!({"pod-security.kubernetes.io/warn": "restricted"}).as_object());
    assert_eq!((policy.enforce.to_string(), policy.warn.to_string()), ("privileged:latest".into(), "restricted:latest".into()));
    let bad = json!({"pod-security.kubernetes.io/enforce": "strict", "pod-security.kubernetes.io/warn-version": "v2"});
    assert_eq!(Policy::of(bad.as_object()).enforce.level, Level::Restricted, "what cannot be read fails closed");
    let errors: Vec<String> = label_errors(bad.as_object()).iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": must be one of privileged, baseline, restricted",
            "metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: \"v2\": must be \"latest\" or \"v1.x\""
        ]
    );
}
