//! What the migration's roles may do, as IAM simulates it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_iam::Client;
use aws_sdk_iam::operation::simulate_principal_policy::SimulatePrincipalPolicyError;
use aws_sdk_iam::types::{
    ContextEntry, ContextKeyTypeEnum, EvaluationResult, PolicyEvaluationDecisionType,
};
use jiff::{SignedDuration, Timestamp};
use landfall_common::aws_error::stage_error;
use landfall_domain::{ErrorName, StageError};

use crate::needs::Need;

/// How long an answer is used again: a wave asks the same for each of its servers, and IAM allows few simulations.
const KEPT: SignedDuration = SignedDuration::from_mins(10);

/// How many answers are kept at most: more than a wave has subnets and groups.
const MOST_KEPT: usize = 1_000;

/// Something that a role may not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The role.
    pub principal: String,
    /// For example `ec2:RunInstances`.
    pub action: String,
    /// The resource's ARN.
    pub resource: String,
    /// Why, in IAM's words: `implicitDeny`, `explicitDeny`, and whether an organization's policy is the reason.
    pub decision: String,
    /// Whether the answer hangs on values that only the real call has.
    pub uncertain: bool,
}

/// What the simulation says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// What may not be done.
    pub denied: Vec<Denied>,
    /// Why some could not be simulated.
    pub unproven: Option<String>,
}

/// Answers that are kept: when each need of a role was last found to be allowed.
#[derive(Clone, Debug, Default)]
pub struct Proofs(Arc<Mutex<HashMap<(String, Need), Timestamp>>>);

/// Simulates every need of its role, concurrently.
pub(super) async fn prove(
    iam: &Client,
    kept: &Proofs,
    needs: Vec<(String, Need)>,
    now: Timestamp,
) -> Result<Proof, StageError> {
    let asked = needs.into_iter().map(|need| one(iam, kept, need, now));
    let mut proof = Proof::default();
    for answer in futures_util::future::join_all(asked).await {
        match answer {
            Ok(denied) => proof.denied.extend(denied),
            // A simulation proves or fails to; it never holds up what it was to prove.
            Err(error) => {
                proof.unproven.get_or_insert(error.message);
            }
        }
    }
    proof
        .denied
        .sort_by(|a, b| (&a.action, &a.resource).cmp(&(&b.action, &b.resource)));
    proof.denied.dedup();
    Ok(proof)
}

async fn one(
    iam: &Client,
    kept: &Proofs,
    (principal, need): (String, Need),
    now: Timestamp,
) -> Result<Vec<Denied>, StageError> {
    let key = (principal, need);
    {
        let kept = kept.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept
            .get(&key)
            .is_some_and(|at| now.duration_since(*at) < KEPT)
        {
            return Ok(Vec::new());
        }
    }
    let denied = simulate(iam, &key.0, &key.1).await?;
    // What is denied is asked for again: somebody mends it now.
    if denied.is_empty() {
        let mut kept = kept.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST_KEPT {
            kept.clear();
        }
        kept.insert(key, now);
    }
    Ok(denied)
}

async fn simulate(iam: &Client, principal: &str, need: &Need) -> Result<Vec<Denied>, StageError> {
    let context = need.context.iter().map(|(name, value)| {
        let kind = if matches!(*value, "true" | "false") {
            ContextKeyTypeEnum::Boolean
        } else {
            ContextKeyTypeEnum::String
        };
        ContextEntry::builder()
            .context_key_name(*name)
            .context_key_values(*value)
            .context_key_type(kind)
            .build()
    });
    let mut items = iam
        .simulate_principal_policy()
        .policy_source_arn(principal)
        .set_action_names(Some(
            need.actions.iter().map(|it| (*it).to_owned()).collect(),
        ))
        .set_resource_arns(Some(need.resources.clone()))
        .set_context_entries(Some(context.collect()))
        .into_paginator()
        .items()
        .send();
    let mut denied = Vec::new();
    while let Some(item) = items.next().await {
        let item = item.map_err(|error| {
            let what = format!("iam:SimulatePrincipalPolicy of {principal}");
            let missing = error
                .as_service_error()
                .is_some_and(SimulatePrincipalPolicyError::is_no_such_entity_exception);
            let error = stage_error(&error, ErrorName::PrerequisiteError, &what);
            if missing {
                StageError::new(error.name, format!("there is no role {principal}"))
            } else {
                error
            }
        })?;
        denied.extend(denials(principal, &item));
    }
    Ok(denied)
}

fn denials(principal: &str, result: &EvaluationResult) -> Vec<Denied> {
    let allowed = PolicyEvaluationDecisionType::Allowed;
    let of = |resource: Option<&str>, decision: &str, missing: &[String]| {
        let because = match result.organizations_decision_detail() {
            Some(detail) if !detail.allowed_by_organizations() => {
                " (a policy of the organization does not allow it)"
            }
            _ => match result.permissions_boundary_decision_detail() {
                Some(detail) if !detail.allowed_by_permissions_boundary() => {
                    " (the permissions boundary does not allow it)"
                }
                _ => "",
            },
        };
        Denied {
            principal: principal.to_owned(),
            action: result.eval_action_name().to_owned(),
            resource: resource.unwrap_or("*").to_owned(),
            decision: format!("{decision}{because}"),
            uncertain: !missing.is_empty(),
        }
    };
    let each = result.resource_specific_results();
    if each.is_empty() {
        let decision = result.eval_decision();
        return (*decision != allowed)
            .then(|| {
                of(
                    result.eval_resource_name(),
                    decision.as_str(),
                    result.missing_context_values(),
                )
            })
            .into_iter()
            .collect();
    }
    each.iter()
        .filter(|each| *each.eval_resource_decision() != allowed)
        .map(|each| {
            of(
                Some(each.eval_resource_name()),
                each.eval_resource_decision().as_str(),
                each.missing_context_values(),
            )
        })
        .collect()
}
