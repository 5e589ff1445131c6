//! Field management and apply: the managedFields of a stock server's answers.
use irori_api::row::{Gvk, Row, Tables};
use irori_rules::{
    Birth, Part, PatchKind, Room, apply_patch, decode, decode_type, default_object, default_type,
    managed::{
        ApplyError, Writer, apply, keep_times, manager_name, scale_entries, scale_row, take_scale_entries, track_create,
        track_create_type, track_scale, track_update,
    },
    prepare_create, prepare_update, read_scale,
};
use serde_json::Value;

use super::{
    change::{Last, unmark},
    recording::{Step, admit, difference, row, scrub, steps, strip},
};

const NOW: &str = "2026-01-02T00:00:00Z";

/// The value of a query parameter.
fn query<'a>(path: &'a str, name: &str) -> &'a str {
    let pairs = path.split_once('?').map_or("", |(_, query)| query).split('&');
    pairs.filter_map(|pair| pair.split_once('=')).find(|(known, _)| *known == name).map_or("", |(_, value)| value)
}

/// The entries of an object in no order, their times as a mark, as the recording has them.
fn entries(object: &Value) -> Vec<String> {
    let mut list = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    for entry in list.iter_mut().filter(|e| e["time"].is_string()) {
        entry["time"] = "<time>".into();
    }
    let mut texts: Vec<String> = list.iter().map(ToString::to_string).collect();
    texts.sort();
    texts
}

fn compare(want: &Value, got: &Value) -> Option<String> {
    let (want, got) = (entries(want), entries(got));
    (want != got).then(|| format!("\n  want {}\n   got {}", want.join("\n       "), got.join("\n       ")))
}

#[derive(Default)]
struct Score {
    all: usize,
    misses: Vec<String>,
}

impl Score {
    fn note(&mut self, s: &Step, miss: Option<String>) {
        self.all += 1;
        self.misses.extend(miss.map(|why| format!("{}#{} {} {}: {why}", s.id, s.step, s.method, s.path)));
    }

    fn meets(&self, what: &str, floor: usize) {
        let good = self.all - self.misses.len();
        println!("{what}: {good} of {}", self.all);
        let shown = self.misses.iter().take(40).cloned().collect::<Vec<_>>().join("\n");
        assert!(self.all > 0 && 100 * good >= floor * self.all, "{what}: {good} of {}\n{shown}", self.all);
    }
}

fn created(tables: &Tables, s: &Step) -> Option<Value> {
    let (row, _, rest) = row(tables, &s.path)?;
    let name = manager_name(query(&s.path, "fieldManager"), "");
    let writer = Writer { manager: &name, subresource: rest.get(1).map_or("", String::as_str), now: NOW };
    if let Some(sub) = rest.get(1).and_then(|name| row.subresources.get(name)) {
        let of = tables.schemas.of_kind(&sub.gvk)?.clone();
        let of = irori_api::schema::TypeRef::Inline(of);
        let mut object = decode_type(tables, &sub.gvk.api_version(), &sub.gvk.kind, &of, s.body.clone()).ok()?.object;
        default_type(tables, &of, &mut object);
        track_create_type(tables, &sub.gvk, &of, &mut object, &writer);
        return Some(object);
    }
    let mut object = decode(tables, row, s.body.clone()).ok()?.object;
    default_object(tables, row, &mut object);
    track_create(tables, row, &mut object, &writer);
    Some(object)
}

fn is_object(want: &Value) -> bool {
    !matches!(want["kind"].as_str(), None | Some("Status" | "Table" | "PartialObjectMetadata")) && want["items"].is_null()
}

/// The Kubernetes page "Server-Side Apply": every create is tracked, field by field, as an Update of its manager.
#[test]
fn created_objects_have_the_entries_of_a_stock_server() {
    let tables = Tables::builtin();
    for group in ["create", "life", "validate", "field", "strategic", "semantics", "subresource"] {
        let mut score = Score::default();
        for s in steps(group).iter().filter(|s| s.method == "POST" && s.status == 201 && is_object(&s.want)) {
            // These reviews answer with an object of their own.
            if !matches!(s.want["kind"].as_str(), Some("SelfSubjectRulesReview" | "SelfSubjectReview"))
                && let Some(got) = created(&tables, s)
            {
                score.note(s, compare(&s.want, &got));
            }
        }
        score.meets(&format!("create, {group}"), 99);
    }
}

