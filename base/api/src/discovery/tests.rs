use std::{io::Read as _, sync::Arc};

use super::*;
use crate::row::Gvr;

fn sorted(mut value: Value) -> Value {
    for key in ["resources", "groups", "items"] {
        if let Some(list) = value.get_mut(key).and_then(Value::as_array_mut) {
            list.sort_by_key(Value::to_string);
        }
    }
    value
}

/// Everything that a stock server tells is told here too, in the same shape.
fn assert_covers(ours: &Value, wanted: &Value, at: &str) {
    match (ours, wanted) {
        (Value::Object(ours), Value::Object(wanted)) => {
            for (key, wanted) in wanted {
                let found = ours.get(key).unwrap_or_else(|| panic!("{at}.{key} is missing"));
                assert_covers(found, wanted, &format!("{at}.{key}"));
            }
            for key in ours.keys() {
                assert!(
                    wanted.contains_key(key) || key == "apiVersion" || key == "kind" || key == "metadata",
                    "{at}.{key} is too much"
                );
            }
        }
        (Value::Array(ours), Value::Array(wanted)) => {
            let name = |value: &Value| {
                ["name", "resource", "subresource", "version"]
                    .iter()
                    .find_map(|key| value[*key].as_str().map(str::to_owned))
                    .or_else(|| value["metadata"]["name"].as_str().map(str::to_owned))
            };
            for item in wanted {
                let found = ours
                    .iter()
                    .find(|ours| name(ours) == name(item) && (name(item).is_some() || *ours == item || ours.is_object()));
                assert_covers(
                    found.unwrap_or_else(|| panic!("{at} lacks {item}")),
                    item,
                    &format!("{at}[{}]", name(item).unwrap_or_default()),
                );
            }
        }
        _ => assert_eq!(ours, wanted, "{at}"),
    }
}

#[test]
fn discovery_tells_what_a_stock_server_tells() {
    let file = std::fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/discovery.jsonl.gz")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let tables = Tables::builtin();
    let mut compared = 0;
    for case in text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let step = &case["steps"][0];
        let wanted = &step["want"]["body"];
        let parts: Vec<&str> = step["path"].as_str().unwrap().trim_start_matches('/').split('/').collect();
        let ours = match (parts.as_slice(), step["headers"]["Accept"].is_string()) {
            (["api"], true) => aggregated_core(&tables),
            (["apis"], true) => aggregated_groups(&tables),
            (["api"], false) => core_versions("127.0.0.1:26443"),
            (["apis"], false) => groups(&tables),
            (["api", version], _) => resources(&tables, "", version).unwrap(),
            (["apis", group, version], _) => match resources(&tables, group, version) {
                Some(found) => found,
                None => {
                    assert_eq!(step["want"]["status"], 404);
                    continue;
                }
            },
            _ => continue,
        };
        assert_covers(&sorted(ours), &sorted(wanted.clone()), case["id"].as_str().unwrap());
        compared += 1;
    }
    assert!(compared >= 15, "{compared}");
}

#[test]
fn a_custom_kind_appears_as_soon_as_its_row_does() {
    let mut tables = Tables::builtin();
    let stock = tables.resource("", "v1", "configmaps").unwrap().clone();
    for version in ["v1beta1", "v1", "v2alpha1", "foo", "v10"] {
        let row = Row {
            gvr: Gvr::new("example.com", version, "widgets"),
            gvk: Gvk::new("example.com", version, "Widget"),
            ..Row::clone(&stock)
        };
        tables.rows.insert(row.gvr.clone(), Arc::new(row));
    }
    let widgets = group(&tables, "example.com").unwrap();
    let versions: Vec<&str> =
        widgets["versions"].as_array().unwrap().iter().map(|version| version["version"].as_str().unwrap()).collect();
    assert_eq!(versions, ["v10", "v1", "v1beta1", "v2alpha1", "foo"]);
    assert_eq!(widgets["preferredVersion"]["version"], "v10");
    assert_eq!(resources(&tables, "example.com", "v1beta1").unwrap()["resources"][0]["kind"], "Widget");
    assert!(group(&tables, "").is_none());
    assert!(resources(&tables, "example.com", "v2").is_none());
}

#[test]
fn etags_follow_the_text() {
    assert_eq!(etag(b""), "6C62272E07BB014262B821756295C58D");
    assert_ne!(etag(b"a"), etag(b"b"));
}
