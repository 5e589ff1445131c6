//! Holds every answer against the commits that the watch told.
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
};

use super::{Moment, Operation, Seen, Tried, What, number};
use crate::contract::{Event, Expect, Key, Revision};

/// Breaches that are told; more of them say nothing new.
const BREACHES_MAX: usize = 20;

/// What the watch told: what was under each key from which revision on.
#[derive(Default)]
struct Model {
    versions: HashMap<Key, Vec<(Revision, Option<u64>)>>,
    /// The writes of each commit.
    commits: BTreeMap<Revision, Vec<(Key, Option<u64>)>>,
    /// When the operation that made a commit began.
    began: BTreeMap<Revision, Moment>,
    breaches: Vec<String>,
}

/// Every breach of linearizability, in words.
pub fn check(mut done: Vec<Operation>, events: &[Event]) -> Vec<String> {
    let mut model = Model::default();
    events.iter().for_each(|event| model.take(event));
    let numbers: HashMap<u64, Revision> =
        model.commits.iter().flat_map(|(at, writes)| writes.iter().filter_map(|(_, number)| Some(((*number)?, *at)))).collect();
    done.sort_by_key(|operation| operation.began);
    // Answered commits first: a deletion that nobody answered may only be one that nobody else made.
    let (unanswered, answered): (Vec<_>, Vec<_>) =
        done.iter().partition(|operation| matches!(operation.what, What::Unanswered { .. }));
    answered.into_iter().chain(unanswered).for_each(|operation| model.attribute(operation, &numbers));
    model.unattributed();
    // Operations that are over when another begins come before it: `reached` is the newest revision that any of them saw or made.
    let (mut running, mut reached) = (BinaryHeap::new(), Revision(0));
    for operation in &done {
        while let Some(Reverse((ended, at))) = running.peek().copied()
            && ended < operation.began
        {
            running.pop();
            reached = reached.max(at);
        }
        match model.place(operation, reached, &numbers) {
            Ok(at) => {
                if let Some((newest, began)) = model.began.range(..=at).next_back()
                    && *began > operation.ended
                {
                    model.breaches.push(format!("{operation:?} saw {newest:?}, which began later"));
                }
                running.push(Reverse((operation.ended, at)));
            }
            Err(why) => model.breaches.push(format!("{why}, {reached:?} being over before: {operation:?}")),
        }
        if model.breaches.len() >= BREACHES_MAX {
            break;
        }
    }
    model.breaches
}

impl Model {
    /// Events have to come in order, each following what was told before.
    fn take(&mut self, event: &Event) {
        let newest = self.commits.last_key_value().map_or(Revision(0), |(at, _)| *at);
        let versions = self.versions.entry(event.key.clone()).or_default();
        let before = versions.last().and_then(|(at, number)| number.map(|number| Seen { number, revision: *at }));
        let told = event.previous.as_ref().map(Seen::of);
        if event.revision < newest || versions.last().is_some_and(|(at, _)| *at >= event.revision) || before != told {
            let why = format!("the watch: `{}` at {:?} tells {told:?} before it, after {before:?}", event.key, event.revision);
            self.breaches.push(why);
        }
        let number = event.value.as_ref().map(|value| number(value));
        versions.push((event.revision, number));
        self.commits.entry(event.revision).or_default().push((event.key.clone(), number));
    }

    /// Finds out which commits an operation made.
    fn attribute(&mut self, operation: &Operation, numbers: &HashMap<u64, Revision>) {
        let at = match &operation.what {
            What::Committed { at, .. } => Some(*at),
            What::Unanswered { writes } => self.made_by(writes, numbers),
            _ => None,
        };
        if let Some(at) = at
            && let Some(other) = self.began.insert(at, operation.began)
        {
            self.breaches.push(format!("{at:?} was made twice, at {other} and by {operation:?}"));
        }
    }

    /// The commit of these writes, if it happened.
    fn made_by(&self, writes: &[Tried], numbers: &HashMap<u64, Revision>) -> Option<Revision> {
        let first = writes.first()?;
        match (writes.iter().find_map(|write| write.number), first.expect) {
            (Some(number), _) => numbers.get(&number).copied(),
            // A deletion has no number of its own: it is the end of the version that it expected, unless somebody else was told so.
            (None, Expect::At(expected)) => {
                let versions = self.versions.get(&first.key)?;
                let at = versions.iter().skip_while(|(at, _)| *at <= expected).map(|(at, _)| *at).next()?;
                let is_it = self.writes_match(at, writes) && !self.began.contains_key(&at);
                is_it.then_some(at)
            }
            (None, Expect::Absent) => None,
        }
    }

