use super::*;
use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::{Notify, Semaphore, mpsc};

const QUICK: Backoff = Backoff { first: Duration::from_millis(5), max: Duration::from_millis(40) };
const DEADLINE: Duration = Duration::from_secs(10);

/// Reports each start, then waits for a permit, then answers from a script ("Done" where that is empty).
#[derive(Default)]
struct Probe {
    starts: Mutex<Vec<(Key, std::time::Instant)>>,
    started: Notify,
    at_once: AtomicUsize,
    at_once_max: AtomicUsize,
    same_key_at_once: AtomicUsize,
    running: Mutex<HashSet<Key>>,
    script: Mutex<VecDeque<Result<Outcome, ReconcileError>>>,
}

struct Gated(Arc<Probe>, Arc<Semaphore>);

impl Reconciler for Gated {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, Result<Outcome, ReconcileError>> {
        async move {
            let probe = &self.0;
            if !probe.running.lock().unwrap().insert(key.clone()) {
                probe.same_key_at_once.fetch_add(1, Ordering::SeqCst);
            }
            let now = probe.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            probe.at_once_max.fetch_max(now, Ordering::SeqCst);
            probe.starts.lock().unwrap().push((key.clone(), std::time::Instant::now()));
            probe.started.notify_waiters();
            self.1.acquire().await.unwrap().forget();
            probe.at_once.fetch_sub(1, Ordering::SeqCst);
            probe.running.lock().unwrap().remove(&key);
            probe.script.lock().unwrap().pop_front().unwrap_or(Ok(Outcome::Done))
        }
        .boxed()
    }
}

struct Bench {
    probe: Arc<Probe>,
    permits: Arc<Semaphore>,
    send: mpsc::UnboundedSender<Key>,
    tasks: Tasks,
}

impl Bench {
    fn start(workers: usize, backoff: Backoff) -> Self {
        let tasks = Tasks::new(Shutdown::new());
        let (send, mut receive) = mpsc::unbounded_channel();
        let (probe, permits) = (Arc::new(Probe::default()), Arc::new(Semaphore::new(0)));
        let triggers = stream::poll_fn(move |cx| receive.poll_recv(cx));
        Loop { workers, backoff }.run(Gated(probe.clone(), permits.clone()), triggers, &tasks);
        Self { probe, permits, send, tasks }
    }

    fn trigger(&self, name: &str) {
        self.send.send(Key::cluster(name)).unwrap();
    }

    async fn starts(&self, count: usize) -> Vec<(String, std::time::Instant)> {
        let wait = async {
            loop {
                let started = self.probe.started.notified();
                let starts: Vec<_> = self.probe.starts.lock().unwrap().iter().map(|(key, at)| (key.name.clone(), *at)).collect();
                if starts.len() >= count {
                    return starts;
                }
                started.await;
            }
        };
        tokio::time::timeout(DEADLINE, wait).await.expect("reconciles start in time")
    }

    fn fail_next(&self, times: usize) {
        let mut script = self.probe.script.lock().unwrap();
        script.extend((0..times).map(|_| Err(ReconcileError::other("fail as told", "a test"))));
    }
}

#[tokio::test]
async fn a_key_is_never_reconciled_twice_at_once() {
    let bench = Bench::start(8, QUICK);
    for round in 0..50 {
        bench.trigger("a");
        bench.trigger(if round % 2 == 0 { "b" } else { "c" });
    }
    bench.starts(3).await;
    bench.permits.add_permits(3);
    bench.trigger("a");
    bench.starts(4).await;
    bench.permits.add_permits(1000);
    bench.tasks.shutdown().start();
    assert!(bench.tasks.drain(DEADLINE).await.is_empty());
    assert_eq!(bench.probe.same_key_at_once.load(Ordering::SeqCst), 0);
    assert!(bench.probe.at_once_max.load(Ordering::SeqCst) >= 3, "different keys do run at once");
}

#[tokio::test]
async fn a_change_during_reconcile_runs_it_again() {
    let bench = Bench::start(2, QUICK);
    bench.trigger("a");
    bench.starts(1).await;
    bench.trigger("a");
    bench.trigger("a");
    bench.trigger("marker"); // taken from the same stream after both
    bench.starts(2).await;
    bench.permits.add_permits(2);
    let starts = bench.starts(3).await;
    assert_eq!(starts[2].0, "a");
    bench.permits.add_permits(1);
    bench.trigger("end");
    let starts = bench.starts(4).await;
    assert_eq!(starts[3].0, "end", "two changes during one run are one more run");
}

#[tokio::test]
async fn failures_back_off_per_key() {
    let bench = Bench::start(1, Backoff { first: Duration::from_millis(20), max: Duration::from_millis(80) });
    bench.permits.add_permits(1000);
    bench.fail_next(3);
    bench.trigger("bad");
    let starts = bench.starts(4).await;
    let gaps: Vec<_> = starts.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
    for (gap, least) in gaps.iter().zip([20, 40, 80]) {
        assert!(*gap >= Duration::from_millis(least), "waited {gap:?}, at least {least} ms expected");
    }
}

#[tokio::test]
async fn a_key_in_backoff_does_not_hold_up_another() {
    let bench = Bench::start(1, Backoff { first: Duration::from_secs(3600), max: Duration::from_secs(3600) });
    bench.permits.add_permits(1000);
    bench.fail_next(1);
    bench.trigger("bad");
    bench.starts(1).await;
    bench.trigger("good");
    assert_eq!(bench.starts(2).await[1].0, "good");
}

#[tokio::test]
async fn a_change_ends_the_wait_of_a_failed_key() {
    let bench = Bench::start(1, Backoff { first: Duration::from_secs(3600), max: Duration::from_secs(3600) });
    bench.permits.add_permits(1000);
    bench.fail_next(1);
    bench.trigger("bad");
    bench.starts(1).await;
    bench.trigger("bad");
    assert_eq!(bench.starts(2).await[1].0, "bad");
}

#[tokio::test]
async fn a_success_that_asks_for_it_is_looked_at_again_later() {
    let bench = Bench::start(1, QUICK);
    bench.permits.add_permits(1000);
    bench.probe.script.lock().unwrap().push_back(Ok(Outcome::After(Duration::from_millis(30))));
    bench.trigger("a");
    let starts = bench.starts(2).await;
    assert!(starts[1].1 - starts[0].1 >= Duration::from_millis(30));
}

#[tokio::test]
async fn no_more_run_at_once_than_there_are_workers() {
    let bench = Bench::start(2, QUICK);
    for name in ["a", "b", "c", "d", "e"] {
        bench.trigger(name);
    }
    bench.starts(2).await;
    bench.permits.add_permits(5);
    bench.starts(5).await;
    assert_eq!(bench.probe.at_once_max.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn shutdown_waits_for_what_runs_and_starts_nothing_new() {
    let bench = Bench::start(1, QUICK);
    bench.trigger("running");
    bench.trigger("waiting");
    bench.starts(1).await;
    bench.tasks.shutdown().start();
    assert_eq!(bench.tasks.drain(Duration::from_millis(50)).await, ["probe"], "it waits");
    let bench = Bench::start(1, QUICK);
    bench.trigger("running");
    bench.trigger("waiting");
    bench.starts(1).await;
    bench.tasks.shutdown().start();
    tokio::task::yield_now().await;
    bench.permits.add_permits(1);
    assert!(bench.tasks.drain(DEADLINE).await.is_empty());
    assert_eq!(bench.probe.starts.lock().unwrap().len(), 1);
}
