//! What a URL and a method ask for (upstream's RequestInfo).
use irori_api::selector::FieldSelector;

use crate::query::{Query, decode_segment};

/// The request's meaning, before anybody looks whether such a resource exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// `get`, `list`, `watch`, `create`, …; for other paths the method in lower case.
    pub verb: &'static str,
    /// Whether the path lies below `/api/VERSION` or `/apis/GROUP/VERSION`.
    pub is_resource: bool,
    pub path: String,
    pub group: String,
    pub version: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    /// What follows the subresource (`proxy/…`).
    pub rest: String,
    /// A method that its path never takes: the old `/watch/` is read alone. It is authorised as a watch all the same.
    pub misused: bool,
}

/// Reads a request line. Never fails: what is no resource is a path.
pub fn read(method: &http::Method, path: &str, query: &Query) -> Asked {
    let plain = || Asked { verb: plain_verb(method), path: path.to_owned(), ..Asked::default() };
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, mut rest) = match parts.as_slice() {
        ["api", _, _, ..] => (String::new(), &parts[1..]),
        ["apis", group, _, _, ..] => ((*group).to_owned(), &parts[2..]),
        _ => return plain(),
    };
    let version = rest[0].to_owned();
    rest = &rest[1..];
    let mut verb = match *method {
        http::Method::POST => "create",
        http::Method::GET | http::Method::HEAD => "get",
        http::Method::PUT => "update",
        http::Method::PATCH => "patch",
        http::Method::DELETE => "delete",
        _ => "",
    };
    let mut old_watch = false;
    if rest[0] == "watch" && rest.len() > 1 {
        old_watch = true;
        rest = &rest[1..];
    }
    let mut namespace = String::new();
    if rest[0] == "namespaces" && rest.len() > 1 {
        namespace = decode_segment(rest[1]);
        // `namespaces/x/status` and `/finalize` speak of the namespace itself.
        if rest.len() > 2 && !matches!(rest[2], "status" | "finalize") {
            rest = &rest[2..];
        }
    }
    let segment = |at: usize| rest.get(at).map(|s| decode_segment(s)).unwrap_or_default();
    let mut name = segment(1);
    if name.is_empty() && verb == "get" {
        verb = if query.flag("watch") { "watch" } else { "list" };
        let selector = query.get("fieldSelector").and_then(|fields| FieldSelector::parse(fields).ok());
        name = selector.as_ref().and_then(|s| s.exact("metadata.name")).unwrap_or_default().to_owned();
    } else if name.is_empty() && verb == "delete" {
        verb = "deletecollection";
    }
    let misused = old_watch && *method != http::Method::GET;
    if old_watch && !verb.is_empty() {
        verb = "watch";
    }
    Asked {
        verb,
        is_resource: true,
        path: path.to_owned(),
        group,
        version,
        resource: segment(0),
        subresource: segment(2),
        namespace,
        name,
        rest: rest.get(3..).map(|r| r.join("/")).unwrap_or_default(),
        misused,
    }
}

fn plain_verb(method: &http::Method) -> &'static str {
    match *method {
        http::Method::GET => "get",
        http::Method::HEAD => "head",
        http::Method::POST => "post",
        http::Method::PUT => "put",
        http::Method::PATCH => "patch",
        http::Method::DELETE => "delete",
        http::Method::OPTIONS => "options",
        _ => "",
    }
}

impl Asked {
    pub fn reads(&self) -> bool {
        matches!(self.verb, "get" | "list" | "watch" | "head")
    }
}