    fn unattributed(&mut self) {
        let nobody = self.commits.iter().filter(|(at, _)| !self.began.contains_key(at));
        let told: Vec<String> = nobody.map(|(at, writes)| format!("nobody made {at:?}: {writes:?}")).collect();
        self.breaches.extend(told);
    }

    /// The revision at which an operation took place: the earliest that its answer allows.
    fn place(
        &self,
        operation: &Operation,
        reached: Revision,
        numbers: &HashMap<u64, Revision>,
    ) -> Result<Revision, &'static str> {
        match &operation.what {
            What::Read { key, found } => self.seen(key, *found, reached).ok_or("no such value was there"),
            What::Listed { at, found } => match self.is_state(*at, found) {
                true if *at >= reached => Ok(*at),
                true => Err("the list is stale"),
                false => Err("the list shows another state"),
            },
            What::ListedPast { at, found } => match self.is_state(*at, found) {
                true => Ok(reached.max(*at)),
                false => Err("the list shows another state"),
            },
            What::Current(at) if *at >= reached => Ok(*at),
            What::Current(_) => Err("the current revision is stale"),
            What::Committed { writes, at } => self.committed(writes, *at, reached),
            What::Refused { writes, key, found } => {
                let holds = |write: &Tried| match (write.expect, found) {
                    (Expect::Absent, None) => true,
                    (Expect::At(expected), Some(seen)) => seen.revision == expected,
                    _ => false,
                };
                if !writes.iter().any(|write| write.key == *key && !holds(write)) {
                    return Err("refused, though what was expected is what was found");
                }
                if writes.iter().filter_map(|write| write.number).any(|number| numbers.contains_key(&number)) {
                    return Err("refused, and carried out");
                }
                self.seen(key, *found, reached).ok_or("no such value was there")
            }
            What::NotMade { writes }
                if writes.iter().filter_map(|write| write.number).any(|number| numbers.contains_key(&number)) =>
            {
                Err("said not to be made, and carried out")
            }
            What::NotMade { .. } => Ok(reached),
            What::Unanswered { writes } => match self.made_by(writes, numbers) {
                Some(at) if writes.iter().any(|write| write.number.is_some()) => self.committed(writes, at, reached),
                _ => Ok(reached),
            },
        }
    }

    fn committed(&self, writes: &[Tried], at: Revision, reached: Revision) -> Result<Revision, &'static str> {
        if !self.writes_match(at, writes) {
            return Err("the watch tells other writes of that revision");
        }
        let held = |write: &Tried| match (write.expect, self.before(&write.key, at)) {
            (Expect::Absent, None) => true,
            (Expect::At(expected), Some((revision, _))) => revision == expected,
            _ => false,
        };
        if !writes.iter().all(held) {
            return Err("committed, though what was expected was not there");
        }
        if at > reached { Ok(at) } else { Err("committed at a revision that was over before") }
    }

    fn writes_match(&self, at: Revision, writes: &[Tried]) -> bool {
        let Some(told) = self.commits.get(&at) else { return false };
        let is_told = |write: &Tried| told.iter().any(|(key, number)| *key == write.key && *number == write.number);
        told.len() == writes.len() && writes.iter().all(is_told)
    }

    /// What was under a key just before a revision.
    fn before(&self, key: &Key, at: Revision) -> Option<(Revision, u64)> {
        let versions = self.versions.get(key)?;
        let end = versions.partition_point(|(revision, _)| *revision < at);
        let (revision, number) = versions.get(end.checked_sub(1)?)?;
        number.map(|number| (*revision, number))
    }

    /// The earliest revision from `reached` on at which this was under the key.
    fn seen(&self, key: &Key, found: Option<Seen>, reached: Revision) -> Option<Revision> {
        let none = Vec::new();
        let versions = self.versions.get(key).unwrap_or(&none);
        match found {
            Some(seen) => {
                let at = versions.iter().position(|(at, number)| *at == seen.revision && *number == Some(seen.number))?;
                let over = versions.get(at + 1).is_some_and(|(next, _)| *next <= reached);
                (!over).then(|| reached.max(seen.revision))
            }
            None => {
                let next = versions.partition_point(|(at, _)| *at <= reached);
                match next.checked_sub(1).map(|last| versions[last].1) {
                    None | Some(None) => Some(reached),
                    Some(Some(_)) => versions[next..].iter().find(|(_, number)| number.is_none()).map(|(at, _)| *at),
                }
            }
        }
    }

    fn is_state(&self, at: Revision, found: &[(Key, Seen)]) -> bool {
        let after = Revision(at.0 + 1);
        let there = self.versions.keys().filter(|key| self.before(key, after).is_some()).count();
        let is_there = |(key, seen): &(Key, Seen)| self.before(key, after) == Some((seen.revision, seen.number));
        there == found.len() && found.iter().all(is_there)
    }
}
