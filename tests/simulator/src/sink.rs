//! Where Landfall's callbacks arrive: verified by the Standard Webhooks rules, kept, and listed.

use std::collections::{BTreeMap, VecDeque};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Sha256;

const TOLERANCE_SECONDS: i64 = 300;

/// The statuses that a named sink answers: always the same, or one after the other and then 204.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Answers {
    /// Always this one.
    Always(u16),
    /// These, once each.
    Once(VecDeque<u16>),
}

/// A received callback.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Callback {
    /// The sink's name, from the path.
    pub name: String,
    /// Wall-clock time.
    pub received_at: Timestamp,
    /// All headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body, parsed when it is JSON.
    pub body: Value,
    /// The body as it came: what the signature is of.
    pub text: String,
    /// Whether the signature is right.
    pub verified: bool,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What was answered.
    pub status: u16,
}

/// What has been received, and what to answer.
#[derive(Debug, Default)]
pub struct Sink {
    /// Received callbacks, oldest first.
    pub received: Vec<Callback>,
    answers: BTreeMap<String, Answers>,
}

impl Sink {
    /// Chooses what a named sink answers.
    pub fn answer_with(&mut self, name: &str, answers: Answers) {
        self.answers.insert(name.to_owned(), answers);
    }

    /// Takes a callback in; the status to answer.
    pub fn receive(
        &mut self,
        name: &str,
        headers: BTreeMap<String, String>,
        body: &[u8],
        secret: Option<&str>,
        now: Timestamp,
    ) -> u16 {
        let verdict = match secret {
            None => Err("the simulator was started without --callback-secret".to_owned()),
            Some(secret) => verify(secret, &headers, body, now),
        };
        let configured = match self.answers.get_mut(name) {
            None => None,
            Some(Answers::Always(status)) => Some(*status),
            Some(Answers::Once(list)) => list.pop_front(),
        };
        let status = configured.unwrap_or(if verdict.is_ok() || secret.is_none() {
            204
        } else {
            401
        });
        let text = String::from_utf8_lossy(body);
        self.received.push(Callback {
            name: name.to_owned(),
            received_at: now,
            headers,
            body: serde_json::from_slice(body)
                .unwrap_or_else(|_| Value::String(text.clone().into_owned())),
            text: text.into_owned(),
            verified: verdict.is_ok(),
            problem: verdict.err(),
            status,
        });
        status
    }
}

/// Checks the three headers against the body. The error says what is wrong.
pub fn verify(
    secret: &str,
    headers: &BTreeMap<String, String>,
    body: &[u8],
    now: Timestamp,
) -> Result<(), String> {
    let header = |name: &str| {
        headers
            .get(name)
            .ok_or_else(|| format!("header {name} is missing"))
    };
    let (id, stamp, signatures) = (
        header("webhook-id")?,
        header("webhook-timestamp")?,
        header("webhook-signature")?,
    );
    let sent: i64 = stamp
        .parse()
        .map_err(|_| format!("webhook-timestamp `{stamp}` is not a number of seconds"))?;
    if (now.as_second() - sent).abs() > TOLERANCE_SECONDS {
        return Err(format!(
            "webhook-timestamp {sent} is more than {TOLERANCE_SECONDS} s away from {}",
            now.as_second()
        ));
    }
    let key = STANDARD
        .decode(secret.strip_prefix("whsec_").unwrap_or(secret))
        .map_err(|e| format!("the secret is not whsec_<base64>: {e}"))?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|e| e.to_string())?;
    mac.update(format!("{id}.{stamp}.").as_bytes());
    mac.update(body);
    // Several signatures may stand side by side while a secret is rotated.
    let fits = signatures
        .split(' ')
        .filter_map(|one| one.strip_prefix("v1,"))
        .any(|one| {
            STANDARD
                .decode(one)
                .is_ok_and(|bytes| mac.clone().verify_slice(&bytes).is_ok())
        });
    if fits {
        Ok(())
    } else {
        Err("webhook-signature fits neither the body nor the secret".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of the Standard Webhooks specification's reference libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;

    fn headers() -> BTreeMap<String, String> {
        [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            (
                "webhook-signature",
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into()
    }

    fn then() -> Timestamp {
        Timestamp::from_second(1_614_265_330).unwrap()
    }

    #[test]
    fn the_published_example_verifies() {
        assert_eq!(verify(SECRET, &headers(), BODY, then()), Ok(()));
        let mut rotated = headers();
        rotated.insert(
            "webhook-signature".into(),
            format!("v1,AAAA {}", headers()["webhook-signature"]),
        );
        assert_eq!(verify(SECRET, &rotated, BODY, then()), Ok(()));
    }

    #[test]
    fn whatever_is_wrong_is_named() {
        let late = Timestamp::from_second(1_614_265_330 + 301).unwrap();
        let mut unsigned = headers();
        unsigned.remove("webhook-signature");
        let table = [
            (
                verify(SECRET, &headers(), b"{}", then()),
                "neither the body",
            ),
            (
                verify("whsec_c2VjcmV0", &headers(), BODY, then()),
                "nor the secret",
            ),
            (verify(SECRET, &headers(), BODY, late), "webhook-timestamp"),
            (
                verify(SECRET, &unsigned, BODY, then()),
                "webhook-signature is missing",
            ),
        ];
        for (verdict, text) in table {
            assert!(verdict.clone().unwrap_err().contains(text), "{verdict:?}");
        }
    }

    #[test]
    fn a_sink_answers_its_list_and_then_as_usual() {
        let mut sink = Sink::default();
        sink.answer_with("flaky", Answers::Once([503, 500].into()));
        let mut post = || sink.receive("flaky", headers(), BODY, Some(SECRET), then());
        assert_eq!([post(), post(), post()], [503, 500, 204]);
        assert_eq!(
            sink.receive("other", headers(), b"{}", Some(SECRET), then()),
            401
        );
        assert!(!sink.received[3].verified);
    }
}
