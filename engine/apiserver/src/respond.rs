//! The last stage: objects, lists and refusals become HTTP answers.
use std::{collections::VecDeque, io::Write, sync::Arc};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderValue, StatusCode, header};
use irori_api::{
    codec::protobuf,
    descriptions::ColumnTexts,
    row::{Column, Row},
};
use irori_http::{Body, Response};
use irori_store::Entry;
use serde_json::{Map, Value, json};

use crate::{
    call::Call,
    codec, limits,
    negotiate::{self, Form, Shape, Wanted},
    query::Query,
    refusal::{Answered, Refusal},
    server::Server,
    stored,
};

/// Bytes of a list that are put together at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// An answer of known bytes.
pub fn bytes(call: &Call, code: u16, content_type: &str, body: impl Into<Bytes>) -> Response {
    let body = body.into();
    if body.len() >= limits::GZIP_BYTES_MIN && negotiate::takes_gzip(call) {
        let mut gzip = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
        if gzip.write_all(&body).is_ok()
            && let Ok(packed) = gzip.finish()
        {
            let mut response = plain(code, content_type, irori_http::full(packed));
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
            return response;
        }
    }
    plain(code, content_type, irori_http::full(body))
}

/// An answer with any body.
pub fn plain(code: u16, content_type: &str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(content_type) {
        headers.insert(header::CONTENT_TYPE, value);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// A refusal as a Status, in the form that was asked for as far as it can be served.
pub fn refuse(server: &Server, call: &Call, refusal: &Refusal) -> Response {
    let form = negotiate::wanted(call).map_or(Form::Json, |w| w.form);
    let mut response = value(server, call, form, refusal.code, &refusal.to_value());
    if let Some(seconds) = refusal.retry_after_seconds() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Any tree with apiVersion and kind, as it is.
pub fn value(server: &Server, call: &Call, form: Form, code: u16, value: &Value) -> Response {
    if form == Form::Json && negotiate::wants_pretty(call) {
        let text = serde_json::to_vec_pretty(value).expect("a tree is written to memory");
        return bytes(call, code, form.content_type(), text);
    }
    match codec::write(server, form, value) {
        Ok(body) => bytes(call, code, form.content_type(), body),
        Err(refusal) => bytes(call, refusal.code, "application/json", refusal.to_json()),
    }
}

/// A tree in the storage version of the row's kind (or already the row's own), as the client wants it.
pub fn object(server: &Server, call: &Call, row: &Row, code: u16, object: Value) -> Answered<Response> {
    let wanted = negotiate::wanted(call)?;
    if wanted.shape == Shape::MetadataList {
        return Err(wrong_shape("PartialObjectMetadataList", "not a list", &go_type(row)));
    }
    let object = irori_rules::convert(object, &row.gvk);
    let shown = shape_event(server, &call.query, row, wanted, object, true);
    Ok(value(server, call, wanted.form, code, &shown))
}

/// A stored entry: spliced where it can be, else decoded.
pub fn entry(server: &Server, call: &Call, row: &Row, code: u16, entry: &Entry) -> Answered<Response> {
    let wanted = negotiate::wanted(call)?;
    let head = stored::head(entry).map_err(Refusal::internal)?;
    if wanted.shape == Shape::Itself && head.is_of(row) {
        let spliced = |named: bool| {
            let mut out = Vec::with_capacity(head.json.len() + 128);
            stored::splice(&mut out, &head, entry.revision.0, named);
            out
        };
        match wanted.form {
            Form::Json if !negotiate::wants_pretty(call) => {
                return Ok(bytes(call, code, Form::Json.content_type(), spliced(true)));
            }
            Form::Protobuf => {
                let body = codec::write_json(server, row, &spliced(false))?;
                return Ok(bytes(call, code, Form::Protobuf.content_type(), body));
            }
            _ => {}
        }
    }
    object(server, call, row, code, tree(server, row, entry)?)
}

/// The slow path of a read: parse, convert, and fill in what newer defaults say.
pub fn tree(server: &Server, row: &Row, entry: &Entry) -> Answered<Value> {
    let head = stored::head(entry).map_err(Refusal::internal)?;
    let current = head.is_of(row);
    let mut object = stored::tree(entry).map_err(Refusal::internal)?;
    if !current {
        object = irori_rules::convert(object, &row.gvk);
        irori_rules::default_object(&server.tables, row, &mut object);
    }
    Ok(object)
}

/// The refusal to show an object as what it is not.
fn wrong_shape(asked: &str, is: &str, go_type: &str) -> Refusal {
    let message = format!("you requested {asked}, but the requested object is {is} ({go_type})");
    Refusal::new(406, "NotAcceptable", message)
}

/// The type of a kind inside upstream, where groups are packages.
fn go_type(row: &Row) -> String {
    let group = row.storage.as_ref().map_or(&row.gvk.group, |storage| &storage.version.group);
    let package = if group.is_empty() { "core" } else { group.split('.').next().unwrap_or(group) };
    format!("*{package}.{}", row.gvk.kind)
}

/// The list metadata of a table with one object: its revision, unless it was never stored.
fn meta_of(object: &Value) -> Value {
    match object.pointer("/metadata/resourceVersion") {
        Some(revision) => json!({"resourceVersion": revision}),
        None => json!({}),
    }
}

/// An object in the shape that was agreed on; `header`: a table says its columns.
pub fn shape_event(server: &Server, query: &Query, row: &Row, wanted: Wanted, object: Value, header: bool) -> Value {
    match wanted.shape {
        Shape::Itself => object,
        Shape::Table => table(server, query, row, wanted, meta_of(&object), std::iter::once(&object), header),
        Shape::Metadata | Shape::MetadataList => partial(wanted, object),
    }
}

fn partial(wanted: Wanted, object: Value) -> Value {
    let mut partial = metadata_only(object);
    partial["kind"] = "PartialObjectMetadata".into();
    partial["apiVersion"] = meta_version(wanted).into();
    partial
}

fn meta_version(wanted: Wanted) -> &'static str {
    if wanted.old_meta { "meta.k8s.io/v1beta1" } else { "meta.k8s.io/v1" }
}

fn metadata_only(object: Value) -> Value {
    let metadata = match object {
        Value::Object(mut fields) => fields.remove("metadata").unwrap_or_else(|| Map::new().into()),
        _ => Map::new().into(),
    };
    json!({"metadata": metadata})
}

/// A meta.k8s.io Table of objects. `header` is false for the later events of a watch, which repeat no columns.
pub fn table<'a>(
    server: &Server,
    query: &Query,
    row: &Row,
    wanted: Wanted,
    list_meta: Value,
    objects: impl Iterator<Item = &'a Value>,
    header: bool,
) -> Value {
    let include = query.text("includeObject").unwrap_or("Metadata").to_owned();
    let now_s = server.clock.now().as_second();
    let rows: Vec<Value> = objects
        .map(|object| {
            let mut line = json!({"cells": irori_rules::table_cells(row, object, now_s)});
            if let Some(conditions) = irori_rules::table_conditions(row, object) {
                line["conditions"] = conditions;
            }
            match include.as_str() {
                "None" => {}
                "Object" => line["object"] = object.clone(),
                _ => {
                    let mut metadata = object.get("metadata").cloned().unwrap_or_default();
                    irori_rules::hide_internal(row, &mut metadata);
                    line["object"] =
                        json!({"kind": "PartialObjectMetadata", "apiVersion": meta_version(wanted), "metadata": metadata});
                }
            }
            line
        })
        .collect();
    // Kinds without a printer of their own are printed by upstream's default one, which knows no empty list.
    let rows = if rows.is_empty() && irori_rules::prints_by_default(row) { Value::Null } else { rows.into() };
    let columns = match header {
        true => {
            let texts = server.column_texts.get_or_init(ColumnTexts::read);
            let described = |column: &Column| codec::column(column, texts.get(&row.gvr.group, &row.gvr.resource, &column.name));
            irori_rules::table_columns(row).iter().map(described).collect()
        }
        false => Value::Null,
    };
    json!({"kind": "Table", "apiVersion": meta_version(wanted), "metadata": list_meta, "columnDefinitions": columns, "rows": rows})
}

/// A page of a list.
pub struct Listed {
    pub entries: Vec<Entry>,
    pub revision: u64,
    pub next: Option<String>,
    pub remaining: Option<u64>,
}

impl Listed {
    fn meta(&self) -> Value {
        let mut meta = json!({"resourceVersion": self.revision.to_string()});
        if let Some(next) = &self.next {
            meta["continue"] = next.clone().into();
        }
        if let Some(remaining) = self.remaining {
            meta["remainingItemCount"] = remaining.into();
        }
        meta
    }
}

/// A list as the client wants it. JSON of current objects is put together from stored bytes, piece by piece as it is sent; protobuf is
/// written from the same bytes, but its length comes before all of it.
pub fn list(server: &Arc<Server>, call: &Call, row: &Row, listed: Listed) -> Answered<Response> {
    let wanted = negotiate::wanted(call)?;
    if wanted.form == Form::Json && wanted.shape == Shape::Itself && !negotiate::wants_pretty(call) {
        return Ok(json_list(server, call, row, listed));
    }
    let meta = listed.meta();
    if wanted.form == Form::Protobuf && wanted.shape == Shape::Itself {
        return protobuf_list(server, call, row, &listed.entries, &meta);
    }
    let objects = listed.entries.iter().filter_map(|entry| match tree(server, row, entry) {
        Ok(object) => Some(object),
        Err(refusal) => {
            tracing::error!(key = %entry.key, "leave object out of a list: {}", refusal.message);
            None
        }
    });
    let shown = match wanted.shape {
        Shape::Table => {
            let mut objects: Vec<Value> = objects.collect();
            irori_rules::order_rows(row, &mut objects);
            table(server, &call.query, row, wanted, meta, objects.iter(), true)
        }
        Shape::Metadata => {
            let list = go_type(row) + "List";
            return Err(wrong_shape("PartialObjectMetadata", "a list", &list));
        }
        Shape::MetadataList => json!({
            "kind": "PartialObjectMetadataList",
            "apiVersion": meta_version(wanted),
            "metadata": meta,
            "items": objects.map(|object| partial(wanted, object)).collect::<Vec<_>>(),
        }),
        Shape::Itself => json!({
            "kind": row.list_kind,
            "apiVersion": row.gvk.api_version(),
            "metadata": meta,
            "items": objects.map(strip_type).collect::<Vec<_>>(),
        }),
    };
    Ok(value(server, call, wanted.form, 200, &shown))
}

/// List items of built-in kinds carry no apiVersion and kind.
pub fn strip_type(mut object: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("apiVersion");
        fields.remove("kind");
    }
    object
}

