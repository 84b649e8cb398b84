//! What is begun again where it did not come to its end the first time.

use std::time::Duration;

use landfall_domain::ErrorName;
use landfall_domain::finalize::{State, Step, set};
use landfall_domain::record::DnsValue;
use landfall_domain::rollback::TRIES;
use serde_json::Value;

use crate::stage::Stage;
use crate::world::{self, Fault, TARGET};

#[tokio::test]
async fn a_termination_that_mgn_fails_is_begun_again() {
    let stage = Stage::moved().await;
    stage.parts.world().failing_terminations = 1;
    assert_eq!(stage.finish().await.unwrap()["status"], "ROLLED_BACK");
    let world = stage.parts.world();
    assert_eq!(world.count("TerminateTargetInstances"), 2);
    assert_eq!(world.instances[TARGET].state, "terminated");
    let record = world.record();
    let step = &record.rollback.as_ref().unwrap().steps["TERMINATE_TARGET"];
    assert_eq!(step.refused, 0, "{step:?}");
}

#[tokio::test]
async fn a_termination_that_mgn_always_fails_is_left_after_as_many_jobs_as_tries() {
    let stage = Stage::moved().await;
    stage.parts.world().failing_terminations = usize::MAX;
    assert_eq!(stage.finish().await.unwrap()["status"], "FROZEN");
    // With what MGN said of the last one.
    stage.assert_frozen("OperationNotPermitted");
    stage.assert_frozen(&format!("the last one mgnjob-terminate-{TRIES}"));
    let world = stage.parts.world();
    let jobs = world.count("TerminateTargetInstances");
    assert_eq!(jobs, TRIES as usize);
    let hand_over = world.record().hand_over.unwrap();
    let left: Vec<_> = hand_over.not_done.iter().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0].compensation, "TERMINATE_TARGET");
    assert_eq!(world.instances[TARGET].state, "running");
}

#[tokio::test]
async fn a_name_that_was_put_back_is_waited_for_by_a_later_run_too() {
    let mut stage = Stage::moved().await;
    stage.deps.dns =
        (stage.deps.dns.clone()).patience(Duration::from_millis(100), Duration::from_millis(1));
    {
        let mut world = stage.parts.world();
        world.deaf = true;
        world.power = "running".into();
    }
    for run in ["the first", "a later"] {
        stage.parts.world().calls.clear();
        let error = stage.run(world::NOW).await.unwrap_err();
        assert_eq!(error.name, ErrorName::DependencyUnavailable, "{run}");
        let world = stage.parts.world();
        assert_eq!(world.name("app.example.com", "A").unwrap().ttl, 300);
        assert!(world.count("GetChange") > 0, "{run}: {:?}", world.calls);
        for call in [
            "TestDNSAnswer",
            "cmdb:PATCH:abc",
            "cmf:PUT:7",
            "ChangeServerLifeCycleState",
            "TerminateTargetInstances",
        ] {
            assert_eq!(world.count(call), 0, "{run}: {call}");
        }
    }
    stage.parts.world().deaf = false;
    assert_eq!(stage.finish().await.unwrap()["status"], "ROLLED_BACK");
    stage.assert_undone("");
}

/// The zone is as it was before the switch, and may not be changed.
async fn forbidden_zone(switched: bool) -> Stage {
    let stage = Stage::moved().await;
    {
        let mut world = stage.parts.world();
        let name = |name: &str, kind: &str| ("Z1".to_owned(), name.to_owned(), kind.to_owned());
        let before = DnsValue {
            ttl: 300,
            values: vec!["192.0.2.10".into()],
        };
        world.names.insert(name("app.example.com", "A"), before);
        world.names.remove(&name("www.example.com", "CNAME"));
        world.refused = Some("ChangeResourceRecordSets".into());
    }
    stage.parts.change_record(|record| {
        let state = if switched { State::Done } else { State::Begun };
        let now = world::NOW.parse().unwrap();
        set(&mut record.done, Step::Dns, state, Value::Null, now);
    });
    stage
}

#[tokio::test]
async fn a_zone_that_refuses_is_as_before_where_it_has_refused_the_switch() {
    let stage = forbidden_zone(false).await;
    assert_eq!(stage.finish().await.unwrap()["status"], "ROLLED_BACK");
    stage.assert_undone("");
    let stage = forbidden_zone(true).await;
    assert_eq!(stage.finish().await.unwrap()["status"], "FROZEN");
    stage.assert_frozen("RESTORE_DNS A app.example.com Z1");
}

#[tokio::test]
async fn an_end_that_is_written_again_counts_once() {
    let index = {
        let stage = Stage::moved().await;
        stage.finish().await.unwrap();
        let calls = stage.parts.world().calls.clone();
        let end = calls.iter().rposition(|call| call == "TransactWriteItems");
        end.unwrap()
    };
    let stage = Stage::moved().await;
    stage.parts.world().fault = Some((index, Fault::Unavailable));
    assert_eq!(stage.finish().await.unwrap()["status"], "ROLLED_BACK");
    assert!(stage.parts.world().calls.len() > index + 5);
    let estimates = stage.deps.journal.store.rollback_estimates().await.unwrap();
    assert_eq!(estimates.0["RESTORE_CMDB"].runs, 1, "{estimates:?}");
}

#[tokio::test]
async fn what_was_as_before_is_no_estimate_of_the_work() {
    let stage = Stage::moved().await;
    {
        let mut world = stage.parts.world();
        world.power = "running".into();
        world.cmf_status = "Not started".into();
    }
    assert_eq!(stage.finish().await.unwrap()["status"], "ROLLED_BACK");
    let estimates = stage.deps.journal.store.rollback_estimates().await.unwrap();
    for name in ["POWER_ON_SOURCE", "RESTORE_CMF"] {
        assert!(!estimates.0.contains_key(name), "{estimates:?}");
    }
    for name in ["RESTORE_CMDB", "TERMINATE_TARGET"] {
        assert_eq!(estimates.0[name].runs, 1, "{name}");
    }
}
