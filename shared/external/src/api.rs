//! One JSON-over-HTTP request, and what its answer means.

use landfall_domain::{ErrorName, StageError};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

/// A JSON API below a base URL.
#[derive(Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    base: Url,
    /// How errors call it, for example `Azure`.
    service: &'static str,
    /// The error name of a refusal.
    refusal: ErrorName,
    credentials: Option<Credentials>,
}

/// What a request is let in by.
#[derive(Clone)]
enum Credentials {
    Bearer(String),
    Basic {
        username: String,
        password: String,
    },
    Header {
        name: &'static str,
        value: String,
    },
    /// Marked as sensitive: it shows in no debug print.
    Authorization(HeaderValue),
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // By hand, so that the credentials cannot leak through a debug print.
        f.debug_struct("Api")
            .field("service", &self.service)
            .field("base", &self.base.as_str())
            .finish_non_exhaustive()
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Null where there is no body.
    pub(crate) body: Value,
    headers: HeaderMap,
}

impl Answer {
    /// The text of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// What a request carries.
pub(crate) enum Body<'a> {
    Nothing,
    Json(&'a Value),
    Form(&'a [(&'a str, &'a str)]),
}

impl Api {
    /// An API at a base URL; `field` is what an error about that URL names.
    pub(crate) fn new(
        http: &reqwest::Client,
        base: &str,
        service: &'static str,
        field: &str,
        refusal: ErrorName,
    ) -> Result<Self, StageError> {
        let base = base_url(base)
            .map_err(|problem| StageError::new(refusal, format!("{field} {problem}")))?;
        Ok(Self {
            http: http.clone(),
            base,
            service,
            refusal,
            credentials: None,
        })
    }

    /// The same API, called with a bearer token.
    pub(crate) fn with_token(self, token: String) -> Self {
        self.with(Credentials::Bearer(token))
    }

    /// The same API, called with a name and a password.
    pub(crate) fn with_password(self, username: &str, password: &str) -> Self {
        self.with(Credentials::Basic {
            username: username.to_owned(),
            password: password.to_owned(),
        })
    }

    /// The same API, called with a session's ID in a header.
    pub(crate) fn with_session(self, header: &'static str, id: String) -> Self {
        self.with(Credentials::Header {
            name: header,
            value: id,
        })
    }

    fn with(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// The same API, called with this `Authorization` header.
    ///
    /// # Errors
    /// A refusal when the text can stand in no header.
    pub(crate) fn with_authorization(self, text: &str) -> Result<Self, StageError> {
        let mut value = HeaderValue::try_from(text)
            .map_err(|_| self.refused("signing in gave a token that no header can carry"))?;
        value.set_sensitive(true);
        Ok(self.with(Credentials::Authorization(value)))
    }

    /// `scheme://host[:port]` of the base URL, without the scheme's own port.
    pub(crate) fn origin(&self) -> String {
        self.base.origin().ascii_serialization()
    }

    /// An error of the stage that asked.
    pub(crate) fn refused(&self, message: impl std::fmt::Display) -> StageError {
        StageError::new(self.refusal, format!("{}: {message}", self.service))
    }

    /// An error that goes away by itself.
    pub(crate) fn not_ready(&self, message: impl std::fmt::Display) -> StageError {
        StageError::new(
            ErrorName::DependencyUnavailable,
            format!("{}: {message}", self.service),
        )
    }

    /// Makes a request. `call` is how errors name it; a 404 is an answer, as its callers know what it means.
    pub(crate) async fn call(
        &self,
        call: &str,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Body<'_>,
    ) -> Result<Answer, StageError> {
        let answer = self.ask(call, method, path, query, body).await?;
        self.judge(call, answer)
    }

    /// Makes a request, and leaves it to the caller what a status means.
    pub(crate) async fn ask(
        &self,
        call: &str,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Body<'_>,
    ) -> Result<Answer, StageError> {
        let mut request = self
            .http
            .request(method, self.url(path, query)?)
            .header(ACCEPT, "application/json");
        request = match &self.credentials {
            None => request,
            Some(Credentials::Bearer(token)) => request.bearer_auth(token),
            Some(Credentials::Basic { username, password }) => {
                request.basic_auth(username, Some(password))
            }
            Some(Credentials::Header { name, value }) => request.header(*name, value),
            Some(Credentials::Authorization(value)) => request.header(AUTHORIZATION, value.clone()),
        };
        request = match body {
            Body::Nothing => request,
            Body::Json(json) => request.json(json),
            Body::Form(pairs) => request
                .header(
                    reqwest::header::CONTENT_TYPE,
                    "application/x-www-form-urlencoded",
                )
                .body(
                    form_urlencoded::Serializer::new(String::new())
                        .extend_pairs(pairs)
                        .finish(),
                ),
        };
        let answer = request
            .send()
            .await
            .map_err(|error| self.unreachable(call, error))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer
            .text()
            .await
            .map_err(|error| self.unreachable(call, error))?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        if status.is_success() && body.is_null() && !text.trim().is_empty() {
            return Err(self.refused(format!("{call} did not answer with JSON")));
        }
        Ok(Answer {
            status,
            body,
            headers,
        })
    }

    /// What a status usually means: success and 404 are answers, the others errors.
    pub(crate) fn judge(&self, call: &str, answer: Answer) -> Result<Answer, StageError> {
        let Answer { status, body, .. } = &answer;
        if status.is_success() || *status == StatusCode::NOT_FOUND {
            return Ok(answer);
        }
        let name = match *status {
            StatusCode::TOO_MANY_REQUESTS => ErrorName::Throttled,
            StatusCode::CONFLICT => ErrorName::Conflict,
            StatusCode::REQUEST_TIMEOUT => ErrorName::DependencyUnavailable,
            _ if status.is_server_error() => ErrorName::DependencyUnavailable,
            _ => self.refusal,
        };
        let mut message = format!("{}: {call} answered {}", self.service, status.as_u16());
        if let Some(said) = said(body) {
            message = format!("{message}: {said}");
        }
        let retry_after = answer.header(RETRY_AFTER.as_str());
        let context = retry_after.map_or_else(String::new, |after| format!("Retry-After: {after}"));
        Err(StageError::new(name, message).context(context))
    }

    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Url, StageError> {
        let mut url = self.base.clone();
        // Segments are encoded one by one: a name from a request must not become more of the path. Dot
        // segments are refused, because the URL rules would fold them away.
        if path
            .iter()
            .any(|segment| matches!(*segment, "" | "." | ".."))
        {
            return Err(self.refused("a name in the request is empty or made of dots"));
        }
        url.path_segments_mut()
            .map_err(|()| self.refused("the base URL cannot take a path"))?
            .pop_if_empty()
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    fn unreachable(&self, call: &str, error: reqwest::Error) -> StageError {
        let what = if error.is_timeout() {
            "did not answer in time"
        } else if error.is_connect() {
            "could not be reached"
        } else {
            "broke off"
        };
        // With its causes: "error sending request" does not say that it was the certificate.
        let error = error.without_url();
        let mut context = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            context = format!("{context}: {error}");
            cause = error.source();
        }
        self.not_ready(format!("{call} {what}")).context(context)
    }
}

/// Reads a base URL. Credentials and records travel over it, so plain http is for this machine alone.
fn base_url(text: &str) -> Result<Url, &'static str> {
    let url: Url = text
        .parse()
        .map_err(|_| "is no URL; give one such as https://host/path")?;
    let local = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    if url.host_str().is_none_or(str::is_empty) {
        return Err("names no host; give one such as https://host/path");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("carries credentials; keep them in Secrets Manager");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has a query or a fragment; give the bare base URL");
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if local => Ok(url),
        _ => Err("is not https; only a loopback address may use http"),
    }
}

/// What an error body says, in the shapes of the systems we call; short enough for an error message.
pub(crate) fn said(body: &Value) -> Option<String> {
    let text = |value: &Value| {
        value
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let joined = |first: &Value, second: &Value| match (text(first), text(second)) {
        (Some(first), Some(second)) => Some(format!("{first}: {second}")),
        (one, other) => one.or(other),
    };
    let error = &body["error"];
    let said = if error.is_object() {
        // Azure: {error: {code, message}}; ServiceNow: {error: {message, detail}}.
        if error["code"].is_string() {
            joined(&error["code"], &error["message"])
        } else {
            joined(&error["message"], &error["detail"])
        }
    } else if error.is_string() {
        // OAuth: {error, error_description}; the description repeats parts of the request.
        text(error)
    } else if body["error_type"].is_string() {
        // vSphere's Automation API: {error_type, messages: [{default_message}]}.
        joined(&body["error_type"], &body["messages"][0]["default_message"])
    } else if body["_typeName"].is_string() {
        // vSphere's fault: {_typeName, faultMessage: [{message}]}.
        joined(&body["_typeName"], &body["faultMessage"][0]["message"])
    } else {
        // Cloud Migration Factory: a list of texts, of lists of them, or of refusals with their cause.
        let first = &body["errors"][0];
        text(first)
            .or_else(|| text(&first[0]))
            .or_else(|| text(&first["cause"]))
            .or_else(|| text(&body["message"]))
    }?;
    Some(said.chars().take(500).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_http_is_for_this_machine() {
        for good in [
            "https://management.azure.com",
            "http://127.0.0.1:4570/azure",
        ] {
            assert!(base_url(good).is_ok(), "{good}");
        }
        for bad in [
            "http://example.com",
            "ftp://127.0.0.1/",
            "example.com",
            "https://user:password@example.com",
            "https://example.com/?x=1",
            "http://127.0.0.1.example.com/",
        ] {
            assert!(base_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_stay_one_segment() {
        let http = crate::http_client().unwrap();
        let api = Api::new(
            &http,
            "http://127.0.0.1:1/azure/",
            "Azure",
            "x",
            ErrorName::CutoverError,
        )
        .unwrap();
        let url = api.url(&["a/b?c", "d"], &[("api-version", "1")]).unwrap();
        assert_eq!(
            url.as_str(),
            "http://127.0.0.1:1/azure/a%2Fb%3Fc/d?api-version=1"
        );
        let error = api.url(&["..", "d"], &[]).unwrap_err();
        assert_eq!(error.name, ErrorName::CutoverError);
    }

    #[test]
    fn each_system_s_error_is_read() {
        for (body, text) in [
            (
                json!({"error": {"code": "ResourceNotFound", "message": "gone"}}),
                Some("ResourceNotFound: gone"),
            ),
            (
                json!({"error": {"message": "No Record found", "detail": "ACL"}}),
                Some("No Record found: ACL"),
            ),
            (
                json!({"error": "invalid_client", "error_description": "secret abc"}),
                Some("invalid_client"),
            ),
            (json!({"errors": ["malformed"]}), Some("malformed")),
            (
                json!({"error_type": "RESOURCE_BUSY", "messages": [{"default_message": "busy"}]}),
                Some("RESOURCE_BUSY: busy"),
            ),
            (
                json!({"_typeName": "NoPermission", "privilegeId": "x"}),
                Some("NoPermission"),
            ),
            (
                json!({"errors": [["not in the schema"]]}),
                Some("not in the schema"),
            ),
            (
                json!({"errors": [{"action": "deny", "cause": "no policy"}]}),
                Some("no policy"),
            ),
            (
                json!({"message": "no such resource"}),
                Some("no such resource"),
            ),
            (Value::Null, None),
        ] {
            assert_eq!(said(&body).as_deref(), text);
        }
    }
}
