use irori_api::row::{Row, Tables};
use serde_json::{Value, json};

use super::{Birth, Part, bind_pod, drop_twin_owners, generated_name, prepare_create, prepare_update, qos_class};
use crate::{decode, default_object};

const NOW: &str = "2026-01-01T00:00:00Z";

fn birth() -> Birth {
    Birth { uid: "u-1".into(), creation_timestamp: NOW.into(), generated_name: String::new(), namespace: "n".into() }
}

fn made(tables: &Tables, row: &Row, body: Value) -> Value {
    let mut object = decode(tables, row, body).unwrap().object;
    default_object(tables, row, &mut object);
    object
}

#[test]
fn status_belongs_to_the_status_subresource_and_content_to_the_main_one() {
    let tables = Tables::builtin();
    let row = tables.resource("apps", "v1", "deployments").unwrap();
    let body = json!({"metadata": {"name": "d"}, "spec": {"replicas": 1}, "status": {"replicas": 9}});
    let mut old = made(&tables, row, body.clone());
    prepare_create(&tables, row, &mut old, &birth());
    assert_eq!(old["status"], json!({}), "a client cannot create a status");
    let mut new = made(&tables, row, json!({"metadata": {"name": "d"}, "spec": {"replicas": 5}, "status": {"replicas": 9}}));
    let mut status = new.clone();
    prepare_update(&tables, row, &mut new, &old, Part::Main, NOW);
    assert_eq!((&new["status"], &new["spec"]["replicas"], &new["metadata"]["generation"]), (&json!({}), &json!(5), &json!(2)));
    prepare_update(&tables, row, &mut status, &old, Part::Status, NOW);
    assert_eq!(
        (&status["status"]["replicas"], &status["spec"]["replicas"], &status["metadata"]["generation"]),
        (&json!(9), &json!(1), &json!(1))
    );
}

#[test]
fn metadata_of_the_server_cannot_be_chosen() {
    let tables = Tables::builtin();
    let row = tables.resource("", "v1", "configmaps").unwrap();
    let body = json!({"metadata": {"name": "c", "uid": "mine", "creationTimestamp": "1999-01-01T00:00:00Z", "deletionTimestamp": "1999-01-01T00:00:00Z"}});
    let mut object = made(&tables, row, body);
    prepare_create(&tables, row, &mut object, &birth());
    assert_eq!(object["metadata"], json!({"name": "c", "namespace": "n", "uid": "u-1", "creationTimestamp": NOW}));
}

/// A client that puts back what it saved long ago changes no time by it.
#[test]
fn times_of_the_server_cannot_be_changed() {
    let tables = Tables::builtin();
    let row = tables.resource("", "v1", "configmaps").unwrap();
    let times =
        |at: &str, gone: Option<&str>| json!({"metadata": {"name": "c", "creationTimestamp": at, "deletionTimestamp": gone}});
    let (one, two) = ("2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z");
    for (old, new, want) in [
        ((one, None), (two, None), json!([one, null])),
        ((one, Some(one)), (two, Some(two)), json!([one, one])),
        ((one, Some(one)), (two, None), json!([one, one])),
        // What the object did not have is told to validation.
        ((one, None), (one, Some(two)), json!([one, two])),
    ] {
        let (old, mut new) = (made(&tables, row, times(old.0, old.1)), made(&tables, row, times(new.0, new.1)));
        prepare_update(&tables, row, &mut new, &old, Part::Main, NOW);
        assert_eq!(json!([new["metadata"]["creationTimestamp"], new["metadata"]["deletionTimestamp"]]), want);
    }
}

#[test]
fn owners_that_are_told_twice_are_kept_once() {
    let owner = |name: &str, controller: Option<bool>| json!({"apiVersion": "v1", "kind": "Pod", "name": name, "uid": "u1", "controller": controller});
    let owners = |owners: &[Value]| json!({"metadata": {"ownerReferences": owners}});
    let (a, b, c) = (owner("a", None), owner("b", None), owner("a", Some(false)));
    let mut object = owners(&[a.clone(), b.clone(), a.clone(), c.clone(), b.clone()]);
    assert_eq!(drop_twin_owners(&mut object), ["u1", "u1"]);
    assert_eq!(object, owners(&[a, b, c]));
    assert!(drop_twin_owners(&mut object).is_empty());
}

