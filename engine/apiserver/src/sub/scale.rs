//! scale: how many replicas, in the words of autoscaling/v1.
use std::sync::Arc;

use irori_api::{
    field::{FieldError, FieldPath, Wrong},
    row::Row,
    schema::TypeRef,
};
use irori_http::Response;
use irori_rules::{Part, managed, tree};
use serde_json::Value;

use crate::{
    call::Call,
    change::{self, Replaced, Target},
    commit::Lost,
    decode, limits, negotiate,
    options::WriteOptions,
    patch::{self, Patch},
    path, precondition, read,
    refusal::{About, Answered, Refusal},
    respond,
    server::Server,
};

const TYPE: &str = "io.k8s.api.autoscaling.v1.Scale";

pub async fn answer(server: &Arc<Server>, call: &mut Call, row: &Arc<Row>) -> Answered<Response> {
    let sub = row.subresources.get("scale").ok_or_else(Refusal::no_such_path)?.clone();
    let of = TypeRef::Named(TYPE.into());
    let name = call.asked.name.clone();
    if call.asked.verb == "get" {
        let scale = read_scale(row, &object_of(server, row, call).await?.1)?;
        return show(server, call, &scale);
    }
    let patch = match call.asked.verb {
        "update" => None,
        "patch" => Some(patch::read(server, call).await?),
        _ => return Err(path::not_supported()),
    };
    let options = match &patch {
        Some(patch) => patch.options(server, call)?,
        None => WriteOptions::read(server, call)?,
    };
    let asked = match &patch {
        None => Some(decode::typed(server, call, &sub.gvk, &of).await?),
        Some(_) => None,
    };
    // A patch walks the schema of Scale, not of the object behind it.
    let scale_row = managed::scale_row(&server.tables, row).ok_or_else(Refusal::no_such_path)?;
    for _ in 0..limits::CONFLICT_TRIES_MAX {
        let (entry, mut object) = object_of(server, row, call).await?;
        let shown = read_scale(row, &object)?;
        let mut current = shown.clone();
        managed::scale_entries(row, &object, &mut current);
        let mut wanted = match (&asked, &patch) {
            (Some(asked), _) => asked.clone(),
            (None, Some(Patch::Apply(apply))) => {
                let (writer, config) = (options.writer(), apply.config()?);
                let applied = managed::apply_scale(&server.tables, &scale_row, &current, config, &writer, options.force)
                    .map_err(patch::refuse_apply)?;
                apply.complain(call)?;
                applied
            }
            (None, Some(Patch::Change(change))) => patch::change(server, call, &scale_row, &current, change)?,
            (None, None) => return Err(path::not_supported()),
        };
        if !matches!(patch, Some(Patch::Apply(_))) {
            managed::track_scale(&server.tables, &scale_row, &current, &mut wanted, &options.writer());
        }
        precondition::require_name(&wanted, &name)?;
        let (uid, own) = (change::text(&wanted, "uid"), change::text(&object, "uid"));
        if asked.is_some() {
            precondition::require_uid(row, &entry.key, &name, uid, own)?;
        }
        check(&wanted, &name)?;
        precondition::require_scale_uid(row, &name, uid, own)?;
        let revision = change::text(&wanted, "resourceVersion").to_owned();
        let old = object.clone();
        tree::set(&mut object, &["metadata", "resourceVersion"], revision);
        irori_rules::write_scale(row, &mut object, &wanted);
        managed::take_scale_entries(row, &mut object, &mut wanted);
        let target = Target { row, stored_row: row, entry: &entry, part: Part::Sub("scale"), dry_run: options.dry_run };
        match change::replace(server, call, &target, old, object).await {
            Ok(Replaced::Written(object)) => return show(server, call, &read_scale(row, &object)?),
            Ok(Replaced::Same(_)) => return show(server, call, &shown),
            Err(Lost::Race) => {}
            Err(Lost::Refused(refusal)) => return Err(refusal),
        }
    }
    Err(Refusal::modified(read::about(row, &name)))
}

fn check(scale: &Value, name: &str) -> Answered<()> {
    let replicas = tree::int(scale, &["spec", "replicas"]).unwrap_or(0);
    if replicas >= 0 {
        return Ok(());
    }
    let field = FieldPath::new("spec").child("replicas");
    let error = FieldError::new(field, Wrong::Invalid, replicas, "must be greater than or equal to 0");
    Err(Refusal::invalid_field(About { group: "autoscaling", resource: "Scale", name }, error))
}

async fn object_of(server: &Server, row: &Row, call: &Call) -> Answered<(irori_store::Entry, Value)> {
    let entry = read::find(server, row, &call.asked.namespace, &call.asked.name).await?;
    let object = respond::tree(server, row, &entry)?;
    Ok((entry, object))
}

fn read_scale(row: &Row, object: &Value) -> Answered<Value> {
    irori_rules::read_scale(row, object).ok_or_else(Refusal::no_such_path)
}

fn show(server: &Server, call: &Call, scale: &Value) -> Answered<Response> {
    let form = negotiate::wanted(call)?.form;
    Ok(respond::value(server, call, form, 200, scale))
}
