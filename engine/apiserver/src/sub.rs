//! Subresources: parts of an object, and doors behind it.
use std::sync::Arc;

use irori_api::row::Row;
use irori_http::Response;
use irori_rules::Part;
use serde_json::Value;

use crate::{
    call::Call,
    change,
    flow::Place,
    negotiate, path,
    refusal::{Answered, Refusal},
    server::Server,
    to_node,
};

mod binding;
mod eviction;
mod part;
mod scale;
mod token;

pub use binding::bind_by_object;

/// Answers a request for a subresource. Which there are, and by which verbs, is the row's to say.
pub async fn answer(server: &Arc<Server>, call: &mut Call, row: &Arc<Row>, place: Place) -> Answered<Response> {
    let sub = row.subresources.get(&call.asked.subresource).ok_or_else(Refusal::no_such_path)?;
    let verb = call.asked.verb;
    let name = sub.name.clone();
    // exec and its like are opened by GET (WebSocket) and POST (SPDY): discovery names the verbs `get` and `create`.
    if !sub.verbs.iter().any(|v| v == verb) {
        return Err(path::not_supported());
    }
    match name.as_str() {
        "log" | "exec" | "attach" | "portforward" | "proxy" => {} // what comes from there has a form of its own
        "binding" | "eviction" | "token" => negotiate::admit(call, false)?,
        _ => negotiate::admit(call, true)?,
    }
    match (row.gvr.resource.as_str(), name.as_str(), verb) {
        ("pods", "log", _) => to_node::log(server, call, row, place).await,
        ("pods", "exec", _) => to_node::exec(server, call, row, place).await,
        ("pods", "attach" | "portforward" | "proxy", _) | ("services" | "nodes", "proxy", _) => {
            Err(Refusal::not_implemented(&format!("{}/{name}", row.gvr.resource)))
        }
        ("pods", "ephemeralcontainers" | "resize", "update" | "patch") if !server.settings.store_unenforced => {
            Err(Refusal::not_implemented(&format!("pods/{name}")))
        }
        ("pods", "binding", _) => binding::create(server, call, row).await,
        ("pods", "eviction", _) => eviction::create(server, call, row).await,
        ("serviceaccounts", "token", _) => token::create(server, call, row).await,
        (_, "scale", _) => scale::answer(server, call, row).await,
        (_, _, "get") => crate::read::get(server, call, row).await,
        ("namespaces", "finalize", _) => part::finalize(server, call, row).await,
        (_, "status", "update") => change::update(server, call, row, Part::Status).await,
        (_, "status", "patch") => change::patch(server, call, row, Part::Status).await,
        (_, _, "update") => change::update(server, call, row, Part::Sub(&name)).await,
        (_, _, "patch") => change::patch(server, call, row, Part::Sub(&name)).await,
        _ => Err(Refusal::not_implemented(&format!("{}/{name}", row.gvr.resource))),
    }
}

/// The v1 Status of something that was done.
fn success(code: u16) -> Value {
    irori_api::status::Status::success(code).to_value()
}

/// What is posted to an object's door must be about that object.
fn require_same(posted: &Value, namespace: &str, name: &str, kind: &str) -> Answered<()> {
    let own = change::text(posted, "namespace");
    if !own.is_empty() && own != namespace {
        return Err(change::other_namespace());
    }
    if change::text(posted, "name") != name {
        return Err(Refusal::bad_request(format!("name in URL does not match name in {kind} object")));
    }
    Ok(())
}
