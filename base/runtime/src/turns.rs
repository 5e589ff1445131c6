//! Short turns for threads that wait most of the time.
//!
//! On a busy machine a thread that wakes waits until the one that runs has used up its turn, 3 to 4 ms: a sync of the disk that takes 0.1 ms
//! takes 4. A thread whose own turns are short runs at once; its share of the processor stays the same. Linux knows turns per thread since 6.12
//! (sched_setattr(2), `sched_runtime` under SCHED_OTHER); older ones ignore it. docs/adr/0016-short-turns.md has the figures.

/// The length of a turn.
const TURN_NS: u64 = 100_000;
/// Threads and processes that this one starts have usual turns: what runs in a pod is no concern of ours.
const RESET_ON_FORK: u64 = 1;
const SCHED_OTHER: u32 = 0;

/// `struct sched_attr` as of its first version.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

const SIZE: u32 = size_of::<Attributes>() as u32;

/// Gives the calling thread short turns. Nothing depends on it, so that a kernel that refuses is no error.
pub fn short_turns() {
    let Some(mut attributes) = read().filter(|attributes| attributes.policy == SCHED_OTHER) else { return };
    attributes.size = SIZE;
    attributes.flags |= RESET_ON_FORK;
    attributes.runtime = TURN_NS;
    write(&attributes);
}

#[allow(unsafe_code)]
fn read() -> Option<Attributes> {
    let mut attributes = Attributes::default();
    // SAFETY: the kernel writes at most SIZE bytes to a struct of that size; thread 0 is the calling one.
    let done = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, SIZE, 0) };
    (done == 0).then_some(attributes)
}

#[allow(unsafe_code)]
fn write(attributes: &Attributes) {
    // SAFETY: the kernel reads `size` bytes of a struct of that size; thread 0 is the calling one.
    let done = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, std::ptr::from_ref(attributes), 0) };
    if done != 0 {
        tracing::debug!("take short turns: {}", std::io::Error::last_os_error());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_has_short_turns_and_those_it_starts_have_not() {
        let before = read().expect("every kernel tells");
        std::thread::spawn(move || {
            short_turns();
            let after = read().expect("every kernel tells");
            // Kernels before 6.12 tell no length at all.
            assert_eq!(after.runtime, if before.runtime == 0 { 0 } else { TURN_NS });
            assert_eq!((after.nice, after.policy), (before.nice, before.policy));
            let child = std::thread::spawn(|| read().expect("every kernel tells")).join().expect("no panic");
            assert_eq!((child.runtime, child.flags), (before.runtime, before.flags));
        })
        .join()
        .expect("no panic");
    }
}
