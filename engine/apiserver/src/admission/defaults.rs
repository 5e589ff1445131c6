//! DefaultStorageClass and DefaultIngressClass: who names no class gets the one that is marked as the default.
use irori_rules::tree;
use irori_store::Range;
use serde_json::Value;

use super::{Attributes, Plugin};
use crate::{
    call::Call,
    read,
    refusal::{Answered, Refusal},
    server::Server,
    stored,
};

pub struct DefaultStorageClass;

#[async_trait::async_trait]
impl Plugin for DefaultStorageClass {
    async fn mutate(&self, server: &Server, _: &mut Call, asked: &Attributes<'_>, claim: &mut Value) -> Answered<()> {
        const OLD: &str = "volume.beta.kubernetes.io/storage-class";
        let named = tree::get(claim, &["spec", "storageClassName"]).is_some()
            || tree::get(claim, &["metadata", "annotations", OLD]).is_some();
        if !asked.creates("", "persistentvolumeclaims") || named {
            return Ok(());
        }
        let marks = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
        // Of several the newest counts.
        if let Some(class) = marked(server, "storage.k8s.io/storageclasses/", &marks).await?.into_iter().next() {
            tree::set(claim, &["spec", "storageClassName"], class);
        }
        Ok(())
    }
}

pub struct DefaultIngressClass;

#[async_trait::async_trait]
impl Plugin for DefaultIngressClass {
    async fn mutate(&self, server: &Server, _: &mut Call, asked: &Attributes<'_>, ingress: &mut Value) -> Answered<()> {
        const OLD: &str = "kubernetes.io/ingress.class";
        let named = tree::get(ingress, &["spec", "ingressClassName"]).is_some()
            || tree::get(ingress, &["metadata", "annotations", OLD]).is_some();
        if !asked.creates("networking.k8s.io", "ingresses") || named {
            return Ok(());
        }
        let marks = ["ingressclass.kubernetes.io/is-default-class"];
        let classes = marked(server, "networking.k8s.io/ingressclasses/", &marks).await?;
        if classes.len() > 1 {
            let name = tree::text(ingress, &["metadata", "name"]);
            let why = format!("{} default IngressClasses were found, only 1 allowed", classes.len());
            return Err(Refusal::forbidden(read::about(asked.row, name), &why));
        }
        if let Some(class) = classes.into_iter().next() {
            tree::set(ingress, &["spec", "ingressClassName"], class);
        }
        Ok(())
    }
}

/// Names of the objects that an annotation marks as the default: the newest first, of the same second by name.
async fn marked(server: &Server, prefix: &str, marks: &[&str]) -> Answered<Vec<String>> {
    let page = server.store.range(Range { prefix: prefix.to_owned(), ..Range::default() }).await?;
    let is_marked = |object: &Value| marks.iter().any(|mark| tree::text(object, &["metadata", "annotations", mark]) == "true");
    let mut found: Vec<(String, String)> = page
        .entries
        .iter()
        .filter_map(|entry| stored::tree(entry).ok())
        .filter(is_marked)
        .map(|object| {
            let text = |field: &str| tree::text(&object, &["metadata", field]).to_owned();
            (text("creationTimestamp"), text("name"))
        })
        .collect();
    found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    Ok(found.into_iter().map(|(_, name)| name).collect())
}
