//! Images that are made here instead of being pulled.
//!
//! What it is: an OCI image made in memory from a few files (`Layout`), and the pause image (`pause`).
//! What it is not: it knows no containerd; `containerd::Machine` takes a finished layout in.
//! Invariant: the same input gives the same bytes, so that importing again writes nothing.
//! Limits: a layout is held in memory whole; `LAYOUT_BYTES_MAX` bounds it.
mod layout;
pub(crate) mod pause;
mod tar;

pub use layout::{Blob, BuiltImage, LAYOUT_BYTES_MAX, Layout, LayoutError};
