//! The difference between what is written and what should be.
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod, PodCondition, PodStatus};
use serde_json::{Value, json};

/// Whether the object says already what `status` says; conditions of others do not count.
pub fn is_written(object: &Pod, status: &PodStatus) -> bool {
    let Some(written) = &object.status else { return false };
    let same_condition = |wanted: &PodCondition| {
        written.conditions.iter().flatten().any(|c| PodCondition { last_probe_time: None, ..c.clone() } == *wanted)
    };
    written.phase == status.phase
        && written.reason == status.reason
        && written.message == status.message
        && written.start_time == status.start_time
        && written.host_ip == status.host_ip
        && written.host_ips == status.host_ips
        && written.pod_ip == status.pod_ip
        && written.pod_ips == status.pod_ips
        && same_containers(written.container_statuses.as_ref(), status.container_statuses.as_ref())
        && same_containers(written.init_container_statuses.as_ref(), status.init_container_statuses.as_ref())
        && written.observed_generation == status.observed_generation
        && status.conditions.iter().flatten().all(same_condition)
}

/// An empty last state is as good as none.
fn same_containers(written: Option<&Vec<ContainerStatus>>, wanted: Option<&Vec<ContainerStatus>>) -> bool {
    let plain = |all: Option<&Vec<ContainerStatus>>| -> Vec<ContainerStatus> {
        let plain = |c: &ContainerStatus| ContainerStatus {
            last_state: c.last_state.clone().filter(|state| *state != ContainerState::default()),
            ..c.clone()
        };
        all.into_iter().flatten().map(plain).collect()
    };
    plain(written) == plain(wanted)
}

/// A strategic merge patch of the status, bound to the object's uid. What is absent in `status` is taken away.
pub fn patch(uid: &str, status: &PodStatus) -> Value {
    let mut body = serde_json::to_value(status).unwrap_or_default();
    for field in ["reason", "message", "podIP", "podIPs", "initContainerStatuses", "containerStatuses"] {
        if body.get(field).is_none() {
            body[field] = Value::Null;
        }
    }
    // These lists merge by address: say that the old ones go.
    for field in ["podIPs", "hostIPs"] {
        if let Some(list) = body[field].as_array_mut() {
            list.insert(0, json!({ "$patch": "replace" }));
        }
    }
    // Conditions merge by type: a reason that is gone has to be said.
    for condition in body["conditions"].as_array_mut().into_iter().flatten() {
        for field in ["reason", "message"] {
            if condition.get(field).is_none() {
                condition[field] = Value::Null;
            }
        }
    }
    json!({ "metadata": { "uid": uid }, "status": body })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> PodStatus {
        let text = json!({
            "phase": "Running", "podIP": "10.42.0.5", "podIPs": [{ "ip": "10.42.0.5" }], "hostIP": "192.0.2.1", "hostIPs": [{ "ip": "192.0.2.1" }],
            "conditions": [{ "type": "Ready", "status": "True" }],
            "containerStatuses": [{ "name": "c", "image": "x", "imageID": "", "ready": true, "restartCount": 0, "lastState": {} }],
        });
        serde_json::from_value(text).expect("a status")
    }

    fn written(change: impl FnOnce(&mut PodStatus)) -> Pod {
        let mut status = status();
        change(&mut status);
        Pod { status: Some(status), ..Pod::default() }
    }

    #[test]
    fn what_stands_already_is_not_written_again() {
        assert!(is_written(&written(|_| {}), &status()));
        assert!(is_written(&written(|s| s.container_statuses.as_mut().expect("there")[0].last_state = None), &status()));
        let others = |s: &mut PodStatus| {
            s.conditions.as_mut().expect("there").push(PodCondition {
                type_: "PodScheduled".into(),
                status: "True".into(),
                ..PodCondition::default()
            });
            s.qos_class = Some("Burstable".into());
        };
        assert!(is_written(&written(others), &status()), "what others write is theirs");
        assert!(!is_written(&written(|s| s.conditions = None), &status()));
        assert!(!is_written(&written(|s| s.container_statuses.as_mut().expect("there")[0].restart_count = 1), &status()));
        assert!(!is_written(&Pod::default(), &status()));
    }

    #[test]
    fn a_patch_replaces_addresses_takes_away_what_is_gone_and_is_bound_to_the_uid() {
        let patch = patch("u1", &status());
        assert_eq!(patch["metadata"]["uid"], "u1");
        assert_eq!(patch["status"]["podIPs"], json!([{ "$patch": "replace" }, { "ip": "10.42.0.5" }]));
        assert!(patch["status"].get("reason").is_some_and(Value::is_null), "a reason that is gone is said");
        assert!(patch["status"]["conditions"][0].get("message").is_some_and(Value::is_null));
        assert!(patch["status"].get("qosClass").is_none(), "the server's own");
    }
}
