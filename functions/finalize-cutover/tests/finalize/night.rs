//! The order of the night: what is noted when, what holds it, and what must be proved before its last step.

use finalize_cutover::handle;
use jiff::{SignedDuration, Timestamp};
use landfall_domain::finalize::{self, State, Step};
use landfall_domain::record::DnsValue;
use landfall_domain::{ErrorName, MigrationRecord, Status};
use serde_json::{Value, json};

use crate::Stage;
use crate::world::{self, Fault};

/// What the gate does when nothing holds the migration any more.
fn let_through(stage: &Stage) {
    stage.parts.change_record(|record| {
        record.status = record.held_from.take().unwrap();
        record.held = None;
    });
}

fn state(record: &MigrationRecord, step: Step) -> Option<State> {
    finalize::note(&record.done, step).map(|note| note.state)
}

#[tokio::test]
async fn each_step_is_noted_before_it_is_taken_and_after() {
    for (call, step, before) in [
        ("ChangeResourceRecordSets", Step::Dns, None),
        ("cmdb:PATCH:abc", Step::Cmdb, Some(Step::Dns)),
        ("CreateTags", Step::TargetSealed, Some(Step::Cmdb)),
        (
            "azure:POST:deallocate",
            Step::SourcePowerOff,
            Some(Step::TargetSealed),
        ),
        ("cmf:PUT:7", Step::Cmf, Some(Step::SourcePowerOff)),
        ("FinalizeCutover", Step::MgnFinalize, Some(Step::Cmf)),
    ] {
        let index = {
            let stage = Stage::new().await;
            stage.finish().await.unwrap();
            let world = stage.parts.world();
            world.calls.iter().position(|c| c == call).unwrap()
        };
        let stage = Stage::new().await;
        stage.parts.world().fault = Some((index, Fault::Refused));
        stage.finish().await.unwrap_err();
        let record = stage.parts.world().record();
        assert_eq!(state(&record, step), Some(State::Begun), "{call}");
        if let Some(before) = before {
            assert_eq!(state(&record, before), Some(State::Done), "{call}");
        }
        let after = record.done.finalize.iter().filter(|note| note.step > step);
        assert_eq!(after.count(), 0, "{call}");
    }
}

#[tokio::test]
async fn a_step_that_is_over_is_not_taken_again() {
    let stage = Stage::new().await;
    let power = {
        let stage = Stage::new().await;
        stage.finish().await.unwrap();
        let world = stage.parts.world();
        let call = world
            .calls
            .iter()
            .position(|c| c == "azure:POST:deallocate");
        call.unwrap()
    };
    stage.parts.world().fault = Some((power, Fault::Refused));
    stage.finish().await.unwrap_err();
    {
        // Somebody moves a name and a field on: what is done is done, and is nobody's to do again.
        let mut world = stage.parts.world();
        for value in world.names.values_mut() {
            value.ttl = 5;
        }
        world.cmdb["ip_address"] = json!("10.9.9.9");
        world.calls.clear();
    }
    stage.finish().await.unwrap();
    let world = stage.parts.world();
    for call in [
        "ListResourceRecordSets",
        "ChangeResourceRecordSets",
        "cmdb:GET:abc",
        "cmdb:PATCH:abc",
        "CreateTags",
    ] {
        assert_eq!(world.count(call), 0, "{call}");
    }
    assert_eq!(world.name("app.example.com", "A").unwrap().ttl, 5);
    assert_eq!(world.finalized, 1);
}

