//! The canonical form: what a stock server writes of an object.
//!
//! Upstream's objects pass through typed structs, so an optional field of a plain type that holds its zero is not written,
//! while one that is a pointer is; a struct held by value is always written, and so is a required field. The schema tells
//! most of it (`default: {}` marks a struct by value); which scalars are pointers is told by the tables of this module.
use irori_api::schema::{Schemas, Shape, StringFormat, Type, TypeRef};
use serde_json::{Map, Value};

use crate::decode::DEPTH_MAX;

/// Brings a tree of a built-in type into canonical form. Safe to repeat.
pub fn canonical(schemas: &Schemas, of: &TypeRef, value: &mut Value) {
    walk(schemas, of, value, 0);
}

fn walk(schemas: &Schemas, of: &TypeRef, value: &mut Value, depth: usize) {
    let Some(of) = schemas.resolve(of) else { return };
    if depth >= DEPTH_MAX {
        return;
    }
    match (&of.shape, value) {
        (Shape::Object(_), Value::Object(fields)) => object(schemas, of, fields, depth),
        (Shape::Map { values }, Value::Object(entries)) if is_composite(schemas, values) => {
            entries.values_mut().for_each(|entry| walk(schemas, values, entry, depth + 1));
        }
        (Shape::List(list), Value::Array(items)) if is_composite(schemas, &list.items) => {
            items.iter_mut().for_each(|item| walk(schemas, &list.items, item, depth + 1));
        }
        _ => {}
    }
}

fn is_composite(schemas: &Schemas, of: &TypeRef) -> bool {
    matches!(schemas.resolve(of).map(|t| &t.shape), Some(Shape::Object(_) | Shape::Map { .. } | Shape::List(_)))
}

fn object(schemas: &Schemas, of: &Type, fields: &mut Map<String, Value>, depth: usize) {
    let Shape::Object(shape) = &of.shape else { return };
    let builtin = of.name.starts_with("io.k8s.");
    let short = of.name.rsplit('.').next().unwrap_or("");
    for (name, field) in &shape.fields {
        match fields.get_mut(name) {
            Some(Value::Null) | None if !builtin => {}
            Some(Value::Null) | None => match absent(schemas, of, short, name, field) {
                Some(mut zero) => {
                    walk(schemas, &field.of, &mut zero, depth + 1);
                    fields.insert(name.clone(), zero);
                }
                None => {
                    fields.remove(name);
                }
            },
            Some(Value::Array(items)) if builtin && items.is_empty() && null_when_empty(&of.name, short, name, field) => {
                fields.insert(name.clone(), Value::Null);
            }
            Some(value) => {
                walk(schemas, &field.of, value, depth + 1);
                if builtin && !always_written(short, name, field) && dropped(schemas, &of.name, short, name, &field.of, value) {
                    fields.remove(name);
                }
            }
        }
    }
}

/// What is written for a field that nobody set; `None` for nothing.
fn absent(schemas: &Schemas, of: &Type, short: &str, name: &str, field: &irori_api::schema::Field) -> Option<Value> {
    if written_as_null(&of.name, short, name) {
        return Some(Value::Null);
    }
    if omitted_though_required(short, name) {
        return None;
    }
    match &field.default {
        Some(Value::Object(_)) => return Some(Value::Object(Map::new())),
        Some(zero) if is_zero(zero) && always_written(short, name, field) => return Some(zero.clone()),
        _ => {}
    }
    if !field.required {
        return None;
    }
    match schemas.resolve(&field.of).map(|t| &t.shape)? {
        Shape::Object(_) | Shape::Map { .. } | Shape::List(_) | Shape::Any => Some(Value::Null),
        Shape::String { format: Some(StringFormat::Time | StringFormat::MicroTime | StringFormat::Byte), .. } => {
            Some(Value::Null)
        }
        Shape::String { .. } => Some("".into()),
        Shape::Integer { .. } | Shape::Number => Some(0.into()),
        Shape::Boolean => Some(false.into()),
        Shape::Quantity => Some("0".into()),
        Shape::IntOrString => Some(0.into()),
    }
}

