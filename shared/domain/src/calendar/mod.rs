//! When the switch may happen: cutover windows, and the freezes that shut them.
//!
//! A [window](window) says when a switch may happen, by the clock of the people who agreed on it; a [freeze](freeze) says
//! when nothing may, for the whole deployment. Both come down to [`Spans`] of time, and [`judge`] puts them together:
//! open when every window is, and no freeze is in force.
//!
//! Recurrences are expanded by the clock on the wall and only then become instants (RFC 5545, 3.3.10): a time that the
//! clock skips in spring is read with the offset before the gap, one that it shows twice in autumn is the first of the two.

pub mod freeze;
pub mod ical;
mod judge;
mod recurrence;
mod spans;
pub mod window;

pub use freeze::Freezes;
pub use judge::{Closed, Timetable, judge};
pub use spans::{Span, Spans};

use jiff::{SignedDuration, Timestamp};

/// How far ahead an opening is looked for: a year, which is the longest that a workflow execution can last (Step Functions
/// quotas). What opens later opens for nobody who waits now.
pub const HORIZON: SignedDuration = SignedDuration::from_hours(366 * 24);

/// How far back a span may begin that is still in force.
const LONGEST: SignedDuration = SignedDuration::from_hours(366 * 24);

/// The stretch of time that is looked at from an instant on: from long enough before that whatever is in force at the
/// instant shows its beginning, to [`HORIZON`] after it.
pub fn around(now: Timestamp) -> Span {
    Span {
        from: now.checked_sub(LONGEST).unwrap_or(Timestamp::MIN),
        to: now.checked_add(HORIZON).unwrap_or(Timestamp::MAX),
    }
}
