use super::*;

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn after(secs: i64) -> Timestamp {
    start() + SignedDuration::from_secs(secs)
}

fn job(purpose: Purpose, previous: Option<&str>, planned: Option<Planned>) -> Job {
    let participant = Participant::new("s-1".into(), start(), previous.map(str::to_owned), planned);
    Job::new(purpose, start(), BTreeMap::new(), vec![participant])
}

/// Runs a job to its end, answering whatever it asks; the events of its log.
fn run(job: &mut Job, refusal: Option<&str>) -> Vec<&'static str> {
    for secs in (0..2_000).step_by(5) {
        for ask in job.advance(after(secs)) {
            match ask {
                Ask::Launch { server_id } => {
                    let answer = refusal.map_or(Answer::Instance("i-new".into()), |t| {
                        Answer::Refused(t.into())
                    });
                    job.answer(&server_id, after(secs), answer);
                }
                Ask::Terminate {
                    server_id,
                    instance_id,
                } => {
                    job.answer(&server_id, after(secs), Answer::Instance(instance_id));
                }
                Ask::Launched { .. } | Ask::Failed { .. } | Ask::Gone { .. } => {}
            }
        }
    }
    assert_eq!(job.status, Status::Completed);
    job.log.iter().map(|item| item.event).collect()
}

const LAUNCH_LOG: [&str; 7] = [
    "JOB_START",
    "SNAPSHOT_START",
    "SNAPSHOT_END",
    "CONVERSION_START",
    "CONVERSION_END",
    "LAUNCH_START",
    "JOB_END",
];

#[test]
fn a_first_test_logs_no_cleanup() {
    let mut job = job(Purpose::Test, None, None);
    assert_eq!(run(&mut job, None), LAUNCH_LOG);
    assert_eq!(job.participants[0].status, LaunchStatus::Launched);
    assert_eq!(job.ended, Some(after(550)));
    let launch = job
        .log
        .iter()
        .find(|item| item.event == "LAUNCH_START")
        .unwrap();
    assert_eq!(launch.instance_id.as_deref(), Some("i-new"));
}

#[test]
fn a_cutover_cleans_up_the_test_instance_first() {
    let mut job = job(Purpose::Cutover, Some("i-old"), None);
    let log = run(&mut job, None);
    assert_eq!(
        &log[..4],
        &[
            "JOB_START",
            "CLEANUP_START",
            "CLEANUP_END",
            "SNAPSHOT_START"
        ]
    );
}

#[test]
fn every_failure_leaves_its_event_and_its_status() {
    let table = [
        (Stage::Snapshot, "SNAPSHOT_FAIL", LaunchStatus::Launched),
        (Stage::Conversion, "CONVERSION_FAIL", LaunchStatus::Failed),
        (Stage::Launching, "LAUNCH_FAILED", LaunchStatus::Failed),
    ];
    for (stage, event, status) in table {
        let mut job = job(
            Purpose::Test,
            None,
            Some(Planned {
                stage,
                raw_error: "why".into(),
            }),
        );
        run(&mut job, None);
        let item = job.log.iter().find(|item| item.event == event).unwrap();
        assert_eq!(item.raw_error.as_deref(), Some("why"), "{event}");
        assert_eq!(job.participants[0].status, status, "{event}");
    }
}

#[test]
fn a_refusal_of_ec2_is_a_failed_launch_with_its_text() {
    let mut job = job(Purpose::Test, None, None);
    run(&mut job, Some("InsufficientInstanceCapacity"));
    let item = job
        .log
        .iter()
        .find(|item| item.event == "LAUNCH_FAILED")
        .unwrap();
    assert_eq!(
        item.raw_error.as_deref(),
        Some("InsufficientInstanceCapacity")
    );
    assert_eq!(job.participants[0].status, LaunchStatus::Failed);
}

#[test]
fn a_launch_waits_for_ec2_however_late_it_is() {
    let mut job = job(Purpose::Test, None, None);
    let asks = job.advance(after(100_000));
    assert_eq!(
        asks,
        vec![Ask::Launch {
            server_id: "s-1".into()
        }]
    );
    assert!(job.advance(after(200_000)).is_empty());
    job.answer("s-1", after(200_000), Answer::Instance("i-new".into()));
    let asks = job.advance(after(200_001));
    assert!(matches!(&asks[..], [Ask::Launched { at, .. }] if *at == after(200_000)));
}

#[test]
fn terminating_ends_terminated_with_or_without_an_instance() {
    for (previous, event) in [(Some("i-old"), "CLEANUP_END"), (None, "SERVER_SKIPPED")] {
        let mut job = job(Purpose::Terminate, previous, None);
        assert!(run(&mut job, None).contains(&event));
        assert_eq!(job.participants[0].status, LaunchStatus::Terminated);
    }
}

#[test]
fn a_job_answers_pending_until_it_starts() {
    let mut job = job(Purpose::Test, None, None);
    job.advance(after(9));
    assert_eq!(
        (job.status, job.participants[0].status),
        (Status::Pending, LaunchStatus::Pending)
    );
    job.advance(after(10));
    assert_eq!(
        (job.status, job.participants[0].status),
        (Status::Started, LaunchStatus::InProgress)
    );
}
