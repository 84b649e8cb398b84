//! What becomes of a replication that has stalled: for each error that MGN has a name for, whether waiting, asking MGN
//! to try again, or giving up is right, and what a person should look at.
//!
//! Sources: MGN API `DataReplicationErrorString` (18 values), the user guide's troubleshooting pages, and
//! `RetryDataReplication`, which MGN takes from a stalled server only.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Replication;

/// How long a stall lasts before MGN is asked to try again: it tries by itself first, at `nextAttemptDateTime`.
pub const RETRY_AFTER: SignedDuration = SignedDuration::from_mins(30);
/// How often MGN is asked in one stall before a person is told that it does not help.
pub const RETRIES: u32 = 3;

/// Why data does not flow, as MGN tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicationError {
    /// `dataReplicationError.error`, for example `AGENT_NOT_SEEN`.
    pub name: String,
    /// `dataReplicationError.rawError`.
    pub raw: Option<String>,
}

impl ReplicationError {
    /// One of which only the name is known.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            raw: None,
        }
    }
}

impl fmt::Display for ReplicationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.raw {
            Some(raw) => write!(f, "{} ({raw})", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// What Landfall does about a stall by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Handling {
    /// Asks MGN to try again, [`RETRIES`] times: what is in the way may have been mended meanwhile.
    Retry,
    /// Tells a person and waits: trying again changes nothing, and the cure shows by itself.
    Tell,
    /// Fails the migration: no waiting helps.
    Stop,
}

/// What to make of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What Landfall does.
    pub handling: Handling,
    /// What a person should look at.
    pub remedy: &'static str,
}

/// Every error that MGN's API names, with what to do about it.
pub const ADVICE: [(&str, Advice); 18] = [
    (
        "AGENT_NOT_SEEN",
        tell(
            "See that the source is up, its agent (service aws-replication) runs and TCP 443 to MGN is open; if its MAC address has changed, reinstall the agent.",
        ),
    ),
    (
        "SNAPSHOTS_FAILURE",
        retry(
            "Look for denied or throttled CreateSnapshot calls in CloudTrail: IAM, a service control policy or the KMS key's policy.",
        ),
    ),
    (
        "NOT_CONVERGING",
        tell(
            "The source writes faster than is replicated: give it a larger or a dedicated replication server, faster staging disks or more bandwidth, or lower its write load.",
        ),
    ),
    (
        "UNSTABLE_NETWORK",
        retry(
            "Test the network between the source and the staging subnet on TCP 1500 for loss and latency.",
        ),
    ),
    (
        "FAILED_TO_CREATE_SECURITY_GROUP",
        retry(
            "Check the replication settings, the quota of security groups and what IAM lets MGN do.",
        ),
    ),
    (
        "FAILED_TO_LAUNCH_REPLICATION_SERVER",
        retry(
            "Check the staging subnet and its free addresses, the EC2 vCPU quota and capacity, the KMS key and service control policies.",
        ),
    ),
    (
        "FAILED_TO_BOOT_REPLICATION_SERVER",
        retry(
            "Check that the staging subnet reaches S3 and the AL2023 repositories, and the KMS key of its disks.",
        ),
    ),
    (
        "FAILED_TO_AUTHENTICATE_WITH_SERVICE",
        retry(
            "Check that the staging subnet reaches MGN on TCP 443, its DNS, and the replication servers' instance profile.",
        ),
    ),
    (
        "FAILED_TO_DOWNLOAD_REPLICATION_SOFTWARE",
        retry(
            "Check that the staging subnet reaches S3: the endpoint's policy and a proxy in between.",
        ),
    ),
    (
        "FAILED_TO_CREATE_STAGING_DISKS",
        retry("Check MGN's grants on the KMS key and the quotas of EBS volumes."),
    ),
    (
        "FAILED_TO_ATTACH_STAGING_DISKS",
        retry("Give the source a dedicated replication server: a shared one may be full."),
    ),
    (
        "FAILED_TO_PAIR_REPLICATION_SERVER_WITH_AGENT",
        retry(
            "Check TCP 443 from the source to MGN and TCP 1500 to the staging subnet, and whether the replication server is overloaded.",
        ),
    ),
    (
        "FAILED_TO_CONNECT_AGENT_TO_REPLICATION_SERVER",
        retry(
            "Check TCP 1500 from the source to the staging subnet, and whether data is routed by public or private addresses as meant.",
        ),
    ),
    (
        "FAILED_TO_START_DATA_TRANSFER",
        retry("Check TCP 1500 to the staging subnet; if that is open, reinstall the agent."),
    ),
    (
        "UNSUPPORTED_VM_CONFIGURATION",
        Advice {
            handling: Handling::Stop,
            remedy: "Agentless replication does not support the virtual machine as it is: install the agent on it and resubmit.",
        },
    ),
    (
        "LAST_SNAPSHOT_JOB_FAILED",
        retry("Look at the virtual machine's snapshot tasks in vCenter."),
    ),
    (
        "FAILED_TO_SETUP_FSX_PROXY",
        retry("Check the FSx file system's security groups (TCP 3260 and 443) and its secret."),
    ),
    (
        "FAILED_TO_CREATE_FSX_SNAPSHOT",
        retry("Check the FSx file system, its security groups (TCP 3260 and 443) and its secret."),
    ),
];

