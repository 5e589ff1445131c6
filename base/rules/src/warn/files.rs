//! Files of a volume that lie where others do: what the last one says is what a container finds.
//!
//! Source: https://kubernetes.io/docs/concepts/storage/projected-volumes/.
use std::fmt;

use serde_json::Value;

use super::WARNINGS_MAX;
use crate::tree::{get, items, text};

/// Files of one volume that are compared with each other; further ones are not.
const FILES_MAX: usize = 256;

/// Where a file lies, and what it is from, where a volume has several sources.
struct File<'a> {
    path: &'a str,
    source: String,
}

impl<'a> File<'a> {
    fn new(path: &'a str, source: &str) -> Self {
        Self { path: path.trim_end_matches('/'), source: source.to_owned() }
    }

    /// Whether both are the same file, or one is the other's folder.
    fn overlaps(&self, other: &File<'_>) -> bool {
        let lies_in =
            |path: &str, folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        !self.path.is_empty() && !other.path.is_empty() && (lies_in(self.path, other.path) || lies_in(other.path, self.path))
    }
}

impl fmt::Display for File<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.path)?;
        if self.source.is_empty() { Ok(()) } else { write!(f, " ({})", self.source) }
    }
}

/// Says it of each volume.
pub fn overlaps(volumes: &[Value], told: &mut Vec<String>) {
    for volume in volumes {
        let name = text(volume, &["name"]);
        for (field, kind) in [
            ("configMap", format!("ConfigMap {:?}", text(volume, &["configMap", "name"]))),
            ("secret", format!("Secret {:?}", text(volume, &["secret", "secretName"]))),
            ("downwardAPI", "DownwardAPI".to_owned()),
        ] {
            let files = items(volume, &[field, "items"]).iter().map(|item| File::new(text(item, &["path"]), ""));
            compare(&files.take(FILES_MAX).collect::<Vec<_>>(), name, &kind, told);
        }
        let mut files = Vec::new();
        for source in items(volume, &["projected", "sources"]) {
            if source.as_object().is_none_or(serde_json::Map::is_empty) && told.len() < WARNINGS_MAX {
                told.push(format!("volume {name:?} (Projected) has no sources provided"));
            }
            projected(source, &mut files);
        }
        files.truncate(FILES_MAX);
        compare(&files, name, "Projected", told);
    }
}

fn compare(files: &[File<'_>], volume: &str, kind: &str, told: &mut Vec<String>) {
    for (i, file) in files.iter().enumerate() {
        for other in files[..i].iter().filter(|other| file.overlaps(other)) {
            if told.len() >= WARNINGS_MAX {
                return;
            }
            told.push(format!("volume {volume:?} ({kind}): overlapping paths: {file} with {other}"));
        }
    }
}

/// The files of one source of a projected volume.
fn projected<'a>(source: &'a Value, files: &mut Vec<File<'a>>) {
    for (field, kind) in [("configMap", "ConfigMap"), ("secret", "Secret")] {
        let kind = format!("{kind} {:?}", text(source, &[field, "name"]));
        files.extend(items(source, &[field, "items"]).iter().map(|item| File::new(text(item, &["path"]), &kind)));
    }
    files.extend(items(source, &["downwardAPI", "items"]).iter().map(|item| File::new(text(item, &["path"]), "DownwardAPI")));
    if let Some(token) = get(source, &["serviceAccountToken"]) {
        files.push(File::new(text(token, &["path"]), "ServiceAccountToken"));
    }
    if let Some(bundle) = get(source, &["clusterTrustBundle"]) {
        let name = get(bundle, &["name"]).map_or_else(|| text(bundle, &["signerName"]), |_| text(bundle, &["name"]));
        files.push(File::new(text(bundle, &["path"]), &format!("ClusterTrustBundle {name:?}")));
    }
    for (field, what) in [("certificateChainPath", "chain"), ("keyPath", "key"), ("credentialBundlePath", "credential bundle")] {
        files.push(File::new(text(source, &["podCertificate", field]), &format!("PodCertificate {what}")));
    }
}
