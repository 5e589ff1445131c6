//! The node's own HTTPS port, for the API server alone.
//!
//! Flow: `who` (a client certificate of the API server's) -> route -> `logs`, `exec`, `stats`, or a list.
//! `GET /containerLogs/NAMESPACE/POD/CONTAINER?follow&previous&tailLines&sinceSeconds&sinceTime&limitBytes&timestamps&stream`,
//! `GET /exec/NAMESPACE/POD/CONTAINER?command…&input&output&error&tty` (WebSocket, `v5.channel.k8s.io` or `v4.channel.k8s.io`),
//! `GET /pods`, `/stats/summary`, `/healthz`.
//! Invariant: nobody unknown learns anything, not even whether a pod is here.
//! Limits: `CONNECTIONS_MAX`, `exec::SESSIONS_MAX`, `exec::MESSAGE_MAX`.
mod exec;
mod logs;
mod query;
mod stats;

use std::{convert::Infallible, sync::Arc};

use futures::future::BoxFuture;
use http::{Method, StatusCode, header};
use irori_http::{Handler, Limits, Peer, Request, Response, full};
use serde_json::json;
use tokio::net::TcpListener;

use crate::{pods::site::Site, settings::Caller};

/// Open connections; others wait in the kernel.
const CONNECTIONS_MAX: usize = 512;

pub async fn serve(site: Arc<Site>, listener: TcpListener) -> Result<(), std::io::Error> {
    let limits = Limits { connections_max: CONNECTIONS_MAX, ..Limits::default() };
    let (tls, tasks) = (site.settings.tls.clone(), site.tasks.clone());
    let sessions = Arc::new(tokio::sync::Semaphore::new(exec::SESSIONS_MAX));
    irori_http::serve(listener, Some(tls), Arc::new(Door { site, sessions }), limits, tasks).await
}

/// The handler.
pub(crate) struct Door {
    pub site: Arc<Site>,
    pub sessions: Arc<tokio::sync::Semaphore>,
}

impl Handler for Door {
    fn call(&self, request: Request) -> BoxFuture<'static, Response> {
        let (site, sessions) = (self.site.clone(), self.sessions.clone());
        Box::pin(async move {
            match answer(site, sessions, request).await {
                Ok(response) => response,
                Err(refusal) => refusal.into_response(),
            }
        })
    }
}

/// An answer that says no.
#[derive(Debug)]
pub(crate) struct Refused(pub StatusCode, pub String);

impl Refused {
    fn bad(message: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, message.into())
    }

    fn not_found(message: impl Into<String>) -> Self {
        Self(StatusCode::NOT_FOUND, message.into())
    }

    fn into_response(self) -> Response {
        let mut response = text(self.1 + "\n");
        *response.status_mut() = self.0;
        response
    }
}

pub(crate) type Answer = Result<Response, Refused>;

fn text(body: String) -> Response {
    let mut response = Response::new(full(body));
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn json_answer(value: &serde_json::Value) -> Response {
    let mut response = Response::new(full(value.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

/// Who may come in: the API server, and administrators.
fn may_enter(caller: &Caller) -> bool {
    caller.name == "kube-apiserver-kubelet-client" || caller.groups.iter().any(|group| group == "system:masters")
}

async fn answer(site: Arc<Site>, sessions: Arc<tokio::sync::Semaphore>, request: Request) -> Answer {
    let caller = request.extensions().get::<Peer>().and_then(|peer| (site.settings.clients)(peer));
    match caller {
        None => return Err(Refused(StatusCode::UNAUTHORIZED, "Unauthorized".to_owned())),
        Some(caller) if !may_enter(&caller) => {
            return Err(Refused(StatusCode::FORBIDDEN, format!("Forbidden (user={})", caller.name)));
        }
        Some(_) => {}
    }
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let is_read = request.method() == Method::GET;
    match parts.as_slice() {
        ["healthz"] if is_read => Ok(text("ok".to_owned())),
        ["pods"] if is_read => Ok(json_answer(&pods(&site))),
        ["stats", "summary"] if is_read => stats::summary(&site).await,
        ["containerLogs", namespace, pod, container] if is_read => {
            let query = query::Query::of(&request);
            drop(request);
            logs::logs(&site, namespace, pod, container, &query).await
        }
        ["exec", namespace, pod, container] if is_read || request.method() == Method::POST => {
            exec::exec(&site, sessions, namespace, pod, container, request)
        }
        ["attach" | "portForward" | "run", ..] => {
            Err(Refused(StatusCode::NOT_IMPLEMENTED, format!("{} is not implemented by this node yet", parts[0])))
        }
        ["healthz" | "pods" | "stats" | "containerLogs" | "exec", ..] if !is_read => {
            Err(Refused(StatusCode::METHOD_NOT_ALLOWED, "method not allowed".to_owned()))
        }
        _ => Err(Refused::not_found("404 page not found")),
    }
}

fn pods(site: &Site) -> serde_json::Value {
    let items: Vec<_> = site.board.list().iter().filter_map(|view| serde_json::to_value(view.pod.as_ref()).ok()).collect();
    json!({ "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items })
}

/// For tasks whose end is nobody's error.
pub(crate) const DONE: Result<(), Infallible> = Ok(());

#[cfg(test)]
mod tests;
