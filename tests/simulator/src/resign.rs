//! A new signature for a request whose body was changed on its way: `MiniStack` checks signatures.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;

/// The protocol of a request that is passed on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Protocol<'a> {
    /// The forms of EC2 or IAM, by the service's name in a signature.
    Form(&'static str),
    /// JSON 1.1 to Systems Manager, with its `X-Amz-Target`.
    Ssm(&'a str),
}

impl Protocol<'_> {
    /// The service that the signature is for.
    fn service(self) -> &'static str {
        match self {
            Self::Form(service) => service,
            Self::Ssm(_) => "ssm",
        }
    }

    fn headers(self) -> Vec<(&'static str, String)> {
        match self {
            Self::Form(_) => vec![(
                "content-type",
                "application/x-www-form-urlencoded; charset=utf-8".to_owned(),
            )],
            Self::Ssm(target) => vec![
                ("content-type", "application/x-amz-json-1.1".to_owned()),
                ("x-amz-target", target.to_owned()),
            ],
        }
    }
}

/// The headers of a signed `POST`, those of the protocol among them. Signed with the local stack's own credentials,
/// or as the root of another account, so the caller's permissions are not enforced behind the proxy.
pub(crate) fn headers(
    url: &str,
    account: Option<&str>,
    region: &str,
    protocol: Protocol<'_>,
    body: &[u8],
) -> Result<Vec<(String, String)>, String> {
    let own = protocol.headers();
    let signed = signature(
        "POST",
        url,
        account,
        (region, protocol.service()),
        &own,
        body,
    )?;
    let mut headers: Vec<(String, String)> = own
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    headers.extend(signed);
    Ok(headers)
}

/// The headers of a signed `GET` without a body, with the local stack's own credentials.
pub(crate) fn get(url: &str, region: &str, service: &str) -> Result<Vec<(String, String)>, String> {
    signature("GET", url, None, (region, service), &[], b"")
}

fn signature(
    method: &str,
    url: &str,
    account: Option<&str>,
    (region, service): (&str, &str),
    own: &[(&'static str, String)],
    body: &[u8],
) -> Result<Vec<(String, String)>, String> {
    let key = |name: &str| std::env::var(name).unwrap_or_else(|_| "test".to_owned());
    let identity = Credentials::new(
        account.map_or_else(|| key("AWS_ACCESS_KEY_ID"), str::to_owned),
        key("AWS_SECRET_ACCESS_KEY"),
        None,
        None,
        "simulator",
    )
    .into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| error.to_string())?
        .into();
    let request = SignableRequest::new(
        method,
        url,
        own.iter().map(|(name, value)| (*name, value.as_str())),
        SignableBody::Bytes(body),
    )
    .map_err(|error| error.to_string())?;
    let (instructions, _) = sign(request, &params)
        .map_err(|error| error.to_string())?
        .into_parts();
    Ok(instructions
        .headers()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}