/// The object that a PUT, patch or apply makes of the last one, up to what is stored.
fn written(tables: &Tables, s: &Step, row: &Row, part: Option<&str>, old: Option<&Value>) -> Result<Value, Value> {
    let name = manager_name(query(&s.path, "fieldManager"), "");
    let writer = Writer { manager: &name, subresource: part.unwrap_or(""), now: NOW };
    let plain = |text: String| serde_json::json!({"message": text});
    let mut new = if s.content_type.contains("apply") {
        let force = query(&s.path, "force") == "true";
        let applied = apply(tables, row, old, &s.body, &writer, force, &Room::ANY);
        applied.map_err(|error| match error {
            ApplyError::Conflict { message, causes } => {
                let cause = |c: &irori_rules::managed::ApplyConflict| {
                    serde_json::json!({"field": c.field, "message": c.message, "reason": "FieldManagerConflict"})
                };
                serde_json::json!({"message": message, "causes": causes.iter().map(cause).collect::<Vec<_>>()})
            }
            ApplyError::BadRequest(text) | ApplyError::Plain(text) => plain(text),
            ApplyError::TooLarge(source) => plain(source.to_string()),
        })?
    } else {
        let old = old.ok_or_else(|| plain("no object".to_owned()))?;
        let input = match PatchKind::of_content_type(&s.content_type) {
            Some(kind) => apply_patch(tables, row, old, kind, &s.body).map_err(|e| plain(e.to_string()))?,
            None => s.body.clone(),
        };
        let mut new = decode(tables, row, input).map_err(|e| plain(e.message))?.object;
        default_object(tables, row, &mut new);
        track_update(tables, row, old, &mut new, &writer);
        new
    };
    match old {
        Some(old) => {
            let part = part.map_or(Part::Main, |part| if part == "status" { Part::Status } else { Part::Sub(part) });
            if row.gvk.kind == "Pod" && part == Part::Main {
                super::recording::tolerate(&mut new);
            }
            prepare_update(tables, row, &mut new, old, part, "2026-01-01T00:00:00Z");
            keep_times(old, &mut new);
        }
        None => {
            admit(row, &mut new);
            let birth = Birth {
                uid: "0b0ad5ae-5e7c-4c5b-a2a7-000000000000".into(),
                creation_timestamp: "2026-01-01T00:00:00Z".into(),
                generated_name: String::new(),
                namespace: "golden".into(),
            };
            prepare_create(tables, row, &mut new, &birth);
        }
    }
    Ok(new)
}

fn whole(kind: &str, value: &Value) -> Value {
    let mut value = value.clone();
    unmark(&mut value);
    strip(kind, &mut value);
    scrub(&mut value);
    value
}

/// The same page: updates and patches of each part, `/scale`, and apply with its merges, removals, conflicts and force.
#[test]
fn changed_and_applied_objects_have_the_entries_of_a_stock_server() {
    let tables = Tables::builtin();
    for group in ["life", "strategic", "semantics", "subresource", "ssa"] {
        let (mut score, mut applies) = (Score::default(), Score::default());
        let mut last = Last::default();
        for s in steps(group) {
            last.enter(&s);
            let Some((row, _, rest)) = row(&tables, &s.path) else { continue };
            let part = rest.get(1).map(String::as_str);
            let apply = s.content_type.contains("apply");
            let writes = matches!(s.method.as_str(), "PUT" | "PATCH") && s.body.is_object() | s.body.is_array();
            let kept = last.object.clone().filter(|old| old["kind"] == row.gvk.kind.as_str());
            match part {
                Some("scale") if writes && s.status == 200 => {
                    if let Some(mut object) = kept {
                        scale(&tables, row, &s, &mut object);
                        last.object = Some(object);
                    }
                }
                None | Some("status" | "ephemeralcontainers") if writes && row.storage.is_some() && (apply || kept.is_some()) => {
                    let got = written(&tables, &s, row, part, kept.as_ref());
                    let score = if apply { &mut applies } else { &mut score };
                    match got {
                        Ok(got) if s.status < 300 => {
                            let kind = row.gvk.kind.as_str();
                            let rest = || difference(&whole(kind, &s.want), &whole(kind, &got), "").filter(|_| apply);
                            score.note(&s, compare(&s.want, &got).or_else(rest));
                        }
                        // What validation refuses is not made here.
                        Ok(_) => {}
                        Err(error) if apply || s.status < 300 => {
                            let same = error["message"] == s.want["message"] && error["causes"] == s.want["details"]["causes"];
                            score.note(&s, (!same).then(|| format!("want {} got {error}", s.want)));
                        }
                        Err(_) => {}
                    }
                }
                None if s.method == "GET" && s.status == 200 && is_object(&s.want) => {
                    if let Some(kept) = kept {
                        score.note(&s, compare(&s.want, &kept));
                    }
                }
                _ => {}
            }
            // What a finished delete leaves is not there to be applied to.
            let deleted = s.method == "DELETE" && s.status < 300 || s.status == 404;
            last.leave(&s);
            if deleted && (s.want["kind"] == "Status") {
                last.object = None;
            }
        }
        score.meets(&format!("change, {group}"), 99);
        if matches!(group, "life" | "ssa") {
            applies.meets(&format!("apply, {group}"), 99);
        }
    }
}

/// Writes `/scale` of an object as the request does.
fn scale(tables: &Tables, row: &Row, s: &Step, object: &mut Value) {
    let scale_row = scale_row(tables, row).unwrap();
    let mut old = read_scale(row, object).unwrap();
    scale_entries(row, object, &mut old);
    let input = match PatchKind::of_content_type(&s.content_type) {
        Some(kind) => apply_patch(tables, &scale_row, &old, kind, &s.body).unwrap(),
        None => s.body.clone(),
    };
    let gvk = Gvk::parse("autoscaling/v1", "Scale");
    let mut new = decode_type(tables, &gvk.api_version(), &gvk.kind, &scale_row.of, input).unwrap().object;
    let name = manager_name(query(&s.path, "fieldManager"), "");
    let writer = Writer { manager: &name, subresource: "scale", now: NOW };
    track_scale(tables, &scale_row, &old, &mut new, &writer);
    irori_rules::write_scale(row, object, &new);
    take_scale_entries(row, object, &mut new);
}
