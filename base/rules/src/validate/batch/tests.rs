use serde_json::{Value, json};

use crate::{
    tree::{set, text},
    validate::tests::{changed, created},
};

const JOBS: (&str, &str) = ("batch", "jobs");

fn job(spec: Value) -> Value {
    let mut job = json!({"metadata": {"name": "x", "namespace": "n"}, "spec": {"template": {"metadata": {"labels": {"app": "a"}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
    for (field, value) in spec.as_object().into_iter().flatten() {
        set(&mut job, &["spec", field], value.clone());
    }
    job
}

fn told(spec: Value) -> Vec<String> {
    created(JOBS, job(spec))
}

/// What is told of one rule of a failure policy, below the rule.
fn rule(rule: Value) -> Vec<String> {
    let told = told(json!({"podFailurePolicy": {"rules": [rule]}}));
    told.iter().map(|one| one.strip_prefix("spec.podFailurePolicy.rules[0]").unwrap_or(one).to_owned()).collect()
}

/// https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy
#[test]
fn rules_of_failure_say_what_they_wait_for() {
    let codes = |values: Value| json!({"action": "Count", "onExitCodes": {"operator": "In", "values": values}});
    assert_eq!(rule(codes(json!([1, 2]))), [""; 0]);
    assert_eq!(rule(codes(json!([0]))), [".onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator"]);
    assert_eq!(
        rule(codes(json!([3, 2, 2]))),
        [".onExitCodes.values[2]: Duplicate value: 2", ".onExitCodes.values: Invalid value: [3,2,2]: must be ordered"]
    );
    assert_eq!(
        rule(codes(json!((1..=256).collect::<Vec<_>>()))),
        [".onExitCodes.values: Too many: 256: must have at most 255 items"]
    );
    assert_eq!(
        rule(json!({"onPodConditions": [{"type": "abc"}]})),
        [".action: Required value: valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]"]
    );
    assert_eq!(
        rule(json!({"action": "FailIndex", "onPodConditions": [{"type": "abc", "status": "x"}]})),
        [
            ".action: Invalid value: \"FailIndex\": requires the backoffLimitPerIndex to be set",
            ".onPodConditions[0].status: Unsupported value: \"x\": supported values: \"False\", \"True\", \"Unknown\""
        ]
    );
    assert_eq!(rule(json!({"action": "Count", "onPodConditions": [{"type": ""}]})).len(), 2);
    let why = "OnExitCodes and OnPodConditions";
    assert_eq!(rule(json!({"action": "Count"})), [format!(": Invalid value: specifying one of {why} is required")]);
    let mut both = codes(json!([1]));
    set(&mut both, &["onPodConditions"], json!([{"type": "abc"}]));
    assert_eq!(rule(both), [format!(": Invalid value: specifying both {why} is not supported")]);
    let many = vec![codes(json!([1])); 21];
    assert_eq!(
        told(json!({"podFailurePolicy": {"rules": many}})),
        ["spec.podFailurePolicy.rules: Too many: 21: must have at most 20 items"]
    );
}

/// What is told of a success policy of an indexed job of three.
fn success(policy: Value) -> Vec<String> {
    let told = told(json!({"completionMode": "Indexed", "completions": 3, "successPolicy": policy}));
    told.iter().map(|one| one.strip_prefix("spec.successPolicy").unwrap_or(one).to_owned()).collect()
}

/// https://kubernetes.io/docs/concepts/workloads/controllers/job/#success-policy
#[test]
fn rules_of_success_fit_the_indexes_of_the_job() {
    let one = |rule: Value| success(json!({"rules": [rule]}));
    assert_eq!(one(json!({"succeededIndexes": "0,2", "succeededCount": 2})), [""; 0]);
    assert_eq!(
        success(json!({})),
        [".rules: Required value: at least one rules must be specified when the successPolicy is specified"]
    );
    assert_eq!(
        one(json!({})),
        [".rules[0]: Required value: at least one of succeededCount or succeededIndexes must be specified"]
    );
    assert_eq!(
        one(json!({"succeededIndexes": "0", "succeededCount": 65})),
        [
            ".rules[0].succeededCount: Invalid value: 65: must be less than or equal to 3 (the number of specified completions)",
            ".rules[0].succeededCount: Invalid value: 65: must be less than or equal to 1 (the number of indexes in the specified succeededIndexes field)"
        ]
    );
    assert_eq!(one(json!({"succeededIndexes": "0-0", "succeededCount": 1})).len(), 2);
    for (indexes, why) in [
        ("0-0", "non-increasing order, previous: 0, current: 0"),
        ("1,0", "non-increasing order, previous: 1, current: 0"),
        ("0-3", "too large index: \"3\""),
        ("a", "cannot convert string to integer for index: \"a\""),
    ] {
        assert_eq!(
            one(json!({"succeededIndexes": indexes})),
            [format!(".rules[0].succeededIndexes: Invalid value: \"{indexes}\": error parsing succeededIndexes: {why}")]
        );
    }
    assert_eq!(success(json!({"rules": vec![json!({"succeededCount": 1}); 21]})).len(), 1);
    assert_eq!(
        told(json!({"successPolicy": {"rules": [{"succeededCount": 1}]}})),
        [
            "spec.successPolicy: Invalid value: {\"Rules\":[{\"SucceededIndexes\":null,\"SucceededCount\":1}]}: requires indexed completion mode"
        ]
    );
    assert_eq!(
        told(json!({"successPolicy": {}})),
        ["spec.successPolicy: Invalid value: {\"Rules\":null}: requires indexed completion mode"]
    );
}

#[test]
fn an_indexed_job_has_limits() {
    let indexed = |spec: Value| {
        let mut all = json!({"completionMode": "Indexed", "completions": 3});
        for (field, value) in spec.as_object().into_iter().flatten() {
            set(&mut all, &[field], value.clone());
        }
        told(all)
    };
    assert_eq!(
        indexed(json!({"parallelism": 100_001})),
        ["spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed"]
    );
    assert_eq!(indexed(json!({"backoffLimitPerIndex": 1, "maxFailedIndexes": 100_001})).len(), 2);
    let high = "100000 and used with backoff limit per index";
    assert_eq!(
        indexed(json!({"completions": 200_000, "backoffLimitPerIndex": 1, "parallelism": 20_000})),
        [
            format!(
                "spec.parallelism: Invalid value: 20000: must be less than or equal to 10000 when completions are above {high}"
            ),
            "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000".into()
        ]
    );
    assert_eq!(
        told(json!({"completionMode": "abc", "backoffLimitPerIndex": 1, "maxFailedIndexes": 1})),
        ["spec.completionMode: Unsupported value: \"abc\": supported values: \"NonIndexed\", \"Indexed\""]
    );
    // The name is that of a pod only where there is a pod.
    let mut named = job(json!({"completionMode": "Indexed", "completions": 0}));
    set(&mut named, &["metadata", "name"], "a.b");
    assert_eq!(created(JOBS, named.clone()), [""; 0]);
    set(&mut named, &["spec", "completions"], 1);
    assert_eq!(created(JOBS, named).len(), 1);
}

/// https://kubernetes.io/docs/concepts/workloads/controllers/job/#specifying-your-own-pod-selector
#[test]
fn pods_of_a_job_are_selected_as_the_server_or_the_user_wants() {
    let mismatch = "`selector` does not match template `labels`";
    assert_eq!(told(json!({"manualSelector": true, "selector": {"matchLabels": {"app": "a"}}})), [""; 0]);
    assert_eq!(
        told(json!({"manualSelector": true})),
        [
            "spec.selector: Required value".to_owned(),
            format!("spec.template.metadata.labels: Invalid value: {{\"app\":\"a\"}}: {mismatch}")
        ]
    );
    assert_eq!(told(json!({"manualSelector": true, "selector": {"matchLabels": {"app": "b"}}})).len(), 1);
    let by_hand = told(json!({"selector": {"matchLabels": {"app": "b"}}}));
    assert_eq!(by_hand.len(), 2);
    assert!(by_hand[0].ends_with("`selector` not auto-generated") && by_hand[1].ends_with(mismatch), "{by_hand:?}");
    let mut again = job(json!({}));
    set(&mut again, &["spec", "template", "metadata", "labels", "controller-uid"], "x");
    let again = created(JOBS, again);
    assert_eq!(again.len(), 1);
    assert!(again[0].starts_with("spec.template.metadata.labels[controller-uid]: Invalid value: {"), "{again:?}");
    assert!(again[0].ends_with("must be '1'"), "{again:?}");
}

/// A job as it is stored.
fn stored(mode: Value, suspend: bool) -> Value {
    let mut stored = job(mode);
    set(&mut stored, &["metadata", "uid"], "1");
    for (label, of) in [("controller-uid", "uid"), ("job-name", "name")] {
        let value = text(&stored, &["metadata", of]).to_owned();
        set(&mut stored, &["spec", "template", "metadata", "labels", label], value);
    }
    set(&mut stored, &["spec", "selector", "matchLabels", "controller-uid"], "1");
    set(&mut stored, &["spec", "suspend"], suspend);
    stored
}

/// Jobs of older servers have no labels with the prefix.
#[test]
fn a_job_of_an_older_server_may_be_changed() {
    let old = stored(json!({}), false);
    let mut new = old.clone();
    set(&mut new, &["spec", "backoffLimit"], 2);
    assert_eq!(changed(JOBS, old.clone(), new.clone()), [""; 0]);
    // The rules of an update look at the spec twice.
    set(&mut new, &["spec", "backoffLimit"], -1);
    assert_eq!(changed(JOBS, old, new), ["spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0"; 2]);
}

/// https://kubernetes.io/docs/concepts/workloads/controllers/job/#elastic-indexed-jobs
#[test]
fn an_indexed_job_grows_with_its_pods() {
    let of = |completions: i64, parallelism: i64| {
        stored(json!({"completionMode": "Indexed", "completions": completions, "parallelism": parallelism}), false)
    };
    assert_eq!(changed(JOBS, of(3, 3), of(5, 5)), [""; 0]);
    assert_eq!(changed(JOBS, of(3, 3), of(3, 2)), [""; 0]);
    assert_eq!(
        changed(JOBS, of(3, 3), of(5, 2)),
        ["spec.completions: Invalid value: 5: can only be modified in tandem with spec.parallelism"]
    );
}

/// https://kubernetes.io/docs/concepts/workloads/controllers/job/#mutable-scheduling-directives
#[test]
fn a_job_that_has_not_begun_may_be_steered() {
    let with = |path: &[&str], value: Value| {
        let mut job = stored(json!({}), true);
        let whole = [&["spec", "template"], path].concat();
        set(&mut job, &whole, value);
        job
    };
    let old = stored(json!({}), true);
    let node = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}}});
    let pod = json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "a"}]}});
    assert_eq!(changed(JOBS, old.clone(), with(&["spec", "affinity"], node.clone())), [""; 0]);
    assert_eq!(changed(JOBS, with(&["spec", "affinity"], node), old.clone()), [""; 0]);
    assert_eq!(changed(JOBS, old.clone(), with(&["metadata", "labels", "b"], json!("c"))), [""; 0]);
    assert_eq!(changed(JOBS, old.clone(), with(&["spec", "affinity"], pod.clone())).len(), 1);
    assert_eq!(changed(JOBS, with(&["spec", "affinity"], pod), old.clone()).len(), 1);
    assert_eq!(changed(JOBS, old, with(&["metadata", "finalizers"], json!(["a/b"]))).len(), 1);
}
