//! Named switches: one for each behaviour of MGN that could not be evidenced, and some that differ from place to place.
//!
//! The default is the reference's reading; a test that must not depend on it sets the other value.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// A behaviour that can be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Switch {
    /// How instants are written.
    TimestampFormat,
    /// Which clock the instants are taken from.
    Timestamps,
    /// Whether an account is usable after `InitializeService` alone.
    InitializedBy,
    /// Whether a server may be in one unfinished job only.
    OneJobPerServer,
    /// Whether the quotas of jobs and of servers in jobs are enforced.
    JobQuotas,
    /// Whether `StartCutover` wants `READY_FOR_CUTOVER`.
    CutoverFromReadyForTest,
    /// What finalizing a server a second time answers.
    FinalizeTwice,
    /// Whether termination is refused in TESTING, `CUTTING_OVER` and CUTOVER.
    TerminateGuard,
    /// Whether archiving is refused outside DISCONNECTED and CUTOVER.
    ArchiveGuard,
    /// Whether a state change wants a launchable server.
    LaunchableGuard,
    /// Whether a connected server can be deleted.
    DeleteConnected,
    /// What associating a server a second time answers.
    AssociateTwice,
    /// Whether the launched instance shows on the server later than on the job.
    LaunchedInstanceLag,
    /// Whether the mutators' responses carry the tag that the live service adds.
    BogusArnTag,
    /// What a lost connection does to a server that was ready.
    Reverted,
    /// What one result of a policy simulation is about.
    SimulationResults,
    /// Whether Cloud Migration Factory wants the token of a sign-in.
    CmfToken,
    /// Whether the CMDB lets in only who has its account or its token.
    CmdbAccount,
}

struct Spec {
    switch: Switch,
    name: &'static str,
    /// The first is the default.
    values: &'static [&'static str],
    about: &'static str,
}

const SPECS: &[Spec] = &[
    Spec {
        switch: Switch::TimestampFormat,
        name: "timestampFormat",
        values: &["offset", "z"],
        about: "offset: 2022-08-31T15:42:30.904212+00:00 as captured; z: the model's pattern",
    },
    Spec {
        switch: Switch::Timestamps,
        name: "timestamps",
        values: &["wall", "simulated"],
        about: "which clock API timestamps show; durations are always simulated",
    },
    Spec {
        switch: Switch::InitializedBy,
        name: "initializedBy",
        values: &["template", "call"],
        about: "template: uninitialized until a replication template exists; call: InitializeService is enough",
    },
    Spec {
        switch: Switch::OneJobPerServer,
        name: "oneJobPerServer",
        values: &["on", "off"],
        about: "a server in an unfinished job is refused with ConflictException",
    },
    Spec {
        switch: Switch::JobQuotas,
        name: "jobQuotas",
        values: &["conflict", "quota", "off"],
        about: "20 jobs and 200 servers in flight: ConflictException, ServiceQuotaExceededException, or not enforced",
    },
    Spec {
        switch: Switch::CutoverFromReadyForTest,
        name: "cutoverFromReadyForTest",
        values: &["allow", "refuse"],
        about: "the user guide allows a cutover without a test launch",
    },
    Spec {
        switch: Switch::FinalizeTwice,
        name: "finalizeTwice",
        values: &["conflict", "accept"],
        about: "FinalizeCutover of a server that is in CUTOVER already",
    },
    Spec {
        switch: Switch::TerminateGuard,
        name: "terminateGuard",
        values: &["on", "off"],
        about: "TerminateTargetInstances is refused in TESTING, CUTTING_OVER, CUTOVER",
    },
    Spec {
        switch: Switch::ArchiveGuard,
        name: "archiveGuard",
        values: &["on", "off"],
        about: "MarkAsArchived wants DISCONNECTED or CUTOVER",
    },
    Spec {
        switch: Switch::LaunchableGuard,
        name: "launchableGuard",
        values: &["on", "off"],
        about: "ChangeServerLifeCycleState, StartTest and StartCutover want a lagDuration",
    },
    Spec {
        switch: Switch::DeleteConnected,
        name: "deleteConnected",
        values: &["refuse", "allow"],
        about: "DeleteSourceServer of a server that is still connected",
    },
    Spec {
        switch: Switch::AssociateTwice,
        name: "associateTwice",
        values: &["denied", "conflict", "ok"],
        about: "associating a server or an application that is associated already",
    },
    Spec {
        switch: Switch::LaunchedInstanceLag,
        name: "launchedInstanceLag",
        values: &["on", "off"],
        about: "launchedInstance follows the job's LAUNCHED by some seconds",
    },
    Spec {
        switch: Switch::BogusArnTag,
        name: "bogusArnTag",
        values: &["off", "on"],
        about: "mutators answer with a tag `resourceArn` that the server does not have",
    },
    Spec {
        switch: Switch::Reverted,
        name: "reverted",
        values: &["on", "off"],
        about: "a revert sets lastTest.reverted or lastCutover.reverted",
    },
    Spec {
        switch: Switch::SimulationResults,
        name: "simulationResults",
        values: &["action", "resource"],
        about: "SimulatePrincipalPolicy: one result per action with ResourceSpecificResults, or, as formerly, one per action and resource",
    },
    Spec {
        switch: Switch::CmfToken,
        name: "cmfToken",
        values: &["off", "on"],
        about: "Cloud Migration Factory's user API wants the token of its login API",
    },
    Spec {
        switch: Switch::CmdbAccount,
        name: "cmdbAccount",
        values: &["on", "off"],
        about: "the CMDB wants its account (HTTP Basic) or its token (Bearer), as ServiceNow does; off: a gateway lets everybody in",
    },
];

