//! What becomes of a command whose reader is gone.

/// Ends the process where its output is a pipe that nobody reads any more, quietly, as other tools do: `irori status | head -1`.
/// For commands that do nothing but print, before they have started a thread.
#[allow(unsafe_code)]
pub fn end_with_reader() {
    // SAFETY: the default action is a valid one for this signal; no handler of ours is lost.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}
