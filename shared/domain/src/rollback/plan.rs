//! The plan: what was done, in the order in which it must be undone.

use super::{Compensation, Estimates, Risk, RollbackPlan, Step};
use crate::finalize::State;
use crate::record::{Done, LaunchAction, MigrationRecord};
use crate::status::Status;
use crate::{finalize, health};

/// Computes the plan. Only what the record says was done is undone. Users come back to the source first, then the records
/// of others and the target follow: a target must not go while somebody still works on it.
pub fn plan(record: &MigrationRecord, estimates: &Estimates) -> RollbackPlan {
    let done = &record.done;
    let mut plan = Draft {
        plan: RollbackPlan::default(),
        estimates,
        moved: done.source_powered_off_at.is_some() || !done.dns.is_empty(),
    };
    if let Some(at) = &done.finalized_at {
        plan.plan.irreversible.push(format!(
            "MGN FinalizeCutover at {at}: replication has ended; going back means a new agent and a full sync, and \
             what users wrote on the target since the cutover is not on the source"
        ));
    }
    let decommission = done.decommission.as_ref();
    if let Some(gone) = decommission.filter(|it| it.state == State::Done) {
        plan.plan.irreversible.push(format!(
            "the source was deleted from its platform at {}: the users, the names and the records of others stay with the \
             target",
            gone.at
        ));
        plan.plan.kept.push("the target instance".to_owned());
        return plan.finish();
    }
    let users = users_back(&mut plan, record);
    if done.cmdb_previous.is_some() {
        plan.add(Compensation::RestoreCmdb, &users);
    }
    // After FinalizeCutover the lifecycle is CUTOVER for good, and the target may be all that is left: keep it.
    if done.finalized_at.is_none() {
        let gone = target_away(&mut plan, record, &users);
        if record.request.policy.rollback.stops_replication() && record.source_server_id.is_some() {
            // Last: MGN deletes the launch template with the connection.
            plan.add(Compensation::StopReplication, &gone);
        }
    } else {
        plan.plan.kept.push("the target instance".to_owned());
    }
    if let Some(before) = &done.cmf {
        let before = before.clone();
        plan.add(Compensation::RestoreCmf { before }, &users);
    }
    kept(&mut plan.plan, record);
    let planned = &mut plan.plan.compensations;
    if planned
        .iter()
        .all(|step| step.compensation == Compensation::CheckSource)
    {
        // A look that nothing comes after undoes nothing.
        planned.clear();
    }
    plan.finish()
}

/// The users work on the source again: what everything else comes after.
fn users_back(plan: &mut Draft<'_>, record: &MigrationRecord) -> Vec<String> {
    let done = &record.done;
    let mut before = Vec::new();
    if done.source_powered_off_at.is_some() {
        before = vec![plan.add(Compensation::PowerOnSource, &[])];
    } else if may_be_off(record) && can_be_asked(record) {
        before = vec![plan.add(Compensation::CheckSource, &[])];
    }
    // Finalize says at its beginning that it leaves the power to a person, and notes it when it has come so far.
    let told = finalize::note(done, finalize::Step::SourcePowerOff).is_some()
        || record.stage() == Status::Finalizing;
    let left = done.source_powered_off_at.is_none() && record.request.controlled_source().is_none();
    if told && left {
        plan.plan.kept.push(format!(
            "the power of the source {}, which is left to a person: power it on if it was powered off",
            record.request.source_vm_id
        ));
    }
    if done.dns.is_empty() {
        return before;
    }
    let names: Vec<String> = done
        .dns
        .iter()
        .rev()
        .map(|change| {
            let change = change.clone();
            plan.add(Compensation::RestoreDns { change }, &before)
        })
        .collect();
    vec![plan.add(Compensation::CheckTraffic, &names)]
}

/// Whether somebody else may have powered the source off because users were moved: finalize has begun, or changed names.
fn may_be_off(record: &MigrationRecord) -> bool {
    let done = &record.done;
    !done.dns.is_empty() || !done.finalize.is_empty() || record.stage() == Status::Finalizing
}

/// Whether anything can say that the source runs: its platform, or a check that it passed before the cutover.
fn can_be_asked(record: &MigrationRecord) -> bool {
    let request = &record.request;
    let mut asked = health::on_source_again(&request.health_checks, &record.done);
    request.controlled_source().is_some() || asked.next().is_some()
}

