//! What whole-binary tests need: homes, kubectl, real clients.
