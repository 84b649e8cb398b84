//! The signature: HMAC-SHA256 over `id.timestamp.payload`, with a secret of the form `whsec_<base64>`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// A signing secret that cannot be used. It never shows the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the callback signing secret must be whsec_ followed by at least 24 base64-encoded bytes, or several of these \
     separated by white space"
)]
pub struct BadSecret;

/// The `webhook-signature` header: `v1,<base64>` for each key, separated by spaces. A secret may hold several keys,
/// separated by white space: while a key is replaced, a receiver that knows the old one or the new one finds a
/// signature that fits.
///
/// # Errors
/// [`BadSecret`] when a key is not of the form that the specification asks for, or there is none. A key that is broken
/// is not passed over: whoever put it there believes that it signs.
pub fn sign(
    secret: &str,
    id: &str,
    timestamp_seconds: i64,
    body: &str,
) -> Result<String, BadSecret> {
    let content = format!("{id}.{timestamp_seconds}.{body}");
    let signatures: Vec<String> = secret
        .split_whitespace()
        .map(|key| signature(key, &content))
        .collect::<Result<_, _>>()?;
    if signatures.is_empty() {
        return Err(BadSecret);
    }
    Ok(signatures.join(" "))
}

fn signature(key: &str, content: &str) -> Result<String, BadSecret> {
    let key = STANDARD
        .decode(key.strip_prefix("whsec_").ok_or(BadSecret)?)
        .map_err(|_| BadSecret)?;
    if key.len() < 24 {
        return Err(BadSecret);
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| BadSecret)?;
    mac.update(content.as_bytes());
    Ok(format!(
        "v1,{}",
        STANDARD.encode(mac.finalize().into_bytes())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Published with the Standard Webhooks reference implementations.
    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    fn of(secret: &str) -> Result<String, BadSecret> {
        sign(
            secret,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        )
    }

    #[test]
    fn the_specification_s_own_example() {
        assert_eq!(of(KEY).unwrap(), SIGNATURE);
        assert_eq!(of(&format!("\n{KEY} \n")).unwrap(), SIGNATURE);
    }

    #[test]
    fn each_key_signs_in_the_order_of_the_secret() {
        let other = of(OTHER).unwrap();
        assert_ne!(other, SIGNATURE);
        for between in [" ", "\n", " \t\n "] {
            let both = of(&format!("{OTHER}{between}{KEY}")).unwrap();
            assert_eq!(both, format!("{other} {SIGNATURE}"));
        }
    }

    #[test]
    fn bad_secrets_are_refused_and_not_shown() {
        for secret in [
            "",
            " \n",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_!",
            "whsec_c2hvcnQ=",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw,whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw whsec_c2hvcnQ=",
        ] {
            assert_eq!(of(secret), Err(BadSecret), "{secret}");
        }
    }
}
