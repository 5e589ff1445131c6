//! Approves and signs requests for `irori.dev/servers`.
use std::sync::Arc;

use futures::{StreamExt, future::BoxFuture};
use irori_client::{ApiError, Informer, Informers, Key, Loop, Outcome, ReconcileError, Reconciler};
use irori_runtime::{Clock, SignedDuration, Tasks, Timestamp};
use irori_trust::{CaTree, Lifetime, Scope, TrustError, names_of_request};
use k8s_openapi::{
    ByteString,
    api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition},
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{Api, Client, api::PostParams};

use crate::SIGNER_NAME;

const LIFE_MIN: SignedDuration = SignedDuration::from_mins(10);
const USAGES: [&str; 3] = ["digital signature", "key encipherment", "server auth"];

/// The signer, beside the CA.
pub struct Signer {
    client: Client,
    requests: Informer<CertificateSigningRequest>,
    ca: Arc<CaTree>,
    /// Who may ask, as user names.
    requesters: Vec<String>,
    clock: Clock,
}

/// What to do about a request. Pure.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Not for us, or over.
    Nothing,
    Approve,
    Deny(String),
    Sign(SignedDuration),
}

fn verdict(request: &CertificateSigningRequest, requesters: &[String], scope: &Scope) -> Verdict {
    if request.spec.signer_name != SIGNER_NAME {
        return Verdict::Nothing;
    }
    let status = request.status.clone().unwrap_or_default();
    let has = |kind: &str| status.conditions.iter().flatten().any(|c| c.type_ == kind && c.status == "True");
    if has("Denied") || has("Failed") || status.certificate.is_some() {
        return Verdict::Nothing;
    }
    if !has("Approved") {
        let user = request.spec.username.as_deref().unwrap_or_default();
        if !requesters.iter().any(|known| known == user) {
            // A person may still approve it by hand.
            return Verdict::Nothing;
        }
        let strange = request.spec.usages.iter().flatten().find(|usage| !USAGES.contains(&usage.as_str()));
        if let Some(usage) = strange {
            return Verdict::Deny(format!("usage `{usage}` is not one of a server"));
        }
        // Whoever may write an Ingress chooses these names: the API's and the nodes' are not among them.
        return match names_of_request(&String::from_utf8_lossy(&request.spec.request.0)) {
            Err(source) => Verdict::Deny(source.to_string()),
            Ok(names) => match names.iter().find(|name| !scope.is_of_apps(name)) {
                Some(name) => Verdict::Deny(format!("`{name}` is no name of an app below `{}`", scope.domain)),
                None => Verdict::Approve,
            },
        };
    }
    let asked = request.spec.expiration_seconds.map(|s| SignedDuration::from_secs(i64::from(s)));
    let longest = Lifetime::default().0;
    Verdict::Sign(asked.unwrap_or(longest).clamp(LIFE_MIN, longest))
}

impl Signer {
    /// Starts the loop. `client` acts as the signer's account; requests of `requesters` (user names) are approved without a hand.
    pub fn start(client: Client, informers: &Informers, ca: Arc<CaTree>, requesters: Vec<String>, clock: &Clock, tasks: &Tasks) {
        let requests: Informer<CertificateSigningRequest> = informers.of();
        let signer = Self { client, requests: requests.clone(), ca, requesters, clock: clock.clone() };
        Loop::default().run(signer, requests.changes().map(|change| change.key), tasks);
    }

    async fn decide(
        &self,
        request: &CertificateSigningRequest,
        kind: &str,
        reason: &str,
        message: &str,
    ) -> Result<(), kube::Error> {
        let mut decided = request.clone();
        let conditions = decided.status.get_or_insert_default().conditions.get_or_insert_default();
        conditions.push(condition(kind, reason, message, self.clock.now()));
        let api: Api<CertificateSigningRequest> = Api::all(self.client.clone());
        let name = request.metadata.name.clone().unwrap_or_default();
        if kind == "Failed" {
            api.replace_status(&name, &PostParams::default(), &decided).await?;
        } else {
            api.replace_subresource("approval", &name, &PostParams::default(), &decided).await?;
        }
        Ok(())
    }

    async fn sign(&self, request: &CertificateSigningRequest, life: SignedDuration) -> Result<(), ReconcileError> {
        let pem = String::from_utf8_lossy(&request.spec.request.0).into_owned();
        let chain = match self.ca.sign_server_request(&pem, Lifetime(life)) {
            Ok(chain) => chain,
            Err(source @ (TrustError::OutsideScope { .. } | TrustError::Parse { .. })) => {
                return Ok(self.decide(request, "Failed", "SignerRefused", &source.to_string()).await?);
            }
            Err(source) => return Err(ReconcileError::other("sign certificate", source)),
        };
        let mut signed = request.clone();
        signed.status.get_or_insert_default().certificate = Some(ByteString(chain.into_bytes()));
        let api: Api<CertificateSigningRequest> = Api::all(self.client.clone());
        let name = request.metadata.name.clone().unwrap_or_default();
        api.replace_status(&name, &PostParams::default(), &signed).await?;
        Ok(())
    }
}

