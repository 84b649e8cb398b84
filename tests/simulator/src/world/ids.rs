//! Identifiers as the service mints them: a prefix and seventeen lowercase hexadecimal digits.

use uuid::Uuid;

/// A new identifier, `prefix-` and 17 digits.
pub fn mint(prefix: &str) -> String {
    let hex = Uuid::new_v4().simple().to_string();
    // The first 17 digits hold the version nibble (always 4); the tail is fully random.
    format!("{prefix}-{}", &hex[15..])
}

/// Whether a text is `prefix-` and 17 letters or digits.
pub fn fits(prefix: &str, text: &str) -> bool {
    text.strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('-'))
        .is_some_and(|rest| rest.len() == 17 && rest.bytes().all(|b| b.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minted_identifiers_fit_their_own_pattern() {
        for prefix in ["s", "mgnjob", "wave", "i", "lct"] {
            assert!(fits(prefix, &mint(prefix)), "{prefix}");
        }
        assert!(!fits("s", "s-short"));
        assert!(!fits("s", "mgnjob-11111111111111111"));
    }
}