#[tokio::test]
async fn old_answers_of_dns_hold_the_power_off_until_they_expire() {
    let stage = Stage::new().await;
    keep_old_answers(&stage);
    let held = stage.run(json!({})).await.unwrap();
    assert_eq!(held, json!({"status": "AWAITING_WINDOW", "held": true}));
    let until: Timestamp = {
        let world = stage.parts.world();
        assert_eq!(world.event_types(), ["FinalizeStarted", "SwitchHeld"]);
        let (_, told) = &world.events[1];
        assert_eq!(told["reasonCode"], "DNS_TTL");
        assert_eq!(told["evidence"]["before"], "SOURCE_POWER_OFF");
        // From when Route 53 had the change on all its servers.
        let until: Timestamp = told["evidence"]["until"].as_str().unwrap().parse().unwrap();
        let earliest = world::at("2026-11-21T12:05:00Z").now;
        assert!(until >= earliest, "{until}");
        let record = world.record();
        assert_eq!(record.stage(), Status::Finalizing);
        assert_eq!(state(&record, Step::TargetSealed), Some(State::Done));
        assert_eq!(record.held.unwrap().code, "DNS_TTL");
        assert_eq!(world.power, "running");
        until
    };
    // The answer was lost: the second run changes nothing and says the same.
    stage.parts.world().calls.clear();
    assert_eq!(stage.run(json!({})).await.unwrap(), held);
    assert_eq!(stage.parts.world().calls, ["GetItem"]);
    let_through(&stage);
    for (now, over) in [
        ("2026-11-21T12:04:59Z".to_owned(), false),
        ((until + SignedDuration::from_secs(1)).to_string(), true),
    ] {
        let at = || world::at(&now);
        let mut answer = handle(&stage.deps, world::event(json!({})), at()).await;
        while answer
            .as_ref()
            .is_err_and(|error| error.name.is_transient())
        {
            answer = handle(&stage.deps, world::event(json!({})), at()).await;
        }
        assert_eq!(answer.unwrap()["held"], !over, "{now}");
        if !over {
            let_through(&stage);
        }
    }
    assert_eq!(stage.parts.world().finalized, 1);
    assert_eq!(stage.parts.world().power, "deallocated");
}

/// Somebody pauses it.
fn pause(stage: &Stage) {
    let order =
        json!({"by": "arn:aws:iam::123456789012:user/op", "reason": "wait", "at": world::NOW});
    stage.parts.change_record(|record| {
        record.control.paused = Some(serde_json::from_value(order).unwrap());
    });
}

/// Resolvers keep the name as it was for five minutes.
fn keep_old_answers(stage: &Stage) {
    let key = ("Z1".into(), "app.example.com".into(), "A".into());
    let old = DnsValue {
        ttl: 300,
        values: vec!["192.0.2.10".into()],
    };
    stage.parts.world().names.insert(key, old);
}

#[tokio::test]
async fn a_pause_holds_before_the_first_step_and_between_two() {
    let stage = Stage::new().await;
    pause(&stage);
    let held = stage.run(json!({})).await.unwrap();
    assert_eq!(held, json!({"status": "AWAITING_WINDOW", "held": true}));
    {
        let world = stage.parts.world();
        assert_eq!(world.record().held_from, Some(Status::CutoverVerified));
        assert_eq!(world.event_types(), ["SwitchHeld"]);
        assert_eq!(world.count("ListResourceRecordSets"), 0);
    }
    // Let go, and paused again while the source goes off.
    stage
        .parts
        .change_record(|record| record.control.paused = None);
    let_through(&stage);
    let going_off = stage.run(json!({})).await.unwrap_err();
    assert_eq!(going_off.name, ErrorName::DependencyUnavailable);
    pause(&stage);
    assert_eq!(stage.run(json!({})).await.unwrap()["held"], true);
    // What was begun is finished: a machine that hangs half-way off would hang there for as long as the pause is.
    let world = stage.parts.world();
    let record = world.record();
    assert_eq!(state(&record, Step::SourcePowerOff), Some(State::Done));
    assert_eq!(state(&record, Step::MgnFinalize), None);
    assert_eq!(world.power, "deallocated");
    assert_eq!(record.stage(), Status::Finalizing);
    assert_eq!(world.finalized, 0);
}

#[tokio::test]
async fn a_name_that_is_half_changed_is_finished_and_the_next_step_waits() {
    let stage = Stage::new().await;
    // Throttled at the change of the second name: the first is on the target.
    let second = {
        let stage = Stage::new().await;
        stage.finish().await.unwrap();
        let world = stage.parts.world();
        let calls = world.calls.iter().enumerate();
        let mut changes = calls.filter(|(_, it)| *it == "ChangeResourceRecordSets");
        changes.nth(1).map(|(at, _)| at)
    };
    let at = second.expect("two names are changed");
    stage.parts.world().fault = Some((at, Fault::Unavailable));
    let error = stage.run(json!({})).await.unwrap_err();
    assert!(error.name.is_transient(), "{error}");
    assert_eq!(
        state(&stage.parts.world().record(), Step::Dns),
        Some(State::Begun)
    );
    pause(&stage);
    assert_eq!(stage.run(json!({})).await.unwrap()["held"], true);
    let world = stage.parts.world();
    assert_eq!(state(&world.record(), Step::Dns), Some(State::Done));
    assert_eq!(state(&world.record(), Step::Cmdb), None);
}

