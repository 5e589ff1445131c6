//! An OCI image made in memory: one layer of files, a config, a manifest.
use std::{collections::BTreeMap, path::Component, path::Path};

use aws_lc_rs::digest;
use bytes::Bytes;
use serde_json::json;

use super::tar::Tar;
use crate::runtime::ImageConfig;

/// Sum of the contents of a layout. Above this it is refused.
pub const LAYOUT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What an image is to hold. Build it up, then hand it to `Runtime::import_image`.
#[derive(Clone, Debug)]
pub struct Layout {
    name: String,
    pinned: bool,
    config: ImageConfig,
    files: BTreeMap<String, (u32, Bytes)>,
    directories: BTreeMap<String, u32>,
}

/// Why a layout is no image.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LayoutError {
    #[error("path `{path}` of an image file is not clean or too long")]
    Path { path: String },
    #[error("image content is {bytes} bytes, more than {LAYOUT_BYTES_MAX}")]
    TooLarge { bytes: usize },
}

/// A blob of an image.
#[derive(Clone, Debug)]
pub struct Blob {
    /// `sha256:…`
    pub digest: String,
    pub media_type: &'static str,
    pub bytes: Bytes,
}

/// The blobs of an image, each named by its digest.
#[derive(Clone, Debug)]
pub struct BuiltImage {
    pub manifest: Blob,
    pub config: Blob,
    pub layer: Blob,
}

impl Layout {
    /// An image with a full name, such as `irori.dev/pause:1`.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            pinned: false,
            config: ImageConfig::default(),
            files: BTreeMap::new(),
            directories: BTreeMap::new(),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn is_pinned(&self) -> bool {
        self.pinned
    }

    /// Keeps housekeeping away from it.
    pub fn pinned(mut self) -> Self {
        self.pinned = true;
        self
    }

    pub fn config(mut self, config: ImageConfig) -> Self {
        self.config = config;
        self
    }

    /// Adds a file; `path` is absolute, directories above it come by themselves.
    pub fn file(mut self, path: &str, mode: u32, content: impl Into<Bytes>) -> Self {
        self.files.insert(path.to_owned(), (mode, content.into()));
        self
    }

    pub fn directory(mut self, path: &str, mode: u32) -> Self {
        self.directories.insert(path.to_owned(), mode);
        self
    }

    /// Makes the blobs. Pure: equal layouts give equal bytes.
    pub fn build(&self) -> Result<BuiltImage, LayoutError> {
        let bytes = self.files.values().map(|(_, content)| content.len()).sum();
        if bytes > LAYOUT_BYTES_MAX {
            return Err(LayoutError::TooLarge { bytes });
        }
        let mut tar = Tar::default();
        for (path, mode) in &self.directories {
            tar.directory(relative(path)?, *mode).map_err(|_| LayoutError::Path { path: path.clone() })?;
        }
        for (path, (mode, content)) in &self.files {
            tar.file(relative(path)?, *mode, content).map_err(|_| LayoutError::Path { path: path.clone() })?;
        }
        let layer = blob("application/vnd.oci.image.layer.v1.tar", tar.finish());
        let config = blob("application/vnd.oci.image.config.v1+json", self.config_json(&layer.digest).into_bytes());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": { "mediaType": config.media_type, "digest": config.digest, "size": config.bytes.len() },
            "layers": [{ "mediaType": layer.media_type, "digest": layer.digest, "size": layer.bytes.len() }],
        });
        Ok(BuiltImage { manifest: blob(MANIFEST, manifest.to_string().into_bytes()), config, layer })
    }

    fn config_json(&self, diff_id: &str) -> String {
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let mut inner = serde_json::Map::new();
        let texts =
            [("User", &self.config.user), ("WorkingDir", &self.config.working_dir), ("StopSignal", &self.config.stop_signal)];
        for (key, value) in texts.into_iter().filter(|(_, value)| !value.is_empty()) {
            inner.insert(key.to_owned(), json!(value));
        }
        let lists = [("Entrypoint", &self.config.entrypoint), ("Cmd", &self.config.cmd), ("Env", &self.config.env)];
        for (key, value) in lists.into_iter().filter(|(_, value)| !value.is_empty()) {
            inner.insert(key.to_owned(), json!(value));
        }
        json!({
            "architecture": arch,
            "os": "linux",
            "config": inner,
            "rootfs": { "type": "layers", "diff_ids": [diff_id] },
        })
        .to_string()
    }
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn blob(media_type: &'static str, bytes: Vec<u8>) -> Blob {
    let hash = digest::digest(&digest::SHA256, &bytes);
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Blob { digest: format!("sha256:{hex}"), media_type, bytes: bytes.into() }
}

/// `/a/b` without its slash, if no component is `.`, `..` or empty.
fn relative(path: &str) -> Result<&str, LayoutError> {
    let wrong = || LayoutError::Path { path: path.to_owned() };
    let relative = path.strip_prefix('/').filter(|rest| !rest.is_empty()).ok_or_else(wrong)?;
    let plain = Path::new(relative).components().all(|c| matches!(c, Component::Normal(_)));
    let clean = plain && relative.split('/').all(|part| !part.is_empty() && part != ".");
    if clean { Ok(relative) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Layout {
        Layout::new("irori.dev/t:1")
            .file("/bin/app", 0o755, "#!x")
            .config(ImageConfig { entrypoint: vec!["/bin/app".into()], ..Default::default() })
    }

    #[test]
    fn equal_layouts_have_equal_digests_and_another_byte_changes_them() {
        let built = small().build().expect("clean");
        assert_eq!(built.manifest.digest, small().build().expect("clean").manifest.digest);
        assert_ne!(built.manifest.digest, small().file("/a", 0o644, "b").build().expect("clean").manifest.digest);
        let manifest: serde_json::Value = serde_json::from_slice(&built.manifest.bytes).expect("JSON");
        assert_eq!(manifest["config"]["digest"], built.config.digest);
        assert_eq!(manifest["layers"][0]["size"], built.layer.bytes.len());
        let config: serde_json::Value = serde_json::from_slice(&built.config.bytes).expect("JSON");
        assert_eq!(config["rootfs"]["diff_ids"][0], built.layer.digest);
        assert_eq!(config["config"], serde_json::json!({ "Entrypoint": ["/bin/app"] }));
    }

    #[test]
    fn paths_that_climb_are_refused() {
        for path in ["relative", "/", "/a/../b", "/a//b", "/./a", "/a/"] {
            let refused = Layout::new("x").file(path, 0o644, "").build().err();
            assert_eq!(refused, Some(LayoutError::Path { path: path.to_owned() }), "{path}");
        }
    }
}
