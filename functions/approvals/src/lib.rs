//! `approvals`: takes the answers of people at a gate.
//!
//! `POST /approvals` of the operators' API, signed by the caller: `{migrationId, gate, decision, reason}`, optional
//! `tenantId` and `changeReference`. Whether the caller's word counts is judged by the ARN that AWS has verified: nobody
//! judges a migration that they asked for themselves, and nobody counts twice. Each answer is an entry of the history. An
//! answer that completes what the gate wants lets the migration through at once; where that fails, the sweep does it.
//!
//! Environment: `LANDFALL_TABLE`, `LANDFALL_BUS`; optional `LANDFALL_APPROVALS` (JSON: the deployment's rules by environment).
#![warn(missing_docs)]

use jiff::Timestamp;
use landfall_common::caller::{self, Refusal};
use landfall_common::state::wait::WaitKind;
use landfall_common::state::{Change, Key};
use landfall_common::{Invocation, telemetry};
use landfall_domain::gate::{
    Answer, ApprovalRule, Caller, Gate, GateRecord, Verdict, agreed, counts, is_escalated,
    judge as domain_judge,
};
use landfall_domain::request::DEFAULT_TENANT;
use landfall_domain::{ErrorName, EventType, MigrationRecord, StageError};
/// What the function works with.
pub use landfall_gates::Desk as Deps;
use serde::Deserialize;
use serde_json::{Value, json};

/// How often an answer is tried that somebody else's write came in between of.
const TRIES: u32 = 5;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Order {
    tenant_id: Option<String>,
    migration_id: String,
    gate: Gate,
    decision: Decision,
    reason: String,
    change_reference: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Decision {
    Approve,
    Deny,
}

/// Takes an answer; the response of the HTTP API.
///
/// # Errors
/// None: what is wrong is an answer of the API.
pub async fn handle(
    deps: &Deps,
    event: Value,
    invocation: Invocation,
) -> Result<Value, StageError> {
    let outcome = match caller::read(&event) {
        Ok((caller, order)) => Box::pin(answer(deps, &caller, order, invocation.now)).await,
        Err(refusal) => Err(refusal),
    };
    Ok(caller::response(outcome))
}

async fn answer(
    deps: &Deps,
    caller: &Caller,
    order: Order,
    now: Timestamp,
) -> Result<Value, Refusal> {
    let answer = Answer {
        by: caller.arn.clone(),
        approve: order.decision == Decision::Approve,
        reason: caller::words("/reason", &order.reason)?,
        change_reference: match &order.change_reference {
            Some(text) => Some(caller::words("/changeReference", text)?),
            None => None,
        },
        at: now.to_string(),
    };
    let tenant = order.tenant_id.as_deref().unwrap_or(DEFAULT_TENANT);
    let key = Key::new(tenant, &order.migration_id);
    let mut tries = 0;
    let record = loop {
        tries += 1;
        match Box::pin(note(deps, caller, &key, order.gate, &answer, now)).await? {
            Ok(record) => break record,
            Err(conflict) if tries == TRIES => return Err(conflict.into()),
            Err(_) => {}
        }
    };
    let record = let_through(deps, record, order.gate, now).await;
    let rules = deps.gates.rules.of(&record.request, order.gate);
    let gate = record.gate(order.gate);
    Ok(json!({
        "migrationId": record.migration_id,
        "status": record.status,
        "gate": gate,
        "granted": record.may_pass(order.gate),
        "missing": gate.map(|gate| missing(&rules, gate)),
    }))
}

/// Writes the answer into the record and the history, once. The inner error is a write of somebody else in between.
async fn note(
    deps: &Deps,
    caller: &Caller,
    key: &Key,
    gate: Gate,
    answer: &Answer,
    now: Timestamp,
) -> Result<Result<MigrationRecord, StageError>, Refusal> {
    let Some(mut record) = deps.journal.store.get(key).await? else {
        return Err(Refusal::new(
            404,
            "MIGRATION_UNKNOWN",
            "/migrationId",
            format!("there is no migration {key}"),
        )
        .remedy(caller::UNKNOWN));
    };
    telemetry::identify(&record);
    let rules = deps.gates.rules.of(&record.request, gate);
    let there = judge(&record, gate, &rules, caller, answer)?;
    if domain_judge(&rules, there, now) == Verdict::Expired && answer.approve {
        // The sweep has not come round yet to say so.
        return Err(closed(&record, gate));
    }
    let earlier = there.answers.iter().rfind(|it| it.by == answer.by);
    if earlier.is_some_and(|it| it.approve == answer.approve) {
        return Ok(Ok(record));
    }
    if there.granted_at.is_some() {
        return Err(closed(&record, gate));
    }
    if let Some(there) = record.gates.iter_mut().find(|it| it.gate == gate) {
        there.answers.push(answer.clone());
    }
    let standing = record.gate(gate).map(|it| missing(&rules, it));
    let change = Change::to(record.status, EventType::ApprovalAnswered)
        .evidence(json!({ "gate": gate, "answer": answer, "missing": standing }));
    match Box::pin(deps.journal.advance(record, change, now)).await {
        Ok(record) => Ok(Ok(record)),
        Err(error) if error.name == ErrorName::Conflict => Ok(Err(error)),
        Err(error) => Err(error.into()),
    }
}

/// Whether the caller's answer is taken.
fn judge<'a>(
    record: &'a MigrationRecord,
    gate: Gate,
    rules: &[ApprovalRule],
    caller: &Caller,
    answer: &Answer,
) -> Result<&'a GateRecord, Refusal> {
    let name = gate.as_str();
    let Some(there) = record.gate(gate) else {
        let text = format!(
            "{} is {} and has not come to the gate {name}",
            record.migration_id, record.status
        );
        return Err(Refusal::new(409, "GATE_NOT_OPEN", "/gate", text)
            .remedy("Answer when you are asked: `landfall status` shows the gate then."));
    };
    if caller.asked_for(record) {
        let text = format!(
            "{} asked for this migration, or ordered what is to be agreed to",
            caller.arn
        );
        let remedy = match gate {
            Gate::Cutover | Gate::Finalize => {
                "Somebody else has to answer; to stop it yourself, use `landfall cancel`."
            }
            Gate::Rollback | Gate::Decommission => "Somebody else has to answer.",
        };
        return Err(Refusal::new(403, "REQUESTER_MAY_NOT_APPROVE", "", text).remedy(remedy));
    }
    if !rules.iter().any(|rule| counts(rule, there, &caller.arn)) {
        let mut named: Vec<&str> = rules
            .iter()
            .flat_map(|rule| {
                let escalated = is_escalated(rule, there);
                let others = rule.escalate_to.iter().filter(move |_| escalated);
                rule.approvers.iter().chain(others)
            })
            .map(String::as_str)
            .collect();
        named.sort_unstable();
        named.dedup();
        let text = format!("{} is not asked at the gate {name}", caller.arn);
        return Err(
            Refusal::new(403, "NOT_AN_APPROVER", "", text).remedy(if named.is_empty() {
                "Nobody is: no rule of the request or the deployment names this gate.".to_owned()
            } else {
                format!("Asked are: {}.", named.join(", "))
            }),
        );
    }
    let ended = record.status.is_end() && gate != Gate::Decommission;
    let decided = there
        .answers
        .iter()
        .any(|it| !it.approve && it.by != answer.by);
    // Once it has begun, or was ordered to ask nobody, no answer changes it.
    let begun = record.is_being_undone() || record.control.emergency.is_some();
    let decided = decided || there.refused_at.is_some() || gate == Gate::Rollback && begun;
    let given = there
        .answers
        .iter()
        .rfind(|it| it.by == answer.by)
        .is_some_and(|it| it.approve == answer.approve);
    if (ended || decided) && !given {
        return Err(closed(record, gate));
    }
    let wanted = rules
        .iter()
        .any(|rule| rule.require_change_reference && counts(rule, there, &caller.arn));
    if answer.approve && wanted && answer.change_reference.is_none() {
        return Err(Refusal::new(
            400,
            "CHANGE_REFERENCE_MISSING",
            "/changeReference",
            format!("the gate {name} wants to know which change this is"),
        )
        .remedy("Name it with --change-reference."));
    }
    Ok(there)
}

