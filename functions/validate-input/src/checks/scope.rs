//! What this release does not do: it refuses rather than ignores.

use landfall_domain::Finding;
use landfall_domain::request::MigrationRequest;

/// Refuses what is not built yet.
pub(super) fn check(request: &MigrationRequest) -> Vec<Finding> {
    let mut findings = Vec::new();
    if request.policy.window.is_some() {
        findings.push(
            not_available(
                "/policy/window",
                "cutover windows are not available in this release.",
            )
            .remedy("Leave policy.window out and submit the switch when the window opens."),
        );
    }
    findings
}

fn not_available(pointer: &str, message: &str) -> Finding {
    Finding::blocking("FEATURE_NOT_AVAILABLE", pointer, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::{assert_helpful, request};
    use serde_json::{Value, json};

    #[test]
    fn what_is_not_built_is_refused() {
        let table: [(Value, &[&str]); 2] = [
            (json!({}), &[]),
            (
                json!({"policy": {"window": {"start": "x"}}}),
                &["/policy/window"],
            ),
        ];
        for (changes, expected) in table {
            let findings = check(&request(changes.clone()));
            assert_helpful(&findings);
            assert!(findings.iter().all(|f| f.code == "FEATURE_NOT_AVAILABLE"));
            let pointers: Vec<&str> = findings.iter().map(|f| f.pointer.as_str()).collect();
            assert_eq!(pointers, expected, "{changes}");
        }
    }
}
