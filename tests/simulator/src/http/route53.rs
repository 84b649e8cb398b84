//! Route 53: `MiniStack`'s, with faults in between and with `TestDNSAnswer`, which it lacks.
//!
//! Nothing is changed on the way, so a request keeps its own signature and whose it is: what the caller may do is enforced
//! behind this, other than with EC2.

use std::fmt::Write as _;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::Response;
use regex::Regex;
use serde_json::json;

use super::reply;
use crate::caller;
use crate::ec2_proxy::escaped;
use crate::error::ApiError;
use crate::faults::Rule;
use crate::resign;
use crate::sim::Sim;

/// What every path of Route 53's API begins with.
pub(super) const PREFIX: &str = "/2013-04-01/";
/// Where Route 53 is signed for.
const REGION: &str = "us-east-1";

/// Answers a request below [`PREFIX`]; `address` is its path and query as they came.
pub(super) async fn answer(
    sim: &Sim,
    method: &str,
    address: &str,
    query: &[(String, String)],
    headers: &HeaderMap,
    body: &Bytes,
) -> Response {
    let path = address.split('?').next().unwrap_or_default();
    let operation = operation(method, path);
    let text = String::from_utf8_lossy(body);
    let (names, values) = (names(&text), texts(&text, "Value"));
    let place = caller::place(sim, headers).await;
    let rule = {
        let mut world = sim.world_at(&place);
        // By what it is about, a rule meets a call: names, values, and what is asked for in the address.
        let input = json!({ "path": path, "names": names, "values": values, "query": query });
        let rule = world.meet("route53", &operation, &input);
        let refusal = rule.as_ref().and_then(Rule::refusal);
        let application = reply::application(headers);
        reply::log(
            &mut world,
            application,
            "route53",
            &operation,
            &input,
            refusal.as_ref(),
        );
        if let Some(refusal) = refusal {
            return refused(&refusal);
        }
        rule
    };
    let answer = if operation == "TestDNSAnswer" {
        test_dns_answer(sim, query).await
    } else {
        pass(sim, method, address, headers, body).await
    };
    let unavailable = |why: String| refused(&ApiError::new("ServiceUnavailable", 503, why));
    reply::finish(sim, answer.unwrap_or_else(unavailable), rule).await
}

/// The operation that a method and a path are.
fn operation(method: &str, path: &str) -> String {
    let rest: Vec<&str> = path
        .trim_start_matches(PREFIX)
        .trim_end_matches('/')
        .split('/')
        .collect();
    match (method, rest.as_slice()) {
        ("POST", ["hostedzone", _, "rrset"]) => "ChangeResourceRecordSets".to_owned(),
        ("GET", ["hostedzone", _, "rrset"]) => "ListResourceRecordSets".to_owned(),
        ("GET", ["change", _]) => "GetChange".to_owned(),
        ("GET", ["testdnsanswer"]) => "TestDNSAnswer".to_owned(),
        _ => format!("{method} {path}"),
    }
}

/// The names of the record sets that a change is about, without their final dots.
fn names(body: &str) -> Vec<String> {
    texts(body, "Name")
        .into_iter()
        .map(|name| name.trim_end_matches('.').to_owned())
        .collect()
}

/// The texts of all elements of a name.
fn texts(xml: &str, element: &str) -> Vec<String> {
    let pattern = format!("<{element}>([^<]*)</{element}>");
    let Ok(pattern) = Regex::new(&pattern) else {
        return Vec::new();
    };
    let found = pattern.captures_iter(xml);
    found.map(|found| found[1].to_owned()).collect()
}

