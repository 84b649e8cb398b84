//! What operators have ordered of a migration: pause, cancel, roll back, go on from where it failed.

use serde::{Deserialize, Serialize};

/// How many days a pause may last at least while one thing is waited for: the workflow's time-outs have them on top of the
/// time that the thing itself is given.
pub const PAUSE_DAYS: u64 = 7;

/// What an attempt is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Purpose {
    /// To do what the request asks for.
    #[default]
    Migrate,
    /// The same, from the last good phase of the attempt before: a test that was passed is not made again.
    Retry,
    /// To undo what the attempt before has done; nothing is migrated.
    Rollback,
}

impl Purpose {
    /// Whether it is the ordinary one.
    pub fn is_migrate(&self) -> bool {
        *self == Self::Migrate
    }
}

/// An order of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// Who gave it: the ARN of the caller, as AWS has verified it.
    pub by: String,
    /// Why, in the person's words.
    pub reason: String,
    /// When, RFC 3339.
    pub at: String,
}

/// The orders that stand for an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Control {
    /// The order that this attempt began with: a retry, or a rollback of the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ordered: Option<Order>,
    /// Nothing new is begun until it is taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<Order>,
    /// The switch goes on outside its windows, the request's and the wave's; a freeze holds it all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub past_window: Option<Order>,
    /// The migration is to end, and what was done is to be undone. Never taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancel: Option<Order>,
    /// The rollback asks nobody, however risky it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emergency: Option<Order>,
}

impl Control {
    /// Whether no order stands.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
