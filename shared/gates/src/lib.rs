//! Gates: asking people, waiting for windows, and letting a migration through.
//!
//! A state of the workflow waits at a gate with a task token. [`Gates::settle`] looks at what holds it (answers that are
//! missing, a window that is closed, a freeze, a pause), notes it in the record and completes or fails the token. Whoever
//! may have changed something calls it: the sweep when the next moment has come, `approvals` after an answer, `control`
//! after an order. Each step of it is one conditional write, so that calling it twice, or at once, changes nothing.
#![warn(missing_docs)]

mod desk;
mod freezes;
mod holds;
mod settle;

pub use desk::Desk;
pub use holds::{Hold, Holds};
pub use settle::Gates;
