//! Forwarding, only on the links that need it, and what it was before.
//!
//! IPv4 is forwarded by the link that a packet came in on, so pod links (when they are made) and uplinks are switched on and the
//! machine as a whole is not. IPv6 knows that only since Linux 6.17 (`force_forwarding`); before, the machine is switched on
//! as a whole, and interfaces that learnt their addresses from a router are told to go on doing so.
use std::{fs, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::HostError;
use crate::{Settings, leases, netlink::route::Link, sysctl};

/// Values of before, good for one boot.
#[derive(Default, Serialize, Deserialize)]
struct Before {
    boot: String,
    values: Vec<(String, String)>,
}

pub fn set(settings: &Settings, uplinks: &[Link]) -> Result<(), HostError> {
    let wanted = wanted(settings, uplinks);
    let mut before = load(settings);
    let changes = |(name, value): &&(String, String)| sysctl::read(name).is_some_and(|old| old != *value);
    let wanted: Vec<_> = wanted.iter().filter(changes).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    for (name, _) in &wanted {
        let Some(old) = sysctl::read(name) else { continue };
        if !before.values.iter().any(|(known, _)| known == name) {
            before.values.push((name.clone(), old));
        }
    }
    store(settings, &before)?;
    for (name, value) in wanted {
        sysctl::write_if_there(name, value)?;
    }
    Ok(())
}

/// Sets back what was changed in this boot, the last change first; nothing if another Irori here still uses them.
pub fn restore(settings: &Settings, still_used: bool) -> Result<(), HostError> {
    let before = load(settings).values;
    for (name, value) in before.iter().rev().filter(|_| !still_used) {
        sysctl::write_if_there(name, value)?;
    }
    match fs::remove_file(path(settings)) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(HostError::Remember { path: path(settings), source }),
        _ => Ok(()),
    }
}

fn wanted(settings: &Settings, uplinks: &[Link]) -> Vec<(String, String)> {
    let v6 = settings.pod_cidrs.iter().any(|c| c.is_v6());
    let one = |name: String| (name, "1".to_owned());
    let mut wanted: Vec<_> = uplinks.iter().map(|link| one(format!("ipv4/conf/{}/forwarding", link.name))).collect();
    if v6 && sysctl::exists("ipv6/conf/all/force_forwarding") {
        wanted.extend(uplinks.iter().map(|link| one(format!("ipv6/conf/{}/force_forwarding", link.name))));
    } else if v6 && sysctl::read("ipv6/conf/all/forwarding").as_deref() != Some("1") {
        let listening = |link: &&Link| sysctl::read(&format!("ipv6/conf/{}/accept_ra", link.name)).as_deref() == Some("1");
        let listening = uplinks.iter().filter(listening);
        wanted.extend(listening.map(|link| (format!("ipv6/conf/{}/accept_ra", link.name), "2".to_owned())));
        wanted.push(one("ipv6/conf/all/forwarding".to_owned()));
    }
    wanted
}

fn path(settings: &Settings) -> PathBuf {
    settings.data_dir.join("cni/switches.json")
}

/// What is remembered of this boot. An unreadable or older note is worth nothing: the kernel has forgotten the values too.
fn load(settings: &Settings) -> Before {
    let boot = leases::boot_id().unwrap_or_default();
    let noted: Option<Before> = fs::read(path(settings)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    noted.filter(|before| before.boot == boot).unwrap_or(Before { boot, values: Vec::new() })
}

fn store(settings: &Settings, before: &Before) -> Result<(), HostError> {
    let (path, bytes) = (path(settings), serde_json::to_vec(before).expect("strings become JSON"));
    let aside = path.with_extension("aside");
    fs::create_dir_all(settings.data_dir.join("cni"))
        .and_then(|()| fs::write(&aside, bytes))
        .and_then(|()| fs::rename(&aside, &path))
        .map_err(|source| HostError::Remember { path, source })
}
