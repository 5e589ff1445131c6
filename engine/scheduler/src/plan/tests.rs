use super::*;
use crate::node::Facts;
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};
use std::sync::Arc;

fn node(name: &str, change: Value) -> Facts {
    let mut node = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "zone": "a"}},
        "spec": {},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "ephemeral-storage": "100Gi", "pods": "10"}},
    });
    merge(&mut node, change);
    Facts::of(&serde_json::from_value::<Node>(node).unwrap())
}

fn merge(into: &mut Value, change: Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (name, value) in change {
                match value {
                    Value::Null => drop(into.remove(&name)),
                    value => merge(into.entry(name).or_insert(Value::Null), value),
                }
            }
        }
        (into, change) => *into = change,
    }
}

fn pod(name: &str, spec: Value) -> Arc<Wants> {
    labelled(name, json!({"app": "web"}), spec)
}

fn labelled(name: &str, labels: Value, mut spec: Value) -> Arc<Wants> {
    if spec["containers"].is_null() {
        spec["containers"] = json!([]);
    }
    let pod =
        json!({"metadata": {"name": name, "namespace": "ns", "uid": format!("uid-{name}"), "labels": labels}, "spec": spec});
    Arc::new(Wants::of(&serde_json::from_value::<Pod>(pod).unwrap()))
}

fn cpu(amount: &str) -> Value {
    json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": amount}}}]})
}

fn cluster(nodes: Vec<Facts>) -> Cluster {
    let mut cluster = Cluster::default();
    for facts in nodes {
        cluster.set_node(facts);
    }
    cluster.namespaces.insert("ns".to_owned(), Default::default());
    cluster
}

fn goes_to(wants: &Wants, cluster: &Cluster) -> Result<String, String> {
    match plan(wants, cluster, 0) {
        Decision::Bind { node } => Ok(node),
        Decision::Wait { message, .. } => Err(message),
    }
}

#[test]
fn a_pod_goes_where_it_fits() {
    let mut cluster = cluster(vec![node("full", json!({})), node("free", json!({}))]);
    cluster.put(pod("big", cpu("3500m")), "full");
    assert_eq!(goes_to(&pod("p", cpu("1")), &cluster).unwrap(), "free");
    assert_eq!(goes_to(&pod("p", cpu("5")), &cluster).unwrap_err(), "0/2 nodes are available: 2 Insufficient cpu.");
    assert_eq!(goes_to(&pod("p", json!({})), &Cluster::default()).unwrap_err(), "no nodes available to schedule pods");
}

#[test]
fn every_reason_is_counted_in_stock_words() {
    let mut cluster = cluster(vec![
        node("cordoned", json!({"spec": {"unschedulable": true}})),
        node("tainted", json!({"spec": {"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}})),
        node("other", json!({"metadata": {"labels": {"disk": "hdd"}}})),
        node("busy", json!({"metadata": {"labels": {"disk": "ssd"}}})),
        node(
            "small",
            json!({"metadata": {"labels": {"disk": "ssd"}}, "status": {"allocatable": {"cpu": "100m", "memory": "1Mi", "pods": "0"}}}),
        ),
    ]);
    let port = |name: &str| {
        pod(
            name,
            json!({
                "nodeSelector": {"disk": "ssd"},
                "containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}], "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}],
            }),
        )
    };
    cluster.put(port("there"), "busy");
    assert_eq!(
        goes_to(&port("p"), &cluster).unwrap_err(),
        "0/5 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, 1 Too many pods, \
         1 node(s) didn't have free ports for the requested pod ports, 1 node(s) didn't match Pod's node affinity/selector, \
         1 node(s) had untolerated taint {k: v}, 1 node(s) were unschedulable."
    );
}

#[test]
fn tolerations_open_tainted_and_cordoned_nodes() {
    let taints = json!({"spec": {"unschedulable": true, "taints": [
        {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}, {"key": "k", "value": "v", "effect": "NoExecute"}]}});
    let cluster = cluster(vec![node("n", taints)]);
    let with = |tolerations: Value| goes_to(&pod("p", json!({"tolerations": tolerations})), &cluster).is_ok();
    let cordon = json!({"key": "node.kubernetes.io/unschedulable", "operator": "Exists"});
    assert!(!with(json!([cordon])));
    assert!(with(json!([cordon, {"key": "k", "value": "v"}])));
    assert!(!with(json!([cordon, {"key": "k", "value": "w"}])));
    assert!(!with(json!([cordon, {"key": "k", "value": "v", "effect": "NoSchedule"}])));
    assert!(with(json!([{"operator": "Exists"}])));
}

#[test]
fn node_affinity_is_required_and_preferred() {
    let cluster = cluster(vec![
        node("a", json!({"metadata": {"labels": {"cores": "4", "gen": "1"}}})),
        node("b", json!({"metadata": {"labels": {"cores": "8", "gen": "1"}}})),
        node("c", json!({"metadata": {"labels": {"cores": "16", "gen": "2"}}})),
    ]);
    let term = |key: &str, operator: &str, value: &str| json!({"matchExpressions": [{"key": key, "operator": operator, "values": [value]}]});
    let affinity = |terms: Value, preferred: Value| {
        pod(
            "p",
            json!({"affinity": {"nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms},
                "preferredDuringSchedulingIgnoredDuringExecution": preferred,
            }}}),
        )
    };
    assert_eq!(goes_to(&affinity(json!([term("cores", "Gt", "8")]), json!([])), &cluster).unwrap(), "c");
    let prefers = json!([{"weight": 5, "preference": term("cores", "Lt", "6")}]);
    assert_eq!(goes_to(&affinity(json!([term("gen", "In", "1")]), prefers), &cluster).unwrap(), "a");
    let by_name = json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]}]);
    assert_eq!(goes_to(&affinity(by_name, json!([])), &cluster).unwrap(), "b");
    assert!(goes_to(&affinity(json!([{}]), json!([])), &cluster).is_err(), "an empty term matches nothing");
}

