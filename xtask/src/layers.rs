//! `cargo xtask layers`: the rules that keep the house a house (docs/ARCHITECTURE.md).
//!
//! What is checked: who may import whom, names that say nothing, Cargo features for product choices, tasks and wall time taken around
//! `irori-runtime`, and files that outgrew their room.
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// Lines of a file at which it has to be split. Tests and tables do not count.
const FILE_LINES_MAX: usize = 800;
const BASE: [&str; 6] = ["api", "rules", "runtime", "trust", "http", "client"];
const NAMES_THAT_SAY_NOTHING: [&str; 4] = ["utils", "common", "helpers", "core"];
/// Rooms that may be started as a test server by the tests of any other.
const TEST_SERVERS: [&str; 2] = ["apiserver", "store"];

/// Which rooms of `base` a room of `base` may import.
fn base_may_import(room: &str) -> &'static [&'static str] {
    match room {
        "rules" => &["api"],
        "trust" => &["runtime"],
        "http" => &["trust", "runtime"],
        "client" => &["api", "http", "trust", "runtime"],
        _ => &[],
    }
}

struct Room {
    wing: String,
    name: String,
    folder: PathBuf,
    manifest: toml::Table,
}

pub fn run(root: &Path) -> Result<()> {
    let rooms = rooms(root)?;
    let by_crate: BTreeMap<String, &Room> = rooms.iter().map(|room| (room.package(), room)).collect();
    let mut broken = Vec::new();
    for room in &rooms {
        imports(room, &by_crate, &mut broken);
        if room.manifest.contains_key("features") {
            broken.push(format!("{}: has Cargo features; product choices are settings", room.folder.display()));
        }
        for source in sources(&room.folder.join("src"))? {
            check_source(root, room, &source, &mut broken)?;
        }
    }
    if broken.is_empty() {
        println!("layers: {} rooms, no rule broken", rooms.len());
        return Ok(());
    }
    broken.iter().for_each(|line| eprintln!("layers: {line}"));
    bail!("{} rules of the house are broken", broken.len())
}

impl Room {
    fn package(&self) -> String {
        self.manifest.get("package").and_then(|p| p.get("name")).and_then(|n| n.as_str()).unwrap_or_default().to_owned()
    }

    fn dependencies(&self, table: &str) -> Vec<String> {
        self.manifest.get(table).and_then(|t| t.as_table()).map(|t| t.keys().cloned().collect()).unwrap_or_default()
    }
}

fn rooms(root: &Path) -> Result<Vec<Room>> {
    let workspace: toml::Table = fs::read_to_string(root.join("Cargo.toml")).context("read Cargo.toml")?.parse()?;
    let members =
        workspace.get("workspace").and_then(|w| w.get("members")).and_then(|m| m.as_array()).context("workspace has members")?;
    let mut rooms = Vec::new();
    for member in members.iter().filter_map(|m| m.as_str()) {
        let folder = root.join(member);
        let manifest =
            fs::read_to_string(folder.join("Cargo.toml")).with_context(|| format!("read manifest of {member}"))?.parse()?;
        let (wing, name) = member.split_once('/').unwrap_or((member, member));
        rooms.push(Room { wing: wing.to_owned(), name: name.to_owned(), folder, manifest });
    }
    Ok(rooms)
}

fn imports(room: &Room, by_crate: &BTreeMap<String, &Room>, broken: &mut Vec<String>) {
    let at = format!("{}/{}", room.wing, room.name);
    for (table, for_tests) in [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)] {
        for target in room.dependencies(table).iter().filter_map(|name| by_crate.get(name)) {
            if !may_import(room, target, for_tests) {
                broken.push(format!("{at} may not import {}/{} ({table})", target.wing, target.name));
            }
        }
    }
    if NAMES_THAT_SAY_NOTHING.contains(&room.name.as_str()) {
        broken.push(format!("{at}: the name says nothing"));
    }
}

fn may_import(room: &Room, target: &Room, for_tests: bool) -> bool {
    match (room.wing.as_str(), target.wing.as_str()) {
        ("irori", wing) => wing != "tests" || for_tests,
        ("tests", wing) => wing == "tests" || wing == "base" || (wing == "engine" && target.name == "store"),
        ("benches", wing) => matches!(wing, "base" | "tests" | "xtask") || (wing == "engine" && target.name == "store"),
        ("base", "base") => base_may_import(&room.name).contains(&target.name.as_str()),
        ("engine" | "platform", "base") => BASE.contains(&target.name.as_str()),
        ("engine", "engine") if !for_tests => room.name == "apiserver" && target.name == "store",
        ("engine" | "platform" | "base", "engine") if for_tests => TEST_SERVERS.contains(&target.name.as_str()),
        _ => false,
    }
}

fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return Ok(found) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}

fn check_source(root: &Path, room: &Room, source: &Path, broken: &mut Vec<String>) -> Result<()> {
    let shown = source.strip_prefix(root).unwrap_or(source).display().to_string();
    let stem = source.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    let text = fs::read_to_string(source)?;
    let is_test = shown.contains("/tests") || stem == "tests";
    if NAMES_THAT_SAY_NOTHING.contains(&stem) {
        broken.push(format!("{shown}: the name says nothing"));
    }
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX && !is_test && !stem.contains("table") {
        broken.push(format!("{shown}: {lines} lines; split it by stage before {FILE_LINES_MAX}"));
    }
    if matches!(room.wing.as_str(), "xtask" | "benches") || room.name == "runtime" || is_test {
        return Ok(());
    }
    // What stands below `#[cfg(test)]` at the left margin is a test.
    let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
    // An exception is written above its line, with its reason.
    let allowed =
        |number: usize| number > 0 && code.lines().nth(number - 1).is_some_and(|line| line.contains("// layers allow: "));
    for (number, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
        for (taken, instead) in [
            ("tokio::spawn(", "irori_runtime::Tasks"),
            ("SystemTime::now", "irori_runtime::Clock"),
            ("Timestamp::now()", "irori_runtime::Clock"),
            ("catch_unwind", "nothing: a panic is a bug"),
        ] {
            if line.contains(taken) && !allowed(number) {
                broken.push(format!("{shown}:{}: `{taken}`; use {instead}", number + 1));
            }
        }
    }
    Ok(())
}
