//! What became of a server's launch, from everything that MGN shows of it.
//!
//! A job has no failed state, a launch counts as accepted long before an instance exists, and a source server goes on
//! naming the instance of its last job for a while. So only the server's own part in this very job is believed.

use jiff::{SignedDuration, Timestamp};
use landfall_domain::record::LaunchAction;
use landfall_domain::replication;
use landfall_mgn::{Job, JobLogLine, LaunchStatus, LaunchedInstance, Server};
use serde_json::{Value, json};

/// How long a job that has ended may be without its log.
const LOG_LAG: SignedDuration = SignedDuration::from_mins(3);

/// How a launch stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Truth {
    /// Not decided; the text says what is missing.
    Running(String),
    /// The instance is there.
    Launched {
        /// It.
        instance_id: String,
        /// What else MGN says of it.
        evidence: Value,
    },
    /// There is none, or none to be believed.
    Failed {
        /// MGN's launch status, or a code of ours.
        status: String,
        /// What a person should read, where MGN's log is not enough.
        text: Option<String>,
    },
}

/// Judges a server's part in a job. `log` is read when the job has ended.
pub(crate) fn of(
    action: LaunchAction,
    job_id: &str,
    job: Option<&Job>,
    server_id: &str,
    server: Option<&Server>,
    log: &[JobLogLine],
    now: Timestamp,
) -> Truth {
    let Some(job) = job else {
        return Truth::Running(format!("MGN does not show {job_id}"));
    };
    if !job.completed {
        return Truth::Running(format!("{job_id} is under way"));
    }
    let mut parts = job.participants.iter();
    let Some(part) = parts.find(|part| part.server_id == server_id) else {
        return Truth::Running(format!("{server_id} takes no part in {job_id}"));
    };
    let failed = |status: &str, text: Option<String>| Truth::Failed {
        status: status.to_owned(),
        text,
    };
    match &part.status {
        LaunchStatus::Launched => {}
        // The log comes some seconds after the job: nobody is to be told "no reason" for that.
        LaunchStatus::Failed if raw_error(log).is_none() && ended_lately(job, now) => {
            return Truth::Running("its log does not say yet why it failed".to_owned());
        }
        LaunchStatus::Failed => return failed("FAILED", None),
        LaunchStatus::Terminated => return failed("TERMINATED", None),
        LaunchStatus::Unknown(status) => return failed(status, None),
        LaunchStatus::Running => {
            return Truth::Running(format!("{job_id} has ended, the launch has not"));
        }
    }
    // What runs for the server may still be what an earlier job launched.
    let launched = server
        .and_then(|server| server.launched.as_ref())
        .filter(|launched| launched.job_id == job_id);
    let instance_id = part
        .instance_id
        .as_deref()
        .or(launched.map(|launched| launched.instance_id.as_str()));
    let Some(instance_id) = instance_id else {
        return Truth::Running("the launched instance is not shown yet".to_owned());
    };
    if let Some(action) = part.actions.iter().find(|it| it.status == "IN_PROGRESS") {
        return Truth::Running(format!("post-launch action {:?} is under way", action.name));
    }
    let must = part
        .actions
        .iter()
        .find(|it| it.status == "FAILED" && it.must_succeed);
    if let Some(action) = must {
        let why = action.failure.as_deref().unwrap_or("MGN gives no reason");
        let text = format!("post-launch action {:?} failed: {why}", action.name);
        return failed("POST_LAUNCH_ACTION_FAILED", Some(text));
    }
    let stale = stale(log);
    if action == LaunchAction::Cutover
        && let Some(why) = &stale
    {
        let text = format!(
            "MGN could not snapshot the source and launched from an earlier snapshot, so the target misses what was written since: {why}"
        );
        return failed("STALE_SNAPSHOT", Some(text));
    }
    Truth::Launched {
        instance_id: instance_id.to_owned(),
        evidence: evidence(instance_id, launched, &part.actions, stale.as_deref()),
    }
}

fn ended_lately(job: &Job, now: Timestamp) -> bool {
    let ended = job
        .ended_at
        .as_deref()
        .and_then(replication::parse_timestamp);
    ended.is_some_and(|at| now.duration_since(at) < LOG_LAG)
}

