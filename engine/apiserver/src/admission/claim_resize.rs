//! PersistentVolumeClaimResize: a claim becomes larger only where its class says that volumes can.
//!
//! <https://kubernetes.io/docs/concepts/storage/persistent-volumes/#expanding-persistent-volumes-claims>
use irori_rules::{scalar::quantity_compare, tree};
use serde_json::Value;

use super::{Attributes, Plugin};
use crate::{
    call::Call,
    read,
    refusal::{Answered, Refusal},
    server::Server,
    stored,
};

const OLD_CLASS: [&str; 3] = ["metadata", "annotations", "volume.beta.kubernetes.io/storage-class"];

pub struct ClaimResize;

#[async_trait::async_trait]
impl Plugin for ClaimResize {
    async fn validate(&self, server: &Server, _: &mut Call, asked: &Attributes<'_>, claim: &Value) -> Answered<()> {
        let Some(old) = asked.old.filter(|_| asked.updates("", "persistentvolumeclaims")) else { return Ok(()) };
        let size = |claim| tree::text(claim, &["spec", "resources", "requests", "storage"]);
        if quantity_compare(size(claim), size(old)).is_le() || grows(server, class(claim), class(old)).await? {
            return Ok(());
        }
        let why =
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
        Err(Refusal::forbidden(read::about(asked.row, tree::text(claim, &["metadata", "name"])), why))
    }
}

/// The class of a claim; the annotation that was there before the field counts first.
fn class(claim: &Value) -> &str {
    let annotated = tree::get(claim, &OLD_CLASS).and_then(Value::as_str);
    annotated.unwrap_or_else(|| tree::text(claim, &["spec", "storageClassName"]))
}

async fn grows(server: &Server, class: &str, before: &str) -> Answered<bool> {
    if class.is_empty() || class != before {
        return Ok(false);
    }
    let Some(entry) = server.store.get(&format!("storage.k8s.io/storageclasses/{class}")).await? else { return Ok(false) };
    let class = stored::tree(&entry).map_err(Refusal::internal)?;
    Ok(tree::flag(&class, &["allowVolumeExpansion"]))
}