fn closed(record: &MigrationRecord, gate: Gate) -> Refusal {
    let text = format!(
        "the gate {} of {} is closed already; the migration is {}",
        gate.as_str(),
        record.migration_id,
        record.status
    );
    Refusal::new(409, "GATE_DECIDED", "/gate", text)
        .remedy("See `landfall status` for who decided, or that nobody did in time.")
}

/// Lets the migration through, or ends its wait, where the answers are complete. What fails here is left to the sweep.
async fn let_through(
    deps: &Deps,
    record: MigrationRecord,
    gate: Gate,
    now: Timestamp,
) -> MigrationRecord {
    let work = async {
        let key = Key::of(&record);
        let store = &deps.journal.store;
        let kind = WaitKind::at_gate(gate);
        let waits = store.waits_of(&key).await?;
        if let Some(wait) = waits.iter().find(|it| it.kind == kind) {
            deps.look_again(wait, now).await?;
        }
        store.require(&key).await
    };
    match work.await {
        Ok(record) => record,
        Err(error) => {
            tracing::warn!(
                error = error.name.as_str(),
                context = error.context,
                "an answered gate is left to the sweep: {error}"
            );
            record
        }
    }
}

/// How many agreements each rule still wants, and whose.
fn missing(rules: &[ApprovalRule], gate: &GateRecord) -> Value {
    rules
        .iter()
        .filter_map(|rule| {
            let open = rule.count.saturating_sub(agreed(rule, gate));
            (open > 0).then(|| json!({ "count": open, "of": rule.approvers }))
        })
        .collect()
}
