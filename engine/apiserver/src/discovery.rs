//! What the server offers: /api, /apis and below, and OpenAPI. The documents are made from the rows when asked for.
use std::sync::Arc;

use http::{HeaderValue, header};
use irori_api::{discovery, openapi, row::Tables};
use irori_http::Response;
use serde_json::Value;

use crate::{
    call::Call,
    codec,
    negotiate::{self, Form},
    refusal::{Answered, Refusal},
    respond,
    server::Server,
};

const V2_JSON: &str = "application/json";
const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

pub async fn answer(server: &Arc<Server>, call: &Call, path: &str) -> Answered<Response> {
    let tables = &server.tables;
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        ["api"] if wants_aggregated(call) => Ok(aggregated(call, &discovery::aggregated_core(tables))),
        ["apis"] if wants_aggregated(call) => Ok(aggregated(call, &discovery::aggregated_groups(tables))),
        ["api"] => document(server, call, Some(discovery::core_versions(&server.settings.advertised))),
        ["apis"] => document(server, call, Some(discovery::groups(tables))),
        ["api", version] => document(server, call, discovery::resources(tables, "", version)),
        ["apis", group] => document(server, call, discovery::group(tables, group)),
        ["apis", group, version] => document(server, call, discovery::resources(tables, group, version)),
        ["openapi", "v3"] => {
            let index = match server.openapi_index.get() {
                Some(known) => known.clone(),
                None => {
                    let made = made(server, |tables| openapi::index(tables).to_string()).await?;
                    server.openapi_index.get_or_init(|| made).clone()
                }
            };
            Ok(respond::bytes(call, 200, "application/json", index))
        }
        ["openapi", "v3", "api", version] => openapi_v3(server, call, "", version).await,
        ["openapi", "v3", "apis", group, version] => openapi_v3(server, call, group, version).await,
        ["openapi", "v2"] => openapi_v2(server, call).await,
        _ => Ok(nothing_here(call)),
    }
}

/// Upstream answers unknown paths in plain text.
pub fn nothing_here(call: &Call) -> Response {
    respond::bytes(call, 404, "text/plain; charset=utf-8", "404 page not found\n")
}

/// Discovery has a protobuf form too; the documents of OpenAPI have none here.
fn document(server: &Server, call: &Call, document: Option<Value>) -> Answered<Response> {
    let Some(document) = document else { return Ok(nothing_here(call)) };
    let wanted = negotiate::wanted(call)
        .or_else(|refusal| if wants_aggregated_at_all(call) { Ok(negotiate::JSON) } else { Err(refusal) })?;
    match codec::write(server, wanted.form, &document) {
        Ok(body) => Ok(respond::bytes(call, 200, wanted.form.content_type(), body)),
        Err(_) => Ok(respond::bytes(call, 200, Form::Json.content_type(), document.to_string())),
    }
}

fn clauses(call: &Call) -> impl Iterator<Item = &str> {
    call.header("accept").unwrap_or("").split(',').map(str::trim)
}

fn wants_aggregated_at_all(call: &Call) -> bool {
    clauses(call).any(|c| c.contains("APIGroupDiscoveryList"))
}

/// The aggregated form is asked for by name, in JSON; what comes first in Accept wins.
fn wants_aggregated(call: &Call) -> bool {
    let parameters = |clause: &str| clause.split(';').map(str::trim).map(str::to_owned).collect::<Vec<_>>();
    for clause in clauses(call).map(parameters) {
        let has = |p: &str| clause.iter().any(|own| own == p);
        if has("as=APIGroupDiscoveryList") {
            if clause[0] == "application/json" && has("g=apidiscovery.k8s.io") && has("v=v2") {
                return true;
            }
        } else if clause[0] == "application/json" && clause.len() == 1 {
            return false;
        }
    }
    false
}

fn aggregated(call: &Call, document: &Value) -> Response {
    with_etag(call, V2, document.to_string())
}

