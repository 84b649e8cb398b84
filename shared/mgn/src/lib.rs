//! mgn
