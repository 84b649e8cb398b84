//! Cloud Migration Factory: the server records of its user API.

use serde_json::{Value, json};

use super::{Answer, SourceApis};

/// Answers `GET /user/server[?server_name=…]`, `GET /user/server/{id}` and `PUT /user/server/{id}`.
pub fn answer(
    apis: &mut SourceApis,
    method: &str,
    path: &str,
    name: Option<&str>,
    body: &Value,
) -> Answer {
    let id = path
        .strip_prefix("user/server")
        .map(|rest| rest.trim_matches('/'));
    match (method, id) {
        ("GET", Some("")) => {
            let found = apis
                .cmf
                .iter()
                .filter(|r| name.is_none_or(|n| r["server_name"] == n));
            Answer::new(200, found.cloned().collect())
        }
        ("GET" | "PUT", Some(id)) => {
            let Some(record) = apis.cmf.iter_mut().find(|r| is(r, id)) else {
                return Answer::new(
                    404,
                    json!({"errors": [format!("server Id: {id} does not exist")]}),
                );
            };
            if method == "PUT" {
                let (Some(record), Some(changes)) = (record.as_object_mut(), body.as_object())
                else {
                    return Answer::new(400, json!({"errors": ["malformed json input"]}));
                };
                record.extend(changes.clone());
            }
            Answer::new(200, record.clone())
        }
        _ => Answer::new(404, json!({"message": "no such resource"})),
    }
}

fn is(record: &Value, id: &str) -> bool {
    match &record["server_id"] {
        Value::String(own) => own == id,
        Value::Number(own) => own.to_string() == id,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_found_by_name_and_changed_by_id() {
        let mut apis = SourceApis {
            cmf: vec![json!({"server_id": "7", "server_name": "web-01"})],
            ..SourceApis::default()
        };
        assert_eq!(
            answer(
                &mut apis,
                "GET",
                "user/server",
                Some("web-01"),
                &Value::Null
            )
            .body[0]["server_id"],
            "7"
        );
        assert_eq!(
            answer(&mut apis, "GET", "user/server", Some("other"), &Value::Null).body,
            json!([])
        );
        let changed = answer(
            &mut apis,
            "PUT",
            "user/server/7",
            None,
            &json!({"migration_status": "Cutover complete"}),
        );
        assert_eq!(changed.body["migration_status"], "Cutover complete");
        assert_eq!(apis.cmf[0]["migration_status"], "Cutover complete");
        assert_eq!(
            answer(&mut apis, "PUT", "user/server/8", None, &json!({})).status,
            404
        );
    }
}
