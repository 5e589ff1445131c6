//! Reading: which lines, in which form, now and as they come.
use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use futures::StreamExt;
use irori_runtime::{OnEnd, Tasks};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
    sync::mpsc,
};

use super::{FileWatch, files, line::Line};
use crate::runtime::{LogOptions, LogSource, LogStream, RuntimeError};

/// Output of one step, in bytes, about.
const CHUNK_BYTES: usize = 32 * 1024;
/// Chunks that wait for a slow client.
const CHUNKS_WAITING: usize = 4;
/// A line without an end above this many bytes is no log of containerd's; it is dropped.
const LINE_BYTES_MAX: usize = 1024 * 1024;
/// After the container's end its last lines may still be on the way to the file.
const LAST_LINES: Duration = Duration::from_millis(200);

/// Starts reading. With `follow` it goes on until `ended` resolves and the rest was read.
pub(crate) fn stream(
    log: PathBuf,
    options: LogOptions,
    watch: FileWatch,
    ended: impl Future<Output = ()> + Send + 'static,
    tasks: &Tasks,
) -> LogStream {
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
    let shutdown = tasks.shutdown().clone();
    tasks.spawn("log reader", OnEnd::Contained, async move {
        let failed = sender.clone();
        let hung_up = sender.clone();
        let mut reader = Reader { filter: Filter::new(&options), sender, pending: Vec::new(), skip_line: false };
        let work = async {
            match reader.run(&log, &options, &watch, ended).await {
                Err(Stop::Io(source)) => {
                    let error = RuntimeError::Failed { operation: "read log", message: source.to_string() };
                    let _hung_up = failed.send(Err(error)).await;
                }
                Ok(()) | Err(Stop::Done) => {}
            }
        };
        tokio::select! { _ = shutdown.guard(work) => {}, () = hung_up.closed() => {} }
        Ok::<(), std::convert::Infallible>(())
    });
    futures::stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|item| (item, receiver)) }).boxed()
}

/// Why reading ends early.
enum Stop {
    /// The limit is reached, or nobody listens.
    Done,
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(source: io::Error) -> Self {
        Self::Io(source)
    }
}

struct Reader {
    filter: Filter,
    sender: mpsc::Sender<Result<Bytes, RuntimeError>>,
    /// The beginning of a line whose end was not read yet.
    pending: Vec<u8>,
    /// Dropping a line that is too long.
    skip_line: bool,
}

impl Reader {
    async fn run(
        &mut self,
        log: &Path,
        options: &LogOptions,
        watch: &FileWatch,
        ended: impl Future<Output = ()>,
    ) -> Result<(), Stop> {
        // Watched before the first look, so that no rotation falls between.
        let directory = log.parent().filter(|_| options.follow).map(|directory| watch.watch(directory)).transpose()?;
        let mut sources = Vec::new();
        for path in files(log)? {
            match File::open(&path).await {
                Ok(file) => sources.push(file),
                Err(source) if source.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(source.into()),
            }
        }
        if let Some(lines) = options.tail_lines {
            seek_tail(&mut sources, lines).await?;
        }
        let mut current = None;
        for mut file in sources {
            self.pending.clear();
            self.read_to_end(&mut file).await?;
            current = Some(file);
        }
        let Some(directory) = directory else { return Ok(()) };
        tokio::pin!(ended);
        let mut last_round = false;
        loop {
            let watched = watch.watch(log).ok();
            if let Some(file) = &mut current {
                self.read_to_end(file).await?;
            }
            if let Some(next) = newer_file(current.as_ref(), log).await? {
                // What was put aside may still get the lines that were under way.
                if let Some(file) = &mut current {
                    tokio::time::sleep(LAST_LINES).await;
                    self.read_to_end(file).await?;
                }
                self.pending.clear();
                current = Some(next);
                continue;
            }
            if last_round {
                return Ok(());
            }
            let changed = async {
                match &watched {
                    Some(watched) => watched.changed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = changed => {}
                () = directory.changed() => {}
                () = &mut ended => {
                    tokio::time::sleep(LAST_LINES).await;
                    last_round = true;
                }
            }
        }
    }

    async fn read_to_end(&mut self, file: &mut File) -> Result<(), Stop> {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let read = file.read(&mut buffer).await?;
            if read == 0 {
                return Ok(());
            }
            let mut output = Vec::with_capacity(read);
            let mut full = false;
            let mut rest = &buffer[..read];
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let (line, after) = (&rest[..end], &rest[end + 1..]);
                rest = after;
                if std::mem::take(&mut self.skip_line) {
                    continue;
                }
                full = if self.pending.is_empty() {
                    self.filter.put(line, &mut output)
                } else {
                    self.pending.extend_from_slice(line);
                    let full = self.filter.put(&self.pending, &mut output);
                    self.pending.clear();
                    full
                };
                if full {
                    break;
                }
            }
            if !full && !self.skip_line {
                self.pending.extend_from_slice(rest);
                if self.pending.len() > LINE_BYTES_MAX {
                    self.pending = Vec::new();
                    self.skip_line = true;
                }
            }
            if !output.is_empty() && self.sender.send(Ok(output.into())).await.is_err() {
                return Err(Stop::Done);
            }
            if full {
                return Err(Stop::Done);
            }
        }
    }
}

