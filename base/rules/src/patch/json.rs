//! JSON patch, RFC 6902, with the liberties of a stock server: an index may count from the end (`-1` is the last item), a member that
//! an object does not have is null to `test` and `copy`, and `replace` adds it; a whole document is replaced and tested, not more.
use serde_json::Value;

use super::PatchError;

pub use crate::decode::json_kind;
use crate::decode::{DEPTH_MAX, UNKNOWN_MAX};

/// Operations of one patch.
pub const JSON_OPERATIONS_MAX: usize = 10_000;
/// Values that the moves and copies of one patch may walk over.
const WALKED_MAX: usize = 10_000_000;
/// Bytes that the copies of one patch may make.
pub const COPY_BYTES_MAX: usize = 3 * 1024 * 1024;

pub fn apply(object: &Value, patch: &Value) -> Result<Value, PatchError> {
    if patch.is_null() {
        return Ok(object.clone());
    }
    let Value::Array(operations) = patch else {
        return Err(unreadable(&format!("cannot unmarshal {} into Go value of type jsonpatch.Patch", json_kind(patch))));
    };
    if operations.len() > JSON_OPERATIONS_MAX {
        return Err(PatchError::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {JSON_OPERATIONS_MAX}, got {}",
            operations.len()
        )));
    }
    let mut out = object.clone();
    let mut spent = Spent::default();
    for operation in operations {
        if !operation.is_object() && !operation.is_null() {
            return Err(unreadable(&format!(
                "cannot unmarshal {} into Go value of type jsonpatch.Operation",
                json_kind(operation)
            )));
        }
        step(&mut out, operation, &mut spent).ok_or_else(refused)?;
    }
    Ok(out)
}

/// Why strict decoding cannot read the patch, though `apply` may.
pub fn misfit(patch: &Value) -> Option<String> {
    let value = |value: &Value, of: &str| format!("json: cannot unmarshal {} into Go value of type {of}", json_kind(value));
    let Value::Array(operations) = patch else {
        return (!patch.is_null()).then(|| value(patch, "[]handlers.jsonPatchOp"));
    };
    operations.iter().find_map(|operation| {
        let Value::Object(members) = operation else {
            return (!operation.is_null()).then(|| value(operation, "handlers.jsonPatchOp"));
        };
        let wrong = |name: &&str| members.get(*name).is_some_and(|member| !member.is_string() && !member.is_null());
        let name = ["from", "op", "path"].into_iter().find(|name| wrong(name))?;
        let kind = json_kind(&members[name]);
        Some(format!("json: cannot unmarshal {kind} into Go struct field jsonPatchOp.{name} of type string"))
    })
}

/// Members of operations that no operation has, as paths: `[0].foo`. At most `UNKNOWN_MAX`.
pub fn unknown_members(patch: &Value) -> Vec<String> {
    let operations = patch.as_array().into_iter().flatten().enumerate();
    let members =
        operations.flat_map(|(i, operation)| operation.as_object().into_iter().flatten().map(move |(name, _)| (i, name)));
    let unknown = members.filter(|(_, name)| !matches!(name.as_str(), "op" | "path" | "from" | "value"));
    unknown.take(UNKNOWN_MAX).map(|(i, name)| format!("[{i}].{name}")).collect()
}

fn unreadable(why: &str) -> PatchError {
    PatchError::BadRequest(format!("json: {why}"))
}

/// A patch that does not fit the object is answered by one text, whatever the reason.
pub fn refused() -> PatchError {
    PatchError::Unprocessable("the server rejected our request due to an error in our request".into())
}

/// Carries out one operation; `None` if it does not fit.
fn step(object: &mut Value, operation: &Value, spent: &mut Spent) -> Option<()> {
    let path = operation.get("path")?.as_str()?;
    if path.is_empty() {
        return whole(object, operation);
    }
    let path = Pointer::parse(path)?;
    let value = || operation.get("value").cloned().unwrap_or(Value::Null);
    let from = || Pointer::parse(operation.get("from")?.as_str()?);
    match operation.get("op")?.as_str()? {
        "add" => add(object, &path, spent.fits(&path, value())?),
        "remove" => remove(object, &path).map(drop),
        "replace" => replace(object, &path, spent.fits(&path, value())?),
        "move" => {
            let value = remove(object, &from()?)?;
            add(object, &path, spent.fits(&path, value)?)
        }
        "copy" => {
            let value = look(object, &from()?)?;
            spent.copied += size(value);
            if spent.copied > COPY_BYTES_MAX {
                return None;
            }
            let value = value.clone();
            add(object, &path, spent.fits(&path, value)?)
        }
        "test" => equal(look(object, &path)?, &value()).then_some(()),
        _ => None,
    }
}

