//! Bytes in and out: JSON, YAML, protobuf. The codecs themselves are in `irori-api`.
use bytes::Bytes;
use irori_api::{
    codec::{CodecError, Limits, Read, json, protobuf, yaml},
    row::{Column, Gvk, Row},
};
use serde_json::{Value, json};

use crate::{
    limits,
    negotiate::{ALL_FORMS, Form},
    refusal::{Answered, Refusal},
    server::Server,
};

fn limits() -> Limits {
    Limits { depth_max: limits::NESTING_MAX, ..Limits::default() }
}

/// Parses a body. `kind` is what it is expected to be, where it does not say itself. Errors are 400 with the parser's text.
pub fn read(server: &Server, form: Form, bytes: &[u8], kind: Option<&Gvk>) -> Answered<Read> {
    parse(server, form, bytes, kind).map_err(|source| Refusal::bad_request(source.to_string()))
}

/// The same, for those who say more of what is wrong.
pub fn parse(server: &Server, form: Form, bytes: &[u8], kind: Option<&Gvk>) -> Result<Read, CodecError> {
    let limits = limits();
    match form {
        Form::Json => json::read(bytes, &limits),
        Form::Yaml => yaml::read(bytes, &limits),
        Form::Protobuf => server.protobuf.read(bytes, kind, &limits).map(|value| Read { value, duplicates: Vec::new() }),
    }
}

/// Writes a tree with apiVersion and kind.
pub fn write(server: &Server, form: Form, value: &Value) -> Answered<Bytes> {
    match form {
        Form::Json => {
            let mut out = Vec::with_capacity(2048);
            serde_json::to_writer(&mut out, value).expect("a tree is written to memory");
            out.push(b'\n');
            Ok(out.into())
        }
        Form::Yaml => yaml::write(value).map(Bytes::from).map_err(unwritten),
        Form::Protobuf => server.protobuf.write(value).map(Bytes::from).map_err(unwritten),
    }
}

pub fn unwritten(source: CodecError) -> Refusal {
    match source {
        CodecError::NotCarried(_) | CodecError::UnknownKind { .. } => Refusal::not_acceptable(&ALL_FORMS[..2]),
        other => Refusal::internal(other),
    }
}

/// Writes a row's objects as protobuf from their JSON.
pub fn encoder<'a>(server: &'a Server, row: &Row) -> Answered<protobuf::Encoder<'a>> {
    server.protobuf.encoder(&row.gvk).map_err(unwritten)
}

/// What comes before the items of a protobuf list.
pub fn list_head(server: &Server, row: &Row, meta: &Value, items_bytes: usize) -> Answered<Vec<u8>> {
    let list = Gvk { kind: row.list_kind.clone(), ..row.gvk.clone() };
    server.protobuf.list_head(&list, meta, items_bytes).map_err(unwritten)
}

/// An object of a row as protobuf, from its JSON.
pub fn write_json(server: &Server, row: &Row, json: &[u8]) -> Answered<Vec<u8>> {
    server.protobuf.write_json(&row.gvk, json).map_err(unwritten)
}

/// Writes one event of a watch.
pub fn write_event(server: &Server, form: Form, kind: &str, object: &Value) -> Answered<Bytes> {
    if form == Form::Protobuf {
        let object = server.protobuf.write(object).map_err(unwritten)?;
        return Ok(protobuf::watch_frame(kind, &object).into());
    }
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
    serde_json::to_writer(&mut out, object).expect("a tree is written to memory");
    out.extend_from_slice(b"}\n");
    Ok(out.into())
}

/// A column definition of a Table.
pub fn column(column: &Column, description: &str) -> Value {
    let Column { name, kind, format, priority, .. } = column;
    json!({"name": name, "type": kind, "format": format, "description": description, "priority": priority})
}
