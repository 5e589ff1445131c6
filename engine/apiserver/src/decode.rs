//! decode + default: a body becomes a canonical object of its kind.
use bytes::Bytes;
use irori_api::{
    codec::{CodecError, Read},
    row::{Gvk, Row},
    schema::TypeRef,
};
use irori_http::ReadError;
use irori_rules::{Part, Room, TooLarge};
use serde_json::Value;

use crate::{
    call::Call,
    codec, limits,
    negotiate::{self, Form},
    options::{self, FieldValidation},
    refusal::{Answered, Refusal},
    server::Server,
};

/// Bytes of a body that are shown where it cannot be read.
const SHOWN_BYTES: usize = 30;

/// Reads the body, at most `BODY_BYTES_MAX`.
pub async fn body(call: &mut Call) -> Answered<Bytes> {
    let Some(body) = call.take_body() else { return Ok(Bytes::new()) };
    if let Some(length) = call.header("content-length").and_then(|v| v.parse::<usize>().ok())
        && length > limits::BODY_BYTES_MAX
    {
        irori_http::drain(body).await;
        return Err(body_too_large());
    }
    irori_http::read_limited(body, limits::BODY_BYTES_MAX).await.map_err(|source| match source {
        ReadError::TooLarge { .. } => body_too_large(),
        ReadError::Read { source } => Refusal::bad_request(format!("read request body: {source}")),
    })
}

fn body_too_large() -> Refusal {
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
    let parsed = match codec::parse(server, form, &bytes, Some(gvk)) {
        Ok(Read { value: Value::Null, duplicates }) => Read { value: serde_json::Map::new().into(), duplicates },
        Ok(parsed) => parsed,
        Err(CodecError::Syntax(why)) if form == Form::Json => {
            return Err(unrecognized(gvk, &bytes, &format!("couldn't get version/kind; json parse error: {why}")));
        }
        // From YAML to JSON it never came.
        Err(CodecError::Syntax(why)) => {
            return Err(unrecognized(gvk, &bytes, why.trim_start_matches("error converting YAML to JSON: ")));
        }
        Err(source) => return Err(Refusal::bad_request(source.to_string())),
    };
    if !parsed.value.is_object() {
        let decoded = irori_rules::decode_type(&server.tables, &gvk.api_version(), &gvk.kind, of, parsed.value);
        return Err(unrecognized(gvk, &bytes, &decoded.err().map_or(String::new(), |source| source.why)));
    }
    finish(server, call, gvk, of, parsed.value, parsed.duplicates)
}

/// A body whose kind cannot even be looked for; its beginning is shown.
fn unrecognized(gvk: &Gvk, body: &[u8], why: &str) -> Refusal {
    let begin = &body[..body.len().min(SHOWN_BYTES)];
    let more = if body.len() > SHOWN_BYTES { " ..." } else { "" };
    let shown = match begin.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => String::from_utf8_lossy(begin).into_owned(),
        Some(_) => begin.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    Refusal::bad_request(format!("the object provided is unrecognized (must be of type {}): {why} ({shown}{more})", gvk.kind))
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
    let validation = options::field_validation(call);
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

/// Fills in the defaults of an object that is to be stored.
pub fn fill_in(server: &Server, row: &Row, part: Part<'_>, object: &mut Value) -> Answered<()> {
    let counts = |name: &str| counts(row, part, name);
    irori_rules::default_within(&server.tables, row, object, &room(server, &counts)).map_err(too_large)
}

/// How large an object may be that a request makes.
pub fn room<'a>(server: &Server, counts: &'a dyn Fn(&str) -> bool) -> Room<'a> {
    Room { bytes_max: server.store.limits().value_bytes_max, grown_max: limits::GROWN_BYTES_MAX, counts }
}

/// Whether a field of an object counts: not what the request cannot change, or is not stored.
pub fn counts(row: &Row, part: Part<'_>, name: &str) -> bool {
    match part {
        Part::Main if name == "status" => !irori_rules::strategy(row).status,
        Part::Main => !matches!(name, "apiVersion" | "kind" | "metadata"),
        Part::Status => name == "status",
        Part::Sub(_) => false,
    }
}

pub fn too_large(source: TooLarge) -> Refusal {
    Refusal::too_large(format!("Request entity too large: {source}"))
}