/// The one document of v2, in the form that Accept names first. Who has the newest is answered without making it.
async fn openapi_v2(server: &Arc<Server>, call: &Call) -> Answered<Response> {
    let form = clauses(call).find_map(|clause| match clause.split(';').next().unwrap_or("").trim() {
        "" | "*/*" | "application/*" | "application/json" => Some((&server.openapi_v2.json, V2_JSON)),
        "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
        | "application/com.github.proto-openapi.spec.v2.v1.0+protobuf" => Some((&server.openapi_v2.protobuf, V2_PROTOBUF)),
        _ => None,
    });
    let Some((known, content_type)) = form else {
        return Ok(respond::plain(406, "text/plain; charset=utf-8", irori_http::empty()));
    };
    if let Some(etag) = known.get()
        && has_it(call, etag)
    {
        return Ok(tagged(respond::plain(304, content_type, irori_http::empty()), etag));
    }
    let body = made(server, move |tables| {
        let document = openapi::v2_document(tables);
        if content_type == V2_JSON { document.to_string().into_bytes() } else { openapi::v2_protobuf(&document) }
    });
    let body = body.await?;
    let etag = known.get_or_init(|| format!("\"{}\"", discovery::etag(&body)));
    Ok(tagged(respond::bytes(call, 200, content_type, body), etag))
}

/// Documents of OpenAPI take up to tenths of a second and tens of megabytes: one at a time, where it holds nobody else up.
async fn made<T: Send + 'static>(server: &Arc<Server>, make: impl FnOnce(&Tables) -> T + Send + 'static) -> Answered<T> {
    let _one_at_a_time = server.documents.lock().await;
    let tables = server.tables.clone();
    tokio::task::spawn_blocking(move || make(&tables)).await.map_err(|_| Refusal::internal("making an OpenAPI document failed"))
}

async fn openapi_v3(server: &Arc<Server>, call: &Call, group: &str, version: &str) -> Answered<Response> {
    let (group, version) = (group.to_owned(), version.to_owned());
    let document = made(server, move |tables| openapi::document(tables, &group, &version).map(|document| document.to_string()));
    let Some(document) = document.await? else { return Ok(nothing_here(call)) };
    // Its protobuf form is gnostic's; whoever insists on that is told so.
    let json = clauses(call).any(|c| matches!(c.split(';').next(), Some("application/json" | "*/*" | "application/*" | "")));
    if !json {
        return Err(Refusal::not_acceptable(&["application/json"]));
    }
    let etag = discovery::etag(document.as_bytes());
    let Some(hash) = call.query.text("hash") else { return Ok(with_etag(call, "application/json", document)) };
    if hash != etag {
        let mut moved = respond::plain(301, "text/html; charset=utf-8", irori_http::empty());
        if let Ok(there) = HeaderValue::from_str(&format!("{}?hash={etag}", call.asked.path)) {
            moved.headers_mut().insert(header::LOCATION, there);
        }
        return Ok(moved);
    }
    // What has this hash never changes.
    let mut response = with_etag(call, "application/json", document);
    let expires = server.clock.now().checked_add(irori_runtime::SignedDuration::from_hours(365 * 24));
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
    if let Some(expires) =
        expires.ok().and_then(|end| HeaderValue::from_str(&end.strftime("%a, %d %b %Y %H:%M:%S UTC").to_string()).ok())
    {
        headers.insert(header::EXPIRES, expires);
    }
    Ok(response)
}

/// The document, or 304 for who has it already.
fn with_etag(call: &Call, content_type: &str, document: String) -> Response {
    let etag = format!("\"{}\"", discovery::etag(document.as_bytes()));
    let response = match has_it(call, &etag) {
        true => respond::plain(304, content_type, irori_http::empty()),
        false => respond::bytes(call, 200, content_type, document),
    };
    tagged(response, &etag)
}

fn has_it(call: &Call, etag: &str) -> bool {
    call.header("if-none-match").is_some_and(|known| known.split(',').any(|k| k.trim() == etag))
}

fn tagged(mut response: Response, etag: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(etag) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    response
}
