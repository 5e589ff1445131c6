//! What must be true of two objects of a kind.
use irori_api::{
    codec::{Limits, json, protobuf::Protobuf, yaml},
    row::{Row, Tables},
};
use irori_rules::{
    Birth, Part, PatchKind, Room, apply_patch,
    canonical::canonical,
    convert, decode, default_object, fields, managed,
    managed::{ApplyError, Writer, keep_times, track_create, track_update},
    prepare_create, prepare_update, table_cells, validate_create, validate_update,
};
use serde_json::Value;

use super::{Tally, difference};

/// What a round looked at.
#[derive(Default)]
pub struct Seen {
    taken: u64,
    protobuf: u64,
    merged: u64,
    applied: u64,
}

impl Seen {
    pub fn count(&self, tally: &mut Tally) {
        tally.taken += self.taken;
        tally.protobuf += self.protobuf;
        tally.merged += self.merged;
        tally.applied += self.applied;
    }
}

type Checked<T> = Result<T, String>;

fn same(what: &str, want: &Value, got: &Value) -> Checked<()> {
    if want == got {
        return Ok(());
    }
    let mut at = String::new();
    let (mut want, mut got) = (want, got);
    // Down to where they differ.
    while let (Value::Object(a), Value::Object(b)) = (want, got) {
        let differs = a.keys().chain(b.keys()).find(|name| a.get(*name) != b.get(*name));
        let Some(name) = differs else { break };
        at.push('.');
        at.push_str(name);
        (want, got) = (a.get(name).unwrap_or(&Value::Null), b.get(name).unwrap_or(&Value::Null));
    }
    Err(format!("{what}: at {at}:\nwant {want}\ngot  {got}"))
}

fn birth() -> Birth {
    Birth {
        uid: "0b0ad5ae-5e7c-4c5b-a2a7-000000000000".into(),
        creation_timestamp: "2026-01-01T00:00:00Z".into(),
        generated_name: "gen-x".into(),
        namespace: "golden".into(),
    }
}

/// All of it.
pub fn check(tables: &Tables, protobuf: &Protobuf, row: &Row, one: &Value, other: &Value) -> Checked<Seen> {
    let mut seen = Seen::default();
    let (one_taken, other_taken) = (taken(tables, row, one)?, taken(tables, row, other)?);
    for object in [&one_taken, &other_taken].into_iter().flatten() {
        seen.taken += 1;
        seen.protobuf += u64::from(encodings(tables, protobuf, row, object)?);
        lives(tables, row, object)?;
    }
    if let (Some(from), Some(to)) = (&one_taken, &other_taken) {
        seen.merged += u64::from(merges(tables, row, from, to)?);
        seen.applied += u64::from(applies(tables, row, one, other)?);
    }
    Ok(seen)
}

/// Decoded, defaulted and canonical; `None` where it is refused. Each step changes nothing the second time.
fn taken(tables: &Tables, row: &Row, body: &Value) -> Checked<Option<Value>> {
    let Ok(decoded) = decode(tables, row, body.clone()) else { return Ok(None) };
    let mut object = decoded.object;
    default_object(tables, row, &mut object);
    let mut again = object.clone();
    default_object(tables, row, &mut again);
    same("defaults twice", &object, &again)?;
    canonical(&tables.schemas, &row.of, &mut object);
    let again = decode(tables, row, object.clone()).map_err(|e| format!("a decoded object is refused: {e}"))?;
    if !again.unknown.is_empty() {
        return Err(format!("a decoded object has unknown fields: {:?}", again.unknown));
    }
    let mut again = again.object;
    canonical(&tables.schemas, &row.of, &mut again);
    same("decode twice", &object, &again)?;
    Ok(Some(object))
}

/// decode(encode(x)) = x in JSON, YAML and, where the kind has it, protobuf.
fn encodings(tables: &Tables, protobuf: &Protobuf, row: &Row, object: &Value) -> Checked<bool> {
    let limits = Limits::default();
    let back = json::read(&json::write(object), &limits).map_err(|e| format!("JSON: {e}"))?;
    same("JSON there and back", object, &back.value)?;
    let text = yaml::write(object).map_err(|e| format!("YAML: {e}"))?;
    let back = yaml::read(&text, &limits).map_err(|e| format!("YAML: {e}\n{}", String::from_utf8_lossy(&text)))?;
    same("YAML there and back", object, &back.value)?;
    if !protobuf.carries(&row.gvk) {
        return Ok(false);
    }
    let bytes = protobuf.write(object).map_err(|e| format!("protobuf: {e}"))?;
    let back = protobuf.read(&bytes, Some(&row.gvk), &limits).map_err(|e| format!("protobuf: {e}"))?;
    let mut back = decode(tables, row, back).map_err(|e| format!("what came by protobuf is refused: {e}"))?.object;
    // Kinds within a kind are no part of messages; defaults say them again.
    default_object(tables, row, &mut back);
    canonical(&tables.schemas, &row.of, &mut back);
    same("protobuf there and back", object, &back)?;
    Ok(true)
}

