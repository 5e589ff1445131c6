//! Rows of storage kinds.
use serde_json::Value;

use super::Shown;
use crate::tree::{flag, get, items, text};

pub fn cells(group: &str, kind: &str, s: Shown<'_>) -> Option<Vec<Value>> {
    Some(match (group, kind) {
        ("", "PersistentVolumeClaim") => {
            let bound = !s.text(&["spec", "volumeName"]).is_empty();
            let (capacity, modes) = if bound {
                (s.quantity(&["status", "capacity", "storage"]), access_modes(items(s.object, &["status", "accessModes"])))
            } else {
                ("".into(), String::new())
            };
            vec![
                s.name(),
                phase(s),
                s.text(&["spec", "volumeName"]).into(),
                capacity,
                modes.into(),
                class(s.object).into(),
                s.or(&["spec", "volumeAttributesClassName"], "<unset>"),
                s.age(),
                s.or(&["spec", "volumeMode"], "<unset>"),
            ]
        }
        ("", "PersistentVolume") => {
            let claim = match s.at(&["spec", "claimRef"]) {
                None => String::new(),
                Some(claim) => format!("{}/{}", text(claim, &["namespace"]), text(claim, &["name"])),
            };
            vec![
                s.name(),
                s.quantity(&["spec", "capacity", "storage"]),
                access_modes(items(s.object, &["spec", "accessModes"])).into(),
                s.text(&["spec", "persistentVolumeReclaimPolicy"]).into(),
                phase(s),
                claim.into(),
                class(s.object).into(),
                s.or(&["spec", "volumeAttributesClassName"], "<unset>"),
                s.text(&["status", "reason"]).into(),
                s.age(),
                s.or(&["spec", "volumeMode"], "<unset>"),
            ]
        }
        ("storage.k8s.io", "StorageClass") => {
            let default = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"]
                .iter()
                .any(|key| text(s.object, &["metadata", "annotations", key]) == "true");
            let name = s.text(&["metadata", "name"]);
            vec![
                if default { format!("{name} (default)").into() } else { name.into() },
                s.text(&["provisioner"]).into(),
                s.or(&["reclaimPolicy"], "Delete"),
                s.or(&["volumeBindingMode"], "Immediate"),
                flag(s.object, &["allowVolumeExpansion"]).into(),
                s.age(),
            ]
        }
        ("storage.k8s.io", "VolumeAttributesClass") => {
            let default = text(s.object, &["metadata", "annotations", "storage.alpha.kubernetes.io/is-default-class"]) == "true";
            let name = s.text(&["metadata", "name"]);
            vec![if default { format!("{name} (default)").into() } else { name.into() }, s.text(&["driverName"]).into(), s.age()]
        }
        ("storage.k8s.io", "VolumeAttachment") => vec![
            s.name(),
            s.text(&["spec", "attacher"]).into(),
            s.text(&["spec", "source", "persistentVolumeName"]).into(),
            s.text(&["spec", "nodeName"]).into(),
            flag(s.object, &["status", "attached"]).into(),
            s.age(),
        ],
        ("storage.k8s.io", "CSINode") => vec![s.name(), s.len(&["spec", "drivers"]).into(), s.age()],
        ("storage.k8s.io", "CSIDriver") => driver(s),
        _ => return None,
    })
}

fn phase(s: Shown<'_>) -> Value {
    if s.at(&["metadata", "deletionTimestamp"]).is_some() { "Terminating".into() } else { s.text(&["status", "phase"]).into() }
}

fn class(object: &Value) -> &str {
    match text(object, &["metadata", "annotations", "volume.beta.kubernetes.io/storage-class"]) {
        "" => text(object, &["spec", "storageClassName"]),
        class => class,
    }
}

fn access_modes(modes: &[Value]) -> String {
    let known = [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let told: Vec<&str> = known.iter().filter(|(mode, _)| modes.iter().any(|m| m == mode)).map(|(_, short)| *short).collect();
    told.join(",")
}

fn driver(s: Shown<'_>) -> Vec<Value> {
    let on = |field: &str| Value::from(flag(s.object, &["spec", field]));
    let attach = get(s.object, &["spec", "attachRequired"]).and_then(Value::as_bool).unwrap_or(true);
    let joined = |list: &[Value], field: Option<&str>| -> String {
        let told: Vec<&str> = list.iter().map(|v| field.map_or_else(|| v.as_str().unwrap_or(""), |f| text(v, &[f]))).collect();
        if told.is_empty() { "<unset>".into() } else { told.join(",") }
    };
    vec![
        s.name(),
        attach.into(),
        on("podInfoOnMount"),
        on("storageCapacity"),
        joined(items(s.object, &["spec", "tokenRequests"]), Some("audience")).into(),
        on("requiresRepublish"),
        joined(items(s.object, &["spec", "volumeLifecycleModes"]), None).into(),
        s.age(),
    ]
}
