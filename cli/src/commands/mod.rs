//! The commands, beside `up` and `down` which live in [`crate::stack`].

pub mod callbacks;
pub mod control;
pub mod demo;
pub mod rollback;
pub mod status;
pub mod submit;
pub mod validate;
pub mod watch;
pub mod window;
