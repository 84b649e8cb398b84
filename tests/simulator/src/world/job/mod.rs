//! Jobs: one per `StartTest`, `StartCutover` or `TerminateTargetInstances`, with a stage per server.
//!
//! A job has no failed status. It is COMPLETED when every server has ended, each with its own launch status.

mod kinds;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::ids;
pub use kinds::{LaunchStatus, Purpose, Stage, Status};

const PENDING: SignedDuration = SignedDuration::from_secs(10);
const CLEANUP: SignedDuration = SignedDuration::from_secs(15);
const SNAPSHOT: SignedDuration = SignedDuration::from_secs(120);
const CONVERSION: SignedDuration = SignedDuration::from_secs(300);
const LAUNCH: SignedDuration = SignedDuration::from_secs(120);

/// A failure that a launch will meet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// The stage that fails; a failed snapshot only makes the launch use the previous one.
    pub stage: Stage,
    /// `rawError`.
    pub raw_error: String,
}

/// What EC2 answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Answer {
    /// The instance was made or terminated.
    Instance(String),
    /// EC2 refused, with this text.
    Refused(String),
}

/// One server of a job.
#[derive(Debug, Clone, Serialize)]
pub struct Participant {
    /// The server.
    pub server_id: String,
    /// Its outcome so far.
    pub status: LaunchStatus,
    /// The instance made for it.
    pub instance_id: Option<String>,
    /// Where it is.
    pub stage: Stage,
    /// When the stage began.
    pub since: Timestamp,
    /// The instance of an earlier launch, terminated first.
    pub previous: Option<String>,
    /// The failure it will meet.
    pub planned: Option<Planned>,
    /// EC2's answer for the present stage, and when it came.
    answer: Option<(Timestamp, Answer)>,
}

impl Participant {
    /// A server that waits for its job to start.
    pub fn new(
        server_id: String,
        now: Timestamp,
        previous: Option<String>,
        planned: Option<Planned>,
    ) -> Self {
        Self {
            server_id,
            status: LaunchStatus::Pending,
            instance_id: None,
            stage: Stage::Queued,
            since: now,
            previous,
            planned,
            answer: None,
        }
    }
}

/// One line of a job's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct LogItem {
    pub at: Timestamp,
    pub event: &'static str,
    pub server_id: Option<String>,
    pub conversion_server: Option<String>,
    pub instance_id: Option<String>,
    pub raw_error: Option<String>,
}

/// What a job asks of the world while time passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Make an instance for this server.
    Launch { server_id: String },
    /// Terminate this server's earlier instance.
    Terminate {
        server_id: String,
        instance_id: String,
    },
    /// A server has its new instance.
    Launched {
        server_id: String,
        instance_id: String,
        at: Timestamp,
    },
    /// A server got none.
    Failed { server_id: String, at: Timestamp },
    /// A server has lost its instance.
    Gone { server_id: String },
}

/// One job.
#[derive(Debug, Clone, Serialize)]
pub struct Job {
    /// `mgnjob-…`.
    pub id: String,
    /// Why.
    pub purpose: Purpose,
    /// How far.
    pub status: Status,
    /// When it was asked for.
    pub created: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Its servers.
    pub participants: Vec<Participant>,
    /// Its log.
    pub log: Vec<LogItem>,
}

impl Job {
    /// A job that has just been asked for.
    pub fn new(
        purpose: Purpose,
        now: Timestamp,
        tags: BTreeMap<String, String>,
        participants: Vec<Participant>,
    ) -> Self {
        Self {
            id: ids::mint("mgnjob"),
            purpose,
            status: Status::Pending,
            created: now,
            ended: None,
            tags,
            participants,
            log: Vec::new(),
        }
    }

    /// Whether it still runs.
    pub fn unfinished(&self) -> bool {
        self.status != Status::Completed
    }

