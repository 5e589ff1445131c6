//! `irori up --detach`: as a systemd service where systemd runs, in a session of its own elsewhere.
use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use irori_runtime::SignedDuration;

use crate::{
    cli::{Done, Output, Up},
    data::DataDir,
};

/// First start included: keys, images, apps.
const UP_MAX: Duration = Duration::from_secs(300);
/// A log above this many bytes is put aside at the next start.
const LOG_BYTES_MAX: u64 = 10 * 1024 * 1024;
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Starts irori in the background, shows its progress, and returns when the home is up.
pub fn start(up: &Up, offset: SignedDuration) -> Done {
    let data = DataDir::open(&up.reading.data.data_dir)?;
    let words = words(up, &data)?;
    // A killed process's announcement must not be taken for the new one's.
    if data.hold()?.is_some() {
        data.withdraw();
    }
    keep_short(&data.log())?;
    let log_from = fs::metadata(data.log()).map_or(0, |meta| meta.len());
    let mut child = if Path::new("/run/systemd/system").is_dir() && offset.is_zero() {
        service(&data, &words)?;
        None
    } else {
        Some(session(&data, &words)?)
    };
    wait(&data, child.as_mut(), log_from, up.reading.output == Output::Json)?;
    // The home lives now: the same file again changes nothing, and shows the table.
    super::run(Up { detach: false, ..up.clone() }, offset)
}

/// The command of the background process: the same home file by its whole path.
fn words(up: &Up, data: &DataDir) -> Result<Vec<String>> {
    let home = up.home.canonicalize().with_context(|| format!("find `{}`", up.home.display()))?;
    let text =
        |path: PathBuf| path.into_os_string().into_string().map_err(|path| anyhow::anyhow!("{} is not UTF-8", path.display()));
    let program = std::env::current_exe().context("find irori's own program")?;
    let words = vec![text(program)?, "up".to_owned(), text(home)?, "--data-dir".to_owned(), text(data.root().to_owned())?];
    Ok([words, up.store.words()?].concat())
}

fn session(data: &DataDir, words: &[String]) -> Result<Child> {
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(data.log())
        .with_context(|| format!("open `{}`", data.log().display()))?;
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
    if std::env::var_os("IRORI_LOG").is_none() {
        command.env("IRORI_LOG", "info");
    }
    command.spawn().context("start irori in the background")
}

/// Puts a log that grew aside, so that two files are the most there is of earlier runs.
fn keep_short(log: &Path) -> Result<()> {
    if fs::metadata(log).is_ok_and(|meta| meta.len() > LOG_BYTES_MAX) {
        fs::rename(log, log.with_extension("log.1")).with_context(|| format!("put `{}` aside", log.display()))?;
    }
    Ok(())
}

/// Writes and starts the unit. Pods outlive the service: only its own process is killed, and their cgroups are theirs.
fn service(data: &DataDir, words: &[String]) -> Result<()> {
    let name = unit(data)?;
    let quoted: Vec<String> =
        words.iter().map(|word| format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%"))).collect();
    let text = format!(
        "[Unit]\nDescription=Irori home cloud ({root})\nAfter=network-online.target\nWants=network-online.target\n\n\
         [Service]\nType=exec\nExecStart={command}\nEnvironment=IRORI_LOG=info\nKillMode=process\nDelegate=yes\nRestart=always\nRestartSec=1\n\
         TimeoutStopSec=30\nLimitNOFILE=1048576\nTasksMax=infinity\nOOMScoreAdjust=-900\n\n[Install]\nWantedBy=multi-user.target\n",
        root = data.root().display(),
        command = quoted.join(" "),
    );
    let path = Path::new("/etc/systemd/system").join(&name);
    fs::write(&path, text).with_context(|| format!("write `{}`", path.display()))?;
    systemctl(&["daemon-reload"])?;
    systemctl(&["enable", "--now", &name])
}

/// Takes the unit away, if there is one; the process ends with it.
pub fn remove_service(data: &DataDir) -> Result<bool> {
    let name = unit(data)?;
    let path = Path::new("/etc/systemd/system").join(&name);
    if !path.exists() {
        return Ok(false);
    }
    systemctl(&["disable", "--now", &name])?;
    fs::remove_file(&path).with_context(|| format!("remove `{}`", path.display()))?;
    systemctl(&["daemon-reload"])?;
    Ok(true)
}

fn unit(data: &DataDir) -> Result<String> {
    Ok(format!("irori-{}.service", data.instance()?))
}

fn systemctl(words: &[&str]) -> Result<()> {
    let status = Command::new("systemctl").args(words).status().context("run systemctl")?;
    if !status.success() {
        bail!("`systemctl {}` ended with {status}", words.join(" "));
    }
    Ok(())
}

/// Prints the background process's progress until it has announced a home whose apps were applied.
fn wait(data: &DataDir, mut child: Option<&mut Child>, log_from: u64, silent: bool) -> Result<()> {
    let deadline = Instant::now() + UP_MAX;
    let mut shown = 0;
    loop {
        let log = fs::read(data.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(log.get(usize::try_from(log_from)?..).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("ok   ") || line.starts_with("fail ") || line.starts_with("irori: "))
            .collect();
        if !silent {
            lines.iter().skip(shown).for_each(|line| eprintln!("{line}"));
        }
        shown = lines.len();
        if let Some(ended) = child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
            bail!("irori ended with {ended}; its log is `{}`", data.log().display());
        }
        if data.running()?.is_some() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!("the home is not up after {} s; the log is `{}`", UP_MAX.as_secs(), data.log().display());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
