//! CertificateSigningRequests: who asked is written by the server; approving and signing need the signer's permission.
use irori_rules::tree;
use serde_json::Value;

use super::{Attributes, Operation, Plugin};
use crate::{
    authz,
    call::Call,
    read,
    refusal::{Answered, Refusal},
    server::Server,
};

pub struct Certificates;

#[async_trait::async_trait]
impl Plugin for Certificates {
    async fn mutate(&self, _: &Server, call: &mut Call, asked: &Attributes<'_>, request: &mut Value) -> Answered<()> {
        if !asked.creates("certificates.k8s.io", "certificatesigningrequests") {
            return Ok(());
        }
        let user = &call.user;
        for field in ["username", "uid", "groups", "extra"] {
            tree::remove(request, &["spec", field]);
        }
        if !user.name.is_empty() {
            tree::set(request, &["spec", "username"], user.name.clone());
        }
        if !user.uid.is_empty() {
            tree::set(request, &["spec", "uid"], user.uid.clone());
        }
        if !user.groups.is_empty() {
            tree::set(request, &["spec", "groups"], user.groups.clone());
        }
        if !user.extra.is_empty() {
            let extra: serde_json::Map<String, Value> = user.extra.iter().map(|(k, v)| (k.clone(), v.clone().into())).collect();
            tree::set(request, &["spec", "extra"], extra);
        }
        Ok(())
    }

    async fn validate(&self, server: &Server, call: &mut Call, asked: &Attributes<'_>, request: &Value) -> Answered<()> {
        if asked.resource() != ("certificates.k8s.io", "certificatesigningrequests") || asked.operation == Operation::Delete {
            return Ok(());
        }
        let name = tree::text(request, &["metadata", "name"]);
        let signer = tree::text(request, &["spec", "signerName"]);
        let refuse = |why: String| Err(Refusal::forbidden(read::about(asked.row, name), &why));
        let issued =
            || tree::get(request, &["status", "certificate"]) != asked.old.and_then(|o| tree::get(o, &["status", "certificate"]));
        let verb = match (asked.operation, asked.subresource) {
            (Operation::Create, _) => {
                let masters = signer == "kubernetes.io/kube-apiserver-client" && asks_for_masters(request);
                return if masters {
                    refuse(
                        "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed".to_owned(),
                    )
                } else {
                    Ok(())
                };
            }
            (Operation::Update, "approval") => "approve",
            (Operation::Update, "status") if issued() => "sign",
            _ => return Ok(()),
        };
        let domain = signer.split_once('/').map_or(signer, |(domain, _)| domain);
        let may = |name: &str| {
            let asked = authz::Attributes {
                verb,
                is_resource: true,
                group: "certificates.k8s.io",
                resource: "signers",
                subresource: "",
                namespace: "",
                name,
                fields: "",
                path: "",
            };
            authz::decide(server, &call.user, &asked).allowed
        };
        if may(signer) || may(&format!("{domain}/*")) {
            return Ok(());
        }
        refuse(format!("user not permitted to {verb} requests with signerName {signer:?}"))
    }
}

/// Whether the request's subject has the organisation system:masters.
fn asks_for_masters(request: &Value) -> bool {
    use base64::Engine;
    use x509_parser::prelude::FromDer;
    let Ok(pem) = base64::engine::general_purpose::STANDARD.decode(tree::text(request, &["spec", "request"])) else {
        return false;
    };
    let Ok((_, pem)) = x509_parser::pem::parse_x509_pem(&pem) else { return false };
    let Ok((_, parsed)) = x509_parser::certification_request::X509CertificationRequest::from_der(&pem.contents) else {
        return false;
    };
    let subject = &parsed.certification_request_info.subject;
    subject.iter_organization().any(|o| o.as_str() == Ok(crate::identity::MASTERS))
}
