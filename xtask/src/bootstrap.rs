//! `cargo xtask bootstrap`: the objects that every cluster starts with, as one line of text each.
use std::{fs, io::Read, path::Path};

use anyhow::{Context, Result};
use flate2::read::GzDecoder;
use serde_json::{Map, Value};

const TARGET: &str = "engine/apiserver/src/bootstrap/objects.txt";

/// Reads `bootstrap-objects.json.gz` in `from` and writes the committed table.
pub fn run(root: &Path, from: &Path) -> Result<()> {
    let source = root.join(from).join("bootstrap-objects.json.gz");
    let mut text = String::new();
    let file = fs::File::open(&source).with_context(|| format!("open {}", source.display()))?;
    GzDecoder::new(file).read_to_string(&mut text).context("unpack bootstrap objects")?;
    let lists: Map<String, Value> = serde_json::from_str(&text).context("parse bootstrap objects")?;
    let mut out =
        String::from("# Made by `cargo xtask bootstrap`: what a stock server creates at its start. GROUP/VERSION/PLURAL JSON.\n");
    for (path, objects) in &lists {
        let path = path.trim_start_matches("/apis/").replace("/api/", "core/");
        if path.ends_with("/servicecidrs") {
            continue; // written from the settings
        }
        for object in objects.as_array().into_iter().flatten() {
            let mut object = object.clone();
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            // Of the distribution that the recording was made with, not of Kubernetes.
            if name.contains("openshift") || name.contains("service-ca-cert-publisher") {
                continue;
            }
            if let Some(metadata) = object["metadata"].as_object_mut() {
                for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
                    metadata.remove(field);
                }
            }
            for condition in object.pointer_mut("/status/conditions").and_then(Value::as_array_mut).into_iter().flatten() {
                condition.as_object_mut().map(|c| c.remove("lastTransitionTime"));
            }
            out += &format!("{path} {object}\n");
        }
    }
    fs::write(root.join(TARGET), out).with_context(|| format!("write {TARGET}"))
}
