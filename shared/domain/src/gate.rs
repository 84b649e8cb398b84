//! Gates: the points of a migration where people are asked, and what their answers come to.
//!
//! A rule of the request and one of the deployment for the same gate count both: each wants its own answers, so that a
//! request can add to what the deployment wants and never take from it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::record::MigrationRecord;
use crate::request::{Environment, MigrationRequest};

/// How long people have to answer, in seconds, unless the rule says otherwise: a day.
pub const DEFAULT_DEADLINE_SECONDS: u32 = 86_400;
/// The longest time to answer, in seconds: fourteen days. The workflow's own time limit counts with it.
pub const MAX_DEADLINE_SECONDS: u32 = 1_209_600;

/// A point of the migration where people are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gate {
    /// Before the cutover launch.
    Cutover,
    /// Before the users are moved, and with them MGN `FinalizeCutover`.
    Finalize,
    /// Before a rollback that is risky.
    Rollback,
    /// Before the source is decommissioned.
    Decommission,
}

impl Gate {
    /// Every gate, in the order of the flow.
    pub const ALL: [Self; 4] = [
        Self::Cutover,
        Self::Finalize,
        Self::Rollback,
        Self::Decommission,
    ];

    /// `cutover`, `finalize`, `rollback` or `decommission`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cutover => "cutover",
            Self::Finalize => "finalize",
            Self::Rollback => "rollback",
            Self::Decommission => "decommission",
        }
    }
}

/// Who must agree at a gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalRule {
    /// Where.
    pub gate: Gate,
    /// Whose answers count: ARNs of IAM users, of roles (then every session of the role), or of single sessions.
    pub approvers: Vec<String>,
    /// How many different principals must agree.
    #[serde(default = "one")]
    pub count: u32,
    /// How long they have, in seconds, from when they are asked.
    #[serde(default = "default_deadline")]
    pub deadline_seconds: u32,
    /// After how many seconds without a decision others are asked as well; absent asks nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalate_after_seconds: Option<u32>,
    /// Who is asked then; their answers count from the beginning of the escalation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub escalate_to: Vec<String>,
    /// Whether an agreement must name a change (`--change-reference`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_change_reference: bool,
}

/// How a gate of an attempt stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateRecord {
    /// Which.
    pub gate: Gate,
    /// When the migration came to it, RFC 3339.
    pub opened_at: String,
    /// Every answer that counted, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Answer>,
    /// When others were asked last: those of every rule whose time for that had come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalated_at: Option<String>,
    /// When somebody had refused, or the time to answer was over: nobody's answer counts any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_at: Option<String>,
    /// When everybody whose word was wanted had agreed; at once where nobody's was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_at: Option<String>,
}

impl GateRecord {
    /// So many seconds after it was opened.
    fn after(&self, seconds: u32) -> Option<Timestamp> {
        let opened: Timestamp = self.opened_at.parse().ok()?;
        let later = opened.checked_add(SignedDuration::from_secs(i64::from(seconds)));
        Some(later.unwrap_or(Timestamp::MAX))
    }
}

/// What a person answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// Who: the ARN as AWS has verified it.
    pub by: String,
    /// Whether they agree.
    pub approve: bool,
    /// Why, in their words.
    pub reason: String,
    /// The change they name, for example `CHG0012345`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_reference: Option<String>,
    /// When, RFC 3339.
    pub at: String,
}

const fn one() -> u32 {
    1
}
const fn default_deadline() -> u32 {
    DEFAULT_DEADLINE_SECONDS
}

impl MigrationRecord {
    /// How a gate of this attempt stands; `None` before the migration has come to it.
    pub fn gate(&self, gate: Gate) -> Option<&GateRecord> {
        self.gates.iter().find(|it| it.gate == gate)
    }

    /// Whether the migration may pass a gate.
    pub fn may_pass(&self, gate: Gate) -> bool {
        self.gate(gate).is_some_and(|it| it.granted_at.is_some())
    }
}

/// Who asks for something, as AWS has verified it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The ARN of the user or of the role's session.
    pub arn: String,
    /// The unique ID (`AIDA…`, or `AROA…:session`), which a new user of the same name does not get.
    pub id: String,
}

impl Caller {
    /// Whether a principal that a rule names is this caller: the same ARN, or the role of the session.
    ///
    /// The ARN of a session leaves out the role's path, so a role is known by its account and its last name.
    /// Source: IAM User Guide, "IAM identifiers" and "`AssumeRole`: `AssumedRoleUser`".
    pub fn is(&self, principal: &str) -> bool {
        if self.arn == principal {
            return true;
        }
        let role = |arn: &str| {
            let mut parts = arn.splitn(6, ':').skip(1);
            let (partition, service) = (parts.next()?.to_owned(), parts.next()?);
            let account = parts.nth(1)?.to_owned();
            let name = match (service, parts.next()?.split_once('/')?) {
                ("iam", ("role", path)) => path.rsplit('/').next()?,
                ("sts", ("assumed-role", session)) => session.split('/').next()?,
                _ => return None,
            };
            Some((partition, account, name.to_owned()))
        };
        let is_role = principal
            .split(':')
            .nth(5)
            .is_some_and(|it| it.starts_with("role/"));
        is_role && role(principal).is_some() && role(principal) == role(&self.arn)
    }

