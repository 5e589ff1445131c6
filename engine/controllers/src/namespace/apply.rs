//! Empties a namespace: pods first, then everything else.
use http::Request;
use irori_client::ApiError;
use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Api, api::PostParams};
use serde::Deserialize;

use super::plan::Findings;
use crate::{
    replicaset::told,
    resources::{ResourceKind, discover},
};

/// Objects looked at, of one kind, to say what is left. There may be more.
const COUNTED_MAX: usize = 500;

/// One round of deletions in namespace `name`.
pub async fn empty(client: &kube::Client, name: &str) -> Findings {
    let mut findings = Findings::default();
    let kinds = match discover(client).await {
        Ok((kinds, failed)) => {
            if !failed.is_empty() {
                findings.discovery_failure = Some(failed.join(", "));
            }
            kinds
        }
        Err(source) => {
            findings.discovery_failure = Some(told(&source));
            return findings;
        }
    };
    let (first, rest): (Vec<_>, Vec<_>) = kinds
        .into_iter()
        .filter(|kind| kind.namespaced && kind.can("delete") && kind.can("list"))
        .partition(|kind| kind.group.is_empty() && kind.plural == "pods");
    // Pods go before what they run on: their policies, their secrets, their limits.
    for kinds in [first, rest] {
        for kind in &kinds {
            empty_kind(client, name, kind, &mut findings).await;
        }
        if !findings.remaining.is_empty() {
            return findings;
        }
    }
    findings
}

async fn empty_kind(client: &kube::Client, namespace: &str, kind: &ResourceKind, findings: &mut Findings) {
    if let Err(source) = delete_all(client, namespace, kind).await {
        let text = format!("deleting {}: {}", kind.plural, told(&source));
        findings.content_failure.get_or_insert(text);
    }
    match left(client, namespace, kind).await {
        Ok(left) if left.is_empty() => {}
        Ok(left) => {
            findings.remaining.insert(format!("{}.{}", kind.plural, kind.group), left.len());
            for finalizer in left.iter().flat_map(|meta| meta.finalizers.iter().flatten()) {
                *findings.finalizers.entry(finalizer.clone()).or_default() += 1;
            }
        }
        Err(source) => {
            findings.content_failure.get_or_insert(format!("listing {}: {}", kind.plural, told(&source)));
        }
    }
}

async fn delete_all(client: &kube::Client, namespace: &str, kind: &ResourceKind) -> Result<(), kube::Error> {
    let path = kind.path(namespace);
    if kind.can("deletecollection") {
        let request = Request::delete(format!("{path}?propagationPolicy=Background")).body(Vec::new());
        return absent_is_done(client.request_text(request.map_err(kube::Error::HttpError)?).await);
    }
    for meta in left(client, namespace, kind).await? {
        let name = meta.name.unwrap_or_default();
        let request = Request::delete(format!("{path}/{name}?propagationPolicy=Background")).body(Vec::new());
        absent_is_done(client.request_text(request.map_err(kube::Error::HttpError)?).await)?;
    }
    Ok(())
}

fn absent_is_done(answer: Result<String, kube::Error>) -> Result<(), kube::Error> {
    match answer {
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 405 => Ok(()),
        done => done.map(drop),
    }
}

#[derive(Deserialize)]
struct Partials {
    #[serde(default)]
    items: Vec<Partial>,
}

#[derive(Deserialize)]
struct Partial {
    metadata: ObjectMeta,
}

async fn left(client: &kube::Client, namespace: &str, kind: &ResourceKind) -> Result<Vec<ObjectMeta>, kube::Error> {
    let request = Request::get(format!("{}?limit={COUNTED_MAX}", kind.path(namespace)))
        .header(http::header::ACCEPT, "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
        .body(Vec::new());
    match client.request::<Partials>(request.map_err(kube::Error::HttpError)?).await {
        Ok(list) => Ok(list.items.into_iter().map(|item| item.metadata).collect()),
        Err(source) if source.is_not_found() => Ok(Vec::new()),
        Err(source) => Err(source),
    }
}

/// Lets go of the namespace.
pub async fn finalize(client: &kube::Client, namespace: &Namespace) -> Result<(), kube::Error> {
    let name = namespace.metadata.name.as_deref().unwrap_or_default();
    let body = serde_json::to_vec(namespace).map_err(kube::Error::SerdeError)?;
    let request = Request::put(format!("/api/v1/namespaces/{name}/finalize"))
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(body)
        .map_err(kube::Error::HttpError)?;
    match client.request_text(request).await {
        Err(source) if source.is_not_found() => Ok(()),
        done => done.map(drop),
    }
}

pub async fn write_status(client: &kube::Client, namespace: &Namespace) -> Result<(), kube::Error> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let name = namespace.metadata.name.as_deref().unwrap_or_default();
    match namespaces.replace_status(name, &PostParams::default(), namespace).await {
        Err(source) if source.is_not_found() => Ok(()),
        done => done.map(drop),
    }
}
