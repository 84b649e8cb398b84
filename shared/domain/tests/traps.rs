//! The traps that MGN's API sets, and the test that shows each is not stepped into.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;

/// What the API does that a client would not expect; the file of the test; the test.
const TRAPS: [[&str; 3]; 12] = [
    [
        "a job is COMPLETED with servers FAILED",
        "functions/watch-migrations/tests/watch/launch.rs",
        "trap_a_completed_job_has_failed_servers",
    ],
    [
        "launchDisposition has no value for a test",
        "shared/mgn/tests/gateway.rs",
        "trap_launch_disposition_has_no_test_value",
    ],
    [
        "TerminateTargetInstances is refused in TESTING",
        "functions/rollback/tests/handler/undo.rs",
        "trap_nothing_is_terminated_in_testing_or_cutting_over",
    ],
    [
        "ChangeServerLifeCycleState is refused while the lag is null",
        "functions/verify-migration/tests/verify/main.rs",
        "trap_the_lifecycle_does_not_change_without_a_lag",
    ],
    [
        "an event is lost",
        "functions/watch-migrations/tests/watch/sweep.rs",
        "trap_an_event_is_lost_doubled_or_late",
    ],
    [
        "201 servers are one too many",
        "functions/trigger-migration/tests/trigger/batch.rs",
        "trap_two_hundred_and_one_servers_take_two_rounds",
    ],
    [
        "a server with an active job is launched a second time",
        "functions/trigger-migration/tests/trigger/gate.rs",
        "trap_a_server_with_an_active_job_is_not_launched_again",
    ],
    [
        "another KMS key copies everything again",
        "functions/prepare-source/tests/handler/replication.rs",
        "trap_another_kms_key_copies_everything_again_and_is_refused",
    ],
    [
        "one network interface is assigned to two servers",
        "functions/prepare-source/tests/handler/launch_settings.rs",
        "trap_an_interface_is_given_to_one_server_only",
    ],
    [
        "a DISCONNECTED server is in the launch list",
        "functions/trigger-migration/tests/trigger/gate.rs",
        "trap_a_disconnected_server_does_not_spoil_the_batch",
    ],
    [
        "CONTINUOUS while the lag is high",
        "functions/trigger-migration/tests/trigger/gate.rs",
        "trap_continuous_with_a_high_lag_is_not_ready",
    ],
    [
        "finalize uninstalls the agent",
        "functions/rollback/tests/handler/undo.rs",
        "trap_finalize_uninstalls_the_agent_and_nothing_after_it_is_undone",
    ],
];

#[test]
fn each_trap_has_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    for [trap, file, test] in TRAPS {
        let text = std::fs::read_to_string(root.unwrap().join(file)).unwrap();
        let declared = text.contains(&format!("\n#[tokio::test]\nasync fn {test}()"));
        assert!(declared, "{trap}: {file} has no test {test}");
    }
}