/// Items become messages one by one: there is never a tree of the whole list, nor one piece of memory for all of it.
fn protobuf_list(server: &Server, call: &Call, row: &Row, entries: &[Entry], meta: &Value) -> Answered<Response> {
    let mut encoder = codec::encoder(server, row)?;
    let mut full: Vec<Bytes> = Vec::new();
    let mut chunk = Vec::with_capacity(entries.iter().take(512).map(|e| e.value.len()).sum::<usize>().min(CHUNK_BYTES) + 64);
    let mut json = Vec::new();
    for entry in entries {
        json.clear();
        let written =
            item(server, row, entry, &mut json).and_then(|()| encoder.put_item(&json, &mut chunk).map_err(codec::unwritten));
        if let Err(refusal) = written {
            tracing::error!(key = %entry.key, "leave object out of a list: {}", refusal.message);
        }
        if chunk.len() >= CHUNK_BYTES {
            let next = Vec::with_capacity(chunk.capacity());
            full.push(std::mem::replace(&mut chunk, next).into());
        }
    }
    let items_bytes = full.iter().map(Bytes::len).sum::<usize>() + chunk.len();
    chunk.extend_from_slice(protobuf::ENVELOPE_END);
    let mut head = codec::list_head(server, row, meta, items_bytes)?;
    if full.is_empty() {
        head.append(&mut chunk);
        return Ok(bytes(call, 200, Form::Protobuf.content_type(), head));
    }
    full.push(chunk.into());
    Ok(streamed(call, Form::Protobuf.content_type(), std::iter::once(Bytes::from(head)).chain(full)))
}

