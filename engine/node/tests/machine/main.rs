//! The node with the real containerd and runc of this machine. Needs root, containerd, runc and busybox-static.
mod fixture;
mod lives;
