//! How the source answered before the cutover, to compare the target with.

use serde::{Deserialize, Serialize};

use crate::finding::Finding;
use crate::health::{Seen, http};
use crate::record::Done;
use crate::request::{HealthCheck, HttpCheck};

/// Within so many milliseconds nothing is too slow: one millisecond against four tells of the network, not of the
/// application.
const NEVER_TOO_SLOW_MILLIS: u64 = 100;

/// What was looked at just before the cutover.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Baseline {
    /// When.
    pub at: String,
    /// [`crate::launch::EffectiveSettings::digest`] of what the cutover is launched with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings_digest: Option<String>,
    /// How the source answered each check that asks it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Sample>,
}

/// How the source answered one check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// The check's place in the request.
    pub check: usize,
    /// The address that was asked, as far as it may be shown.
    pub url: String,
    /// Its answer, where it passed its own check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<SourceAnswer>,
    /// What was seen, in words.
    pub seen: String,
}

/// An answer of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceAnswer {
    /// The status.
    pub status: u16,
    /// The median of the times it took.
    pub millis: u64,
}

impl SourceAnswer {
    /// How long the target may take, in milliseconds, where the check compares times.
    pub fn limit_millis(&self, check: &HttpCheck) -> Option<u64> {
        let ratio = check.max_latency_ratio?;
        // Past 2^53 ms, which is 285,000 years, it would not be exact.
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "milliseconds of one answer; a cast from a float saturates"
        )]
        let limit = (self.millis as f64 * ratio).round() as u64;
        Some(limit.max(NEVER_TOO_SLOW_MILLIS))
    }
}

impl Baseline {
    /// What the source answered to a check, where it passed.
    pub fn of(&self, index: usize) -> Option<&SourceAnswer> {
        let sample = self.samples.iter().find(|sample| sample.check == index)?;
        sample.answer.as_ref()
    }
}

impl Sample {
    /// From the tries that were made on the source. All of them must pass the check: a source that fails its own check
    /// cannot tell anything of the target, which is told as a warning.
    pub fn of(
        index: usize,
        check: &HttpCheck,
        url: &str,
        tries: &[Seen],
    ) -> (Self, Option<Finding>) {
        let mut answers = Vec::new();
        let mut problem = None;
        for seen in tries {
            match seen {
                Seen::Http(answer) => match http::judge(check, answer, None) {
                    Ok(_) => answers.push((answer.status, answer.millis())),
                    Err(text) => problem = Some(text),
                },
                Seen::Nothing(error) => problem = Some(format!("did not answer: {error}")),
                other => problem = Some(super::unusable(other)),
            }
        }
        let statuses = answers.iter().map(|(status, _)| status);
        if statuses.clone().min() != statuses.max() {
            problem = problem.or(Some("answered with one status and then another".to_owned()));
        }
        answers.sort_by_key(|(_, millis)| *millis);
        let median = answers.get(answers.len() / 2);
        let (answer, seen) = match (problem, median) {
            (None, Some((status, millis))) => (
                Some(SourceAnswer {
                    status: *status,
                    millis: *millis,
                }),
                format!("answered {status} in {millis} ms"),
            ),
            (problem, _) => (None, problem.unwrap_or_else(|| "was not asked".to_owned())),
        };
        let (url, seen) = (http::shown(url), super::short(&seen));
        let finding = answer.is_none().then(|| {
            Finding::warning(
                "SOURCE_CHECK_FAILED",
                &format!("/healthChecks/{index}/source"),
                format!("the source fails the check itself: {url} {seen}. The target is not compared with it."),
            )
            .evidence(seen.as_str(), http::wanted(check, None))
            .remedy("See that source.url is right and that the source answers there; the check's other expectations still hold for the target.")
        });
        let sample = Self {
            check: index,
            url,
            answer,
            seen,
        };
        (sample, finding)
    }
}

/// The checks that ask the source: their places, themselves and where the source is asked.
pub fn on_source(checks: &[HealthCheck]) -> impl Iterator<Item = (usize, &HttpCheck, &str)> {
    checks.iter().enumerate().filter_map(|(index, check)| {
        let HealthCheck::Http(http) = check else {
            return None;
        };
        let source = http.source.as_ref()?;
        Some((index, http, source.url.as_str()))
    })
}

/// Those of them that the source is asked again before users come back to it: what it did not pass before the cutover it need
/// not pass then, and at a name that was moved it is the target that answers. All others where it was not looked at.
pub fn on_source_again<'a>(
    checks: &'a [HealthCheck],
    done: &'a Done,
) -> impl Iterator<Item = (usize, &'a HttpCheck, &'a str)> {
    let baseline = done.baseline.as_ref();
    let passed = move |index: usize| baseline.is_none_or(|it| it.of(index).is_some());
    let moved = move |url: &str| {
        let host = host(url);
        let mut names = done.dns.iter().map(|it| it.name.trim_end_matches('.'));
        names.any(|name| name.eq_ignore_ascii_case(host))
    };
    on_source(checks).filter(move |(index, _, url)| passed(*index) && !moved(url))
}

/// The host of a URL, without its port and a final dot.
fn host(url: &str) -> &str {
    let (_, rest) = url.split_once("://").unwrap_or_default();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let name = authority.split(':').next().unwrap_or_default();
    name.trim_end_matches('.')
}
