//! Tables: the rows of a stock server's `kubectl get`.
use irori_api::row::Tables;
use irori_rules::{table_cells, table_columns};
use serde_json::{Value, json};

use super::{
    create::made,
    recording::{row, steps},
};

/// A cell without its age, address or allocated port, as the recording marks it.
fn marked(cell: Value) -> Value {
    let Value::String(text) = &cell else { return cell };
    let aged = text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || "smhdy".contains(c))
        && text.ends_with(['s', 'm', 'h', 'd', 'y']);
    if aged {
        return "<age>".into();
    }
    if text.starts_with("2026-") && text.ends_with('Z') {
        return "<time>".into();
    }
    match text.split_once('=') {
        Some((key, value)) if value.len() == 36 && value.matches('-').count() == 4 => format!("{key}=<uuid>").into(),
        _ if text.starts_with("10.96.") => "<ip>".into(),
        _ => cell,
    }
}

/// Server-side printing: https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables
#[test]
fn rows_and_columns_equal_those_of_a_stock_server() {
    let tables = Tables::builtin();
    let (mut good, mut all, mut misses) = (0, 0, Vec::new());
    for group in ["table", "life", "subresource"] {
        let mut object = Value::Null;
        for s in steps(group) {
            if s.want["kind"] != "Table" {
                if s.status < 300 && s.want["kind"].is_string() {
                    object = s.want.clone();
                }
                if s.step == 0 && s.method == "POST" && s.status == 201 {
                    object = s.want.clone();
                }
                continue;
            }
            let Some((row, ..)) = row(&tables, &s.path) else { continue };
            let want = &s.want["columnDefinitions"];
            let columns: Vec<Value> = table_columns(row)
                .into_iter()
                .map(|c| json!({"name": c.name, "type": c.kind, "format": c.format, "priority": c.priority}))
                .collect();
            let bare: Vec<Value> = want
                .as_array()
                .unwrap()
                .iter()
                .map(|c| json!({"name": c["name"], "type": c["type"], "format": c["format"], "priority": c["priority"]}))
                .collect();
            all += 1;
            if columns != bare {
                misses.push(format!("{} columns want {} got {}", s.id, json!(bare), json!(columns)));
                continue;
            }
            let Some(wanted) = s.want["rows"].get(0).map(|r| r["cells"].clone()) else {
                good += 1;
                continue;
            };
            let shown = if s.method == "POST" { made(&tables, &s).unwrap().unwrap() } else { object.clone() };
            let mut shown = shown;
            if shown["metadata"]["creationTimestamp"].is_string() {
                shown["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
            }
            if row.gvk.kind == "Service" && shown["spec"]["clusterIPs"].is_null() && shown["spec"]["type"] != "ExternalName" {
                shown["spec"]["clusterIPs"] = json!(["10.96.0.7"]);
            }
            let cells = table_cells(row, &shown, 1_767_225_600 + 10);
            let cells: Vec<Value> = cells.into_iter().map(marked).collect();
            let wanted: Vec<Value> = wanted.as_array().unwrap().clone();
            let same = cells.len() == wanted.len()
                && cells
                    .iter()
                    .zip(&wanted)
                    .all(|(got, want)| got == want || (want == "<age>" && got == "<unknown>" && group != "table"));
            if same {
                good += 1;
            } else {
                misses.push(format!("{} want {} got {}", s.id, json!(wanted), json!(cells)));
            }
        }
    }
    println!("table: {good} of {all}\n{}", misses.join("\n"));
    assert!(all > 100 && 100 * good >= 97 * all, "{good} of {all}\n{}", misses.join("\n"));
}
