//! The store, from outside: what every implementation promises, and what the embedded one survives.
mod backup;
mod contract;
mod corruption;
mod crash;
mod disk;
mod embedded;
mod etcd;
mod faults;
mod formats;
mod linear;
mod sealed;
mod words;
