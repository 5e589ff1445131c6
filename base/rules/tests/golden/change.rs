//! Changes: what a stock server makes of a PUT or PATCH on an object that it answered before.
use irori_api::row::Tables;
use irori_rules::{Part, PatchError, PatchKind, apply_patch, decode, default_object, prepare_update};
use serde_json::Value;

use super::recording::{difference, row, scrub, steps, strip};

/// The object of a case as the last answer showed it.
#[derive(Default)]
struct Last {
    case: String,
    object: Option<Value>,
}

/// Puts values of the right type where the recording has marks.
fn unmark(value: &mut Value) {
    match value {
        Value::Object(o) => o.values_mut().for_each(unmark),
        Value::Array(items) => items.iter_mut().for_each(unmark),
        Value::String(text) => match text.as_str() {
            "<time>" | "<creationTimestamp>" | "<deletionTimestamp>" => *text = "2026-01-01T00:00:00Z".into(),
            _ => {}
        },
        _ => {}
    }
}

fn changed(tables: &Tables, path: &str, content_type: &str, body: &Value, old: &Value) -> Option<Result<Value, String>> {
    let (row, _, rest) = row(tables, path)?;
    row.storage.as_ref()?;
    let part = match rest.get(1).map(String::as_str) {
        None => Part::Main,
        Some("status") if row.subresources.contains_key("status") => Part::Status,
        Some("ephemeralcontainers") => Part::Sub("ephemeralcontainers"),
        Some(_) => return None,
    };
    let input = match PatchKind::of_content_type(content_type) {
        Some(kind) => match apply_patch(tables, row, old, kind, body) {
            Ok(patched) => patched,
            Err(PatchError::Plain(text) | PatchError::Unprocessable(text) | PatchError::BadRequest(text) | PatchError::TooLarge(text)) => {
                return Some(Err(text));
            }
        },
        None => body.clone(),
    };
    let mut new = match decode(tables, row, input) {
        Ok(decoded) => decoded.object,
        Err(error) => return Some(Err(error.message)),
    };
    default_object(tables, row, &mut new);
    prepare_update(tables, row, &mut new, old, part, "2026-01-01T00:00:00Z");
    Some(Ok(new))
}

/// DESIGN: at least 97 of 100 recorded exchanges agree in each group.
#[test]
fn changed_objects_equal_those_of_a_stock_server() {
    let tables = Tables::builtin();
    for group in ["life", "strategic", "semantics", "subresource"] {
        let (mut good, mut all, mut misses) = (0, 0, Vec::new());
        let mut last = Last::default();
        for s in steps(group) {
            if last.case != s.id {
                last = Last { case: s.id.clone(), object: None };
            }
            let is_change = matches!(s.method.as_str(), "PUT" | "PATCH") && !s.content_type.contains("apply");
            if let (true, Some(old)) = (is_change, last.object.clone()) {
                let same_kind = row(&tables, &s.path).is_some_and(|(r, ..)| old["kind"] == r.gvk.kind.as_str());
                let outcome = if same_kind { changed(&tables, &s.path, &s.content_type, &s.body, &old) } else { None };
                let miss = match outcome {
                    Some(Ok(mut got)) if s.status == 200 => {
                        let mut want = s.want.clone();
                        let kind = want["kind"].as_str().unwrap_or("").to_owned();
                        for v in [&mut want, &mut got] {
                            strip(&kind, v);
                            scrub(v);
                        }
                        all += 1;
                        difference(&want, &got, "")
                    }
                    Some(Err(text)) => {
                        all += 1;
                        (s.want["message"] != text).then(|| format!("want {} got {text}", s.want["message"]))
                    }
                    _ => continue,
                };
                match miss {
                    None => good += 1,
                    Some(d) => misses.push(format!("{}#{} {d}", s.id, s.step)),
                }
            }
            let answered = s.want["kind"] != "Status" && s.want["kind"] != "Table" && s.want["metadata"]["name"].is_string();
            if s.status < 300 && answered && !s.path.contains("dryRun") && !s.path.ends_with("/scale") {
                let mut object = s.want.clone();
                unmark(&mut object);
                last.object = Some(object);
            }
        }
        println!("{group}: {good} of {all}");
        for m in &misses {
            println!("  {m}");
        }
        assert!(all > 0 && 100 * good >= 97 * all, "{group}: {good} of {all}\n{}", misses.join("\n"));
    }
}