/// Hands a request on as it is, but for what belongs to a connection.
async fn pass(
    sim: &Sim,
    method: &str,
    address: &str,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Response, String> {
    let proxy = proxy(sim)?;
    let method = method.parse().map_err(|_| format!("no method {method}"))?;
    let url = format!("{}{address}", proxy.endpoint());
    let mut request = proxy.client().request(method, url).body(body.clone());
    let own: [HeaderName; 3] = [
        header::CONTENT_LENGTH,
        header::CONNECTION,
        header::TRANSFER_ENCODING,
    ];
    for (name, value) in headers.iter().filter(|(name, _)| !own.contains(name)) {
        // The host too: it is signed.
        request = request.header(name, value);
    }
    let answer = request.send().await.map_err(|error| error.to_string())?;
    let status = answer.status().as_u16();
    let text = answer.text().await.map_err(|error| error.to_string())?;
    Ok(xml(status, text))
}

/// What Route 53's name servers would answer: what the zone holds.
async fn test_dns_answer(sim: &Sim, query: &[(String, String)]) -> Result<Response, String> {
    let asked = |name: &str| {
        let found = query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    };
    let (zone, name, kind) = (
        asked("hostedzoneid").trim_start_matches("/hostedzone/"),
        asked("recordname").trim_end_matches('.'),
        asked("recordtype"),
    );
    let proxy = proxy(sim)?;
    let url = format!(
        "{}{PREFIX}hostedzone/{zone}/rrset?name={name}&type={kind}&maxitems=1",
        proxy.endpoint()
    );
    let mut request = proxy.client().get(&url);
    for (name, value) in resign::get(&url, REGION, "route53")? {
        request = request.header(name, value);
    }
    let answer = request.send().await.map_err(|error| error.to_string())?;
    let status = answer.status().as_u16();
    let held = answer.text().await.map_err(|error| error.to_string())?;
    if status != 200 {
        return Ok(xml(status, held));
    }
    let same = |texts: Vec<String>, wanted: &str| {
        let first = texts.first().map(|text| text.trim_end_matches('.'));
        first.is_some_and(|text| text.eq_ignore_ascii_case(wanted))
    };
    // The list begins at the name, whether or not there is anything of it.
    let there = same(texts(&held, "Name"), name) && same(texts(&held, "Type"), kind);
    let values = if there {
        texts(&held, "Value")
    } else {
        Vec::new()
    };
    let mut entries = String::new();
    for value in &values {
        let _ = write!(entries, "<RecordDataEntry>{value}</RecordDataEntry>");
    }
    let code = if there { "NOERROR" } else { "NXDOMAIN" };
    let (name, kind) = (escaped(name), escaped(kind));
    Ok(xml(
        200,
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<TestDNSAnswerResponse xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><Nameserver>ns-1.simulated</Nameserver><RecordName>{name}</RecordName><RecordType>{kind}</RecordType><RecordData>{entries}</RecordData><ResponseCode>{code}</ResponseCode><Protocol>UDP</Protocol></TestDNSAnswerResponse>"
        ),
    ))
}

fn proxy(sim: &Sim) -> Result<&crate::ec2_proxy::Proxy, String> {
    let proxy = sim.proxy.as_ref();
    proxy.ok_or_else(|| "The simulator was started without --ministack-url.".to_owned())
}

/// A refusal in Route 53's XML, which has its own name for too many calls.
fn refused(error: &ApiError) -> Response {
    let (name, status) = if error.name == "ThrottlingException" {
        ("Throttling", 400)
    } else {
        (error.name.as_str(), error.status)
    };
    let (name, message) = (escaped(name), escaped(&error.message));
    xml(
        status,
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ErrorResponse xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><Error><Type>Sender</Type><Code>{name}</Code><Message>{message}</Message></Error><RequestId>{}</RequestId></ErrorResponse>",
            uuid::Uuid::new_v4()
        ),
    )
}

fn xml(status: u16, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = header::HeaderValue::from_static("text/xml");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_known_by_its_method_and_path() {
        for (method, path, wanted) in [
            (
                "POST",
                "/2013-04-01/hostedzone/Z1/rrset/",
                "ChangeResourceRecordSets",
            ),
            (
                "POST",
                "/2013-04-01/hostedzone/Z1/rrset",
                "ChangeResourceRecordSets",
            ),
            (
                "GET",
                "/2013-04-01/hostedzone/Z1/rrset",
                "ListResourceRecordSets",
            ),
            ("GET", "/2013-04-01/change/C1", "GetChange"),
            ("GET", "/2013-04-01/testdnsanswer", "TestDNSAnswer"),
            (
                "GET",
                "/2013-04-01/hostedzone",
                "GET /2013-04-01/hostedzone",
            ),
        ] {
            assert_eq!(operation(method, path), wanted);
        }
    }

    #[test]
    fn a_change_is_known_by_the_names_that_it_is_about() {
        let body = "<Change><ResourceRecordSet><Name>app.example.com.</Name><Type>A</Type></ResourceRecordSet></Change>";
        assert_eq!(names(body), ["app.example.com"]);
        assert!(names("").is_empty());
    }
}
