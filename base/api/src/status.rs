//! Status: how the API says no (and, after a delete, yes), in the words of a stock server.
//!
//! Texts and codes are interface: clients match on `reason`, people search for the message.
//! Source: the Status type and the error constructors of apimachinery, compared with recorded answers.
use std::{borrow::Cow, fmt};

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::{
    field::ErrorList,
    row::{Gvk, Gvr},
};

/// A group and a resource or kind, as errors name it: `pods`, `deployments.apps`, `Deployment.apps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Qualified<'a> {
    pub group: &'a str,
    pub name: &'a str,
}

impl<'a> From<&'a Gvr> for Qualified<'a> {
    fn from(of: &'a Gvr) -> Self {
        Qualified { group: &of.group, name: &of.resource }
    }
}

impl<'a> From<&'a Gvk> for Qualified<'a> {
    fn from(of: &'a Gvk) -> Self {
        Qualified { group: &of.group, name: &of.kind }
    }
}

/// `(group, name)`.
impl<'a> From<(&'a str, &'a str)> for Qualified<'a> {
    fn from((group, name): (&'a str, &'a str)) -> Self {
        Qualified { group, name }
    }
}

impl fmt::Display for Qualified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() { f.write_str(self.name) } else { write!(f, "{}.{}", self.name, self.group) }
    }
}

/// One Status object. Made by the functions below; changed by the `with_` ones.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    pub code: u16,
    /// `NotFound`, `Conflict`, …; empty where a stock server says none.
    pub reason: Cow<'static, str>,
    pub message: String,
    pub details: Option<Box<Details>>,
    /// For an expired list: where to go on, at a newer revision.
    pub continue_token: Option<Box<str>>,
}

/// What the error is about. All empty means `{}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    pub name: String,
    pub group: String,
    /// A resource (`pods`) or a kind (`Pod`): stock servers are not of one mind.
    pub kind: String,
    pub uid: String,
    pub causes: Vec<Cause>,
    pub retry_after_seconds: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    pub reason: Cow<'static, str>,
    pub message: String,
    pub field: String,
}

/// Answered to an update with an old resourceVersion.
pub const MODIFIED: &str = "the object has been modified; please apply your changes to the latest version and try again";

