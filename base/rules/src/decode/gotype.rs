//! Names that Go's JSON decoder puts into its error texts: they are part of the API's wording.
use irori_api::schema::{IntegerBits, Schemas, Shape, StringFormat, Type, TypeRef};
use serde_json::Value;

/// What Go calls a JSON value.
pub fn json_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The structs embedded in `owner` that hold the field.
pub fn embedded(owner: &str, field: &str) -> &'static [&'static str] {
    match (owner, field) {
        ("Volume", f) if f != "name" => &["VolumeSource"],
        ("PersistentVolumeSpec", f) if f.ends_with("Disk") || PV_SOURCES.contains(&f) => &["PersistentVolumeSource"],
        ("Probe", "exec" | "httpGet" | "tcpSocket" | "grpc") => &["ProbeHandler"],
        ("IngressRule", "http") => &["IngressRuleValue"],
        ("EphemeralContainer", f) if f != "targetContainerName" => &["EphemeralContainerCommon"],
        (
            "ConfigMapKeySelector"
            | "SecretKeySelector"
            | "ConfigMapEnvSource"
            | "SecretEnvSource"
            | "ConfigMapProjection"
            | "SecretProjection"
            | "ConfigMapVolumeSource",
            "name",
        ) => &["LocalObjectReference"],
        ("PersistentVolumeClaim", "apiVersion" | "kind") => &["TypeMeta"],
        ("RuleWithOperations", f) if f != "operations" => &["Rule"],
        ("NamedRuleWithOperations", "operations") => &["RuleWithOperations"],
        ("NamedRuleWithOperations", f) if f != "resourceNames" => &["RuleWithOperations", "Rule"],
        _ => &[],
    }
}

const PV_SOURCES: &[&str] = &[
    "awsElasticBlockStore",
    "azureFile",
    "cephfs",
    "cinder",
    "csi",
    "fc",
    "flexVolume",
    "flocker",
    "glusterfs",
    "hostPath",
    "iscsi",
    "local",
    "nfs",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
];

/// The Go type of a schema type, where the table can tell it. `at` is the struct and field that hold the value.
pub fn go_type(schemas: &Schemas, of: &Type, at: Option<(&str, &str)>) -> String {
    let (owner, field) = at.unwrap_or(("", ""));
    if let Some(named) = named(owner, field) {
        return match of.shape {
            Shape::List(_) => format!("[]{named}"),
            _ => named.to_owned(),
        };
    }
    match &of.shape {
        Shape::Object(_) => go_name(&of.name),
        Shape::Map { values } => {
            let inner = inner(schemas, values);
            if inner == "resource.Quantity" { "v1.ResourceList".into() } else { format!("map[string]{inner}") }
        }
        Shape::List(list) => format!("[]{}", inner(schemas, &list.items)),
        Shape::String { format: Some(StringFormat::Byte), .. } => "[]uint8".into(),
        Shape::String { .. } => "string".into(),
        Shape::Integer { bits: IntegerBits::I32 } | Shape::IntOrString => "int32".into(),
        Shape::Integer { bits: IntegerBits::I64 } => "int64".into(),
        Shape::Number => "float64".into(),
        Shape::Boolean => "bool".into(),
        Shape::Quantity => "resource.Quantity".into(),
        Shape::Any => "interface {}".into(),
    }
}

fn inner(schemas: &Schemas, of: &TypeRef) -> String {
    schemas.resolve(of).map_or_else(|| "interface {}".into(), |of| go_type(schemas, of, None))
}

/// `io.k8s.api.core.v1.Container` is `v1.Container`.
fn go_name(name: &str) -> String {
    let mut parts = name.rsplit('.');
    match (parts.next(), parts.next()) {
        (Some(kind), Some(package)) => format!("{package}.{kind}"),
        _ => name.to_owned(),
    }
}