const fn retry(remedy: &'static str) -> Advice {
    Advice {
        handling: Handling::Retry,
        remedy,
    }
}

const fn tell(remedy: &'static str) -> Advice {
    Advice {
        handling: Handling::Tell,
        remedy,
    }
}

/// What to make of an error; one that this build does not know is told.
pub fn advice(error: &str) -> Advice {
    let known = ADVICE.iter().find(|(name, _)| *name == error);
    known.map_or(
        tell("See the source server's replication in the MGN console."),
        |(_, advice)| *advice,
    )
}

/// A stall that lasts, as it is kept in the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stall {
    /// MGN's name for the error; `UNKNOWN` where it told none.
    pub error: String,
    /// When it was first seen.
    pub since: String,
    /// How often MGN was asked to try again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: u32,
    /// When it was last asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried_at: Option<String>,
    /// Whether a person was told that asking does not help.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub escalated: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What a look at a replication means for its stall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing new: data flows, or the stall goes on as known.
    Same(Option<Stall>),
    /// It has stalled, or for another reason than before: to be told.
    Began(Stall),
    /// MGN is to be asked to try again; the stall counts it already.
    Retry(Stall),
    /// Asking has not helped: to be told.
    Escalate(Stall),
    /// Data flows again: to be told.
    Cleared(Stall),
}

impl Step {
    /// The stall that lasts after it.
    pub fn stall(&self) -> Option<&Stall> {
        match self {
            Self::Same(stall) => stall.as_ref(),
            Self::Began(stall) | Self::Retry(stall) | Self::Escalate(stall) => Some(stall),
            Self::Cleared(_) => None,
        }
    }
}

