//! How far a rollback has come, how long it takes, and what is left to a person.

use super::*;

#[test]
fn an_estimate_is_the_mean_of_past_runs_and_independent_ones_count_once() {
    let plain = plan(&moved());
    // 300 power, 60 DNS, 10 traffic, 30 lifecycle, 300 target.
    assert_eq!(plain.estimate_seconds, 700);
    let mut past = Estimates::default();
    let runs = PastRuns {
        runs: 4,
        seconds: 100,
    };
    past.0.insert("POWER_ON_SOURCE".into(), runs);
    let learnt = super::super::plan(&moved(), &past);
    assert_eq!(learnt.compensations[0].estimate_seconds, 25);
    assert_eq!(learnt.estimate_seconds, 425);
    past.0.insert("POWER_ON_SOURCE".into(), PastRuns::default());
    assert_eq!(
        super::super::plan(&moved(), &past),
        plain,
        "no run, no mean"
    );
}

#[test]
fn only_what_did_some_work_tells_how_long_it_takes() {
    let outcomes: [fn(String) -> Outcome; 3] = [Outcome::Did, Outcome::Found, Outcome::Nothing];
    // By whether an earlier try has waited for it.
    for (waited, acted) in [(false, [true, false, false]), (true, [true, true, false])] {
        for (outcome, acted) in outcomes.into_iter().zip(acted) {
            let mut progress = Progress::default();
            if waited {
                progress.waits("x", "not yet", false, at(0));
            }
            progress.done("x", &outcome("so".into()), at(5), at(9));
            let state = &progress.steps["x"];
            assert_eq!((state.acted, state.said.as_str()), (acted, "so"));
            assert_eq!(state.took_seconds(), Some(if waited { 9 } else { 4 }));
        }
    }
}

fn did(said: &str) -> Outcome {
    Outcome::Did(said.into())
}

fn ids(progress: &Progress, plan: &RollbackPlan, tried: &[&str]) -> Vec<String> {
    let tried: Vec<String> = tried.iter().map(|&id| id.to_owned()).collect();
    let ready = progress.ready(plan, &tried).into_iter();
    ready.map(|step| step.id.clone()).collect()
}

#[test]
fn what_is_given_up_keeps_back_what_comes_after_it_and_nothing_else() {
    let plan = plan(&moved());
    let mut progress = Progress::default();
    assert_eq!(ids(&progress, &plan, &[]), ["POWER_ON_SOURCE"]);
    assert!(ids(&progress, &plan, &["POWER_ON_SOURCE"]).is_empty());
    progress.done("POWER_ON_SOURCE", &did("vm-1 runs"), at(0), at(90));
    let names = ["RESTORE_DNS A b Z", "RESTORE_DNS A a Z"];
    assert_eq!(ids(&progress, &plan, &[]), names);
    for id in names.into_iter().chain(["CHECK_TRAFFIC"]) {
        progress.done(id, &did(""), at(90), at(91));
    }
    let after = ["RESTORE_CMDB", "REVERT_LIFECYCLE", "RESTORE_CMF"];
    assert_eq!(ids(&progress, &plan, &[]), after);
    for time in 1..=TRIES {
        assert!(!progress.is_given_up("REVERT_LIFECYCLE"), "{time}");
        progress.refused("REVERT_LIFECYCLE", "no", false, at(100));
    }
    assert!(progress.is_given_up("REVERT_LIFECYCLE"));
    assert_eq!(ids(&progress, &plan, &[]), ["RESTORE_CMDB", "RESTORE_CMF"]);
    progress.waits("RESTORE_CMF", "slow", true, at(100));
    assert!(progress.is_given_up("RESTORE_CMF"));
    progress.done("RESTORE_CMDB", &did(""), at(100), at(101));
    assert!(ids(&progress, &plan, &[]).is_empty());
    assert!(!progress.is_complete(&plan));
    assert_eq!(progress.steps["POWER_ON_SOURCE"].took_seconds(), Some(90));
    let stored = serde_json::to_value(&progress).unwrap();
    let read: Progress = serde_json::from_value(stored).unwrap();
    assert_eq!(read, progress);
}

#[test]
fn the_hand_over_says_what_is_done_what_is_not_and_what_to_do() {
    let record = moved();
    let plan = plan(&record);
    let mut progress = Progress::default();
    progress.done("POWER_ON_SOURCE", &did("vm-1 was started"), at(0), at(1));
    progress.done("RESTORE_DNS A b Z", &did("it was put back"), at(1), at(2));
    progress.refused("RESTORE_DNS A a Z", "Route 53 said no", false, at(2));
    progress.refused("RESTORE_DNS A a Z", "Route 53 said no", false, at(2));
    let text = HandOver::of(&record, &plan, &progress, "RESTORE_DNS was refused").text();
    for line in [
        "The rollback was not completed: RESTORE_DNS was refused.",
        "  - POWER_ON_SOURCE: vm-1 was started",
        "  - RESTORE_DNS A a Z: refused 2 times: Route 53 said no",
        "  - CHECK_TRAFFIC: not tried: it comes after RESTORE_DNS A a Z",
        "  1. Remove A a in the hosted zone Z: there was none before.",
        "  4. In MGN, revert the lifecycle of the source server s-1 to READY_FOR_TEST.",
        "  7. In EC2, make version 1 of the launch template lt-1 its default.",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
    assert!(!text.contains("Power on the source"), "it is done: {text}");
}
