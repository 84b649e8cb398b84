//! The AWS account and Region that a migration goes to, and the clients a stage works with there.
//!
//! A request without an `account` goes to the deployment's own account and Region. Any other account is entered by the
//! role that the request names, with its external ID, under a session policy that allows only what the stage does
//! ([`actions`]). Before anything else the session is asked who it is: nothing is changed in an account that is not the
//! one the request means.
#![warn(missing_docs)]

pub mod actions;
mod refusal;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use landfall_common::aws_error::stage_error;
use landfall_domain::request::Account;
use landfall_domain::{ErrorName, StageError, authorization};
use tokio::sync::Mutex;

pub use actions::Actions;
pub use refusal::Refusal;

/// How long a session lasts, in seconds: STS gives no more to a role that assumes another.
const SESSION_SECONDS: i32 = 3_600;
/// A session with less time left than this is renewed: above any function's time-out.
const RENEW_BEFORE: Duration = Duration::from_mins(10);

/// Where a deployment runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// The 12-digit account ID.
    pub account: String,
    /// The Region.
    pub region: String,
}

impl Home {
    /// From the ARN of something of ours: `arn:<partition>:<service>:<region>:<account>:…`. `None` for a text that is
    /// none.
    pub fn of_arn(arn: &str) -> Option<Self> {
        let mut parts = arn.split(':').skip(3);
        let (region, account) = (parts.next()?, parts.next()?);
        (!region.is_empty() && !account.is_empty()).then(|| Self {
            account: account.to_owned(),
            region: region.to_owned(),
        })
    }

    /// Whether an account block means this place without a role: then nothing needs to be assumed.
    pub fn is(&self, account: &Account) -> bool {
        account.role_arn.is_none() && account.id == self.account && account.region == self.region
    }
}

/// The account block, unless it means the deployment's own account and Region: what work is grouped by.
pub fn elsewhere<'a>(account: Option<&'a Account>, function_arn: &str) -> Option<&'a Account> {
    account.filter(|account| !Home::of_arn(function_arn).is_some_and(|home| home.is(account)))
}

/// The lease under which launches are started in the account and Region of a request: whoever holds it knows that no start
/// is under way there. One name per place, whatever role leads into it, for the quotas are the place's.
pub fn launch_lease(account: Option<&Account>, function_arn: &str) -> String {
    let home = Home::of_arn(function_arn);
    match (account, home) {
        (Some(account), _) => format!("LAUNCH#{}#{}", account.id, account.region),
        (None, Some(home)) => format!("LAUNCH#{}#{}", home.account, home.region),
        (None, None) => "LAUNCH".to_owned(),
    }
}

/// The clients of the accounts that a function has worked in. `C` is what the function needs there.
pub struct Accounts<C> {
    /// `None` for a function that works at home only.
    way: Option<Way<C>>,
    sessions: Arc<Mutex<HashMap<Account, Session<C>>>>,
}

/// How a stage gets into an account.
struct Way<C> {
    aws: SdkConfig,
    actions: Actions,
    build: fn(&SdkConfig) -> C,
}

#[derive(Clone)]
struct Session<C> {
    clients: C,
    sts: aws_sdk_sts::Client,
    /// `None` for the deployment's own credentials, which renew themselves.
    ends: Option<SystemTime>,
}

// By hand: a derive would ask the same of `C`.
impl<C> Clone for Way<C> {
    fn clone(&self) -> Self {
        Self {
            aws: self.aws.clone(),
            ..*self
        }
    }
}

impl<C> Clone for Accounts<C> {
    fn clone(&self) -> Self {
        Self {
            way: self.way.clone(),
            sessions: Arc::clone(&self.sessions),
        }
    }
}

impl<C> std::fmt::Debug for Accounts<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The configuration may hold credentials.
        f.debug_struct("Accounts")
            .field(
                "function",
                &self.way.as_ref().map(|way| way.actions.function),
            )
            .finish_non_exhaustive()
    }
}

