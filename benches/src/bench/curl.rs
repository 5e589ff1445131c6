//! A Kubernetes API as a stranger reaches it: by curl. No library of ours takes part in what is measured.
use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::control;

/// One answer; a list of 5,000 pods takes longer than a moment on a small machine.
const ANSWER_MAX_S: &str = "60";
const SENT: &str = "irori-bench-sent";

#[derive(Clone)]
pub struct Api {
    /// Network namespace to ask from; `None` is the machine's own.
    namespace: Option<String>,
    pub url: String,
    credentials: Vec<String>,
}

impl Api {
    pub fn with_token(url: &str, token: &str) -> Self {
        let credentials = vec!["-k".to_owned(), "-H".to_owned(), format!("Authorization: Bearer {token}")];
        Self { namespace: None, url: url.to_owned(), credentials }
    }

    /// As the administrator of a home; the kubeconfig's parts go to files in `folder`.
    pub fn of_home(namespace: &str, kubeconfig: &Path, folder: &Path) -> Result<Self> {
        let text = fs::read_to_string(kubeconfig).with_context(|| format!("read `{}`", kubeconfig.display()))?;
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": "));
            line.with_context(|| format!("the kubeconfig has no {name}"))
        };
        let mut credentials = Vec::new();
        for (option, name, file) in [
            ("--cacert", "certificate-authority-data", "ca.pem"),
            ("--cert", "client-certificate-data", "client.pem"),
            ("--key", "client-key-data", "client.key"),
        ] {
            let path = folder.join(file);
            fs::write(&path, STANDARD.decode(value(name)?).context("decode the kubeconfig")?)?;
            credentials.extend([option.to_owned(), path.display().to_string()]);
        }
        Ok(Self { namespace: Some(namespace.to_owned()), url: value("server")?.to_owned(), credentials })
    }

    /// A curl where the API is.
    fn curl(&self) -> Command {
        let mut curl = inside(self.namespace.as_deref(), "curl");
        // Not as curl: what people type it for is answered for their eyes.
        curl.args(["-sS", "--no-buffer", "--user-agent", "irori-bench"]).args(&self.credentials).stdin(Stdio::null());
        curl
    }

    pub fn get(&self, path: &str) -> Result<Value> {
        serde_json::from_slice(&self.get_as(path, "application/json")?).with_context(|| format!("read the answer to GET {path}"))
    }

    pub fn get_as(&self, path: &str, accept: &str) -> Result<Vec<u8>> {
        let mut curl = self.curl();
        curl.args(["--fail-with-body", "--max-time", ANSWER_MAX_S, "-H", &format!("Accept: {accept}")]);
        output(curl.arg(format!("{}{path}", self.url)), &format!("GET {path}"))
    }

    pub fn delete(&self, path: &str, options: &Value) -> Result<()> {
        self.send("DELETE", path, std::slice::from_ref(options)).map(drop)
    }

    /// Creates one object; the answer.
    pub fn create(&self, path: &str, body: &Value) -> Result<Value> {
        let mut curl = self.curl();
        curl.args(["--fail-with-body", "--max-time", ANSWER_MAX_S, "-H", "Content-Type: application/json", "--data"]);
        let said = output(curl.arg(body.to_string()).arg(format!("{}{path}", self.url)), &format!("POST {path}"))?;
        serde_json::from_slice(&said).with_context(|| format!("read the answer to POST {path}"))
    }

    /// Creates objects one after the other on one connection. Returns when each was sent.
    pub fn post(&self, path: &str, bodies: &[Value]) -> Result<Vec<Instant>> {
        self.send("POST", path, bodies)
    }

    fn send(&self, method: &str, path: &str, bodies: &[Value]) -> Result<Vec<Instant>> {
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let mut transfers = Vec::new();
        for body in bodies {
            // Each transfer of a curl has options of its own.
            let mut transfer = vec![format!("url = \"{}{path}\"", self.url), format!("request = \"{method}\"")];
            transfer.extend(["silent", "show-error", "fail-with-body", "output = \"/dev/null\""].map(str::to_owned));
            transfer.push(format!("max-time = {ANSWER_MAX_S}"));
            transfer.push("header = \"Content-Type: application/json\"".to_owned());
            transfer.push(format!("data = \"{}\"", quoted(&body.to_string())));
            transfer.push(format!("write-out = \"{SENT} %{{time_pretransfer}} %{{time_total}}\\n\""));
            let mut words = self.credentials.iter();
            while let Some(word) = words.next() {
                let option = match word.as_str() {
                    "-k" => "insecure".to_owned(),
                    "-H" => format!("header = \"{}\"", quoted(words.next().map_or("", |value| value.as_str()))),
                    long => format!(
                        "{} = \"{}\"",
                        long.trim_start_matches("--"),
                        quoted(words.next().map_or("", |value| value.as_str()))
                    ),
                };
                transfer.push(option);
            }
            transfers.push(transfer.join("\n"));
        }
        let mut curl = inside(self.namespace.as_deref(), "curl");
        curl.args(["-K", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = curl.spawn().context("start curl")?;
        child.stdin.take().context("curl's input")?.write_all(transfers.join("\nnext\n").as_bytes()).context("write to curl")?;
        let out = child.wait_with_output().context("wait for curl")?;
        if !out.status.success() {
            bail!("{method} {path}: {}", String::from_utf8_lossy(&out.stderr).trim());
        }
        let text = String::from_utf8_lossy(&out.stdout);
        let mut before = Duration::ZERO;
        let mut sent = Vec::with_capacity(bodies.len());
        for line in text.lines().filter_map(|line| line.strip_prefix(SENT)) {
            let mut seconds = line.split_whitespace().filter_map(|word| word.parse::<f64>().ok()).map(Duration::from_secs_f64);
            let (pretransfer, total) = (seconds.next().unwrap_or_default(), seconds.next().unwrap_or_default());
            sent.push(started + before + pretransfer);
            before += total;
        }
        anyhow::ensure!(sent.len() == bodies.len(), "{method} {path}: {} of {} answers", sent.len(), bodies.len());
        Ok(sent)
    }

    /// Follows a watch; every event carries when it was read.
    pub fn watch(&self, path: &str) -> Result<Watch> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let mut curl = self.curl();
        curl.arg(format!("{}{path}{separator}watch=true&timeoutSeconds=86400", self.url)).stdout(Stdio::piped());
        let mut child = curl.spawn().context("start curl")?;
        let lines = BufReader::new(child.stdout.take().context("curl's output")?);
        let (sender, events) = channel();
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let seen = Instant::now();
                let Ok(event) = serde_json::from_str(&line) else { continue };
                if sender.send((seen, event)).is_err() {
                    break;
                }
            }
        });
        Ok(Watch { child, events })
    }
}

