//! `irori api` as a process: started, killed, started again on the same folder.
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use irori_trust::{CaTree, Identity};

use crate::client::{Door, clock};

/// From the start of the process to the line with its address, also on a busy machine of two cores.
const START_MAX: Duration = Duration::from_secs(60);
const TOKEN: &str = "a-token-for-tests";

/// An API of its own in a folder of its own, on a free port of loopback.
pub struct Api {
    folder: tempfile::TempDir,
    binary: PathBuf,
    /// A program and arguments that start irori's command line, such as one that gives it a disk of its own.
    around: Vec<String>,
    /// More words of irori's command line.
    more: Vec<String>,
    /// What lines of the log may hold that tell of an error; every other one fails the test at its end.
    expected_errors: Vec<String>,
    process: Option<Child>,
    address: Option<SocketAddr>,
}

impl Api {
    /// Not started. The binary is copied, so that a build beside does not change what is restarted.
    pub fn new(binary: &Path) -> Self {
        Self::new_in(&std::env::temp_dir(), binary)
    }

    /// The same, with its folder inside another.
    pub fn new_in(scratch: &Path, binary: &Path) -> Self {
        let folder = tempfile::tempdir_in(scratch).expect("make a folder");
        let own = folder.path().join("irori");
        fs::copy(binary, &own).unwrap_or_else(|source| panic!("copy `{}`: {source}", binary.display()));
        fs::write(folder.path().join("token"), TOKEN).expect("write the token");
        fs::create_dir(folder.path().join("data")).expect("make the data folder");
        Self {
            folder,
            binary: own,
            around: Vec::new(),
            more: Vec::new(),
            expected_errors: Vec::new(),
            process: None,
            address: None,
        }
    }

    /// Started and answering.
    pub fn up(binary: &Path) -> Self {
        let mut api = Self::new(binary);
        api.start();
        api
    }

    /// Lets another program start irori: `around` gets irori's command line as its last arguments, and has to become irori.
    pub fn within(mut self, around: &[&str]) -> Self {
        self.around = around.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// More words of irori's command line.
    pub fn with(mut self, words: &[String]) -> Self {
        self.more = words.to_vec();
        self
    }

    /// Errors that hold this text are a part of the test.
    pub fn expecting(mut self, error: &str) -> Self {
        self.expected_errors.push(error.to_owned());
        self
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Everything that irori has logged, over all its lives.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("started").id()
    }

    /// Starts the process, and returns before it answers.
    pub fn spawn(&mut self) {
        assert!(self.process.is_none(), "one process at a time");
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.path().join("log")).expect("open the log");
        let said = fs::File::create(self.said()).expect("make a file");
        let words: Vec<String> = [self.binary.display().to_string(), "api".to_owned(), "--listen".to_owned()].into();
        let mut words = [self.around.clone(), words].concat();
        words.extend(["127.0.0.1:0".to_owned(), "--data-dir".to_owned(), self.data().display().to_string()]);
        words.extend(["--admin-token-file".to_owned(), self.folder.path().join("token").display().to_string()]);
        words.extend(self.more.iter().cloned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env("IRORI_LOG", "info").stdin(Stdio::null()).stdout(said).stderr(log);
        self.process = Some(command.spawn().expect("start irori"));
        self.address = None;
    }

    /// Starts the process and waits until it says where it listens. Returns how long that took.
    pub fn start(&mut self) -> Duration {
        let since = Instant::now();
        self.spawn();
        while self.address.is_none() {
            let text = fs::read_to_string(self.said()).unwrap_or_default();
            self.address = text.lines().find_map(|line| line.strip_prefix("irori api: https://")?.parse().ok());
            if let Some(ended) = self.process.as_mut().expect("started").try_wait().expect("ask a child of ours") {
                panic!("irori api ended with {ended}:\n{}", self.log());
            }
            assert!(since.elapsed() < START_MAX, "irori api does not say where it listens:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
        since.elapsed()
    }

    fn said(&self) -> PathBuf {
        self.folder.path().join("said")
    }

    /// kill -9.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("started");
        process.kill().expect("kill a child of ours");
        process.wait().expect("wait for a child of ours");
        self.address = None;
    }

    /// Where it answers: `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("https://{}", self.address.expect("answering"))
    }

    /// The administrator's token.
    pub fn token(&self) -> &'static str {
        TOKEN
    }

    /// The API as its administrator.
    pub fn door(&self) -> Door {
        self.door_as(Some(TOKEN), None)
    }

    /// The API as whoever shows these.
    pub fn door_as(&self, token: Option<&str>, identity: Option<&Identity>) -> Door {
        Door::new(self.address.expect("answering"), &self.root_of("trust"), token, identity)
    }

    fn root_of(&self, folder: &str) -> PathBuf {
        self.seen_by_irori(&self.data()).join(folder).join("root.crt")
    }

    /// A path as the process sees it, that may have mounts of its own.
    pub fn seen_by_irori(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.pid()));
        root.join(path.strip_prefix("/").expect("an absolute path"))
    }

    /// The CA tree of this API, as if its clock went this many seconds ahead.
    pub fn trust(&self, offset: i64) -> CaTree {
        CaTree::open(&self.data().join("trust"), "home.arpa", &clock(offset)).expect("open the CA tree")
    }

    /// Lines of the log that tell of a panic, or of an error that was not expected.
    pub fn bad_lines(&self) -> Vec<String> {
        let expected: Vec<&str> = self.expected_errors.iter().map(String::as_str).collect();
        crate::bad_lines(&self.log(), &expected)
    }

    /// There are no such lines. Looked at in any case when the test ends.
    #[track_caller]
    pub fn expect_clean_log(&self) {
        let bad = self.bad_lines();
        assert!(bad.is_empty(), "the log has errors:\n{}", bad.join("\n"));
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- the end of what irori api logged\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
        if let Some(mut process) = self.process.take() {
            let _gone = process.kill();
            let _gone = process.wait();
        }
        crate::fail_over(&self.bad_lines());
    }
}
