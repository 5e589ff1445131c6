//! `irori store dump`: objects for people.
use std::io::Write;

use anyhow::{Context as _, Result};
use irori_apiserver::{census, stored};
use irori_store::{Entry, KEYS};
use irori_trust::seal::{Keyring, Passphrase, Unlock, generation_of};
use serde_json::{Map, Value, json};

use super::{BadBackup, Dump, open_backup, stopped};
use crate::{
    cli::{Done, Exit, Output},
    data::DataDir,
};

pub fn run(dump: &Dump) -> Done {
    let entries = entries(dump)?;
    let keys = if dump.reveal { Some(keys(dump, &entries)?) } else { None };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for entry in entries.iter().filter(|entry| entry.key.starts_with(&dump.prefix)) {
        let shown = shown(entry, keys.as_ref());
        let written = match dump.output {
            Output::Json => writeln!(out, "{shown}"),
            // JSON is YAML.
            Output::Text => writeln!(out, "---\n# {}\n{}", entry.key, serde_json::to_string_pretty(&shown)?),
        };
        written.context("print the objects")?;
    }
    out.flush().context("print the objects")?;
    Ok(())
}

/// All of them: the record of the data keys may lie outside the prefix.
fn entries(dump: &Dump) -> Result<Vec<Entry>, crate::cli::Ended> {
    if let Some(file) = &dump.file {
        let mut entries = Vec::new();
        open_backup(file)?.read(|entry| entries.push(entry)).map_err(BadBackup)?;
        return Ok(entries);
    }
    let data = DataDir::existing(&dump.data.data_dir).map_err(|error| Exit::NotRunning.because(error))?;
    Ok(stopped(&data)?.entries().cloned().collect())
}

fn keys(dump: &Dump, entries: &[Entry]) -> Result<Keyring> {
    let record = entries.iter().find(|entry| &*entry.key == KEYS).context("nothing is sealed here: there are no data keys")?;
    let unlock = match &dump.sealing_passphrase_file {
        Some(file) => {
            let text = std::fs::read_to_string(file).with_context(|| format!("read `{}`", file.display()))?;
            Unlock::Passphrase(Passphrase::new(text.lines().next().unwrap_or_default())?)
        }
        None => Unlock::KeyFile(dump.sealing_key_file.clone().unwrap_or_else(|| dump.data.data_dir.join("sealing.key"))),
    };
    Ok(Keyring::unlock(&record.value, &unlock)?)
}

/// A line of the dump. What cannot be shown is said.
fn shown(entry: &Entry, keys: Option<&Keyring>) -> Value {
    let mut line = json!({"key": &*entry.key, "revision": entry.revision.0});
    let opened;
    let entry = match (generation_of(&entry.value), keys) {
        (Some(generation), None) => {
            line["sealed"] = json!({"generation": generation});
            return line;
        }
        (Some(_), Some(keys)) => match keys.open(&entry.key, &entry.value) {
            Ok(value) => {
                opened = Entry { value: value.into(), ..entry.clone() };
                &opened
            }
            Err(failed) => {
                line["unreadable"] = failed.to_string().into();
                return line;
            }
        },
        (None, _) => entry,
    };
    if !census::is_object(&entry.key) {
        line["bytes"] = entry.value.len().into();
        return line;
    }
    match stored::tree(entry) {
        Ok(mut object) => {
            if keys.is_none() && object["kind"] == "Secret" {
                conceal(&mut object);
            }
            line["object"] = object;
        }
        Err(broken) => line["unreadable"] = broken.to_string().into(),
    }
    line
}

/// A Secret that was never sealed keeps its secret here too.
fn conceal(secret: &mut Value) {
    if let Some(data) = secret.get_mut("data").and_then(Value::as_object_mut) {
        let hidden: Map<String, Value> = data.keys().map(|name| (name.clone(), "(hidden)".into())).collect();
        *data = hidden;
    }
}

#[cfg(test)]
mod tests {
    use irori_store::Revision;

    use super::*;

    #[test]
    fn a_secret_that_lies_open_is_hidden_unless_asked_for() {
        let value = [&b"\x01\0\0\x01\x02v1\x06Secret"[..], br#"{"metadata":{"name":"a"},"data":{"code":"aGVsbG8="}}"#].concat();
        let entry = Entry { key: "core/secrets/default/a".into(), value: value.into(), revision: Revision(7) };
        let line = shown(&entry, None);
        assert_eq!(line["object"]["data"]["code"], "(hidden)");
        assert_eq!(line["object"]["metadata"]["resourceVersion"], "7");
        let folder = tempfile::tempdir().unwrap();
        let keys = Keyring::create(&Unlock::KeyFile(folder.path().join("key")), 0).unwrap();
        assert_eq!(shown(&entry, Some(&keys))["object"]["data"]["code"], "aGVsbG8=");
        let sealed = Entry { value: keys.seal(&entry.key, &entry.value).unwrap().into(), ..entry.clone() };
        assert_eq!(shown(&sealed, None), json!({"key": "core/secrets/default/a", "revision": 7, "sealed": {"generation": 1}}));
        assert_eq!(shown(&sealed, Some(&keys))["object"]["data"]["code"], "aGVsbG8=");
    }
}