/// The chosen values.
#[derive(Debug, Clone, Default)]
pub struct Switches {
    chosen: BTreeMap<Switch, &'static str>,
}

impl Switches {
    /// The value of a switch.
    pub fn get(&self, switch: Switch) -> &'static str {
        match self.chosen.get(&switch) {
            Some(value) => value,
            None => SPECS
                .iter()
                .find(|s| s.switch == switch)
                .map_or("", |s| s.values[0]),
        }
    }

    /// Whether a switch has this value.
    pub fn is(&self, switch: Switch, value: &str) -> bool {
        self.get(switch) == value
    }

    /// Sets one switch from `name=value`.
    pub fn set(&mut self, assignment: &str) -> Result<(), String> {
        let (name, value) = assignment
            .split_once('=')
            .ok_or_else(|| format!("switch `{assignment}` has no `=`; write it as name=value"))?;
        let spec = SPECS.iter().find(|s| s.name == name).ok_or_else(|| {
            let names: Vec<_> = SPECS.iter().map(|s| s.name).collect();
            format!(
                "no switch is named `{name}`; choose one of {}",
                names.join(", ")
            )
        })?;
        let value = spec.values.iter().find(|v| **v == value).ok_or_else(|| {
            format!(
                "switch `{name}` has no value `{value}`; choose one of {}",
                spec.values.join(", ")
            )
        })?;
        self.chosen.insert(spec.switch, value);
        Ok(())
    }

    /// Every switch with its present value, for the control plane.
    pub fn listing(&self) -> Value {
        SPECS
            .iter()
            .map(|s| json!({"name": s.name, "value": self.get(s.switch), "values": s.values, "about": s.about}))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_is_the_default_and_a_wrong_one_names_the_choices() {
        let mut switches = Switches::default();
        assert!(switches.is(Switch::TimestampFormat, "offset"));
        switches.set("timestampFormat=z").unwrap();
        assert!(switches.is(Switch::TimestampFormat, "z"));
        assert!(
            switches
                .set("timestampFormat=epoch")
                .unwrap_err()
                .contains("offset, z")
        );
        assert!(
            switches
                .set("colour=blue")
                .unwrap_err()
                .contains("timestampFormat")
        );
        assert!(switches.set("colour").unwrap_err().contains("name=value"));
    }
}