#[test]
fn a_service_keeps_what_was_allocated() {
    let tables = Tables::builtin();
    let row = tables.resource("", "v1", "services").unwrap();
    let ports = |node: Option<i64>| json!([{"port": 80, "nodePort": node}]);
    let old = made(
        &tables,
        row,
        json!({"metadata": {"name": "s"}, "spec": {"type": "NodePort", "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"], "ports": ports(Some(30001))}}),
    );
    let mut new = made(&tables, row, json!({"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": ports(None)}}));
    prepare_update(&tables, row, &mut new, &old, Part::Main, NOW);
    assert_eq!((&new["spec"]["clusterIPs"], &new["spec"]["ports"][0]["nodePort"]), (&json!(["10.96.0.9"]), &json!(30001)));
    let mut less = old.clone();
    less["spec"]["type"] = "ClusterIP".into();
    prepare_update(&tables, row, &mut less, &old, Part::Main, NOW);
    assert_eq!(less["spec"]["ports"][0].get("nodePort"), None, "a ClusterIP Service has no node ports");
    assert_eq!(less["spec"]["clusterIP"], "10.96.0.9");
}

#[test]
fn quality_of_service_follows_the_resources() {
    let pod = |resources: Value| json!({"spec": {"containers": [{"name": "c", "resources": resources}]}});
    for (resources, want) in [
        (json!({}), "BestEffort"),
        (json!({"requests": {"cpu": "0"}}), "BestEffort"),
        (json!({"requests": {"cpu": "1"}}), "Burstable"),
        (json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}}), "Guaranteed"),
        (json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Mi"}}), "Burstable"),
    ] {
        assert_eq!(qos_class(&pod(resources.clone())), want, "{resources}");
    }
}

#[test]
fn a_bound_pod_names_its_node_and_says_so_once() {
    let mut pod = json!({"spec": {}, "status": {"nominatedNodeName": "n0"}});
    bind_pod(&mut pod, "n1", None, NOW);
    assert_eq!(pod["status"].get("nominatedNodeName"), None);
    bind_pod(&mut pod, "n1", None, "2027-01-01T00:00:00Z");
    assert_eq!(pod["spec"]["nodeName"], "n1");
    assert_eq!(
        pod["status"]["conditions"],
        json!([{"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": NOW}])
    );
}

#[test]
fn generated_names_leave_room_for_their_end() {
    assert_eq!(generated_name("web-", "abcde"), "web-abcde");
    assert_eq!(generated_name(&"x".repeat(300), "abcde").len(), 63);
    assert_eq!(generated_name(&"ü".repeat(100), "abcde").len(), 63);
}

fn pod_row(tables: &Tables) -> &Row {
    tables.resource("", "v1", "pods").unwrap()
}

#[test]
fn a_gated_pod_says_since_when() {
    let tables = Tables::builtin();
    let row = pod_row(&tables);
    let mut pod =
        made(&tables, row, json!({"metadata": {"name": "p"}, "spec": {"containers": [], "schedulingGates": [{"name": "g"}]}}));
    prepare_create(&tables, row, &mut pod, &birth());
    let condition = &pod["status"]["conditions"][0];
    assert_eq!((&condition["lastTransitionTime"], &condition["lastProbeTime"]), (&json!(NOW), &Value::Null));
}

/// The feature gate GenericWorkload is alpha in 1.36.
#[test]
fn a_scheduling_group_is_dropped_unless_it_is_there_already() {
    let tables = Tables::builtin();
    let grouped = || json!({"containers": [], "schedulingGroup": {"podGroupName": "g"}});
    let row = pod_row(&tables);
    let mut pod = made(&tables, row, json!({"metadata": {"name": "p"}, "spec": grouped()}));
    let old = pod.clone();
    prepare_create(&tables, row, &mut pod, &birth());
    assert_eq!(pod["spec"].get("schedulingGroup"), None);
    let mut kept = old.clone();
    prepare_update(&tables, row, &mut kept, &old, Part::Main, NOW);
    assert_eq!(kept["spec"]["schedulingGroup"], old["spec"]["schedulingGroup"]);
    let row = tables.resource("apps", "v1", "deployments").unwrap();
    let mut deployment = made(&tables, row, json!({"metadata": {"name": "d"}, "spec": {"template": {"spec": grouped()}}}));
    prepare_create(&tables, row, &mut deployment, &birth());
    assert_eq!(deployment["spec"]["template"]["spec"].get("schedulingGroup"), None);
}

