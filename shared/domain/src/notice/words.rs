//! What is said of each event: how much it matters, what happened, and what a reader may do about it.

use super::Level::{self, Bad, Good, Note, Wanted};
use crate::event::EventType as Event;

/// The words for an event: what happened follows the migration's ID, the advice is a sentence of its own or empty.
#[expect(clippy::too_many_lines, reason = "a table: one entry for each event")]
pub(super) const fn words(event: Event) -> (Level, &'static str, &'static str) {
    match event {
        Event::MigrationRequested => (Note, "the migration was requested", ""),
        Event::MigrationRejected => (
            Bad,
            "the request was refused",
            "Mend what is named and send the message again; the refused one is in the dead-letter queue.",
        ),
        Event::ValidationPassed => (Note, "every pre-flight check was passed", ""),
        Event::ValidationFailed => (
            Bad,
            "the pre-flight found what must be mended",
            "Mend what is named and submit the request again.",
        ),
        Event::PreparationStarted => (Note, "work on the source has begun", ""),
        Event::SourcePrepared => (Note, "the source is prepared", ""),
        Event::ResyncStarted => (Note, "everything is copied again, under another key", ""),
        Event::ReplicationHealthy => (Note, "replication is healthy", ""),
        Event::ReplicationStalled => (
            Bad,
            "replication has stalled",
            "Mend what is named; the migration goes on by itself once data flows.",
        ),
        Event::ReplicationRetried => (Note, "replication is asked to begin again", ""),
        Event::ReplicationResumed => (Good, "data flows again", ""),
        Event::TestLaunchStarted => (Note, "the test launch has begun", ""),
        Event::TestLaunched => (Note, "the test instance exists", ""),
        Event::TestLaunchFailed => (Bad, "the test launch failed", "The rollback follows."),
        Event::TestVerified => (Good, "the test was passed", ""),
        Event::CutoverReady => (Note, "testing is done", ""),
        Event::CutoverCleared => (Note, "nothing speaks against the cutover", ""),
        Event::CutoverRefused => (
            Bad,
            "the test does not cover the cutover any more",
            "Change the settings back, or submit with the step `validate`.",
        ),
        Event::CutoverLaunchStarted => (Note, "the cutover has begun", ""),
        Event::CutoverLaunched => (Note, "the cutover instance exists", ""),
        Event::CutoverLaunchFailed => (Bad, "the cutover launch failed", "The rollback follows."),
        Event::HealthCheckPassed => (Good, "the cutover instance passed its checks", ""),
        Event::HealthCheckFailed => (Bad, "a launched instance did not pass its checks", ""),
        Event::SoakStarted => (
            Note,
            "the target soaks",
            "Its checks are repeated before the users are moved for good.",
        ),
        Event::SoakChecked => (Note, "the soaking target passed its checks again", ""),
        Event::FinalizeStarted => (
            Note,
            "the users are being moved",
            "After the last of these steps the way back ends.",
        ),
        Event::ApprovalRequested => (
            Wanted,
            "your approval is wanted",
            "The migration waits for the answers of those who are named.",
        ),
        Event::ApprovalEscalated => (
            Wanted,
            "an approval is still missing",
            "Nobody has decided so far: those who are named for this case may answer now as well.",
        ),
        Event::ApprovalAnswered => (Note, "an answer came, and others are still wanted", ""),
        Event::ApprovalGranted => (Good, "the approval was given", ""),
        Event::ApprovalDenied => (
            Bad,
            "the approval was not given",
            "What was done is undone, or what was asked for is left out.",
        ),
        Event::SwitchHeld => (
            Note,
            "the switch waits before its next step",
            "It goes on by itself when what it waits for is over.",
        ),
        Event::SwitchContinued => (Note, "the switch goes on", ""),
        Event::MigrationPaused => (
            Note,
            "an operator has paused the migration",
            "Nothing new is begun until `landfall resume`.",
        ),
        Event::MigrationResumed => (Note, "an operator lets the migration go on", ""),
        Event::CancelRequested => (
            Note,
            "an operator has cancelled the migration",
            "What was done is undone next.",
        ),
        Event::RollbackRequested => (
            Note,
            "an operator has asked for a rollback",
            "What the last attempt has done is undone next.",
        ),
        Event::EmergencyOrdered => (Bad, "EMERGENCY: the rollback asks nobody any more", ""),
        Event::RollbackRefused => (
            Note,
            "the rollback was refused, and nothing was touched",
            "The migration stands as it had ended before.",
        ),
        Event::RollbackStarted => (Bad, "the rollback has begun", ""),
        Event::RollbackCompleted => (Note, "the rollback is done", ""),
        Event::RollbackFailed => (Bad, "a step of the rollback failed", ""),
        Event::MigrationSucceeded => (Good, "the migration has succeeded", ""),
        Event::MigrationFailed => (
            Bad,
            "the migration failed and left nothing behind",
            "Mend what is named and submit the request again.",
        ),
        Event::MigrationFrozen => (
            Wanted,
            "the migration is frozen: a person must look",
            "Nothing automatic touches it any more. Finish by hand what is named, then release it with `landfall release`.",
        ),
        Event::MigrationCancelled => (Note, "the migration is cancelled", ""),
        Event::MigrationReleased => (
            Note,
            "an operator has released the frozen migration",
            "It may be submitted again.",
        ),
        Event::SourceDecommissioned => (Note, "the source machine is gone for good", ""),
        Event::ServerArchived => (Note, "MGN has archived the source server", ""),
    }
}