/// Whether the field has no omitempty: required ones, and those whose zero the schema names as default.
fn always_written(short: &str, name: &str, field: &irori_api::schema::Field) -> bool {
    field.required
        || field.default.as_ref().is_some_and(is_zero)
            && !matches!(
                (short, name),
                (
                    "LocalObjectReference"
                        | "ConfigMapEnvSource"
                        | "ConfigMapKeySelector"
                        | "ConfigMapProjection"
                        | "ConfigMapVolumeSource"
                        | "SecretEnvSource"
                        | "SecretKeySelector"
                        | "SecretProjection",
                    "name"
                ) | ("ScaleSpec", "replicas")
                    | ("ReplicationControllerSpec", "minReadySeconds")
                    | ("AzureDiskVolumeSource", "readOnly")
                    | ("FileKeySelector", "optional")
                    | ("GRPCAction", "service")
            )
}

/// Whether a set, optional field is not written.
fn dropped(schemas: &Schemas, owner: &str, short: &str, name: &str, of: &TypeRef, value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) if fields.is_empty() => {
            matches!(schemas.resolve(of).map(|t| &t.shape), Some(Shape::Map { .. }))
        }
        Value::String(text) => match schemas.resolve(of).map(|t| &t.shape) {
            Some(Shape::String { format: Some(StringFormat::Byte), .. }) => text.is_empty(),
            Some(Shape::String { .. }) => text.is_empty() && !string_pointer(owner, short, name),
            _ => false,
        },
        Value::Number(n) => n.as_i64() == Some(0) && plain_number(short, name),
        Value::Bool(false) => plain_bool(short, name),
        _ => false,
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::String(s) => s.is_empty(),
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::Bool(b) => !b,
        _ => false,
    }
}

/// Lists that are written even when nobody set them: as null, also where an empty one was given.
fn null_when_empty(owner: &str, short: &str, name: &str, field: &irori_api::schema::Field) -> bool {
    (field.required && !omitted_though_required(short, name)) || written_as_null(owner, short, name)
}

/// Times held by value and pointers without omitempty.
fn written_as_null(owner: &str, short: &str, name: &str) -> bool {
    matches!(
        (short, name),
        ("Event", "firstTimestamp" | "lastTimestamp" | "eventTime" | "deprecatedFirstTimestamp" | "deprecatedLastTimestamp")
            | ("EventSeries", "lastObservedTime")
            | ("PodCondition", "lastProbeTime" | "lastTransitionTime")
            | ("NodeCondition", "lastHeartbeatTime" | "lastTransitionTime")
            | ("ContainerStateRunning", "startedAt")
            | ("ContainerStateTerminated", "startedAt" | "finishedAt")
            | ("HorizontalPodAutoscalerCondition", "lastTransitionTime")
            | ("CustomResourceDefinitionCondition", "lastTransitionTime")
            | ("APIServiceCondition", "lastTransitionTime")
            | ("FlowSchemaCondition" | "PriorityLevelConfigurationCondition", "lastTransitionTime")
            | ("JobCondition", "lastProbeTime" | "lastTransitionTime")
            | ("DeploymentCondition", "lastUpdateTime" | "lastTransitionTime")
            | (
                "ReplicaSetCondition" | "DaemonSetCondition" | "StatefulSetCondition" | "ReplicationControllerCondition",
                "lastTransitionTime"
            )
            | ("PersistentVolumeClaimCondition", "lastProbeTime" | "lastTransitionTime")
            | ("NamespaceCondition", "lastTransitionTime")
            | ("CertificateSigningRequestCondition", "lastUpdateTime" | "lastTransitionTime")
            | ("VolumeError", "time")
            | ("TokenRequestSpec", "boundObjectRef")
            | ("CSINodeDriver", "topologyKeys")
            | ("EndpointSlice", "endpoints")
            | ("Role" | "ClusterRole", "rules")
            | ("DeviceClaim", "requests")
            | ("CustomResourceDefinitionStatus", "conditions" | "storedVersions")
    ) || (short == "HorizontalPodAutoscalerStatus" && name == "currentMetrics" && owner.contains(".v2."))
}

/// Fields that the schema requires and that are written only when set.
fn omitted_though_required(short: &str, name: &str) -> bool {
    matches!((short, name), ("LocalObjectReference", "name"))
}

