//! EC2 as the functions see it: `MiniStack`'s, with the seed's aliases put in, and with the operations that
//! `MiniStack` lacks.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::{StatusCode, header};
use regex::Regex;

use crate::resign::{self, Protocol};
use crate::template_address;
use crate::world::place::{Ebs, Place};

/// The way to `MiniStack`.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    client: reqwest::Client,
    endpoint: String,
    home_account: String,
}

/// What `MiniStack` answered.
pub(crate) struct Passed {
    /// The status.
    pub(crate) status: StatusCode,
    /// Its content type.
    pub(crate) content_type: Option<String>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Proxy {
    /// A way to the endpoint.
    pub(crate) fn new(endpoint: &str, home: &Place) -> Self {
        Self {
            client: reqwest::Client::new(),
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            home_account: home.account.clone(),
        }
    }

    /// Where it leads.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The client that reaches it.
    pub(crate) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// Passes a request on as one of an account and Region, with `aliases` (alias → real) replaced on the way there and back.
    pub(crate) async fn pass(
        &self,
        place: &Place,
        protocol: Protocol<'_>,
        body: &Bytes,
        aliases: &BTreeMap<String, String>,
    ) -> Result<Passed, String> {
        let there: Vec<_> = aliases
            .iter()
            .map(|(alias, real)| (alias.as_str(), real.as_str()))
            .collect();
        let back: Vec<_> = there.iter().map(|(alias, real)| (*real, *alias)).collect();
        let body = match std::str::from_utf8(body) {
            Ok(text) if matches!(protocol, Protocol::Form("ec2")) => {
                template_address::there(&replace(text, &there)).into_bytes()
            }
            Ok(text) => replace(text, &there).into_bytes(),
            Err(_) => body.to_vec(),
        };
        let response = self.send(place, protocol, body).await?;
        let status = response.status();
        let content_type = response
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .map(str::to_owned);
        let text = response.text().await.map_err(|e| e.to_string())?;
        Ok(Passed {
            status,
            content_type,
            body: replace(&template_address::back(&repaired(&text)), &back).into_bytes(),
        })
    }

    async fn send(
        &self,
        place: &Place,
        protocol: Protocol<'_>,
        body: Vec<u8>,
    ) -> Result<reqwest::Response, String> {
        let url = format!("{}/", self.endpoint);
        let mut request = self.client.post(&url);
        let account = Some(place.account.as_str()).filter(|account| *account != self.home_account);
        for (name, value) in resign::headers(&url, account, &place.region, protocol, &body)? {
            request = request.header(name, value);
        }
        request.body(body).send().await.map_err(|e| e.to_string())
    }

    /// The security groups of a launch template's first network interface, in its default version.
    ///
    /// Read from the text, because the SDK does not see them as `MiniStack` writes them (see [`repaired`]).
    pub(crate) async fn template_groups(
        &self,
        template_id: &str,
        place: &Place,
    ) -> Result<Vec<String>, String> {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("Action", "DescribeLaunchTemplateVersions")
            .append_pair("Version", "2016-11-15")
            .append_pair("LaunchTemplateId", template_id)
            .append_pair("LaunchTemplateVersion.1", "$Default")
            .finish();
        let text = self
            .send(place, Protocol::Form("ec2"), form.into_bytes())
            .await?
            .text()
            .await
            .map_err(|e| e.to_string())?;
        let Some(set) = GROUP_SET.captures(&text) else {
            return Ok(Vec::new());
        };
        Ok(set[1]
            .split("</item>")
            .filter_map(|item| item.strip_prefix("<item>"))
            .map(str::to_owned)
            .collect())
    }
}

static GROUP_SET: LazyLock<Regex> = LazyLock::new(|| {
    #[allow(clippy::expect_used, reason = "a constant that a test compiles")]
    Regex::new("<groupSet>((?:<item>sg-[0-9A-Za-z]+</item>)+)</groupSet>")
        .expect("a constant pattern")
});

/// EC2 names the items of a launch template's `groupSet` `groupId`; `MiniStack` 1.5 names them `item`, which the
/// Rust SDK skips.
fn repaired(text: &str) -> String {
    let rename = |set: &regex::Captures<'_>| {
        let inner = set[1]
            .replace("<item>", "<groupId>")
            .replace("</item>", "</groupId>");
        format!("<groupSet>{inner}</groupSet>")
    };
    GROUP_SET.replace_all(text, rename).into_owned()
}

