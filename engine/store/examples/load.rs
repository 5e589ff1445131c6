//! A load on a store, through its trait: the same clients on the embedded log and on etcd. What `cargo xtask bench store` runs.
//!
//! `load --data DIR` or `load --etcd HOST:PORT`, and what to do. Prints one line of JSON. `--pid` is the process whose use of memory and disk
//! counts, for etcd; for the embedded store it is this one.
use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    io::{self, Read, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use irori_runtime::{Clock, OnEnd, Shutdown, SignedDuration, Tasks, Timestamp};
use irori_store::{
    BackupWriter, Durability, EmbeddedStore, EtcdSettings, EtcdStore, Expect, Revision, SealedStore, Settings, Store, Write,
    disk::{Disk, DiskFile, RealDisk},
};
use irori_trust::seal::Unlock;

type Failed = Box<dyn Error + Send + Sync>;

/// Keys of one client, written in turns.
const KEYS_EACH: u64 = 100;
/// Before the measured time.
const WARM: Duration = Duration::from_millis(500);
/// Clients that fill a store.
const FILLERS: u64 = 64;

fn main() -> Result<(), Failed> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).on_thread_start(irori_runtime::short_turns).enable_all();
    runtime.build()?.block_on(run())
}

async fn run() -> Result<(), Failed> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words == ["--version"] {
        println!("load of irori-store {}", env!("CARGO_PKG_VERSION"));
        return Ok(());
    }
    let given: BTreeMap<&str, &str> =
        words.chunks(2).filter_map(|pair| Some((pair[0].as_str(), pair.get(1)?.as_str()))).collect();
    let number = |name: &str, usual: u64| given.get(name).map_or(Ok(usual), |text| text.parse::<u64>());
    let tasks = Tasks::new(Shutdown::new());
    let sync = Duration::from_millis(number("--sync-ms", 0)?);
    let started = Instant::now();
    let (store, disk) = open(&given, sync, &tasks).await?;
    let opened = started.elapsed();
    let store: Arc<dyn Store> = match given.get("--seal-with") {
        Some(key) => SealedStore::open(store, &Unlock::KeyFile(PathBuf::from(key)), vec!["k/".to_owned()]).await?,
        None => store,
    };
    let (objects, bytes) = (number("--fill", 0)?, number("--bytes", 1_000)? as usize);
    if objects > 0 {
        fill(&store, objects, bytes).await?;
    }
    let pid = number("--pid", std::process::id().into())?;
    let metrics = given.get("--metrics").copied();
    let before = Seen::look(pid, metrics, disk.as_deref(), store.as_ref())?;
    let clients = number("--clients", 0)?;
    let time = Duration::from_secs(number("--seconds", 5)?);
    let backup = async {
        match given.get("--backup") {
            Some(file) => backup(store.as_ref(), Path::new(file)).await,
            None => Ok(Duration::ZERO),
        }
    };
    let work = async {
        match given.get("--read") {
            Some(what) => read(store.as_ref(), what, time).await,
            None => write(&store, clients, bytes, time, &tasks).await,
        }
    };
    let (work, backup) = tokio::join!(work, backup);
    let ((mut times, all), backup) = (work?, backup?);
    let after = Seen::look(pid, metrics, disk.as_deref(), store.as_ref())?;
    times.sort_unstable();
    let at =
        |hundredths: usize| times.get((times.len() * hundredths).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default();
    println!(
        "{{\"writes\":{},\"all\":{all},\"seconds\":{:.3},\"p50_us\":{:.2},\"p99_us\":{:.2},\"max_us\":{:.2},\"syncs\":{},\"block_bytes\":{},\"log_bytes\":{},\"rss_before_kb\":{},\"rss_kb\":{},\"peak_kb\":{},\"open_ms\":{:.1},\"backup_ms\":{:.1}}}",
        times.len(),
        time.as_secs_f64(),
        at(50).as_secs_f64() * 1e6,
        at(99).as_secs_f64() * 1e6,
        at(100).as_secs_f64() * 1e6,
        after.syncs - before.syncs,
        after.written - before.written,
        after.log - before.log,
        before.rss_kb,
        after.rss_kb,
        after.peak_kb,
        opened.as_secs_f64() * 1e3,
        backup.as_secs_f64() * 1e3,
    );
    store.close().await?;
    Ok(())
}