/// Compares what MGN says now with the stall that was known.
pub fn step(replication: &Replication, known: Option<&Stall>, now: Timestamp) -> Step {
    match (replication.state.as_str(), known) {
        ("STALLED", _) => {}
        // It only tries again: no data flows before the initiation has ended.
        ("INITIATING", Some(stall)) => return Step::Same(Some(stall.clone())),
        (_, Some(stall)) => return Step::Cleared(stall.clone()),
        (_, None) => return Step::Same(None),
    }
    let error = replication
        .error
        .as_ref()
        .map_or("UNKNOWN", |error| error.name.as_str());
    let Some(stall) = known.filter(|stall| stall.error == error) else {
        return Step::Began(Stall {
            error: error.to_owned(),
            since: now.to_string(),
            retries: 0,
            retried_at: None,
            escalated: false,
        });
    };
    let mut stall = stall.clone();
    let last = stall.retried_at.as_ref().unwrap_or(&stall.since);
    let due = last
        .parse::<Timestamp>()
        .is_ok_and(|last| now.duration_since(last) >= RETRY_AFTER);
    if advice(error).handling != Handling::Retry || !due {
        return Step::Same(Some(stall));
    }
    if stall.retries < RETRIES {
        stall.retries += 1;
        stall.retried_at = Some(now.to_string());
        return Step::Retry(stall);
    }
    if stall.escalated {
        return Step::Same(Some(stall));
    }
    stall.escalated = true;
    Step::Escalate(stall)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
    }

    fn stalled(error: &str) -> Replication {
        Replication {
            state: "STALLED".into(),
            error: Some(ReplicationError::named(error)),
            ..Replication::default()
        }
    }

    #[test]
    fn each_error_has_one_advice_and_an_unknown_one_is_told() {
        let mut names: Vec<&str> = ADVICE.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 18);
        let handled = |handling| {
            let of = ADVICE.iter().filter(|(_, a)| a.handling == handling);
            of.map(|(name, _)| *name).collect::<Vec<_>>()
        };
        assert_eq!(handled(Handling::Stop), ["UNSUPPORTED_VM_CONFIGURATION"]);
        assert_eq!(
            handled(Handling::Tell),
            ["AGENT_NOT_SEEN", "NOT_CONVERGING"]
        );
        assert_eq!(advice("SOMETHING_NEW").handling, Handling::Tell);
        assert!(ADVICE.iter().all(|(_, a)| a.remedy.ends_with('.')));
    }

    #[test]
    fn a_stall_begins_is_retried_is_escalated_and_clears() {
        let replication = stalled("UNSTABLE_NETWORK");
        let Step::Began(stall) = step(&replication, None, at(0)) else {
            panic!("it has begun");
        };
        assert_eq!(
            step(&replication, Some(&stall), at(29)),
            Step::Same(Some(stall.clone()))
        );
        let mut known = stall;
        for n in 1..=RETRIES {
            let Step::Retry(next) = step(&replication, Some(&known), at(30 * i64::from(n))) else {
                panic!("try {n} is due");
            };
            assert_eq!(next.retries, n);
            known = next;
        }
        let Step::Escalate(told) = step(&replication, Some(&known), at(120)) else {
            panic!("it does not help");
        };
        assert_eq!(
            step(&replication, Some(&told), at(999)),
            Step::Same(Some(told.clone()))
        );
        let again = Replication {
            state: "INITIATING".into(),
            ..Replication::default()
        };
        let goes_on = Step::Same(Some(told.clone()));
        assert_eq!(step(&again, Some(&told), at(999)), goes_on);
        let flows = Replication {
            state: "BACKLOG".into(),
            ..Replication::default()
        };
        assert_eq!(step(&flows, Some(&told), at(1000)), Step::Cleared(told));
        assert_eq!(step(&flows, None, at(1000)), Step::Same(None));
    }

    #[test]
    fn another_error_is_another_stall_and_what_is_told_is_never_retried() {
        let Step::Began(first) = step(&stalled("AGENT_NOT_SEEN"), None, at(0)) else {
            panic!("it has begun");
        };
        assert_eq!(
            step(&stalled("AGENT_NOT_SEEN"), Some(&first), at(600)),
            Step::Same(Some(first.clone()))
        );
        assert!(matches!(
            step(&stalled("UNSTABLE_NETWORK"), Some(&first), at(600)),
            Step::Began(stall) if stall.error == "UNSTABLE_NETWORK" && stall.since == at(600).to_string()
        ));
        let silent = Replication {
            state: "STALLED".into(),
            ..Replication::default()
        };
        assert!(
            matches!(step(&silent, None, at(0)), Step::Began(stall) if stall.error == "UNKNOWN")
        );
    }
}