    /// Whether a server takes part.
    pub fn has(&self, server_id: &str) -> bool {
        self.participants.iter().any(|p| p.server_id == server_id)
    }

    /// The next instant after `now` at which a stage ends; those that wait for EC2 alone have none.
    pub fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let start = (self.status == Status::Pending).then(|| self.created + PENDING);
        let stages = self.participants.iter().filter_map(|p| {
            let (length, _) = length(p)?;
            Some(p.since + length)
        });
        start.into_iter().chain(stages).filter(|at| *at > now).min()
    }

    /// Records what EC2 answered for a server's present stage.
    pub fn answer(&mut self, server_id: &str, at: Timestamp, answer: Answer) {
        if let Some(participant) = self
            .participants
            .iter_mut()
            .find(|p| p.server_id == server_id)
        {
            if let (Stage::Launching, Answer::Instance(id)) = (participant.stage, &answer) {
                participant.instance_id = Some(id.clone());
                // The log names the instance of a launch once it is known.
                if let Some(item) = self.log.iter_mut().rev().find(|item| {
                    item.event == "LAUNCH_START" && item.server_id.as_deref() == Some(server_id)
                }) {
                    item.instance_id = Some(id.clone());
                }
            }
            participant.answer = Some((at, answer));
        }
    }

    /// Passes every deadline up to `now`.
    pub fn advance(&mut self, now: Timestamp) -> Vec<Ask> {
        let mut asks = Vec::new();
        if self.status == Status::Pending {
            let start = self.created + PENDING;
            if start > now {
                return asks;
            }
            self.status = Status::Started;
            self.log.push(item(start, "JOB_START", None));
            for participant in &mut self.participants {
                participant.status = LaunchStatus::InProgress;
                begin(self.purpose, participant, start, &mut self.log, &mut asks);
            }
        }
        if self.status == Status::Started {
            for participant in &mut self.participants {
                while step(self.purpose, participant, now, &mut self.log, &mut asks) {}
            }
            if self.participants.iter().all(|p| p.stage == Stage::Done) {
                let end = self
                    .participants
                    .iter()
                    .map(|p| p.since)
                    .max()
                    .unwrap_or(now);
                self.log.push(item(end, "JOB_END", None));
                self.status = Status::Completed;
                self.ended = Some(end);
            }
        }
        asks
    }
}

fn item(at: Timestamp, event: &'static str, server_id: Option<&str>) -> LogItem {
    LogItem {
        at,
        event,
        server_id: server_id.map(str::to_owned),
        conversion_server: None,
        instance_id: None,
        raw_error: None,
    }
}

/// The first stage of a server.
fn begin(
    purpose: Purpose,
    p: &mut Participant,
    at: Timestamp,
    log: &mut Vec<LogItem>,
    asks: &mut Vec<Ask>,
) {
    if let Some(instance_id) = p.previous.clone() {
        log.push(LogItem {
            instance_id: Some(instance_id.clone()),
            ..item(at, "CLEANUP_START", Some(&p.server_id))
        });
        asks.push(Ask::Terminate {
            server_id: p.server_id.clone(),
            instance_id,
        });
        enter(p, Stage::CleaningUp, at);
    } else if purpose == Purpose::Terminate {
        log.push(item(at, "SERVER_SKIPPED", Some(&p.server_id)));
        p.status = LaunchStatus::Terminated;
        enter(p, Stage::Done, at);
    } else {
        log.push(item(at, "SNAPSHOT_START", Some(&p.server_id)));
        enter(p, Stage::Snapshot, at);
    }
}

