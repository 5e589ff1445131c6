//! Linearizability: random operations of many clients, crashes in between, held against a model afterwards.
//!
//! Every commit has a revision, so the order of writes is known and the check is exact in one pass: a watch tells the commits in order,
//! which gives the state at every revision; each answer then has to be right at some revision between what was known to be over when the
//! operation began and what had happened when it ended.
//! Not here: lazy commits, which a crash may take back after they were read.
mod check;
mod clients;
mod faulty;
mod lives;

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use irori_runtime::{OnEnd, Shutdown, Tasks};

use self::clients::Client;
pub use self::{
    faulty::{Faulty, Planted},
    lives::{Lives, OnDisk, OnEtcd},
};
use super::Dice;
use crate::contract::*;

/// What the clients work on; all keys lie below it.
const PREFIX: &str = "l/";
/// Keys that all clients share, so that they meet.
const KEYS: usize = 12;
/// How long a watch may take for what is there already.
const FOLLOW_MAX: Duration = Duration::from_secs(60);
/// How long the clients of one life may take.
const LIFE_MAX: Duration = Duration::from_secs(600);

/// How much to do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub clients: usize,
    pub operations: u64,
    /// Crashes in between, half of them power cuts, half kills.
    pub crashes: u64,
    /// Chance repeats itself from it, as far as the threads' order allows.
    pub seed: u64,
    /// The negative control: what the store is made to do wrong.
    pub planted: Option<Planted>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub operations: u64,
    pub commits: u64,
    pub conflicts: u64,
    pub unanswered: u64,
    pub crashes: u64,
    /// Events that the watch told, over all restarts.
    pub events: u64,
    pub breaches: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operations, commits, conflicts, unanswered, crashes, events, breaches } = self;
        write!(
            f,
            "{operations} operations ({commits} commits, {conflicts} conflicts, {unanswered} unanswered), {crashes} crashes, {events} events: {} breaches",
            breaches.len()
        )
    }
}

/// A moment of the run; operations that overlap in it may have happened in either order.
type Moment = u64;

/// What a client asked and was told.
#[derive(Debug)]
struct Operation {
    began: Moment,
    /// `Moment::MAX`: never answered.
    ended: Moment,
    what: What,
}

#[derive(Debug)]
enum What {
    /// A key and what was found under it.
    Read {
        key: Key,
        found: Option<Seen>,
    },
    /// A list of all keys, as of a revision that the store named.
    Listed {
        at: Revision,
        found: Vec<(Key, Seen)>,
    },
    /// The same, of a revision that the client named.
    ListedPast {
        at: Revision,
        found: Vec<(Key, Seen)>,
    },
    Current(Revision),
    Committed {
        writes: Vec<Tried>,
        at: Revision,
    },
    /// Refused, because this was found under the key.
    Refused {
        writes: Vec<Tried>,
        key: Key,
        found: Option<Seen>,
    },
    /// Not carried out, for another reason than what was found.
    NotMade {
        writes: Vec<Tried>,
    },
    /// Nobody knows whether it happened.
    Unanswered {
        writes: Vec<Tried>,
    },
}

/// A value, told by its number (every value is written once), and the revision it is said to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    number: u64,
    revision: Revision,
}

impl Seen {
    fn of(entry: &Entry) -> Self {
        Self { number: number(&entry.value), revision: entry.revision }
    }
}

/// A write as a client sent it; no number is a deletion.
#[derive(Clone, Debug)]
struct Tried {
    key: Key,
    expect: Expect,
    number: Option<u64>,
}

