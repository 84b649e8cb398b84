//! Which migrations there are in a round: one for each place where the workflow can fail, and for each step of finalize.

use std::collections::BTreeMap;

use landfall_domain::finalize::Step;
use serde_json::{Value, json};

use crate::failing::Place;
use crate::world::Known;

/// What becomes of a migration that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its own rollback restores the world.
    Undone,
    /// It is FROZEN with a hand-over; an operator's order restores the world.
    Frozen,
    /// Its execution ends and its record does not: the first order freezes it, the second restores the world.
    Gone,
    /// It has succeeded with a test alone, and what fails then takes nothing back.
    Tested,
    /// It has succeeded, and what fails then takes nothing back.
    Moved,
    /// The same, and its retention is over.
    Archived,
}

use End::{Archived, Frozen, Gone, Moved, Tested, Undone};

/// The states in which a failure comes to something else than its own rollback, with that before the state and after it;
/// nothing where failing there would say nothing more, for the reason given.
const APART: [(&str, Option<End>, Option<End>); 18] = [
    ("CompleteWithoutSwitch", Some(Undone), Some(Tested)),
    // The point of no return is passed, whoever hears of it.
    ("FinalizeCutover", Some(Undone), Some(Moved)),
    ("Finalized", Some(Moved), None),
    // The rollback dies before it has done anything; or it is done, and nobody hears of it.
    ("Rollback", Some(Frozen), Some(Undone)),
    // With a rollback that people are to agree to: else the record has ended before it.
    ("RolledBack", Some(Gone), None),
    ("RollbackGate", Some(Frozen), Some(Frozen)),
    ("Freeze", Some(Gone), Some(Frozen)),
    // After each of these comes the next one alone, so before it is enough.
    ("Callback", Some(Moved), None),
    ("CallbackOver", Some(Moved), None),
    ("Outcome", Some(Moved), None),
    ("Retention", Some(Moved), None),
    ("DecommissionWanted", Some(Moved), None),
    ("DecommissionGate", Some(Moved), None),
    ("Archive", Some(Moved), Some(Archived)),
    // A pause between two callbacks: nothing is done in it that could fail.
    ("CallbackPause", None, None),
    // An execution that owns no migration.
    ("Duplicate", None, None),
    // Only says how the execution has ended.
    ("Succeeded", None, None),
    ("Failed", None, None),
];

/// A call of finalize that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Of two names the second is not changed.
    SecondName,
    /// The configuration item is not changed.
    Item,
    /// The target is protected, perhaps, and not tagged.
    Tags,
    /// The source is not switched off.
    PowerOff,
    /// The source is switched off, and nobody may see that it is.
    LookAtPower,
    /// Cloud Migration Factory is not told, which is left to a person; then MGN refuses.
    Factory,
    /// MGN refuses, and everything else is done.
    LastCall,
}

/// Each of them, with its case and the step in which it stops.
const REFUSED: [(Refused, &str, Step); 7] = [
    (Refused::SecondName, "refusedSecondName", Step::Dns),
    (Refused::Item, "refusedItem", Step::Cmdb),
    (Refused::Tags, "refusedTags", Step::TargetSealed),
    (Refused::PowerOff, "refusedPowerOff", Step::SourcePowerOff),
    (
        Refused::LookAtPower,
        "refusedLookAtPower",
        Step::SourcePowerOff,
    ),
    (Refused::Factory, "refusedFactory", Step::MgnFinalize),
    (Refused::LastCall, "refusedLastCall", Step::MgnFinalize),
];

impl Refused {
    /// The step that fails.
    pub(crate) fn step(self) -> Step {
        let row = REFUSED.iter().find(|(refused, ..)| *refused == self);
        row.expect("a row for each").2
    }
}

/// What is particular to a migration, and to its rollback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extra {
    /// MGN was to give the target the source's address; the request names another one.
    CopiedAddress,
    /// The rollback disconnects the server.
    StoppedReplication,
}

/// A migration that fails.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// The end of its ID.
    pub(crate) name: String,
    /// The places at which the workflow fails it.
    pub(crate) fails: Vec<Place>,
    /// What finalize is refused.
    pub(crate) refused: Option<Refused>,
    /// What is particular to it.
    pub(crate) extra: Option<Extra>,
    /// What becomes of it.
    pub(crate) end: End,
}

/// Every case of a workflow.
pub(crate) fn cases(definition: &Value) -> Vec<Case> {
    let states = definition["States"].as_object().expect("states");
    for (name, ..) in APART {
        assert!(states.contains_key(name), "there is no state {name}");
    }
    let mut cases = Vec::new();
    for (name, state) in states {
        let apart = APART.iter().find(|(apart, ..)| apart == name);
        let (before, after) = match apart {
            Some((_, before, after)) => (*before, *after),
            None if state["Type"] == "Task" => (Some(Undone), Some(Undone)),
            // Nothing catches what fails there.
            None => (Some(Gone), None),
        };
        let before = before.map(|end| (Place::before(name), end));
        let after = after.map(|end| (Place::after(name), end));
        cases.extend(before.into_iter().chain(after).map(case));
    }
    let refused = REFUSED.iter().map(|(refused, name, _)| Case {
        name: (*name).to_owned(),
        fails: Vec::new(),
        refused: Some(*refused),
        extra: None,
        end: Undone,
    });
    cases.extend(refused);
    cases.extend(extras());
    cases
}

