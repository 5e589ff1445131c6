//! Pods that wait for a node: by priority, then by age; after a failure not before its backoff is over and something changed.
use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    ops::BitOr,
    sync::Arc,
    time::{Duration, Instant},
};

use irori_client::{Backoff, Key};

use crate::pod::Wants;

const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), max: Duration::from_secs(10) };

/// Kinds of changes that may help a pod that found no node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wake(u8);

impl Wake {
    /// A node came, or offers something else than before.
    pub const NODES: Self = Self(1);
    /// A pod left its node.
    pub const FREED: Self = Self(2);
    /// A pod came onto a node, or changed there.
    pub const PODS: Self = Self(4);

    fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Wake {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a message is to those that read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    First,
    Changed,
}

/// The waiting pods. Holds no clock: the present is an argument.
#[derive(Debug, Default)]
pub struct Queue {
    pods: HashMap<Key, Waiting>,
    /// Ready to be tried, most urgent first.
    ready: BTreeSet<(Reverse<i32>, u64, Key)>,
    /// Ready at a time.
    later: BTreeSet<(Instant, Key)>,
    arrivals: u64,
}

#[derive(Debug)]
struct Waiting {
    wants: Arc<Wants>,
    arrival: u64,
    failures: u32,
    state: State,
    /// What was last told of it.
    told: Option<String>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Ready,
    Later(Instant),
    /// Until one of these happens; then not before the time.
    Parked(Wake, Instant),
    /// Taken out to be tried or bound.
    Taken,
}

impl Queue {
    /// A pod that came or changed what it wants; the same as before changes nothing.
    pub fn put(&mut self, wants: Arc<Wants>) {
        let key = wants.key.clone();
        if self.pods.get(&key).is_some_and(|known| known.wants == wants) {
            return;
        }
        self.remove(&key);
        self.arrivals += 1;
        let waiting = Waiting { wants, arrival: self.arrivals, failures: 0, state: State::Ready, told: None };
        self.ready.insert((Reverse(waiting.wants.priority), waiting.arrival, key.clone()));
        self.pods.insert(key, waiting);
    }

    /// A pod that is gone or has a node.
    pub fn remove(&mut self, key: &Key) {
        if let Some(waiting) = self.pods.remove(key) {
            self.unlist(key, &waiting);
        }
    }

    fn unlist(&mut self, key: &Key, waiting: &Waiting) {
        match waiting.state {
            State::Ready => drop(self.ready.remove(&(Reverse(waiting.wants.priority), waiting.arrival, key.clone()))),
            State::Later(time) => drop(self.later.remove(&(time, key.clone()))),
            State::Parked(..) | State::Taken => {}
        }
    }

    /// The most urgent pod that is ready. It stays known until it is removed.
    pub fn take(&mut self) -> Option<Arc<Wants>> {
        let (_, _, key) = self.ready.pop_first()?;
        let waiting = self.pods.get_mut(&key)?;
        waiting.state = State::Taken;
        Some(waiting.wants.clone())
    }

    /// No node took the pod: it waits for a change that may help.
    pub fn park(&mut self, key: &Key, wake: Wake, now: Instant) {
        self.fail(key, |wait| State::Parked(wake, now + wait));
    }

    /// Something went wrong that has nothing to do with nodes: again after the backoff.
    pub fn retry(&mut self, key: &Key, now: Instant) {
        self.fail(key, |wait| State::Later(now + wait));
    }

    fn fail(&mut self, key: &Key, state: impl FnOnce(Duration) -> State) {
        let Some(waiting) = self.pods.get_mut(key) else { return };
        let state = state(BACKOFF.wait(waiting.failures));
        waiting.failures = waiting.failures.saturating_add(1);
        self.set(key, state);
    }

    fn set(&mut self, key: &Key, state: State) {
        let Some(mut waiting) = self.pods.remove(key) else { return };
        self.unlist(key, &waiting);
        waiting.state = state;
        match state {
            State::Ready => drop(self.ready.insert((Reverse(waiting.wants.priority), waiting.arrival, key.clone()))),
            State::Later(time) => drop(self.later.insert((time, key.clone()))),
            State::Parked(..) | State::Taken => {}
        }
        self.pods.insert(key.clone(), waiting);
    }

    /// Notes what is to be told of a pod; `None`: that was told already.
    pub fn tell(&mut self, key: &Key, message: &str) -> Option<News> {
        let told = &mut self.pods.get_mut(key)?.told;
        if told.as_deref() == Some(message) {
            return None;
        }
        let news = if told.is_none() { News::First } else { News::Changed };
        *told = Some(message.to_owned());
        Some(news)
    }

    /// Something changed: those that it may help become ready, or will when their backoff is over.
    pub fn wake(&mut self, wake: Wake, now: Instant) {
        let helped: Vec<_> = self
            .pods
            .iter()
            .filter_map(|(key, waiting)| match waiting.state {
                State::Parked(by, time) if by.meets(wake) => Some((key.clone(), time)),
                _ => None,
            })
            .collect();
        for (key, time) in helped {
            self.set(&key, if time <= now { State::Ready } else { State::Later(time) });
        }
    }

    /// When the next pod becomes ready by time alone.
    pub fn next_due(&self) -> Option<Instant> {
        self.later.first().map(|(time, _)| *time)
    }

    /// Makes those ready whose time has come.
    pub fn due(&mut self, now: Instant) {
        while let Some((_, key)) = self.later.first().cloned().filter(|(time, _)| *time <= now) {
            self.set(&key, State::Ready);
        }
    }

    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }
}

#[cfg(test)]
mod tests;
