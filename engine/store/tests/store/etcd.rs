//! The store on etcd: the contract on one member and on three, and what only a store elsewhere meets.
mod access;
#[path = "../../../../tests/testkit/src/etcd.rs"]
#[allow(dead_code)]
mod cluster;
mod faults;
mod linear;
mod unfit;

use std::{ops::Deref, sync::Arc};

use irori_runtime::{Clock, Shutdown, SignedDuration, Tasks, Timestamp};
use irori_store::{EtcdSettings, EtcdStore, Store};

use self::cluster::Etcd;

/// A store, and the etcd that it stands on.
pub struct OnEtcd {
    store: Arc<EtcdStore>,
    _etcd: Etcd,
}

impl Deref for OnEtcd {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        &*self.store
    }
}

fn clock() -> Clock {
    Clock::system(Timestamp::UNIX_EPOCH, SignedDuration::ZERO)
}

fn settings(etcd: &Etcd) -> EtcdSettings {
    EtcdSettings::at(etcd.endpoints(), "/irori/test", clock())
}

async fn open(settings: EtcdSettings) -> Arc<EtcdStore> {
    EtcdStore::open(settings, &Tasks::new(Shutdown::new())).await.expect("the store opens")
}

async fn fresh_on(etcd: Etcd) -> OnEtcd {
    OnEtcd { store: open(settings(&etcd)).await, _etcd: etcd }
}

mod one_member {
    async fn fresh() -> super::OnEtcd {
        super::fresh_on(super::Etcd::single()).await
    }

    crate::contract::contract_suite!(fresh);
}

mod three_members {
    async fn fresh() -> super::OnEtcd {
        super::fresh_on(super::Etcd::three()).await
    }

    crate::contract::contract_suite!(fresh);
}

/// A ring of no length: every watch that resumes asks etcd for the past.
mod without_a_ring {
    async fn fresh() -> super::OnEtcd {
        let etcd = super::Etcd::single();
        let settings = super::EtcdSettings { ring_events_max: 0, ..super::settings(&etcd) };
        super::OnEtcd { store: super::open(settings).await, _etcd: etcd }
    }

    crate::contract::contract_suite!(fresh);
}