    /// Whether this is who asked for the migration: whoever sent its message, whom the request names, or who ordered the
    /// attempt or its end.
    pub fn asked_for(&self, record: &MigrationRecord) -> bool {
        let orders = [&record.control.ordered, &record.control.cancel];
        if orders
            .into_iter()
            .flatten()
            .any(|order| order.by == self.arn)
        {
            return true;
        }
        record.sender_id.as_ref() == Some(&self.id)
            || record
                .request
                .requested_by
                .as_ref()
                .is_some_and(|it| self.is(it))
    }
}

/// What the answers at a gate come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everybody whose word is wanted has agreed.
    Granted,
    /// Somebody refused.
    Denied(Answer),
    /// The time to answer is over.
    Expired,
    /// Others are to be asked as well.
    Escalate,
    /// Answers are missing.
    Waiting {
        /// When it is to be looked at again: the next escalation, or the end of the time to answer.
        until: Timestamp,
    },
}

/// Judges a gate by its rules, all of which must be content.
pub fn judge(rules: &[ApprovalRule], gate: &GateRecord, now: Timestamp) -> Verdict {
    if let Some(refusal) = gate.answers.iter().find(|answer| !answer.approve) {
        return Verdict::Denied(refusal.clone());
    }
    let open: Vec<&ApprovalRule> = rules
        .iter()
        .filter(|rule| agreed(rule, gate) < rule.count)
        .collect();
    if open.is_empty() {
        return Verdict::Granted;
    }
    let after = |seconds: u32| gate.after(seconds).unwrap_or(now);
    let ends = open.iter().map(|rule| after(rule.deadline_seconds)).min();
    let end = ends.unwrap_or(now);
    if end <= now {
        return Verdict::Expired;
    }
    let escalations = open
        .iter()
        .filter(|rule| !is_escalated(rule, gate))
        .filter_map(|rule| rule.escalate_after_seconds.map(after));
    match escalations.min() {
        Some(at) if at <= now => Verdict::Escalate,
        at => Verdict::Waiting {
            until: at.map_or(end, |at| at.min(end)),
        },
    }
}

/// How many different principals of a rule have agreed.
pub fn agreed(rule: &ApprovalRule, gate: &GateRecord) -> u32 {
    let mut names: Vec<&str> = gate
        .answers
        .iter()
        .filter(|answer| answer.approve && counts(rule, gate, &answer.by))
        .map(|answer| answer.by.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    u32::try_from(names.len()).unwrap_or(u32::MAX)
}

/// Whether the word of a caller counts for a rule now.
pub fn counts(rule: &ApprovalRule, gate: &GateRecord, arn: &str) -> bool {
    let caller = Caller {
        arn: arn.to_owned(),
        id: String::new(),
    };
    let named = |names: &[String]| names.iter().any(|name| caller.is(name));
    named(&rule.approvers) || is_escalated(rule, gate) && named(&rule.escalate_to)
}

/// Whether the others of a rule are asked by now.
pub fn is_escalated(rule: &ApprovalRule, gate: &GateRecord) -> bool {
    let asked = gate.escalated_at.as_deref().map(str::parse::<Timestamp>);
    let due = rule.escalate_after_seconds.and_then(|it| gate.after(it));
    matches!((asked, due), (Some(Ok(asked)), Some(due)) if due <= asked)
}

/// The rules of a deployment, by environment: `{"prod": [rule, …]}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeploymentRules(BTreeMap<Environment, Vec<ApprovalRule>>);

impl DeploymentRules {
    /// Every rule for a gate of a migration: the deployment's for its environment, and the request's own.
    pub fn of(&self, request: &MigrationRequest, gate: Gate) -> Vec<ApprovalRule> {
        let deployment = self.0.get(&request.environment).into_iter().flatten();
        deployment
            .chain(&request.policy.approvals)
            .filter(|rule| rule.gate == gate)
            .cloned()
            .collect()
    }

    /// Every rule, with its environment.
    pub fn iter(&self) -> impl Iterator<Item = (Environment, &ApprovalRule)> {
        self.0
            .iter()
            .flat_map(|(environment, rules)| rules.iter().map(|rule| (*environment, rule)))
    }
}

#[cfg(test)]
mod tests;