/// The store, and its disk where that is ours.
async fn open(
    given: &BTreeMap<&str, &str>,
    sync: Duration,
    tasks: &Tasks,
) -> Result<(Arc<dyn Store>, Option<Arc<Counting>>), Failed> {
    if let Some(etcd) = given.get("--etcd") {
        let clock = Clock::system(Timestamp::UNIX_EPOCH, SignedDuration::ZERO);
        return Ok((EtcdStore::open(EtcdSettings::at(vec![(*etcd).to_owned()], "/load", clock), tasks).await?, None));
    }
    let data = given.get("--data").ok_or("name a store: --data DIR or --etcd HOST:PORT")?;
    let syncs = Arc::new(AtomicU64::new(0));
    let disk = Arc::new(Counting { disk: RealDisk::at(Path::new(data))?, takes: sync, syncs });
    Ok((EmbeddedStore::open(Settings::on(disk.clone()), tasks)?, Some(disk)))
}

/// Writes `objects` keys that no client writes, 64 at a time.
async fn fill(store: &Arc<dyn Store>, objects: u64, bytes: usize) -> Result<(), Failed> {
    let next = Arc::new(AtomicU64::new(0));
    let fillers = (0..FILLERS).map(|_| {
        let (store, next) = (store.clone(), next.clone());
        async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= objects {
                    return Ok::<_, Failed>(());
                }
                let value = Some(content(n, bytes).into());
                let write = Write { key: format!("k/fill/{n:08}").into(), expect: Expect::Absent, value };
                store.commit(vec![write], Durability::Synced).await?;
            }
        }
    });
    futures::future::try_join_all(fillers).await.map(drop)
}

/// Bytes that do not repeat themselves from one write to the next.
fn content(n: u64, bytes: usize) -> Vec<u8> {
    let mut dice = irori_store::sim::Dice(n);
    let mut content = Vec::with_capacity(bytes + 8);
    while content.len() < bytes {
        content.extend(dice.roll().to_le_bytes());
    }
    content.truncate(bytes);
    // Never what a sealed value begins with.
    content[0] = 1;
    content
}

/// So many clients, each with keys of its own, one durable write after the other. How long each took, and how many there were in all, those
/// before the measured time included.
async fn write(
    store: &Arc<dyn Store>,
    clients: u64,
    bytes: usize,
    time: Duration,
    tasks: &Tasks,
) -> Result<(Vec<Duration>, u64), Failed> {
    let times = Arc::new(Mutex::new(Vec::new()));
    let (failed, all) = (Arc::new(Mutex::new(None)), Arc::new(AtomicU64::new(0)));
    let measured = Instant::now() + WARM;
    let end = measured + time;
    let run = Tasks::new(tasks.shutdown().clone());
    for client in 0..clients {
        let (store, times, failed, all) = (store.clone(), times.clone(), failed.clone(), all.clone());
        run.spawn("client", OnEnd::Contained, async move {
            let (mut known, mut own) = (BTreeMap::new(), Vec::new());
            for n in 0.. {
                let began = Instant::now();
                if began >= end {
                    break;
                }
                let key = n % KEYS_EACH;
                let expect = known.get(&key).map_or(Expect::Absent, |at: &Revision| Expect::At(*at));
                let value = Some(content(client << 32 | n, bytes).into());
                let write = Write { key: format!("k/{client}/{key}/{}", std::process::id()).into(), expect, value };
                match store.commit(vec![write], Durability::Synced).await {
                    Ok(at) => drop(known.insert(key, at)),
                    Err(source) => {
                        *failed.lock().expect("no client panics") = Some(source);
                        break;
                    }
                }
                all.fetch_add(1, Ordering::Relaxed);
                if began >= measured {
                    own.push(began.elapsed());
                }
            }
            times.lock().expect("no client panics").append(&mut own);
            Ok::<(), std::convert::Infallible>(())
        });
    }
    let late = run.drain(WARM + time + Duration::from_secs(60)).await;
    if let Some(source) = failed.lock().expect("no client panics").take() {
        return Err(source.into());
    }
    if !late.is_empty() {
        return Err("a client waits for ever".into());
    }
    let times = std::mem::take(&mut *times.lock().expect("no client panics"));
    Ok((times, all.load(Ordering::Relaxed)))
}

