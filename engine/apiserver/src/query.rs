//! The query string and the options that verbs read from it.
use std::num::IntErrorKind;

use irori_api::{
    field::{ErrorList, FieldPath},
    scalar,
};

use crate::{
    limits,
    refusal::{About, Answered, Refusal},
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
        let read = |text: &str| {
            text.parse::<i64>().map_err(|source| {
                let why = match source.kind() {
                    IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
                    _ => "invalid syntax",
                };
                Refusal::bad_request(format!("strconv.ParseInt: parsing {text:?}: {why}"))
            })
        };
        self.text(key).map(read).transpose()
    }

    /// `resourceVersion`, where it is told.
    pub fn revision(&self) -> Answered<Option<u64>> {
        Ok(scalar::parse_resource_version(self.get("resourceVersion").unwrap_or(""))?)
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    Unsaid,
    Exact,
    NotOlderThan,
    /// What the checks refuse.
    Other(String),
}

impl Match {
    const EXACT: &str = "Exact";
    const NOT_OLDER_THAN: &str = "NotOlderThan";

    fn read(said: Option<&str>) -> Self {
        match said {
            None => Self::Unsaid,
            Some(Self::EXACT) => Self::Exact,
            Some(Self::NOT_OLDER_THAN) => Self::NotOlderThan,
            Some(other) => Self::Other(other.to_owned()),
        }
    }

    fn said(&self) -> &str {
        match self {
            Self::Unsaid => "",
            Self::Exact => Self::EXACT,
            Self::NotOlderThan => Self::NOT_OLDER_THAN,
            Self::Other(other) => other,
        }
    }
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
        Ok(Self {
            labels: selector("labelSelector")?,
            fields: selector("fieldSelector")?,
            limit: usize::try_from(limit).unwrap_or(0),
            next: query.text("continue").map(str::to_owned),
            revision: query.revision()?,
            revision_match: Match::read(query.text("resourceVersionMatch")),
            bookmarks: query.flag("allowWatchBookmarks"),
            initial_events: query.text("sendInitialEvents").map(|v| !matches!(v, "false" | "0")),
            timeout_s: query.number("timeoutSeconds")?.and_then(|s| u64::try_from(s).ok()).filter(|s| *s > 0),
        })
    }

    /// Which combinations a list does not take (as `ListOptions` are validated upstream): all that are wrong.
    pub fn check_list(&self) -> Answered<()> {
        let mut errors = ErrorList::default();
        let field = || FieldPath::new("resourceVersionMatch");
        if self.revision_match != Match::Unsaid {
            if self.revision.is_none() {
                errors.forbidden(field(), "resourceVersionMatch is forbidden unless resourceVersion is provided");
            }
            if self.next.is_some() {
                errors.forbidden(field(), "resourceVersionMatch is forbidden when continue is provided");
            }
            if let Match::Other(other) = &self.revision_match {
                errors.not_supported(field(), other.as_str(), &[Match::EXACT, Match::NOT_OLDER_THAN, ""]);
            }
            if self.revision_match == Match::Exact && self.revision == Some(0) {
                errors.forbidden(field(), "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
            }
        }
        if self.initial_events.is_some() {
            errors.forbidden(FieldPath::new("sendInitialEvents"), "sendInitialEvents is forbidden for list");
        }
        refuse(&errors)
    }

    /// Which combinations a watch does not take.
    pub fn check_watch(&self) -> Answered<()> {
        let mut errors = ErrorList::default();
        let field = || FieldPath::new("resourceVersionMatch");
        if self.initial_events.is_some() && self.revision_match != Match::NotOlderThan {
            errors.forbidden(field(), "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
        }
        if self.revision_match != Match::Unsaid {
            if self.initial_events.is_none() {
                errors.forbidden(field(), "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
            }
            if self.revision_match != Match::NotOlderThan {
                errors.not_supported(field(), self.revision_match.said(), &[Match::NOT_OLDER_THAN]);
            }
            if self.next.is_some() {
                errors.forbidden(field(), "resourceVersionMatch is forbidden when continue is provided");
            }
        }
        refuse(&errors)
    }

    /// Whether a watch begins with what is there: as it says, and without a word where it names no revision to go on from.
    pub fn begins_with_what_is_there(&self) -> bool {
        self.initial_events.unwrap_or(self.revision.unwrap_or(0) == 0)
    }
}

fn refuse(errors: &ErrorList) -> Answered<()> {
    let about = About { group: "meta.k8s.io", resource: "ListOptions", name: "" };
    if errors.is_empty() { Ok(()) } else { Err(Refusal::invalid(about, errors)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message of the refusal behind the name of the options; empty if there is none.
    fn refused(query: &str) -> String {
        let options = ListOptions::read(&Query::parse(Some(query))).expect("every value can be read");
        let checked = if query.contains("watch=1") { options.check_watch() } else { options.check_list() };
        let message = checked.err().map(|refusal| refusal.message.clone()).unwrap_or_default();
        message.strip_prefix("ListOptions.meta.k8s.io \"\" is invalid: ").unwrap_or(&message).to_owned()
    }

    #[test]
    fn all_that_is_wrong_with_the_options_of_a_list_is_told() {
        let unless = "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided";
        let with_continue = "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided";
        let bogus = "resourceVersionMatch: Unsupported value: \"Bogus\": supported values: \"Exact\", \"NotOlderThan\", \"\"";
        let initial = "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list";
        assert_eq!(refused("resourceVersionMatch=Bogus&resourceVersion=1"), bogus);
        assert_eq!(refused("resourceVersionMatch=Bogus"), format!("[{unless}, {bogus}]"));
        assert_eq!(refused("continue=abc&resourceVersionMatch=Exact"), format!("[{unless}, {with_continue}]"));
        assert_eq!(refused("sendInitialEvents=true&resourceVersionMatch=NotOlderThan"), format!("[{unless}, {initial}]"));
        assert_eq!(
            refused("resourceVersionMatch=Exact&resourceVersion=0"),
            "resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""
        );
        assert_eq!(refused("resourceVersionMatch=NotOlderThan&resourceVersion=0"), "");
    }

    #[test]
    fn a_watch_has_its_own_list_of_matches() {
        let unless =
            "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
        let requires = "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        let other = |said| format!("resourceVersionMatch: Unsupported value: \"{said}\": supported values: \"NotOlderThan\"");
        assert_eq!(refused("watch=1&resourceVersionMatch=Exact"), format!("[{unless}, {}]", other("Exact")));
        assert_eq!(refused("watch=1&resourceVersionMatch=Bogus&resourceVersion=1"), format!("[{unless}, {}]", other("Bogus")));
        assert_eq!(
            refused("watch=1&sendInitialEvents=true&resourceVersionMatch=Exact"),
            format!("[{requires}, {}]", other("Exact"))
        );
        assert_eq!(refused("watch=1&sendInitialEvents=true"), requires);
        assert_eq!(refused("watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"), "");
    }

    #[test]
    fn a_number_that_is_none_is_refused_as_go_does() {
        let read = |query| ListOptions::read(&Query::parse(Some(query))).expect_err(query);
        let large = read("resourceVersion=99999999999999999999");
        assert_eq!((large.code, large.message.ends_with("value out of range")), (500, true), "{}", large.message);
        assert_eq!(
            read("limit=99999999999999999999").message,
            "strconv.ParseInt: parsing \"99999999999999999999\": value out of range"
        );
        assert_eq!(read("limit=x").message, "strconv.ParseInt: parsing \"x\": invalid syntax");
    }
}