/// Passes one deadline of one server; false when none is due.
fn step(
    purpose: Purpose,
    p: &mut Participant,
    now: Timestamp,
    log: &mut Vec<LogItem>,
    asks: &mut Vec<Ask>,
) -> bool {
    let Some((length, waits)) = length(p) else {
        return false;
    };
    let mut due = p.since + length;
    if due > now {
        return false;
    }
    let mut refused = None;
    if waits {
        let Some((answered, answer)) = p.answer.take() else {
            return false;
        };
        due = due.max(answered);
        if let Answer::Refused(text) = answer {
            refused = Some(text);
        }
    }
    let server = p.server_id.clone();
    match p.stage {
        Stage::CleaningUp => {
            let event = if refused.is_some() {
                "CLEANUP_FAIL"
            } else {
                "CLEANUP_END"
            };
            log.push(LogItem {
                raw_error: refused,
                instance_id: p.previous.clone(),
                ..item(due, event, Some(&server))
            });
            asks.push(Ask::Gone {
                server_id: server.clone(),
            });
            if purpose == Purpose::Terminate {
                p.status = LaunchStatus::Terminated;
                enter(p, Stage::Done, due);
            } else {
                log.push(item(due, "SNAPSHOT_START", Some(&server)));
                enter(p, Stage::Snapshot, due);
            }
        }
        Stage::Snapshot => {
            if let Some(raw) = planned(p) {
                log.push(LogItem {
                    raw_error: Some(raw),
                    ..item(due, "SNAPSHOT_FAIL", Some(&server))
                });
                log.push(item(due, "USING_PREVIOUS_SNAPSHOT", Some(&server)));
            } else {
                log.push(item(due, "SNAPSHOT_END", Some(&server)));
            }
            log.push(LogItem {
                conversion_server: Some(ids::mint("i")),
                ..item(due, "CONVERSION_START", Some(&server))
            });
            enter(p, Stage::Conversion, due);
        }
        Stage::Conversion => {
            if let Some(raw) = planned(p) {
                log.push(LogItem {
                    raw_error: Some(raw),
                    ..item(due, "CONVERSION_FAIL", Some(&server))
                });
                fail(p, due, asks);
            } else {
                log.push(item(due, "CONVERSION_END", Some(&server)));
                log.push(item(due, "LAUNCH_START", Some(&server)));
                enter(p, Stage::Launching, due);
                if planned(p).is_none() {
                    asks.push(Ask::Launch { server_id: server });
                }
            }
        }
        Stage::Launching => match (planned(p).or(refused), p.instance_id.clone()) {
            (None, Some(instance_id)) => {
                p.status = LaunchStatus::Launched;
                enter(p, Stage::Done, due);
                asks.push(Ask::Launched {
                    server_id: server,
                    instance_id,
                    at: due,
                });
            }
            (raw_error, _) => {
                log.push(LogItem {
                    raw_error,
                    ..item(due, "LAUNCH_FAILED", Some(&server))
                });
                fail(p, due, asks);
            }
        },
        Stage::Queued | Stage::Done => return false,
    }
    true
}

/// How long a server's stage takes, and whether it waits for EC2, too.
fn length(p: &Participant) -> Option<(SignedDuration, bool)> {
    Some(match p.stage {
        Stage::CleaningUp => (CLEANUP, true),
        Stage::Snapshot => (SNAPSHOT, false),
        Stage::Conversion => (CONVERSION, false),
        // A planned failure asks EC2 for nothing.
        Stage::Launching => (LAUNCH, planned(p).is_none()),
        Stage::Queued | Stage::Done => return None,
    })
}

fn planned(p: &Participant) -> Option<String> {
    p.planned
        .as_ref()
        .filter(|planned| planned.stage == p.stage)
        .map(|planned| planned.raw_error.clone())
}

fn fail(p: &mut Participant, at: Timestamp, asks: &mut Vec<Ask>) {
    p.status = LaunchStatus::Failed;
    enter(p, Stage::Done, at);
    asks.push(Ask::Failed {
        server_id: p.server_id.clone(),
        at,
    });
}

fn enter(p: &mut Participant, stage: Stage, at: Timestamp) {
    p.stage = stage;
    p.since = at;
    p.answer = None;
}

#[cfg(test)]
mod tests;