/// Kubernetes page "Restrict a Container's Access to Resources with AppArmor".
#[test]
fn apparmor_by_annotation_becomes_a_field() {
    let tables = Tables::builtin();
    let row = pod_row(&tables);
    let born = |asked: &str, spec: Value| {
        let annotations = json!({"container.apparmor.security.beta.kubernetes.io/c": asked});
        let mut pod = json!({"metadata": {"name": "p", "annotations": annotations}, "spec": {"containers": [{"name": "c"}, {"name": "d"}]}});
        pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let mut pod = made(&tables, row, pod);
        let warnings = crate::early_warnings(row, &pod);
        prepare_create(&tables, row, &mut pod, &birth());
        assert_eq!(pod.pointer("/spec/containers/1/securityContext"), None);
        (pod.pointer("/spec/containers/0/securityContext/appArmorProfile").cloned().unwrap_or_default(), warnings)
    };
    let warned = vec![
        "metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: deprecated since v1.30; use the \"appArmorProfile\" field instead"
            .to_owned(),
    ];
    for (asked, want) in [
        ("runtime/default", json!({"type": "RuntimeDefault"})),
        ("unconfined", json!({"type": "Unconfined"})),
        ("localhost/a", json!({"type": "Localhost", "localhostProfile": "a"})),
        ("localhost/", Value::Null),
        ("localhost/ a", Value::Null),
        ("bad", Value::Null),
    ] {
        assert_eq!(born(asked, json!({})), (want, warned.clone()), "{asked}");
    }
    let of_pod = json!({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}});
    assert_eq!(born("unconfined", of_pod.clone()), (Value::Null, vec![]), "the pod says so already");
    assert_eq!(born("runtime/default", of_pod).0, json!({"type": "RuntimeDefault"}));
    let own =
        json!({"containers": [{"name": "c", "securityContext": {"appArmorProfile": {"type": "Unconfined"}}}, {"name": "d"}]});
    assert_eq!(born("runtime/default", own), (json!({"type": "Unconfined"}), vec![]));
    assert_eq!(born("unconfined", json!({"os": {"name": "windows"}})), (Value::Null, vec![]));
}

#[test]
fn who_does_not_know_of_observed_generations_does_not_clear_them() {
    let tables = Tables::builtin();
    let row = pod_row(&tables);
    let condition = |kind: &str, generation: Value| json!({"type": kind, "status": "True", "observedGeneration": generation});
    let pod = |generation: Value, conditions: Value| {
        let status = json!({"observedGeneration": generation, "conditions": conditions});
        made(&tables, row, json!({"metadata": {"name": "p"}, "spec": {"containers": []}, "status": status}))
    };
    let old = pod(json!(3), json!([condition("a", json!(1)), condition("a", json!(2)), condition("b", json!(3))]));
    let given = [condition("a", Value::Null), condition("a", json!(0)), condition("a", Value::Null), condition("b", json!(4))];
    let mut new = pod(Value::Null, json!(given));
    prepare_update(&tables, row, &mut new, &old, Part::Status, NOW);
    assert_eq!(new["status"]["observedGeneration"], 3);
    let got: Vec<Value> =
        new["status"]["conditions"].as_array().unwrap().iter().map(|c| c["observedGeneration"].clone()).collect();
    assert_eq!(got, [json!(1), json!(2), Value::Null, json!(4)]);
}