/// An operation on the document itself.
fn whole(object: &mut Value, operation: &Value) -> Option<()> {
    let value = operation.get("value")?;
    match operation.get("op")?.as_str()? {
        "replace" if value.is_object() || value.is_array() => object.clone_from(value),
        "test" if equal(object, value) => {}
        _ => return None,
    }
    Some(())
}

/// What a patch has used up of its limits.
#[derive(Default)]
struct Spent {
    copied: usize,
    walked: usize,
}

impl Spent {
    /// The value, if the object will not be nested too deep with it: each copy or move could double the depth.
    fn fits(&mut self, path: &Pointer, value: Value) -> Option<Value> {
        let depth = path.way.len() + 1 + self.depth(&value)?;
        (depth <= DEPTH_MAX).then_some(value)
    }

    fn depth(&mut self, value: &Value) -> Option<usize> {
        self.walked += 1;
        if self.walked > WALKED_MAX {
            return None;
        }
        let below: &mut dyn Iterator<Item = &Value> = match value {
            Value::Array(items) => &mut items.iter(),
            Value::Object(fields) => &mut fields.values(),
            _ => return Some(0),
        };
        let mut deepest = 0;
        for item in below {
            deepest = deepest.max(self.depth(item)?);
        }
        Some(deepest + 1)
    }
}

/// Numbers are equal by value, whatever their spelling.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| equal(x, y)),
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(k, v)| y.get(k).is_some_and(|w| equal(v, w)))
        }
        _ => a == b,
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|v| size(v) + 1).sum::<usize>(),
        Value::Object(fields) => 2 + fields.iter().map(|(k, v)| k.len() + size(v) + 4).sum::<usize>(),
        _ => 5,
    }
}

/// A JSON pointer (RFC 6901) with at least one step. What stands before its first slash is not looked at.
struct Pointer {
    way: Vec<String>,
    last: String,
}

impl Pointer {
    fn parse(text: &str) -> Option<Pointer> {
        let (_, steps) = text.split_once('/')?;
        let mut way: Vec<String> = steps.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect();
        let last = way.pop()?;
        Some(Pointer { way, last })
    }
}

fn holder<'a>(object: &'a mut Value, path: &Pointer) -> Option<&'a mut Value> {
    path.way.iter().try_fold(object, |at, key| match at {
        Value::Object(fields) => fields.get_mut(key),
        Value::Array(items) => {
            let index = index(key, items.len())?;
            items.get_mut(index)
        }
        _ => None,
    })
}

/// The value at a place; what an object does not have is null.
fn look<'a>(object: &'a Value, path: &Pointer) -> Option<&'a Value> {
    let step = |at: &'a Value, key: &String| match at {
        Value::Object(fields) => Some(fields.get(key).unwrap_or(&Value::Null)),
        Value::Array(items) => items.get(index(key, items.len())?),
        _ => None,
    };
    path.way.iter().chain([&path.last]).try_fold(object, step)
}

/// An index of a list of that length; negative ones count from its end.
fn index(key: &str, len: usize) -> Option<usize> {
    let n: i64 = key.parse().ok()?;
    let at = if n < 0 { n.checked_add(i64::try_from(len).ok()?)? } else { n };
    usize::try_from(at).ok().filter(|at| *at < len)
}

fn add(object: &mut Value, path: &Pointer, value: Value) -> Option<()> {
    match holder(object, path)? {
        Value::Object(fields) => drop(fields.insert(path.last.clone(), value)),
        Value::Array(items) if path.last == "-" => items.push(value),
        Value::Array(items) => {
            // One behind the end is a place to add; -1 means just that.
            let at = index(&path.last, items.len() + 1)?;
            items.insert(at, value);
        }
        _ => return None,
    }
    Some(())
}

fn remove(object: &mut Value, path: &Pointer) -> Option<Value> {
    match holder(object, path)? {
        Value::Object(fields) => fields.remove(&path.last),
        Value::Array(items) => {
            let at = index(&path.last, items.len())?;
            Some(items.remove(at))
        }
        _ => None,
    }
}

fn replace(object: &mut Value, path: &Pointer, value: Value) -> Option<()> {
    match holder(object, path)? {
        Value::Object(fields) => drop(fields.insert(path.last.clone(), value)),
        Value::Array(items) => {
            let at = index(&path.last, items.len())?;
            *items.get_mut(at)? = value;
        }
        _ => return None,
    }
    Some(())
}
