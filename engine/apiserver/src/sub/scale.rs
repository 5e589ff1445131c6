//! scale: how many replicas, in the words of autoscaling/v1.
use std::sync::Arc;

use irori_api::{
    field::{FieldError, FieldPath, Wrong},
    row::Row,
    schema::TypeRef,
};
use irori_http::Response;
use irori_rules::{Part, tree};
use serde_json::Value;

use crate::{
    call::Call,
    change,
    commit::Lost,
    decode, limits, negotiate, patch, path, read,
    refusal::{About, Answered, Refusal},
    respond,
    server::Server,
};

const TYPE: &str = "io.k8s.api.autoscaling.v1.Scale";

pub async fn answer(server: &Arc<Server>, call: &mut Call, row: &Arc<Row>) -> Answered<Response> {
    let sub = row.subresources.get("scale").ok_or_else(Refusal::no_such_path)?.clone();
    let of = TypeRef::Named(TYPE.into());
    let name = call.asked.name.clone();
    let dry_run = decode::dry_run(call)?;
    let (asked, patch) = match call.asked.verb {
        "get" => {
            let scale = scale_of(server, row, call).await?.1;
            return show(server, call, &scale);
        }
        "update" => (Some(decode::typed(server, call, &sub.gvk, &of).await?), None),
        "patch" => (None, Some(patch::read(server, call).await?)),
        _ => return Err(path::not_supported()),
    };
    // The patch walks the schema of Scale, not of the object behind it.
    let mut scale_row = row.as_ref().clone();
    (scale_row.gvk, scale_row.of) = (sub.gvk.clone(), of);
    for _ in 0..limits::CONFLICT_TRIES_MAX {
        let (entry, current) = scale_of(server, row, call).await?;
        let wanted = match (&asked, &patch) {
            (Some(asked), _) => asked.clone(),
            (None, Some(wanted)) => patch::apply(server, call, &scale_row, &current, wanted)?,
            (None, None) => return Err(path::not_supported()),
        };
        check(&wanted, &name)?;
        let revision = change::text(&wanted, "resourceVersion").to_owned();
        let conditional = !revision.is_empty() && revision != change::text(&current, "resourceVersion");
        if conditional {
            return Err(Refusal::modified(read::about(row, &name)));
        }
        let mut object = respond::tree(server, row, &entry)?;
        irori_rules::write_scale(row, &mut object, &wanted);
        match change::replace(server, call, row, row, &entry, object, Part::Sub("scale"), dry_run).await {
            Ok(change::Replaced::Written(object)) => {
                return show(server, call, &irori_rules::read_scale(row, &object).ok_or_else(Refusal::no_such_path)?);
            }
            Ok(change::Replaced::Same(_)) => return show(server, call, &current),
            Err(Lost::Race) if asked.is_none() || revision.is_empty() => {}
            Err(Lost::Race) => return Err(Refusal::modified(read::about(row, &name))),
            Err(Lost::Refused(refusal)) => return Err(refusal),
        }
    }
    Err(Refusal::modified(read::about(row, &name)))
}

fn check(scale: &Value, name: &str) -> Answered<()> {
    let own = change::text(scale, "name");
    if own != name {
        let message = format!("the name of the object ({own}) does not match the name on the URL ({name})");
        return Err(Refusal::bad_request(message));
    }
    let replicas = tree::int(scale, &["spec", "replicas"]).unwrap_or(0);
    if replicas >= 0 {
        return Ok(());
    }
    let field = FieldPath::new("spec").child("replicas");
    let error = FieldError::new(field, Wrong::Invalid, replicas, "must be greater than or equal to 0");
    Err(Refusal::invalid_field(About { group: "autoscaling", resource: "Scale", name }, error))
}

async fn scale_of(server: &Server, row: &Row, call: &Call) -> Answered<(irori_store::Entry, Value)> {
    let entry = read::find(server, row, &call.asked.namespace, &call.asked.name).await?;
    let object = respond::tree(server, row, &entry)?;
    let scale = irori_rules::read_scale(row, &object).ok_or_else(Refusal::no_such_path)?;
    Ok((entry, scale))
}

fn show(server: &Server, call: &Call, scale: &Value) -> Answered<Response> {
    let form = negotiate::wanted(call)?.form;
    Ok(respond::value(server, call, form, 200, scale))
}
