//! What types and fields are for, in words: read off k8s-openapi, which carries the descriptions of upstream's OpenAPI.
//!
//! None is kept in the tables. Reading all of them takes some milliseconds and megabytes, so it is done when a document or a table
//! wants them, and what a table wants is little enough to be kept.
use std::collections::BTreeMap;

use k8s_openapi::{api, apiextensions_apiserver, apimachinery, kube_aggregator};
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::Value;

/// Descriptions of all built-in types that k8s-openapi has.
pub struct Descriptions(BTreeMap<String, TypeText>);

#[derive(Default)]
struct TypeText {
    own: Option<String>,
    fields: BTreeMap<String, String>,
}

macro_rules! read {
    ($generator:ident: $($of:ty,)*) => {
        $(let _reference = $generator.subschema_for::<$of>();)*
    };
}

impl Descriptions {
    /// Reads all of them.
    pub fn read() -> Self {
        let mut generator = SchemaSettings::draft2020_12().into_generator();
        built_in(&mut generator);
        let definitions = generator.take_definitions(false);
        Self(definitions.into_iter().map(|(name, schema)| (name, TypeText::of(schema))).collect())
    }

    /// Of a type: `io.k8s.api.core.v1.Pod`.
    pub fn of(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.own.as_deref()
    }

    pub fn field(&self, name: &str, field: &str) -> Option<&str> {
        self.0.get(name)?.fields.get(field).map(String::as_str)
    }
}

impl TypeText {
    fn of(schema: Value) -> Self {
        let Value::Object(mut schema) = schema else { return Self::default() };
        let text = |value: &mut Value| match value.get_mut("description").map(Value::take) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let mut fields = BTreeMap::new();
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            fields.extend(properties.iter_mut().filter_map(|(name, field)| Some((name.clone(), text(field)?))));
        }
        Self { own: text(&mut Value::Object(schema)), fields }
    }
}

/// Every kind that can be stored or answered; the types below come along.
fn built_in(generator: &mut SchemaGenerator) {
    read!(generator:
        api::admissionregistration::v1::MutatingAdmissionPolicy,
        api::admissionregistration::v1::MutatingAdmissionPolicyBinding,
        api::admissionregistration::v1::MutatingWebhookConfiguration,
        api::admissionregistration::v1::ValidatingAdmissionPolicy,
        api::admissionregistration::v1::ValidatingAdmissionPolicyBinding,
        api::admissionregistration::v1::ValidatingWebhookConfiguration,
        api::apps::v1::ControllerRevision,
        api::apps::v1::DaemonSet,
        api::apps::v1::Deployment,
        api::apps::v1::ReplicaSet,
        api::apps::v1::StatefulSet,
        api::authentication::v1::SelfSubjectReview,
        api::authentication::v1::TokenRequest,
        api::authentication::v1::TokenReview,
        api::authorization::v1::LocalSubjectAccessReview,
        api::authorization::v1::SelfSubjectAccessReview,
        api::authorization::v1::SelfSubjectRulesReview,
        api::authorization::v1::SubjectAccessReview,
        api::autoscaling::v1::HorizontalPodAutoscaler,
        api::autoscaling::v1::Scale,
        api::autoscaling::v2::HorizontalPodAutoscaler,
        api::batch::v1::CronJob,
        api::batch::v1::Job,
        api::certificates::v1::CertificateSigningRequest,
        api::coordination::v1::Lease,
        api::core::v1::Binding,
        api::core::v1::ComponentStatus,
        api::core::v1::ConfigMap,
        api::core::v1::Endpoints,
        api::core::v1::Event,
        api::core::v1::LimitRange,
        api::core::v1::Namespace,
        api::core::v1::Node,
        api::core::v1::PersistentVolume,
        api::core::v1::PersistentVolumeClaim,
        api::core::v1::Pod,
        api::core::v1::PodTemplate,
        api::core::v1::ReplicationController,
        api::core::v1::ResourceQuota,
        api::core::v1::Secret,
        api::core::v1::Service,
        api::core::v1::ServiceAccount,
        api::discovery::v1::EndpointSlice,
        api::events::v1::Event,
        api::flowcontrol::v1::FlowSchema,
        api::flowcontrol::v1::PriorityLevelConfiguration,
        api::networking::v1::IPAddress,
        api::networking::v1::Ingress,
        api::networking::v1::IngressClass,
        api::networking::v1::NetworkPolicy,
        api::networking::v1::ServiceCIDR,
        api::node::v1::RuntimeClass,
        api::policy::v1::Eviction,
        api::policy::v1::PodDisruptionBudget,
        api::rbac::v1::ClusterRole,
        api::rbac::v1::ClusterRoleBinding,
        api::rbac::v1::Role,
        api::rbac::v1::RoleBinding,
        api::resource::v1::DeviceClass,
        api::resource::v1::ResourceClaim,
        api::resource::v1::ResourceClaimTemplate,
        api::resource::v1::ResourceSlice,
        api::scheduling::v1::PriorityClass,
        api::storage::v1::CSIDriver,
        api::storage::v1::CSINode,
        api::storage::v1::CSIStorageCapacity,
        api::storage::v1::StorageClass,
        api::storage::v1::VolumeAttachment,
        api::storage::v1::VolumeAttributesClass,
        apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
        apimachinery::pkg::apis::meta::v1::APIResourceList,
        apimachinery::pkg::apis::meta::v1::DeleteOptions,
        apimachinery::pkg::apis::meta::v1::ListMeta,
        apimachinery::pkg::apis::meta::v1::Status,
        kube_aggregator::pkg::apis::apiregistration::v1::APIService,
    );
}