/// A backup into a file while the clients write, once they are warm. How long it took.
async fn backup(store: &dyn Store, file: &Path) -> Result<Duration, Failed> {
    tokio::time::sleep(WARM).await;
    let began = Instant::now();
    let mut file = fs::File::create(file)?;
    let mut writer = BackupWriter::new(store.freeze().await?, 1, 0);
    while let Some(piece) = writer.next().await? {
        file.write_all(&piece)?;
        tokio::task::yield_now().await;
    }
    file.sync_all()?;
    Ok(began.elapsed())
}

/// Reads of one value, or of pages of 500, by one client.
async fn read(store: &dyn Store, what: &str, time: Duration) -> Result<(Vec<Duration>, u64), Failed> {
    let (end, mut times) = (Instant::now() + time, Vec::new());
    let mut n = 0_u64;
    while Instant::now() < end {
        let began = Instant::now();
        if what == "list" {
            let range = irori_store::Range { prefix: "k/fill/".into(), limit: 500, ..Default::default() };
            std::hint::black_box(store.range(range).await?);
        } else {
            std::hint::black_box(store.get(&format!("k/fill/{:08}", n % 500)).await?);
        }
        times.push(began.elapsed());
        n += 1;
    }
    Ok((times, n))
}

/// What was used so far.
struct Seen {
    syncs: u64,
    /// Bytes that went through the block layer.
    written: u64,
    log: u64,
    rss_kb: u64,
    peak_kb: u64,
}

impl Seen {
    fn look(pid: u64, metrics: Option<&str>, disk: Option<&Counting>, store: &dyn Store) -> io::Result<Self> {
        let io = fs::read_to_string(format!("/proc/{pid}/io"))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let (syncs, log) = match metrics {
            Some(at) => {
                let text = fetch(at)?;
                let metric = |name: &str| field(&text, name);
                (metric("etcd_disk_wal_fsync_duration_seconds_count "), metric("etcd_disk_wal_write_bytes_total "))
            }
            None => (
                disk.map_or(0, |disk| disk.syncs.load(Ordering::Relaxed)),
                store.stats().map_or(0, |stats| stats.log_bytes_written),
            ),
        };
        Ok(Self {
            syncs,
            written: field(&io, "write_bytes: "),
            log,
            rss_kb: field(&status, "VmRSS:"),
            peak_kb: field(&status, "VmHWM:"),
        })
    }
}

/// The number behind a name at the start of a line; etcd writes large ones with an exponent.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok()).map_or(0, |number| number as u64)
}

fn fetch(at: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(at)?;
    write!(stream, "GET /metrics HTTP/1.0\r\nHost: {at}\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// A disk that counts its syncs, and takes longer for them.
struct Counting {
    disk: RealDisk,
    takes: Duration,
    syncs: Arc<AtomicU64>,
}

struct CountingFile {
    file: Arc<dyn DiskFile>,
    takes: Duration,
    syncs: Arc<AtomicU64>,
}

impl Counting {
    fn around(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(CountingFile { file, takes: self.takes, syncs: self.syncs.clone() })
    }
}

impl Disk for Counting {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.around(self.disk.open(name)?))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.around(self.disk.create(name)?))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        std::thread::sleep(self.takes);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.disk.sync_dir()
    }

    fn lock(&self) -> io::Result<Box<dyn Send + Sync>> {
        self.disk.lock()
    }

    fn name(&self) -> String {
        self.disk.name()
    }
}

impl DiskFile for CountingFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, into)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        std::thread::sleep(self.takes);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.file.sync_data()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
}