/// Appends an object as the item of a list, in JSON; nothing, if it cannot be read.
fn item(server: &Server, row: &Row, entry: &Entry, out: &mut Vec<u8>) -> Answered<()> {
    match stored::head(entry) {
        Ok(head) if head.is_of(row) => stored::splice(out, &head, entry.revision.0, false),
        _ => {
            let object = strip_type(tree(server, row, entry)?);
            serde_json::to_writer(out, &object).expect("a tree is written to memory");
        }
    }
    Ok(())
}

/// An answer in pieces, each made when it is sent.
fn streamed(call: &Call, content_type: &str, chunks: impl Iterator<Item = Bytes> + Send + 'static) -> Response {
    if !negotiate::takes_gzip(call) {
        return plain(200, content_type, irori_http::stream(futures::stream::iter(chunks.map(Ok))));
    }
    let mut gzip = Some(GzEncoder::new(Vec::new(), Compression::fast()));
    let packed = chunks.map(Some).chain(std::iter::once(None)).filter_map(move |chunk| {
        let encoder = gzip.as_mut()?;
        match chunk {
            Some(chunk) => {
                encoder.write_all(&chunk).ok()?;
                let out = std::mem::take(encoder.get_mut());
                (!out.is_empty()).then(|| Bytes::from(out))
            }
            None => gzip.take()?.finish().ok().map(Bytes::from),
        }
    });
    let mut response = plain(200, content_type, irori_http::stream(futures::stream::iter(packed.map(Ok))));
    response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}

