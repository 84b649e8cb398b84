//! The soak: how long the target runs before the finalize, and how often it is checked in that time.

/// The most rounds that a soak has: the number of the workflow's transitions must not grow with its length.
pub const MAX_ROUNDS: u32 = 4;

/// After how many rounds of equal length a soak of so many seconds is over. The checks are repeated at the end of each; no
/// round is shorter than a minute, which is how often the sweep looks, but the only one of a shorter soak.
pub fn rounds(soak_seconds: u32) -> u32 {
    (soak_seconds / 60).clamp(1, MAX_ROUNDS)
}

/// How long a round is, in seconds, rounded up.
pub fn round_seconds(soak_seconds: u32) -> u32 {
    soak_seconds.div_ceil(rounds(soak_seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_soak_has_up_to_four_rounds_of_a_minute_at_least() {
        for (soak, wanted) in [
            (1, (1, 1)),
            (59, (1, 59)),
            (119, (1, 119)),
            (120, (2, 60)),
            (241, (4, 61)),
            (604_800, (4, 151_200)),
        ] {
            assert_eq!((rounds(soak), round_seconds(soak)), wanted, "{soak}");
        }
    }
}
