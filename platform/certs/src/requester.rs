//! Carries out the plan for a Secret: key, request, wait, Secret.
use std::time::Duration;

use futures::{StreamExt, future::BoxFuture, stream};
use irori_client::{ApiError, EventType, Informer, Informers, Key, Loop, Outcome, ReconcileError, Reconciler, Recorder};
use irori_runtime::{Clock, Tasks};
use irori_trust::{Identity, SubjectName, request_server};
use k8s_openapi::{
    ByteString,
    api::{
        certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec},
        core::v1::{ObjectReference, Secret},
        networking::v1::Ingress,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};

use crate::{
    SIGNER_NAME,
    plan::{NAMES_MAX, OURS, Plan, plan, secrets_of},
};

const SIGNED_WITHIN: Duration = Duration::from_secs(30);

/// Keeps a certificate in every Secret that an Ingress of ours names.
pub struct Requester {
    client: Client,
    ingresses: Informer<Ingress>,
    secrets: Informer<Secret>,
    requests: Informer<CertificateSigningRequest>,
    recorder: Recorder,
    clock: Clock,
}

impl Requester {
    /// Starts the loop. `client` acts as the requester's account; `informers` may be the process's shared ones.
    pub fn start(client: Client, informers: &Informers, clock: &Clock, tasks: &Tasks) {
        let own = Informers::new(client.clone(), tasks.clone());
        let requester = Self {
            ingresses: informers.of(),
            secrets: own.of_selected("type=kubernetes.io/tls", ""),
            requests: own.of_selected(&format!("spec.signerName={SIGNER_NAME}"), ""),
            recorder: Recorder::new(client.clone(), "irori-certs", None, clock.clone(), tasks),
            clock: clock.clone(),
            client,
        };
        let of_ingresses = requester.ingresses.changes().flat_map(|change| {
            let keys: Vec<Key> = change.states().flat_map(|ingress| secrets_of(ingress)).collect();
            stream::iter(keys)
        });
        let of_secrets = requester.secrets.changes().map(|change| change.key);
        Loop::default().run(requester, stream::select(of_ingresses, of_secrets), tasks);
    }

    async fn request(&self, key: &Key, names: &[SubjectName], before: Option<&Secret>) -> Result<Outcome, ReconcileError> {
        let made = request_server(names).map_err(|source| ReconcileError::other("make certificate request", source))?;
        let api: Api<CertificateSigningRequest> = Api::all(self.client.clone());
        let request = CertificateSigningRequest {
            metadata: ObjectMeta { generate_name: Some(format!("{}-{}-", key.namespace, key.name)), ..ObjectMeta::default() },
            spec: CertificateSigningRequestSpec {
                request: ByteString(made.request_pem.into_bytes()),
                signer_name: SIGNER_NAME.to_owned(),
                usages: Some(vec!["digital signature".to_owned(), "server auth".to_owned()]),
                ..CertificateSigningRequestSpec::default()
            },
            status: None,
        };
        let request = api.create(&PostParams::default(), &request).await?;
        let name = request.metadata.name.clone().unwrap_or_default();
        let answer = self.answer(&name).await;
        // The request has done its work, whatever came of it.
        match api.delete(&name, &DeleteParams::default()).await {
            Err(source) if !source.is_not_found() => return Err(source.into()),
            _ => {}
        }
        match answer? {
            Answer::Signed(certificate_pem) => {
                self.write(key, &Identity { certificate_pem, key_pem: made.key_pem }, before).await?;
                Ok(Outcome::Done)
            }
            Answer::Denied(reason) => {
                self.tell(key, "CertificateDenied", &reason);
                Ok(Outcome::Done)
            }
        }
    }

    async fn answer(&self, name: &str) -> Result<Answer, ReconcileError> {
        let key = Key::cluster(name);
        let mut changes = self.requests.changes();
        let answered = async {
            loop {
                if let Some(answer) = self.requests.get(&key).and_then(|request| answer_of(&request)) {
                    return Some(answer);
                }
                changes.next().await?;
            }
        };
        match tokio::time::timeout(SIGNED_WITHIN, answered).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(ReconcileError::other("wait for certificate", "the watch has ended")),
            Err(_) => Err(ReconcileError::other(
                "wait for certificate",
                format!("nobody signed `{name}` in {} s", SIGNED_WITHIN.as_secs()),
            )),
        }
    }

    async fn write(&self, key: &Key, identity: &Identity, before: Option<&Secret>) -> Result<(), kube::Error> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &key.namespace);
        let fresh = secret(key, identity, before);
        match before {
            Some(_) => api.replace(&key.name, &PostParams::default(), &fresh).await?,
            None => api.create(&PostParams::default(), &fresh).await?,
        };
        Ok(())
    }

    /// An event on every Ingress that names the Secret.
    fn tell(&self, key: &Key, reason: &str, message: &str) {
        for ingress in self.ingresses.in_namespace(&key.namespace).iter().filter(|ingress| secrets_of(ingress).contains(key)) {
            let about = ObjectReference {
                api_version: Some("networking.k8s.io/v1".to_owned()),
                kind: Some("Ingress".to_owned()),
                name: ingress.metadata.name.clone(),
                namespace: ingress.metadata.namespace.clone(),
                uid: ingress.metadata.uid.clone(),
                ..ObjectReference::default()
            };
            self.recorder.event(&about, EventType::Warning, reason, format!("certificate for Secret {}: {message}", key.name));
        }
    }
}

enum Answer {
    Signed(String),
    Denied(String),
}

fn answer_of(request: &CertificateSigningRequest) -> Option<Answer> {
    let status = request.status.as_ref()?;
    let refusal =
        status.conditions.iter().flatten().find(|c| matches!(c.type_.as_str(), "Denied" | "Failed") && c.status == "True");
    if let Some(refusal) = refusal {
        return Some(Answer::Denied(refusal.message.clone().unwrap_or_else(|| refusal.type_.clone())));
    }
    let certificate = status.certificate.as_ref()?;
    String::from_utf8(certificate.0.clone()).ok().map(Answer::Signed)
}

/// The Secret with this identity: the one before with its data replaced, or a new one.
pub fn secret(key: &Key, identity: &Identity, before: Option<&Secret>) -> Secret {
    let mut secret = before.cloned().unwrap_or_default();
    secret.metadata.name = Some(key.name.clone());
    secret.metadata.namespace = Some(key.namespace.clone());
    secret.metadata.labels.get_or_insert_default().insert(OURS.0.to_owned(), OURS.1.to_owned());
    secret.type_ = Some("kubernetes.io/tls".to_owned());
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    let data = [("tls.crt".to_owned(), bytes(&identity.certificate_pem)), ("tls.key".to_owned(), bytes(&identity.key_pem))];
    secret.data = Some(data.into());
    secret
}

impl Reconciler for Requester {
    fn name(&self) -> &'static str {
        "certs-requester"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, Result<Outcome, ReconcileError>> {
        Box::pin(async move {
            self.ingresses.synced().await;
            self.secrets.synced().await;
            let secret = self.secrets.get(&key);
            match plan(&key, &self.ingresses.in_namespace(&key.namespace), secret.as_deref(), self.clock.now()) {
                Plan::NotWanted | Plan::NotOurs => Ok(Outcome::Done),
                Plan::Wait(left) => Ok(Outcome::After(left)),
                Plan::TooManyNames(count) => {
                    self.tell(&key, "TooManyNames", &format!("{count} names are over the limit of {NAMES_MAX}"));
                    Ok(Outcome::Done)
                }
                Plan::Request(names) => self.request(&key, &names, secret.as_deref()).await,
            }
        })
    }
}
