//! The node with the real containerd and runc of this machine. Needs root, containerd, runc and busybox-static.
mod api;
mod confinement;
mod door;
mod execs;
mod fixture;
mod lives;
mod pods;
mod survival;