/// Which lines pass, and how they look.
struct Filter {
    since: Option<jiff::Timestamp>,
    source: Option<LogSource>,
    timestamps: bool,
    bytes_left: u64,
    /// Whether the stream (stdout, stderr) is within a line that containerd split.
    within: [bool; 2],
}

impl Filter {
    fn new(options: &LogOptions) -> Self {
        Self {
            since: options.since,
            source: options.stream,
            timestamps: options.timestamps,
            bytes_left: options.limit_bytes.unwrap_or(u64::MAX),
            within: [false; 2],
        }
    }

    /// Writes a line's output; returns whether the limit is reached.
    fn put(&mut self, line: &[u8], output: &mut Vec<u8>) -> bool {
        let Some(line) = Line::parse(line) else { return false };
        let other = self.source.is_some_and(|wanted| wanted != line.source);
        let early = self.since.is_some_and(|since| line.time().is_none_or(|time| time < since));
        if other || early {
            return false;
        }
        let within = &mut self.within[usize::from(line.source == LogSource::Stderr)];
        let stamp = if self.timestamps && !*within { Some(line.time) } else { None };
        *within = !line.whole;
        let begin = output.len();
        if let Some(time) = stamp {
            output.extend_from_slice(time);
            output.push(b' ');
        }
        output.extend_from_slice(line.text);
        if line.whole {
            output.push(b'\n');
        }
        let allowed = usize::try_from(self.bytes_left).unwrap_or(usize::MAX);
        if output.len() - begin >= allowed {
            output.truncate(begin + allowed);
            self.bytes_left = 0;
            return true;
        }
        self.bytes_left -= (output.len() - begin) as u64;
        false
    }
}

/// Places the files so that `lines` lines are left to read; files before the first of them are dropped.
async fn seek_tail(sources: &mut Vec<File>, lines: u64) -> io::Result<()> {
    let mut wanted = lines;
    for index in (0..sources.len()).rev() {
        let (found, offset) = tail_offset(&mut sources[index], wanted).await?;
        sources[index].seek(io::SeekFrom::Start(offset)).await?;
        wanted -= found;
        if wanted == 0 {
            sources.drain(..index);
            return Ok(());
        }
    }
    Ok(())
}

/// Where the last `wanted` lines of a file begin, and how many there are. An end without a line feed is a line.
async fn tail_offset(file: &mut File, wanted: u64) -> io::Result<(u64, u64)> {
    let size = file.metadata().await?.len();
    if wanted == 0 {
        return Ok((0, size));
    }
    let mut found = 0;
    let mut end = size;
    let mut buffer = vec![0; CHUNK_BYTES];
    while end > 0 {
        let start = end.saturating_sub(CHUNK_BYTES as u64);
        let part = &mut buffer[..usize::try_from(end - start).expect("a chunk fits")];
        file.seek(io::SeekFrom::Start(start)).await?;
        file.read_exact(part).await?;
        for (at, _) in part.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            let next = start + at as u64 + 1;
            if next == size {
                continue; // the end of the last line
            }
            found += 1;
            if found == wanted {
                return Ok((found, next));
            }
        }
        end = start;
    }
    Ok((found + u64::from(size > 0), 0))
}

/// The file that follows the open one, if there is one; the oldest if the open one is not among them any more.
async fn newer_file(open: Option<&File>, log: &Path) -> io::Result<Option<File>> {
    let open = match open {
        Some(file) => Some(file.metadata().await.map(|meta| (meta.dev(), meta.ino()))?),
        None => None,
    };
    loop {
        let listed = files(log)?;
        let (mut first, mut passed) = (None, false);
        for path in &listed {
            let file = match File::open(path).await {
                Err(source) if source.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            let meta = file.metadata().await?;
            if passed {
                return Ok(Some(file));
            }
            passed = Some((meta.dev(), meta.ino())) == open;
            first = first.or(Some(file));
        }
        // A rotation between listing and opening may have hidden the open file.
        if passed || files(log)? == listed {
            return Ok(first.filter(|_| !passed));
        }
    }
}

#[cfg(test)]
mod tests;
