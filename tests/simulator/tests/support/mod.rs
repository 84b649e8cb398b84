//! What the simulator needs of MiniStack, in this process: STS, IAM and EC2 as far as it calls them, each call kept
//! with the credential it was signed with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;

/// The key of a session that belongs to [`OTHER`].
pub(crate) const SESSION: &str = "ASIAOTHERACCOUNT0001";
/// The account that is not home.
pub(crate) const OTHER: &str = "222222222222";
/// The policy that is attached to the role [`ROLE`], beside the one within it.
pub(crate) const ATTACHED: &str = "arn:aws:iam::222222222222:policy/attached";
/// A role of the other account.
pub(crate) const ROLE: &str = "landfall-target";

/// One call: access key, Region, service and operation.
pub(crate) type Call = (String, String, String, String);

#[derive(Clone)]
struct Kept {
    calls: Arc<Mutex<Vec<Call>>>,
    /// The documents of the role's two policies, the one within it and the attached one.
    documents: Arc<[Value; 2]>,
}

/// The stand-in.
pub(crate) struct Ministack {
    pub(crate) url: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Ministack {
    pub(crate) async fn start(documents: [Value; 2]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let calls = Arc::default();
        let kept = Kept {
            calls: Arc::clone(&calls),
            documents: documents.into(),
        };
        let router = Router::new().fallback(answer).with_state(kept);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, calls }
    }

    /// Who called an operation, and in which Region: each once, in order.
    pub(crate) fn callers(&self, operation: &str) -> Vec<(String, String)> {
        let calls = self.calls.lock().unwrap();
        let mut callers: Vec<_> = calls
            .iter()
            .filter(|(.., name)| name == operation)
            .map(|(key, region, ..)| (key.clone(), region.clone()))
            .collect();
        callers.sort();
        callers.dedup();
        callers
    }

    pub(crate) fn count(&self, operation: &str) -> usize {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(.., name)| name == operation).count()
    }
}

async fn answer(State(kept): State<Kept>, headers: HeaderMap, body: Bytes) -> Response {
    let signed = headers["authorization"].to_str().unwrap();
    let scope = signed.split_once("Credential=").unwrap().1;
    let scope: Vec<&str> = scope.split(',').next().unwrap().split('/').collect();
    let [key, _, region, service, _] = scope[..] else {
        panic!("{signed}")
    };
    let form: BTreeMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
    let target = headers.get("x-amz-target").and_then(|v| v.to_str().ok());
    let action = form.get("Action").map(String::as_str).or(target);
    let action = action.unwrap_or_default();
    let call = [key, region, service, action].map(str::to_owned).into();
    kept.calls.lock().unwrap().push(call);
    let body = match service {
        "sts" if form["AccessKeyId"] == SESSION => {
            wrapped(action, &format!("<Account>{OTHER}</Account>"))
        }
        "iam" => match iam(&kept, key, action, &form) {
            Some(result) => wrapped(action, &result),
            None => return refusal("NoSuchEntity", StatusCode::NOT_FOUND),
        },
        "ec2" => ec2(action),
        "events" => return r#"{"FailedEntryCount":0,"Entries":[]}"#.into_response(),
        _ => return refusal("ValidationError", StatusCode::BAD_REQUEST),
    };
    ([("content-type", "text/xml")], body).into_response()
}

fn iam(kept: &Kept, key: &str, action: &str, form: &BTreeMap<String, String>) -> Option<String> {
    let encoded = |document: &Value| {
        percent_encoding::utf8_percent_encode(
            &document.to_string(),
            percent_encoding::NON_ALPHANUMERIC,
        )
        .to_string()
    };
    let [own, attached] = &*kept.documents;
    if key != OTHER || form.get("RoleName").is_some_and(|name| name != ROLE) {
        return None;
    }
    Some(match action {
        "ListRolePolicies" => {
            "<PolicyNames><member>own</member></PolicyNames><IsTruncated>false</IsTruncated>".into()
        }
        "GetRolePolicy" => format!(
            "<RoleName>{ROLE}</RoleName><PolicyName>own</PolicyName><PolicyDocument>{}</PolicyDocument>",
            encoded(own)
        ),
        "ListAttachedRolePolicies" => format!(
            "<AttachedPolicies><member><PolicyName>attached</PolicyName><PolicyArn>{ATTACHED}</PolicyArn></member></AttachedPolicies><IsTruncated>false</IsTruncated>"
        ),
        "GetPolicy" => "<Policy><DefaultVersionId>v3</DefaultVersionId></Policy>".into(),
        "GetPolicyVersion" if form["VersionId"] == "v3" => format!(
            "<PolicyVersion><Document>{}</Document><VersionId>v3</VersionId></PolicyVersion>",
            encoded(attached)
        ),
        _ => return None,
    })
}

fn ec2(action: &str) -> String {
    let inner = match action {
        "CreateLaunchTemplate" => {
            "<launchTemplate><launchTemplateId>lt-0123456789abcdef0</launchTemplateId></launchTemplate>"
        }
        "DescribeLaunchTemplateVersions" => {
            "<launchTemplateVersionSet><item><launchTemplateData><instanceType>t3.small</instanceType></launchTemplateData></item></launchTemplateVersionSet>"
        }
        "RunInstances" => {
            "<instancesSet><item><instanceId>i-0123456789abcdef0</instanceId></item></instancesSet>"
        }
        _ => "",
    };
    format!("<{action}Response>{inner}</{action}Response>")
}

fn wrapped(action: &str, result: &str) -> String {
    format!("<{action}Response><{action}Result>{result}</{action}Result></{action}Response>")
}

fn refusal(code: &str, status: StatusCode) -> Response {
    let body = format!(
        "<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"
    );
    (status, body).into_response()
}
