use irori_api::row::Tables;
use serde_json::{Value, json};

use crate::{Part, validate::validate_update};

/// What is told of a change from one status to another, of a pod of two containers with this spec besides.
fn told(spec: Value, old: Value, new: Value) -> Vec<String> {
    let tables = Tables::builtin();
    let row = tables.resource("", "v1", "pods").unwrap();
    let made = |status: Value| {
        let mut pod = json!({
            "metadata": {"name": "p", "namespace": "n"},
            "spec": {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "i"}], "restartPolicy": "Never"},
            "status": status,
        });
        pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        crate::decode(&tables, row, pod).unwrap().object
    };
    validate_update(row, row, &made(new), &made(old), Part::Status).iter().map(ToString::to_string).collect()
}

#[test]
fn a_status_says_what_can_be() {
    for (status, want) in [
        (json!({"qosClass": "Guaranteed"}), vec!["status.qosClass: Invalid value: \"Guaranteed\": field is immutable"]),
        (json!({"observedGeneration": -1}), vec!["status.observedGeneration: Invalid value: -1: must be a non-negative integer"]),
        (
            json!({"conditions": [{"type": "Ready", "status": "True", "observedGeneration": -1}]}),
            vec!["status.conditions[0].observedGeneration: Invalid value: -1: must be a non-negative integer"],
        ),
        (
            json!({"podIPs": [{"ip": "x"}]}),
            vec!["status.podIPs[0]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"],
        ),
        (json!({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}), vec![]),
        (
            json!({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]}),
            vec![
                "status.podIPs: Invalid value: [{\"IP\":\"10.0.0.1\"},{\"IP\":\"10.0.0.2\"}]: may specify no more than one IP for each IP family",
            ],
        ),
        (json!({"hostIP": "10.0.0.1", "hostIPs": [{"ip": "10.0.0.1"}]}), vec![]),
        (
            json!({"hostIP": "10.0.0.1", "hostIPs": [{"ip": "10.0.0.2"}]}),
            vec!["status.hostIPs[0].ip: Invalid value: \"10.0.0.2\": must be equal to `hostIP`"],
        ),
        (
            json!({"resourceClaimStatuses": [{"name": "x"}, {"name": "x"}]}),
            vec![
                "status.resourceClaimStatuses[0].name: Invalid value: \"x\": must match the name of an entry in `spec.resourceClaims`",
                "status.resourceClaimStatuses[1].name: Invalid value: \"x\": must match the name of an entry in `spec.resourceClaims`",
                "status.resourceClaimStatuses[1].name: Duplicate value: \"x\"",
            ],
        ),
        (
            json!({"initContainerStatuses": [{"name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": 0,
                "user": {"linux": {"uid": -1, "gid": 0, "supplementalGroups": [-2]}}}]}),
            vec![
                "status.initContainerStatuses[0].user.linux.uid: Invalid value: -1: must be between 0 and 2147483647, inclusive",
                "status.initContainerStatuses[0].user.linux.supplementalGroups[0]: Invalid value: -2: must be between 0 and 2147483647, inclusive",
            ],
        ),
    ] {
        assert_eq!(told(json!({}), json!({}), status.clone()), want, "{status}");
    }
    let condition = told(json!({}), json!({}), json!({"conditions": [{"type": "Bad Type!", "status": "True"}]}));
    assert!(
        condition[0].starts_with("status.conditions[0].Type: Invalid value: \"Bad Type!\": name part must consist of"),
        "{condition:?}"
    );
    let broken = told(json!({}), json!({}), json!({"podIPs": [{"ip": "x"}, {"ip": "fd00::1"}]}));
    assert_eq!(broken[1], "status.podIPs: Internal error: failed to check for dual stack with error:invalid IP[0]: x");
    let kept = json!({"podIPs": [{"ip": "010.0.0.1"}]});
    assert_eq!(told(json!({}), kept.clone(), kept), [""; 0], "what was there may stay");
}

