//! Where a source stands on its way into MGN, by what MGN says of it.
//!
//! Source: MGN user guide, "Source server lifecycle"; the states of `lifeCycle` and `dataReplicationInfo` in its API.

use crate::request::AgentKind;

/// How far a source server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// MGN does not know it.
    Unknown,
    /// It was imported into MGN's inventory, and no agent has reported.
    Imported,
    /// MGN's vCenter client found it; its replication has not been started.
    Discovered,
    /// It was disconnected: its agent uninstalls itself.
    Disconnected,
    /// It is connected, and its replication is stopped.
    Stopped,
    /// It replicates, or is about to.
    Replicating,
}

impl Standing {
    /// Of a server's `lifeCycle.state` and `dataReplicationState`.
    pub fn of(lifecycle: &str, replication: &str) -> Self {
        match (lifecycle, replication) {
            ("PENDING_INSTALLATION", _) => Self::Imported,
            ("DISCOVERED", _) => Self::Discovered,
            (_, "DISCONNECTED") => Self::Disconnected,
            (_, "STOPPED") => Self::Stopped,
            _ => Self::Replicating,
        }
    }

    /// Whether an installation would bring nothing new.
    pub const fn is_connected(self) -> bool {
        matches!(self, Self::Stopped | Self::Replicating)
    }

    /// Why the wait for a source was in vain, and what to do.
    pub fn overdue(self, kind: AgentKind, source_vm_id: &str) -> String {
        let (what, remedy) = match (self, kind) {
            (Self::Unknown | Self::Imported, AgentKind::Install) => (
                "the agent did not register with MGN",
                "check its log (/var/lib/aws-replication-agent/agent.log.0) and TCP 443 to MGN",
            ),
            (Self::Unknown | Self::Imported, AgentKind::Preinstalled) => (
                "no agent has registered with MGN under this ID",
                "install it with --user-provided-id, or leave agent.kind out to have it installed",
            ),
            (Self::Unknown | Self::Imported | Self::Discovered, AgentKind::Agentless) => (
                "MGN does not replicate it without an agent",
                "check the vCenter client, and start the replication of the server in MGN",
            ),
            (Self::Discovered, _) => (
                "MGN has discovered it for agentless replication, and no agent has registered",
                "set agent.kind to agentless, or delete the discovered server in MGN",
            ),
            (Self::Disconnected, _) => (
                "it is disconnected from MGN",
                "uninstall what is left of its agent, then install it again",
            ),
            (Self::Stopped, _) => ("its replication is stopped", "start its replication in MGN"),
            (Self::Replicating, _) => ("it was seen too late", "resubmit"),
        };
        format!("{source_vm_id}: {what}; {remedy}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [AgentKind; 3] = [
        AgentKind::Install,
        AgentKind::Preinstalled,
        AgentKind::Agentless,
    ];

    #[test]
    fn what_mgn_says_is_one_standing() {
        for (lifecycle, replication, standing, connected) in [
            ("PENDING_INSTALLATION", "", Standing::Imported, false),
            ("DISCOVERED", "STOPPED", Standing::Discovered, false),
            ("DISCOVERED", "", Standing::Discovered, false),
            (
                "DISCONNECTED",
                "DISCONNECTED",
                Standing::Disconnected,
                false,
            ),
            ("NOT_READY", "DISCONNECTED", Standing::Disconnected, false),
            ("STOPPED", "STOPPED", Standing::Stopped, true),
            ("NOT_READY", "INITIATING", Standing::Replicating, true),
            (
                "NOT_READY",
                "PENDING_SNAPSHOT_SHIPPING",
                Standing::Replicating,
                true,
            ),
            ("READY_FOR_TEST", "CONTINUOUS", Standing::Replicating, true),
            ("NOT_READY", "STALLED", Standing::Replicating, true),
            // What is new in MGN is the replication gate's to judge.
            ("A_NEW_STATE", "", Standing::Replicating, true),
        ] {
            let found = Standing::of(lifecycle, replication);
            assert_eq!(found, standing, "{lifecycle} {replication}");
            assert_eq!(found.is_connected(), connected, "{lifecycle} {replication}");
        }
        assert!(!Standing::Unknown.is_connected());
    }

    #[test]
    fn whoever_waits_in_vain_is_told_what_to_do() {
        for (standing, kind, told) in [
            (Standing::Unknown, AgentKind::Install, "agent.log.0"),
            (
                Standing::Imported,
                AgentKind::Preinstalled,
                "--user-provided-id",
            ),
            (
                Standing::Unknown,
                AgentKind::Agentless,
                "the vCenter client",
            ),
            (
                Standing::Discovered,
                AgentKind::Agentless,
                "start the replication",
            ),
            (
                Standing::Discovered,
                AgentKind::Install,
                "set agent.kind to agentless",
            ),
            (
                Standing::Disconnected,
                AgentKind::Install,
                "install it again",
            ),
            (
                Standing::Stopped,
                AgentKind::Preinstalled,
                "start its replication",
            ),
        ] {
            let text = standing.overdue(kind, "vm-1");
            assert!(text.starts_with("vm-1: ") && text.contains(told), "{text}");
        }
        for kind in KINDS {
            assert!(!Standing::Replicating.overdue(kind, "vm-1").is_empty());
        }
    }
}
