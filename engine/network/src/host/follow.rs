//! Uplinks that come later: a cable, a Wi-Fi, an address by DHCP after a start without one.
use std::time::Duration;

use futures::{FutureExt, StreamExt, future::BoxFuture};
use irori_client::{Backoff, Key, Loop, Outcome, ReconcileError, Reconciler};
use irori_runtime::Tasks;

use super::{HostError, switches, uplink};
use crate::{
    Settings,
    netlink::{NetlinkError, events, route::RouteSocket},
};

const BACKOFF: Backoff = Backoff { first: Duration::from_millis(500), max: Duration::from_secs(60) };

/// Keeps forwarding on for whatever interface is an uplink, until shutdown. [`super::prepare`] comes first.
pub fn follow(settings: Settings, tasks: &Tasks) -> Result<(), NetlinkError> {
    let triggers = events::links_and_routes()?.map(|_| Key::cluster("uplinks"));
    Loop { workers: 1, backoff: BACKOFF }.run(Uplinks { settings }, triggers, tasks);
    Ok(())
}

struct Uplinks {
    settings: Settings,
}

impl Reconciler for Uplinks {
    fn name(&self) -> &'static str {
        "uplinks"
    }

    fn reconcile(&self, _all: Key) -> BoxFuture<'_, Result<Outcome, ReconcileError>> {
        async {
            let forward = || -> Result<(), HostError> {
                let uplinks = uplink::find(&mut RouteSocket::open()?, &self.settings)?;
                switches::set(&self.settings, &uplinks)
            };
            forward().map_err(|e| ReconcileError::other("switch forwarding on for uplinks", e))?;
            Ok(Outcome::Done)
        }
        .boxed()
    }
}
