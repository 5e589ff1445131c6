//! patch: what the client wants changed, applied to what is there.
use irori_api::{
    codec::{Read, depth},
    field::{FieldError, FieldPath, Wrong},
    row::Row,
    status::{Cause, Details, Status},
};
use irori_rules::{PatchError, PatchKind, managed::ApplyError};
use serde_json::Value;

use crate::{
    call::Call,
    codec, decode, limits,
    negotiate::Form,
    options::{self, FieldValidation, WriteOptions},
    refusal::{About, Answered, Refusal},
    server::Server,
};

const ACCEPTED: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// A patch that was read. What is wrong with it is told where it is used: first come its options, and an object that is not there.
pub enum Patch {
    Change(Change),
    /// Server-side apply: what the client wants to be so.
    Apply(Apply),
}

/// A patch that says what to change.
pub struct Change {
    kind: PatchKind,
    parsed: Answered<Read>,
}

/// A configuration to apply.
pub struct Apply(Answered<Read>);

impl Apply {
    pub fn config(&self) -> Answered<&Value> {
        self.0.as_ref().map(|read| &read.value).map_err(Clone::clone)
    }

    /// Tells of repeated fields, once everything else is right.
    pub fn complain(&self, call: &mut Call) -> Answered<()> {
        let twice = self.0.iter().flat_map(|read| &read.duplicates).map(|path| format!("duplicate field {path:?}"));
        let twice: Vec<String> = twice.collect();
        match options::field_validation(call) {
            FieldValidation::Strict if !twice.is_empty() => {
                return Err(Refusal::bad_request(format!("error strict decoding YAML: {}", twice.join(", "))));
            }
            FieldValidation::Warn => twice.into_iter().for_each(|text| call.warn(text)),
            _ => {}
        }
        Ok(())
    }
}

impl Change {
    /// The patch, if it can be read.
    fn value(&self, validation: FieldValidation) -> Answered<&Value> {
        let lax = validation == FieldValidation::Ignore;
        let prefix = if lax || self.kind == PatchKind::Strategic { "" } else { "error decoding patch: " };
        let value = match &self.parsed {
            Ok(read) => &read.value,
            Err(_) if lax && self.kind == PatchKind::Merge => return Err(Refusal::bad_request("Invalid JSON Patch")),
            Err(source) => return Err(Refusal::bad_request(format!("{prefix}{}", source.message))),
        };
        let strict = self.kind == PatchKind::Json && !lax;
        match strict.then(|| irori_rules::patch::misfit(value)).flatten() {
            Some(why) => Err(Refusal::bad_request(format!("{prefix}{why}"))),
            None => Ok(value),
        }
    }

    /// What strict decoding says of the patch itself.
    fn complaints(&self) -> impl Iterator<Item = String> {
        let of = if self.kind == PatchKind::Json { "json patch " } else { "" };
        let twice = self.parsed.iter().flat_map(|read| &read.duplicates).map(move |path| format!("{of}duplicate field {path:?}"));
        let operations = self.parsed.as_ref().ok().filter(|_| self.kind == PatchKind::Json);
        let unknown = operations.map(|read| irori_rules::patch::unknown_members(&read.value)).unwrap_or_default();
        twice.chain(unknown.into_iter().map(move |path| format!("{of}unknown field {path:?}")))
    }
}

impl Patch {
    pub fn options(&self, server: &Server, call: &Call) -> Answered<WriteOptions> {
        match self {
            Self::Change(_) => WriteOptions::read(server, call),
            Self::Apply(_) => WriteOptions::of_apply(server, call),
        }
    }
}

/// Reads the patch that the content type names.
pub async fn read(server: &Server, call: &mut Call) -> Answered<Patch> {
    let header = call.header("content-type").unwrap_or("");
    let kind = match header.split(';').next().unwrap_or("").trim() {
        "application/json-patch+json" => PatchKind::Json,
        "application/merge-patch+json" => PatchKind::Merge,
        "application/strategic-merge-patch+json" => PatchKind::Strategic,
        "application/apply-patch+yaml" => return read_apply(server, call).await,
        _ => return Err(Refusal::unsupported_media_type(&ACCEPTED)),
    };
    let bytes = decode::body(call).await?;
    let parsed = codec::read(server, Form::Json, &bytes, None);
    if let (PatchKind::Json, Some(operations)) = (kind, parsed.as_ref().ok().and_then(|read| read.value.as_array()))
        && operations.len() > limits::PATCH_OPERATIONS_MAX
    {
        return Err(Refusal::too_large(format!(
            "The allowed maximum operations in a JSON patch is {}, got {}",
            limits::PATCH_OPERATIONS_MAX,
            operations.len()
        )));
    }
    Ok(Patch::Change(Change { kind, parsed }))
}