/// The number that a value starts with; 0 is none that was ever written.
fn number(value: &[u8]) -> u64 {
    value.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// What all clients share.
struct Run {
    clock: AtomicU64,
    next_number: AtomicU64,
    done: Mutex<Vec<Operation>>,
}

impl Run {
    fn now(&self) -> Moment {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }
}

/// Runs the plan on the simulated disk and checks what came of it.
pub async fn run(plan: Plan) -> Report {
    run_on(&mut OnDisk::default(), plan).await
}

/// The same on any store that lives several times.
pub async fn run_on(lives: &mut dyn Lives, plan: Plan) -> Report {
    let run = Arc::new(Run { clock: AtomicU64::new(1), next_number: AtomicU64::new(1), done: Mutex::default() });
    let mut report = Report::default();
    let mut events: Vec<Event> = Vec::new();
    let mut dice = Dice(plan.seed);
    let each = plan.operations / (plan.crashes + 1) / plan.clients as u64;
    for life in 0..=plan.crashes {
        let store: Arc<dyn Store> = match lives.open(&mut dice).await {
            Ok(store) => Arc::new(Faulty::new(store, plan.planted, dice.roll())),
            Err(refused) => {
                report.breaches.push(format!("life {life}: {refused}"));
                break;
            }
        };
        let is_last = life == plan.crashes;
        let clients = Tasks::new(Shutdown::new());
        for _ in 0..plan.clients {
            let client = Client::new(store.clone(), run.clone(), Dice(dice.roll()));
            clients.spawn("client", OnEnd::Contained, async move {
                client.work(each).await;
                Ok::<(), StoreError>(())
            });
        }
        if !is_last {
            // It happens while all are at work, in the second half of their operations (each takes two moments).
            let due = run.now() + plan.clients as u64 * each * 3 / 2;
            while run.clock.load(Ordering::Relaxed) < due && !clients.list().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            lives.disturb(&mut dice);
        }
        let stuck = clients.drain(LIFE_MAX).await;
        if !stuck.is_empty() {
            report.breaches.push(format!("life {life}: {} clients wait for ever", stuck.len()));
            break;
        }
        if is_last {
            if let Err(failed) = store.close().await {
                report.breaches.push(format!("close: {failed}"));
            }
            break;
        }
        drop(store);
        report.crashes += 1;
        lives.end(&mut dice);
        // What the watch tells is taken in after each start, from where it was: history has to reach back over the crash.
        if let Err(breach) = follow(lives, &mut events, plan.planted, &mut dice).await {
            report.breaches.push(format!("life {life}: {breach}"));
            break;
        }
    }
    if let Err(breach) = follow(lives, &mut events, plan.planted, &mut dice).await {
        report.breaches.push(format!("after the last life: {breach}"));
    }
    let done = std::mem::take(&mut *run.done.lock().expect("no client panics"));
    report.operations = done.len() as u64;
    report.events = events.len() as u64;
    for operation in &done {
        match &operation.what {
            What::Committed { .. } => report.commits += 1,
            What::Refused { .. } => report.conflicts += 1,
            What::Unanswered { .. } => report.unanswered += 1,
            _ => {}
        }
    }
    report.breaches.extend(check::check(done, &events));
    report
}

/// Opens the store and takes in what happened since the last event. A life that only looks.
async fn follow(lives: &mut dyn Lives, events: &mut Vec<Event>, planted: Option<Planted>, dice: &mut Dice) -> Result<(), String> {
    let store: Arc<dyn Store> = Arc::new(Faulty::new(lives.look().await?, planted, dice.roll()));
    let newest = |events: &[Event]| events.last().map_or(Revision(0), |event| event.revision);
    let upto = store.range(Range { prefix: PREFIX.into(), ..Range::default() }).await.map_err(|e| e.to_string())?.revision;
    let following = async {
        loop {
            let after = newest(events);
            let mut watch = store.watch(PREFIX, after).await.map_err(|e| format!("watch after {after:?}: {e}"))?;
            loop {
                if watch.progress() >= upto {
                    return Ok(());
                }
                match futures::poll!(watch.next()) {
                    Poll::Ready(Ok(next)) => events.extend(next.iter().map(|event| Event::clone(event))),
                    // A line to etcd broke: whoever watches goes on from what it saw.
                    Poll::Ready(Err(WatchEnd::Lagged)) => break,
                    Poll::Ready(Err(end)) => return Err(format!("watch after {after:?}: {end}")),
                    Poll::Pending => tokio::task::yield_now().await,
                }
            }
        }
    };
    let followed = tokio::time::timeout(FOLLOW_MAX, following).await;
    let closed = store.close().await;
    followed.map_err(|_| "a watch does not reach what is there".to_owned())??;
    closed.map_err(|e| format!("close: {e}"))
}
