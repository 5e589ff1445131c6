//! The entries of `metadata.managedFields`.
use std::sync::LazyLock;

use hashbrown::HashMap;
use irori_api::field::{ErrorList, FieldPath};
use regex::Regex;
use serde_json::{Map, Value};

use super::set::Set;
use crate::tree::{get, remove, set};

/// Entries of `Update` that one object keeps; the oldest beyond them are merged into `ancient-changes`.
pub const UPDATERS_MAX: usize = 10;
/// Bytes of a manager name.
pub const MANAGER_BYTES_MAX: usize = 128;

/// What one manager owns by one operation on one part, in the form of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub manager: String,
    /// By apply; else by any other write.
    pub applied: bool,
    /// The form in which `set` is written: `apps/v1`.
    pub api_version: String,
    /// Empty for the main resource.
    pub subresource: String,
    /// RFC 3339 in seconds.
    pub time: Option<String>,
    pub set: Set,
}

impl Entry {
    fn operation(&self) -> &'static str {
        if self.applied { "Apply" } else { "Update" }
    }

    /// Whether both are one manager. An applier is the same whatever version it speaks.
    pub fn same_manager(&self, other: &Entry) -> bool {
        self.manager == other.manager
            && self.applied == other.applied
            && self.subresource == other.subresource
            && (self.applied || self.api_version == other.api_version)
    }

    /// The order of managers, as upstream sorts their identities.
    pub fn identity(&self) -> (&str, &str, &str, &str) {
        let version = if self.applied { "" } else { self.api_version.as_str() };
        (&self.manager, self.operation(), version, &self.subresource)
    }

    fn time(&self) -> &str {
        self.time.as_deref().unwrap_or("")
    }

    fn read(index: usize, entry: &Value) -> Result<Entry, String> {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or("");
        let applied = match text("operation") {
            "Apply" => true,
            "Update" => false,
            _ => return Err("operation must be `Apply` or `Update`".to_owned()),
        };
        if text("apiVersion").is_empty() {
            return Err("apiVersion must not be empty".to_owned());
        }
        match text("fieldsType") {
            "FieldsV1" => {}
            "" => return Err(format!("missing fieldsType in managed fields entry {index}")),
            other => return Err(format!("invalid fieldsType {other:?} in managed fields entry {index}")),
        }
        Ok(Entry {
            manager: text("manager").to_owned(),
            applied,
            api_version: text("apiVersion").to_owned(),
            subresource: text("subresource").to_owned(),
            time: get(entry, &["time"]).and_then(Value::as_str).map(str::to_owned),
            set: get(entry, &["fieldsV1"]).map_or_else(|| Ok(Set::default()), Set::read)?,
        })
    }

    fn write(&self) -> Value {
        let mut out = Map::new();
        let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
        put("apiVersion", self.api_version.as_str().into());
        put("fieldsType", "FieldsV1".into());
        put("fieldsV1", self.set.write());
        if !self.manager.is_empty() {
            put("manager", self.manager.as_str().into());
        }
        put("operation", self.operation().into());
        if !self.subresource.is_empty() {
            put("subresource", self.subresource.as_str().into());
        }
        if let Some(time) = &self.time {
            put("time", time.as_str().into());
        }
        Value::Object(out)
    }
}

/// The entries of an object; the error says which one cannot be read.
pub fn read_entries(object: &Value) -> Result<Vec<Entry>, String> {
    let list = crate::tree::items(object, &["metadata", "managedFields"]);
    let mut out = list.iter().enumerate().map(|(i, entry)| Entry::read(i, entry)).collect::<Result<Vec<_>, _>>()?;
    // Of two entries of one manager the later holds.
    let last = |out: &[Entry]| -> Vec<usize> {
        let last: HashMap<_, usize> = out.iter().enumerate().map(|(i, entry)| (entry.identity(), i)).collect();
        last.into_values().collect()
    };
    let mut kept = last(&out);
    if kept.len() < out.len() {
        kept.sort_unstable();
        let mut kept = kept.into_iter().peekable();
        let mut i = 0;
        out.retain(|_| {
            i += 1;
            kept.next_if_eq(&(i - 1)).is_some()
        });
    }
    Ok(out)
}

