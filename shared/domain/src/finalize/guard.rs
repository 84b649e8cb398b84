//! What must be proved before MGN `FinalizeCutover`, from what the record knows.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Note, State, Step, note};
use crate::gate::Gate;
use crate::record::MigrationRecord;

/// One item that must stand before the point of no return, and what proves it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// `VERIFIED`, `SOAKED`, `APPROVED`, or the name of a [`Step`].
    pub item: String,
    /// Whether it stands.
    pub met: bool,
    /// What was seen; of an item that does not stand, what is missing.
    pub evidence: Value,
}

/// What must stand before the users are moved.
pub fn beforehand(record: &MigrationRecord) -> Vec<Evidence> {
    vec![verified(record), soaked(record), approved(record)]
}

/// Every item, in the order of the night.
pub fn guard(record: &MigrationRecord) -> Vec<Evidence> {
    let steps = [
        (Step::Dns, record.request.dns.is_empty()),
        (Step::Cmdb, record.request.cmdb.is_none()),
        (Step::TargetSealed, false),
        (Step::SourcePowerOff, false),
    ];
    let mut items = beforehand(record);
    items.extend(steps.map(|(step, unasked)| of_step(record, step, unasked)));
    items
}

/// The items that do not stand.
pub fn missing(items: &[Evidence]) -> Vec<&str> {
    let open = items.iter().filter(|item| !item.met);
    open.map(|item| item.item.as_str()).collect()
}

fn item(name: &str, met: bool, evidence: impl Into<Value>) -> Evidence {
    Evidence {
        item: name.to_owned(),
        met,
        evidence: evidence.into(),
    }
}

fn verified(record: &MigrationRecord) -> Evidence {
    let cutover = record.done.cutover.as_ref();
    let seen = cutover.and_then(|launch| Some((launch, launch.verified_at.as_ref()?)));
    match seen {
        Some((launch, at)) => item(
            "VERIFIED",
            true,
            json!({ "instanceId": launch.instance_id, "verifiedAt": at }),
        ),
        None => item(
            "VERIFIED",
            false,
            "no checks of the cutover instance have passed",
        ),
    }
}

fn soaked(record: &MigrationRecord) -> Evidence {
    if record.request.policy.soak_seconds.unwrap_or(0) == 0 {
        return item("SOAKED", true, "not asked for");
    }
    match &record.done.soak {
        Some(soak) => item("SOAKED", soak.is_over(), json!(soak)),
        None => item("SOAKED", false, "the soak has not begun"),
    }
}

fn approved(record: &MigrationRecord) -> Evidence {
    let Some(gate) = record.gate(Gate::Finalize) else {
        return item("APPROVED", false, "the migration has not come to the gate");
    };
    if gate.granted_at.is_none() {
        return item(
            "APPROVED",
            false,
            "not everybody whose word is wanted has agreed",
        );
    }
    let by: Vec<&str> = gate.answers.iter().map(|it| it.by.as_str()).collect();
    let evidence = if by.is_empty() {
        json!("no rule asks anybody")
    } else {
        json!({ "grantedAt": gate.granted_at, "by": by })
    };
    item("APPROVED", true, evidence)
}

fn of_step(record: &MigrationRecord, step: Step, unasked: bool) -> Evidence {
    let name = step.as_str();
    match note(&record.done, step) {
        None if unasked => item(name, true, "not asked for"),
        None => item(name, false, "not begun"),
        Some(Note { state, .. }) if *state == State::Begun => {
            item(name, false, "begun, and not seen to be done")
        }
        Some(Note { at, evidence, .. }) => item(name, true, json!({ "at": at, "seen": evidence })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finalize::set;
    use crate::gate::GateRecord;
    use crate::record::tests::record;
    use crate::soak::Soak;

    fn ready() -> MigrationRecord {
        let mut record = record();
        let now = "2026-11-21T10:00:00Z".parse().unwrap();
        record.request.policy.soak_seconds = Some(60);
        record.request.dns = serde_json::from_value(json!([
            {"hostedZoneId": "Z1", "name": "app.example.com", "type": "A"}
        ]))
        .unwrap();
        record.request.cmdb = serde_json::from_value(json!({"table": "t", "sysId": "s"})).unwrap();
        record.done.cutover = serde_json::from_value(json!({
            "jobId": "j", "settingsDigest": "d", "startedAt": "x", "instanceId": "i-1", "verifiedAt": "v",
        }))
        .unwrap();
        let mut soak = Soak::begin(60, now);
        soak.pass(now);
        record.done.soak = Some(soak);
        record.gates.push(GateRecord {
            gate: Gate::Finalize,
            opened_at: "x".into(),
            answers: vec![],
            escalated_at: None,
            refused_at: None,
            granted_at: Some("x".into()),
        });
        for step in [Step::Dns, Step::Cmdb, Step::TargetSealed] {
            set(&mut record.done, step, State::Done, json!("seen"), now);
        }
        set(
            &mut record.done,
            Step::SourcePowerOff,
            State::Left,
            json!("a person"),
            now,
        );
        record
    }

    #[test]
    fn whatever_is_missing_is_named() {
        let missing_of = |record: &MigrationRecord| {
            let items = guard(record);
            missing(&items)
                .into_iter()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(missing_of(&ready()), [""; 0]);
        let now = "2026-11-21T10:00:00Z".parse().unwrap();
        #[expect(clippy::type_complexity, reason = "what is missing, and how")]
        let without: [(&str, fn(&mut MigrationRecord)); 8] = [
            ("VERIFIED", |r| {
                r.done.cutover.as_mut().unwrap().verified_at = None;
            }),
            ("VERIFIED", |r| r.done.cutover = None),
            ("SOAKED", |r| r.done.soak = None),
            ("SOAKED", |r| r.done.soak.as_mut().unwrap().round = 0),
            ("APPROVED", |r| r.gates.clear()),
            ("APPROVED", |r| r.gates[0].granted_at = None),
            ("DNS", |r| {
                r.done.finalize.retain(|note| note.step != Step::Dns);
            }),
            ("SOURCE_POWER_OFF", |r| {
                r.done
                    .finalize
                    .retain(|note| note.step != Step::SourcePowerOff);
            }),
        ];
        for (name, take) in without {
            let mut record = ready();
            take(&mut record);
            assert_eq!(missing_of(&record), [name]);
        }
        for step in [
            Step::Dns,
            Step::Cmdb,
            Step::TargetSealed,
            Step::SourcePowerOff,
        ] {
            let mut record = ready();
            set(&mut record.done, step, State::Begun, Value::Null, now);
            assert_eq!(missing_of(&record), [step.as_str()]);
        }
    }

    #[test]
    fn what_was_not_asked_for_is_not_missing() {
        let mut record = ready();
        record.request.policy.soak_seconds = None;
        record.request.dns.clear();
        record.request.cmdb = None;
        record.done.soak = None;
        record.done.finalize.retain(|note| note.step > Step::Cmdb);
        let items = guard(&record);
        assert!(missing(&items).is_empty(), "{items:?}");
        assert_eq!(items[1].evidence, "not asked for");
    }
}
