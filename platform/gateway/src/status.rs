//! Tells each Ingress where it is answered.
use std::{net::IpAddr, sync::Arc};

use futures::future::BoxFuture;
use irori_client::{ApiError, Informer, Key, Outcome, ReconcileError, Reconciler};
use k8s_openapi::api::networking::v1::Ingress;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::table::is_ours;

/// Writes `status.loadBalancer` of our Ingresses where it differs.
pub struct StatusWriter {
    pub client: Client,
    pub ingresses: Informer<Ingress>,
    pub addresses: Vec<IpAddr>,
}

impl Reconciler for StatusWriter {
    fn name(&self) -> &'static str {
        "gateway-ingress-status"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, Result<Outcome, ReconcileError>> {
        Box::pin(async move {
            let Some(ingress) = self.ingresses.get(&key) else { return Ok(Outcome::Gone) };
            if !is_ours(&ingress) || self.said(&ingress) {
                return Ok(Outcome::Done);
            }
            let points: Vec<_> = self.addresses.iter().map(|ip| json!({"ip": ip.to_string()})).collect();
            let patch = json!({"status": {"loadBalancer": {"ingress": points}}});
            let api: Api<Ingress> = Api::namespaced(self.client.clone(), &key.namespace);
            match api.patch_status(&key.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
                Ok(_) => Ok(Outcome::Done),
                Err(source) if source.is_not_found() => Ok(Outcome::Gone),
                Err(source) => Err(source.into()),
            }
        })
    }
}

impl StatusWriter {
    fn said(&self, ingress: &Arc<Ingress>) -> bool {
        let points = ingress.status.as_ref().and_then(|s| s.load_balancer.as_ref()).and_then(|b| b.ingress.as_ref());
        let said: Vec<Option<IpAddr>> =
            points.into_iter().flatten().map(|p| p.ip.as_ref().and_then(|ip| ip.parse().ok())).collect();
        said.len() == self.addresses.len() && self.addresses.iter().all(|ip| said.contains(&Some(*ip)))
    }
}
