//! The source server as MGN knows it.

use landfall_domain::request::{AgentKind, MigrationRequest, Step};
use landfall_domain::{Finding, WorkflowPlan};
use landfall_mgn::{Job, Server};

use crate::facts::{Fact, TargetFacts};

/// Checks the server in MGN. What the `replicate` step will bring about is not asked for here.
pub(super) fn check(request: &MigrationRequest, facts: &TargetFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mgn = &facts.mgn;
    if !mgn.initialized {
        findings.push(
            Finding::blocking(
                "MGN_NOT_INITIALIZED",
                "",
                "MGN is not initialized in this account and Region.",
            )
            .evidence("no replication template", "an initialized account and Region")
            .remedy("Initialize MGN once, in its console or with `aws mgn initialize-service`, and set its replication template."),
        );
        return findings;
    }
    findings.extend(quotas(request, facts));
    if facts.unread.has(Fact::Servers) {
        return findings;
    }
    match mgn.servers.as_slice() {
        [] if request.wants(Step::Replicate) => {}
        [] if !mgn.archived.is_empty() => {
            let ids: Vec<&str> = mgn.archived.iter().map(|it| it.id.as_str()).collect();
            findings.push(
                Finding::blocking(
                    "SERVER_ARCHIVED",
                    "/sourceVmId",
                    format!(
                        "MGN knows {} by an archived source server only: {}.",
                        request.source_vm_id,
                        ids.join(", ")
                    ),
                )
                .evidence(ids, "a server that is not archived")
                .remedy(to_mgn(request)),
            );
        }
        [] => findings.push(
            Finding::blocking(
                "SERVER_NOT_FOUND",
                "/sourceVmId",
                format!("MGN knows no source server {}.", request.source_vm_id),
            )
            .evidence(
                request.source_vm_id.as_str(),
                "the --user-provided-id of a server in MGN",
            )
            .remedy(to_mgn(request)),
        ),
        [server] => {
            findings.extend(check_one(request, server));
            findings.extend(active_job(request, server, &mgn.jobs));
        }
        many => {
            let ids: Vec<&str> = many.iter().map(|server| server.id.as_str()).collect();
            findings.push(
                Finding::blocking(
                    "SERVER_AMBIGUOUS",
                    "/sourceVmId",
                    format!(
                        "MGN knows {} by several source servers: {}.",
                        request.source_vm_id,
                        ids.join(", ")
                    ),
                )
                .evidence(ids, "one server")
                .remedy("Archive or delete in MGN those that are no longer used."),
            );
        }
    }
    findings
}

fn check_one(request: &MigrationRequest, server: &Server) -> Option<Finding> {
    if let Some(finding) = check_lifecycle(request, server) {
        return Some(finding);
    }
    let disconnected =
        server.replication.state == "DISCONNECTED" || server.lifecycle == "DISCONNECTED";
    let comes_back = request.wants(Step::Replicate) && request.agent_kind() == AgentKind::Install;
    (disconnected && !comes_back).then(|| {
        Finding::blocking(
            "SERVER_DISCONNECTED",
            "/sourceVmId",
            format!("source server {} is disconnected from MGN.", server.id),
        )
        .evidence("DISCONNECTED", "a server that replicates")
        .remedy(to_mgn(request))
    })
}

/// What brings a server to MGN, by who is to do it.
fn to_mgn(request: &MigrationRequest) -> &'static str {
    match request.agent_kind() {
        AgentKind::Install => "Add the step replicate, which installs the agent under this ID.",
        AgentKind::Preinstalled => {
            "Install the agent on the source with --user-provided-id = sourceVmId, then submit again; or leave agent.kind out and add the step replicate, to have it installed."
        }
        AgentKind::Agentless => {
            "Let MGN's vCenter client discover the machine (sourceVmId is its UUID in vSphere), start its replication in MGN, then submit again."
        }
    }
}

/// A job that has the server already: MGN would refuse ours, and its instance would be taken for ours.
fn active_job(request: &MigrationRequest, server: &Server, jobs: &[Job]) -> Option<Finding> {
    let plan = WorkflowPlan::of(request);
    if !(plan.validate || plan.switch) {
        return None;
    }
    let job = jobs
        .iter()
        .find(|job| job.participants.iter().any(|it| it.server_id == server.id))?;
    Some(
        Finding::blocking(
            "ACTIVE_JOB_EXISTS",
            "/sourceVmId",
            format!("source server {} takes part in {} now.", server.id, job.id),
        )
        .evidence(job.id.as_str(), "no unfinished job of the server")
        .remedy("Wait until that job has ended (aws mgn describe-jobs), then submit again."),
    )
}

