//! `control`: carries out the orders of operators.
//!
//! `POST /orders` of the operators' API, signed by the caller: `{migrationId, order, reason}`, optional `tenantId`; the order
//! is `pause`, `resume`, `cancel`, `retry`, `release` or `rollback`, the last with an optional `emergency`, resume with an optional `pastWindow`; or `{wave, order: "window", window | clear, reason}` ([`window`]). Who may give
//! orders is IAM's to say; who did and why stands in the history. An order that stands already changes nothing and is
//! answered like the first time, and one that the migration's status forbids is refused with what to do instead.
//!
//! Environment: `LANDFALL_TABLE`, `LANDFALL_BUS`; optional `LANDFALL_APPROVALS` (JSON: the deployment's rules by environment) and
//! `LANDFALL_FREEZE_PARAMETER` (the SSM parameter with the freeze calendar).
#![warn(missing_docs)]

mod attempt;
mod running;
mod window;

use landfall_common::caller::{self, Refusal};
use landfall_common::state::Key;
use landfall_common::{Invocation, telemetry};
use landfall_domain::control::{Order, Purpose};
use landfall_domain::gate::Caller;
use landfall_domain::request::DEFAULT_TENANT;
use landfall_domain::{ErrorName, MigrationRecord, StageError};
/// What the function works with.
pub use landfall_gates::Desk as Deps;
use serde::Deserialize;
use serde_json::{Value, json};

/// How often an order is tried that somebody else's write came in between of.
const TRIES: u32 = 5;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body {
    tenant_id: Option<String>,
    migration_id: String,
    order: What,
    reason: String,
    #[serde(default)]
    emergency: bool,
    #[serde(default)]
    past_window: bool,
}

/// What is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    /// Begin nothing new.
    Pause,
    /// Go on.
    Resume,
    /// End, and undo what was done.
    Cancel,
    /// Begin again after an end, from the last good phase.
    Retry,
    /// Allow that a frozen migration is submitted again.
    Release,
    /// Undo what was done, under way or after the end.
    Rollback,
}

/// An order with whom it comes from, to be carried out.
struct Task<'a> {
    deps: &'a Deps,
    invocation: &'a Invocation,
    what: What,
    order: Order,
    emergency: bool,
    past_window: bool,
}

/// Carries out an order; the response of the HTTP API.
///
/// # Errors
/// None: what is wrong is an answer of the API.
pub async fn handle(
    deps: &Deps,
    event: Value,
    invocation: Invocation,
) -> Result<Value, StageError> {
    let outcome = match caller::read(&event) {
        Ok((caller, body)) if window::is_meant(&body) => {
            Box::pin(window::carry_out(deps, &caller, body, &invocation)).await
        }
        Ok((caller, body)) => match caller::order(body) {
            Ok(body) => Box::pin(carry_out(deps, &caller, body, &invocation)).await,
            Err(refusal) => Err(refusal),
        },
        Err(refusal) => Err(refusal),
    };
    Ok(caller::response(outcome))
}

async fn carry_out(
    deps: &Deps,
    caller: &Caller,
    body: Body,
    invocation: &Invocation,
) -> Result<Value, Refusal> {
    let task = Task {
        deps,
        invocation,
        what: body.what()?,
        order: Order {
            by: caller.arn.clone(),
            reason: caller::words("/reason", &body.reason)?,
            at: invocation.now.to_string(),
        },
        emergency: body.emergency,
        past_window: body.past_window,
    };
    let tenant = body.tenant_id.as_deref().unwrap_or(DEFAULT_TENANT);
    let key = Key::new(tenant, &body.migration_id);
    let mut tries = 0;
    loop {
        tries += 1;
        let Some(record) = deps.journal.store.get(&key).await? else {
            let text = format!("there is no migration {key}");
            return Err(Refusal::new(404, "MIGRATION_UNKNOWN", "/migrationId", text)
                .remedy(caller::UNKNOWN));
        };
        telemetry::identify(&record);
        match Box::pin(task.run(record)).await? {
            Ok(record) => {
                return Ok(json!({
                    "migrationId": record.migration_id,
                    "status": record.status,
                    "attempt": record.attempt,
                    "purpose": record.purpose,
                    "control": record.control,
                }));
            }
            // Read again: the order may mean something else to what was written in between.
            Err(conflict) if tries == TRIES => return Err(conflict.into()),
            Err(_) => {}
        }
    }
}

impl Body {
    fn what(&self) -> Result<What, Refusal> {
        if self.emergency && self.order != What::Rollback {
            return Err(Refusal::new(
                400,
                "ORDER_INVALID",
                "/emergency",
                "emergency goes with the order rollback alone",
            ));
        }
        if self.past_window && self.order != What::Resume {
            return Err(Refusal::new(
                400,
                "ORDER_INVALID",
                "/pastWindow",
                "pastWindow goes with the order resume alone",
            ));
        }
        Ok(self.order)
    }
}

/// What an order came to: the record after it, or a write of somebody else in between.
type Outcome = Result<Result<MigrationRecord, StageError>, Refusal>;

impl Task<'_> {
    async fn run(&self, record: MigrationRecord) -> Outcome {
        let ended = record.status.is_end();
        match self.what {
            What::Pause => Box::pin(self.pause(record)).await,
            What::Resume => Box::pin(self.resume(record)).await,
            What::Cancel => Box::pin(self.cancel(record)).await,
            What::Rollback if !ended && record.purpose == Purpose::Rollback => {
                Box::pin(self.urge(record)).await
            }
            What::Rollback if !ended => Box::pin(self.cancel(record)).await,
            What::Retry => Box::pin(self.retry(record)).await,
            What::Release => Box::pin(self.release(record)).await,
            What::Rollback => Box::pin(self.roll_back(record)).await,
        }
    }
}

/// Takes a write of somebody else in between out of the errors.
pub(crate) fn outcome(result: Result<MigrationRecord, StageError>) -> Outcome {
    match result {
        Ok(record) => Ok(Ok(record)),
        Err(error) if error.name == ErrorName::Conflict => Ok(Err(error)),
        Err(error) => Err(error.into()),
    }
}

/// An order that the status forbids.
fn forbidden(record: &MigrationRecord, why: &str, remedy: impl Into<String>) -> Refusal {
    let text = format!("{} is {}{why}", record.migration_id, record.status);
    Refusal::new(409, "STATUS_FORBIDS", "/order", text).remedy(remedy)
}