/// Those whose rollback has something more to do.
fn extras() -> [Case; 3] {
    let last = |name: &str, extra| Case {
        name: name.to_owned(),
        fails: Vec::new(),
        refused: Some(Refused::LastCall),
        extra: Some(extra),
        end: Undone,
    };
    let tested = Case {
        name: "stoppedAfterTest".to_owned(),
        fails: vec![Place::before("LaunchCutover")],
        refused: None,
        extra: Some(Extra::StoppedReplication),
        end: Undone,
    };
    [
        last("copiedAddress", Extra::CopiedAddress),
        last("stoppedAtLast", Extra::StoppedReplication),
        tested,
    ]
}

fn case((place, end): (Place, End)) -> Case {
    // What comes with a rollback is failed where there is the most to undo.
    let behind = ["Rollback", "RolledBack", "RollbackGate", "Freeze"];
    let refused = behind.contains(&place.state.as_str());
    let mut fails = vec![place.clone()];
    if place.state == "Freeze" {
        fails.push(Place::before("Rollback"));
    }
    Case {
        name: place.name(),
        fails,
        refused: refused.then_some(Refused::LastCall),
        extra: None,
        end,
    }
}

/// Who fails where.
pub(crate) fn places(cases: &[Case]) -> BTreeMap<Place, Vec<String>> {
    let mut places: BTreeMap<Place, Vec<String>> = BTreeMap::new();
    for case in cases {
        for place in &case.fails {
            let names = places.entry(place.clone()).or_default();
            names.push(case.name.clone());
        }
    }
    places
}

impl Case {
    fn fails_in(&self, states: &[&str]) -> bool {
        let mut fails = self.fails.iter();
        fails.any(|place| states.contains(&place.state.as_str()))
    }

    /// Whether people are asked before its rollback.
    pub(crate) fn asks(&self) -> bool {
        self.fails_in(&["RolledBack", "RollbackGate"])
    }

    /// Which gate of its first attempt it comes to and has to pass.
    pub(crate) fn passes(&self) -> Option<&'static str> {
        let passed = |place: &Place| match place.state.as_str() {
            "RollbackGate" if place.after => Some("rollback"),
            "Archive" => Some("decommission"),
            _ => None,
        };
        self.fails.iter().find_map(passed)
    }

    /// What its request says beside the usual.
    pub(crate) fn request(&self, approver: &str, address: &str) -> Vec<(&'static str, Value)> {
        let asked = |gate: &str| json!([{"gate": gate, "approvers": [approver]}]);
        let retained = [
            "Retention",
            "DecommissionWanted",
            "DecommissionGate",
            "Archive",
        ];
        let mut members = Vec::new();
        if self.fails_in(&["CompleteWithoutSwitch"]) {
            members.push(("steps", json!(["freeze", "replicate", "validate"])));
        }
        if self.fails_in(&["Soak", "VerifySoak", "SoakOver"]) {
            members.push(("policy", json!({"soakSeconds": 2})));
        }
        if self.asks() {
            members.push(("policy", json!({"approvals": asked("rollback")})));
        }
        match self.extra {
            None => {}
            Some(Extra::CopiedAddress) => members.push(("privateIp", address.into())),
            Some(Extra::StoppedReplication) => {
                members.push(("policy", json!({"rollback": {"replication": "stop"}})));
            }
        }
        if self.fails_in(&retained) {
            let retention = json!({"archiveAfterDays": 1, "decommissionSource": true});
            let policy = json!({"retention": retention, "approvals": asked("decommission")});
            members.push(("policy", policy));
        }
        members
    }

    /// The faults of the simulator that refuse what it is refused.
    pub(crate) fn faults(&self, known: &Known, app: &str) -> Vec<Value> {
        let rule = |service: &str, operation: &str, server: Option<&str>, after: usize| {
            let mut rule = json!({
                "service": service, "operation": operation, "kind": "error", "error": "AccessDeniedException",
                "status": 403, "after": after,
            });
            if let Some(server) = server {
                rule["server"] = server.into();
            }
            rule
        };
        let last = || rule("mgn", "FinalizeCutover", Some(&known.server), 0);
        match self.refused {
            None => Vec::new(),
            Some(Refused::SecondName) => {
                vec![rule("route53", "ChangeResourceRecordSets", Some(app), 0)]
            }
            Some(Refused::Item) => vec![rule("cmdb", &known.item_change(), None, 0)],
            Some(Refused::Tags) => vec![rule("ec2", "CreateTags", Some(&known.server), 0)],
            Some(Refused::PowerOff) => {
                vec![rule("azure", &known.machine("POST", "deallocate"), None, 0)]
            }
            // The first look is before it is switched off.
            Some(Refused::LookAtPower) => {
                vec![rule(
                    "azure",
                    &known.machine("GET", "instanceView"),
                    None,
                    1,
                )]
            }
            // The first change says that it begins.
            Some(Refused::Factory) => vec![rule("cmf", &known.factory_change(), None, 1), last()],
            Some(Refused::LastCall) => vec![last()],
        }
    }
}