/// Nothing panics; what is prepared stays as it is; an update that changes nothing changes nothing.
fn lives(tables: &Tables, row: &Row, object: &Value) -> Checked<()> {
    let writer = Writer { manager: "m", subresource: "", now: "2026-01-01T00:00:00Z" };
    let mut stored = object.clone();
    track_create(tables, row, &mut stored, &writer);
    prepare_create(tables, row, &mut stored, &birth());
    let _errors = validate_create(row, row, &stored);
    let _cells = table_cells(row, &stored, 0);
    for field in fields::selectable_fields(row) {
        let _value = fields::field_value(row, &stored, field);
    }
    let _converted = convert(stored.clone(), &row.gvk);
    let mut again = stored.clone();
    default_object(tables, row, &mut again);
    track_update(tables, row, &stored, &mut again, &Writer { now: "2026-01-01T00:00:09Z", ..writer });
    prepare_update(tables, row, &mut again, &stored, Part::Main, "2026-01-01T00:00:09Z");
    let _errors = validate_update(row, row, &again, &stored, Part::Main);
    keep_times(&stored, &mut again);
    same("an update that changes nothing", &stored, &again)
}

/// A strategic merge patch and a merge patch lead from one object to the other.
fn merges(tables: &Tables, row: &Row, from: &Value, to: &Value) -> Checked<bool> {
    // A patch cannot say null, which stays only where a field may hold anything.
    let mut without = to.clone();
    drop_nulls(&mut without);
    canonical(&tables.schemas, &row.of, &mut without);
    if without != *to {
        return Ok(false);
    }
    let finish = |patched: Value| -> Checked<Value> {
        let mut object = decode(tables, row, patched).map_err(|e| format!("a patched object is refused: {e}"))?.object;
        default_object(tables, row, &mut object);
        canonical(&tables.schemas, &row.of, &mut object);
        Ok(object)
    };
    let plain = merge_patch(from, to);
    let patched = apply_patch(tables, row, from, PatchKind::Merge, &plain).map_err(|e| format!("merge patch: {e}"))?;
    same("merge patch", to, &finish(patched)?)?;
    let Some(patch) = difference::strategic(&tables.schemas, Some(&row.of), from, to) else { return Ok(false) };
    let patched = apply_patch(tables, row, from, PatchKind::Strategic, &patch);
    let patched = patched.map_err(|e| format!("strategic merge patch: {e}\npatch {patch}"))?;
    same(&format!("strategic merge patch {patch}\nfrom {from}\n"), to, &finish(patched)?)?;
    Ok(true)
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// RFC 7396, the other way round.
fn merge_patch(from: &Value, to: &Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (from, to) else { return to.clone() };
    let gone = old.keys().filter(|name| !new.contains_key(*name)).map(|name| (name.clone(), Value::Null));
    let changed = new.iter().filter(|(name, value)| old.get(*name) != Some(value));
    let changed = changed.map(|(name, value)| (name.clone(), merge_patch(old.get(name).unwrap_or(&Value::Null), value)));
    Value::Object(gone.chain(changed).collect())
}

/// Apply is idempotent, never in conflict with itself, and force always takes what is applied.
fn applies(tables: &Tables, row: &Row, one: &Value, other: &Value) -> Checked<bool> {
    // Two fields of a node say the same, and the older one wins: who applies both with different words never comes to rest.
    if row.gvk.kind == "Node" {
        return Ok(false);
    }
    let writer = |manager| Writer { manager, subresource: "", now: "2026-01-01T00:00:00Z" };
    let (one, other) = (config(row, one), config(row, other));
    let mut live = match managed::apply(tables, row, None, &one, &writer("a"), false, &Room::ANY) {
        Ok(live) => live,
        Err(ApplyError::Conflict { message, .. }) => return Err(format!("a conflict with nobody: {message}")),
        Err(_) => return Ok(false),
    };
    prepare_create(tables, row, &mut live, &birth());
    let again = |live: &Value, config: &Value, manager| -> Checked<Value> {
        let later = Writer { now: "2026-01-01T00:00:09Z", ..writer(manager) };
        let mut new = managed::apply(tables, row, Some(live), config, &later, false, &Room::ANY)
            .map_err(|e| format!("apply again by {manager}: {e}"))?;
        prepare_update(tables, row, &mut new, live, Part::Main, "2026-01-01T00:00:09Z");
        keep_times(live, &mut new);
        Ok(new)
    };
    if !validate_create(row, row, &live).is_empty() {
        return Ok(false); // never stored
    }
    if live["metadata"]["managedFields"].to_string().contains(r#":\"\""#) {
        return Ok(false); // an item's key was said to be empty, and a default made it another item's
    }
    if live["metadata"].get("managedFields").is_none() {
        return Ok(false); // nothing was said, so that the next apply is the first that anybody owns anything by
    }
    same("apply twice", &live, &again(&live, &one, "a")?)?;
    let Ok(mut taken) = managed::apply(tables, row, Some(&live), &other, &writer("b"), true, &Room::ANY) else { return Ok(true) };
    prepare_update(tables, row, &mut taken, &live, Part::Main, "2026-01-01T00:00:00Z");
    keep_times(&live, &mut taken);
    if !validate_update(row, row, &taken, &live, Part::Main).is_empty() {
        return Ok(true);
    }
    same("apply twice after force", &taken, &again(&taken, &other, "b")?)?;
    Ok(true)
}

/// What a client would apply of a body.
fn config(row: &Row, body: &Value) -> Value {
    let mut config = body.clone();
    if let Value::Object(fields) = &mut config {
        fields.insert("apiVersion".to_owned(), row.gvk.api_version().into());
        fields.insert("kind".to_owned(), row.gvk.kind.as_str().into());
        fields.remove("status");
        if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
            metadata.retain(|name, _| matches!(name.as_str(), "name" | "labels" | "annotations" | "finalizers"));
        }
    }
    config
}
