//! kill -9 of `irori api` under writers, again and again: what was acknowledged has to be there after each restart, as it was acknowledged.
use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::Path,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use irori_store::{Revision, ledger::Ledger, sim::Dice};
use serde_json::{Value, json};

use crate::{
    api::Api,
    client::{Answer, Client},
};

const COLLECTION: &str = "/api/v1/namespaces/default/configmaps";
/// Objects of one writer; nobody else touches them.
const OBJECTS_EACH: usize = 8;

/// How to go about it.
#[derive(Clone, Copy)]
pub struct Plan<'a> {
    pub cycles: u32,
    pub writers: usize,
    /// Chance repeats itself from it.
    pub seed: u64,
    /// The negative control: behind the third life the store is put back to what it was after the second.
    pub plant_loss: bool,
    /// Where data folders are made.
    pub scratch: &'a Path,
    /// More words of irori's command line, such as where its store is.
    pub words: &'a [String],
}

/// What came of it.
#[derive(Default)]
pub struct Report {
    pub kills: u32,
    /// Of those, how many hit a process that was still starting.
    pub kills_at_start: u32,
    pub acknowledged: u64,
    /// Writes under way when the process died.
    pub unanswered: u64,
    /// Every breach of a promise, in words.
    pub breaches: Vec<String>,
    /// From a start after a kill to the line that names the address.
    pub restarts: Vec<Duration>,
    pub newest: u64,
    pub took: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slowest = self.restarts.iter().max().copied().unwrap_or_default();
        write!(
            f,
            "{} kill -9 ({} while starting): {} acknowledged writes, {} unanswered, {} breaches; newest resourceVersion {}; \
             slowest restart {:.2} s; {:.0} s in all",
            self.kills,
            self.kills_at_start,
            self.acknowledged,
            self.unanswered,
            self.breaches.len(),
            self.newest,
            slowest.as_secs_f64(),
            self.took.as_secs_f64()
        )
    }
}

#[derive(Default)]
struct Known {
    ledger: Ledger,
    acknowledged: u64,
    unanswered: u64,
    breaches: Vec<String>,
}

/// Runs the plan; `tell` hears a line now and then.
pub fn run(binary: &Path, plan: Plan<'_>, tell: &dyn Fn(&str)) -> Report {
    let since = Instant::now();
    let mut api = Api::new_in(plan.scratch, binary).with(plan.words);
    let (known, mut dice, mut report) = (Mutex::new(Known::default()), Dice(plan.seed), Report::default());
    for cycle in 0..plan.cycles {
        let took = api.start();
        if cycle > 0 {
            report.restarts.push(took);
        }
        check(&api, &known, cycle);
        write_for(&mut api, &known, &plan, &mut dice);
        report.kills += 1;
        if dice.below(5) == 0 {
            // Killed again on its way up.
            api.spawn();
            std::thread::sleep(Duration::from_millis(dice.below(120) as u64));
            api.kill();
            report.kills += 1;
            report.kills_at_start += 1;
        }
        if plan.plant_loss {
            plant(&api, cycle);
        }
        if (cycle + 1) % 10 == 0 {
            let known = lock(&known);
            tell(&format!(
                "{} kills, {} acknowledged writes, {} breaches",
                report.kills,
                known.acknowledged,
                known.breaches.len()
            ));
        }
    }
    api.start();
    check(&api, &known, plan.cycles);
    let known = std::mem::take(&mut *lock(&known));
    report.breaches = known.breaches;
    report.breaches.extend(api.bad_lines());
    (report.acknowledged, report.unanswered) = (known.acknowledged, known.unanswered);
    report.newest = known.ledger.newest().0;
    report.took = since.elapsed();
    report
}

/// Lets all writers write for a while that chance says, and kills the process under them.
fn write_for(api: &mut Api, known: &Mutex<Known>, plan: &Plan<'_>, dice: &mut Dice) {
    let life = Duration::from_millis(100 + dice.below(700) as u64);
    std::thread::scope(|scope| {
        for writer in 0..plan.writers {
            let (client, dice) = (api.door().client(), Dice(dice.roll()));
            scope.spawn(move || Writer { number: writer, client, dice, known }.until_it_dies());
        }
        std::thread::sleep(life);
        api.kill();
    });
}

struct Writer<'a> {
    number: usize,
    client: Client,
    dice: Dice,
    known: &'a Mutex<Known>,
}

