//! The first process of a sandbox: holds its namespaces, reaps orphans, ends when told to.
//!
//! No standard library and no allocation: raw system calls, so that a sandbox costs a few pages.
#![no_std]
#![no_main]

use core::arch::asm;

const SIGINT: u64 = 2;
const SIGTERM: u64 = 15;
const SIGCHLD: u64 = 17;
const SIG_BLOCK: u64 = 0;
const WNOHANG: u64 = 1;

#[cfg(target_arch = "x86_64")]
mod number {
    pub const RT_SIGPROCMASK: u64 = 14;
    pub const RT_SIGTIMEDWAIT: u64 = 128;
    pub const WAIT4: u64 = 61;
    pub const EXIT_GROUP: u64 = 231;
}
#[cfg(target_arch = "aarch64")]
mod number {
    pub const RT_SIGPROCMASK: u64 = 135;
    pub const RT_SIGTIMEDWAIT: u64 = 137;
    pub const WAIT4: u64 = 260;
    pub const EXIT_GROUP: u64 = 94;
}

#[cfg(target_arch = "x86_64")]
fn call(number: u64, a: u64, b: u64, c: u64, d: u64) -> i64 {
    let result;
    // SAFETY: the kernel reads and writes only what the arguments point to, and the callers below pass live or null pointers.
    unsafe {
        asm!("syscall", inlateout("rax") number as i64 => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
             out("rcx") _, out("r11") _, options(nostack));
    }
    result
}

#[cfg(target_arch = "aarch64")]
fn call(number: u64, a: u64, b: u64, c: u64, d: u64) -> i64 {
    let result;
    // SAFETY: as above.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a as i64 => result, in("x1") b, in("x2") c, in("x3") d,
             options(nostack));
    }
    result
}

#[unsafe(no_mangle)]
pub extern "C" fn _start() -> ! {
    let mask: u64 = 1 << (SIGINT - 1) | 1 << (SIGTERM - 1) | 1 << (SIGCHLD - 1);
    let mask_at = &raw const mask as u64;
    let bytes = size_of::<u64>() as u64;
    // Blocked signals stay pending, also for the first process of a namespace, until they are waited for.
    call(number::RT_SIGPROCMASK, SIG_BLOCK, mask_at, 0, bytes);
    loop {
        let signal = call(number::RT_SIGTIMEDWAIT, mask_at, 0, 0, bytes);
        if signal == SIGINT as i64 || signal == SIGTERM as i64 {
            call(number::EXIT_GROUP, 0, 0, 0, 0);
        }
        while call(number::WAIT4, u64::MAX, 0, WNOHANG, 0) > 0 {}
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {
        call(number::EXIT_GROUP, 1, 0, 0, 0);
    }
}