impl<C: Clone> Accounts<C> {
    /// For a stage; `build` makes its clients from a configuration.
    pub fn new(aws: &SdkConfig, actions: Actions, build: fn(&SdkConfig) -> C) -> Self {
        Self {
            way: Some(Way {
                aws: aws.clone(),
                actions,
                build,
            }),
            sessions: Arc::default(),
        }
    }

    /// For a stage that works at home only, as in tests of what it does there.
    pub fn home_only() -> Self {
        Self {
            way: None,
            sessions: Arc::default(),
        }
    }

    /// The clients for an account; `None` when it is the deployment's own account and Region, for which the stage has
    /// its clients already. `function_arn` is that of the running function, which tells where home is.
    ///
    /// # Errors
    /// Why the account cannot be entered.
    pub async fn clients(
        &self,
        account: Option<&Account>,
        function_arn: &str,
    ) -> Result<Option<C>, Refusal> {
        let Some(account) = account else {
            return Ok(None);
        };
        let home = Home::of_arn(function_arn).ok_or_else(|| {
            Refusal::Failed(StageError::new(
                ErrorName::InternalError,
                "the function's ARN does not tell its account and Region",
            ))
        })?;
        if home.is(account) {
            return Ok(None);
        }
        Refusal::in_request(account, &home)?;
        let Some(way) = &self.way else {
            return Err(Refusal::Failed(StageError::new(
                ErrorName::InternalError,
                "this function was set up without other accounts",
            )));
        };
        // Held while a session is begun: of many messages for one account only the first asks STS.
        let mut sessions = self.sessions.lock().await;
        // The whole block is the key. The same role with another external ID is another request of trust, which only
        // the role's own policy can grant.
        if let Some(session) = sessions.get(account).filter(|session| session.is_fresh()) {
            return Ok(Some(session.clients.clone()));
        }
        let session = way.begin(account).await?;
        let clients = session.clients.clone();
        sessions.insert(account.clone(), session);
        Ok(Some(clients))
    }

    /// [`Accounts::clients`] for a stage after the pre-flight.
    ///
    /// # Errors
    /// `PrerequisiteError` with what to mend, or a transient error.
    pub async fn enter(
        &self,
        account: Option<&Account>,
        function_arn: &str,
    ) -> Result<Option<C>, StageError> {
        match (self.clients(account, function_arn).await, account) {
            (Ok(clients), _) => Ok(clients),
            (Err(refusal), Some(account)) => Err(refusal.into_error(account)),
            (Err(_), None) => Ok(None),
        }
    }

    /// What a stage works with (`own`), in the account of a request: itself at home, elsewhere a copy in which `work_there`
    /// puts the clients of that account.
    ///
    /// # Errors
    /// Those of [`Accounts::enter`].
    pub async fn at<'a, D: Clone>(
        &self,
        own: &'a D,
        account: Option<&Account>,
        function_arn: &str,
        work_there: impl FnOnce(&mut D, C),
    ) -> Result<Cow<'a, D>, StageError> {
        Ok(match self.enter(account, function_arn).await? {
            None => Cow::Borrowed(own),
            Some(clients) => {
                let mut there = own.clone();
                work_there(&mut there, clients);
                Cow::Owned(there)
            }
        })
    }

    /// The text with an encoded authorization failure, where it has one, replaced by what it means. Where it cannot be
    /// decoded (that needs `sts:DecodeAuthorizationMessage`), the reason stands beside it.
    pub async fn explain(&self, account: Option<&Account>, text: String) -> String {
        let Some(encoded) = authorization::encoded(&text) else {
            return text;
        };
        let Some(sts) = self.sts(account).await else {
            return text;
        };
        match sts
            .decode_authorization_message()
            .encoded_message(encoded)
            .send()
            .await
        {
            Ok(answer) => {
                let decoded = answer.decoded_message().unwrap_or_default();
                authorization::with_meaning(&text, &authorization::meaning(decoded))
            }
            Err(error) => {
                let name = ErrorName::PrerequisiteError;
                let error = stage_error(&error, name, "sts:DecodeAuthorizationMessage");
                format!("{text} ({})", error.message)
            }
        }
    }

    /// [`Accounts::explain`] for the message of an error.
    pub async fn explain_error(
        &self,
        account: Option<&Account>,
        mut error: StageError,
    ) -> StageError {
        error.message = self.explain(account, error.message).await;
        error
    }

    /// Only the account that encoded a message can decode it: the session of that account, or home's own.
    async fn sts(&self, account: Option<&Account>) -> Option<aws_sdk_sts::Client> {
        if let Some(account) = account
            && let Some(session) = self.sessions.lock().await.get(account)
        {
            return Some(session.sts.clone());
        }
        self.way
            .as_ref()
            .map(|way| aws_sdk_sts::Client::new(&way.aws))
    }
}

