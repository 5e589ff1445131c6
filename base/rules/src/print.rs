//! Server-side tables: what `kubectl get` shows.
//!
//! One function per kind gives the cells in the order of the row's columns; kinds without one show their name and when they
//! were made. All columns are given, also those that `kubectl` only shows with `-o wide`: the column's priority says which.
use irori_api::row::{Column, Gvk, Row};
use serde_json::Value;

use crate::{
    managed::TEMPLATE_GENERATION,
    tree::{get, int, remove, text},
};

mod age;
mod core_v1;
mod extras;
mod network;
mod pod;
mod storage;
#[cfg(test)]
mod tests;
mod workloads;

pub use age::human_duration;

/// The columns of a kind; Name and Created At for those without.
pub fn table_columns(row: &Row) -> Vec<Column> {
    if !row.columns.is_empty() {
        return row.columns.clone();
    }
    let column = |name: &str, kind: &str, format: &str| Column {
        name: name.into(),
        kind: kind.into(),
        format: format.into(),
        priority: 0,
        json_path: None,
    };
    vec![column("Name", "string", "name"), column("Created At", "date", "")]
}

/// Whether a kind is printed by the columns of those without any of their own.
pub fn prints_by_default(row: &Row) -> bool {
    match row.columns.as_slice() {
        [] => true,
        [name, made] => name.name == "Name" && made.name == "Created At",
        _ => false,
    }
}

/// Takes from the metadata that stands beside the cells what upstream keeps in another place inside.
pub fn hide_internal(row: &Row, metadata: &mut Value) {
    if (row.gvk.group.as_str(), row.gvk.kind.as_str()) != ("apps", "DaemonSet") {
        return;
    }
    remove(metadata, &["annotations", TEMPLATE_GENERATION]);
    if metadata["annotations"].as_object().is_some_and(|left| left.is_empty()) {
        remove(metadata, &["annotations"]);
    }
}

/// What a row is marked with: a pod that has ended.
pub fn table_conditions(row: &Row, object: &Value) -> Option<Value> {
    match (row.gvk.group.as_str(), row.gvk.kind.as_str()) {
        ("", "Pod") => pod::conditions(object),
        _ => None,
    }
}

/// Puts the objects of a list in the order in which they are shown, where it is not that of their names.
pub fn order_rows(row: &Row, objects: &mut [Value]) {
    if (row.gvk.group.as_str(), row.gvk.kind.as_str()) == ("flowcontrol.apiserver.k8s.io", "FlowSchema") {
        let precedence = |object: &Value| int(object, &["spec", "matchingPrecedence"]).unwrap_or(0);
        objects.sort_by(|a, b| {
            let name = |object| text(object, &["metadata", "name"]);
            precedence(a).cmp(&precedence(b)).then_with(|| name(a).cmp(name(b)))
        });
    }
}

/// What a cell is made from: the object and the time, in seconds since 1970.
#[derive(Clone, Copy)]
struct Shown<'a> {
    object: &'a Value,
    now_s: i64,
}

impl<'a> Shown<'a> {
    fn name(&self) -> Value {
        text(self.object, &["metadata", "name"]).into()
    }

    fn age(&self) -> Value {
        self.since(&["metadata", "creationTimestamp"])
    }

    /// How long ago the time at a path was.
    fn since(&self, path: &[&str]) -> Value {
        age::since(text(self.object, path), self.now_s).into()
    }

    fn text(&self, path: &[&str]) -> &'a str {
        text(self.object, path)
    }

    fn or(&self, path: &[&str], absent: &str) -> Value {
        match text(self.object, path) {
            "" => absent.into(),
            text => text.into(),
        }
    }

    fn count(&self, path: &[&str]) -> Value {
        int(self.object, path).unwrap_or(0).into()
    }

    /// A quantity; one that is absent is zero.
    fn quantity(&self, path: &[&str]) -> Value {
        self.or(path, "0")
    }

    fn len(&self, path: &[&str]) -> usize {
        match get(self.object, path) {
            Some(Value::Array(items)) => items.len(),
            Some(Value::Object(fields)) => fields.len(),
            _ => 0,
        }
    }

    fn at(&self, path: &[&str]) -> Option<&'a Value> {
        get(self.object, path)
    }
}

