//! Whether the caller may: system:masters, the node authoriser, RBAC. Whatever none of them allows is forbidden.
use crate::{
    call::Call,
    identity::{MASTERS, UserInfo},
    refusal::{About, Answered, Refusal},
    server::Server,
};

mod book;
pub mod escalation;

pub mod nodes;
mod rules;

pub use book::{RBAC_PREFIX, RbacIndex};
pub use nodes::{NodeGraph, PODS_PREFIX};
pub use rules::Rule;

/// What is to be decided.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    pub verb: &'a str,
    pub is_resource: bool,
    pub group: &'a str,
    pub resource: &'a str,
    pub subresource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    /// The field selector as it was sent.
    pub fields: &'a str,
    /// For what is no resource.
    pub path: &'a str,
}

impl<'a> Attributes<'a> {
    pub fn of(call: &'a Call) -> Self {
        let asked = &call.asked;
        Self {
            verb: asked.verb,
            is_resource: asked.is_resource,
            group: &asked.group,
            resource: &asked.resource,
            subresource: &asked.subresource,
            namespace: &asked.namespace,
            name: &asked.name,
            fields: call.query.get("fieldSelector").unwrap_or(""),
            path: &asked.path,
        }
    }

    pub(crate) fn full_resource(&self) -> String {
        if self.subresource.is_empty() { self.resource.to_owned() } else { format!("{}/{}", self.resource, self.subresource) }
    }
}

/// What was decided, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    pub reason: String,
}

/// Decides. Never fails: what cannot be looked up is not allowed.
pub fn decide(server: &Server, user: &UserInfo, asked: &Attributes<'_>) -> Decision {
    if user.in_group(MASTERS) {
        return Decision { allowed: true, reason: String::new() };
    }
    let mut reason = String::new();
    if let Some(node) = user.node() {
        let by_node = nodes::decide(server, node, asked);
        if by_node.allowed {
            return by_node;
        }
        reason = by_node.reason;
    }
    let by_rbac = server.rbac.decide(user, asked);
    if by_rbac.allowed {
        return by_rbac;
    }
    let reasons: Vec<String> = [reason, by_rbac.reason].into_iter().filter(|r| !r.is_empty()).collect();
    Decision { allowed: false, reason: reasons.join(", ") }
}

/// Decides, and refuses with the stock text.
pub fn require(server: &Server, user: &UserInfo, asked: &Attributes<'_>) -> Answered<()> {
    let decision = decide(server, user, asked);
    if decision.allowed { Ok(()) } else { Err(refusal(user, asked, &decision.reason)) }
}

/// The stage.
pub fn permit(server: &Server, call: &Call) -> Answered<()> {
    require(server, &call.user, &Attributes::of(call))
}

fn refusal(user: &UserInfo, asked: &Attributes<'_>, reason: &str) -> Refusal {
    let tail = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let name = &user.name;
    if !asked.is_resource {
        let about = About { group: "", resource: "", name: "" };
        return Refusal::forbidden(about, &format!("User {name:?} cannot {} path {:?}{tail}", asked.verb, asked.path));
    }
    let scope = match asked.namespace {
        "" => "at the cluster scope".to_owned(),
        ns => format!("in the namespace {ns:?}"),
    };
    let why = format!(
        "User {name:?} cannot {} resource {:?} in API group {:?} {scope}{tail}",
        asked.verb,
        asked.full_resource(),
        asked.group
    );
    // The stock refusal speaks of the resource without its subresource.
    Refusal::forbidden(About { group: asked.group, resource: asked.resource, name: asked.name }, &why)
}
