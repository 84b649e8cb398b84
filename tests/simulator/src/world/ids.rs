//! Identifiers as the service mints them: a prefix and seventeen lowercase hexadecimal digits.

use std::cell::RefCell;

use uuid::Uuid;

thread_local! {
    static REPEATED: RefCell<Option<fastrand::Rng>> = const { RefCell::new(None) };
}

/// From now on this thread mints what the seed says, for a run that can be repeated; identifiers are unique within it.
pub fn repeat(seed: u64) {
    REPEATED.set(Some(fastrand::Rng::with_seed(seed)));
}

/// A new identifier, `prefix-` and 17 digits.
pub fn mint(prefix: &str) -> String {
    let repeated = REPEATED.with_borrow_mut(|it| it.as_mut().map(|rng| rng.u128(..)));
    let hex = match repeated {
        Some(number) => format!("{number:032x}"),
        None => Uuid::new_v4().simple().to_string(),
    };
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
    fn a_seed_repeats_what_is_minted() {
        let mint_some = |seed| {
            repeat(seed);
            [mint("s"), mint("s"), mint("i")]
        };
        assert_eq!(mint_some(7), mint_some(7));
        assert_ne!(mint_some(7), mint_some(8));
        assert!(fits("s", &mint("s")));
    }

    #[test]
    fn minted_identifiers_fit_their_own_pattern() {
        for prefix in ["s", "mgnjob", "wave", "i", "lct"] {
            assert!(fits(prefix, &mint(prefix)), "{prefix}");
        }
        assert!(!fits("s", "s-short"));
        assert!(!fits("s", "mgnjob-11111111111111111"));
    }
}
