//! IAM's policy simulation: the policies are the role's own, read from `MiniStack`; the rest of IAM is `MiniStack`'s.
//!
//! By the API reference of `SimulatePrincipalPolicy` and `EvaluationResult`. Roles only, without permissions boundary
//! and service control policies.

mod condition;
mod pattern;
mod policy;
mod request;

use std::fmt::Write;

use aws_sdk_iam::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use uuid::Uuid;

use crate::ec2_proxy::escaped;
use crate::error::{ApiError, ApiResult};
use crate::ministack::Ministack;
use crate::world::place::Place;
use policy::{Decision, Outcome, Policy, evaluate};
use request::{Form, Request};

const NAMESPACE: &str = "https://iam.amazonaws.com/doc/2010-05-08/";

/// Answers `SimulatePrincipalPolicy`. With `each`, one result per action and resource, as formerly.
pub(crate) async fn simulate(
    ministack: Option<&Ministack>,
    place: &Place,
    form: &Form,
    each: bool,
) -> ApiResult<String> {
    let request = Request::read(form)?;
    let role = role_name(&request.principal, &place.account)?;
    let Some(ministack) = ministack else {
        let why = "The simulator was started without --ministack-url.";
        return Err(ApiError::new("ServiceFailure", 500, why));
    };
    let mut policies = policies_of(ministack, role).await?;
    for (number, document) in request.policies.iter().enumerate() {
        let id = format!("PolicyInputList.{}", number + 1);
        policies.push(Policy::read(&id, "none", document).map_err(invalid)?);
    }
    Ok(response(&request, &policies, each))
}

fn invalid(message: String) -> ApiError {
    ApiError::new("InvalidInput", 400, message)
}

/// The name in a role's ARN, if the role is one of the account.
fn role_name<'a>(arn: &'a str, account: &str) -> ApiResult<&'a str> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [_, _, "iam", "", owner, resource] = parts[..] else {
        return Err(invalid(format!(
            "{arn} does not clearly define entity type and name."
        )));
    };
    let Some(path) = resource.strip_prefix("role/") else {
        return Err(invalid(format!(
            "{arn}: only the policies of roles are simulated here."
        )));
    };
    let name = path.rsplit('/').next().unwrap_or(path);
    if owner == account {
        Ok(name)
    } else {
        Err(unknown_role(name))
    }
}

fn unknown_role(name: &str) -> ApiError {
    let message = format!("The role with name {name} cannot be found.");
    ApiError::new("NoSuchEntity", 404, message)
}

/// Every policy of a role: those within it, and those attached to it in their default versions.
async fn policies_of(ministack: &Ministack, role: &str) -> ApiResult<Vec<Policy>> {
    let iam = &ministack.iam;
    let mut policies = Vec::new();
    let mut names = iam
        .list_role_policies()
        .role_name(role)
        .into_paginator()
        .items()
        .send();
    while let Some(name) = names.next().await {
        let name = name.map_err(|e| failure(&e, role))?;
        let call = iam.get_role_policy().role_name(role).policy_name(&name);
        let answer = call.send().await.map_err(|e| failure(&e, role))?;
        policies.push(read(&name, "role", answer.policy_document())?);
    }
    let mut attached = iam
        .list_attached_role_policies()
        .role_name(role)
        .into_paginator()
        .items()
        .send();
    while let Some(policy) = attached.next().await {
        let policy = policy.map_err(|e| failure(&e, role))?;
        let arn = policy.policy_arn().unwrap_or_default();
        let about = iam.get_policy().policy_arn(arn).send().await;
        let about = about.map_err(|e| failure(&e, role))?;
        let version = about.policy().and_then(|p| p.default_version_id());
        let call = iam
            .get_policy_version()
            .policy_arn(arn)
            .version_id(version.unwrap_or("v1"));
        let answer = call.send().await.map_err(|e| failure(&e, role))?;
        let document = answer.policy_version().and_then(|v| v.document());
        let kind = if arn.contains("::aws:policy/") {
            "aws-managed"
        } else {
            "user-managed"
        };
        let name = policy.policy_name().unwrap_or(arn);
        policies.push(read(name, kind, document.unwrap_or_default())?);
    }
    Ok(policies)
}

/// IAM gives documents percent-encoded.
fn read(name: &str, kind: &'static str, document: &str) -> ApiResult<Policy> {
    let document = percent_encoding::percent_decode_str(document).decode_utf8_lossy();
    Policy::read(name, kind, &document)
        .map_err(|message| ApiError::new("PolicyEvaluation", 500, message))
}