impl Status {
    /// A Status without details: any code, reason and message.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Status {
        Status { code, reason: reason.into(), message: message.into(), details: None, continue_token: None }
    }

    fn about(code: u16, reason: &'static str, message: String, of: Qualified<'_>, name: &str) -> Status {
        let details = Details { name: name.into(), group: of.group.into(), kind: of.name.into(), ..Details::default() };
        Status { details: Some(Box::new(details)), ..Status::new(code, reason, message) }
    }

    /// 404: there is no object of this name.
    pub fn not_found<'a>(of: impl Into<Qualified<'a>>, name: &str) -> Status {
        let of = of.into();
        Status::about(404, "NotFound", format!("{of} {} not found", quoted(name)), of, name)
    }

    /// 404 of a path that no resource serves.
    pub fn no_such_resource() -> Status {
        Status::new(404, "NotFound", "the server could not find the requested resource").with_details(Details::default())
    }

    /// 409 of a create.
    pub fn already_exists<'a>(of: impl Into<Qualified<'a>>, name: &str) -> Status {
        let of = of.into();
        Status::about(409, "AlreadyExists", format!("{of} {} already exists", quoted(name)), of, name)
    }

    /// 409 of a create with generateName after all attempts.
    pub fn generated_name_taken<'a>(of: impl Into<Qualified<'a>>, name: &str) -> Status {
        let of = of.into();
        let why = "already exists, the server was not able to generate a unique name for the object";
        Status::about(409, "AlreadyExists", format!("{of} {} {why}", quoted(name)), of, name)
    }

    /// 409: `why` is `MODIFIED` or another cause.
    pub fn conflict<'a>(of: impl Into<Qualified<'a>>, name: &str, why: &str) -> Status {
        let of = of.into();
        Status::about(409, "Conflict", format!("Operation cannot be fulfilled on {of} {}: {why}", quoted(name)), of, name)
    }

    /// 409: the object changed since the caller read it.
    pub fn modified<'a>(of: impl Into<Qualified<'a>>, name: &str) -> Status {
        Status::conflict(of, name, MODIFIED)
    }

    /// 403 with a reason in words (admission, missing permission). An empty name speaks of the resource, an empty resource of neither.
    pub fn forbidden<'a>(of: impl Into<Qualified<'a>>, name: &str, why: &str) -> Status {
        let of = of.into();
        let message = match (of.name.is_empty(), name.is_empty()) {
            (true, _) => format!("forbidden: {why}"),
            (false, true) => format!("{of} is forbidden: {why}"),
            (false, false) => format!("{of} {} is forbidden: {why}", quoted(name)),
        };
        Status::about(403, "Forbidden", message, of, name)
    }

    /// 403 of the authoriser; `why` is its reason, often empty.
    pub fn denied(attempt: &Attempt<'_>, why: &str) -> Status {
        let said = attempt.to_string();
        let said = if why.is_empty() { said } else { format!("{said}: {why}") };
        match attempt {
            Attempt::Resource { group, resource, name, .. } => Status::forbidden((*group, *resource), name, &said),
            Attempt::Path { .. } => Status::forbidden(("", ""), "", &said),
        }
    }

    /// 401.
    pub fn unauthorized() -> Status {
        Status::new(401, "Unauthorized", "Unauthorized")
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Status {
        Status::new(400, "BadRequest", message)
    }

    /// 422 with every field error as a cause.
    pub fn invalid<'a>(kind: impl Into<Qualified<'a>>, name: &str, errors: &ErrorList) -> Status {
        let kind = kind.into();
        let message = format!("{kind} {} is invalid: {errors}", quoted(name));
        let mut status = Status::about(422, "Invalid", message, kind, name);
        if let Some(details) = &mut status.details {
            details.causes = errors.causes();
        }
        status
    }

    /// 405 of a verb that the path does not have at all.
    pub fn method_not_allowed() -> Status {
        let message = "the server does not allow this method on the requested resource";
        Status::new(405, "MethodNotAllowed", message).with_details(Details::default())
    }

    /// 405 of an action that the resource does not support (`create is not supported on resources of kind "…"`).
    pub fn method_not_supported<'a>(of: impl Into<Qualified<'a>>, action: &str) -> Status {
        let of = of.into();
        let message = format!("{action} is not supported on resources of kind {}", quoted(&of.to_string()));
        Status::about(405, "MethodNotAllowed", message, of, "")
    }

    /// 406.
    pub fn not_acceptable(accepted: &[&str]) -> Status {
        let message = format!("only the following media types are accepted: {}", accepted.join(", "));
        Status::new(406, "NotAcceptable", message)
    }

    /// 406 of upstream's router, which looks at types alone.
    pub fn not_routable(produced: &[&str]) -> Status {
        let message = format!("406: Not Acceptable\n\nAvailable representations: {}", produced.join(", "));
        Status::new(406, "NotAcceptable", message).with_details(Details::default())
    }

    /// 415.
    pub fn unsupported_media_type(accepted: &[&str]) -> Status {
        let message =
            format!("the body of the request was in an unknown format - accepted media types include: {}", accepted.join(", "));
        Status::new(415, "UnsupportedMediaType", message)
    }

    /// 413: `why` such as `limit is 3145728`.
    pub fn too_large(why: &str) -> Status {
        Status::new(413, "RequestEntityTooLarge", format!("Request entity is too large: {why}"))
    }

    /// 410 of a revision that is compacted.
    pub fn expired(message: impl Into<String>) -> Status {
        Status::new(410, "Expired", message)
    }

    /// 410 of a watch or list from an old revision.
    pub fn too_old(asked: u64, oldest: u64) -> Status {
        Status::expired(format!("too old resource version: {asked} ({oldest})"))
    }

    /// 410 of a list page whose revision is gone; `continue_token` goes on at a newer revision.
    pub fn continue_expired(continue_token: Option<String>) -> Status {
        let message = match continue_token {
            Some(_) => {
                "The provided continue parameter is too old to display a consistent list result. You can start a new list without \
                 the continue parameter, or use the continue token in this response to retrieve the remainder of the results. \
                 Continuing with the provided token results in an inconsistent list - objects that were created, modified, or \
                 deleted between the time the first chunk was returned and now may show up in the list."
            }
            None => {
                "The provided continue parameter is too old to display a consistent list result. You must start a new list without \
                 the continue parameter."
            }
        };
        Status { continue_token: continue_token.map(String::into_boxed_str), ..Status::expired(message) }
    }

    /// 504 of a read that asks for a revision which does not come.
    pub fn too_large_resource_version(asked: u64, current: u64) -> Status {
        let mut status = Status::timeout(&format!("Too large resource version: {asked}, current: {current}"), 1);
        if let Some(details) = &mut status.details {
            let message = "Too large resource version".to_owned();
            details.causes = vec![Cause { reason: "ResourceVersionTooLarge".into(), message, field: String::new() }];
        }
        status
    }

    /// 429.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Status {
        Status::new(429, "TooManyRequests", message).with_details(Details { retry_after_seconds, ..Details::default() })
    }

    /// 504.
    pub fn timeout(why: &str, retry_after_seconds: u32) -> Status {
        Status::new(504, "Timeout", format!("Timeout: {why}")).with_details(Details { retry_after_seconds, ..Details::default() })
    }

    /// 500, try again: the operation could not be completed just now.
    pub fn server_timeout<'a>(of: impl Into<Qualified<'a>>, operation: &str, retry_after_seconds: u32) -> Status {
        let of = of.into();
        let message = format!("The {operation} operation against {of} could not be completed at this time, please try again.");
        let mut status = Status::about(500, "ServerTimeout", message, of, "");
        if let Some(details) = &mut status.details {
            details.retry_after_seconds = retry_after_seconds;
        }
        status
    }

    /// 500 of something that went wrong inside; keep secrets out of `why`.
    pub fn internal(why: impl fmt::Display) -> Status {
        let cause = Cause { message: why.to_string(), ..Cause::default() };
        Status::new(500, "InternalError", format!("Internal error occurred: {why}"))
            .with_details(Details { causes: vec![cause], ..Details::default() })
    }

    /// 500 without a reason: what a stock server makes of an error that it has no Status for.
    pub fn unknown(message: impl Into<String>) -> Status {
        Status::new(500, "", message)
    }

    /// 503.
    pub fn unavailable(message: impl Into<String>) -> Status {
        Status::new(503, "ServiceUnavailable", message)
    }

    /// 501 of what Irori does not have yet: says so instead of doing half of it.
    pub fn not_implemented(what: impl fmt::Display) -> Status {
        Status::new(501, "NotImplemented", format!("{what} is not implemented by irori yet"))
    }

    /// 200: an object is deleted and gone.
    pub fn deleted<'a>(of: impl Into<Qualified<'a>>, name: &str, uid: &str) -> Status {
        let mut status = Status::about(200, "", String::new(), of.into(), name);
        if let Some(details) = &mut status.details {
            details.uid = uid.to_owned();
        }
        status
    }

    /// 200 or 201 without more to say (binding, eviction).
    pub fn success(code: u16) -> Status {
        Status::new(code, "", "")
    }

    pub fn with_details(mut self, details: Details) -> Status {
        self.details = Some(Box::new(details));
        self
    }

    pub fn is_success(&self) -> bool {
        self.code < 300
    }

    pub fn http_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// For the `Retry-After` header.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        self.details.as_ref().map(|details| details.retry_after_seconds).filter(|seconds| *seconds > 0)
    }

    /// The object, with apiVersion and kind.
    pub fn to_value(&self) -> Value {
        let mut metadata = Map::new();
        if let Some(token) = &self.continue_token {
            metadata.insert("continue".into(), json!(token));
        }
        let mut status = Map::new();
        status.insert("kind".into(), json!("Status"));
        status.insert("apiVersion".into(), json!("v1"));
        status.insert("metadata".into(), Value::Object(metadata));
        status.insert("status".into(), json!(if self.is_success() { "Success" } else { "Failure" }));
        insert(&mut status, "message", &self.message);
        insert(&mut status, "reason", &self.reason);
        if let Some(details) = &self.details {
            status.insert("details".into(), details.to_value());
        }
        if !self.is_success() || self.details.is_none() {
            status.insert("code".into(), json!(self.code));
        }
        Value::Object(status)
    }

    pub fn to_json(&self) -> Vec<u8> {
        self.to_value().to_string().into_bytes()
    }

    /// Reads a Status that another server answered; missing parts are empty. `None` if it is no Status.
    pub fn from_value(of: &Value) -> Option<Status> {
        if of["kind"] != "Status" {
            return None;
        }
        let text = |of: &Value, key: &str| of[key].as_str().unwrap_or_default().to_owned();
        let number = |of: &Value, key: &str| of[key].as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or_default();
        let details = of.get("details").map(|of| {
            let causes = of["causes"].as_array().into_iter().flatten().map(|cause| Cause {
                reason: text(cause, "reason").into(),
                message: text(cause, "message"),
                field: text(cause, "field"),
            });
            Box::new(Details {
                name: text(of, "name"),
                group: text(of, "group"),
                kind: text(of, "kind"),
                uid: text(of, "uid"),
                causes: causes.collect(),
                retry_after_seconds: number(of, "retryAfterSeconds"),
            })
        });
        let default = if of["status"] == "Success" { 200 } else { 500 };
        Some(Status {
            code: of["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or(default),
            reason: text(of, "reason").into(),
            message: text(of, "message"),
            details,
            continue_token: of["metadata"]["continue"].as_str().map(Into::into),
        })
    }
}

