//! A new signature for a request whose body was changed on its way: `MiniStack` checks signatures.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;

/// The protocol of a request that is passed on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Protocol<'a> {
    /// EC2's forms.
    Ec2,
    /// JSON 1.1 to Systems Manager, with its `X-Amz-Target`.
    Ssm(&'a str),
}

impl Protocol<'_> {
    /// The service that the signature is for.
    fn service(self) -> &'static str {
        match self {
            Self::Ec2 => "ec2",
            Self::Ssm(_) => "ssm",
        }
    }

    fn headers(self) -> Vec<(&'static str, String)> {
        match self {
            Self::Ec2 => vec![(
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
/// so the caller's permissions are not enforced behind the proxy.
pub(crate) fn headers(
    url: &str,
    region: &str,
    protocol: Protocol<'_>,
    body: &[u8],
) -> Result<Vec<(String, String)>, String> {
    let key = |name: &str| std::env::var(name).unwrap_or_else(|_| "test".to_owned());
    let identity = Credentials::new(
        key("AWS_ACCESS_KEY_ID"),
        key("AWS_SECRET_ACCESS_KEY"),
        None,
        None,
        "simulator",
    )
    .into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(protocol.service())
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| error.to_string())?
        .into();
    let own = protocol.headers();
    let request = SignableRequest::new(
        "POST",
        url,
        own.iter().map(|(name, value)| (*name, value.as_str())),
        SignableBody::Bytes(body),
    )
    .map_err(|error| error.to_string())?;
    let (instructions, _) = sign(request, &params)
        .map_err(|error| error.to_string())?
        .into_parts();
    let mut headers: Vec<(String, String)> = own
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    headers.extend(
        instructions
            .headers()
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    Ok(headers)
}
