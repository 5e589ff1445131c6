//! A file for each command.
pub mod apart;
pub mod down;
pub mod logs;
pub mod show;
pub mod status;
pub mod store;
pub mod table;
pub mod up;

use std::{io::Read as _, path::Path};

use anyhow::{Context as _, Result};
use irori_client::{Identity, Remote, connect};
use irori_home::{Home, parse, render};
use irori_runtime::{Clock, SignedDuration, Timestamp};

use crate::{
    cli::{Ended, Exit},
    data::{DataDir, Running},
};

/// Reads the home file; its mistakes are printed as they are.
pub fn read_home(path: &Path) -> Result<(Home, String), Ended> {
    let text = read_bounded(path).and_then(|bytes| String::from_utf8(bytes).map_err(not_text));
    let text = text.with_context(|| format!("read home file `{}`", path.display()));
    let text = text.map_err(|error| Exit::WrongInput.because(error))?;
    let folder = folder_of(path).to_owned();
    let home = parse(&text, &|file| read_bounded(&folder.join(file))).map_err(|found| {
        eprint!("{}", render(&path.display().to_string(), &text, &found));
        let mistakes = if found.len() == 1 { "a mistake".to_owned() } else { format!("{} mistakes", found.len()) };
        Exit::WrongInput.because(anyhow::anyhow!("the home file has {mistakes}; nothing was changed (E01: docs/errors/E01.md)"))
    })?;
    Ok((home, text))
}

/// The home file, and each file that it names, has at most so many bytes: more than an object of Kubernetes may have.
const FILE_BYTES_MAX: u64 = 2 << 20;

fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

/// Says where a text ends to be one.
fn not_text(error: std::string::FromUtf8Error) -> std::io::Error {
    let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
    let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = good.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    std::io::Error::new(std::io::ErrorKind::InvalidData, format!("line {line}, column {column}: expected text in UTF-8"))
}

/// What a home file's own files are relative to.
pub fn folder_of(home: &Path) -> &Path {
    home.parent().unwrap_or(Path::new(""))
}

/// The running home of a data folder.
pub fn running(data: &Path) -> Result<(DataDir, Running), Ended> {
    let data = DataDir::existing(data).map_err(|error| Exit::NotRunning.because(error))?;
    match data.running()? {
        Some(running) => Ok((data, running)),
        None => {
            let told = anyhow::anyhow!("the home in `{}` is not running; `irori up HOME` starts it", data.root().display());
            Err(Exit::NotRunning.because(told))
        }
    }
}

/// A client with the administrator's certificate, for commands beside a running home.
pub fn admin_client(data: &DataDir, running: &Running, offset: SignedDuration) -> Result<kube::Client> {
    let text = std::fs::read_to_string(data.admin_kubeconfig()).context("read the administrator's kubeconfig")?;
    let clock = Clock::system(Timestamp::UNIX_EPOCH, offset);
    client_of(&text, Some(&running.api), &clock)
}

/// A client of a kubeconfig that irori wrote.
pub fn client_of(kubeconfig: &str, server: Option<&str>, clock: &Clock) -> Result<kube::Client> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let field = |name: &str| -> Result<String> {
        let line = kubeconfig.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": "));
        Ok(line.with_context(|| format!("the kubeconfig has no `{name}`"))?.trim().to_owned())
    };
    let pem = |name: &str| -> Result<String> { Ok(String::from_utf8(STANDARD.decode(field(name)?)?)?) };
    let identity = Identity::Certificate { cert_pem: pem("client-certificate-data")?, key_pem: pem("client-key-data")? };
    let url = match server {
        Some(url) => url.to_owned(),
        None => field("server")?,
    };
    Ok(connect(&Remote { url, ca_pem: pem("certificate-authority-data")?, identity, agent: "irori", clock: clock.clone() })?)
}