/// Replaces identifiers where they stand alone: `subnet-0a1b` is not part of `subnet-0a1b2c`.
pub(crate) fn replace(text: &str, pairs: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    'scan: while at < text.len() {
        let rest = &text[at..];
        let starts = !text[..at].ends_with(part_of_identifier);
        if starts {
            for (from, to) in pairs {
                if rest.starts_with(from) && !rest[from.len()..].starts_with(part_of_identifier) {
                    out.push_str(to);
                    at += from.len();
                    continue 'scan;
                }
            }
        }
        let Some(next) = rest.chars().next() else {
            break;
        };
        out.push(next);
        at += next.len_utf8();
    }
    out
}

fn part_of_identifier(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-'
}

const SIZES: [&str; 8] = [
    "medium", "large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge",
];
const FAMILIES: [&str; 12] = [
    "m5", "m6a", "m6i", "m7i", "c5", "c6i", "c7i", "r5", "r6i", "r7i", "m4", "c4",
];
const SMALL_FAMILIES: [&str; 3] = ["t2", "t3", "t3a"];
const SMALL_SIZES: [&str; 7] = [
    "nano", "micro", "small", "medium", "large", "xlarge", "2xlarge",
];

/// The answer of an operation that says no more than that it was carried out.
pub(crate) fn done(action: &str) -> String {
    format!(
        "<{action}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>simulated</requestId><return>true</return></{action}Response>"
    )
}

/// `CreateSnapshots`, made of `MiniStack`'s `CreateSnapshot` for each volume of the instance: status and body. As EC2
/// does, it answers before any of them is done.
pub(crate) async fn create_snapshots(
    proxy: &Proxy,
    place: &Place,
    form: &BTreeMap<String, String>,
) -> Result<(u16, String), String> {
    let ask = async |pairs: Vec<(String, String)>| {
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("Version", "2016-11-15")
            .extend_pairs(pairs)
            .finish();
        let response = proxy
            .send(place, Protocol::Form("ec2"), body.into_bytes())
            .await?;
        let status = response.status();
        let text = response.text().await.map_err(|e| e.to_string())?;
        Ok::<_, String>((status.as_u16(), text))
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let instance = form
        .get("InstanceSpecification.InstanceId")
        .map_or("", String::as_str);
    let (status, instances) = ask(vec![
        pair("Action", "DescribeInstances"),
        pair("InstanceId.1", instance),
    ])
    .await?;
    if status != 200 {
        return Ok((status, instances));
    }
    let copied = form
        .iter()
        .filter(|(name, _)| *name == "Description" || name.starts_with("TagSpecification."));
    let copied: Vec<_> = copied
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let mut items = String::new();
    for volume in volumes(&instances) {
        let mut pairs = vec![pair("Action", "CreateSnapshot"), pair("VolumeId", volume)];
        pairs.extend(copied.clone());
        let (status, made) = ask(pairs).await?;
        let Some(id) = between(&made, "<snapshotId>", "</snapshotId>") else {
            return Ok((status, made));
        };
        let _ = write!(
            items,
            "<item><snapshotId>{id}</snapshotId><volumeId>{volume}</volumeId><state>pending</state><progress></progress></item>"
        );
    }
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CreateSnapshotsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>{}</requestId><snapshotSet>{items}</snapshotSet></CreateSnapshotsResponse>",
        uuid::Uuid::new_v4()
    );
    Ok((200, body))
}

/// The volumes of the instances in an answer.
fn volumes(text: &str) -> Vec<&str> {
    let mut found: Vec<&str> = text
        .split("<volumeId>")
        .skip(1)
        .filter_map(|rest| rest.split('<').next())
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|(inner, _)| inner)
}

/// `DescribeInstanceTypeOfferings`: every known type in every zone.
pub(crate) fn offerings(form: &BTreeMap<String, String>, region: &str) -> String {
    let by_zone = form
        .get("LocationType")
        .is_some_and(|kind| kind.starts_with("availability-zone"));
    let locations: Vec<String> = if by_zone {
        ["a", "b", "c"]
            .iter()
            .map(|z| format!("{region}{z}"))
            .collect()
    } else {
        vec![region.to_owned()]
    };
    let (mut types, mut places) = (Vec::new(), Vec::new());
    for n in 1..=20 {
        let wanted = (1..=200).map_while(|m| form.get(&format!("Filter.{n}.Value.{m}")).cloned());
        match form.get(&format!("Filter.{n}.Name")).map(String::as_str) {
            Some("instance-type") => types.extend(wanted),
            Some("location") => places.extend(wanted),
            _ => {}
        }
    }
    let small = SMALL_FAMILIES
        .iter()
        .flat_map(|f| SMALL_SIZES.iter().map(move |s| format!("{f}.{s}")));
    let all = FAMILIES
        .iter()
        .flat_map(|f| SIZES.iter().map(move |s| format!("{f}.{s}")))
        .chain(small);
    let kind = if by_zone {
        "availability-zone"
    } else {
        "region"
    };
    let mut items = String::new();
    for instance_type in all.filter(|t| types.is_empty() || types.iter().any(|w| wildcard(w, t))) {
        for location in locations
            .iter()
            .filter(|l| places.is_empty() || places.contains(l))
        {
            let _ = write!(
                items,
                "<item><instanceType>{instance_type}</instanceType><locationType>{kind}</locationType><location>{location}</location></item>"
            );
        }
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DescribeInstanceTypeOfferingsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>{}</requestId><instanceTypeOfferingSet>{items}</instanceTypeOfferingSet></DescribeInstanceTypeOfferingsResponse>",
        uuid::Uuid::new_v4()
    )
}

