//! Which objects a list or a watch shows: label and field selectors.
use irori_api::{
    row::Row,
    selector::{FieldRequirement, FieldSelector, LabelSelector},
};
use irori_store::Entry;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    query::ListOptions,
    refusal::{Answered, Refusal},
    stored,
};

/// Parsed selectors of one request.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selection {
    /// Parses both selectors; a field that the kind does not know is a 400.
    pub fn read(row: &Row, options: &ListOptions) -> Answered<Self> {
        let labels = LabelSelector::parse(&options.labels)?;
        let fields = FieldSelector::parse(&options.fields)?;
        let known = irori_rules::selectable_fields(row);
        if let Some(strange) = fields.requirements.iter().find(|r| !known.contains(&r.field.as_str())) {
            let what = irori_rules::unsupported_field(row, &strange.field);
            return Err(Refusal::bad_request(what));
        }
        Ok(Self { labels, fields })
    }

    pub fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.requirements.is_empty()
    }

    /// Selects no more than one name.
    pub fn only(&mut self, name: &str) {
        let requirement = FieldRequirement { field: "metadata.name".to_owned(), equals: true, value: name.to_owned() };
        if !self.fields.requirements.contains(&requirement) {
            self.fields.requirements.push(requirement);
        }
    }

    /// The one name that is selected, if there is only one.
    pub fn only_name(&self) -> Option<&str> {
        self.fields.requirements.iter().find(|r| r.equals && r.field == "metadata.name").map(|r| r.value.as_str())
    }

    /// Selects one name and asks for nothing else.
    pub fn is_one_name(&self) -> bool {
        self.only_name().is_some() && self.fields.requirements.len() == 1 && self.labels.is_everything()
    }

    /// Matches a whole tree.
    pub fn matches(&self, row: &Row, object: &Value) -> bool {
        let labels = || self.labels.is_everything() || self.labels.matches_labels(&object["metadata"]["labels"]);
        let fields = || {
            self.fields.requirements.iter().all(|r| {
                let value = match r.field.as_str() {
                    "metadata.name" => irori_rules::tree::text(object, &["metadata", "name"]).to_owned(),
                    "metadata.namespace" => irori_rules::tree::text(object, &["metadata", "namespace"]).to_owned(),
                    field => irori_rules::field_value(row, object, field).unwrap_or_default(),
                };
                (value == r.value) == r.equals
            })
        };
        labels() && fields()
    }

    /// Matches a stored entry, reading no more of it than is needed.
    pub fn matches_entry(&self, row: &Row, entry: &Entry) -> bool {
        if self.is_everything() {
            return true;
        }
        let Ok(head) = stored::head(entry) else { return false };
        let by_metadata =
            self.fields.requirements.iter().all(|r| matches!(r.field.as_str(), "metadata.name" | "metadata.namespace"));
        if !by_metadata {
            return stored::tree(entry).is_ok_and(|object| self.matches(row, &object));
        }
        let Ok(seen) = serde_json::from_slice::<MetadataOnly>(head.json) else { return false };
        let fields = self.fields.requirements.iter().all(|r| {
            let value = if r.field == "metadata.name" { &seen.metadata.name } else { &seen.metadata.namespace };
            (**value == r.value) == r.equals
        });
        fields && (self.labels.is_everything() || self.labels.matches(|key| seen.metadata.labels.get(key).map(|v| v.as_ref())))
    }
}

#[derive(Deserialize)]
struct MetadataOnly {
    metadata: Names,
}

#[derive(Deserialize)]
struct Names {
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    labels: std::collections::BTreeMap<String, String>,
}