#[test]
fn devices_are_not_shared_out_twice() {
    let mut cluster = cluster(vec![node("n", json!({"status": {"allocatable": {"example.org/gpu": "1"}}}))]);
    let gpu = |name: &str| pod(name, json!({"containers": [{"name": "c", "resources": {"limits": {"example.org/gpu": "1"}}}]}));
    assert_eq!(goes_to(&gpu("one"), &cluster).unwrap(), "n");
    cluster.put(gpu("one"), "n");
    assert_eq!(goes_to(&gpu("two"), &cluster).unwrap_err(), "0/1 nodes are available: 1 Insufficient example.org/gpu.");
    cluster.remove("uid-one");
    assert_eq!(goes_to(&gpu("two"), &cluster).unwrap(), "n");
}

fn apart(topology: &str) -> Value {
    json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": topology}]}}})
}

#[test]
fn anti_affinity_holds_both_ways() {
    let mut cluster = cluster(vec![node("n1", json!({})), node("n2", json!({}))]);
    cluster.put(pod("there", apart("kubernetes.io/hostname")), "n1");
    assert_eq!(goes_to(&pod("p", apart("kubernetes.io/hostname")), &cluster).unwrap(), "n2");
    assert_eq!(goes_to(&pod("plain", json!({})), &cluster).unwrap(), "n2", "the pod that is there keeps it away");
    assert_eq!(
        goes_to(&pod("p", apart("zone")), &cluster).unwrap_err(),
        "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules."
    );
    cluster.put(pod("second", apart("kubernetes.io/hostname")), "n2");
    assert_eq!(
        goes_to(&pod("plain", json!({})), &cluster).unwrap_err(),
        "0/2 nodes are available: 2 node(s) didn't satisfy existing pods anti-affinity rules."
    );
    assert!(goes_to(&labelled("other", json!({"app": "db"}), json!({})), &cluster).is_ok());
}

#[test]
fn affinity_goes_to_company_and_the_first_of_a_kind_may_start_it() {
    let near = |labels: Value| {
        labelled(
            "p",
            labels,
            json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "kubernetes.io/hostname"}]}}}),
        )
    };
    let mut cluster = cluster(vec![node("n1", json!({})), node("n2", json!({}))]);
    assert_eq!(
        goes_to(&near(json!({"app": "web"})), &cluster).unwrap_err(),
        "0/2 nodes are available: 2 node(s) didn't match pod affinity rules."
    );
    assert!(goes_to(&near(json!({"app": "db"})), &cluster).is_ok());
    cluster.put(labelled("db", json!({"app": "db"}), json!({})), "n2");
    assert_eq!(goes_to(&near(json!({"app": "web"})), &cluster).unwrap(), "n2");
    assert_eq!(goes_to(&near(json!({"app": "db"})), &cluster).unwrap(), "n2");
}