/// A program in a network namespace.
pub fn inside(namespace: Option<&str>, program: impl AsRef<OsStr>) -> Command {
    match namespace {
        None => Command::new(program),
        Some(name) => {
            let mut command = Command::new("nsenter");
            command.arg(format!("--net=/run/netns/{name}")).arg("--").arg(program);
            command
        }
    }
}

fn output(command: &mut Command, what: &str) -> Result<Vec<u8>> {
    let out = command.output().context("start curl")?;
    if !out.status.success() {
        bail!("{what}: {} {}", String::from_utf8_lossy(&out.stderr).trim(), String::from_utf8_lossy(&out.stdout).trim());
    }
    Ok(out.stdout)
}

/// Whether a URL answers 200, whoever vouches for it.
pub fn answers(namespace: Option<&str>, options: &[&str], url: &str) -> Result<bool> {
    let mut curl = inside(namespace, "curl");
    curl.args(["-sk", "--max-time", "5", "-o", "/dev/null", "-w", "%{http_code}"]).args(options).arg(url).stdin(Stdio::null());
    Ok(curl.output().context("start curl")?.stdout == b"200")
}

pub struct Watch {
    child: Child,
    events: Receiver<(Instant, Value)>,
}

impl Watch {
    /// The next event, at most until the deadline.
    pub fn next_until(&self, what: &str, deadline: Instant) -> Result<(Instant, Value)> {
        loop {
            control::check()?;
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left.min(Duration::from_millis(200))) {
                Ok(event) => return Ok(event),
                Err(RecvTimeoutError::Timeout) if left.is_zero() => bail!("{what}: not within the time for it"),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => bail!("{what}: the watch has ended"),
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}
