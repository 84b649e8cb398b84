//! The events Landfall publishes: source `landfall`, past-tense detail-types, one per transition.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::status::Status;

/// The EventBridge `source` of every event of ours.
pub const SOURCE: &str = "landfall";

/// The version of [`Detail`]; bumped when a field changes its meaning.
pub const SCHEMA_VERSION: &str = "1.0";

macro_rules! event_types {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// An EventBridge detail-type. Closed: rules and schemas match on these names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum EventType {
            $($(#[$doc])* $name,)+
        }

        impl EventType {
            /// Every detail-type, each with a schema in `schemas/events/`.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The detail-type as published.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }
        }
    };
}

event_types! {
    /// A valid request was taken from the queue; starts the workflow.
    MigrationRequested,
    /// A request could not be accepted; `evidence.findings` says why.
    MigrationRejected,
    /// Every blocking pre-flight check passed.
    ValidationPassed,
    /// At least one pre-flight check failed; `evidence.findings` lists all of them.
    ValidationFailed,
    /// Work on the source began.
    PreparationStarted,
    /// The agent is installed and known to MGN, the snapshot taken where asked.
    SourcePrepared,
    /// MGN is given another KMS key for what it replicates, and copies everything again; `evidence` has both keys.
    ResyncStarted,
    /// Replication passed its numeric gate.
    ReplicationHealthy,
    /// Replication stalled, or goes on to after retries; `reasonCode` is MGN's error, `evidence` has what to do.
    ReplicationStalled,
    /// MGN is asked to begin a stalled replication again; `reasonCode` is its error.
    ReplicationRetried,
    /// Data flows again; `reasonCode` is the error of the stall that is over.
    ReplicationResumed,
    /// MGN accepted a test launch.
    TestLaunchStarted,
    /// The test instance exists.
    TestLaunched,
    /// MGN could not launch the test instance; `evidence.rawError` is its own text.
    TestLaunchFailed,
    /// The test instance passed its checks.
    TestVerified,
    /// MGN was told that testing is done.
    CutoverReady,
    /// Nothing speaks against the cutover, or the request overrides what does; `evidence` has the test and the source's answers.
    CutoverCleared,
    /// The test that was passed does not cover the cutover any more; `evidence.findings` says why.
    CutoverRefused,
    /// MGN accepted a cutover launch.
    CutoverLaunchStarted,
    /// The cutover instance exists.
    CutoverLaunched,
    /// MGN could not launch the cutover instance; `evidence.rawError` is its own text.
    CutoverLaunchFailed,
    /// The cutover instance passed its checks.
    HealthCheckPassed,
    /// A launched instance did not pass its checks; `evidence.findings` lists what was seen.
    HealthCheckFailed,
    /// The soak timer started.
    SoakStarted,
    /// The steps up to the point of no return began.
    FinalizeStarted,
    /// A person is asked.
    ApprovalRequested,
    /// A person answered; `evidence.answer` says who, what and why.
    ApprovalAnswered,
    /// Everybody whose agreement was wanted has agreed.
    ApprovalGranted,
    /// A person refused, or nobody answered in time; `reasonCode` tells which.
    ApprovalDenied,
    /// The migration reached its goal.
    MigrationSucceeded,
    /// Compensations began; `evidence.plan` lists them.
    RollbackStarted,
    /// Every compensation was done and verified.
    RollbackCompleted,
    /// A compensation failed.
    RollbackFailed,
    /// The migration failed and left nothing behind.
    MigrationFailed,
    /// A person must look.
    MigrationFrozen,
    /// An operator stopped the migration.
    MigrationCancelled,
    /// Nobody decided in time, and others are asked as well.
    ApprovalEscalated,
    /// The switch waits before its next step: for its window, for the end of a freeze, or because it is paused; `reasonCode` says which.
    SwitchHeld,
    /// What the switch waited for is over.
    SwitchContinued,
    /// An operator paused the migration: nothing new is begun.
    MigrationPaused,
    /// An operator let it go on.
    MigrationResumed,
    /// An operator ended the migration; what was done is undone next.
    CancelRequested,
    /// An operator asked to undo an attempt that has ended; starts the workflow.
    RollbackRequested,
    /// An operator ordered that a rollback which waits for people's agreement begins without it.
    EmergencyOrdered,
    /// People refused an ordered rollback, or nobody agreed in time: nothing was touched, and the migration stands as before.
    RollbackRefused,
    /// An operator released a frozen migration: it may be submitted again.
    MigrationReleased,
    /// The checks of the target were repeated while it soaks, and passed.
    SoakChecked,
    /// The source machine is gone for good, as was approved.
    SourceDecommissioned,
    /// MGN keeps the source server as archived.
    ServerArchived,
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The `detail` of an event. Optional members are absent, never null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Detail {
    /// [`SCHEMA_VERSION`].
    pub schema_version: String,
    /// The tenant, `default` unless the request names one.
    pub tenant_id: String,
    /// The request's migration ID.
    pub migration_id: String,
    /// One ID through logs, events, MGN job tags and callbacks.
    pub correlation_id: String,
    /// The application the server belongs to.
    pub app_name: String,
    /// The wave the server moves in.
    pub wave: String,
    /// The status before; absent on the first event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Status>,
    /// The status after (equal to `from` where the event changes no status).
    pub to: Status,
    /// 1 for the first submission, one more for each resubmission after an end.
    pub attempt: u32,
    /// The MGN source server, once known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_server_id: Option<String>,
    /// The MGN job the event is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// A stable code saying why, on events that report a problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<String>,
    /// What was seen: findings, numbers, MGN's raw errors. Never a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Value>,
    /// RFC 3339, UTC.
    pub occurred_at: String,
}
