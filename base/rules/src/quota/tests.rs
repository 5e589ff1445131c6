use serde_json::{Value, json};

use super::{Amounts, Verdict, covers, difference, judge, must_say, recount, usage};

fn quota(hard: Value, used: Value) -> Value {
    json!({"metadata": {"name": "q"}, "spec": {"hard": hard}, "status": {"hard": hard, "used": used}})
}

fn amounts(given: Value) -> Amounts {
    super::amounts(&given, &[])
}

fn used_by(group: &str, resource: &str, object: Value) -> Value {
    let used = usage((group, resource), &object);
    used.into_iter().map(|(name, amount)| (name, Value::from(amount.to_string()))).collect::<serde_json::Map<_, _>>().into()
}

#[test]
fn an_object_counts_as_one_of_its_kind_and_as_what_it_asks_for() {
    assert_eq!(used_by("", "configmaps", json!({})), json!({"count/configmaps": "1", "configmaps": "1"}));
    assert_eq!(used_by("apps", "deployments", json!({})), json!({"count/deployments.apps": "1"}));
    assert_eq!(used_by("events.k8s.io", "events", json!({})), json!({}));
    let ports = json!({"spec": {"type": "LoadBalancer", "ports": [{"port": 1}, {"port": 2}]}});
    assert_eq!(
        used_by("", "services", ports),
        json!({"count/services": "1", "services": "1", "services.loadbalancers": "1", "services.nodeports": "2"})
    );
    let claim = json!({"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}}});
    assert_eq!(
        used_by("", "persistentvolumeclaims", claim),
        json!({
            "count/persistentvolumeclaims": "1", "persistentvolumeclaims": "1", "requests.storage": "1Gi",
            "fast.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
            "fast.storageclass.storage.k8s.io/requests.storage": "1Gi",
        })
    );
}

#[test]
fn a_pod_uses_what_it_runs_or_what_it_takes_to_begin() {
    let cpu = |amount: &str| json!({"requests": {"cpu": amount}});
    let pod = json!({"spec": {
        "containers": [{"resources": cpu("1")}, {"resources": cpu("500m")}],
        "initContainers": [{"resources": cpu("250m"), "restartPolicy": "Always"}, {"resources": cpu("2")}],
        "overhead": {"cpu": "100m"},
    }});
    let used = used_by("", "pods", pod.clone());
    assert_eq!((&used["requests.cpu"], &used["cpu"], &used["pods"]), (&json!("2350m"), &json!("2350m"), &json!("1")));
    let mut ended = pod;
    ended["status"] = json!({"phase": "Succeeded"});
    assert_eq!(used_by("", "pods", ended), json!({"count/pods": "1"}));
}

#[test]
fn what_a_quota_has_left_may_be_used_and_no_more() {
    let given = quota(json!({"pods": "2", "configmaps": "1"}), json!({"pods": "1", "configmaps": "1"}));
    assert_eq!(
        judge(&given, &amounts(json!({"pods": "1", "cpu": "5"}))),
        Verdict::Uses(amounts(json!({"pods": "2", "configmaps": "1"})))
    );
    assert_eq!(
        judge(&given, &amounts(json!({"pods": "2", "configmaps": "1"}))),
        Verdict::Refused(
            "exceeded quota: q, requested: configmaps=1,pods=2, used: configmaps=1,pods=1, limited: configmaps=1,pods=2".into()
        )
    );
    assert_eq!(judge(&given, &amounts(json!({"secrets": "1"}))), Verdict::Nothing);
    assert_eq!(
        judge(&quota(json!({"pods": "1"}), json!({})), &amounts(json!({"pods": "1"}))),
        Verdict::Refused("status unknown for quota: q, resources: pods".into())
    );
}

#[test]
fn what_is_given_back_is_always_taken() {
    let over = quota(json!({"pods": "1"}), json!({"pods": "5"}));
    assert_eq!(judge(&over, &amounts(json!({"pods": "-1"}))), Verdict::Uses(amounts(json!({"pods": "4"}))));
    let none = quota(json!({"pods": "1"}), json!({"pods": "0"}));
    assert_eq!(judge(&none, &amounts(json!({"pods": "-1"}))), Verdict::Uses(amounts(json!({"pods": "0"}))));
    let change = difference(&amounts(json!({"a": "1"})), &amounts(json!({"a": "1", "b": "2"})));
    assert_eq!(change, amounts(json!({"b": "-2"})));
}

#[test]
fn containers_name_what_a_quota_counts() {
    let given = quota(json!({"limits.cpu": "1", "memory": "1Gi"}), json!({}));
    let pod = json!({"spec": {"containers": [{"name": "b"}, {"name": "a", "resources": {"requests": {"memory": "1"}}}]}});
    assert_eq!(must_say(&given, &pod).unwrap(), "failed quota: q: must specify limits.cpu for: a,b; memory for: b");
}

#[test]
fn scopes_choose_among_pods() {
    let (pods, maps) = (("", "pods"), ("", "configmaps"));
    let scoped = |spec: Value| json!({"metadata": {"name": "q"}, "spec": spec});
    let best = json!({"spec": {"containers": [{}]}});
    let high = json!({"spec": {"priorityClassName": "high", "activeDeadlineSeconds": 5, "containers": [{"resources": {"limits": {"cpu": "1"}}}]}});
    for (spec, best_is, high_is) in [
        (json!({}), true, true),
        (json!({"scopes": ["BestEffort"]}), true, false),
        (json!({"scopes": ["Terminating"]}), false, true),
        (json!({"scopes": ["NotBestEffort", "NotTerminating"]}), false, false),
        (
            json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}}),
            false,
            true,
        ),
        (
            json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "DoesNotExist"}]}}),
            true,
            false,
        ),
    ] {
        let quota = scoped(spec.clone());
        assert_eq!((covers(&quota, pods, &best), covers(&quota, pods, &high)), (best_is, high_is), "{spec}");
    }
    assert!(!covers(&scoped(json!({"scopes": ["BestEffort"]})), maps, &json!({})));
}

#[test]
fn names_say_which_objects_they_count() {
    for (name, want) in [
        ("count/deployments.apps", ("apps", "deployments")),
        ("count/pods", ("", "pods")),
        ("requests.cpu", ("", "pods")),
        ("requests.nvidia.com/gpu", ("", "pods")),
        ("services.nodeports", ("", "services")),
        ("fast.storageclass.storage.k8s.io/requests.storage", ("", "persistentvolumeclaims")),
        ("gpu.deviceclass.resource.k8s.io/devices", ("resource.k8s.io", "resourceclaims")),
    ] {
        assert_eq!(super::counted_under(name), want, "{name}");
    }
}

#[test]
fn a_recount_sums_what_a_quota_is_about() {
    let (pods, maps) = (("", "pods"), ("", "configmaps"));
    let pod = json!({"spec": {"containers": [{"resources": {"requests": {"memory": "1Gi"}}}]}});
    let given = json!({"spec": {"hard": {"requests.memory": "4Gi", "pods": "9", "services": "1"}}});
    let used = recount(&given, [(pods, &pod), (pods, &pod), (maps, &json!({}))].into_iter());
    assert_eq!(used, amounts(json!({"requests.memory": "2Gi", "pods": "2", "services": "0"})));
}