fn failure<E>(error: &SdkError<E>, role: &str) -> ApiError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    if error.code() == Some("NoSuchEntity") {
        return unknown_role(role);
    }
    let why = format!("MiniStack: {}", DisplayErrorContext(error));
    ApiError::new("ServiceFailure", 500, why)
}

/// The answer, of which a page is given.
fn response(request: &Request, policies: &[Policy], each: bool) -> String {
    let mut results = Vec::new();
    for action in &request.actions {
        let resources: Vec<(&str, Outcome<'_>)> = request
            .resources
            .iter()
            .map(|resource| {
                let outcome = evaluate(policies, action, resource, &request.context);
                (resource.as_str(), outcome)
            })
            .collect();
        if each {
            let single = resources.iter().map(|one| {
                let only = std::slice::from_ref(one);
                result(action, one.0, only, "")
            });
            results.extend(single);
        } else {
            // The name is that of a kind of resource, not of one that was asked for.
            let specific = if request.resources == ["*"] {
                String::new()
            } else {
                specific(&resources)
            };
            results.push(result(action, "*", &resources, &specific));
        }
    }
    let page = results
        .iter()
        .skip(request.from)
        .take(request.size)
        .fold(String::new(), |page, result| page + result);
    let next = request.from + request.size;
    let more = if next < results.len() {
        format!("<IsTruncated>true</IsTruncated><Marker>{next}</Marker>")
    } else {
        "<IsTruncated>false</IsTruncated>".to_owned()
    };
    format!(
        "<SimulatePrincipalPolicyResponse xmlns=\"{NAMESPACE}\"><SimulatePrincipalPolicyResult>\
         <EvaluationResults>{page}</EvaluationResults>{more}</SimulatePrincipalPolicyResult>\
         <ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata></SimulatePrincipalPolicyResponse>",
        Uuid::new_v4()
    )
}

/// One result for several resources: the most restrictive decision, with the statements that led to it.
fn result(
    action: &str,
    resource: &str,
    outcomes: &[(&str, Outcome<'_>)],
    specific: &str,
) -> String {
    let decisions = outcomes.iter().map(|(_, outcome)| outcome.decision);
    let decision = decisions.max().unwrap_or(Decision::ImplicitDeny);
    let deciding = outcomes.iter().filter(|(_, o)| o.decision == decision);
    let matched: Vec<_> = deciding.flat_map(|(_, o)| o.matched.clone()).collect();
    let mut missing: Vec<&str> = outcomes
        .iter()
        .flat_map(|(_, o)| o.missing.iter().map(String::as_str))
        .collect();
    missing.sort_unstable();
    missing.dedup();
    format!(
        "<member><EvalActionName>{}</EvalActionName><EvalResourceName>{}</EvalResourceName>\
         <EvalDecision>{}</EvalDecision>{}{}{specific}</member>",
        escaped(action),
        escaped(resource),
        decision.name(),
        statements(&matched),
        context_keys(missing),
    )
}

fn specific(outcomes: &[(&str, Outcome<'_>)]) -> String {
    let mut members = String::new();
    for (resource, outcome) in outcomes {
        let _ = write!(
            members,
            "<member><EvalResourceName>{}</EvalResourceName><EvalResourceDecision>{}</EvalResourceDecision>{}{}</member>",
            escaped(resource),
            outcome.decision.name(),
            statements(&outcome.matched),
            context_keys(outcome.missing.iter().map(String::as_str)),
        );
    }
    format!("<ResourceSpecificResults>{members}</ResourceSpecificResults>")
}

fn statements(matched: &[&Policy]) -> String {
    let mut members = String::new();
    for policy in matched {
        let _ = write!(
            members,
            "<member><SourcePolicyId>{}</SourcePolicyId><SourcePolicyType>{}</SourcePolicyType></member>",
            escaped(&policy.id),
            policy.kind,
        );
    }
    format!("<MatchedStatements>{members}</MatchedStatements>")
}

fn context_keys<'a>(keys: impl IntoIterator<Item = &'a str>) -> String {
    let mut members = String::new();
    for key in keys {
        let _ = write!(members, "<member>{}</member>", escaped(key));
    }
    format!("<MissingContextValues>{members}</MissingContextValues>")
}

/// A refusal in IAM's XML.
pub(crate) fn error(code: &str, status: u16, message: &str) -> String {
    let kind = if status < 500 { "Sender" } else { "Receiver" };
    format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{kind}</Type><Code>{code}</Code><Message>{}</Message></Error>\
         <RequestId>{}</RequestId></ErrorResponse>",
        escaped(message),
        Uuid::new_v4()
    )
}
