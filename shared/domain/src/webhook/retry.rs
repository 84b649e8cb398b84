//! When a message that did not go through is tried again, and what a receiver's answer means for that.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;

/// The number of the last try, counted from 0. With the pauses of [`pause`] the tries spread over about six hours: a
/// receiver that is down for an evening gets its messages by itself, and a message that nobody takes does not hold its
/// workflow for days.
pub const LAST_TRY: u32 = 20;

/// The longest pause, in seconds, whatever a receiver asks for: who asks for longer is asked again then.
pub const LONGEST_PAUSE: u32 = 3600;

/// The span from which the pause after the first try is drawn, in seconds; it doubles with each try.
const FIRST_SPAN: u32 = 10;

/// What a receiver's status means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It took the message.
    Taken,
    /// It may take it later.
    Later,
    /// It never will; why, in words.
    Never(&'static str),
}

/// Reads a status. 2xx takes the message; 408, 409, 425, 429 and 5xx may pass; 410 is the specification's word for a
/// receiver that wants nothing any more; a redirect is not followed, and any other answer will be the same next time.
pub const fn judge(status: u16) -> Answer {
    match status {
        200..=299 => Answer::Taken,
        408 | 409 | 425 | 429 | 500..=599 => Answer::Later,
        410 => Answer::Never("which says that it wants no more messages"),
        300..=399 => Answer::Never("and redirects are not followed"),
        _ => Answer::Never("which another try would not change"),
    }
}

/// How many seconds to wait after a try that failed, or nothing after the last one. `tries` counts those before it.
/// Drawn evenly from a span that doubles up to an hour (full jitter: receivers that come back meet their messages one
/// by one), and after what the receiver asked for, up to [`LONGEST_PAUSE`]. `random` is any number.
pub fn pause(tries: u32, asked: Option<u32>, random: u64) -> Option<u32> {
    if tries >= LAST_TRY {
        return None;
    }
    let factor = 1_u32.checked_shl(tries).unwrap_or(u32::MAX);
    let span = FIRST_SPAN.saturating_mul(factor).min(LONGEST_PAUSE);
    let drawn = |span: u32| {
        let below = random % u64::from(span);
        u32::try_from(below).unwrap_or_default() + 1
    };
    Some(match asked {
        None => drawn(span),
        // Not all at the same second.
        Some(asked) => drawn(span).max(asked.min(LONGEST_PAUSE - FIRST_SPAN) + drawn(FIRST_SPAN)),
    })
}

/// The seconds that a `Retry-After` header asks for: a number of seconds, or a date (RFC 9110, section 10.2.3). A date
/// that has passed asks for nothing, and so does a header that cannot be read.
pub fn retry_after(header: &str, now: Timestamp) -> Option<u32> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number has are as good as for ever.
        return Some(header.parse().unwrap_or(u32::MAX));
    }
    let then = httpdate::parse_http_date(header).ok()?;
    let then = then.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let now = Duration::from_secs(u64::try_from(now.as_second()).ok()?);
    let wait = then.checked_sub(now)?.as_secs();
    Some(u32::try_from(wait).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_spans_double_up_to_an_hour() {
        let longest: Vec<u32> = (0..LAST_TRY)
            .map(|tries| {
                let all = (0..3600).filter_map(|random| pause(tries, None, random));
                all.max().unwrap()
            })
            .collect();
        assert_eq!(
            longest[..10],
            [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600]
        );
        assert!(longest[10..].iter().all(|span| *span == 3600));
        // On average about six hours, at the very most about twice as long.
        let hours = f64::from(longest.iter().sum::<u32>()) / 2.0 / 3600.0;
        assert!((5.5..6.5).contains(&hours), "{hours}");
        for tries in [LAST_TRY, LAST_TRY + 1, u32::MAX] {
            assert_eq!(pause(tries, Some(1), 0), None);
        }
    }

    #[test]
    fn what_the_receiver_asks_for_counts_up_to_a_limit() {
        for (tries, asked, random, seconds) in [
            (0, None, 0, 1),
            (0, None, 9, 10),
            (0, None, 10, 1),
            (0, Some(0), 0, 1),
            (0, Some(120), 0, 121),
            (0, Some(120), 9, 130),
            // A long pause of our own includes the one asked for.
            (12, Some(120), 3599, 3600),
            (12, Some(120), 0, 121),
            (0, Some(86_400), 0, 3591),
            (0, Some(u32::MAX), 9, 3600),
        ] {
            let case = format!("{tries} {asked:?} {random}");
            assert_eq!(pause(tries, asked, random), Some(seconds), "{case}");
        }
    }

    proptest! {
        #[test]
        fn a_pause_is_never_nothing_and_never_shorter_than_asked(
            tries in 0..LAST_TRY, asked in proptest::option::of(any::<u32>()), random: u64
        ) {
            let pause = pause(tries, asked, random).unwrap();
            prop_assert!((1..=LONGEST_PAUSE).contains(&pause));
            prop_assert!(pause > asked.unwrap_or_default().min(LONGEST_PAUSE - FIRST_SPAN));
        }
    }

    #[test]
    fn seconds_and_every_form_of_a_date_are_read() {
        let now: Timestamp = "1994-11-06T08:49:00Z".parse().unwrap();
        for (header, seconds) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("99999999999999999999", Some(u32::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(37)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(37)),
            ("Sun Nov  6 08:49:37 1994", Some(37)),
            ("Sun, 06 Nov 1994 08:48:37 GMT", None),
            ("", None),
            ("-5", None),
            ("+5", None),
            ("1.5", None),
            ("soon", None),
            ("1994-11-06T08:49:37Z", None),
        ] {
            assert_eq!(retry_after(header, now), seconds, "{header:?}");
        }
    }

    #[test]
    fn what_may_pass_is_tried_again_and_nothing_else() {
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(judge(status), Answer::Taken, "{status}");
        }
        for status in [408, 409, 425, 429, 500, 502, 503, 504, 599] {
            assert_eq!(judge(status), Answer::Later, "{status}");
        }
        for status in [
            100, 199, 300, 301, 302, 307, 308, 400, 401, 403, 404, 410, 422, 600,
        ] {
            assert!(matches!(judge(status), Answer::Never(_)), "{status}");
        }
        let Answer::Never(why) = judge(410) else {
            panic!("410 is final")
        };
        assert!(why.contains("no more messages"), "{why}");
    }
}
