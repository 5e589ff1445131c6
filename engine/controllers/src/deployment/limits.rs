//! How far a rollout may stray from the wanted number of pods
//! (https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#rolling-update-deployment).
use k8s_openapi::api::apps::v1::Deployment;

use crate::percent::{Rounding, resolve};

/// The numbers that a deployment's strategy comes down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub replicas: i32,
    /// Pods above `replicas`.
    pub surge: i32,
    /// Pods below `replicas` that need not be available.
    pub unavailable: i32,
}

impl Limits {
    pub fn of(deployment: &Deployment) -> Self {
        let spec = deployment.spec.as_ref();
        let replicas = spec.and_then(|spec| spec.replicas).unwrap_or(1).max(0);
        if is_recreate(deployment) {
            return Self { replicas, surge: 0, unavailable: 0 };
        }
        let rolling = spec.and_then(|spec| spec.strategy.as_ref()?.rolling_update.as_ref());
        let surge = resolve(rolling.and_then(|rolling| rolling.max_surge.as_ref()), replicas, Rounding::Up);
        let unavailable = resolve(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()), replicas, Rounding::Down);
        // Both may round to nothing, and nothing could ever move then.
        let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
        Self { replicas, surge, unavailable: unavailable.min(replicas) }
    }

    /// Pods that there may be at once.
    pub fn most(self) -> i32 {
        self.replicas.saturating_add(self.surge)
    }

    /// Pods that have to be available.
    pub fn least(self) -> i32 {
        self.replicas - self.unavailable
    }
}

pub fn is_recreate(deployment: &Deployment) -> bool {
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate")
}
