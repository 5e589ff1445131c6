//! Places within a schema and what is found at them, both with an end.
use irori_api::field::{ErrorList, FieldError, FieldPath, Wrong};
use serde_json::Value;

use crate::chain::Chain;

/// Errors that are told of one definition; what is found after them is not.
pub const ERRORS_MAX: usize = 1_000;

/// Bytes of paths, values and texts that are told of one definition.
pub const TOLD_BYTES_MAX: usize = 4 << 20;

#[derive(Clone, Copy)]
enum Step<'a> {
    Start(&'a FieldPath),
    Child(&'a str),
    Key(&'a str),
    Index(usize),
}

/// A place: a step below another.
#[derive(Clone, Copy)]
pub struct Way<'a>(Chain<'a, Step<'a>>);

impl<'a> Way<'a> {
    pub fn start(path: &'a FieldPath) -> Way<'a> {
        Way(Chain { up: None, step: Step::Start(path) })
    }

    fn below(&'a self, step: Step<'a>) -> Way<'a> {
        Way(Chain { up: Some(&self.0), step })
    }

    pub fn child(&'a self, name: &'a str) -> Way<'a> {
        self.below(Step::Child(name))
    }

    pub fn key(&'a self, key: &'a str) -> Way<'a> {
        self.below(Step::Key(key))
    }

    pub fn index(&'a self, index: usize) -> Way<'a> {
        self.below(Step::Index(index))
    }

    pub fn path(&self) -> FieldPath {
        let mut out = String::new();
        for step in self.0.steps() {
            match step {
                Step::Start(path) if *path == FieldPath::root() => {}
                Step::Start(path) => out.push_str(&path.to_string()),
                Step::Child(name) => {
                    if !out.is_empty() {
                        out.push('.');
                    }
                    out.push_str(name);
                }
                Step::Key(key) => {
                    out.push('[');
                    out.push_str(key);
                    out.push(']');
                }
                Step::Index(i) => out.push_str(&format!("[{i}]")),
            }
        }
        if out.is_empty() { FieldPath::root() } else { FieldPath::new(&out) }
    }
}

/// What was found, up to the limits.
#[derive(Default)]
pub struct Findings {
    errors: Vec<FieldError>,
    bytes: usize,
}

impl Findings {
    pub fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    pub fn len(&self) -> usize {
        self.errors.len()
    }

    /// Whether nothing more is told.
    pub fn full(&self) -> bool {
        self.errors.len() >= ERRORS_MAX || self.bytes >= TOLD_BYTES_MAX
    }

    fn push(&mut self, at: &Way<'_>, wrong: Wrong, value: Option<Value>, detail: impl Into<String>) {
        if self.full() {
            return;
        }
        let error = FieldError { field: at.path(), wrong, value, detail: detail.into() };
        self.bytes += error.to_string().len();
        self.errors.push(error);
    }

    pub fn required(&mut self, at: &Way<'_>, detail: &str) {
        self.push(at, Wrong::Required, None, detail);
    }

    pub fn forbidden(&mut self, at: &Way<'_>, detail: impl Into<String>) {
        self.push(at, Wrong::Forbidden, None, detail);
    }

    pub fn type_invalid(&mut self, at: &Way<'_>, detail: impl Into<String>) {
        self.push(at, Wrong::TypeInvalid, None, detail);
    }

    pub fn too_long(&mut self, at: &Way<'_>, bytes_max: i64) {
        self.push(at, Wrong::TooLong, None, format!("may not be more than {bytes_max} bytes"));
    }

    pub fn too_many(&mut self, at: &Way<'_>, given: usize, items_max: i64) {
        self.push(at, Wrong::TooMany, Some(given.into()), format!("must have at most {items_max} items"));
    }

    /// A text, number or truth value that is wrong.
    pub fn invalid(&mut self, at: &Way<'_>, value: impl Into<Value>, detail: impl Into<String>) {
        self.push(at, Wrong::Invalid, Some(value.into()), detail);
    }

    /// A value that is shown as it is written here.
    pub fn invalid_shown(&mut self, at: &Way<'_>, shown: impl FnOnce() -> String, detail: &str) {
        if !self.full() {
            self.push(at, Wrong::Invalid, None, format!("{}: {detail}", shown()));
        }
    }

    pub fn not_supported(&mut self, at: &Way<'_>, value: impl Into<Value>, supported: &[impl AsRef<str>]) {
        if self.full() {
            return;
        }
        let mut list = ErrorList::default();
        list.not_supported(at.path(), value, supported);
        for error in list {
            self.bytes += error.to_string().len();
            self.errors.push(error);
        }
    }

    pub fn take(&mut self, error: FieldError) {
        if !self.full() {
            self.bytes += error.to_string().len();
            self.errors.push(error);
        }
    }

    pub fn append(&mut self, other: Findings) {
        for error in other.errors {
            self.take(error);
        }
    }

    /// In the order of what is said: fields of a map have none of their own.
    pub fn sort(&mut self) {
        self.errors.sort_by_cached_key(ToString::to_string);
    }

    pub fn into_errors(self) -> Vec<FieldError> {
        self.errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_as_paths() {
        let root = FieldPath::new("spec");
        let (start, nothing) = (Way::start(&root), FieldPath::root());
        let list = start.child("properties");
        let field = list.key("a.b");
        assert_eq!(field.child("anyOf").index(1).path().to_string(), "spec.properties[a.b].anyOf[1]");
        assert_eq!(Way::start(&nothing).child("a").path().to_string(), "a");
    }

    #[test]
    fn what_is_told_has_an_end() {
        let (root, name) = (FieldPath::root(), "x".repeat(1 << 20));
        let mut found = Findings::default();
        let (start, mut many) = (Way::start(&root), Findings::default());
        for _ in 0..2 * ERRORS_MAX {
            found.required(&start.child(&name), "");
            many.required(&start.child("a"), "");
        }
        assert!(found.len() <= 4 && found.full());
        assert_eq!(many.len(), ERRORS_MAX);
    }
}
