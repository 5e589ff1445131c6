//! Watches whose connection is cut, again and again, by the network and by kill -9 of the server, while writers write.
use std::{
    collections::BTreeMap,
    io,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::ScopedJoinHandle,
    time::{Duration, Instant},
};

use irori_testkit::{
    Api, binary,
    client::{Answer, Client, Cut, Door},
};
use serde_json::{Value, json};

const COLLECTION: &str = "/api/v1/namespaces/default/configmaps";
/// The last object that is written.
const LAST: &str = "last";
const WATCHERS: usize = 3;
const WRITERS: usize = 4;
const OBJECTS_EACH: usize = 3;
/// Of each watcher's connection.
const CUTS_EACH: u32 = 100;
const KILLS: u32 = 8;
const WHOLE_MAX: Duration = Duration::from_secs(90);

/// What happened to an object: a content at a revision, or its deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Written { content: String, revision: u64 },
    Deleted,
}

/// Steps of each object in order.
type Story = BTreeMap<String, Vec<Step>>;

struct World {
    /// Where the API is now; `None` while it is dead.
    door: Mutex<Option<Door>>,
    writing: AtomicBool,
    deadline: Instant,
    /// Where each watcher can be cut.
    cuts: Mutex<Vec<Option<Cut>>>,
    bookmarks: AtomicU32,
}

impl World {
    fn door(&self) -> Door {
        loop {
            assert!(Instant::now() < self.deadline, "the test does not come to its end");
            if let Some(door) = lock(&self.door).clone() {
                return door;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder panics")
}

/// No gap, no duplicate, the right order: what each watcher was told over its many connections is exactly what was written.
#[test]
fn watches_resume_without_gap_or_duplicate_over_a_hundred_cuts_each() {
    let mut api = Api::up(&binary());
    let start = revision_of(&api.door().client().get(COLLECTION).unwrap().json());
    let world = World {
        door: Mutex::new(Some(api.door())),
        writing: AtomicBool::new(true),
        deadline: Instant::now() + WHOLE_MAX,
        cuts: Mutex::new((0..WATCHERS).map(|_| None).collect()),
        bookmarks: AtomicU32::new(0),
    };
    let (mut stories, mut written) = (Vec::new(), Story::new());
    std::thread::scope(|scope| {
        let watchers: Vec<_> = (0..WATCHERS)
            .map(|number| {
                let world = &world;
                scope.spawn(move || Watcher::new(world, number, start).run())
            })
            .collect();
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| {
                let world = &world;
                scope.spawn(move || write(world, number))
            })
            .collect();
        // Writers end whatever happens here: the scope waits for them.
        let writing = Writing(&world);
        let cuts = cut_and_kill(&world, &mut api, &|| watchers.iter().any(ScopedJoinHandle::is_finished));
        drop(writing);
        for writer in writers {
            written.extend(writer.join().expect("a writer's view holds"));
        }
        let last = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": LAST}});
        assert_eq!(api.door().client().send("POST", COLLECTION, &last).unwrap().status, 201);
        for (watcher, cuts) in watchers.into_iter().zip(cuts) {
            let (story, reconnects) = watcher.join().expect("a watcher's view holds");
            assert!(cuts >= CUTS_EACH && reconnects >= CUTS_EACH, "cut {cuts} times, connected anew {reconnects} times");
            stories.push(story);
        }
    });
    let steps: usize = written.values().map(Vec::len).sum();
    println!("{steps} writes, {} bookmarks, {KILLS} kills", world.bookmarks.load(Ordering::Relaxed));
    assert!(steps > 500, "only {steps} writes");
    for story in &stories {
        compare(&written, story);
    }
    // The comparison can fail: a story without one of its steps is another story.
    let mut gap = written.clone();
    gap.values_mut().max_by_key(|steps| steps.len()).unwrap().remove(1);
    assert_ne!(gap, stories[0]);
    api.expect_clean_log();
}

fn compare(written: &Story, told: &Story) {
    for (name, steps) in written {
        let told = told.get(name).map_or(&[][..], Vec::as_slice);
        if let Some(at) = (0..steps.len().max(told.len())).find(|at| steps.get(*at) != told.get(*at)) {
            panic!("`{name}`, step {at}: written {:?}, told {:?}", steps.get(at), told.get(at));
        }
    }
    assert_eq!(written.len(), told.len());
}

/// As long as it is there, writers write.
struct Writing<'a>(&'a World);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.writing.store(false, Ordering::Relaxed);
    }
}

