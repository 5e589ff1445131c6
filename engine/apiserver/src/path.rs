//! The path of a request, from top to bottom. Each stage is a module of its name; nothing else decides the order.
//!
//! ```text
//! authn ▶ audit ▶ impersonation ▶ flow ▶ authz ▶ (get list watch) or (decode ▶ patch ▶ admission ▶ strategy ▶ validate ▶ commit) ▶ respond
//! ```
use std::sync::{Arc, atomic::Ordering};

use http::HeaderValue;
use irori_api::row::Row;
use irori_http::{Request, Response};

use crate::{
    authn, authz,
    call::{Call, Entrance},
    change, collection, delete, impersonation, limits, negotiate, paths, read,
    refusal::{Answered, Refusal},
    respond, reviews,
    server::Server,
    sub, watch,
};

/// Answers a request. Never fails: what goes wrong is an answer too.
pub async fn answer(server: Arc<Server>, request: Request, entrance: Entrance) -> Response {
    let url_bytes = request.uri().path_and_query().map_or(0, |p| p.as_str().len());
    let mut call = Call::open(request, entrance);
    let done = if url_bytes > limits::URL_BYTES_MAX {
        Err(Refusal::new(414, "BadRequest", format!("the URL is longer than the limit of {} bytes", limits::URL_BYTES_MAX)))
    } else {
        stages(&server, &mut call).await
    };
    let mut response = done.unwrap_or_else(|refusal| respond::refuse(&server, &call, &refusal));
    for warning in call.told_warnings() {
        if let Ok(value) = HeaderValue::from_str(&format!("299 - {}", quoted(&warning))) {
            response.headers_mut().append(http::header::WARNING, value);
        }
    }
    server.audit.answered(&call, response.status().as_u16());
    server.answered.fetch_add(1, Ordering::Relaxed);
    response
}

async fn stages(server: &Arc<Server>, call: &mut Call) -> Answered<Response> {
    authn::identify(server, call).await?;
    server.audit.received(call);
    impersonation::apply(server, call)?;
    let place = server.flow.enter(call)?;
    authz::permit(server, call)?;
    if !call.asked.is_resource {
        return paths::answer(server, call).await;
    }
    let row = row(server, call)?;
    let exists = call.asked.subresource.is_empty() || row.subresources.contains_key(&call.asked.subresource);
    if let Some(text) = deprecation(&row).filter(|_| exists) {
        call.warn(text);
    }
    if call.asked.subresource.is_empty() {
        resource(server, call, &row, place).await
    } else {
        sub::answer(server, call, &row, place).await
    }
}

/// The row that the path names.
fn row(server: &Server, call: &Call) -> Answered<Arc<Row>> {
    let asked = &call.asked;
    let row = server.tables.resource(&asked.group, &asked.version, &asked.resource).ok_or_else(Refusal::no_such_path)?;
    if asked.misused {
        return Err(not_supported());
    }
    if !row.namespaced {
        // A namespace lies in itself, so that its own roles may speak of it; `namespaces/A/namespaces/B` is nowhere.
        let itself = row.gvr.resource == "namespaces" && asked.namespace == asked.name;
        return if asked.namespace.is_empty() || itself { Ok(row.clone()) } else { Err(Refusal::no_such_path()) };
    }
    if !asked.namespace.is_empty() {
        return Ok(row.clone());
    }
    // Over all namespaces a namespaced kind is listed and watched, if it can be; nothing else is done there.
    match asked.verb {
        "list" | "watch" if row.supports("list") => Ok(row.clone()),
        _ if asked.name.is_empty() && row.supports("list") => Err(not_supported()),
        _ => Err(Refusal::no_such_path()),
    }
}

async fn resource(server: &Arc<Server>, call: &mut Call, row: &Arc<Row>, place: crate::flow::Place) -> Answered<Response> {
    let verb = call.asked.verb;
    if row.storage.is_none() {
        return match verb {
            "create" if call.asked.name.is_empty() => {
                negotiate::admit(call, false)?;
                reviews::create(server, call, row).await
            }
            "get" | "update" | "patch" | "delete" => Err(Refusal::no_such_path()), // a review has no name to ask for
            _ => Err(not_supported()),
        };
    }
    // A collection takes no PUT or PATCH, an object no POST.
    let named = !call.asked.name.is_empty();
    if !row.supports(verb) || (matches!(verb, "update" | "patch") && !named) || (verb == "create" && named) {
        return Err(not_supported());
    }
    negotiate::admit(call, true)?;
    match verb {
        "get" => read::get(server, call, row).await,
        "list" => read::list(server, call, row).await,
        "watch" => watch::open(server, call, row, place).await,
        "create" => change::create(server, call, row).await,
        "update" => change::update(server, call, row, irori_rules::Part::Main).await,
        "patch" => change::patch(server, call, row, irori_rules::Part::Main).await,
        "delete" => delete::delete(server, call, row).await,
        "deletecollection" => collection::delete(server, call, row).await,
        _ => Err(not_supported()),
    }
}

/// What upstream says of kinds that have a successor.
fn deprecation(row: &Row) -> Option<&'static str> {
    match (row.gvr.group.as_str(), row.gvr.resource.as_str()) {
        ("", "endpoints") => Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
        ("", "componentstatuses") => Some("v1 ComponentStatus is deprecated in v1.19+"),
        _ => None,
    }
}

/// The stock answer to a method that the path does not have.
pub fn not_supported() -> Refusal {
    Refusal::method_not_allowed()
}

/// A quoted-string (RFC 7234, 5.5); control characters are dropped.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}
