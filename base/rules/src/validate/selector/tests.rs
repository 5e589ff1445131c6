use serde_json::{Value, json};

use super::super::tests::{pod, template};

#[test]
fn values_that_no_label_has_are_refused_where_they_are_required() {
    let term = json!({"matchExpressions": [{"key": "k", "operator": "In", "values": ["Bad value!"]}]});
    let required = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}});
    let preferred = json!({"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": term}]});
    let at = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values[0]";
    assert_eq!(
        pod(json!({"affinity": {"nodeAffinity": required}})),
        [format!("{at}: Invalid value: \"Bad value!\": {}", irori_api::names::label_value("Bad value!")[0])]
    );
    assert!(pod(json!({"affinity": {"nodeAffinity": preferred}})).is_empty());
}

#[test]
fn keys_that_are_matched_are_neither_mismatched_nor_chosen_by_hand() {
    let at = "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0]";
    let affinity = |term: Value| json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}});
    let term = json!({"topologyKey": "t", "labelSelector": {"matchLabels": {"a": "b"}}, "matchLabelKeys": ["b"], "mismatchLabelKeys": ["b"]});
    assert_eq!(
        pod(affinity(term)),
        [format!("{at}.matchLabelKeys[0]: Invalid value: \"b\": exists in both matchLabelKeys and mismatchLabelKeys")]
    );
    // What a pod's creation adds is a second mention.
    let chosen = json!({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]});
    let term = json!({"topologyKey": "t", "labelSelector": chosen, "matchLabelKeys": ["a"]});
    assert_eq!(pod(affinity(term)), [format!("{at}[0]: Invalid value: \"a\": exists in both matchLabelKeys and labelSelector")]);
    let namespaces = json!({"topologyKey": "t", "namespaces": ["N"]});
    assert_eq!(
        pod(affinity(namespaces)),
        [format!("{at}.namespace: Invalid value: \"N\": {}", irori_api::names::dns_label("N")[0])]
    );
    let spread = json!({"topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "t", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}, "matchLabelKeys": ["a", "b!"]}
    ]});
    let got = template(spread);
    assert_eq!(
        got,
        [format!(
            "spec.template.spec.topologySpreadConstraints[0].matchLabelKeys[1]: Invalid value: \"b!\": {}",
            irori_api::names::qualified_name("b!")[0]
        )]
    );
}
