//! Waiting for something to become true.

use std::time::{Duration, Instant};

/// How long a test waits for what the stack does in seconds, or a minute later where an event was lost and the schedule comes
/// round; on a machine that is three times slower.
pub const DEADLINE: Duration = Duration::from_mins(3);

/// The pause between two looks: short against a stage, long against a request to the emulator.
const INTERVAL: Duration = Duration::from_millis(250);

/// Looks until there is something to return.
///
/// # Panics
/// After [`DEADLINE`], with what was waited for and what was there instead.
pub async fn poll<T>(what: &str, look: impl AsyncFnMut() -> Result<T, String>) -> T {
    poll_for(DEADLINE, what, look).await
}

/// [`poll`] with a deadline of its own.
///
/// # Panics
/// After the deadline, with what was waited for and what was there instead.
pub async fn poll_for<T>(
    deadline: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let started = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(instead) => assert!(
                started.elapsed() < deadline,
                "{what}: not within {} s; the last look found {instead}",
                deadline.as_secs()
            ),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
