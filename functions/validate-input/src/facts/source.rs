//! What the source's platform tells.

use landfall_domain::request::Step;
use landfall_domain::{ErrorName, MigrationRequest, WorkflowPlan};
use landfall_external::source::{self, Access, Trouble};

use crate::checks;

/// Looks at what `sourceControl` names, where a step will work on it. That nobody can is a fact too, also where it may
/// pass: nothing else waits for it. Credentials are not even fetched for an endpoint that the deployment does not list.
pub(super) async fn look(
    access: &Access,
    request: &MigrationRequest,
) -> Option<Result<(), Trouble>> {
    // The snapshot, and the power at the end.
    let is_used = request.wants(Step::Freeze) || WorkflowPlan::of(request).switch;
    request.controlled_source().filter(|_| is_used)?;
    if checks::source::check(request, &access.allowed).is_some() {
        return None;
    }
    let looked = source::look(access, request, ErrorName::PrerequisiteError).await;
    if let Err(trouble) = &looked {
        let error = trouble.error();
        tracing::warn!(
            context = error.context,
            "the source cannot be looked at: {error}"
        );
    }
    Some(looked)
}