impl Details {
    fn to_value(&self) -> Value {
        let mut out = Map::new();
        insert(&mut out, "name", &self.name);
        insert(&mut out, "group", &self.group);
        insert(&mut out, "kind", &self.kind);
        insert(&mut out, "uid", &self.uid);
        if !self.causes.is_empty() {
            let causes = self.causes.iter().map(|cause| {
                let mut out = Map::new();
                insert(&mut out, "reason", &cause.reason);
                insert(&mut out, "message", &cause.message);
                insert(&mut out, "field", &cause.field);
                Value::Object(out)
            });
            out.insert("causes".into(), causes.collect());
        }
        if self.retry_after_seconds > 0 {
            out.insert("retryAfterSeconds".into(), json!(self.retry_after_seconds));
        }
        Value::Object(out)
    }
}

fn insert(into: &mut Map<String, Value>, key: &str, text: &str) {
    if !text.is_empty() {
        into.insert(key.into(), text.into());
    }
}

/// What somebody was not allowed to do; displays as the sentence of a stock server.
#[derive(Clone, Copy, Debug)]
pub enum Attempt<'a> {
    Resource {
        user: &'a str,
        verb: &'a str,
        group: &'a str,
        resource: &'a str,
        /// Empty if none.
        subresource: &'a str,
        /// Empty at the cluster scope.
        namespace: &'a str,
        name: &'a str,
    },
    Path {
        user: &'a str,
        verb: &'a str,
        path: &'a str,
    },
}

impl fmt::Display for Attempt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attempt::Path { user, verb, path } => write!(f, "User {} cannot {verb} path {}", quoted(user), quoted(path)),
            Attempt::Resource { user, verb, group, resource, subresource, namespace, .. } => {
                let slash = if subresource.is_empty() { "" } else { "/" };
                let resource = quoted(&format!("{resource}{slash}{subresource}"));
                write!(f, "User {} cannot {verb} resource {resource} in API group {}", quoted(user), quoted(group))?;
                if namespace.is_empty() {
                    f.write_str(" at the cluster scope")
                } else {
                    write!(f, " in the namespace {}", quoted(namespace))
                }
            }
        }
    }
}

/// A Go string literal (`%q`): how stock texts quote what a user gave.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\u{b}' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if c.is_control() || c == '\u{feff}' || (c.is_whitespace() && c != ' ') => {
                out.push_str(&format!("\\u{:04x}", c as u32))
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests;
