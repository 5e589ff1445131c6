//! PodSecurity: a namespace says by its labels what its pods may not do; above that they are refused, or warned of.
//!
//! Nobody and nothing is exempt. Templates of pods are never refused, only warned of.
use irori_rules::{
    security::{self, Level, Policy, Standard},
    tree,
};
use irori_store::Range;
use serde_json::Value;

use super::{Attributes, Operation, Plugin};
use crate::{
    call::Call,
    limits, read,
    refusal::{About, Answered, Refusal},
    server::Server,
    stored,
};

pub struct PodSecurity;

#[async_trait::async_trait]
impl Plugin for PodSecurity {
    async fn validate(&self, server: &Server, call: &mut Call, asked: &Attributes<'_>, object: &Value) -> Answered<()> {
        if asked.operation == Operation::Delete {
            return Ok(());
        }
        match asked.resource() {
            ("", "namespaces") if asked.subresource.is_empty() => namespace(server, call, asked, object).await,
            ("", "pods") => pod(server, call, asked, object).await,
            _ => match irori_rules::template_path(asked.row).and_then(|path| tree::get(object, path)) {
                Some(template) if asked.subresource.is_empty() => {
                    let policy = policy(server, &call.asked.namespace).await?;
                    warn(call, policy, template);
                    Ok(())
                }
                _ => Ok(()),
            },
        }
    }
}

async fn policy(server: &Server, namespace: &str) -> Answered<Policy> {
    let entry = read::namespace(server, namespace).await?;
    // Nearly every namespace says nothing: what does not even hold the word is not parsed.
    let Some(entry) = entry.filter(|entry| stored::mentions(entry, security::LABELS)) else { return Ok(Policy::of(None)) };
    let found = stored::tree(&entry).map_err(Refusal::internal)?;
    Ok(Policy::of(tree::map(&found, &["metadata", "labels"])))
}

fn warn(call: &mut Call, policy: Policy, pod: &Value) {
    let found = security::violations(policy.warn, pod);
    if !found.is_empty() {
        call.warn(format!("would violate PodSecurity \"{}\": {}", policy.warn, security::details(&found)));
    }
}

async fn pod(server: &Server, call: &mut Call, asked: &Attributes<'_>, pod: &Value) -> Answered<()> {
    let looked_at = match (asked.old, asked.subresource) {
        (None, "") => true,
        (Some(old), "" | "ephemeralcontainers" | "resize") => is_another(pod, old),
        _ => false,
    };
    if !looked_at {
        return Ok(());
    }
    let policy = policy(server, &call.asked.namespace).await?;
    let found = security::violations(policy.enforce, pod);
    if !found.is_empty() {
        let name = tree::text(pod, &["metadata", "name"]);
        let why = format!("violates PodSecurity \"{}\": {}", policy.enforce, security::details(&found));
        return Err(Refusal::forbidden(read::about(asked.row, name), &why));
    }
    warn(call, policy, pod);
    Ok(())
}

/// Whether a pod differs in anything that a check looks at and that may change: images, ephemeral containers, profiles by annotation.
fn is_another(new: &Value, old: &Value) -> bool {
    let images = |pod: &Value| -> Vec<(String, String)> {
        let all = ["initContainers", "containers", "ephemeralContainers"]
            .into_iter()
            .flat_map(|list| tree::items(pod, &["spec", list]));
        all.map(|c| (tree::text(c, &["name"]).to_owned(), tree::text(c, &["image"]).to_owned())).collect()
    };
    let profiles = |pod: &Value| -> Vec<(String, Value)> {
        let all = tree::map(pod, &["metadata", "annotations"]).into_iter().flatten();
        let about = |key: &str| key.contains("seccomp.security.alpha") || key.contains("apparmor.security.beta");
        all.filter(|(key, _)| about(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    images(new) != images(old) || profiles(new) != profiles(old)
}

async fn namespace(server: &Server, call: &mut Call, asked: &Attributes<'_>, object: &Value) -> Answered<()> {
    let labels = |object| tree::map(object, &["metadata", "labels"]);
    let errors = security::label_errors(labels(object));
    let name = tree::text(object, &["metadata", "name"]);
    if !errors.is_empty() && asked.old.is_none_or(|old| security::label_errors(labels(old)) != errors) {
        return Err(Refusal::invalid(About { group: "", resource: "Namespace", name }, &errors));
    }
    let Some(old) = asked.old else { return Ok(()) };
    let (is, was) = (Policy::of(labels(object)).enforce, Policy::of(labels(old)).enforce);
    let stricter = is != was && is.level != Level::Privileged && (is.minor != was.minor || is.level > was.level);
    if stricter {
        for warning in existing_pods(server, name, is).await? {
            call.warn(warning);
        }
    }
    Ok(())
}

/// What of the pods that are there a stricter standard would forbid: pods with the same fault are told as one.
async fn existing_pods(server: &Server, namespace: &str, standard: Standard) -> Answered<Vec<String>> {
    let prefix = format!("core/pods/{namespace}/");
    let page = server.store.range(Range { prefix, ..Range::default() }).await?;
    let mut told = Vec::new();
    let (all, most) = (page.entries.len(), limits::PODS_LOOKED_AT_MAX);
    if all > most {
        told.push(format!("new PodSecurity enforce level only checked against the first {most} of {all} existing pods"));
    }
    let mut faults: Vec<(String, String, usize)> = Vec::new();
    for pod in page.entries.iter().take(most).filter_map(|entry| stored::tree(entry).ok()) {
        let found = security::violations(standard, &pod);
        if found.is_empty() {
            continue;
        }
        let (reasons, name) = (security::reasons(&found), tree::text(&pod, &["metadata", "name"]));
        match faults.iter_mut().find(|(known, ..)| *known == reasons) {
            Some((_, _, count)) => *count += 1,
            None => faults.push((reasons, name.to_owned(), 1)),
        }
    }
    if !faults.is_empty() {
        told.push(format!("existing pods in namespace {namespace:?} violate the new PodSecurity enforce level \"{standard}\""));
    }
    let mut lines: Vec<String> = faults
        .into_iter()
        .map(|(reasons, name, count)| match count {
            1 => format!("{name}: {reasons}"),
            2 => format!("{name} (and 1 other pod): {reasons}"),
            _ => format!("{name} (and {} other pods): {reasons}", count - 1),
        })
        .collect();
    lines.sort_unstable();
    told.append(&mut lines);
    Ok(told)
}
