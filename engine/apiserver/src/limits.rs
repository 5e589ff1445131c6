//! Every limit of the door, with its unit and what happens at it.
use std::time::Duration;

/// Bytes of a request body. Above it: 413 with the stock text.
pub const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Bytes that its defaults may make of an object that is smaller without them (or 64 KiB more than it has): what etcd takes with its own
/// settings. Above it: 413.
pub const GROWN_BYTES_MAX: usize = 1_572_864;
/// Nesting of an object, in a body or after a patch. Above it: 400. Below the 128 levels that JSON parsers of clients (and ours, of
/// what is stored) take, with room for the list, table or event around it.
pub const NESTING_MAX: usize = 100;
/// Bytes of path and query. Above it: 414.
pub const URL_BYTES_MAX: usize = 32 * 1024;
/// Bytes of a label or field selector. Above it: 400.
pub const SELECTOR_BYTES_MAX: usize = 16 * 1024;
/// Items of one page, if a client asks for more it gets this many and a continue token.
pub const LIST_ITEMS_MAX: usize = 100_000;
/// Open watches. Above it: 429 with Retry-After.
pub const WATCHES_MAX: usize = 20_000;
/// Requests that change something at once. Above it: 429 with Retry-After.
pub const CHANGES_AT_ONCE_MAX: usize = 1_000;
/// Requests that read at once (watches, logs and execs not counted). Above it: 429 with Retry-After.
pub const READS_AT_ONCE_MAX: usize = 2_000;
/// Streams to nodes (log, exec) at once. Above it: 429 with Retry-After.
pub const NODE_STREAMS_MAX: usize = 2_000;
/// What a client is told to wait after 429.
pub const RETRY_AFTER_S: u32 = 1;
/// Tries of a patch or an unconditional update that always meets a newer object. Then: 409.
pub const CONFLICT_TRIES_MAX: usize = 64;
/// Tries of a generated name that is taken. Then: 409.
pub const GENERATED_NAME_TRIES_MAX: usize = 8;
/// Pods of a namespace that are looked at when it becomes stricter. Above it: a warning says so.
pub const PODS_LOOKED_AT_MAX: usize = 3_000;
/// Tries of a random address or port before the whole range is looked through.
pub const RANDOM_ALLOCATION_TRIES_MAX: usize = 16;
/// Operations of a JSON patch. Above it: 413.
pub const PATCH_OPERATIONS_MAX: usize = 10_000;
/// Between two bookmarks of a watch that asked for them.
pub const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// Before the end of a watch it gets its last bookmark.
pub const BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);
/// The shortest life of a watch without `timeoutSeconds`; the longest is twice it.
pub const WATCH_LIFE_MIN: Duration = Duration::from_secs(30 * 60);
/// The longest life of a watch; a longer `timeoutSeconds` is this.
pub const WATCH_LIFE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a read waits for a resourceVersion that is not reached yet. Then: 504 with the stock cause.
pub const FUTURE_REVISION_WAIT: Duration = Duration::from_secs(3);
/// Answers below this many bytes are not compressed.
pub const GZIP_BYTES_MIN: usize = 128 * 1024;
/// Encoded events held to be shared between watchers; the oldest go first.
pub const SHARED_EVENTS_MAX: usize = 4_096;
/// How long a client of exec that was told everything may take to hang up.
pub const HANG_UP_WAIT: Duration = Duration::from_secs(120);
/// From the dial of a node to the headers of its answer.
pub const NODE_ANSWER_WAIT: Duration = Duration::from_secs(30);
/// Shortest life of a requested service-account token, in seconds.
pub const TOKEN_LIFE_S_MIN: i64 = 600;
/// Longest life of a requested service-account token, in seconds.
pub const TOKEN_LIFE_S_MAX: i64 = 1 << 32;
/// How long a request may wait for the authoriser to see what this server itself has just committed.
pub const INDEX_WAIT: Duration = Duration::from_secs(2);
/// What an Event that was there at the start has left at least, whatever the wall clock says.
pub const EVENT_LIFE_MIN: Duration = Duration::from_secs(10 * 60);
/// How long the first Event whose time is over waits for others: they end together. A tenth of their life where that is less.
pub const EVENT_GATHER: Duration = Duration::from_secs(60);
/// Before what follows the store looks again for a store that cannot be reached.
pub const FOLLOW_AGAIN: Duration = Duration::from_secs(1);
/// How long a question for health waits for the store, as kube-apiserver waits for etcd.
pub const HEALTH_WAIT: Duration = Duration::from_secs(2);
/// Characters of all warnings of an answer. Above it each is cut to `WARNING_CHARS_MAX`, and those beyond are left out.
pub const WARNINGS_CHARS_MAX: usize = 4 * 1024;
/// Characters of one warning among too many.
pub const WARNING_CHARS_MAX: usize = 256;
