//! Orders of operators and answers of approvers: `approve`, `deny`, `pause`, `resume`, `cancel`, `retry`, `release` and
//! `rollback`.

mod send;

use std::collections::BTreeSet;
use std::path::Path;

use clap::{Args, ValueEnum};
use landfall_domain::gate::Gate;
use landfall_domain::{MigrationRecord, Status};
use serde_json::{Value, json};

use self::send::send;
use crate::error::{CliError, Exit};
use crate::output::text::clean;
use crate::target::{Records, TargetArgs, name};

/// Whose migrations are meant, and why.
#[derive(Args, Debug)]
pub struct Which {
    /// The `migrationId`s; with `--wave`, only these of the wave.
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// Every migration of the wave to which the order applies now.
    #[arg(long, value_name = "WAVE", value_parser = name, required_unless_present = "ids")]
    wave: Option<String>,
    /// Those of the wave that are left out.
    #[arg(long, value_name = "ID", requires = "wave")]
    except: Vec<String>,
    /// Why, in one line: it stands in the history for good.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The tenant.
    #[arg(long, default_value = landfall_domain::request::DEFAULT_TENANT, value_parser = name)]
    tenant: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// A gate, as the command line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GateArg {
    /// Before the cutover launch.
    Cutover,
    /// Before the users are moved.
    Finalize,
    /// Before a risky rollback.
    Rollback,
    /// Before the source is decommissioned.
    Decommission,
}

impl From<GateArg> for Gate {
    fn from(gate: GateArg) -> Self {
        match gate {
            GateArg::Cutover => Self::Cutover,
            GateArg::Finalize => Self::Finalize,
            GateArg::Rollback => Self::Rollback,
            GateArg::Decommission => Self::Decommission,
        }
    }
}

/// `landfall approve` and `landfall deny`.
#[derive(Args, Debug)]
pub struct AnswerArgs {
    /// The gate at which they wait.
    #[arg(long, value_enum)]
    gate: GateArg,
    /// The change that this belongs to, for example CHG0012345.
    #[arg(long, value_name = "REFERENCE")]
    change_reference: Option<String>,
    #[command(flatten)]
    which: Which,
}

/// `landfall resume`.
#[derive(Args, Debug)]
pub struct ResumeArgs {
    #[command(flatten)]
    which: Which,
    /// Go on although the cutover window is closed; a freeze holds all the same.
    #[arg(long)]
    past_window: bool,
}

/// `landfall pause`, `retry` and `release`.
#[derive(Args, Debug)]
pub struct OrderArgs {
    #[command(flatten)]
    which: Which,
}

/// `landfall cancel`.
#[derive(Args, Debug)]
pub struct CancelArgs {
    #[command(flatten)]
    which: Which,
    /// A whole wave is cancelled only with this.
    #[arg(long)]
    yes: bool,
}

/// An order without more to say than whom it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Begin nothing new.
    Pause,
    /// Go on.
    Resume,
    /// End, and undo what was done.
    Cancel,
    /// Begin again after an end.
    Retry,
    /// Allow that a frozen migration is submitted again.
    Release,
    /// Undo what was done.
    Rollback,
}

impl Order {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Retry => "retry",
            Self::Release => "release",
            Self::Rollback => "rollback",
        }
    }

    /// Whether it applies to a migration of a wave as it stands now.
    fn applies(self, record: &MigrationRecord) -> bool {
        let ended = record.status.is_end();
        match self {
            Self::Pause => !ended && record.control.paused.is_none(),
            Self::Resume => !ended && record.control.paused.is_some(),
            Self::Cancel => !ended && record.done.finalized_at.is_none(),
            // One that somebody cancelled is begun again by name only.
            Self::Retry => matches!(record.status, Status::Failed | Status::RolledBack),
            Self::Release => record.status == Status::Frozen,
            Self::Rollback => matches!(record.status, Status::Succeeded | Status::Frozen),
        }
    }

    const fn done(self) -> &'static str {
        match self {
            Self::Pause => "paused",
            Self::Resume => "no pause holds it now",
            Self::Cancel => {
                "is being cancelled: what was done is undone; landfall status tells whether people are asked first"
            }
            Self::Retry => "begins again",
            Self::Release => "is released; submit it again, or retry it",
            Self::Rollback => {
                "rollback ordered; landfall status tells how far it is, and whether people are asked first"
            }
        }
    }
}

/// Runs `approve` or `deny`.
pub async fn answer(args: &AnswerArgs, approve: bool, root: &Path) -> Result<Exit, CliError> {
    let gate = Gate::from(args.gate);
    let waits = |record: &MigrationRecord| {
        record.gate(gate).is_some() && !record.may_pass(gate) && !record.status.is_end()
            || gate == Gate::Decommission
                && record.gate(gate).is_some_and(|it| it.granted_at.is_none())
    };
    let decision = if approve { "approve" } else { "deny" };
    let mut order = json!({
        "tenantId": args.which.tenant, "gate": gate, "decision": decision, "reason": args.which.reason,
    });
    if let Some(reference) = &args.change_reference {
        order["changeReference"] = reference.as_str().into();
    }
    let told = |answer: &Value| {
        if !approve {
            return format!("denied at the gate {}", gate.as_str());
        }
        if answer["granted"] == true {
            return format!("passes the gate {}", gate.as_str());
        }
        let missing = answer["missing"].as_array().into_iter().flatten();
        let missing = missing.map(|rule| {
            let of = rule["of"].as_array().into_iter().flatten();
            let of: Vec<&str> = of.filter_map(Value::as_str).collect();
            format!("{} more of {}", rule["count"], of.join(", "))
        });
        format!(
            "agreed at the gate {}; wanted: {}",
            gate.as_str(),
            missing.collect::<Vec<_>>().join("; ")
        )
    };
    send(&args.which, "/approvals", &order, waits, told, root).await
}

