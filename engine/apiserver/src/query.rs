//! The query string and the options that verbs read from it.
use irori_api::field::{ErrorList, FieldError, FieldPath, Wrong};

use crate::{
    limits,
    refusal::{Answered, Refusal},
};

/// Decoded pairs, in order.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(raw: Option<&str>) -> Self {
        let pairs = raw.unwrap_or("").split('&').filter(|p| !p.is_empty());
        Self(pairs.map(|p| p.split_once('=').unwrap_or((p, ""))).map(|(k, v)| (decode(k), decode(v))).collect())
    }

    /// The first value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// The first value, unless empty.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key).filter(|v| !v.is_empty())
    }

    /// All values of a key.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// A boolean as upstream reads it: present and not `false`, `0`.
    pub fn flag(&self, key: &str) -> bool {
        self.get(key).is_some_and(|v| !matches!(v.to_ascii_lowercase().as_str(), "false" | "0"))
    }

    /// A number; a text that is none is a 400.
    pub fn number(&self, key: &str) -> Answered<Option<i64>> {
        match self.text(key) {
            None => Ok(None),
            Some(v) => {
                v.parse().map(Some).map_err(|_| Refusal::bad_request(format!("strconv.ParseInt: parsing {v:?}: invalid syntax")))
            }
        }
    }
}

/// Percent-decoding with `+` as a space; what is not a valid escape stays as it is.
pub fn decode(text: &str) -> String {
    percent_decode(text, true)
}

/// Percent-decoding of a path segment.
pub fn decode_segment(text: &str) -> String {
    percent_decode(text, false)
}

fn percent_decode(text: &str, plus: bool) -> String {
    let escaped = text.contains('%') || (plus && text.contains('+'));
    if !escaped {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
        match bytes[i] {
            b'%' => match (hex(i + 1), hex(i + 2)) {
                (Some(high), Some(low)) => {
                    out.push(u8::try_from(high * 16 + low).expect("two hex digits are a byte"));
                    i += 2;
                }
                _ => out.push(b'%'),
            },
            b'+' if plus => out.push(b' '),
            other => out.push(other),
        }
        i += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// How a list's resourceVersion is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    Unsaid,
    Exact,
    NotOlderThan,
}

/// What a list or a watch was asked for.
#[derive(Clone, Debug)]
pub struct ListOptions {
    pub labels: String,
    pub fields: String,
    /// 0: no limit.
    pub limit: usize,
    pub next: Option<String>,
    /// `None`: the newest.
    pub revision: Option<u64>,
    pub revision_match: Match,
    pub bookmarks: bool,
    pub initial_events: Option<bool>,
    pub timeout_s: Option<u64>,
}

impl ListOptions {
    pub fn read(query: &Query) -> Answered<Self> {
        let selector = |key: &str| {
            let text = query.get(key).unwrap_or("");
            if text.len() > limits::SELECTOR_BYTES_MAX {
                let max = limits::SELECTOR_BYTES_MAX;
                return Err(Refusal::bad_request(format!("{key} is longer than the limit of {max} bytes")));
            }
            Ok(text.to_owned())
        };
        let limit = query.number("limit")?.unwrap_or(0);
        let revision_match = match query.text("resourceVersionMatch") {
            None => Match::Unsaid,
            Some("Exact") => Match::Exact,
            Some("NotOlderThan") => Match::NotOlderThan,
            Some(other) => {
                let mut errors = ErrorList::default();
                errors.not_supported(FieldPath::new("resourceVersionMatch"), other, &["Exact", "NotOlderThan", ""]);
                let about = crate::refusal::About { group: "meta.k8s.io", resource: "ListOptions", name: "" };
                return Err(Refusal::invalid(about, &errors));
            }
        };
        Ok(Self {
            labels: selector("labelSelector")?,
            fields: selector("fieldSelector")?,
            limit: usize::try_from(limit).unwrap_or(0),
            next: query.text("continue").map(str::to_owned),
            revision: match query.text("resourceVersion") {
                None => None,
                Some(text) => Some(text.parse().map_err(|_| {
                    let why = format!("strconv.ParseUint: parsing {text:?}: invalid syntax");
                    // Upstream answers this as an error of its own, without a reason.
                    let error = FieldError::new(FieldPath::new("resourceVersion"), Wrong::Invalid, text, why);
                    Refusal::new(500, "", error.to_string())
                })?),
            },
            revision_match,
            bookmarks: query.flag("allowWatchBookmarks"),
            initial_events: query.text("sendInitialEvents").map(|v| !matches!(v, "false" | "0")),
            timeout_s: query.number("timeoutSeconds")?.and_then(|s| u64::try_from(s).ok()).filter(|s| *s > 0),
        })
    }

    /// Which combinations a list does not take (as `ListOptions` are validated upstream).
    pub fn check_list(&self) -> Answered<()> {
        if self.initial_events.is_some() {
            return Err(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
        }
        if self.revision_match != Match::Unsaid && self.revision.is_none() {
            let text = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            return Err(forbidden("resourceVersionMatch", text));
        }
        if self.revision_match != Match::Unsaid && self.next.is_some() {
            let text = "resourceVersionMatch is forbidden when continue is provided";
            return Err(forbidden("resourceVersionMatch", text));
        }
        if self.revision_match == Match::Exact && self.revision == Some(0) {
            let text = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            return Err(forbidden("resourceVersionMatch", text));
        }
        Ok(())
    }

    /// Which combinations a watch does not take.
    pub fn check_watch(&self) -> Answered<()> {
        match (self.initial_events, self.revision_match) {
            (None, Match::Unsaid) => Ok(()),
            (None, _) => Err(forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            )),
            (Some(_), Match::NotOlderThan) => Ok(()),
            (Some(_), _) => {
                Err(forbidden("resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"))
            }
        }
    }
}

fn forbidden(field: &str, why: &str) -> Refusal {
    let error = FieldError::without_value(FieldPath::new(field), Wrong::Forbidden, why);
    Refusal::invalid_option("ListOptions", error)
}
