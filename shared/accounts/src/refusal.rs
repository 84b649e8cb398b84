//! Why an account cannot be entered, as the pre-flight tells it and as a later stage fails with it.

use landfall_domain::request::Account;
use landfall_domain::{ErrorName, Finding, StageError};

use crate::Home;

const ROLE: &str = "/account/roleArn";

/// Why an account cannot be entered.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// It is not the deployment's own, and the request names no role to assume there.
    RoleMissing,
    /// The role, or the session it gave, belongs to the account named here.
    WrongAccount(String),
    /// STS refused; its own text.
    NotAssumable(String),
    /// STS could not be asked.
    Failed(StageError),
}

impl Refusal {
    /// What the account block alone shows.
    pub(crate) fn in_request(account: &Account, home: &Home) -> Result<(), Self> {
        match &account.role_arn {
            None if account.id != home.account => Err(Self::RoleMissing),
            None => Ok(()),
            Some(role) => match role.split(':').nth(4) {
                Some(id) if id == account.id => Ok(()),
                other => Err(Self::WrongAccount(other.unwrap_or_default().to_owned())),
            },
        }
    }

    /// The finding; an error that has nothing to do with the request passes through.
    ///
    /// # Errors
    /// STS could not be asked.
    pub fn finding(self, account: &Account) -> Result<Finding, StageError> {
        let role = account.role_arn.as_deref().unwrap_or_default();
        Ok(match self {
            Self::RoleMissing => Finding::blocking(
                "TARGET_ROLE_MISSING",
                ROLE,
                format!(
                    "account {} is not the one Landfall runs in, and no role to assume there is named.",
                    account.id
                ),
            )
            .evidence(account.id.as_str(), "account.roleArn")
            .remedy("Name the role that Landfall may assume in that account in account.roleArn."),
            Self::WrongAccount(found) => Finding::blocking(
                "TARGET_ROLE_WRONG_ACCOUNT",
                ROLE,
                format!(
                    "role {role} belongs to account {found}, and account.id is {}.",
                    account.id
                ),
            )
            .evidence(found, account.id.as_str())
            .remedy("Name a role of the account in account.id, or correct account.id."),
            Self::NotAssumable(said) => Finding::blocking(
                "TARGET_ROLE_NOT_ASSUMABLE",
                ROLE,
                format!("role {role} could not be assumed: {said}."),
            )
            .evidence(role, "a role that trusts this deployment")
            .remedy("Let the role's trust policy name this deployment's roles and the external ID of the request, and list the role in the deployment's target_role_arns."),
            Self::Failed(error) => return Err(error),
        })
    }

    /// The error of a stage after the pre-flight: what was fine then is not any more. A role that STS refuses now may be
    /// let in again in a minute, when whoever changes its trust policy is done: that is worth waiting for.
    pub fn into_error(self, account: &Account) -> StageError {
        let name = if matches!(self, Self::NotAssumable(_)) {
            ErrorName::DependencyUnavailable
        } else {
            ErrorName::PrerequisiteError
        };
        match self.finding(account) {
            Ok(finding) => StageError::new(name, format!("{} {}", finding.message, finding.remedy))
                .findings(vec![finding]),
            Err(error) => error,
        }
    }
}
