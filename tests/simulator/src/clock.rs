//! Simulated time: a wall clock with a factor.
//!
//! Deadlines are instants of simulated time. What the API shows is, by default, the wall-clock instant at
//! which a thing happened, because clients compare those stamps with their own clocks (job filters, the
//! age of a snapshot); the switch `timestamps=simulated` shows simulated instants instead.

use jiff::{SignedDuration, Timestamp};

/// A stretch of time during which the scale did not change.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    wall: Timestamp,
    simulated: Timestamp,
    scale: f64,
}

/// The clock of one simulated world.
#[derive(Debug, Clone)]
pub struct Clock {
    stretches: Vec<Stretch>,
}

impl Clock {
    /// A clock that starts at the wall's time and runs `scale` simulated seconds per real second.
    pub fn new(wall: Timestamp, scale: f64) -> Self {
        Self {
            stretches: vec![Stretch {
                wall,
                simulated: wall,
                scale,
            }],
        }
    }

    /// Simulated seconds per real second.
    pub fn scale(&self) -> f64 {
        self.last().scale
    }

    /// The simulated instant that belongs to a wall-clock instant.
    pub fn simulated(&self, wall: Timestamp) -> Timestamp {
        let at = self.last();
        at.simulated + scaled(wall.duration_since(at.wall), at.scale)
    }

    /// The wall-clock instant at which a simulated instant was reached (or will be, at the present scale).
    pub fn wall(&self, simulated: Timestamp) -> Timestamp {
        let at = self
            .stretches
            .iter()
            .rev()
            .find(|s| s.simulated <= simulated)
            .unwrap_or(&self.stretches[0]);
        at.wall + scaled(simulated.duration_since(at.simulated), 1.0 / at.scale)
    }

    /// Changes the scale from now on; what has passed keeps its stamps.
    pub fn rescale(&mut self, wall: Timestamp, scale: f64) {
        let simulated = self.simulated(wall);
        self.stretches.push(Stretch {
            wall,
            simulated,
            scale,
        });
    }

    /// Jumps forward, as if that much simulated time had passed in no time.
    pub fn skip(&mut self, wall: Timestamp, by: SignedDuration) {
        let scale = self.scale();
        let simulated = self.simulated(wall) + by;
        self.stretches.push(Stretch {
            wall,
            simulated,
            scale,
        });
    }

    fn last(&self) -> Stretch {
        self.stretches[self.stretches.len() - 1]
    }
}

fn scaled(duration: SignedDuration, factor: f64) -> SignedDuration {
    SignedDuration::try_from_secs_f64(duration.as_secs_f64() * factor)
        .unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_minute_of_wall_time_is_an_hour_at_scale_sixty() {
        let clock = Clock::new(at("2026-01-01T00:00:00Z"), 60.0);
        assert_eq!(
            clock.simulated(at("2026-01-01T00:01:00Z")),
            at("2026-01-01T01:00:00Z")
        );
        assert_eq!(
            clock.wall(at("2026-01-01T01:00:00Z")),
            at("2026-01-01T00:01:00Z")
        );
    }

    #[test]
    fn rescaling_keeps_the_stamps_of_what_has_passed() {
        let mut clock = Clock::new(at("2026-01-01T00:00:00Z"), 60.0);
        let event = clock.simulated(at("2026-01-01T00:00:30Z"));
        clock.rescale(at("2026-01-01T00:01:00Z"), 600.0);
        assert_eq!(clock.wall(event), at("2026-01-01T00:00:30Z"));
        assert_eq!(
            clock.simulated(at("2026-01-01T00:01:06Z")),
            at("2026-01-01T02:00:00Z")
        );
    }

    #[test]
    fn skipping_reaches_a_deadline_at_once() {
        let mut clock = Clock::new(at("2026-01-01T00:00:00Z"), 1.0);
        clock.skip(at("2026-01-01T00:00:05Z"), SignedDuration::from_hours(2));
        assert_eq!(
            clock.simulated(at("2026-01-01T00:00:06Z")),
            at("2026-01-01T02:00:06Z")
        );
        assert_eq!(
            clock.wall(at("2026-01-01T00:00:03Z")),
            at("2026-01-01T00:00:03Z")
        );
    }
}