/// Cuts connections in turn, and kills the server now and then, until a watcher has failed. Returns how often each was cut.
fn cut_and_kill(world: &World, api: &mut Api, has_failed: &dyn Fn() -> bool) -> Vec<u32> {
    let mut cuts = vec![0; WATCHERS];
    let mut kills = 0;
    while !has_failed() && (cuts.iter().any(|cuts| *cuts < CUTS_EACH) || kills < KILLS) {
        assert!(Instant::now() < world.deadline, "cut {cuts:?} times, killed {kills} times");
        for (number, cuts) in cuts.iter_mut().enumerate() {
            std::thread::sleep(Duration::from_millis(15));
            if let Some(cut) = lock(&world.cuts)[number].take() {
                cut.now();
                *cuts += 1;
            }
        }
        if kills < KILLS && cuts[0] >= kills * CUTS_EACH / KILLS {
            *lock(&world.door) = None;
            api.kill();
            api.start();
            *lock(&world.door) = Some(api.door());
            kills += 1;
        }
    }
    cuts
}

/// Creates, changes and deletes objects of its own. Returns what has taken place, also where an answer was lost.
fn write(world: &World, number: usize) -> Story {
    let mut story = Story::new();
    let mut client = world.door().client();
    let mut count = 0_usize;
    while world.writing.load(Ordering::Relaxed) {
        count += 1;
        let name = format!("w{number}-{}", count % OBJECTS_EACH);
        let steps = story.entry(name.clone()).or_default();
        let content = format!("{number}-{count}");
        let done = match steps.last() {
            Some(Step::Written { .. }) if count.is_multiple_of(7) => delete(&mut client, &name),
            Some(Step::Written { .. }) => put(&mut client, "PUT", &format!("{COLLECTION}/{name}"), &name, &content),
            _ => put(&mut client, "POST", COLLECTION, &name, &content),
        };
        let step = match done {
            Ok(step) => Some(step),
            Err(_) => {
                let (anew, found) = find_out(world, &name);
                client = anew;
                let before = steps.last().filter(|step| **step != Step::Deleted);
                (found.as_ref() != before).then(|| found.unwrap_or(Step::Deleted))
            }
        };
        steps.extend(step);
    }
    story.retain(|_, steps| !steps.is_empty());
    story
}

/// What an object is after an answer was lost.
fn find_out(world: &World, name: &str) -> (Client, Option<Step>) {
    loop {
        let mut client = world.door().client();
        match client.get(&format!("{COLLECTION}/{name}")) {
            Ok(answer) if answer.status == 404 => return (client, None),
            Ok(answer) => return (client, Some(written(&answer))),
            Err(_) => {}
        }
    }
}

fn put(client: &mut Client, method: &str, path: &str, name: &str, content: &str) -> io::Result<Step> {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"content": content}});
    Ok(written(&client.send(method, path, &object)?))
}

fn delete(client: &mut Client, name: &str) -> io::Result<Step> {
    let answer = client.call("DELETE", &format!("{COLLECTION}/{name}"), "", b"")?;
    assert_eq!(answer.status, 200, "{answer:?}");
    Ok(Step::Deleted)
}

#[track_caller]
fn written(answer: &Answer) -> Step {
    assert!(answer.is_ok(), "{answer:?}");
    let object = answer.json();
    Step::Written { content: object["data"]["content"].as_str().unwrap_or_default().to_owned(), revision: revision_of(&object) }
}