/// The target goes, and what it was launched with is as before; gives what the end of the replication comes after.
fn target_away(plan: &mut Draft<'_>, record: &MigrationRecord, users: &[String]) -> Vec<String> {
    let done = &record.done;
    // The cutover's launch removed the test's instance, so only the latest launch has one.
    let cutover = done.cutover.as_ref();
    let cutover = cutover.map(|launch| (LaunchAction::Cutover, launch));
    let latest = cutover.or_else(|| {
        let test = done.test.as_ref();
        test.map(|launch| (LaunchAction::Test, launch))
    });
    let ready_for = latest.map(|(action, _)| action);
    // Without a launch there may still be a server that was made ready for its cutover untested.
    let moved = done.moved_to_cutover.then_some(LaunchAction::Cutover);
    let mut last = users.to_vec();
    if let Some(action) = ready_for.or(moved) {
        let to = lifecycle_before(done, action).to_owned();
        last = vec![plan.add(Compensation::RevertLifecycle { action, to }, &last)];
    }
    // A launch that is under way is let end by the one before: until then MGN reads these settings.
    let reverted = last.clone();
    if let Some((action, launch)) = latest {
        let job_id = launch.job_id.clone();
        last = vec![plan.add(Compensation::TerminateTarget { action, job_id }, &last)];
    }
    let mut settings = reverted;
    let mut next = |plan: &mut Draft<'_>, compensation| {
        settings = vec![plan.add(compensation, &settings)];
        settings.clone()
    };
    let mut all = last;
    if let Some(method) = &done.right_sizing {
        let method = method.clone();
        all.extend(next(plan, Compensation::RestoreRightSizing { method }));
    }
    if done.copied_private_ip {
        all.extend(next(plan, Compensation::RestoreCopyPrivateIp));
    }
    if let Some(change) = &done.launch_template {
        let change = change.clone();
        all.extend(next(plan, Compensation::RestoreLaunchTemplate { change }));
    }
    all
}

fn kept(plan: &mut RollbackPlan, record: &MigrationRecord) {
    let done = &record.done;
    let kept = &mut plan.kept;
    if let Some(asked) = &done.decommission {
        // Nobody has seen it gone.
        kept.push(format!(
            "the deletion of the source {}, which was asked for at {}: see whether the machine is there",
            record.request.source_vm_id, asked.at
        ));
    }
    if let Some(wave) = &done.cmf_wave {
        // Others of its servers may be under way, or even done: whether it has begun is no longer this migration's to say.
        kept.push(format!(
            "the status of the wave {} in Cloud Migration Factory, which was {:?}",
            wave.id, wave.previous
        ));
    }
    // FinalizeCutover has ended the replication.
    let replicates = done.agent_command.is_some() && done.finalized_at.is_none();
    if replicates && !record.request.policy.rollback.stops_replication() {
        kept.push(
            "the replication agent, so that a resubmission needs no new full sync".to_owned(),
        );
    }
    if let Some(change) = &done.encryption_key {
        let before = change
            .previous
            .as_deref()
            .unwrap_or("the account's default key for EBS");
        kept.push(format!(
            "the replication's encryption key {}: with {before} again MGN would copy every disk once more",
            change.key
        ));
    }
    if let Some(snapshot) = &done.snapshot {
        kept.push(format!("the source snapshot {snapshot}"));
    }
}

/// The MGN lifecycle that a launch, or the move before it, began from.
fn lifecycle_before(done: &Done, action: LaunchAction) -> &'static str {
    let tested = done
        .test
        .as_ref()
        .is_some_and(|test| test.verified_at.is_some());
    match action {
        LaunchAction::Cutover if tested && !done.moved_to_cutover => "READY_FOR_CUTOVER",
        LaunchAction::Cutover | LaunchAction::Test => "READY_FOR_TEST",
    }
}

/// A plan in the making.
struct Draft<'a> {
    plan: RollbackPlan,
    estimates: &'a Estimates,
    /// Whether users may have worked on the target.
    moved: bool,
}

impl Draft<'_> {
    /// Adds a compensation after others; gives its ID.
    fn add(&mut self, compensation: Compensation, after: &[String]) -> String {
        let id = compensation.id();
        self.plan.compensations.push(Step {
            id: id.clone(),
            after: after.to_vec(),
            risk: self.risk(&compensation),
            estimate_seconds: self.estimates.of(&compensation),
            verification: compensation.verification().to_owned(),
            compensation,
        });
        id
    }

    fn risk(&self, compensation: &Compensation) -> Risk {
        match compensation {
            // What was written on the target since the names changed stays there.
            Compensation::RestoreDns { .. } => Risk::High,
            Compensation::TerminateTarget {
                action: LaunchAction::Cutover,
                ..
            } => {
                if self.moved {
                    Risk::High
                } else {
                    Risk::Medium
                }
            }
            Compensation::PowerOnSource | Compensation::StopReplication => Risk::Medium,
            Compensation::CheckSource
            | Compensation::CheckTraffic
            | Compensation::RestoreCmdb
            | Compensation::RevertLifecycle { .. }
            | Compensation::TerminateTarget { .. }
            | Compensation::RestoreRightSizing { .. }
            | Compensation::RestoreCopyPrivateIp
            | Compensation::RestoreLaunchTemplate { .. }
            | Compensation::RestoreCmf { .. } => Risk::Low,
        }
    }

    /// The plan, with the length of its longest road.
    fn finish(mut self) -> RollbackPlan {
        let mut ends: Vec<(&str, u32)> = Vec::new();
        for step in &self.plan.compensations {
            let begin = ends
                .iter()
                .filter(|(id, _)| step.after.iter().any(|before| before == id))
                .map(|(_, end)| *end)
                .max();
            let end = begin.unwrap_or(0).saturating_add(step.estimate_seconds);
            ends.push((&step.id, end));
        }
        let longest = ends.iter().map(|(_, end)| *end).max().unwrap_or(0);
        self.plan.estimate_seconds = longest;
        self.plan
    }
}