fn evidence(
    instance_id: &str,
    launched: Option<&LaunchedInstance>,
    actions: &[landfall_mgn::PostLaunchAction],
    stale: Option<&str>,
) -> Value {
    let mut evidence = json!({ "instanceId": instance_id });
    if let Some(boot) = launched.and_then(|launched| launched.first_boot.as_deref()) {
        evidence["firstBoot"] = boot.into();
    }
    if !actions.is_empty() {
        let told = actions.iter().map(|action| {
            json!({ "name": action.name, "status": action.status, "failure": action.failure })
        });
        evidence["postLaunchActions"] = told.collect();
    }
    if let Some(why) = stale {
        evidence["staleSnapshot"] = why.into();
    }
    evidence
}

/// Why the launch is of an earlier snapshot than asked for, when it is.
fn stale(log: &[JobLogLine]) -> Option<String> {
    log.iter()
        .find(|line| line.event == "USING_PREVIOUS_SNAPSHOT")?;
    Some(raw_error(log).unwrap_or_else(|| "MGN's job log holds no error text".to_owned()))
}

/// MGN's own text of what went wrong: the last error in the log.
pub(crate) fn raw_error(log: &[JobLogLine]) -> Option<String> {
    let mut lines = log.iter().rev();
    lines.find_map(|line| Some(format!("{}: {}", line.event, line.raw_error.as_ref()?)))
}

#[cfg(test)]
mod tests {
    use landfall_domain::replication::Replication;
    use landfall_mgn::{Participant, PostLaunchAction};

    use super::*;

    fn part(status: LaunchStatus, instance: Option<&str>) -> Participant {
        Participant {
            server_id: "s-1".into(),
            status,
            instance_id: instance.map(str::to_owned),
            actions: Vec::new(),
        }
    }

    fn job(part: Participant) -> Job {
        Job {
            id: "mgnjob-2".into(),
            completed: true,
            ended_at: None,
            participants: vec![part],
            intent_id: None,
        }
    }

    /// The server, with what another job or this one launched.
    fn server(job_id: &str) -> Server {
        Server {
            id: "s-1".into(),
            user_provided_id: None,
            vmware_uuid: None,
            hostname: None,
            fqdn: None,
            ips: Vec::new(),
            archived: false,
            lifecycle: "CUTTING_OVER".into(),
            replication: Replication::default(),
            launched: Some(LaunchedInstance {
                instance_id: format!("i-of-{job_id}"),
                job_id: job_id.into(),
                first_boot: Some("WAITING".into()),
            }),
        }
    }

    fn judged(part: Participant, server: &Server, log: &[JobLogLine]) -> Truth {
        let job = job(part);
        of(
            LaunchAction::Cutover,
            "mgnjob-2",
            Some(&job),
            "s-1",
            Some(server),
            log,
            Timestamp::UNIX_EPOCH,
        )
    }

    fn line(event: &str, raw: Option<&str>) -> JobLogLine {
        JobLogLine {
            event: event.into(),
            server_id: Some("s-1".into()),
            raw_error: raw.map(str::to_owned),
        }
    }

    #[test]
    fn only_the_server_s_part_in_this_job_is_believed() {
        let (old, own) = (server("mgnjob-1"), server("mgnjob-2"));
        let launched = |instance: Option<&str>, server: &Server| match judged(
            part(LaunchStatus::Launched, instance),
            server,
            &[],
        ) {
            Truth::Launched {
                instance_id,
                evidence,
            } => Some((instance_id, evidence)),
            Truth::Running(_) => None,
            failed @ Truth::Failed { .. } => panic!("{failed:?}"),
        };
        assert_eq!(launched(None, &old), None, "it is what the test launched");
        let (id, evidence) = launched(None, &own).unwrap();
        assert_eq!(id, "i-of-mgnjob-2");
        assert_eq!(
            evidence,
            json!({"instanceId": "i-of-mgnjob-2", "firstBoot": "WAITING"})
        );
        let (id, evidence) = launched(Some("i-9"), &old).unwrap();
        assert_eq!(
            (id.as_str(), evidence),
            ("i-9", json!({"instanceId": "i-9"}))
        );
        for (status, name) in [
            (LaunchStatus::Failed, "FAILED"),
            (LaunchStatus::Terminated, "TERMINATED"),
            (LaunchStatus::Unknown("NEW".into()), "NEW"),
        ] {
            let truth = judged(part(status, Some("i-9")), &own, &[]);
            assert_eq!(
                truth,
                Truth::Failed {
                    status: name.into(),
                    text: None
                }
            );
        }
    }

