//! The disk formats of the embedded store, and how what was written is found again. Knows nothing of waiting commits or watchers.
mod backup;
mod error;
mod frame;
mod frames;
mod header;
mod history;
mod inspect;
mod migrate;
mod record;
mod recover;
mod restore;
mod revisions;
mod segment;
mod snapshot;

pub use backup::{Backup, BackupWriter, Summary};
pub use error::OpenError;
pub use frame::{FRAME_HEADER_BYTES, FrameKind};
pub use frames::{Written, written_after};
pub use history::{History, HistoryError, Keep};
pub use inspect::{Content, FileReport, inspect};
pub use record::{WriteRecord, put_commit};
pub use recover::open;
pub use restore::restore;
pub use revisions::{BLOCK, Reservation, RevisionsFile};
pub use segment::Segment;
pub use snapshot::Snapshot;
