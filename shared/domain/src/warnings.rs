//! What went wrong beside a migration: kept in its record, and told with its next events.

use serde_json::Value;

use crate::finding::Finding;
use crate::record::Done;

impl Done {
    /// Adds a warning, once.
    pub fn warn(&mut self, finding: Finding) {
        if !self.warnings.contains(&finding) {
            self.warnings.push(finding);
        }
    }

    /// Evidence of an event, with the warnings as its `findings` where there are any.
    #[must_use]
    pub fn with_warnings(&self, mut evidence: Value) -> Value {
        if !self.warnings.is_empty() {
            evidence["findings"] = serde_json::json!(self.warnings);
        }
        evidence
    }

    /// Replaces what Cloud Migration Factory's records gave to say.
    pub fn tell_of_cmf(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.warnings
            .retain(|finding| !crate::cmf::is_about(finding));
        self.warnings.extend(findings);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_kept_once_and_those_of_cmf_are_replaced() {
        let warning = |code: &str| Finding::warning(code, "", "text");
        let mut done = Done::default();
        let evidence = serde_json::json!({"steps": []});
        assert_eq!(done.with_warnings(evidence.clone()), evidence);
        done.warn(warning("OTHER"));
        done.warn(warning("CMF_WAVE_NOT_FOUND"));
        done.warn(warning("OTHER"));
        done.tell_of_cmf([warning("CMF_UNREACHABLE")]);
        let codes: Vec<&str> = done.warnings.iter().map(|it| it.code.as_str()).collect();
        assert_eq!(codes, ["OTHER", "CMF_UNREACHABLE"]);
        let told = done.with_warnings(evidence);
        assert_eq!(told["findings"][1]["code"], "CMF_UNREACHABLE");
        done.tell_of_cmf([]);
        assert_eq!(done.warnings, [warning("OTHER")]);
    }
}