    #[test]
    fn what_has_not_ended_is_not_judged() {
        let own = server("mgnjob-2");
        let running = |truth| match truth {
            Truth::Running(text) => text,
            other => panic!("{other:?}"),
        };
        let of = |job: Option<&Job>| {
            running(of(
                LaunchAction::Test,
                "mgnjob-2",
                job,
                "s-1",
                Some(&own),
                &[],
                Timestamp::UNIX_EPOCH,
            ))
        };
        assert!(of(None).contains("does not show"));
        let mut under_way = job(part(LaunchStatus::Launched, Some("i-9")));
        under_way.completed = false;
        assert!(of(Some(&under_way)).contains("under way"));
        let mut others = job(part(LaunchStatus::Launched, Some("i-9")));
        others.participants[0].server_id = "s-2".into();
        assert!(of(Some(&others)).contains("takes no part"));
        let text = running(judged(part(LaunchStatus::Running, None), &own, &[]));
        assert!(text.contains("the launch has not"));
    }

    #[test]
    fn post_launch_actions_count_as_they_were_configured() {
        let own = server("mgnjob-2");
        let with = |status: &str, must_succeed| {
            let mut part = part(LaunchStatus::Launched, Some("i-9"));
            part.actions.push(PostLaunchAction {
                name: "join-domain".into(),
                status: status.into(),
                failure: (status == "FAILED").then(|| "no such domain".to_owned()),
                must_succeed,
            });
            judged(part, &own, &[])
        };
        assert!(
            matches!(with("IN_PROGRESS", false), Truth::Running(text) if text.contains("join-domain"))
        );
        assert!(matches!(with("SUCCESS", true), Truth::Launched { .. }));
        let Truth::Launched { evidence, .. } = with("FAILED", false) else {
            panic!("it need not succeed");
        };
        assert_eq!(
            evidence["postLaunchActions"][0]["failure"],
            "no such domain"
        );
        let expected = "post-launch action \"join-domain\" failed: no such domain";
        assert_eq!(
            with("FAILED", true),
            Truth::Failed {
                status: "POST_LAUNCH_ACTION_FAILED".into(),
                text: Some(expected.into())
            }
        );
    }

    #[test]
    fn a_cutover_from_an_old_snapshot_has_failed_and_a_test_says_so() {
        let own = server("mgnjob-2");
        let log = [
            line("SNAPSHOT_START", None),
            line("SNAPSHOT_FAIL", Some("RequestLimitExceeded")),
            line("USING_PREVIOUS_SNAPSHOT", None),
        ];
        let launched = part(LaunchStatus::Launched, Some("i-9"));
        let Truth::Failed { status, text } = judged(launched.clone(), &own, &log) else {
            panic!("its data are old");
        };
        assert_eq!(status, "STALE_SNAPSHOT");
        assert!(
            text.unwrap()
                .ends_with("SNAPSHOT_FAIL: RequestLimitExceeded")
        );
        let job = job(launched);
        let test = of(
            LaunchAction::Test,
            "mgnjob-2",
            Some(&job),
            "s-1",
            Some(&own),
            &log,
            Timestamp::UNIX_EPOCH,
        );
        let Truth::Launched { evidence, .. } = test else {
            panic!("a test may be of old data");
        };
        assert_eq!(
            evidence["staleSnapshot"],
            "SNAPSHOT_FAIL: RequestLimitExceeded"
        );
    }

    #[test]
    fn a_reason_that_is_not_in_the_log_yet_is_waited_for() {
        let own = server("mgnjob-2");
        let mut job = job(part(LaunchStatus::Failed, None));
        job.ended_at = Some("2026-11-21T12:00:00.5+00:00".into());
        let at = |time: &str, log: &[JobLogLine]| {
            let now = time.parse().unwrap();
            of(
                LaunchAction::Test,
                "mgnjob-2",
                Some(&job),
                "s-1",
                Some(&own),
                log,
                now,
            )
        };
        let none = [line("LAUNCH_START", None)];
        assert!(matches!(
            at("2026-11-21T12:00:10Z", &none),
            Truth::Running(_)
        ));
        assert!(matches!(
            at("2026-11-21T12:04:00Z", &none),
            Truth::Failed { .. }
        ));
        let told = [line("LAUNCH_FAILED", Some("VcpuLimitExceeded"))];
        assert!(matches!(
            at("2026-11-21T12:00:10Z", &told),
            Truth::Failed { .. }
        ));
    }
}
