//! The launch settings that the request wants, by themselves and against what the server's disks can become.

use landfall_domain::request::MigrationRequest;
use landfall_domain::{Finding, launch};
use landfall_launch::Key;

use crate::facts::TargetFacts;

/// Checks the disks; against the server's own once MGN has it.
pub(super) fn check(request: &MigrationRequest, facts: &TargetFacts) -> Vec<Finding> {
    let Some(present) = &facts.launch else {
        return launch::check_disks(request);
    };
    let key = match &facts.key {
        Some(Key::Usable(arn)) => Some(arn.as_str()),
        _ => None,
    };
    present.wanted(request, key).err().unwrap_or_default()
}
