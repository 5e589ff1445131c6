//! Field errors: where in an object something is wrong, and what, in the words of a stock server.
use std::{borrow::Cow, fmt};

use hashbrown::HashSet;

use serde_json::Value;

use crate::{
    codec::json::least_bytes,
    status::{Cause, quoted},
};

/// A path into an object: `spec.containers[0].ports`, `metadata.labels[a/b]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(Option<String>);

impl FieldPath {
    /// A first step; an empty name is a path too, and prints as nothing.
    pub fn new(name: &str) -> FieldPath {
        FieldPath(Some(name.to_owned()))
    }

    /// The object itself; stock servers print it as `<nil>`.
    pub fn root() -> FieldPath {
        FieldPath::default()
    }

    #[must_use]
    pub fn child(&self, name: &str) -> FieldPath {
        if self.0.is_none() { FieldPath::new(name) } else { self.with([".", name, ""]) }
    }

    /// Several steps at once: `at(["spec", "template"])`.
    #[must_use]
    pub fn at<const N: usize>(&self, names: [&str; N]) -> FieldPath {
        names.iter().fold(self.clone(), |path, name| path.child(name))
    }

    #[must_use]
    pub fn index(&self, index: usize) -> FieldPath {
        self.with(["[", &index.to_string(), "]"])
    }

    #[must_use]
    pub fn key(&self, key: &str) -> FieldPath {
        self.with(["[", key, "]"])
    }

    fn with(&self, parts: [&str; 3]) -> FieldPath {
        let way = self.0.as_deref().unwrap_or("");
        let mut path = String::with_capacity(way.len() + parts.iter().map(|part| part.len()).sum::<usize>());
        path.push_str(way);
        parts.iter().for_each(|part| path.push_str(part));
        FieldPath(Some(path))
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or("<nil>"))
    }
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    NotFound,
    Required,
    Duplicate,
    Invalid,
    NotSupported,
    Forbidden,
    TooLong,
    TooMany,
    Internal,
    TypeInvalid,
}

impl Wrong {
    /// As in `causes[].reason`.
    pub fn reason(self) -> &'static str {
        match self {
            Wrong::NotFound => "FieldValueNotFound",
            Wrong::Required => "FieldValueRequired",
            Wrong::Duplicate => "FieldValueDuplicate",
            Wrong::Invalid => "FieldValueInvalid",
            Wrong::NotSupported => "FieldValueNotSupported",
            Wrong::Forbidden => "FieldValueForbidden",
            Wrong::TooLong => "FieldValueTooLong",
            Wrong::TooMany => "FieldValueTooMany",
            Wrong::Internal => "InternalError",
            Wrong::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Wrong::NotFound => "Not found",
            Wrong::Required => "Required value",
            Wrong::Duplicate => "Duplicate value",
            Wrong::Invalid | Wrong::TypeInvalid => "Invalid value",
            Wrong::NotSupported => "Unsupported value",
            Wrong::Forbidden => "Forbidden",
            Wrong::TooLong => "Too long",
            Wrong::TooMany => "Too many",
            Wrong::Internal => "Internal error",
        }
    }
}

/// One wrong field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    pub field: FieldPath,
    pub wrong: Wrong,
    /// What was given; `None` prints no value (also where the kind of error prints none).
    pub value: Option<Value>,
    pub detail: String,
}

impl FieldError {
    pub fn new(field: FieldPath, wrong: Wrong, value: impl Into<Value>, detail: impl Into<String>) -> FieldError {
        FieldError { field, wrong, value: Some(value.into()), detail: detail.into() }
    }

    /// An error that prints no value.
    pub fn without_value(field: FieldPath, wrong: Wrong, detail: impl Into<String>) -> FieldError {
        FieldError { field, wrong, value: None, detail: detail.into() }
    }