#[test]
fn a_nomination_is_of_a_name_and_before_there_is_a_node() {
    let nominated = |node: &str| json!({"nominatedNodeName": node});
    assert_eq!(told(json!({}), json!({}), nominated("n1")), [""; 0]);
    assert_eq!(told(json!({}), json!({}), nominated("Bad!")).len(), 1);
    let bound = json!({"nodeName": "n1"});
    assert_eq!(
        told(bound.clone(), json!({}), nominated("n2")),
        ["status.nominatedNodeName: Forbidden: may not be set on pods that are already bound to a node"]
    );
    assert_eq!(told(bound, nominated("n2"), nominated("n2")), [""; 0]);
}

#[test]
fn what_has_ended_stays_so_unless_it_is_to_start_again() {
    let state = |list: &str, name: &str, state: Value| json!({list: [{"name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state}]});
    let restarted = |spec: Value, list: &str, code: i32| {
        let ended = state(list, "c", json!({"terminated": {"exitCode": code}}));
        told(spec, ended, state(list, "c", json!({"running": {}})))
    };
    let list = "containerStatuses";
    let refused = ["status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"];
    assert_eq!(restarted(json!({}), list, 1), refused);
    assert_eq!(restarted(json!({"restartPolicy": "Always"}), list, 0), [""; 0]);
    assert_eq!(restarted(json!({"restartPolicy": "OnFailure"}), list, 1), [""; 0]);
    assert_eq!(restarted(json!({"restartPolicy": "OnFailure"}), list, 0), refused);
    let own = |action: &str| {
        json!({"containers": [{"name": "c", "image": "i", "restartPolicy": "Never", "restartPolicyRules": [
            {"action": action, "exitCodes": {"operator": "In", "values": [42]}}]}]})
    };
    assert_eq!(restarted(own("Restart"), list, 42), [""; 0]);
    assert_eq!(restarted(own("Restart"), list, 1), refused);
    assert_eq!(restarted(own("RestartAllContainers"), list, 1), [""; 0], "another container may have started all again");
    let sidecar = json!({"initContainers": [{"name": "c", "image": "i", "restartPolicy": "Always"}]});
    assert_eq!(restarted(sidecar, "initContainerStatuses", 0), [""; 0]);
    assert_eq!(restarted(json!({"restartPolicy": "Always"}), "ephemeralContainerStatuses", 1).len(), 1);
}

#[test]
fn health_is_told_of_what_a_container_asked_for() {
    let spec = json!({"containers": [{"name": "c", "image": "i", "resources": {
        "limits": {"a.example/gpu": "1"}, "requests": {"a.example/gpu": "1"}, "claims": [{"name": "x", "request": "r"}]}}]});
    let of = |list: &str, name: &str, resources: Value| {
        json!({list: [{"name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": 0,
            "allocatedResourcesStatus": [{"name": name, "resources": resources}]}]})
    };
    let at = "status.containerStatuses[0].allocatedResourcesStatus[0]";
    let part = |id: &str, health: &str| json!({"resourceID": id, "health": health});
    for (name, resources, want) in [
        ("a.example/gpu", json!([part("1", "Healthy"), part("2", "Unknown")]), vec![]),
        ("claim:x/r", json!([]), vec![]),
        (
            "claim:x",
            json!([]),
            vec![format!(
                "{at}.name: Invalid value: \"claim:x\": must match one of the container's resource claims in a format \
             'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty"
            )],
        ),
        (
            "cpu",
            json!([]),
            vec![format!("{at}.name: Invalid value: \"cpu\": must match one of the container's resource requests")],
        ),
        (
            "a.example/gpu",
            json!([part("1", "Ill"), part("1", "Healthy")]),
            vec![
                format!(
                    "{at}.resources[0].health: Unsupported value: \"Ill\": supported values: \"Healthy\", \"Unhealthy\", \"Unknown\""
                ),
                format!("{at}.resources[1].resourceID: Duplicate value: \"1\""),
            ],
        ),
    ] {
        assert_eq!(told(spec.clone(), json!({}), of("containerStatuses", name, resources)), want, "{name}");
    }
    assert_eq!(
        told(spec, json!({}), of("ephemeralContainerStatuses", "cpu", json!([]))),
        ["status.ephemeralContainerStatuses[0].allocatedResourcesStatus: Forbidden: must not be specified in container status"]
    );
}