/// The descriptions of table columns.
pub struct ColumnTexts(BTreeMap<&'static str, BTreeMap<&'static str, String>>);

impl ColumnTexts {
    pub fn read() -> Self {
        let descriptions = Descriptions::read();
        let mut out: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
        let mut resource = "";
        for line in COLUMNS.lines().filter(|line| !line.starts_with('#')) {
            let Some(line) = line.strip_prefix('\t') else {
                resource = line;
                continue;
            };
            if let Some((name, text)) = column(line, &descriptions) {
                out.entry(resource).or_default().insert(name, text);
            }
        }
        for (name, field) in [("Name", "name"), ("Age", "creationTimestamp"), ("Created At", "creationTimestamp")] {
            let text = descriptions.field(OBJECT_META, field).unwrap_or_default();
            out.entry("").or_default().insert(name, text.to_owned());
        }
        Self(out)
    }

    /// Of a column of a resource of a group; empty where there is none.
    pub fn get(&self, group: &str, resource: &str, column: &str) -> &str {
        let group = if group.is_empty() { "-" } else { group };
        let resource = format!("{group}/{resource}");
        let of = |resource: &str| self.0.get(resource)?.get(column);
        of(&resource).or_else(|| of("")).map_or("", String::as_str)
    }
}

const COLUMNS: &str = include_str!("../tables/columns.txt");
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The name and text of a line of the table, whose head says how it is written.
fn column(line: &'static str, descriptions: &Descriptions) -> Option<(&'static str, String)> {
    if let Some((name, text)) = line.split_once(" : ") {
        return Some((name, text.replace("\\n", "\n")));
    }
    if let Some(name) = line.strip_suffix(" :") {
        return Some((name, String::new()));
    }
    let (name, reference) = line.split_once(" =")?;
    let (shortened, reference) = match reference.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, reference),
    };
    let mut words = reference.split_whitespace();
    let (of, field) = (words.next()?, words.next());
    let text = match field {
        Some(field) => descriptions.field(of, field)?,
        None => descriptions.of(of)?,
    };
    let text = if shortened {
        text.trim_end_matches('.').rsplit_once(". ").map_or(text, |(rest, _)| rest).to_owned() + "."
    } else {
        text.to_owned()
    };
    Some((name, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Tables;

    #[test]
    fn every_field_of_a_pod_is_described_somewhere() {
        let all = Descriptions::read();
        assert!(all.of("io.k8s.api.core.v1.Pod").unwrap().starts_with("Pod is a collection of containers"));
        assert!(all.field("io.k8s.api.core.v1.Container", "image").is_some());
        assert!(all.field(OBJECT_META, "creationTimestamp").unwrap().contains("RFC3339"));
    }

    #[test]
    fn every_line_of_the_column_table_names_a_column_that_there_is() {
        let tables = Tables::builtin();
        let texts = ColumnTexts::read();
        let lines = COLUMNS.lines().filter(|line| line.starts_with('\t')).count();
        // Name, Age and Created At are not in the table.
        assert_eq!(texts.0.values().map(BTreeMap::len).sum::<usize>(), lines + 3, "a line leads nowhere");
        let named = texts.0.iter().flat_map(|(resource, columns)| columns.keys().map(move |name| (*resource, *name)));
        for (resource, name) in named.filter(|(resource, _)| !resource.is_empty()) {
            let (group, plural) = resource.split_once('/').unwrap();
            let group = if group == "-" { "" } else { group };
            let found = tables.rows.values().filter(|row| row.gvr.group == group && row.gvr.resource == plural);
            assert!(found.flat_map(|row| &row.columns).any(|column| column.name == name), "{resource} {name}");
        }
        assert_eq!(texts.get("apps", "deployments", "Ready"), "Number of the pod with ready state");
        assert!(texts.get("rbac.authorization.k8s.io", "rolebindings", "Role").ends_with("must return an error."));
    }
}