    /// The message without the field: `Invalid value: "x": must not be x`.
    pub fn body(&self) -> String {
        let mut body = self.wrong.words().to_owned();
        let silent =
            matches!(self.wrong, Wrong::Required | Wrong::Forbidden | Wrong::TooLong | Wrong::Internal | Wrong::TypeInvalid);
        if let (Some(value), false) = (&self.value, silent) {
            body.push_str(": ");
            match value {
                Value::String(text) => body.push_str(&quoted(text)),
                other => body.push_str(&other.to_string()),
            }
        }
        if !self.detail.is_empty() {
            body.push_str(": ");
            body.push_str(&self.detail);
        }
        body
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

/// Errors of an object that are told; the rest is counted.
pub const ERRORS_MAX: usize = 1_000;
/// Bytes of values and details in them, beyond which no more are told: an error may show a list as large as the object.
pub const ERROR_BYTES_MAX: usize = 4 << 20;

/// All that is wrong with an object, in the order in which it was found, up to `ERRORS_MAX` and `ERROR_BYTES_MAX`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ErrorList {
    errors: Vec<FieldError>,
    untold: usize,
    bytes: usize,
}

impl ErrorList {
    pub fn push(&mut self, error: FieldError) {
        if self.is_full() {
            self.untold += 1;
            return;
        }
        self.bytes += error.detail.len() + error.value.as_ref().map_or(0, least_bytes);
        self.errors.push(error);
    }

    /// Whether further errors are not told: a reason to end a loop that makes dear ones.
    pub fn is_full(&self) -> bool {
        self.errors.len() >= ERRORS_MAX || self.bytes >= ERROR_BYTES_MAX
    }

    pub fn required(&mut self, field: FieldPath, detail: &str) {
        self.push(FieldError::without_value(field, Wrong::Required, detail));
    }

    pub fn invalid(&mut self, field: FieldPath, value: impl Into<Value>, detail: impl Into<String>) {
        self.push(FieldError::new(field, Wrong::Invalid, value, detail));
    }

    /// One error for each message, as the validators of `names` answer them.
    pub fn invalid_each(&mut self, field: &FieldPath, value: impl Into<Value>, messages: Vec<String>) {
        let value = value.into();
        for message in messages {
            self.invalid(field.clone(), value.clone(), message);
        }
    }

    /// `supported` in the order to print; stock servers sort nearly always.
    pub fn not_supported<S: AsRef<str>>(&mut self, field: FieldPath, value: impl Into<Value>, supported: &[S]) {
        let quoted: Vec<String> = supported.iter().map(|value| quoted(value.as_ref())).collect();
        let detail = if quoted.is_empty() { String::new() } else { format!("supported values: {}", quoted.join(", ")) };
        self.push(FieldError::new(field, Wrong::NotSupported, value, detail));
    }

    pub fn forbidden(&mut self, field: FieldPath, detail: impl Into<String>) {
        self.push(FieldError::without_value(field, Wrong::Forbidden, detail));
    }

    pub fn duplicate(&mut self, field: FieldPath, value: impl Into<Value>) {
        self.push(FieldError::new(field, Wrong::Duplicate, value, ""));
    }

    pub fn not_found(&mut self, field: FieldPath, value: impl Into<Value>) {
        self.push(FieldError::new(field, Wrong::NotFound, value, ""));
    }

    pub fn too_long(&mut self, field: FieldPath, bytes_max: usize) {
        self.push(FieldError::without_value(field, Wrong::TooLong, format!("may not be more than {bytes_max} bytes")));
    }

    pub fn too_many(&mut self, field: FieldPath, given: usize, items_max: usize) {
        self.push(FieldError::new(field, Wrong::TooMany, given, format!("must have at most {items_max} items")));
    }

    pub fn internal(&mut self, field: FieldPath, detail: impl Into<String>) {
        self.push(FieldError::without_value(field, Wrong::Internal, detail));
    }

    pub fn append(&mut self, other: ErrorList) {
        self.untold += other.untold;
        self.extend(other.errors);
    }