/// Somebody finalized it in MGN's console: what is left is held as ever.
#[tokio::test]
async fn a_finalize_of_somebody_else_lets_nothing_through() {
    let stage = Stage::new().await;
    stage.parts.world().lifecycle = "CUTOVER".into();
    keep_old_answers(&stage);
    let held = stage.run(json!({})).await.unwrap();
    assert_eq!(held, json!({"status": "AWAITING_WINDOW", "held": true}));
    let world = stage.parts.world();
    assert_eq!(world.record().held.unwrap().code, "DNS_TTL");
    assert_eq!(world.power, "running");
}

#[tokio::test]
async fn nothing_is_finalized_without_evidence_of_what_comes_before() {
    #[expect(clippy::type_complexity, reason = "what is missing, and how")]
    let without: [(&str, fn(&mut MigrationRecord)); 4] = [
        ("VERIFIED", |record| {
            record.done.cutover.as_mut().unwrap().verified_at = None;
        }),
        ("SOAKED", |record| {
            record.request.policy.soak_seconds = Some(60);
        }),
        ("APPROVED", |record| record.gates.clear()),
        ("APPROVED", |record| record.gates[0].granted_at = None),
    ];
    for (item, take) in without {
        let stage = Stage::new().await;
        stage.parts.change_record(take);
        let error = stage.finish().await.unwrap_err();
        assert_eq!(error.name, ErrorName::CutoverError);
        assert!(
            error.message.ends_with(&format!("no evidence of {item}")),
            "{error}"
        );
        {
            let world = stage.parts.world();
            assert_eq!(world.finalized, 0);
            assert_eq!(
                world.count("ChangeResourceRecordSets"),
                0,
                "{item}: users moved"
            );
            assert_eq!(state(&world.record(), Step::Dns), None);
        }
        // Lost on the way: the last step looks once more.
        let stage = Stage::new().await;
        let going_off = stage.run(json!({})).await.unwrap_err();
        assert_eq!(going_off.name, ErrorName::DependencyUnavailable);
        stage.parts.change_record(take);
        let error = stage.finish().await.unwrap_err();
        assert!(
            error.message.starts_with("MGN FinalizeCutover is refused"),
            "{error}"
        );
        let world = stage.parts.world();
        assert_eq!(world.finalized, 0);
        assert_eq!(state(&world.record(), Step::MgnFinalize), None);
    }
}

#[tokio::test]
async fn a_cancelled_migration_goes_no_further() {
    let stage = Stage::new().await;
    let going_off = stage.run(json!({})).await.unwrap_err();
    assert_eq!(going_off.name, ErrorName::DependencyUnavailable);
    stage.parts.change_record(|record| {
        let order =
            json!({"by": "arn:aws:iam::123456789012:user/op", "reason": "stop", "at": world::NOW});
        record.control.cancel = Some(serde_json::from_value(order).unwrap());
    });
    let calls = stage.parts.world().calls.len();
    let error = stage.run(json!({})).await.unwrap_err();
    assert_eq!(error.name, ErrorName::Cancelled);
    assert_eq!(stage.parts.world().calls[calls..], ["GetItem"]);
}

#[tokio::test]
async fn an_answer_lost_at_the_point_of_no_return_is_no_reason_to_hold() {
    let stage = Stage::new().await;
    let call = {
        let stage = Stage::new().await;
        stage.finish().await.unwrap();
        let world = stage.parts.world();
        world
            .calls
            .iter()
            .position(|c| c == "FinalizeCutover")
            .unwrap()
    };
    stage.parts.world().fault = Some((call, Fault::Lost));
    let mut error = stage.run(json!({})).await.unwrap_err();
    while stage.parts.world().calls.len() <= call {
        error = stage.run(json!({})).await.unwrap_err();
    }
    assert!(error.name.is_transient(), "{error}");
    pause(&stage);
    let answer: Value = stage.run(json!({})).await.unwrap();
    assert_eq!(answer["status"], "SUCCEEDED");
    assert_eq!(stage.parts.world().finalized, 1);
}