impl<C> Way<C> {
    async fn begin(&self, account: &Account) -> Result<Session<C>, Refusal> {
        let region = Region::new(account.region.clone());
        let there = self.aws.to_builder().region(region).build();
        let Some(role_arn) = &account.role_arn else {
            // Another Region of our own account: our own credentials hold there.
            return Ok(Session {
                clients: (self.build)(&there),
                sts: aws_sdk_sts::Client::new(&there),
                ends: None,
            });
        };
        // At home: STS of a Region that is enabled there alone does not know our own credentials.
        let (credentials, ends) = self.assume(&self.aws, account, role_arn).await?;
        let there = there
            .to_builder()
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build();
        let sts = aws_sdk_sts::Client::new(&there);
        assert_identity(&sts, account).await?;
        tracing::info!(
            targetAccount = account.id,
            targetRegion = account.region,
            "works in another account"
        );
        Ok(Session {
            clients: (self.build)(&there),
            sts,
            ends: Some(ends),
        })
    }

    async fn assume(
        &self,
        home: &SdkConfig,
        account: &Account,
        role_arn: &str,
    ) -> Result<(Credentials, SystemTime), Refusal> {
        let answer = aws_sdk_sts::Client::new(home)
            .assume_role()
            .role_arn(role_arn)
            .role_session_name(format!("landfall-{}", self.actions.function))
            .set_external_id(account.external_id.clone())
            .policy(self.actions.session_policy())
            .duration_seconds(SESSION_SECONDS)
            .send()
            .await
            .map_err(|error| {
                let error = stage_error(&error, ErrorName::PrerequisiteError, "sts:AssumeRole");
                if error.name.is_transient() {
                    Refusal::Failed(error)
                } else {
                    Refusal::NotAssumable(error.message)
                }
            })?;
        let credentials = answer.credentials.ok_or_else(|| {
            Refusal::Failed(StageError::new(
                ErrorName::DependencyUnavailable,
                "sts:AssumeRole answered without credentials",
            ))
        })?;
        let ends = SystemTime::try_from(credentials.expiration).unwrap_or(SystemTime::UNIX_EPOCH);
        let credentials = Credentials::new(
            credentials.access_key_id,
            credentials.secret_access_key,
            Some(credentials.session_token),
            Some(ends),
            "landfall-target-account",
        );
        Ok((credentials, ends))
    }
}

impl<C> Session<C> {
    fn is_fresh(&self) -> bool {
        self.ends
            .is_none_or(|ends| ends > SystemTime::now() + RENEW_BEFORE)
    }
}

/// Refuses a session that is not in the account that was asked for.
async fn assert_identity(sts: &aws_sdk_sts::Client, account: &Account) -> Result<(), Refusal> {
    let identity = sts.get_caller_identity().send().await.map_err(|error| {
        Refusal::Failed(stage_error(
            &error,
            ErrorName::PrerequisiteError,
            "sts:GetCallerIdentity",
        ))
    })?;
    match identity.account() {
        Some(found) if found == account.id => Ok(()),
        found => Err(Refusal::WrongAccount(found.unwrap_or_default().to_owned())),
    }
}

#[cfg(test)]
mod tests;