    /// Leaves out what was wrong before in the same place and in the same way. Where not all is told, all stays.
    pub fn forgive(&mut self, before: &ErrorList) {
        if self.untold == 0 {
            let known: HashSet<String> = before.errors.iter().map(ToString::to_string).collect();
            self.errors.retain(|error| !known.contains(&error.to_string()));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// How many were found, told or not.
    pub fn len(&self) -> usize {
        self.errors.len() + self.untold
    }

    pub fn iter(&self) -> std::slice::Iter<'_, FieldError> {
        self.errors.iter()
    }

    pub(crate) fn causes(&self) -> Vec<Cause> {
        let cause = |error: &FieldError| Cause {
            reason: Cow::Borrowed(error.wrong.reason()),
            message: error.body(),
            field: error.field.to_string(),
        };
        self.errors.iter().map(cause).collect()
    }
}

/// One error stands alone, several in brackets; the same text is said once.
impl fmt::Display for ErrorList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.errors.iter().map(FieldError::to_string).collect();
        let mut said = HashSet::with_capacity(all.len());
        let texts: Vec<&str> = all.iter().map(String::as_str).filter(|text| said.insert(*text)).collect();
        match texts.as_slice() {
            [one] => f.write_str(one),
            many => write!(f, "[{}]", many.join(", ")),
        }
    }
}

impl Extend<FieldError> for ErrorList {
    fn extend<T: IntoIterator<Item = FieldError>>(&mut self, errors: T) {
        for error in errors {
            self.push(error);
        }
    }
}

impl IntoIterator for ErrorList {
    type Item = FieldError;
    type IntoIter = std::vec::IntoIter<FieldError>;

    fn into_iter(self) -> Self::IntoIter {
        self.errors.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_print_as_stock_servers_print_them() {
        let path = FieldPath::new("spec").at(["template", "spec"]).child("containers").index(0).child("env").key("a/b");
        assert_eq!(path.to_string(), "spec.template.spec.containers[0].env[a/b]");
        assert_eq!(FieldPath::root().to_string(), "<nil>");
        assert_eq!(FieldPath::root().child("data").to_string(), "data");
        assert_eq!(FieldPath::new("").to_string(), "");
    }

    #[test]
    fn bodies_show_the_value_where_a_stock_server_shows_it() {
        let body = |wrong, value: Value, detail: &str| FieldError::new(FieldPath::new("a"), wrong, value, detail).body();
        assert_eq!(body(Wrong::Invalid, json!("x\ny"), "no"), "Invalid value: \"x\\ny\": no");
        assert_eq!(body(Wrong::Invalid, json!(-1), "no"), "Invalid value: -1: no");
        assert_eq!(body(Wrong::Invalid, Value::Null, "no"), "Invalid value: null: no");
        assert_eq!(body(Wrong::Duplicate, json!({"port": 1}), ""), "Duplicate value: {\"port\":1}");
        assert_eq!(body(Wrong::TooLong, json!("x"), "may not be more than 1 bytes"), "Too long: may not be more than 1 bytes");
        assert_eq!(FieldError::without_value(FieldPath::new("spec"), Wrong::Invalid, "failed").body(), "Invalid value: failed");
        let mut errors = ErrorList::default();
        errors.not_supported(FieldPath::new("a"), "abc", &["NotRequired", "RestartContainer"]);
        errors.too_many(FieldPath::new("b"), 4, 3);
        assert_eq!(
            errors.to_string(),
            "[a: Unsupported value: \"abc\": supported values: \"NotRequired\", \"RestartContainer\", b: Too many: 4: must have at most 3 items]"
        );
    }

    #[test]
    fn errors_are_told_up_to_a_number_and_a_size_and_counted_beyond() {
        let mut errors = ErrorList::default();
        for i in 0..ERRORS_MAX + 5 {
            assert_eq!(errors.is_full(), i >= ERRORS_MAX);
            errors.required(FieldPath::new("a").index(i), "");
        }
        assert_eq!((errors.iter().count(), errors.len()), (ERRORS_MAX, ERRORS_MAX + 5));
        let mut large = ErrorList::default();
        let value = "x".repeat(ERROR_BYTES_MAX / 2);
        for _ in 0..5 {
            large.invalid(FieldPath::new("a"), value.as_str(), "is long");
        }
        assert_eq!((large.iter().count(), large.len()), (2, 5));
    }
}
