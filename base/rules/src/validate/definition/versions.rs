//! The versions of a definition, with what all of them share taken out.
//!
//! A stock server keeps a schema, subresources, columns and selectable fields that are the same in every version once, beside the
//! list, and tells their faults there.
use std::collections::BTreeSet;

use irori_api::{
    field::{ErrorList, FieldPath},
    names,
};
use serde_json::Value;

use super::{full, parts, schema_at, shown};
use crate::{
    tree::{flag, get, items, same, text},
    validate::schema::Ratchet,
};

/// A version and what it alone says.
pub struct Version<'a> {
    pub own: &'a Value,
    /// With `openAPIV3Schema` in it.
    pub schema: Option<&'a Value>,
    pub subresources: Option<&'a Value>,
    pub columns: Option<&'a Value>,
    pub selectable: Option<&'a Value>,
}

impl<'a> Version<'a> {
    pub fn name(&self) -> &'a str {
        text(self.own, &["name"])
    }
}

/// All versions, and what they share.
pub struct Versions<'a> {
    pub list: Vec<Version<'a>>,
    pub schema: Option<&'a Value>,
    pub subresources: Option<&'a Value>,
    pub columns: Option<&'a Value>,
    pub selectable: Option<&'a Value>,
    /// Whether any version has a status of its own.
    any_status: bool,
}

impl<'a> Versions<'a> {
    pub fn of(object: &'a Value) -> Versions<'a> {
        let all = items(object, &["spec", "versions"]);
        let first = |field: &str| all.first().and_then(|version| get(version, &[field]));
        let shared = |field: &str| all.iter().all(|version| get(version, &[field]) == first(field));
        let columns_shared = {
            let field = &["additionalPrinterColumns"];
            all.iter().all(|version| same(get(version, field), all.first().and_then(|v| get(v, field))))
        };
        let schema_shared = shared("schema");
        let selectable_shared =
            schema_shared && all.iter().all(|version| same(get(version, &["selectableFields"]), first("selectableFields")));
        let subresources_shared = shared("subresources");
        let list = all.iter().map(|own| Version {
            own,
            schema: get(own, &["schema"]).filter(|_| !schema_shared),
            subresources: get(own, &["subresources"]).filter(|_| !subresources_shared),
            columns: get(own, &["additionalPrinterColumns"]).filter(|_| !columns_shared),
            selectable: get(own, &["selectableFields"]).filter(|_| !selectable_shared),
        });
        Versions {
            list: list.collect(),
            schema: first("schema").filter(|_| schema_shared),
            subresources: first("subresources").filter(|_| subresources_shared),
            columns: first("additionalPrinterColumns").filter(|_| columns_shared),
            selectable: first("selectableFields").filter(|_| selectable_shared),
            any_status: all.iter().any(|version| get(version, &["subresources", "status"]).is_some()),
        }
    }
}

/// What is wrong with the versions one by one, and as a list.
pub fn check(versions: &Versions<'_>, ratchet: &Ratchet, at: &FieldPath, errors: &mut ErrorList) {
    let (mut seen, mut stored, mut unique) = (BTreeSet::new(), 0, true);
    let list_at = at.child("versions");
    for (i, version) in versions.list.iter().enumerate() {
        stored += usize::from(flag(version.own, &["storage"]));
        unique &= seen.insert(version.name());
        if full(errors) {
            continue;
        }
        let at = list_at.index(i);
        let wrong = names::dns_1035_label(version.name());
        if !wrong.is_empty() {
            errors.invalid(at.child("name"), version.name(), wrong.join(","));
        }
        parts::deprecation(version.own, &at.child("deprecationWarning"), errors);
        // Subresources that a stock server keeps beside the list count for every version.
        let status = get(versions.subresources.or(version.subresources).unwrap_or(&Value::Null), &["status"]).is_some();
        if let Some(schema) = version.schema.and_then(|schema| get(schema, &["openAPIV3Schema"])) {
            schema_at(schema, status, ratchet, &at.at(["schema", "openAPIV3Schema"]), errors);
        }
        parts::subresources(version.subresources, &at.child("subresources"), errors);
        parts::columns(version.columns, &at.child("additionalPrinterColumns"), errors);
        if let Some(fields) = version.selectable.and_then(Value::as_array).filter(|fields| !fields.is_empty()) {
            let at = at.child("selectableFields");
            match version.schema.and_then(|schema| get(schema, &["openAPIV3Schema"])) {
                Some(schema) => parts::selectable(fields, schema, &at, errors),
                None => {
                    let why = "selectableFields may only be set when version.schema.openAPIV3Schema is not included";
                    errors.invalid(at, "", why);
                }
            }
        }
    }
    let told = |errors: &mut ErrorList, why: &str| {
        let detail = format!("{}: {why}", shown::versions(&versions.list));
        errors.push(irori_api::field::FieldError::without_value(list_at.clone(), irori_api::field::Wrong::Invalid, detail));
    };
    if !unique {
        told(errors, "must contain unique version names");
    }
    if stored != 1 {
        told(errors, "must have exactly one version marked as storage version");
    }
    if let Some(first) = versions.list.first() {
        let wrong = names::dns_1035_label(first.name());
        if !first.name().is_empty() && !wrong.is_empty() {
            errors.invalid(at.child("version"), first.name(), wrong.join(","));
        }
    }
}

/// What is wrong with what the versions share.
pub fn check_shared(versions: &Versions<'_>, ratchet: &Ratchet, at: &FieldPath, errors: &mut ErrorList) {
    let schema = versions.schema.and_then(|schema| get(schema, &["openAPIV3Schema"]));
    if let Some(schema) = schema {
        schema_at(schema, versions.any_status, ratchet, &at.at(["validation", "openAPIV3Schema"]), errors);
    }
    parts::subresources(versions.subresources, &at.child("subresources"), errors);
    parts::columns(versions.columns, &at.child("additionalPrinterColumns"), errors);
    if let Some(fields) = versions.selectable.and_then(Value::as_array).filter(|fields| !fields.is_empty()) {
        let at = at.child("selectableFields");
        match versions.schema {
            Some(_) => parts::selectable(fields, schema.unwrap_or(&Value::Null), &at, errors),
            None => errors.invalid(at, "", "selectableFields may only be set when validations.schema is included"),
        }
    }
}