/// Runs an order that says nothing more.
pub async fn order(args: &OrderArgs, order: Order, root: &Path) -> Result<Exit, CliError> {
    give(&args.which, order, false, root).await
}

/// Runs `resume`.
pub async fn resume(args: &ResumeArgs, root: &Path) -> Result<Exit, CliError> {
    if !args.past_window {
        return give(&args.which, Order::Resume, false, root).await;
    }
    let which = &args.which;
    let body = json!({
        "tenantId": which.tenant, "order": Order::Resume.as_str(), "reason": which.reason, "pastWindow": true,
    });
    let held = |record: &MigrationRecord| record.status == Status::AwaitingWindow;
    let told = |answer: &Value| {
        let status = answer["status"].as_str().unwrap_or("an unknown status");
        format!("passes its window and stands at {}", clean(status))
    };
    send(which, "/orders", &body, held, told, root).await
}

/// Runs `cancel`.
pub async fn cancel(args: &CancelArgs, root: &Path) -> Result<Exit, CliError> {
    if args.which.wave.is_some() && args.which.ids.is_empty() && !args.yes {
        return Err(CliError::new(
            "this would cancel every migration of the wave that is under way",
            "Name those that are meant, or add --yes.",
        )
        .exit(Exit::Invalid));
    }
    give(&args.which, Order::Cancel, false, root).await
}

/// Gives an order; `emergency` goes with a rollback alone.
pub async fn give(
    which: &Which,
    order: Order,
    emergency: bool,
    root: &Path,
) -> Result<Exit, CliError> {
    let mut body = json!({
        "tenantId": which.tenant, "order": order.as_str(), "reason": which.reason,
    });
    if emergency {
        body["emergency"] = true.into();
    }
    let told = |answer: &Value| match (order, answer["status"].as_str()) {
        // Whatever else holds it: a window, people, a check.
        (Order::Resume, Some(status)) => {
            format!("no pause holds it now; it stands at {}", clean(status))
        }
        _ => order.done().to_owned(),
    };
    send(
        which,
        "/orders",
        &body,
        |record| order.applies(record),
        told,
        root,
    )
    .await
}

impl Which {
    /// One migration.
    pub fn one(id: &str, tenant: &str, reason: &str, json: bool, target: &TargetArgs) -> Self {
        Self {
            ids: vec![id.to_owned()],
            wave: None,
            except: Vec::new(),
            reason: reason.to_owned(),
            tenant: tenant.to_owned(),
            json,
            target: target.clone(),
        }
    }

    /// The IDs that are meant, each once.
    async fn ids(
        &self,
        applies: impl Fn(&MigrationRecord) -> bool,
        root: &Path,
    ) -> Result<Vec<String>, CliError> {
        let Some(wave) = &self.wave else {
            let mut seen = BTreeSet::new();
            let ids = self.ids.iter().filter(|id| seen.insert(id.as_str()));
            return Ok(ids.cloned().collect());
        };
        let records = Records::find(&self.target, root).await?;
        let of_wave = records
            .store
            .by_wave(&self.tenant, wave, None)
            .await
            .map_err(|error| CliError::of_call(&error, records.advice))?;
        if of_wave.is_empty() {
            return Err(CliError::new(
                format!("there is no migration in the wave {}", clean(wave)),
                "Check the wave and --tenant; `landfall watch` shows what is on its way.",
            )
            .exit(Exit::Unknown));
        }
        if let Some(stranger) = self
            .ids
            .iter()
            .chain(&self.except)
            .find(|id| !of_wave.iter().any(|it| it.migration_id == **id))
        {
            return Err(CliError::new(
                format!("{} is not in the wave {}", clean(stranger), clean(wave)),
                "Leave --wave out, or see `landfall watch --wave` for its migrations.",
            )
            .exit(Exit::Invalid));
        }
        let named = |record: &MigrationRecord| {
            self.ids.is_empty() || self.ids.contains(&record.migration_id)
        };
        let mut ids: Vec<String> = of_wave
            .iter()
            .filter(|record| named(record) && !self.except.contains(&record.migration_id))
            // Whoever names one is told why it is refused.
            .filter(|record| !self.ids.is_empty() || applies(record))
            .map(|record| record.migration_id.clone())
            .collect();
        ids.sort();
        if ids.is_empty() {
            return Err(CliError::new(
                format!("nothing in the wave {} is waiting for this", clean(wave)),
                "See `landfall watch --wave` for where its migrations stand.",
            ));
        }
        Ok(ids)
    }
}
