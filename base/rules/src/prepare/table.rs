//! Which strategy a kind has.
use irori_api::row::Row;

use super::{Strategy, kinds, pod, service};

const PLAIN: Strategy = Strategy {
    generation: false,
    status: false,
    create_on_update: false,
    unconditional_update: true,
    graceful: false,
    create: |_, _| {},
    update: |_, _, _, _| {},
};

/// The strategy of a row. Kinds that are not named have none of their own; a custom kind keeps a generation.
pub fn strategy(row: &Row) -> Strategy {
    let has_status = row.subresources.contains_key("status");
    let plain = Strategy { status: has_status, ..PLAIN };
    let counted = Strategy { generation: true, ..plain };
    let (group, kind) = (row.gvk.group.as_str(), row.gvk.kind.as_str());
    match (group, kind) {
        ("", "Pod") => Strategy { graceful: true, create: pod::create, update: pod::update, ..counted },
        ("", "Service") => Strategy { create_on_update: true, create: service::create, update: service::update, ..plain },
        ("", "Namespace") => Strategy { create: kinds::create_namespace, update: kinds::update_namespace, ..plain },
        // A node brings its status along when it registers.
        ("", "Node") => Strategy { create: kinds::create_node, ..plain }.with_status_at_creation(),
        ("", "PersistentVolume") => Strategy { create: kinds::create_volume, update: kinds::update_volume, ..plain },
        ("", "PersistentVolumeClaim") => Strategy { create: kinds::create_claim, update: kinds::update_claim, ..plain },
        ("", "ReplicationController" | "PodTemplate") => counted,
        ("", "LimitRange") => Strategy { create_on_update: true, create: kinds::create_limit_range, ..plain },
        ("", "Endpoints" | "Event") => Strategy { create_on_update: true, ..plain },
        ("events.k8s.io", "Event") => Strategy { create_on_update: true, ..plain },
        ("apps", "DaemonSet") => Strategy { create: kinds::create_daemon_set, update: kinds::update_daemon_set, ..counted },
        ("apps", "Deployment") => Strategy { update: kinds::update_deployment, ..counted },
        ("apps", "ReplicaSet" | "StatefulSet") => counted,
        ("batch", "Job") => Strategy { create: kinds::create_job, update: kinds::update_job, ..counted },
        ("batch", "CronJob") => counted,
        ("policy", "PodDisruptionBudget") => Strategy { unconditional_update: false, ..counted },
        ("networking.k8s.io", "Ingress" | "NetworkPolicy" | "IngressClass") => counted,
        ("discovery.k8s.io", "EndpointSlice") => counted,
        ("scheduling.k8s.io", "PriorityClass") => Strategy { generation: true, update: kinds::keep_generation, ..plain },
        ("flowcontrol.apiserver.k8s.io", "FlowSchema" | "PriorityLevelConfiguration") => counted,
        ("admissionregistration.k8s.io", _) => Strategy { unconditional_update: false, ..counted },
        ("apiextensions.k8s.io", "CustomResourceDefinition") => Strategy {
            unconditional_update: false,
            create: kinds::create_definition,
            update: kinds::update_definition,
            ..counted
        },
        ("apiregistration.k8s.io", "APIService") => Strategy { unconditional_update: false, ..plain },
        ("certificates.k8s.io", "CertificateSigningRequest") => {
            Strategy { create_on_update: true, update: kinds::update_signing_request, ..plain }
        }
        ("coordination.k8s.io", "Lease") => Strategy {
            create_on_update: true,
            unconditional_update: false,
            create: kinds::create_lease,
            update: kinds::update_lease,
            ..plain
        },
        ("rbac.authorization.k8s.io", _) => Strategy { create_on_update: true, ..plain },
        ("storage.k8s.io", "CSIDriver" | "CSINode" | "CSIStorageCapacity" | "VolumeAttachment")
        | ("node.k8s.io", "RuntimeClass") => Strategy { unconditional_update: false, ..plain },
        ("resource.k8s.io", "DeviceClass") => counted,
        ("resource.k8s.io", "ResourceSlice") => Strategy { create: kinds::create_slice, update: kinds::update_slice, ..counted },
        _ if row.protobuf.is_none() => Strategy { unconditional_update: false, ..counted },
        _ => plain,
    }
}

impl Strategy {
    /// Keeps what a create brings as status.
    fn with_status_at_creation(self) -> Strategy {
        // The shared rule clears the status through this flag; the update rule of the same kinds restores it itself.
        Strategy { status: false, update: kinds::update_node, ..self }
    }
}
