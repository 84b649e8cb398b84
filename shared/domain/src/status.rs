//! The migration status machine: one enum and one transition table.
//!
//! A transition that is not in [`Status::may_become`] is an error before anything is written; the state
//! manager additionally conditions the write on the previous status and version.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a migration stands. Serialized as its `SCREAMING_SNAKE_CASE` name, in DynamoDB, events and callbacks alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Accepted from the queue; no workflow has claimed it yet.
    Requested,
    /// The workflow owns it and pre-flight checks run.
    Validating,
    /// The source is being snapshotted and the agent installed.
    Preparing,
    /// The agent replicates; waiting for a launchable, current state.
    Replicating,
    /// Replication passed its gate; a test launch may start.
    ReadyForTest,
    /// A test launch was started.
    Testing,
    /// The test instance passed its checks.
    TestVerified,
    /// MGN was told that the test is done; a cutover launch may start.
    ReadyForCutover,
    /// A cutover launch was started.
    CuttingOver,
    /// The cutover instance passed its checks.
    CutoverVerified,
    /// DNS, CMDB, source power-off and MGN finalize are under way.
    Finalizing,
    /// Done.
    Succeeded,
    /// Waits for a person.
    AwaitingApproval,
    /// Waits for its cutover window.
    AwaitingWindow,
    /// Cut over and verified; the soak timer runs.
    Soaking,
    /// Refused before any work: the request itself is at fault.
    Rejected,
    /// Stopped by an operator, everything undone.
    Cancelled,
    /// Failed after something was done, and all of it was undone.
    RolledBack,
    /// Failed with nothing left behind: may be resubmitted.
    Failed,
    /// A person must look; nothing automatic touches it.
    Frozen,
}

impl Status {
    /// Every status, in the order of the flow.
    pub const ALL: [Self; 20] = [
        Self::Requested,
        Self::Validating,
        Self::Preparing,
        Self::Replicating,
        Self::ReadyForTest,
        Self::Testing,
        Self::TestVerified,
        Self::ReadyForCutover,
        Self::CuttingOver,
        Self::CutoverVerified,
        Self::Finalizing,
        Self::Succeeded,
        Self::AwaitingApproval,
        Self::AwaitingWindow,
        Self::Soaking,
        Self::Rejected,
        Self::Cancelled,
        Self::RolledBack,
        Self::Failed,
        Self::Frozen,
    ];