/// The body of an apply is YAML; most clients send the JSON that YAML is a superset of, which is read faster.
async fn read_apply(server: &Server, call: &mut Call) -> Answered<Patch> {
    let bytes = decode::body(call).await?;
    let json = match bytes.first() {
        Some(b'{') => codec::read(server, Form::Json, &bytes, None).ok(),
        _ => None,
    };
    let parsed = match json {
        Some(parsed) => Ok(parsed),
        None => codec::read(server, Form::Yaml, &bytes, None).map_err(|refusal| refusal.message.clone()),
    };
    let parsed = parsed.and_then(|read| match &read.value {
        Value::Object(_) | Value::Null => Ok(read),
        other => Err(format!(
            "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            irori_rules::decode::json_kind(other)
        )),
    });
    let parsed = parsed.map_err(|why| Refusal::bad_request(format!("error decoding YAML: {why}")));
    Ok(Patch::Apply(Apply(parsed)))
}

/// Changes the current object in the version of the request, and decodes the outcome. What cannot be decoded, or is not what
/// `fieldValidation` asks for, is a wrong patch.
pub fn change(server: &Server, call: &mut Call, row: &Row, current: &Value, patch: &Change) -> Answered<Value> {
    let validation = options::field_validation(call);
    let value = patch.value(validation)?;
    let patched = irori_rules::apply_patch(&server.tables, row, current, patch.kind, value).map_err(refusal)?;
    if depth(&patched) > limits::NESTING_MAX {
        return Err(Refusal::bad_request(format!("the object would be nested deeper than the limit of {}", limits::NESTING_MAX)));
    }
    let (tables, version, kind) = (&server.tables, row.gvk.api_version(), &row.gvk.kind);
    // Made only to be told: the patch, or what it makes.
    let shown = || match patch.kind {
        PatchKind::Strategic => irori_rules::patch::go(value),
        kind => irori_rules::apply_patch(tables, row, current, kind, value).map_or(String::new(), |made| made.to_string()),
    };
    let decoded = match patch.kind {
        PatchKind::Strategic => irori_rules::decode_tree(tables, &version, kind, &row.of, patched),
        PatchKind::Json | PatchKind::Merge => irori_rules::decode_type(tables, &version, kind, &row.of, patched),
    };
    let decoded = decoded.map_err(|source| wrong(shown(), source.why))?;
    let complaints = patch.complaints().chain(decoded.unknown);
    match validation {
        FieldValidation::Ignore => {}
        FieldValidation::Warn => complaints.for_each(|text| call.warn(text)),
        FieldValidation::Strict => {
            let complaints: Vec<String> = complaints.collect();
            if !complaints.is_empty() {
                return Err(wrong(shown(), format!("strict decoding error: {}", complaints.join(", "))));
            }
        }
    }
    Ok(decoded.object)
}

/// Names neither object nor kind, as upstream has it.
fn wrong(shown: String, why: String) -> Refusal {
    let error = FieldError::new(FieldPath::new("patch"), Wrong::Invalid, shown, why);
    Refusal::invalid_field(About { group: "", resource: "", name: "" }, error)
}

/// Why an apply is refused.
pub fn refuse_apply(source: ApplyError) -> Refusal {
    match source {
        ApplyError::BadRequest(message) => Refusal::bad_request(message),
        ApplyError::Plain(message) => Refusal::new(500, "", message),
        ApplyError::TooLarge(source) => decode::too_large(source),
        ApplyError::Conflict { message, causes } => {
            let causes = causes.into_iter().map(|cause| Cause {
                reason: "FieldManagerConflict".into(),
                message: cause.message,
                field: cause.field,
            });
            let details = Details { causes: causes.collect(), ..Details::default() };
            Status::new(409, "Conflict", message).with_details(details).into()
        }
    }
}

fn refusal(source: PatchError) -> Refusal {
    match source {
        PatchError::BadRequest(message) => Refusal::bad_request(message),
        PatchError::Unprocessable(message) => Status::new(422, "Invalid", message).with_details(Details::default()).into(),
        PatchError::TooLarge(message) => Refusal::too_large(message),
        PatchError::Plain(message) => Refusal::new(500, "", message),
    }
}
