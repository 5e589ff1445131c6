//! pods/NAME/eviction: a polite deletion.
use std::sync::Arc;

use irori_api::{
    row::{Gvk, Row},
    schema::TypeRef,
    selector::LabelSelector,
};
use irori_http::Response;
use irori_rules::tree;

use super::{require_same, success};
use crate::{
    call::Call,
    decode,
    delete::{self, DeleteOptions},
    negotiate, options, read,
    refusal::{Answered, Refusal},
    respond,
    server::Server,
};

/// POST. A pod that a PodDisruptionBudget covers is not evicted: budgets are not kept by this server yet.
pub async fn create(server: &Arc<Server>, call: &mut Call, row: &Arc<Row>) -> Answered<Response> {
    let gvk = Gvk::new("policy", "v1", "Eviction");
    let eviction = decode::typed(server, call, &gvk, &TypeRef::Named("io.k8s.api.policy.v1.Eviction".into())).await?;
    let (namespace, name) = (call.asked.namespace.clone(), call.asked.name.clone());
    require_same(&eviction, &namespace, &name, "Eviction")?;
    let entry = read::find(server, row, &namespace, &name).await?;
    let pod = respond::tree(server, row, &entry)?;
    let runs = !tree::text(&pod, &["spec", "nodeName"]).is_empty()
        && !matches!(tree::text(&pod, &["status", "phase"]), "Pending" | "Succeeded" | "Failed");
    if runs {
        for budget in read::all(server, &format!("policy/poddisruptionbudgets/{namespace}/")).await? {
            let selector =
                budget["spec"].get("selector").map(LabelSelector::from_object).transpose().map_err(Refusal::internal)?;
            if selector.is_some_and(|s| s.matches_labels(&pod["metadata"]["labels"])) {
                return Err(Refusal::not_implemented("eviction of a pod that a PodDisruptionBudget covers"));
            }
        }
    }
    let given =
        |key: &str| tree::get(&eviction, &["deleteOptions", "preconditions", key]).and_then(|v| v.as_str()).map(str::to_owned);
    let options = DeleteOptions {
        grace_s: tree::int(&eviction, &["deleteOptions", "gracePeriodSeconds"]),
        uid: given("uid"),
        revision: given("resourceVersion"),
        dry_run: options::dry_run(call)? | options::dry_run_of(&eviction["deleteOptions"])?,
        ..DeleteOptions::default()
    };
    delete::delete_named(server, call, row, &namespace, &name, &options).await?;
    let form = negotiate::wanted(call)?.form;
    Ok(respond::value(server, call, form, 201, &success(201)))
}