    /// The name as stored and published, for example `READY_FOR_TEST`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "REQUESTED",
            Self::Validating => "VALIDATING",
            Self::Preparing => "PREPARING",
            Self::Replicating => "REPLICATING",
            Self::ReadyForTest => "READY_FOR_TEST",
            Self::Testing => "TESTING",
            Self::TestVerified => "TEST_VERIFIED",
            Self::ReadyForCutover => "READY_FOR_CUTOVER",
            Self::CuttingOver => "CUTTING_OVER",
            Self::CutoverVerified => "CUTOVER_VERIFIED",
            Self::Finalizing => "FINALIZING",
            Self::Succeeded => "SUCCEEDED",
            Self::AwaitingApproval => "AWAITING_APPROVAL",
            Self::AwaitingWindow => "AWAITING_WINDOW",
            Self::Soaking => "SOAKING",
            Self::Rejected => "REJECTED",
            Self::Cancelled => "CANCELLED",
            Self::RolledBack => "ROLLED_BACK",
            Self::Failed => "FAILED",
            Self::Frozen => "FROZEN",
        }
    }

    /// Whether the migration has ended: no transition leaves this status (a resubmission starts a new attempt).
    pub const fn is_end(self) -> bool {
        matches!(
            self,
            Self::Succeeded
                | Self::Rejected
                | Self::Cancelled
                | Self::RolledBack
                | Self::Failed
                | Self::Frozen
        )
    }

    /// Whether a resubmission of the same ID may start a new attempt. FROZEN is an end, but a person must
    /// release it first: nothing automatic touches it.
    pub const fn allows_new_attempt(self) -> bool {
        self.is_end() && !matches!(self, Self::Frozen)
    }

    /// Whether the migration waits for a person or for its window; where it goes on from there is in the record.
    pub const fn is_held(self) -> bool {
        matches!(self, Self::AwaitingApproval | Self::AwaitingWindow)
    }

    /// The statuses that may follow this one on the road forward, side and failure roads apart.
    const fn forward(self) -> &'static [Self] {
        use Status::{
            AwaitingApproval, AwaitingWindow, CutoverVerified, CuttingOver, Finalizing, Preparing,
            ReadyForCutover, ReadyForTest, Rejected, Replicating, Soaking, Succeeded, TestVerified,
            Testing, Validating,
        };
        match self {
            Self::Requested => &[Validating, Rejected],
            Self::Validating => &[Preparing],
            // Phases the request leaves out are skipped, so preparation may lead to any gate after it.
            Self::Preparing => &[Replicating, ReadyForTest, ReadyForCutover, Succeeded],
            Self::Replicating => &[ReadyForTest, ReadyForCutover, AwaitingApproval, Succeeded],
            Self::ReadyForTest => &[
                Testing,
                CuttingOver,
                AwaitingApproval,
                AwaitingWindow,
                ReadyForCutover,
                Succeeded,
            ],
            Self::Testing => &[TestVerified],
            Self::TestVerified => &[ReadyForCutover],
            Self::ReadyForCutover => &[CuttingOver, AwaitingApproval, AwaitingWindow, Succeeded],
            Self::AwaitingApproval => &[
                ReadyForTest,
                ReadyForCutover,
                AwaitingWindow,
                CutoverVerified,
                Soaking,
                Finalizing,
            ],
            Self::AwaitingWindow => &[
                ReadyForTest,
                ReadyForCutover,
                CutoverVerified,
                Soaking,
                Finalizing,
            ],
            Self::CuttingOver => &[CutoverVerified],
            Self::CutoverVerified => &[Soaking, Finalizing, AwaitingApproval, AwaitingWindow],
            Self::Soaking => &[
                Finalizing,
                AwaitingApproval,
                AwaitingWindow,
                CutoverVerified,
            ],
            Self::Finalizing => &[Succeeded, AwaitingWindow],
            Self::Succeeded
            | Self::Rejected
            | Self::Cancelled
            | Self::RolledBack
            | Self::Failed
            | Self::Frozen => &[],
        }
    }

    /// Whether `next` may follow this status. Any status that is not an end may fail, be rolled back, be
    /// cancelled or be frozen; nothing leaves an end.
    pub fn may_become(self, next: Self) -> bool {
        if self.is_end() {
            return false;
        }
        self.forward().contains(&next)
            || matches!(
                next,
                Self::Failed | Self::RolledBack | Self::Cancelled | Self::Frozen
            )
    }

    /// Checks a transition.
    ///
    /// # Errors
    /// [`IllegalTransition`] names both ends; it is a bug or a lost race, never something to write anyway.
    pub fn transition_to(self, next: Self) -> Result<Self, IllegalTransition> {
        if self.may_become(next) {
            Ok(next)
        } else {
            Err(IllegalTransition {
                from: self,
                to: next,
            })
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that is no status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a migration status; one of REQUESTED … FROZEN is expected")]
pub struct UnknownStatus(pub String);

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}

/// A transition that the table does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a migration in {from} cannot become {to}")]
pub struct IllegalTransition {
    /// The status the migration is in.
    pub from: Status,
    /// The status that was asked for.
    pub to: Status,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_status() -> impl Strategy<Value = Status> {
        proptest::sample::select(Status::ALL.to_vec())
    }

    #[test]
    fn the_full_road_is_walkable_in_the_order_of_the_design() {
        let road = [
            Status::Requested,
            Status::Validating,
            Status::Preparing,
            Status::Replicating,
            Status::ReadyForTest,
            Status::Testing,
            Status::TestVerified,
            Status::ReadyForCutover,
            Status::CuttingOver,
            Status::CutoverVerified,
            Status::Soaking,
            Status::Finalizing,
            Status::Succeeded,
        ];
        for pair in road.windows(2) {
            assert_eq!(pair[0].transition_to(pair[1]), Ok(pair[1]));
        }
    }

    #[test]
    fn illegal_moves_are_refused_with_both_ends() {
        for (from, to) in [
            (Status::Requested, Status::CuttingOver),
            (Status::Validating, Status::Replicating),
            (Status::Testing, Status::CuttingOver),
            (Status::CuttingOver, Status::Finalizing),
            (Status::Succeeded, Status::Failed),
            (Status::Frozen, Status::RolledBack),
        ] {
            assert_eq!(from.transition_to(to), Err(IllegalTransition { from, to }));
        }
    }

    proptest! {
        #[test]
        fn nothing_leaves_an_end(from in any_status(), to in any_status()) {
            if from.is_end() {
                prop_assert!(!from.may_become(to));
            }
        }

        #[test]
        fn everything_under_way_can_be_stopped(from in any_status()) {
            if !from.is_end() {
                for stop in [Status::Failed, Status::RolledBack, Status::Cancelled, Status::Frozen] {
                    prop_assert!(from.may_become(stop));
                }
            }
        }

        #[test]
        fn success_is_never_reached_past_an_unverified_launch(path in proptest::collection::vec(any_status(), 1..24)) {
            // Walk the random path, taking only legal steps; whoever cut over must have been verified.
            let mut at = Status::Requested;
            let mut cut_over = false;
            let mut verified = false;
            for next in path {
                if at.may_become(next) {
                    at = next;
                    cut_over |= at == Status::CuttingOver;
                    verified |= at == Status::CutoverVerified;
                }
            }
            if at == Status::Succeeded && cut_over {
                prop_assert!(verified);
            }
        }

        #[test]
        fn names_round_trip(status in any_status()) {
            prop_assert_eq!(status.as_str().parse::<Status>(), Ok(status));
            prop_assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
    }
}
