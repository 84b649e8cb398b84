//! Where the callback would go.

use landfall_domain::MigrationRequest;
use landfall_domain::webhook::Forbidden;
use landfall_external::outbound::{Guard, Stopped};

/// What the guard has against the callback's URL. A name that does not resolve now may do so when the migration ends:
/// that is nothing against it.
pub(super) async fn look(guard: &Guard, request: &MigrationRequest) -> Option<Forbidden> {
    match guard.admit(request.callback_url.as_deref()?).await {
        Err(Stopped::Forbidden(forbidden)) => Some(forbidden),
        Err(Stopped::Unresolved(_)) | Ok(_) => None,
    }
}