/// Quotas that are used up now. Launches wait for theirs, up to 12 hours, so that they only warn. Nothing waits for the
/// one of replicating servers: where it is known, and not guessed from the documentation, it refuses.
fn quotas(request: &MigrationRequest, facts: &TargetFacts) -> Vec<Finding> {
    let plan = WorkflowPlan::of(request);
    let launches = (plan.validate || plan.switch) && !facts.unread.has(Fact::Jobs);
    let (mgn, quotas) = (&facts.mgn, facts.quotas);
    let in_flight: usize = mgn.jobs.iter().map(|job| job.participants.len()).sum();
    let begins = request.wants(Step::Replicate)
        && mgn.servers.is_empty()
        && !facts.unread.has(Fact::Servers);
    let source = if quotas.live {
        "the quota"
    } else {
        "the default quota"
    };
    let used_up = [
        (
            launches,
            "QUOTA_JOBS",
            mgn.jobs.len(),
            quotas.launches.jobs,
            "unfinished MGN jobs",
            "Nothing needs to be done: the launch waits until one has ended.",
        ),
        (
            launches,
            "QUOTA_IN_FLIGHT",
            in_flight,
            quotas.launches.in_flight,
            "servers in unfinished MGN jobs",
            "Nothing needs to be done: the launch waits until there is room.",
        ),
        (
            begins,
            "QUOTA_REPLICATING",
            mgn.replicating,
            quotas.replicating,
            "replicating servers",
            "Cut over or disconnect servers first, or have the quota L-9A599620 raised in Service Quotas.",
        ),
    ];
    used_up
        .into_iter()
        .filter(|(matters, _, used, quota, ..)| *matters && used >= quota)
        .map(|(_, code, used, quota, what, remedy)| {
            let text = format!(
                "there are {used} {what} in the account and Region, and {source} is {quota}."
            );
            let finding = if code == "QUOTA_REPLICATING" && quotas.live {
                Finding::blocking(code, "", text)
            } else {
                Finding::warning(code, "", text)
            };
            finding
                .evidence(used, format!("fewer than {quota}"))
                .remedy(remedy)
        })
        .collect()
}