fn json_list(server: &Arc<Server>, call: &Call, row: &Row, listed: Listed) -> Response {
    let head = format!(
        "{{\"kind\":\"{}\",\"apiVersion\":\"{}\",\"metadata\":{},\"items\":[",
        row.list_kind,
        row.gvk.api_version(),
        listed.meta()
    );
    let mut chunks = ListChunks {
        server: server.clone(),
        row: row.clone(),
        entries: listed.entries.into(),
        pending: head.into_bytes(),
        first: true,
        done: false,
    };
    let Some(first) = chunks.next() else { return plain(200, "application/json", irori_http::empty()) };
    if chunks.done {
        return bytes(call, 200, "application/json", first);
    }
    streamed(call, "application/json", std::iter::once(first).chain(chunks))
}

/// The bytes of a JSON list, a chunk at a time.
struct ListChunks {
    server: Arc<Server>,
    row: Row,
    entries: VecDeque<Entry>,
    pending: Vec<u8>,
    first: bool,
    done: bool,
}

impl Iterator for ListChunks {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.done {
            return None;
        }
        let mut out = std::mem::take(&mut self.pending);
        let ahead: usize = self.entries.iter().take(512).map(|e| e.value.len() + 64).sum();
        out.reserve(ahead.min(CHUNK_BYTES) + 16);
        while let Some(entry) = self.entries.pop_front() {
            self.item(&mut out, &entry);
            if out.len() >= CHUNK_BYTES {
                return Some(out.into());
            }
        }
        out.extend_from_slice(b"]}\n");
        self.done = true;
        Some(out.into())
    }
}

impl ListChunks {
    fn item(&mut self, out: &mut Vec<u8>, entry: &Entry) {
        let before = out.len();
        if !self.first {
            out.push(b',');
        }
        if let Err(refusal) = item(&self.server, &self.row, entry, out) {
            tracing::error!(key = %entry.key, "leave object out of a list: {}", refusal.message);
            out.truncate(before);
            return;
        }
        self.first = false;
    }
}
