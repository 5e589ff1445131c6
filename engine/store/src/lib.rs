//! Where a home lives: keys, values, revisions, watch. Opaque bytes in, opaque bytes out.
//!
//! What it is: the contract of a store (`Store`, `Watch`) the embedded store that keeps it on one machine's disk, and the
//! store on etcd (module `etcd`) that several servers share.
//! What it is not: it knows nothing about HTTP, users, kinds or JSON; the embedded store has no network.
//!
//! Flow: `commit` -> checked against the newest state (commits still on their way to the disk included) and given a revision
//! -> joins the waiting batch -> the writer thread writes the batch as one frame, one fdatasync -> published: the state is
//! swapped, watchers get the events, committers their answers.
//!
//! On disk (module `log`): `log-*` segments of checksummed frames, `snap-*` snapshots, `revisions` (what revisions may have been
//! handed out, how far the log must reach), `LOCK`. Every file starts with the format version. A backup is one more kind of file: entries
//! at one revision (`freeze`), as a stream. `Stopped` looks at a store that nobody uses without touching it, `restore` makes one of a backup.
//!
//! Invariants:
//! * A `Synced` commit that returned is on disk. Readers and watchers see it after that, never before.
//! * Revisions only grow, over crashes too: they are reserved in durable blocks. After an unclean stop the store goes on above its
//!   block, and revisions between what was recovered and that block answer `Compacted`, because lazy commits may have had them.
//! * A damaged byte is an error that names file and offset, save in the last frame, where it cannot be told from a write that a
//!   power cut tore; that frame is cut.
//! * Nothing is written and no timer is armed while nothing is committed.
//!
//! Limits: key 1,024 bytes, value 4 MiB, commit 16 MiB and 10,000 writes, 32 MiB of commits waiting (above that committers wait),
//! ring 8,192 events or 16 MiB, a watcher 4,096 events or 8 MiB behind, history five minutes or 1 GiB of log (the shorter), lazy commits 60 s or 1 MiB.
//!
//! Failure modes: no space left refuses the write with `Full` and tries again at the next write; any other failed write, and every failed
//! fdatasync, ends writing with `Stopped` at once and starts the process's shutdown, while reads go on.
mod contract;
pub mod disk;
mod embedded;
mod etcd;
pub mod ledger;
mod limits;
mod log;
mod overlay;
mod sealed;
pub mod sim;
mod state;
mod stopped;

pub use contract::*;
pub use embedded::{EmbeddedStore, Settings};
pub use etcd::{EtcdError, EtcdSettings, EtcdStore, Login};
pub use limits::Limits;
pub use log::{Backup, BackupWriter, Content, FileReport, OpenError, Summary, Written, written_after};
pub use sealed::{KEYS, Resealed, SealedError, SealedStore, Sealing};
pub use stopped::{Checked, Stopped, restore};