/// Named string types of fields, which the tables do not carry.
fn named(owner: &str, field: &str) -> Option<&'static str> {
    let owner = owner.rsplit('.').next().unwrap_or(owner);
    Some(match (owner, field) {
        (_, "imagePullPolicy") => "v1.PullPolicy",
        (_, "terminationMessagePolicy") => "v1.TerminationMessagePolicy",
        ("ContainerRestartRule", "action") => "v1.ContainerRestartRuleAction",
        ("Container" | "EphemeralContainer", "restartPolicy") => "v1.ContainerRestartPolicy",
        ("PodSpec", "restartPolicy") => "v1.RestartPolicy",
        ("PodSpec", "dnsPolicy") => "v1.DNSPolicy",
        ("PodSpec", "preemptionPolicy") | ("PriorityClass", "preemptionPolicy") => "v1.PreemptionPolicy",
        ("HTTPGetAction", "scheme") => "v1.URIScheme",
        ("ContainerPort" | "ServicePort" | "EndpointPort" | "NetworkPolicyPort" | "PortStatus", "protocol") => "v1.Protocol",
        ("ObjectMeta" | "OwnerReference" | "ObjectReference" | "Preconditions", "uid") => "types.UID",
        ("ServiceSpec", "type") => "v1.ServiceType",
        ("ServiceSpec", "sessionAffinity") => "v1.ServiceAffinity",
        ("ServiceSpec", "ipFamilies") => "v1.IPFamily",
        ("ServiceSpec", "ipFamilyPolicy") => "v1.IPFamilyPolicy",
        ("ServiceSpec", "externalTrafficPolicy") => "v1.ServiceExternalTrafficPolicy",
        ("ServiceSpec", "internalTrafficPolicy") => "v1.ServiceInternalTrafficPolicy",
        ("Toleration", "operator") => "v1.TolerationOperator",
        ("Toleration" | "Taint", "effect") => "v1.TaintEffect",
        ("NodeSelectorRequirement", "operator") => "v1.NodeSelectorOperator",
        ("LabelSelectorRequirement", "operator") => "v1.LabelSelectorOperator",
        ("TopologySpreadConstraint", "whenUnsatisfiable") => "v1.UnsatisfiableConstraintAction",
        ("TopologySpreadConstraint", "nodeAffinityPolicy" | "nodeTaintsPolicy") => "v1.NodeInclusionPolicy",
        ("SeccompProfile", "type") => "v1.SeccompProfileType",
        ("AppArmorProfile", "type") => "v1.AppArmorProfileType",
        ("Capabilities", "add" | "drop") => "v1.Capability",
        ("SecurityContext", "procMount") => "v1.ProcMountType",
        ("VolumeMount", "mountPropagation") => "v1.MountPropagationMode",
        ("VolumeMount", "recursiveReadOnly") => "v1.RecursiveReadOnlyMode",
        ("EmptyDirVolumeSource", "medium") => "v1.StorageMedium",
        ("HostPathVolumeSource", "type") => "v1.HostPathType",
        ("PersistentVolumeSpec" | "PersistentVolumeClaimSpec", "accessModes") => "v1.PersistentVolumeAccessMode",
        ("PersistentVolumeSpec", "persistentVolumeReclaimPolicy") | ("StorageClass", "reclaimPolicy") => {
            "v1.PersistentVolumeReclaimPolicy"
        }
        ("PersistentVolumeSpec" | "PersistentVolumeClaimSpec", "volumeMode") => "v1.PersistentVolumeMode",
        ("StorageClass", "volumeBindingMode") => "v1.VolumeBindingMode",
        ("CSIDriverSpec", "volumeLifecycleModes") => "v1.VolumeLifecycleMode",
        ("CSIDriverSpec", "fsGroupPolicy") => "v1.FSGroupPolicy",
        ("LeaseSpec", "strategy") => "v1.CoordinatedLeaseStrategy",
        ("RuleWithOperations" | "NamedRuleWithOperations", "operations") => "v1.OperationType",
        ("LimitResponse", "type") => "v1.LimitResponseType",
        ("PriorityLevelConfigurationSpec", "type") => "v1.PriorityLevelEnablement",
        ("HPAScalingPolicy", "type") => "v2.HPAScalingPolicyType",
        ("HPAScalingRules", "selectPolicy") => "v2.ScalingPolicySelect",
        ("MetricSpec", "type") => "v2.MetricSourceType",
        ("MetricTarget", "type") => "v2.MetricTargetType",
        ("Secret", "type") => "v1.SecretType",
        ("DeploymentStrategy", "type") => "v1.DeploymentStrategyType",
        ("DaemonSetUpdateStrategy", "type") => "v1.DaemonSetUpdateStrategyType",
        ("StatefulSetUpdateStrategy", "type") => "v1.StatefulSetUpdateStrategyType",
        ("StatefulSetSpec", "podManagementPolicy") => "v1.PodManagementPolicyType",
        ("JobSpec", "completionMode") => "v1.CompletionMode",
        ("JobSpec", "podReplacementPolicy") => "v1.PodReplacementPolicy",
        ("CronJobSpec", "concurrencyPolicy") => "v1.ConcurrencyPolicy",
        ("CertificateSigningRequestSpec", "usages") => "v1.KeyUsage",
        ("NetworkPolicySpec", "policyTypes") => "v1.PolicyType",
        ("HTTPIngressPath", "pathType") => "v1.PathType",
        ("EndpointSlice", "addressType") => "v1.AddressType",
        ("LimitRangeItem", "type") => "v1.LimitType",
        ("ResourceQuotaSpec", "scopes") => "v1.ResourceQuotaScope",
        ("NamespaceSpec", "finalizers") => "v1.FinalizerName",
        ("ContainerResizePolicy", "resourceName") => "v1.ResourceName",
        ("ContainerResizePolicy", "restartPolicy") => "v1.ResourceResizeRestartPolicy",
        ("ScopedResourceSelectorRequirement", "operator") => "v1.ScopeSelectorOperator",
        ("PodFailurePolicyOnExitCodesRequirement", "operator") => "v1.PodFailurePolicyOnExitCodesOperator",
        ("MutatingWebhook" | "ValidatingWebhook" | "ValidatingAdmissionPolicySpec", "failurePolicy") => "v1.FailurePolicyType",
        ("MutatingWebhook" | "ValidatingWebhook" | "MatchResources", "matchPolicy") => "v1.MatchPolicyType",
        ("MutatingWebhook" | "ValidatingWebhook", "sideEffects") => "v1.SideEffectClass",
        ("RuleWithOperations" | "NamedRuleWithOperations", "scope") => "v1.ScopeType",
        _ => return None,
    })
}