#[test]
fn ephemeral_containers_and_resizes_leave_metadata_alone() {
    let tables = Tables::builtin();
    let row = pod_row(&tables);
    let pod = |labels: Value, containers: Value, whole: Value| {
        let metadata = json!({"name": "p", "labels": labels, "annotations": labels, "finalizers": ["a.example/b"]});
        made(&tables, row, json!({"metadata": metadata, "spec": {"containers": containers, "resources": whole}}))
    };
    let sized = |name: &str, cpu: &str| json!({"name": name, "image": cpu, "resources": {"requests": {"cpu": cpu}}});
    let old = pod(json!({"a": "1"}), json!([sized("c", "1"), sized("d", "1")]), json!({"requests": {"cpu": "2"}}));
    for part in [Part::Sub("ephemeralcontainers"), Part::Sub("resize")] {
        let mut new = pod(json!({"a": "2"}), json!([sized("c", "3"), sized("d", "1")]), json!({"requests": {"cpu": "4"}}));
        prepare_update(&tables, row, &mut new, &old, part, NOW);
        assert_eq!((&new["metadata"]["labels"], &new["metadata"]["annotations"]), (&json!({"a": "1"}), &json!({"a": "1"})));
        let resize = part == Part::Sub("resize");
        let cpu = &new["spec"]["containers"][0]["resources"]["requests"]["cpu"];
        assert_eq!((cpu, &new["spec"]["containers"][0]["image"]), (&json!(if resize { "3" } else { "1" }), &json!("1")));
        assert_eq!(new["spec"]["resources"]["requests"]["cpu"], json!(if resize { "4" } else { "2" }));
    }
    let mut turned = pod(json!({}), json!([sized("d", "3"), sized("c", "3")]), json!({}));
    prepare_update(&tables, row, &mut turned, &old, Part::Sub("resize"), NOW);
    assert_eq!(turned["spec"]["containers"][0]["name"], "d", "validation is to see that they have changed places");
}

#[test]
fn ports_of_a_service_keep_their_node_ports_by_name_even_without_allocation() {
    let tables = Tables::builtin();
    let row = tables.resource("", "v1", "services").unwrap();
    let body = |allocates: bool, ports: Value| json!({"metadata": {"name": "s"}, "spec": {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": allocates, "ports": ports}});
    let old = json!([{"name": "a", "port": 80, "nodePort": 30001}, {"name": "b", "port": 81, "nodePort": 30002}]);
    let old = made(&tables, row, body(true, old));
    let mut new = made(
        &tables,
        row,
        body(false, json!([{"name": "b", "port": 82}, {"name": "c", "port": 81, "nodePort": 30001}, {"name": "a", "port": 80}])),
    );
    prepare_update(&tables, row, &mut new, &old, Part::Main, NOW);
    let kept: Vec<&Value> = (0..3).map(|i| &new["spec"]["ports"][i]["nodePort"]).collect();
    assert_eq!(kept, [&json!(30002), &json!(30001), &Value::Null], "a port that another asks for is not given twice");
}

#[test]
fn of_the_old_way_to_name_a_source_of_data_only_claims_and_snapshots_are_taken() {
    let tables = Tables::builtin();
    let row = tables.resource("", "v1", "persistentvolumeclaims").unwrap();
    let claim = |spec: Value| made(&tables, row, json!({"metadata": {"name": "c"}, "spec": spec}));
    let born = |spec: Value| {
        let mut object = claim(spec);
        prepare_create(&tables, row, &mut object, &birth());
        (object["spec"]["dataSource"].clone(), object["spec"]["dataSourceRef"].clone())
    };
    let (other, snapshot) = (
        json!({"apiGroup": "a.example", "kind": "Foo", "name": "x"}),
        json!({"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "x"}),
    );
    assert_eq!(born(json!({"dataSource": other})), (Value::Null, Value::Null));
    assert_eq!(born(json!({"dataSource": {}})), (Value::Null, Value::Null));
    assert_eq!(born(json!({"dataSource": snapshot})), (snapshot.clone(), snapshot));
    assert_eq!(born(json!({"dataSourceRef": other})), (other.clone(), other.clone()));
    let elsewhere = json!({"apiGroup": "a.example", "kind": "Foo", "name": "x", "namespace": "m"});
    assert_eq!(born(json!({"dataSourceRef": elsewhere})), (Value::Null, Value::Null));
    let mut old = claim(json!({"dataSourceRef": other}));
    prepare_create(&tables, row, &mut old, &birth());
    let mut new = claim(json!({"dataSource": other}));
    prepare_update(&tables, row, &mut new, &old, Part::Main, NOW);
    assert_eq!(new["spec"]["dataSourceRef"], other, "an old client that leaves out the new way changes nothing");
}
