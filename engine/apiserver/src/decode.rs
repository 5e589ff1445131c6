//! decode + default: a body becomes a canonical object of its kind.
use bytes::Bytes;
use irori_api::{
    field::{ErrorList, FieldPath},
    row::{Gvk, Row},
    schema::TypeRef,
};
use irori_http::ReadError;
use serde_json::Value;

use crate::{
    call::Call,
    codec, limits, negotiate,
    refusal::{Answered, Refusal},
    server::Server,
};

/// What is done about unknown and repeated fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

/// `fieldValidation`; what is not said is a warning.
pub fn field_validation(call: &Call) -> Answered<FieldValidation> {
    match call.query.text("fieldValidation") {
        None | Some("Warn") => Ok(FieldValidation::Warn),
        Some("Ignore") => Ok(FieldValidation::Ignore),
        Some("Strict") => Ok(FieldValidation::Strict),
        Some(other) => Err(unsupported_option(call, "fieldValidation", other, &["Ignore", "Strict", "Warn"])),
    }
}

/// `dryRun`: `All` or nothing.
pub fn dry_run(call: &Call) -> Answered<bool> {
    let mut dry = false;
    for value in call.query.all("dryRun").filter(|v| !v.is_empty()) {
        if value != "All" {
            return Err(unsupported_option(call, "dryRun", value, &["All"]));
        }
        dry = true;
    }
    Ok(dry)
}

/// `dryRun` of DeleteOptions in a body. What is not understood must not become a deletion.
pub fn dry_run_of(options: &Value) -> Answered<bool> {
    let asked = irori_rules::tree::items(options, &["dryRun"]);
    match asked.iter().find(|v| *v != "All") {
        Some(other) => Err(unsupported("DeleteOptions", "dryRun", other.as_str().unwrap_or(""), &["All"])),
        None => Ok(!asked.is_empty()),
    }
}

fn unsupported_option(call: &Call, field: &str, value: &str, supported: &[&str]) -> Refusal {
    let resource = match call.asked.verb {
        "create" => "CreateOptions",
        "patch" => "PatchOptions",
        "delete" | "deletecollection" => "DeleteOptions",
        _ => "UpdateOptions",
    };
    unsupported(resource, field, value, supported)
}

fn unsupported(resource: &str, field: &str, value: &str, supported: &[&str]) -> Refusal {
    let mut errors = ErrorList::default();
    errors.not_supported(FieldPath::new(field), value, supported);
    Refusal::invalid(crate::refusal::About { group: "meta.k8s.io", resource, name: "" }, &errors)
}

/// Reads the body, at most `BODY_BYTES_MAX`.
pub async fn body(call: &mut Call) -> Answered<Bytes> {
    let Some(body) = call.take_body() else { return Ok(Bytes::new()) };
    if let Some(length) = call.header("content-length").and_then(|v| v.parse::<usize>().ok())
        && length > limits::BODY_BYTES_MAX
    {
        irori_http::drain(body).await;
        return Err(too_large());
    }
    irori_http::read_limited(body, limits::BODY_BYTES_MAX).await.map_err(|source| match source {
        ReadError::TooLarge { .. } => too_large(),
        ReadError::Read { source } => Refusal::bad_request(format!("read request body: {source}")),
    })
}

fn too_large() -> Refusal {
    Refusal::too_large(format!("Request entity too large: limit is {}", limits::BODY_BYTES_MAX))
}

/// Decodes the body as an object of the row's kind, without defaults.
pub async fn object(server: &Server, call: &mut Call, row: &Row) -> Answered<Value> {
    typed(server, call, &row.gvk, &row.of).await
}

/// Decodes the body as any type that has a kind of its own.
pub async fn typed(server: &Server, call: &mut Call, gvk: &Gvk, of: &TypeRef) -> Answered<Value> {
    let form = negotiate::body_form(call)?;
    let bytes = body(call).await?;
    if bytes.is_empty() {
        let message = format!(
            "{} in version {:?} cannot be handled as a {}: unexpected end of JSON input",
            gvk.kind, gvk.version, gvk.kind
        );
        return Err(Refusal::bad_request(message));
    }
    let parsed = codec::read(server, form, &bytes, Some(gvk))?;
    finish(server, call, gvk, of, parsed.value, parsed.duplicates)
}

/// Checks types, prunes, and answers unknown fields as `fieldValidation` says.
pub fn finish(
    server: &Server,
    call: &mut Call,
    gvk: &Gvk,
    of: &TypeRef,
    value: Value,
    duplicates: Vec<String>,
) -> Answered<Value> {
    let validation = field_validation(call)?;
    let decoded = irori_rules::decode_type(&server.tables, &gvk.api_version(), &gvk.kind, of, value)
        .map_err(|e| Refusal::bad_request(e.message))?;
    let twice = duplicates.into_iter().map(|path| format!("duplicate field {path:?}"));
    let complaints: Vec<String> = twice.chain(decoded.unknown).collect();
    match validation {
        FieldValidation::Strict if !complaints.is_empty() => {
            Err(Refusal::bad_request(irori_rules::DecodeError::strict(&gvk.api_version(), &gvk.kind, &complaints).message))
        }
        FieldValidation::Warn => {
            complaints.into_iter().for_each(|text| call.warn(text));
            Ok(decoded.object)
        }
        _ => Ok(decoded.object),
    }
}
