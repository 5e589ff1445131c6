//! Certificates by CertificateSigningRequest into `kubernetes.io/tls` Secrets.
//!
//! What it is: two reconcilers. `requester` (platform) makes a key, asks for a certificate through the API and writes the Secret that an
//! Ingress names. `signer` (beside the CA) approves and signs requests for the signer `irori.dev/servers`.
//! What it is not: it serves no traffic and speaks no ACME.
//!
//! Flow: Ingress -> which names a Secret has to speak for -> CertificateSigningRequest -> approved and signed -> Secret -> renewed at 2/3 of its life.
//! Invariant: a private key is never in a request, only in its Secret. Invariant: a Secret that somebody else made is left alone.
//! Limits: 100 names a certificate; 30 s for a signature, then again under back-off.
//! Invariant: no certificate for a name of the API or of a node is approved without a person's hand.
//! Failure modes: a name outside the home's domain is denied with the reason on the request and as an event of the Ingress.
mod plan;
mod requester;
mod signer;

pub use requester::Requester;
pub use signer::Signer;

use serde_json::{Value, json};

/// The signer of server certificates.
pub const SIGNER_NAME: &str = "irori.dev/servers";

/// What the two service accounts may do, as objects for whoever sets the home up.
pub fn rules(namespace: &str, requester: &str, signer: &str) -> Vec<Value> {
    let role = |name: &str, rules: Value| json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules});
    let binding = |name: &str, account: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": account}],
        })
    };
    let group = "certificates.k8s.io";
    vec![
        role(
            "irori:certs",
            json!([
                {"apiGroups": [group], "resources": ["certificatesigningrequests"], "verbs": ["create", "get", "list", "watch", "delete"]},
                {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses"], "verbs": ["get", "list", "watch"]},
                {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch", "create", "update"]},
                {"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch", "update"]},
            ]),
        ),
        binding("irori:certs", requester),
        role(
            "irori:signer",
            json!([
                {"apiGroups": [group], "resources": ["certificatesigningrequests"], "verbs": ["get", "list", "watch"]},
                {"apiGroups": [group], "resources": ["certificatesigningrequests/approval", "certificatesigningrequests/status"], "verbs": ["update", "patch"]},
                {"apiGroups": [group], "resources": ["signers"], "resourceNames": [SIGNER_NAME], "verbs": ["approve", "sign"]},
            ]),
        ),
        binding("irori:signer", signer),
    ]
}