/// Writes the entries in stock order: by operation, time, manager, version, subresource. None of them: no field.
pub fn write_entries(object: &mut Value, mut entries: Vec<Entry>) {
    if entries.is_empty() {
        remove(object, &["metadata", "managedFields"]);
        return;
    }
    entries.sort_by(|a, b| {
        let key =
            |e: &'_ Entry| (!e.applied, e.time().to_owned(), e.manager.clone(), e.api_version.clone(), e.subresource.clone());
        key(a).cmp(&key(b))
    });
    set(object, &["metadata", "managedFields"], entries.iter().map(Entry::write).collect::<Vec<_>>());
}

/// Whether a request asks to forget who owns what: `managedFields: [{}]`. An empty list does not, so that clients that do
/// not know the field cannot do it.
pub(super) fn is_reset(object: &Value) -> bool {
    let blank = |entry: &Value| entry.as_object().is_some_and(|e| e.values().all(|v| v.is_null() || v.as_str() == Some("")));
    matches!(crate::tree::items(object, &["metadata", "managedFields"]), [only] if blank(only))
}

/// Merges the oldest entries of `Update` until `UPDATERS_MAX` are left, into one per version.
pub(super) fn cap(entries: &mut Vec<Entry>) {
    let mut count = entries.iter().filter(|e| !e.applied).count();
    if count <= UPDATERS_MAX {
        return;
    }
    let (mut updaters, mut kept): (Vec<Entry>, Vec<Entry>) = std::mem::take(entries).into_iter().partition(|e| !e.applied);
    updaters.sort_by(|a, b| a.time().cmp(b.time()).then_with(|| a.identity().cmp(&b.identity())));
    // One per version: the first entry seen, which becomes the bucket as soon as a second one joins it.
    let mut buckets: Vec<(bool, Entry)> = Vec::new();
    for entry in updaters {
        let bucket = buckets.iter_mut().find(|(_, b)| b.api_version == entry.api_version);
        match bucket {
            _ if count <= UPDATERS_MAX => kept.push(entry),
            None => buckets.push((false, entry)),
            Some((merged, bucket)) => {
                if !*merged {
                    *merged = true;
                    bucket.manager = "ancient-changes".to_owned();
                    bucket.subresource = String::new();
                }
                bucket.set = std::mem::take(&mut bucket.set).union(entry.set);
                bucket.time = entry.time;
                count -= 1;
            }
        }
    }
    for (_, bucket) in buckets {
        match kept.iter_mut().find(|known| known.same_manager(&bucket)) {
            Some(known) => known.set = std::mem::take(&mut known.set).union(bucket.set),
            None => kept.push(bucket),
        }
    }
    *entries = kept;
}

/// What a manager's name may be made of: what can be seen, and spaces.
static PRINTABLE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$").expect("the classes of characters are known"));

fn printable(c: char) -> bool {
    c.is_ascii_graphic() || PRINTABLE.is_match(c.encode_utf8(&mut [0; 4]))
}

/// Notes what is wrong with a manager's name. One that is too long is not read.
pub fn check_manager(errors: &mut ErrorList, at: &FieldPath, name: &str) {
    if name.len() > MANAGER_BYTES_MAX {
        return errors.too_long(at.clone(), MANAGER_BYTES_MAX);
    }
    let fault = |(at, c): (usize, char)| format!("invalid character U+{:04X} (at position {at})", u32::from(c));
    errors.invalid_each(at, name, name.char_indices().filter(|(_, c)| !printable(*c)).map(fault).collect());
}

/// The name of a writer: the field manager it gave, else its user agent up to the first `/`, else `unknown`.
pub fn manager_name(field_manager: &str, user_agent: &str) -> String {
    if !field_manager.is_empty() {
        return field_manager.to_owned();
    }
    let mut name = String::new();
    for c in user_agent.split('/').next().unwrap_or("").chars().filter(|c| printable(*c)) {
        if name.len() + c.len_utf8() > MANAGER_BYTES_MAX {
            break;
        }
        name.push(c);
    }
    if name.is_empty() { "unknown".to_owned() } else { name }
}