/// Numbers that are no pointers: their zero is not written.
fn plain_number(short: &str, name: &str) -> bool {
    matches!(
        (short, name),
        (
            "DaemonSetSpec" | "DeploymentSpec" | "ReplicaSetSpec" | "StatefulSetSpec" | "ReplicationControllerSpec",
            "minReadySeconds"
        ) | ("DaemonSetStatus", "numberAvailable" | "numberUnavailable" | "updatedNumberScheduled")
            | (
                "DeploymentStatus",
                "availableReplicas" | "readyReplicas" | "replicas" | "unavailableReplicas" | "updatedReplicas"
            )
            | (
                "ReplicaSetStatus" | "ReplicationControllerStatus",
                "availableReplicas" | "fullyLabeledReplicas" | "readyReplicas"
            )
            | ("StatefulSetStatus", "currentReplicas" | "readyReplicas" | "updatedReplicas")
            | (
                "DaemonSetStatus"
                    | "DeploymentStatus"
                    | "ReplicaSetStatus"
                    | "ReplicationControllerStatus"
                    | "StatefulSetStatus"
                    | "PodDisruptionBudgetStatus"
                    | "PodCondition"
                    | "PodStatus"
                    | "Condition"
                    | "ValidatingAdmissionPolicyStatus"
                    | "CustomResourceDefinitionCondition"
                    | "CustomResourceDefinitionStatus",
                "observedGeneration"
            )
            | ("HorizontalPodAutoscalerStatus", "currentReplicas")
            | ("JobStatus", "active" | "failed" | "succeeded")
            | ("AWSElasticBlockStoreVolumeSource" | "GCEPersistentDiskVolumeSource", "partition")
            | ("ContainerImage", "sizeBytes")
            | ("ContainerPort", "hostPort")
            | ("ContainerStateTerminated", "signal")
            | ("Event" | "EventSeries", "count")
            | ("Event", "deprecatedCount")
            | ("Probe", "failureThreshold" | "initialDelaySeconds" | "periodSeconds" | "successThreshold" | "timeoutSeconds")
            | ("ServicePort", "nodePort")
            | ("ServiceSpec", "healthCheckNodePort")
            | ("ServiceBackendPort", "number")
            | ("CustomResourceColumnDefinition", "priority")
            | ("Status", "code")
            | ("StatusDetails", "retryAfterSeconds")
            | ("ObjectMeta", "generation")
            | ("DeviceSubRequest" | "ExactDeviceRequest", "count")
            | ("ScaleSpec" | "ScaleStatus", "replicas")
            | ("Scale", "replicas")
    ) && (short != "ScaleStatus")
}

/// Booleans that are no pointers: `false` is not written.
fn plain_bool(short: &str, name: &str) -> bool {
    match (short, name) {
        ("AzureDiskVolumeSource" | "CSIVolumeSource", "readOnly") => false,
        (_, "readOnly") => true,
        _ => matches!(
            (short, name),
            ("Container" | "EphemeralContainer", "stdin" | "stdinOnce" | "tty")
                | ("PodSpec", "hostIPC" | "hostNetwork" | "hostPID")
                | ("ServiceSpec", "publishNotReadyAddresses")
                | ("ISCSIVolumeSource" | "ISCSIPersistentVolumeSource", "chapAuthDiscovery" | "chapAuthSession")
                | ("ScaleIOVolumeSource" | "ScaleIOPersistentVolumeSource", "sslEnabled")
                | ("NodeSpec", "unschedulable")
                | ("TokenReviewStatus", "authenticated")
                | ("SubjectAccessReviewStatus", "denied")
                | ("DeploymentSpec", "paused")
                | ("PriorityClass", "globalDefault")
                | ("ResourcePolicyRule", "clusterScope")
                | (
                    "JSONSchemaProps",
                    "exclusiveMaximum"
                        | "exclusiveMinimum"
                        | "nullable"
                        | "uniqueItems"
                        | "x-kubernetes-embedded-resource"
                        | "x-kubernetes-int-or-string"
                )
                | ("CustomResourceDefinitionVersion", "deprecated")
                | ("CustomResourceDefinitionSpec", "preserveUnknownFields")
                | ("APIServiceSpec", "insecureSkipTLSVerify")
                | ("CSIDriverSpec", "preventPodSchedulingIfMissing")
        ),
    }
}