fn condition(kind: &str, reason: &str, message: &str, now: Timestamp) -> CertificateSigningRequestCondition {
    CertificateSigningRequestCondition {
        type_: kind.to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_update_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    }
}

impl Reconciler for Signer {
    fn name(&self) -> &'static str {
        "certs-signer"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, Result<Outcome, ReconcileError>> {
        Box::pin(async move {
            let Some(request) = self.requests.get(&key) else { return Ok(Outcome::Gone) };
            let done = match verdict(&request, &self.requesters, self.ca.scope()) {
                Verdict::Nothing => Ok(()),
                Verdict::Approve => {
                    let message = "asked by the home's own certificate requester";
                    self.decide(&request, "Approved", "KnownRequester", message).await.map_err(ReconcileError::from)
                }
                Verdict::Deny(reason) => {
                    self.decide(&request, "Denied", "UnfitRequest", &reason).await.map_err(ReconcileError::from)
                }
                Verdict::Sign(life) => self.sign(&request, life).await,
            };
            match done {
                Err(ReconcileError::Api(source)) if source.is_not_found() => Ok(Outcome::Gone),
                done => done.map(|()| Outcome::Done),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request(user: &str, extra: serde_json::Value) -> CertificateSigningRequest {
        let mut object = json!({
            "metadata": {"name": "r"},
            "spec": {"signerName": SIGNER_NAME, "request": "", "username": user, "usages": ["digital signature", "server auth"]},
        });
        object["spec"]["request"] = serde_json::to_value(pem(&["web.home.arpa"])).unwrap();
        for (path, value) in extra.as_object().unwrap() {
            *object.pointer_mut(path).unwrap_or(&mut serde_json::Value::Null) = value.clone();
            if path == "/status" {
                object["status"] = value.clone();
            }
        }
        serde_json::from_value(object).unwrap()
    }

    fn judge(request: &CertificateSigningRequest) -> Verdict {
        verdict(request, &["known".to_owned()], &Scope::new("home.arpa"))
    }

    fn pem(names: &[&str]) -> ByteString {
        let names: Vec<_> = names.iter().map(|name| (*name).into()).collect();
        ByteString(irori_trust::request_server(&names).unwrap().request_pem.into_bytes())
    }

    #[test]
    fn an_ingress_gets_no_certificate_in_the_name_of_the_api_or_of_a_node() {
        for name in ["kubernetes.default.svc", "10.96.0.1", "127.0.0.1", "localhost", "api.home.arpa", "n1.nodes.cluster.local"] {
            let mut asked = request("known", json!({}));
            asked.spec.request = pem(&["web.home.arpa", name]);
            assert!(matches!(judge(&asked), Verdict::Deny(reason) if reason.contains(name)), "{name}");
        }
        let mut broken = request("known", json!({}));
        broken.spec.request = ByteString(b"nothing".to_vec());
        assert!(matches!(judge(&broken), Verdict::Deny(_)));
    }

    #[test]
    fn only_a_known_requester_is_approved_without_a_hand() {
        assert_eq!(judge(&request("known", json!({}))), Verdict::Approve);
        assert_eq!(judge(&request("somebody", json!({}))), Verdict::Nothing);
        let client = request("known", json!({"/spec/usages": ["client auth"]}));
        assert!(matches!(judge(&client), Verdict::Deny(_)));
        let other = request("known", json!({"/spec/signerName": "kubernetes.io/kube-apiserver-client"}));
        assert_eq!(judge(&other), Verdict::Nothing);
    }

    #[test]
    fn an_approved_request_is_signed_once() {
        let approved = json!({"conditions": [{"type": "Approved", "status": "True"}]});
        assert_eq!(judge(&request("somebody", json!({"/status": approved}))), Verdict::Sign(Lifetime::default().0));
        let done = json!({"conditions": [{"type": "Approved", "status": "True"}], "certificate": "eA=="});
        assert_eq!(judge(&request("somebody", json!({"/status": done}))), Verdict::Nothing);
        let denied = json!({"conditions": [{"type": "Approved", "status": "True"}, {"type": "Denied", "status": "True"}]});
        assert_eq!(judge(&request("somebody", json!({"/status": denied}))), Verdict::Nothing);
    }
}
