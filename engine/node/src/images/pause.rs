//! The image of a sandbox's first process.
use super::Layout;
use crate::runtime::ImageConfig;

/// Built from `pause/pause.rs` for the target of this build.
static PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pause"));

/// The pause image under `name`, pinned.
pub(crate) fn pause(name: &str) -> Layout {
    Layout::new(name).pinned().file("/pause", 0o755, PROGRAM).config(ImageConfig {
        entrypoint: vec!["/pause".to_owned()],
        user: "65535:65535".to_owned(),
        ..ImageConfig::default()
    })
}
