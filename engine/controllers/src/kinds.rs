//! Which kinds somebody looks after.

/// Kinds that are stored but that no controller acts on yet: `(group, kind)`. Creating one is answered with a warning.
pub fn without_controller() -> Vec<(String, String)> {
    WITHOUT.iter().map(|(group, kind)| ((*group).to_owned(), (*kind).to_owned())).collect()
}

const WITHOUT: [(&str, &str); 13] = [
    ("", "PersistentVolume"),
    ("", "PersistentVolumeClaim"),
    ("", "ReplicationController"),
    ("apps", "DaemonSet"),
    ("apps", "StatefulSet"),
    ("autoscaling", "HorizontalPodAutoscaler"),
    ("batch", "CronJob"),
    ("batch", "Job"),
    ("networking.k8s.io", "NetworkPolicy"),
    ("policy", "PodDisruptionBudget"),
    ("resource.k8s.io", "ResourceClaim"),
    ("resource.k8s.io", "ResourceClaimTemplate"),
    ("storage.k8s.io", "VolumeAttachment"),
];
