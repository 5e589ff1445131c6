//! Where kinds keep the template of their pods.
use irori_api::row::Row;

/// The path to it; `None` for kinds that have none, pods included.
pub fn template_path(row: &Row) -> Option<&'static [&'static str]> {
    Some(match (row.gvk.group.as_str(), row.gvk.kind.as_str()) {
        ("", "PodTemplate") => &["template"],
        ("", "ReplicationController")
        | ("apps", "DaemonSet" | "Deployment" | "ReplicaSet" | "StatefulSet")
        | ("batch", "Job") => &["spec", "template"],
        ("batch", "CronJob") => &["spec", "jobTemplate", "spec", "template"],
        _ => return None,
    })
}
