//! When the switch may happen, as a request or a wave says it.

use serde::{Deserialize, Serialize};

/// A cutover window: a stretch of local time in a time zone, once or again and again. What may stand in its members is
/// told by [`crate::calendar::window::faults`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Window {
    /// When it opens (first), by the clock of the zone: `2026-11-28T22:00`.
    // The schema asks for the first three; a record that was accepted before it did may lack them.
    #[serde(default)]
    pub start: String,
    /// When it shuts (first), in the same form.
    #[serde(default)]
    pub end: String,
    /// The IANA name of the zone, such as `Europe/Berlin`.
    #[serde(default)]
    pub time_zone: String,
    /// How it comes again: a recurrence rule of RFC 5545, such as `FREQ=WEEKLY;BYDAY=SA`. Absent means that it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recurrence: Option<String>,
}
