//! `irori server` as a process.
use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use irori_testkit::{binary, eventually, kubectl};
use serde_json::Value;

/// A server as a process, without a node: its pods stay where the scheduler leaves them.
pub struct Server {
    pub folder: PathBuf,
    port: u16,
    words: Vec<String>,
    /// A program and its arguments that become irori, such as one that gives it a disk of its own.
    around: Vec<String>,
    process: Option<Child>,
}

impl Server {
    pub fn new(folder: PathBuf, words: Vec<String>) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        fs::create_dir_all(&folder).unwrap();
        let home = format!(
            "apiVersion: irori.dev/v1alpha1\nkind: Home\nmetadata: {{name: home}}\n\
             spec: {{domain: home.arpa, network: {{api: {{port: {port}}}}}}}\n"
        );
        fs::write(folder.join("home.yaml"), home).unwrap();
        Self { folder, port, words, around: Vec::new(), process: None }
    }

    /// Lets another program start irori: `around` gets irori's command line as its last arguments, and has to become irori.
    pub fn within(mut self, around: &[&str]) -> Self {
        self.around = around.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// More of the home file's `spec`.
    pub fn with_spec(self, more: &str) -> Self {
        let file = self.folder.join("home.yaml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(file, text.replace("spec: {", &format!("spec: {{{more}, "))).unwrap();
        self
    }

    pub fn start(&mut self) {
        let log = fs::File::create(self.folder.join("log")).unwrap();
        let mut words = self.around.clone();
        words.push(binary().display().to_string());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .arg("server")
            .arg(self.folder.join("home.yaml"))
            .arg("--data-dir")
            .arg(self.folder.join("data"));
        command.args(&self.words).env("IRORI_LOG", "info").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.process = Some(command.spawn().unwrap());
        eventually("the server is up", Duration::from_secs(60), || {
            if self.log().contains("ok   server") { Ok(()) } else { Err(self.log()) }
        });
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// kill -9.
    pub fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// SIGTERM, and its end.
    pub fn end(&mut self) {
        let mut process = self.process.take().unwrap();
        assert!(Command::new("kill").arg(process.id().to_string()).status().unwrap().success());
        eventually("the server ends", Duration::from_secs(20), || {
            process.try_wait().unwrap().map(|ended| assert!(ended.success(), "{ended}")).ok_or_else(|| "it runs".to_owned())
        });
    }

    /// As another server's administrator, if one is named.
    pub fn kubectl_as(&self, who: &Self, arguments: &[&str]) -> Result<String, String> {
        let said = Command::new(kubectl())
            .arg("--kubeconfig")
            .arg(who.seen_by_it(&who.data().join("credentials/admin.kubeconfig")))
            .args(["--server", &format!("https://127.0.0.1:{}", self.port), "--request-timeout", "10s"])
            .args(arguments)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if said.status.success() { Ok(text(&said.stdout)) } else { Err(text(&said.stderr)) }
    }

    pub fn apply(&self, object: &Value) {
        let file = self.folder.join("object.json");
        fs::write(&file, object.to_string()).unwrap();
        self.kubectl(&["create", "-f", file.to_str().unwrap()]).unwrap();
    }

    /// `irori` itself, with this server's data folder, as one who sits at its machine.
    pub fn irori(&self, arguments: &[&str]) -> Result<String, String> {
        let said = self.command(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if said.status.success() { Ok(text(&said.stdout)) } else { Err(text(&said.stderr)) }
    }

    /// The same without a data folder.
    pub fn irori_on_file(&self, arguments: &[&str]) -> Result<String, String> {
        let said = Command::new(binary()).args(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if said.status.success() { Ok(text(&said.stdout)) } else { Err(text(&said.stderr)) }
    }

    /// With its data folder, to be run.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).arg("--data-dir").arg(self.data()).stdin(Stdio::null());
        command
    }

    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    /// Whether the process has not ended.
    pub fn lives(&mut self) -> bool {
        self.process.as_mut().unwrap().try_wait().unwrap().is_none()
    }

    /// A path as the process sees it, that may have mounts of its own.
    pub fn seen_by_it(&self, path: &Path) -> PathBuf {
        match &self.process {
            Some(process) if !self.around.is_empty() => {
                PathBuf::from(format!("/proc/{}/root", process.id())).join(path.strip_prefix("/").unwrap())
            }
            _ => path.to_owned(),
        }
    }

    /// More words of its command line from the next start on.
    pub fn say(&mut self, words: &[&str]) {
        self.words = words.iter().map(|word| (*word).to_owned()).collect();
    }

    pub fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        self.kubectl_as(self, arguments)
    }

    pub fn identity(&self) -> String {
        fs::read_to_string(self.folder.join("data/instance")).unwrap()
    }

    pub fn leads(&self, lease: &str) -> Result<(), String> {
        let path = "jsonpath={.spec.holderIdentity}";
        let holder = self.kubectl(&["get", "lease", "-n", "kube-system", lease, "-o", path])?;
        if holder.ends_with(&self.identity()) { Ok(()) } else { Err(holder) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _gone = process.kill();
            let _gone = process.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.folder.display(), self.log());
        }
    }
}
