//! Amounts of what nodes have and pods ask for.
use std::collections::BTreeMap;

use irori_api::quantity::Quantity as Exact;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// cpu in thousandths, the others in bytes or pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    pub milli_cpu: i64,
    pub memory: i64,
    pub storage: i64,
    pub pods: i64,
    /// Whatever else a node offers: devices, huge pages.
    pub extended: BTreeMap<String, i64>,
}

impl Amounts {
    /// What is not a quantity counts as nothing (the API refuses it).
    pub fn of(list: &BTreeMap<String, Quantity>) -> Self {
        let mut amounts = Self::default();
        for (name, quantity) in list {
            let Ok(exact) = quantity.0.parse::<Exact>() else { continue };
            match name.as_str() {
                "cpu" => amounts.milli_cpu = exact.milli_value(),
                "memory" => amounts.memory = exact.value(),
                "ephemeral-storage" => amounts.storage = exact.value(),
                "pods" => amounts.pods = exact.value(),
                _ => drop(amounts.extended.insert(name.clone(), exact.value())),
            }
        }
        amounts
    }

    pub fn add(&mut self, other: &Self) {
        self.each(other, i64::saturating_add);
    }

    pub fn subtract(&mut self, other: &Self) {
        self.each(other, i64::saturating_sub);
        self.extended.retain(|_, amount| *amount != 0);
    }

    /// Of each, the greater.
    pub fn cover(&mut self, other: &Self) {
        self.each(other, i64::max);
    }

    fn each(&mut self, other: &Self, join: impl Fn(i64, i64) -> i64) {
        self.milli_cpu = join(self.milli_cpu, other.milli_cpu);
        self.memory = join(self.memory, other.memory);
        self.storage = join(self.storage, other.storage);
        self.pods = join(self.pods, other.pods);
        for (name, amount) in &other.extended {
            let own = self.extended.entry(name.clone()).or_default();
            *own = join(*own, *amount);
        }
    }
}
