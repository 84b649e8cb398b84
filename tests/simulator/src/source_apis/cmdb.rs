//! A `ServiceNow` CMDB: the Table API for one record, for whoever has its account or its token.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Answer, SourceApis};

/// The account that is let in.
pub const USERNAME: &str = "landfall@cmdb.local";
/// Its password: one that stands nowhere else, so that a search for it finds a leak.
pub const PASSWORD: &str = "simulated-cmdb-password";
/// The token of an application, which is let in, too.
pub const TOKEN: &str = "simulated-cmdb-token";

/// A request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its path below `/cmdb/`.
    pub path: &'a str,
    /// Its `Authorization` header.
    pub authorization: Option<&'a str>,
    /// Its body; null when there is none.
    pub body: &'a Value,
}

/// Answers `GET` and `PATCH /api/now/table/{table}/{sys_id}`.
pub fn answer(apis: &mut SourceApis, request: &Request<'_>, wants_account: bool) -> Answer {
    if wants_account && !request.authorization.is_some_and(is_known) {
        return Answer::new(
            401,
            json!({
                "error": {"message": "User Not Authenticated", "detail": "Required to provide Auth information"}, "status": "failure",
            }),
        );
    }
    let parts = request
        .path
        .strip_prefix("api/now/table/")
        .and_then(|rest| rest.split_once('/'));
    let record = parts.and_then(|(table, id)| apis.cmdb.get_mut(table)?.get_mut(id));
    let Some(record) = record else {
        return Answer::new(
            404,
            json!({
                "error": {"message": "No Record found", "detail": "Record doesn't exist or ACL restricts the record retrieval"}, "status": "failure",
            }),
        );
    };
    if matches!(request.method, "PATCH" | "PUT")
        && let (Some(record), Some(changes)) = (record.as_object_mut(), request.body.as_object())
    {
        record.extend(changes.clone());
    }
    Answer::new(200, json!({"result": record}))
}

/// Whether this is the account, or the token.
fn is_known(authorization: &str) -> bool {
    match authorization.split_once(' ') {
        Some(("Basic", given)) => given == STANDARD.encode(format!("{USERNAME}:{PASSWORD}")),
        Some(("Bearer", given)) => given == TOKEN,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "api/now/table/cmdb_ci_server/abc";

    fn apis() -> SourceApis {
        let mut apis = SourceApis::default();
        apis.cmdb
            .entry("cmdb_ci_server".into())
            .or_default()
            .insert("abc".into(), json!({"sys_id": "abc"}));
        apis
    }

    fn get<'a>(path: &'a str, authorization: Option<&'a str>) -> Request<'a> {
        Request {
            method: "GET",
            path,
            authorization,
            body: &Value::Null,
        }
    }

    #[test]
    fn a_record_is_read_and_changed() {
        let mut apis = apis();
        let change = Request {
            method: "PATCH",
            body: &json!({"install_status": "7"}),
            ..get(PATH, None)
        };
        answer(&mut apis, &change, false);
        assert_eq!(
            answer(&mut apis, &get(PATH, None), false).body["result"]["install_status"],
            "7"
        );
        let other = get("api/now/table/cmdb_ci_server/no", None);
        assert_eq!(answer(&mut apis, &other, false).status, 404);
    }

    #[test]
    fn only_the_account_and_the_token_are_let_in() {
        let mut apis = apis();
        let basic = |password: &str| {
            let account = format!("{USERNAME}:{password}");
            format!("Basic {}", STANDARD.encode(account))
        };
        for (authorization, status) in [
            (None, 401),
            (Some(basic("wrong")), 401),
            (Some("Bearer wrong".to_owned()), 401),
            (Some(TOKEN.to_owned()), 401),
            (Some(basic(PASSWORD)), 200),
            (Some(format!("Bearer {TOKEN}")), 200),
        ] {
            let request = get(PATH, authorization.as_deref());
            let answer = answer(&mut apis, &request, true);
            assert_eq!(answer.status, status, "{authorization:?}");
        }
    }
}
