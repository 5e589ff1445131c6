//! patch: what the client wants changed, applied to what is there.
use irori_api::{
    row::Row,
    status::{Details, Status},
};
use irori_rules::{PatchError, PatchKind, tree};
use serde_json::Value;

use crate::{
    call::Call,
    codec, decode, limits,
    negotiate::Form,
    refusal::{Answered, Refusal},
    server::Server,
};

const ACCEPTED: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json"];

/// A parsed patch.
pub struct Patch {
    pub kind: PatchKind,
    pub value: Value,
    duplicates: Vec<String>,
}

/// Reads the patch that the content type names.
pub async fn read(server: &Server, call: &mut Call) -> Answered<Patch> {
    let header = call.header("content-type").unwrap_or("");
    let kind = match header.split(';').next().unwrap_or("").trim() {
        "application/json-patch+json" => PatchKind::Json,
        "application/merge-patch+json" => PatchKind::Merge,
        "application/strategic-merge-patch+json" => PatchKind::Strategic,
        "application/apply-patch+yaml" | "application/apply-patch+cbor" => {
            let mut refusal = Refusal::unsupported_media_type(&ACCEPTED);
            refusal.message = format!("server-side apply is not implemented by irori yet; {}", refusal.message);
            return Err(refusal);
        }
        _ => return Err(Refusal::unsupported_media_type(&ACCEPTED)),
    };
    let bytes = decode::body(call).await?;
    let parsed = codec::read(server, Form::Json, &bytes, None)?;
    if let (PatchKind::Json, Some(operations)) = (kind, parsed.value.as_array())
        && operations.len() > limits::PATCH_OPERATIONS_MAX
    {
        return Err(Refusal::too_large(format!(
            "The allowed maximum operations in a JSON patch is {}, got {}",
            limits::PATCH_OPERATIONS_MAX,
            operations.len()
        )));
    }
    Ok(Patch { kind, value: parsed.value, duplicates: parsed.duplicates })
}

/// Applies a patch to the current object in the version of the request, and decodes the outcome.
pub fn apply(server: &Server, call: &mut Call, row: &Row, current: &Value, patch: &Patch) -> Answered<Value> {
    let patched = irori_rules::apply_patch(&server.tables, row, current, patch.kind, &patch.value).map_err(refusal)?;
    if tree::depth(&patched) > limits::NESTING_MAX {
        return Err(Refusal::bad_request(format!("the object would be nested deeper than the limit of {}", limits::NESTING_MAX)));
    }
    decode::finish(server, call, &row.gvk, &row.of, patched, patch.duplicates.clone())
}

fn refusal(source: PatchError) -> Refusal {
    match source {
        PatchError::BadRequest(message) => Refusal::bad_request(message),
        PatchError::Unprocessable(message) => Status::new(422, "Invalid", message).with_details(Details::default()).into(),
        PatchError::TooLarge(message) => Refusal::too_large(message),
        PatchError::Plain(message) => Refusal::new(500, "", message),
    }
}