/// Whether the server's place in MGN's lifecycle leaves room for the phases asked for.
fn check_lifecycle(request: &MigrationRequest, server: &Server) -> Option<Finding> {
    let plan = WorkflowPlan::of(request);
    let launches = plan.validate || plan.switch;
    let remedy = match server.lifecycle.as_str() {
        "CUTOVER" => {
            "The server was cut over already. To move it once more, archive it in MGN and remove its agent first."
        }
        "CUTTING_OVER" => {
            "Another cutover of it is under way. Finalize or revert that one in MGN first."
        }
        "TESTING" if launches => {
            "Another test of it is under way. Mark it as ready for cutover, or revert it, in MGN first."
        }
        "STOPPED" => "Start its replication in MGN, then submit again.",
        "DISCOVERED" => match request.agent_kind() {
            // The replicate step waits until somebody has started it.
            AgentKind::Agentless if request.wants(Step::Replicate) => return None,
            AgentKind::Agentless => "Start its replication in MGN, then submit again.",
            AgentKind::Install | AgentKind::Preinstalled => {
                "It was discovered for replication without an agent. Set agent.kind to agentless and start its replication in MGN, or delete it there to have an agent installed."
            }
        },
        "PENDING_INSTALLATION" if !request.wants(Step::Replicate) => to_mgn(request),
        // What MGN may name in future is not refused for being new: the gates before each launch look again.
        _ => return None,
    };
    Some(
        Finding::blocking(
            "LIFECYCLE_NOT_ALLOWED",
            "/sourceVmId",
            format!(
                "source server {} is in lifecycle state {}.",
                server.id, server.lifecycle
            ),
        )
        .evidence(
            server.lifecycle.as_str(),
            "NOT_READY, READY_FOR_TEST or READY_FOR_CUTOVER",
        )
        .remedy(remedy),
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::checks::tests::{assert_helpful, codes, request};
    use crate::facts::{MgnFacts, Quotas};
    use landfall_domain::replication::Replication;
    use landfall_mgn::{LaunchStatus, LaunchedInstance, Participant};
    use serde_json::json;

    fn server(id: &str, lifecycle: &str, replication: &str) -> Server {
        Server {
            id: id.into(),
            user_provided_id: Some("vm-123456".into()),
            vmware_uuid: None,
            hostname: None,
            fqdn: None,
            ips: vec![],
            archived: false,
            lifecycle: lifecycle.into(),
            replication: Replication {
                state: replication.into(),
                ..Replication::default()
            },
            launched: None,
        }
    }

    /// A server with an instance of an earlier launch.
    pub(crate) fn launched(instance_id: &str) -> Server {
        Server {
            launched: Some(LaunchedInstance {
                first_boot: None,
                instance_id: instance_id.into(),
                job_id: "mgnjob-1".into(),
            }),
            ..server("s-1", "READY_FOR_CUTOVER", "CONTINUOUS")
        }
    }

    fn with_steps(steps: &[&str]) -> MigrationRequest {
        request(json!({ "steps": steps }))
    }

    fn facts(mgn: MgnFacts) -> TargetFacts {
        TargetFacts {
            mgn: MgnFacts {
                initialized: true,
                ..mgn
            },
            ..TargetFacts::default()
        }
    }

    #[test]
    fn the_server_must_leave_room_for_the_phases_asked_for() {
        let all: &[&str] = &["freeze", "replicate", "validate", "switch"];
        let launch: &[&str] = &["validate", "switch"];
        let replicate: &[&str] = &["replicate"];
        let check = |steps: &[&str], lifecycle: &str, replication: &str, expected: &[&str]| {
            let facts = facts(MgnFacts {
                servers: vec![server("s-1", lifecycle, replication)],
                ..MgnFacts::default()
            });
            let findings = super::check(&with_steps(steps), &facts);
            assert_helpful(&findings);
            assert_eq!(
                codes(&findings),
                expected,
                "{steps:?} {lifecycle} {replication}"
            );
        };
        let refused: &[&str] = &["LIFECYCLE_NOT_ALLOWED"];
        check(all, "NOT_READY", "INITIAL_SYNC", &[]);
        check(all, "READY_FOR_TEST", "CONTINUOUS", &[]);
        check(launch, "READY_FOR_CUTOVER", "CONTINUOUS", &[]);
        check(all, "TESTING", "CONTINUOUS", refused);
        check(replicate, "TESTING", "CONTINUOUS", &[]);
        check(replicate, "CUTTING_OVER", "CONTINUOUS", refused);
        check(all, "CUTOVER", "DISCONNECTED", refused);
        check(all, "STOPPED", "STOPPED", refused);
        check(all, "DISCOVERED", "STOPPED", refused);
        check(all, "PENDING_INSTALLATION", "", &[]);
        check(launch, "PENDING_INSTALLATION", "", refused);
        check(
            launch,
            "DISCONNECTED",
            "DISCONNECTED",
            &["SERVER_DISCONNECTED"],
        );
        check(all, "DISCONNECTED", "DISCONNECTED", &[]);
        check(all, "A_NEW_STATE", "CONTINUOUS", &[]);
    }

    #[test]
    fn a_source_that_others_bring_to_mgn_is_judged_by_what_they_can_do() {
        let check = |kind: &str, steps: &[&str], servers: Vec<Server>, expected: &[&str]| {
            let facts = facts(MgnFacts {
                servers,
                ..MgnFacts::default()
            });
            let request = request(json!({ "steps": steps, "agent": { "kind": kind } }));
            let findings = super::check(&request, &facts);
            assert_helpful(&findings);
            assert_eq!(codes(&findings), expected, "{kind} {steps:?}");
            if kind != "install" && steps == ["validate"] {
                let told = format!("{findings:?}");
                assert!(!told.contains("replicate, which installs"), "{told}");
            }
        };
        let (all, launch): (&[&str], &[&str]) = (&["replicate", "validate"], &["validate"]);
        let refused: &[&str] = &["LIFECYCLE_NOT_ALLOWED"];
        let discovered = || vec![server("s-1", "DISCOVERED", "STOPPED")];
        check("agentless", all, discovered(), &[]);
        check("agentless", launch, discovered(), refused);
        check("preinstalled", all, discovered(), refused);
        let imported = || vec![server("s-1", "PENDING_INSTALLATION", "")];
        check("preinstalled", all, imported(), &[]);
        check("preinstalled", launch, imported(), refused);
        // Nobody installs it again.
        let gone = || vec![server("s-1", "DISCONNECTED", "DISCONNECTED")];
        for kind in ["preinstalled", "agentless"] {
            check(kind, all, gone(), &["SERVER_DISCONNECTED"]);
            check(kind, all, vec![], &[]);
            check(kind, launch, vec![], &["SERVER_NOT_FOUND"]);
        }
        check("install", all, gone(), &[]);
    }

    #[test]
    fn one_server_and_an_initialized_account() {
        let check = |steps: &[&str], initialized, servers: Vec<Server>, expected: &[&str]| {
            let facts = TargetFacts {
                mgn: MgnFacts {
                    initialized,
                    servers,
                    ..MgnFacts::default()
                },
                ..TargetFacts::default()
            };
            let findings = super::check(&with_steps(steps), &facts);
            assert_helpful(&findings);
            assert_eq!(codes(&findings), expected);
        };
        check(&["replicate"], true, vec![], &[]);
        check(&["validate"], true, vec![], &["SERVER_NOT_FOUND"]);
        check(&["replicate"], false, vec![], &["MGN_NOT_INITIALIZED"]);
        check(
            &["replicate"],
            true,
            vec![
                server("s-1", "NOT_READY", "INITIAL_SYNC"),
                server("s-2", "READY_FOR_TEST", "CONTINUOUS"),
            ],
            &["SERVER_AMBIGUOUS"],
        );
    }

    fn job(id: &str, servers: &[&str]) -> Job {
        let participants = servers.iter().map(|id| Participant {
            actions: Vec::new(),
            server_id: (*id).to_owned(),
            status: LaunchStatus::Running,
            instance_id: None,
        });
        Job {
            id: id.into(),
            completed: false,
            ended_at: None,
            participants: participants.collect(),
            intent_id: None,
        }
    }

    #[test]
    fn an_archived_server_is_told_apart_from_none() {
        let archived = Server {
            archived: true,
            ..server("s-9", "CUTOVER", "DISCONNECTED")
        };
        let facts = facts(MgnFacts {
            archived: vec![archived],
            ..MgnFacts::default()
        });
        let findings = super::check(&with_steps(&["validate"]), &facts);
        assert_helpful(&findings);
        assert_eq!(codes(&findings), ["SERVER_ARCHIVED"]);
        assert!(findings[0].message.contains("s-9"));
        // The agent makes a new one.
        assert_eq!(super::check(&with_steps(&["replicate"]), &facts), []);
    }

    #[test]
    fn a_server_that_a_job_has_is_refused_where_a_launch_is_wanted() {
        let check = |steps: &[&str], jobs: Vec<Job>, expected: &[&str]| {
            let facts = facts(MgnFacts {
                servers: vec![server("s-1", "READY_FOR_TEST", "CONTINUOUS")],
                jobs,
                ..MgnFacts::default()
            });
            let findings = super::check(&with_steps(steps), &facts);
            assert_helpful(&findings);
            assert_eq!(codes(&findings), expected, "{steps:?}");
        };
        let taken = || vec![job("mgnjob-1", &["s-0", "s-1"])];
        check(&["validate"], taken(), &["ACTIVE_JOB_EXISTS"]);
        check(&["replicate", "switch"], taken(), &["ACTIVE_JOB_EXISTS"]);
        check(&["replicate"], taken(), &[]);
        check(&["validate"], vec![job("mgnjob-1", &["s-0"])], &[]);
    }

    #[test]
    fn a_quota_that_is_used_up_is_told() {
        let check = |wanted: &[&str], jobs: Vec<Job>, replicating, expected: &[&str]| {
            let facts = facts(MgnFacts {
                jobs,
                replicating,
                ..MgnFacts::default()
            });
            let findings = super::check(&with_steps(wanted), &facts);
            assert_helpful(&findings);
            assert!(findings.iter().all(|finding| !finding.is_blocking()));
            assert_eq!(codes(&findings), expected, "{wanted:?} {replicating}");
        };
        let all: &[&str] = &["replicate", "validate"];
        let jobs = |n: usize| {
            (0..n)
                .map(|_| job("mgnjob-1", &["s-0"]))
                .collect::<Vec<_>>()
        };
        let servers = vec!["s-0"; 200];
        check(all, jobs(19), 149, &[]);
        check(all, jobs(20), 150, &["QUOTA_JOBS", "QUOTA_REPLICATING"]);
        check(all, vec![job("j", &servers)], 0, &["QUOTA_IN_FLIGHT"]);
        check(all, vec![job("j", &servers[1..])], 0, &[]);
        check(&["replicate"], jobs(20), 0, &[]);
    }

    #[test]
    fn a_quota_that_is_known_is_the_one_that_counts() {
        let check = |live: usize, replicating, expected: Option<bool>| {
            let facts = TargetFacts {
                quotas: Quotas {
                    replicating: live,
                    live: true,
                    ..Quotas::default()
                },
                ..facts(MgnFacts {
                    replicating,
                    ..MgnFacts::default()
                })
            };
            let findings = super::check(&with_steps(&["replicate"]), &facts);
            let blocking = findings.first().map(Finding::is_blocking);
            assert_eq!(blocking, expected, "{live} {replicating}");
        };
        check(300, 299, None);
        check(300, 300, Some(true));
        check(20, 20, Some(true));
    }
}
