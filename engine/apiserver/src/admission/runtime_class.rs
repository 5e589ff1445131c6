//! RuntimeClass: a pod that names one gets its overhead and its scheduling; one that is not there refuses the pod.
use irori_rules::tree;
use serde_json::Value;

use super::{Attributes, Plugin};
use crate::{
    call::Call,
    read,
    refusal::{Answered, Refusal},
    server::Server,
    stored,
};

pub struct RuntimeClass;

#[async_trait::async_trait]
impl Plugin for RuntimeClass {
    async fn mutate(&self, server: &Server, _: &mut Call, asked: &Attributes<'_>, pod: &mut Value) -> Answered<()> {
        if !asked.creates("", "pods") {
            return Ok(());
        }
        let name = tree::text(pod, &["metadata", "name"]).to_owned();
        let refuse = |why: String| Refusal::forbidden(read::about(asked.row, &name), &format!("pod rejected: {why}"));
        let wanted = tree::text(pod, &["spec", "runtimeClassName"]).to_owned();
        if wanted.is_empty() {
            return Ok(());
        }
        let entry = server.store.get(&format!("node.k8s.io/runtimeclasses/{wanted}")).await?;
        let entry = entry.ok_or_else(|| refuse(format!("RuntimeClass {wanted:?} not found")))?;
        let class = stored::tree(&entry).map_err(Refusal::internal)?;
        if let Some(overhead) = tree::get(&class, &["overhead", "podFixed"]) {
            if tree::get(pod, &["spec", "overhead"]).is_some_and(|own| own != overhead) {
                return Err(refuse("Pod's Overhead doesn't match RuntimeClass's defined Overhead".to_owned()));
            }
            tree::set(pod, &["spec", "overhead"], overhead.clone());
        } else if has_overhead(pod) {
            return Err(refuse(ALONE.to_owned()));
        }
        for (key, value) in tree::map(&class, &["scheduling", "nodeSelector"]).into_iter().flatten() {
            if tree::get(pod, &["spec", "nodeSelector", key]).is_some_and(|own| own != value) {
                return Err(refuse(format!("conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}")));
            }
            tree::set(pod, &["spec", "nodeSelector", key], value.clone());
        }
        let added = tree::items(&class, &["scheduling", "tolerations"]);
        if !added.is_empty() {
            let mut tolerations = tree::items(pod, &["spec", "tolerations"]).to_vec();
            for toleration in added.iter().filter(|t| !tree::items(pod, &["spec", "tolerations"]).contains(t)) {
                tolerations.push(toleration.clone());
            }
            tree::set(pod, &["spec", "tolerations"], tolerations);
        }
        Ok(())
    }

    async fn validate(&self, _: &Server, _: &mut Call, asked: &Attributes<'_>, pod: &Value) -> Answered<()> {
        if asked.creates("", "pods") && tree::text(pod, &["spec", "runtimeClassName"]).is_empty() && has_overhead(pod) {
            let name = tree::text(pod, &["metadata", "name"]);
            return Err(Refusal::forbidden(read::about(asked.row, name), &format!("pod rejected: {ALONE}")));
        }
        Ok(())
    }
}

const ALONE: &str = "Pod Overhead set without corresponding RuntimeClass defined Overhead";

fn has_overhead(pod: &Value) -> bool {
    tree::map(pod, &["spec", "overhead"]).is_some_and(|overhead| !overhead.is_empty())
}