/// Strings that are pointers: an empty one is written.
fn string_pointer(owner: &str, short: &str, name: &str) -> bool {
    match (short, name) {
        ("EndpointPort", "name" | "protocol") => owner.contains(".discovery."),
        ("ServiceReference", "path") => true,
        (_, "appProtocol" | "volumeAttributesClassName" | "mountPropagation" | "recursiveReadOnly" | "volumeMode") => true,
        ("ServiceSpec", "loadBalancerClass" | "internalTrafficPolicy" | "ipFamilyPolicy" | "trafficDistribution") => true,
        ("PersistentVolumeClaimSpec", "storageClassName") => true,
        ("PersistentVolumeClaimStatus", "currentVolumeAttributesClassName") => true,
        ("PodSpec", "runtimeClassName" | "preemptionPolicy" | "hostnameOverride") => true,
        ("HostPathVolumeSource", "type") => true,
        ("EndpointAddress", "nodeName") | ("Endpoint", "hostname" | "nodeName" | "zone") => true,
        ("IngressSpec", "ingressClassName") | ("HTTPIngressPath", "pathType") | ("NetworkPolicyPort", "protocol") => true,
        ("IngressClassParametersReference", "apiGroup" | "scope" | "namespace") => true,
        ("TypedLocalObjectReference" | "TypedObjectReference", "apiGroup" | "namespace") => true,
        ("LeaseSpec", "holderIdentity" | "strategy" | "preferredHolder") => true,
        ("SecurityContext", "procMount") => true,
        ("PodSecurityContext", "fsGroupChangePolicy" | "supplementalGroupsPolicy" | "seLinuxChangePolicy") => true,
        ("Container" | "EphemeralContainer", "restartPolicy") => true,
        ("WindowsSecurityContextOptions", _) => true,
        ("SeccompProfile" | "AppArmorProfile", "localhostProfile") => true,
        ("TopologySpreadConstraint", "nodeAffinityPolicy" | "nodeTaintsPolicy") => true,
        ("GRPCAction", "service") | ("PodDNSConfigOption", "value") => true,
        ("PodResourceClaim", "resourceClaimName" | "resourceClaimTemplateName")
        | ("PodResourceClaimStatus", "resourceClaimName") => true,
        ("CSIVolumeSource", "fsType") | ("AzureDiskVolumeSource", "cachingMode" | "fsType" | "kind") => true,
        ("AzureFilePersistentVolumeSource", "secretNamespace") => true,
        ("StorageClass", "reclaimPolicy" | "volumeBindingMode") | ("CSIDriverSpec", "fsGroupPolicy") => true,
        ("VolumeAttachmentSource", "persistentVolumeName") => true,
        ("PodDisruptionBudgetSpec", "unhealthyPodEvictionPolicy") => true,
        ("JobSpec", "completionMode" | "podReplacementPolicy" | "managedBy") => true,
        ("PodFailurePolicyOnExitCodesRequirement", "containerName")
        | ("SuccessPolicyRule", "succeededIndexes")
        | ("JobStatus", "failedIndexes") => true,
        ("CronJobSpec", "timeZone") | ("HPAScalingRules", "selectPolicy") => true,
        ("MutatingWebhook" | "ValidatingWebhook", "failurePolicy" | "matchPolicy" | "sideEffects" | "reinvocationPolicy") => true,
        ("RuleWithOperations" | "NamedRuleWithOperations", "scope") | ("WebhookClientConfig", "url") => true,
        ("ValidatingAdmissionPolicySpec" | "MutatingAdmissionPolicySpec", "failurePolicy")
        | ("MatchResources", "matchPolicy") => true,
        ("Validation" | "ValidationRule", "reason") | ("ParamRef", "parameterNotFoundAction") => true,
        ("PriorityClass", "preemptionPolicy") => true,
        ("DeviceAttribute", "string" | "version") | ("Device" | "ResourceSliceSpec", "nodeName") => true,
        ("ClusterTrustBundleProjection", "name" | "signerName") => true,
        ("LoadBalancerIngress", "ipMode") | ("PortStatus" | "IngressPortStatus", "error") => true,
        ("DeleteOptions", "propagationPolicy") | ("Preconditions", "uid" | "resourceVersion") => true,
        ("CustomResourceSubresourceScale", "labelSelectorPath") => true,
        ("JSONSchemaProps", "$ref" | "x-kubernetes-list-type" | "x-kubernetes-map-type") => true,
        _ => false,
    }
}
