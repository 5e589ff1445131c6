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
    let limits = limits();
    let read = match form {
        Form::Json => json::read(bytes, &limits),
        Form::Yaml => yaml::read(bytes, &limits),
        Form::Protobuf => server.protobuf.read(bytes, kind, &limits).map(|value| Read { value, duplicates: Vec::new() }),
    };
    read.map_err(|source| Refusal::bad_request(source.to_string()))
}

/// Writes a tree with apiVersion and kind.
pub fn write(server: &Server, form: Form, value: &Value) -> Answered<Bytes> {
    match form {
        Form::Json => {
            let mut out = Vec::with_capacity(512);
            serde_json::to_writer(&mut out, value).expect("a tree is written to memory");
            out.push(b'\n');
            Ok(out.into())
        }
        Form::Yaml => yaml::write(value).map(Bytes::from).map_err(unwritten),
        Form::Protobuf => server.protobuf.write(value).map(Bytes::from).map_err(unwritten),
    }
}

fn unwritten(source: CodecError) -> Refusal {
    match source {
        CodecError::NotCarried(_) | CodecError::UnknownKind { .. } => Refusal::not_acceptable(&ALL_FORMS[..2]),
        other => Refusal::internal(other),
    }
}

/// One item of a protobuf list.
pub fn write_item(server: &Server, row: &Row, object: &Value) -> Answered<Vec<u8>> {
    server.protobuf.write_bare(&row.gvk, object).map_err(unwritten)
}

/// A protobuf list of items that are written already.
pub fn write_list(server: &Server, row: &Row, meta: &Value, items: &[Vec<u8>]) -> Answered<Bytes> {
    let list = Gvk { kind: row.list_kind.clone(), ..row.gvk.clone() };
    let items = items.iter().map(Vec::as_slice);
    server.protobuf.write_list(&list, meta, items).map(Bytes::from).map_err(unwritten)
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
pub fn column(column: &Column) -> Value {
    json!({"name": column.name, "type": column.kind, "format": column.format, "description": "", "priority": column.priority})
}
