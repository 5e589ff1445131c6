//! DefaultStorageClass and DefaultIngressClass: who names no class gets the one that is marked as the default.
use irori_rules::tree;
use serde_json::Value;

use super::{Attributes, Plugin};
use crate::{
    call::Call,
    read,
    refusal::{Answered, Refusal},
    server::Server,
};

pub struct DefaultStorageClass;

#[async_trait::async_trait]
impl Plugin for DefaultStorageClass {
    async fn mutate(&self, server: &Server, _: &mut Call, asked: &Attributes<'_>, claim: &mut Value) -> Answered<()> {
        const OLD: &str = "volume.beta.kubernetes.io/storage-class";
        if !asked.creates("", "persistentvolumeclaims") || names_a_class(claim, "storageClassName", OLD) {
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
        if !asked.creates("networking.k8s.io", "ingresses") || names_a_class(ingress, "ingressClassName", OLD) {
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

/// By its field, or by the annotation that was there before it.
fn names_a_class(object: &Value, field: &str, annotation: &str) -> bool {
    tree::get(object, &["spec", field]).is_some() || tree::get(object, &["metadata", "annotations", annotation]).is_some()
}

/// Names of the objects that an annotation marks as the default: the newest first, of the same second by name.
async fn marked(server: &Server, prefix: &str, marks: &[&str]) -> Answered<Vec<String>> {
    let is_marked = |object: &&Value| marks.iter().any(|mark| tree::text(object, &["metadata", "annotations", mark]) == "true");
    let all = read::all(server, prefix).await?;
    let text = |object: &Value, field: &str| tree::text(object, &["metadata", field]).to_owned();
    let mut found: Vec<(String, String)> =
        all.iter().filter(is_marked).map(|object| (text(object, "creationTimestamp"), text(object, "name"))).collect();
    found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    Ok(found.into_iter().map(|(_, name)| name).collect())
}