fn revision_of(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok()).expect("a resourceVersion")
}

struct Watcher<'a> {
    world: &'a World,
    number: usize,
    after: u64,
    story: Story,
    reconnects: u32,
}

impl<'a> Watcher<'a> {
    fn new(world: &'a World, number: usize, after: u64) -> Self {
        Self { world, number, after, story: Story::new(), reconnects: 0 }
    }

    fn run(mut self) -> (Story, u32) {
        loop {
            match self.follow() {
                Ok(true) => return (self.story, self.reconnects),
                Ok(false) | Err(_) => self.reconnects += 1,
            }
        }
    }

    /// Takes in what one connection brings. True when the last object was seen.
    fn follow(&mut self) -> io::Result<bool> {
        let path = format!("{COLLECTION}?watch=1&allowWatchBookmarks=true&resourceVersion={}", self.after);
        let mut watch = match self.world.door().watch(&path)? {
            Ok(watch) => watch,
            Err(refused) => panic!("a watch from {} is refused: {refused:?}", self.after),
        };
        lock(&self.world.cuts)[self.number] = Some(watch.cut());
        while let Some(event) = watch.event()? {
            if self.take(&event) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn take(&mut self, event: &Value) -> bool {
        let (kind, object) = (event["type"].as_str().expect("a type"), &event["object"]);
        assert_ne!(kind, "ERROR", "{event}");
        let revision = revision_of(object);
        if kind == "BOOKMARK" {
            assert!(revision >= self.after, "a bookmark of {revision} after {}", self.after);
            self.world.bookmarks.fetch_add(1, Ordering::Relaxed);
            self.after = revision;
            return false;
        }
        assert!(revision > self.after, "an event of {revision} after {}", self.after);
        self.after = revision;
        let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
        if name == LAST {
            return true;
        }
        let steps = self.story.entry(name).or_default();
        let is_there = matches!(steps.last(), Some(Step::Written { .. }));
        assert_eq!(is_there, kind != "ADDED", "{kind} after {:?}", steps.last());
        steps.push(match kind {
            "DELETED" => Step::Deleted,
            _ => Step::Written { content: object["data"]["content"].as_str().unwrap_or_default().to_owned(), revision },
        });
        false
    }
}

/// A watch that sees no events of its own resumes from a bookmark that lies behind what others wrote, and misses nothing after it.
#[test]
fn a_quiet_watch_resumes_from_a_bookmark() {
    let mut api = Api::up(&binary());
    let mut client = api.door().client();
    let start = revision_of(&client.get(COLLECTION).unwrap().json());
    for n in 0..50 {
        put(&mut client, "POST", COLLECTION, &format!("noise-{n}"), "x").unwrap();
    }
    let quiet = "/api/v1/namespaces/kube-public/configmaps";
    let query = |after| format!("{quiet}?watch=1&allowWatchBookmarks=true&timeoutSeconds=3&resourceVersion={after}");
    let mut watch = api.door().watch(&query(start)).unwrap().unwrap();
    let mut bookmark = None;
    while let Some(event) = watch.event().unwrap() {
        assert_eq!(event["type"], "BOOKMARK", "{event}");
        bookmark = Some(revision_of(&event["object"]));
    }
    let bookmark = bookmark.expect("a watch that ends in order gives a bookmark before");
    assert!(bookmark >= start + 50, "a bookmark of {bookmark} after {start}");
    put(&mut client, "POST", quiet, "seen", "x").unwrap();
    api.kill();
    api.start();
    let mut watch = api.door().watch(&query(bookmark)).unwrap().unwrap();
    let event = watch.event().unwrap().expect("the write after the bookmark");
    assert_eq!((event["type"].as_str(), event["object"]["metadata"]["name"].as_str()), (Some("ADDED"), Some("seen")));
    api.expect_clean_log();
}
