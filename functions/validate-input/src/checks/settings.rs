//! The launch settings that the request wants, against what the server's disks can become.

use landfall_domain::Finding;
use landfall_domain::request::MigrationRequest;
use landfall_launch::Key;

use crate::facts::TargetFacts;

/// Checks what is known once MGN has the server.
pub(super) fn check(request: &MigrationRequest, facts: &TargetFacts) -> Vec<Finding> {
    let Some(present) = &facts.launch else {
        return Vec::new();
    };
    let key = match &facts.key {
        Some(Key::Usable(arn)) => Some(arn.as_str()),
        _ => None,
    };
    present.wanted(request, key).err().unwrap_or_default()
}