#[test]
fn required_spreading_keeps_the_skew() {
    let spread = |when: &str| {
        pod(
            "p",
            json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": when,
            "labelSelector": {"matchLabels": {"app": "web"}}}]}),
        )
    };
    let zone = |name: &str| json!({"metadata": {"labels": {"zone": name}}});
    let mut cluster = cluster(vec![
        node("a1", zone("a")),
        node("b1", zone("b")),
        node("none", json!({"metadata": {"labels": {"zone": null}}})),
    ]);
    cluster.put(pod("one", json!({})), "a1");
    assert_eq!(goes_to(&spread("DoNotSchedule"), &cluster).unwrap(), "b1");
    cluster.put(pod("two", cpu("4")), "b1");
    cluster.put(pod("three", json!({})), "a1");
    cluster.remove("uid-one");
    cluster.put(pod("four", json!({})), "a1");
    // a has two, b has one and is full
    let asks = Arc::new(Wants { amounts: pod("x", cpu("1")).amounts.clone(), ..Wants::clone(&spread("DoNotSchedule")) });
    assert_eq!(
        goes_to(&asks, &cluster).unwrap_err(),
        "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match pod topology spread constraints, \
         1 node(s) didn't match pod topology spread constraints (missing required label)."
    );
    assert!(goes_to(&spread("ScheduleAnyway"), &cluster).is_ok());
}

#[test]
fn replicas_and_load_are_spread_over_nodes() {
    let mut cluster = cluster(vec![node("n1", json!({})), node("n2", json!({})), node("n3", json!({}))]);
    let mut seen = std::collections::BTreeMap::new();
    for turn in 0..9 {
        let mut wants = Wants::clone(&pod(&format!("p{turn}"), cpu("100m")));
        wants.controller = Some("set".to_owned());
        let Decision::Bind { node } = plan(&wants, &cluster, turn) else { panic!("there is room") };
        *seen.entry(node.clone()).or_insert(0) += 1;
        cluster.put(Arc::new(wants), &node);
    }
    assert_eq!(seen.into_values().collect::<Vec<_>>(), [3, 3, 3]);
}

#[test]
fn nodes_that_would_rather_not_are_taken_last() {
    let reluctant = json!({"spec": {"taints": [{"key": "k", "effect": "PreferNoSchedule"}]}});
    let mut cluster = cluster(vec![node("reluctant", reluctant), node("willing", json!({}))]);
    assert_eq!(goes_to(&pod("p", json!({})), &cluster).unwrap(), "willing");
    cluster.put(pod("big", cpu("4")), "willing");
    assert_eq!(goes_to(&pod("p", cpu("1")), &cluster).unwrap(), "reluctant");
}

#[test]
fn a_pod_that_could_preempt_is_told_that_nothing_is_preempted() {
    let urgent = Wants { priority: 100, preempts: true, ..Wants::clone(&pod("p", cpu("5"))) };
    let message = goes_to(&urgent, &cluster(vec![node("n", json!({}))])).unwrap_err();
    assert!(message.ends_with("preemption: not offered by this scheduler yet."), "{message}");
}

#[test]
fn what_waits_is_woken_by_what_may_help() {
    let cluster = cluster(vec![node("n", json!({}))]);
    let wake = |wants: &Wants| match plan(wants, &cluster, 0) {
        Decision::Wait { wake, .. } => wake,
        Decision::Bind { node } => panic!("went to {node}"),
    };
    assert_eq!(wake(&pod("p", cpu("5"))), Wake::NODES | Wake::FREED);
    assert_eq!(wake(&pod("p", json!({"nodeSelector": {"x": "y"}}))), Wake::NODES);
    let claim = pod("p", json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}));
    assert_eq!(wake(&claim), Wake::default());
}

#[test]
fn pods_of_a_node_that_is_not_known_yet_count_once_it_comes() {
    let mut cluster = Cluster::default();
    cluster.put(pod("early", cpu("4")), "n");
    assert!(goes_to(&pod("p", cpu("1")), &cluster).is_err());
    cluster.set_node(node("n", json!({})));
    assert!(goes_to(&pod("p", cpu("1")), &cluster).is_err());
    cluster.remove("uid-early");
    assert_eq!(goes_to(&pod("p", cpu("1")), &cluster).unwrap(), "n");
    cluster.remove_node("n");
    assert!(cluster.places().is_empty());
}

/// Of many nodes only a share is compared, and every node has its turn.
#[test]
fn a_large_cluster_is_filled_evenly() {
    let mut cluster = cluster((0..1000).map(|n| node(&format!("n{n}"), json!({}))).collect());
    for turn in 0..2000 {
        let wants = pod(&format!("p{turn}"), cpu("100m"));
        let Decision::Bind { node } = plan(&wants, &cluster, turn) else { panic!("there is room") };
        cluster.put(wants, &node);
    }
    let most = cluster.places().iter().map(|place| place.used.pods).max().unwrap();
    assert!(most <= 3, "{most} pods on one node");
}
