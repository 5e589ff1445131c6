//! Creates: what a stock server makes of a body.
use irori_api::row::Tables;
use irori_rules::{Birth, decode, default_object, prepare_create};
use serde_json::Value;

use super::recording::{Step, admit, difference, row, scrub, steps, strip};

pub fn made(tables: &Tables, s: &Step) -> Option<Result<Value, String>> {
    let (row, namespace, rest) = row(tables, &s.path)?;
    if !rest.is_empty() || !s.body.is_object() {
        return None;
    }
    let birth = Birth {
        uid: "0b0ad5ae-5e7c-4c5b-a2a7-000000000000".into(),
        creation_timestamp: "2026-01-01T00:00:00Z".into(),
        generated_name: s.body["metadata"]["generateName"].as_str().map(|n| format!("{n}abcde")).unwrap_or_default(),
        namespace,
    };
    let mut object = match decode(tables, row, s.body.clone()) {
        Ok(decoded) => decoded.object,
        Err(error) => return Some(Err(error.message)),
    };
    default_object(tables, row, &mut object);
    admit(row, &mut object);
    prepare_create(tables, row, &mut object, &birth);
    Some(Ok(object))
}

fn agreement(groups: &[&str]) -> (usize, usize, Vec<String>) {
    let tables = Tables::builtin();
    let (mut good, mut all, mut misses) = (0, 0, Vec::new());
    for s in groups.iter().flat_map(|g| steps(g)).filter(|s| s.method == "POST" && s.status == 201) {
        if s.want["kind"] == "Table" || s.want["kind"] == "PartialObjectMetadata" || s.path.contains("reviews") {
            continue;
        }
        let Some(got) = made(&tables, &s) else { continue };
        all += 1;
        let miss = match got {
            Err(error) => Some(error),
            Ok(mut got) => {
                let mut want = s.want.clone();
                let kind = want["kind"].as_str().unwrap_or("").to_owned();
                for v in [&mut want, &mut got] {
                    strip(&kind, v);
                    scrub(v);
                }
                difference(&want, &got, "")
            }
        };
        match miss {
            None => good += 1,
            Some(d) => misses.push(format!("{} {d}", s.id)),
        }
    }
    (good, all, misses)
}

/// DESIGN: at least 97 of 100 recorded exchanges agree in each group.
#[test]
fn created_objects_equal_those_of_a_stock_server() {
    for group in ["create", "life", "validate", "strategic", "semantics"] {
        let (good, all, misses) = agreement(&[group]);
        println!("{group}: {good} of {all}");
        assert!(
            all > 0 && 100 * good >= 97 * all,
            "{group}: {good} of {all}\n{}",
            misses.iter().take(60).cloned().collect::<Vec<_>>().join("\n")
        );
    }
}