impl Writer<'_> {
    fn until_it_dies(mut self) {
        loop {
            let name = format!("w{}-{}", self.number, self.dice.below(OBJECTS_EACH));
            let (at, newest) = {
                let known = lock(self.known);
                (known.ledger.revision(&name), known.ledger.newest())
            };
            let data = self.data();
            let (value, wanted, answer) = match at {
                None => self.create(&name, &data),
                Some(at) if self.dice.below(5) == 0 => self.delete(&name, at),
                Some(at) => self.change(&name, at, &data),
            };
            let mut known = lock(self.known);
            let Ok(answer) = answer else {
                known.unanswered += 1;
                return;
            };
            if answer.status != wanted {
                known.ledger.refused(&name);
                known.breaches.push(format!("writer {}: `{name}` at {at:?}: {answer:?}", self.number));
                return;
            }
            known.acknowledged += 1;
            let Some(value) = value else {
                // The answer to a deletion names no revision.
                known.ledger.acknowledged(&name, at.unwrap_or_default());
                continue;
            };
            let object = answer.json();
            let revision = revision_of(&object);
            if revision <= newest {
                known.breaches.push(format!("`{name}` was written at {revision:?}, after {newest:?} was acknowledged"));
            }
            if content(&object) != value {
                known.breaches.push(format!("`{name}` was answered with another content than was sent"));
            }
            known.ledger.acknowledged(&name, revision);
        }
    }

    /// Two values that must never differ.
    fn data(&mut self) -> Value {
        let value = format!("{:016x}{}", self.dice.roll(), "x".repeat(self.dice.below(1_000)));
        json!({"a": value, "b": value})
    }

    fn attempt(&self, name: &str, value: Option<&str>) {
        lock(self.known).ledger.attempt(name, value.map(str::as_bytes));
    }

    fn create(&mut self, name: &str, data: &Value) -> (Option<String>, u16, io::Result<Answer>) {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data});
        let value = content(&object);
        self.attempt(name, Some(&value));
        (Some(value), 201, self.client.send("POST", COLLECTION, &object))
    }

    fn change(&mut self, name: &str, at: Revision, data: &Value) -> (Option<String>, u16, io::Result<Answer>) {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "resourceVersion": at.0.to_string()}, "data": data,
        });
        let value = content(&object);
        self.attempt(name, Some(&value));
        let method = if self.dice.below(3) == 0 { "PATCH" } else { "PUT" };
        (Some(value), 200, self.client.send(method, &format!("{COLLECTION}/{name}"), &object))
    }

    fn delete(&mut self, name: &str, at: Revision) -> (Option<String>, u16, io::Result<Answer>) {
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"resourceVersion": at.0.to_string()},
        });
        self.attempt(name, None);
        (None, 200, self.client.send("DELETE", &format!("{COLLECTION}/{name}"), &options))
    }
}

/// Holds what a restarted API has against what it promised.
fn check(api: &Api, known: &Mutex<Known>, cycle: u32) {
    let mut client = api.door().client();
    let list = client.get(COLLECTION).expect("a started API answers");
    let object = list.json();
    let mut known = lock(known);
    let mut breaches = Vec::new();
    if list.status != 200 {
        breaches.push(format!("list: {list:?}"));
    }
    let mut found: BTreeMap<String, (Revision, String)> = BTreeMap::new();
    for item in object["items"].as_array().into_iter().flatten() {
        let name = item["metadata"]["name"].as_str().unwrap_or_default();
        if item["data"]["a"] != item["data"]["b"] || item["metadata"]["uid"].as_str().is_none() {
            breaches.push(format!("`{name}` is half there: {item}"));
        }
        // One in a while it is asked for by name, too.
        if revision_of(item).0.is_multiple_of(8) {
            let single = client.get(&format!("{COLLECTION}/{name}")).expect("a started API answers").json();
            if content(&single) != content(item) || revision_of(&single) != revision_of(item) {
                breaches.push(format!("`{name}` is another by name than in the list"));
            }
        }
        found.insert(name.to_owned(), (revision_of(item), content(item)));
    }
    let (newest, now) = (known.ledger.newest(), revision_of(&object));
    if now < newest {
        breaches.push(format!("the resourceVersion went back from {newest:?} to {now:?}"));
    }
    breaches.extend(known.ledger.settle(|name| found.get(name).map(|(at, value)| (*at, value.as_bytes()))));
    known.breaches.extend(breaches.into_iter().map(|breach| format!("cycle {cycle}: {breach}")));
}

fn revision_of(object: &Value) -> Revision {
    let text = object["metadata"]["resourceVersion"].as_str();
    Revision(text.and_then(|text| text.parse().ok()).unwrap_or_default())
}

fn content(object: &Value) -> String {
    object["data"].to_string()
}

/// Keeps the store of one moment and puts it back a life later.
fn plant(api: &Api, cycle: u32) {
    let (store, kept) = (api.data().join("store"), api.folder().join("kept"));
    match cycle {
        1 => copy(&store, &kept),
        2 => copy(&kept, &store),
        _ => {}
    }
}

fn copy(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).expect("remove a folder");
    }
    fs::create_dir_all(to).expect("make a folder");
    for file in fs::read_dir(from).expect("list a folder") {
        let file = file.expect("list a folder");
        fs::copy(file.path(), to.join(file.file_name())).expect("copy a file");
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().expect("no writer panics")
}
