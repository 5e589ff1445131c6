//! StorageObjectInUseProtection: volumes and claims get a finalizer, so that they stay while pods use them.
use irori_rules::tree;
use serde_json::Value;

use super::{Attributes, Plugin};
use crate::{call::Call, refusal::Answered, server::Server};

pub struct StorageInUse;

#[async_trait::async_trait]
impl Plugin for StorageInUse {
    async fn mutate(&self, _: &Server, _: &mut Call, asked: &Attributes<'_>, object: &mut Value) -> Answered<()> {
        let finalizer = if asked.creates("", "persistentvolumes") {
            "kubernetes.io/pv-protection"
        } else if asked.creates("", "persistentvolumeclaims") {
            "kubernetes.io/pvc-protection"
        } else if asked.creates("storage.k8s.io", "volumeattributesclasses") {
            "kubernetes.io/vac-protection"
        } else {
            return Ok(());
        };
        let mut finalizers = tree::items(object, &["metadata", "finalizers"]).to_vec();
        if !finalizers.iter().any(|f| f == finalizer) {
            finalizers.push(finalizer.into());
            tree::set(object, &["metadata", "finalizers"], finalizers);
        }
        Ok(())
    }
}
