//! Messages to other people's receivers: the Standard Webhooks signature, where they may go, and when they are tried
//! again.
//!
//! Sources: the Standard Webhooks specification, and IANA's special-purpose address registries.

mod address;
mod origin;
mod parked;
mod retry;
mod sign;

pub use address::is_public;
pub use origin::{Forbidden, Origin, forbidden, is_listed};
pub use parked::Parked;
pub use retry::{Answer, LAST_TRY, LONGEST_PAUSE, judge, pause, retry_after};
pub use sign::{BadSecret, sign};