/// `GetEbsEncryptionByDefault` or `GetEbsDefaultKmsKeyId`, which `MiniStack` lacks.
pub(crate) fn ebs(action: &str, ebs: &Ebs) -> String {
    let member = if action == "GetEbsDefaultKmsKeyId" {
        let key = ebs.kms_key_id.as_deref().unwrap_or("alias/aws/ebs");
        format!("<kmsKeyId>{}</kmsKeyId>", escaped(key))
    } else {
        format!(
            "<ebsEncryptionByDefault>{}</ebsEncryptionByDefault>",
            ebs.encrypted_by_default
        )
    };
    format!(
        "<{action}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>{}</requestId>{member}</{action}Response>",
        uuid::Uuid::new_v4()
    )
}

/// A text within XML.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn wildcard(pattern: &str, text: &str) -> bool {
    pattern
        .strip_suffix('*')
        .map_or(pattern == text, |prefix| text.starts_with(prefix))
}

/// A refusal in EC2's XML.
pub(crate) fn error(code: &str, message: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code><Message>{}</Message></Error></Errors><RequestID>{}</RequestID></Response>",
        escaped(message),
        uuid::Uuid::new_v4()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_replaced_where_they_stand_alone() {
        let pairs = [
            ("subnet-0a1b2c3d", "subnet-11111111111111111"),
            ("sg-0a1b2c3d", "sg-22222222222222222"),
        ];
        let table = [
            (
                "SubnetId.1=subnet-0a1b2c3d&X=1",
                "SubnetId.1=subnet-11111111111111111&X=1",
            ),
            ("a=subnet-0a1b2c3d", "a=subnet-11111111111111111"),
            ("subnet-0a1b2c3d0", "subnet-0a1b2c3d0"),
            ("my-subnet-0a1b2c3d", "my-subnet-0a1b2c3d"),
            ("<id>sg-0a1b2c3d</id>ä", "<id>sg-22222222222222222</id>ä"),
        ];
        for (given, wanted) in table {
            assert_eq!(replace(given, &pairs), wanted);
        }
        let back: Vec<_> = pairs.iter().map(|(a, r)| (*r, *a)).collect();
        assert_eq!(
            replace(&replace("[subnet-0a1b2c3d]", &pairs), &back),
            "[subnet-0a1b2c3d]"
        );
    }

    #[test]
    fn the_groups_of_a_launch_template_get_ec2s_element_name() {
        let given =
            "<groupSet><item>sg-1a</item><item>sg-2b</item></groupSet><x><item>sg-3c</item></x>";
        let wanted = "<groupSet><groupId>sg-1a</groupId><groupId>sg-2b</groupId></groupSet><x><item>sg-3c</item></x>";
        assert_eq!(repaired(given), wanted);
    }

    #[test]
    fn each_volume_of_an_instance_is_found_once() {
        let text = "<item><ebs><volumeId>vol-1</volumeId></ebs></item><ebs><volumeId>vol-2</volumeId></ebs>\
                    <volumeId>vol-1</volumeId>";
        assert_eq!(volumes(text), ["vol-1", "vol-2"]);
        assert!(volumes("<reservationSet/>").is_empty());
    }

    #[test]
    fn offerings_can_be_asked_for_by_type_and_zone() {
        let form = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        let asked = [
            ("LocationType", "availability-zone"),
            ("Filter.1.Name", "instance-type"),
            ("Filter.1.Value.1", "t3.large"),
            ("Filter.2.Name", "location"),
            ("Filter.2.Value.1", "us-east-1b"),
        ];
        assert_eq!(
            offerings(&form(&asked), "us-east-1")
                .matches("<item>")
                .count(),
            1
        );
        let unknown = [
            ("Filter.1.Name", "instance-type"),
            ("Filter.1.Value.1", "t9.mega"),
        ];
        assert_eq!(
            offerings(&form(&unknown), "us-east-1")
                .matches("<item>")
                .count(),
            0
        );
    }
}
