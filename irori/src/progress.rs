//! A line of progress per stage: live on a terminal, plain otherwise.
use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

/// Prints stages to standard error, so that standard output stays the result.
pub struct Progress {
    live: bool,
    silent: bool,
}

/// A stage that is under way; ends with `done` or, dropped, as failed.
pub struct Stage<'a> {
    progress: &'a Progress,
    name: String,
    started: Instant,
    ended: bool,
}

impl Progress {
    pub fn new(silent: bool) -> Self {
        Self { live: std::io::stderr().is_terminal(), silent }
    }

    pub fn stage(&self, name: impl Into<String>) -> Stage<'_> {
        let stage = Stage { progress: self, name: name.into(), started: Instant::now(), ended: false };
        if self.live {
            self.print(&format!("\r\x1b[K  \x1b[33m…\x1b[0m {}", stage.name), false);
        }
        stage
    }

    /// A line that is no stage.
    pub fn note(&self, text: &str) {
        self.print(&format!("{}    {text}", if self.live { "\r\x1b[K" } else { "" }), true);
    }

    fn print(&self, text: &str, whole: bool) {
        if self.silent {
            return;
        }
        let mut out = std::io::stderr().lock();
        // A closed terminal is no reason to stop a home.
        let _closed = if whole { writeln!(out, "{text}") } else { write!(out, "{text}").and_then(|()| out.flush()) };
    }
}

impl Stage<'_> {
    /// What is happening inside the stage now (live only; plain output would be noise).
    pub fn now(&self, detail: &str) {
        if self.progress.live {
            self.progress.print(&format!("\r\x1b[K  \x1b[33m…\x1b[0m {}: {detail}", self.name), false);
        }
    }

    /// Ends the stage well, with what came of it.
    pub fn done(mut self, outcome: &str) {
        self.ended = true;
        let took = human(self.started.elapsed());
        let said = if outcome.is_empty() { self.name.clone() } else { format!("{:<11} {outcome}", self.name) };
        self.progress.print(
            &if self.progress.live {
                format!("\r\x1b[K  \x1b[32m✓\x1b[0m {said}  \x1b[2m{took}\x1b[0m")
            } else {
                format!("ok   {said} ({took})")
            },
            true,
        );
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let text = if self.progress.live {
                format!("\r\x1b[K  \x1b[31m✗\x1b[0m {}", self.name)
            } else {
                format!("fail {}", self.name)
            };
            self.progress.print(&text, true);
        }
    }
}

fn human(time: Duration) -> String {
    match time.as_millis() {
        ms @ 0..1000 => format!("{ms} ms"),
        ms => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
    }
}
