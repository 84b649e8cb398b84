//! What is said of each event: how much it matters, what happened, and what a reader may do about it.

use super::Level::{self, Bad, Good, Note, Wanted};
use crate::event::EventType::{self, *};

/// The words for an event: what happened follows the migration's ID, the advice is a sentence of its own or empty.
pub(super) const fn words(event: EventType) -> (Level, &'static str, &'static str) {
    match event {
        MigrationRequested => (Note, "the migration was requested", ""),
        MigrationRejected => (
            Bad,
            "the request was refused",
            "Mend what is named and send the message again; the refused one is in the dead-letter queue.",
        ),
        ValidationPassed => (Note, "every pre-flight check was passed", ""),
        ValidationFailed => (
            Bad,
            "the pre-flight found what must be mended",
            "Mend what is named and submit the request again.",
        ),
        PreparationStarted => (Note, "work on the source has begun", ""),
        SourcePrepared => (Note, "the source is prepared", ""),
        ResyncStarted => (Note, "everything is copied again, under another key", ""),
        ReplicationHealthy => (Note, "replication is healthy", ""),
        ReplicationStalled => (
            Bad,
            "replication has stalled",
            "Mend what is named; the migration goes on by itself once data flows.",
        ),
        ReplicationRetried => (Note, "replication is asked to begin again", ""),
        ReplicationResumed => (Good, "data flows again", ""),
        TestLaunchStarted => (Note, "the test launch has begun", ""),
        TestLaunched => (Note, "the test instance exists", ""),
        TestLaunchFailed => (Bad, "the test launch failed", "The rollback follows."),
        TestVerified => (Good, "the test was passed", ""),
        CutoverReady => (Note, "testing is done", ""),
        CutoverCleared => (Note, "nothing speaks against the cutover", ""),
        CutoverRefused => (
            Bad,
            "the test does not cover the cutover any more",
            "Change the settings back, or submit with the step `validate`.",
        ),
        CutoverLaunchStarted => (Note, "the cutover has begun", ""),
        CutoverLaunched => (Note, "the cutover instance exists", ""),
        CutoverLaunchFailed => (Bad, "the cutover launch failed", "The rollback follows."),
        HealthCheckPassed => (Good, "the cutover instance passed its checks", ""),
        HealthCheckFailed => (Bad, "a launched instance did not pass its checks", ""),
        SoakStarted => (
            Note,
            "the target soaks",
            "Its checks are repeated before the users are moved for good.",
        ),
        SoakChecked => (Note, "the soaking target passed its checks again", ""),
        FinalizeStarted => (
            Note,
            "the users are being moved",
            "After the last of these steps the way back ends.",
        ),
        ApprovalRequested => (
            Wanted,
            "your approval is wanted",
            "The migration waits for the answers of those who are named.",
        ),
        ApprovalEscalated => (
            Wanted,
            "an approval is still missing",
            "Nobody has decided so far: those who are named for this case may answer now as well.",
        ),
        ApprovalAnswered => (Note, "an answer came, and others are still wanted", ""),
        ApprovalGranted => (Good, "the approval was given", ""),
        ApprovalDenied => (
            Bad,
            "the approval was not given",
            "What was done is undone, or what was asked for is left out.",
        ),
        SwitchHeld => (
            Note,
            "the switch waits before its next step",
            "It goes on by itself when what it waits for is over.",
        ),
        SwitchContinued => (Note, "the switch goes on", ""),
        MigrationPaused => (
            Note,
            "an operator has paused the migration",
            "Nothing new is begun until `landfall resume`.",
        ),
        MigrationResumed => (Note, "an operator lets the migration go on", ""),
        CancelRequested => (
            Note,
            "an operator has cancelled the migration",
            "What was done is undone next.",
        ),
        RollbackRequested => (
            Note,
            "an operator has asked for a rollback",
            "What the last attempt has done is undone next.",
        ),
        RollbackStarted => (Bad, "the rollback has begun", ""),
        RollbackCompleted => (
            Note,
            "the rollback is done: everything is as it was before",
            "",
        ),
        RollbackFailed => (Bad, "a step of the rollback failed", ""),
        MigrationSucceeded => (Good, "the migration has succeeded", ""),
        MigrationFailed => (
            Bad,
            "the migration failed and left nothing behind",
            "Mend what is named and submit the request again.",
        ),
        MigrationFrozen => (
            Wanted,
            "the migration is frozen: a person must look",
            "Nothing automatic touches it any more. Finish by hand what is named, then release it with `landfall release`.",
        ),
        MigrationCancelled => (Note, "the migration is cancelled", ""),
        MigrationReleased => (
            Note,
            "an operator has released the frozen migration",
            "It may be submitted again.",
        ),
        SourceDecommissioned => (Note, "the source machine is gone for good", ""),
        ServerArchived => (Note, "MGN has archived the source server", ""),
    }
}