/// The cells of one object, in the order of the columns. `now_s`: seconds since 1970.
pub fn table_cells(row: &Row, object: &Value, now_s: i64) -> Vec<Value> {
    let (group, kind) = (row.gvk.group.as_str(), row.gvk.kind.as_str());
    // The older autoscaler hides most of its metrics in annotations; a table shows them all.
    let whole = (group == "autoscaling" && row.gvk.version == "v1").then(|| {
        let mut old = object.clone();
        crate::tree::set(&mut old, &["apiVersion"], row.gvk.api_version());
        crate::convert(old, &Gvk::new(group, "v2", kind))
    });
    let shown = Shown { object: whole.as_ref().unwrap_or(object), now_s };
    if row.columns.iter().any(|c| c.json_path.is_some()) {
        return by_path(row, shown);
    }
    let cells = core_v1::cells(group, kind, shown)
        .or_else(|| workloads::cells(group, kind, shown))
        .or_else(|| network::cells(group, kind, shown))
        .or_else(|| storage::cells(group, kind, shown))
        .or_else(|| extras::cells(group, kind, shown));
    cells.unwrap_or_else(|| vec![shown.name(), shown.text(&["metadata", "creationTimestamp"]).into()])
}

/// The cells of a custom kind, whose columns name paths.
fn by_path(row: &Row, shown: Shown<'_>) -> Vec<Value> {
    row.columns
        .iter()
        .map(|column| {
            let Some(path) = &column.json_path else { return shown.name() };
            let found = follow(shown.object, path);
            match (column.kind.as_str(), found) {
                (_, None) => Value::Null,
                ("date", Some(Value::String(time))) => age::since(time, shown.now_s).into(),
                ("string", Some(Value::String(text))) => text.clone().into(),
                ("string", Some(other)) => other.to_string().into(),
                (_, Some(other)) => other.clone(),
            }
        })
        .collect()
}

/// The value at a simple JSON path: `.spec.replicas`, `.status.list[0].name`, `.metadata.labels['a\.b']`.
fn follow<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let mut at = object;
    let mut rest = path.trim_start_matches('$');
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (step, behind) = inner.split_once(']')?;
            at = match step.trim_matches(['\'', '"']) {
                quoted if quoted.len() != step.len() => at.get(quoted.replace("\\.", "."))?,
                number => at.get(number.parse::<usize>().ok()?)?,
            };
            rest = behind;
        } else {
            let step = rest.strip_prefix('.')?;
            let mut name = String::new();
            let mut chars = step.char_indices();
            let mut end = step.len();
            while let Some((i, c)) = chars.next() {
                match c {
                    '\\' => name.extend(chars.next().map(|(_, c)| c)),
                    '.' | '[' => {
                        end = i;
                        break;
                    }
                    c => name.push(c),
                }
            }
            if !name.is_empty() {
                at = at.get(&name)?;
            }
            rest = &step[end..];
        }
    }
    Some(at)
}

/// Labels as text: `a=b,c=d`, `<none>` without any.
fn labels(value: Option<&Value>) -> Value {
    let Some(map) = value.and_then(Value::as_object).filter(|m| !m.is_empty()) else { return "<none>".into() };
    let mut parts: Vec<String> = map.iter().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or(""))).collect();
    parts.sort();
    parts.join(",").into()
}

/// A label selector as text, `<none>` where it selects by nothing.
fn selector(value: Option<&Value>) -> Value {
    match value.map(crate::scale::selector_text) {
        Some(text) if !text.is_empty() => text.into(),
        _ => "<none>".into(),
    }
}

/// The first items joined by a comma, and how many more there are.
fn first_of(items: &[String], most: usize, none: &str) -> String {
    if items.is_empty() {
        return none.to_owned();
    }
    let shown = items[..items.len().min(most)].join(",");
    if items.len() > most { format!("{shown} + {} more...", items.len() - most) } else { shown }
}

/// Names and images of the containers of a pod spec, joined.
fn containers(spec: Option<&Value>) -> [Value; 2] {
    let list = spec.map(|s| crate::tree::items(s, &["containers"])).unwrap_or(&[]);
    let joined = |field: &str| -> Value { list.iter().map(|c| text(c, &[field])).collect::<Vec<_>>().join(",").into() };
    [joined("name"), joined("image")]
}
