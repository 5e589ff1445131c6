//! Small walks over JSON trees that every rule needs.
use serde_json::{Map, Value};

/// The value at a path of object keys; null counts as absent.
pub fn get<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |at, key| at.as_object()?.get(*key)).filter(|found| !found.is_null())
}

/// The text at a path; `""` where there is none.
pub fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    get(value, path).and_then(Value::as_str).unwrap_or("")
}

/// The number at a path.
pub fn int(value: &Value, path: &[&str]) -> Option<i64> {
    get(value, path).and_then(Value::as_i64)
}

/// The boolean at a path; `false` where there is none.
pub fn flag(value: &Value, path: &[&str]) -> bool {
    get(value, path).and_then(Value::as_bool).unwrap_or(false)
}

/// The items of the list at a path; empty where there is none.
pub fn items<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    get(value, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The entries of the object at a path.
pub fn map<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Map<String, Value>> {
    get(value, path).and_then(Value::as_object)
}

/// Whether two values are the same but for some fields.
pub fn same_without(a: &Value, b: &Value, ignored: &[&str]) -> bool {
    let (Value::Object(a), Value::Object(b)) = (a, b) else { return a == b };
    let counted = |(name, _): &(&String, &Value)| !ignored.contains(&name.as_str());
    a.iter().filter(counted).eq(b.iter().filter(counted))
}

/// The value at a path, for change.
pub fn get_mut<'a>(value: &'a mut Value, path: &[&str]) -> Option<&'a mut Value> {
    path.iter().try_fold(value, |at, key| at.as_object_mut()?.get_mut(*key))
}

/// The items of the list at a path, for change; empty where there is none.
pub fn items_mut<'a>(value: &'a mut Value, path: &[&str]) -> &'a mut [Value] {
    get_mut(value, path).and_then(Value::as_array_mut).map_or(&mut [], Vec::as_mut_slice)
}

/// Sets a value at a path, making the objects on the way. Does nothing where something else stands in the way.
pub fn set(value: &mut Value, path: &[&str], new: impl Into<Value>) {
    let Some((last, way)) = path.split_last() else { return };
    let mut at = value;
    for key in way {
        let Some(object) = at.as_object_mut() else { return };
        at = object.entry((*key).to_owned()).or_insert_with(|| Value::Object(Map::new()));
    }
    if let Some(object) = at.as_object_mut() {
        object.insert((*last).to_owned(), new.into());
    }
}

/// Sets a value at a path unless something is there.
pub fn set_if_absent(value: &mut Value, path: &[&str], new: impl Into<Value>) {
    if get(value, path).is_none() {
        set(value, path, new);
    }
}

/// Removes and returns the value at a path.
pub fn remove(value: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, way) = path.split_last()?;
    get_mut(value, way)?.as_object_mut()?.remove(*last)
}

/// Whether two optional values are the same, where absent equals an empty list or object.
pub fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    fn present(v: Option<&Value>) -> Option<&Value> {
        v.filter(|v| match v {
            Value::Null => false,
            Value::Array(a) => !a.is_empty(),
            Value::Object(o) => !o.is_empty(),
            _ => true,
        })
    }
    present(a) == present(b)
}
