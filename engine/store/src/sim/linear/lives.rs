//! What is under the clients: the embedded store on a disk that fails, or etcd with members that die.
use std::sync::Arc;

use irori_runtime::{Shutdown, Tasks};

use crate::{
    contract::Store,
    embedded::{EmbeddedStore, Settings},
    etcd::{EtcdSettings, EtcdStore},
    sim::{Dice, SimDisk},
};

/// A store that lives several times, with something going wrong in each life but the last.
#[async_trait::async_trait]
pub trait Lives: Send {
    /// Opens the store for the clients.
    async fn open(&mut self, dice: &mut Dice) -> Result<Arc<dyn Store>, String>;
    /// Opens it to see what happened.
    async fn look(&mut self) -> Result<Arc<dyn Store>, String>;
    /// Something goes wrong while all are at work.
    fn disturb(&mut self, dice: &mut Dice);
    /// A life is over, its clients and its store are gone.
    fn end(&mut self, dice: &mut Dice);
}

/// The embedded store: the power is cut, or its process killed.
#[derive(Default)]
pub struct OnDisk(SimDisk);

#[async_trait::async_trait]
impl Lives for OnDisk {
    async fn open(&mut self, dice: &mut Dice) -> Result<Arc<dyn Store>, String> {
        let settings = Settings {
            segment_bytes: 40_000 + dice.below(300_000) as u64,
            snapshot_bytes_min: 80_000 + dice.below(600_000) as u64,
            ring_events_max: [0, 100, 8_192][dice.below(3)],
            ..Settings::on(Arc::new(self.0.clone()))
        };
        open(settings)
    }

    async fn look(&mut self) -> Result<Arc<dyn Store>, String> {
        open(Settings::on(Arc::new(self.0.clone())))
    }

    fn disturb(&mut self, dice: &mut Dice) {
        let calls = 1 + dice.below(20) as u64;
        self.0.set_faults(|faults| faults.power_fails_after = Some(calls));
    }

    fn end(&mut self, dice: &mut Dice) {
        self.0 = if dice.below(2) == 0 { self.0.power_cut(dice.roll()) } else { self.0.kill() };
    }
}

fn open(settings: Settings) -> Result<Arc<dyn Store>, String> {
    let opened = EmbeddedStore::open(settings, &Tasks::new(Shutdown::new()));
    opened.map(|store| store as Arc<dyn Store>).map_err(|refused| refused.to_string())
}

/// The store on etcd: what befalls its members is for the caller to do, and over when that returns.
pub struct OnEtcd<'a> {
    pub settings: &'a (dyn Fn() -> EtcdSettings + Sync),
    pub disturb: &'a mut (dyn FnMut(&mut Dice) + Send),
}

#[async_trait::async_trait]
impl Lives for OnEtcd<'_> {
    async fn open(&mut self, _: &mut Dice) -> Result<Arc<dyn Store>, String> {
        self.look().await
    }

    async fn look(&mut self) -> Result<Arc<dyn Store>, String> {
        let opened = EtcdStore::open((self.settings)(), &Tasks::new(Shutdown::new())).await;
        opened.map(|store| store as Arc<dyn Store>).map_err(|refused| refused.to_string())
    }

    fn disturb(&mut self, dice: &mut Dice) {
        // Clients go on meanwhile, on the other threads.
        tokio::task::block_in_place(|| (self.disturb)(dice));
    }

    fn end(&mut self, _: &mut Dice) {}
}
