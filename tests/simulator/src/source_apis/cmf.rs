//! Cloud Migration Factory: its login API, and the wave, application and server records of its user API.
//!
//! As the released code behaves: a list ignores its query, what is not there is a 400, an empty text takes a member away,
//! and the token of a sign-in is the `Authorization` header as it is.

use serde_json::{Value, json};

use super::{Answer, SourceApis};

/// The password that nobody has.
const WRONG: &str = "wrong";

/// The values of `wave_status` in the default schema.
const WAVE_STATUSES: [&str; 5] = [
    "Not started",
    "Planning",
    "In progress",
    "Completed",
    "Blocked",
];

/// A request.
#[derive(Debug)]
pub struct Request<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its path below `/cmf/`.
    pub path: &'a str,
    /// Its `Authorization` header.
    pub authorization: Option<&'a str>,
    /// Its body; null when there is none.
    pub body: &'a Value,
}

/// The schema that a record belongs to, by the ID it has.
pub fn schema(record: &Value) -> Option<&'static str> {
    // A server has its application's ID too, and an application its wave's.
    ["server", "app", "wave"]
        .into_iter()
        .find(|schema| !record[format!("{schema}_id")].is_null())
}

/// Whether two records are one.
pub fn same(one: &Value, other: &Value) -> bool {
    match (schema(one), schema(other)) {
        (Some(own), Some(its)) => own == its && id(one, own) == id(other, its),
        _ => false,
    }
}

/// Answers `POST /login`, `GET /user/{schema}`, `GET` and `PUT /user/{schema}/{id}`.
pub fn answer(apis: &mut SourceApis, request: &Request<'_>, wants_token: bool) -> Answer {
    let parts: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    if let ("POST", ["login"]) = (request.method, &parts[..]) {
        return sign_in(apis, request.body);
    }
    let known = |token| apis.tokens.knows("cmf", token);
    if wants_token && !request.authorization.is_some_and(known) {
        return Answer::new(401, json!({"message": "Unauthorized"}));
    }
    match (request.method, &parts[..]) {
        ("GET", ["user", name]) => {
            let of = |record: &&Value| schema(record) == Some(*name);
            Answer::new(200, apis.cmf.iter().filter(of).cloned().collect())
        }
        (method @ ("GET" | "PUT"), ["user", name, wanted]) => {
            let found = apis
                .cmf
                .iter_mut()
                .find(|record| schema(record) == Some(*name) && id(record, name) == *wanted);
            match found {
                None => refused(&json!(format!("{name} Id: {wanted} does not exist"))),
                Some(record) if method == "PUT" => change(record, request.body),
                Some(record) => Answer::new(200, record.clone()),
            }
        }
        _ => Answer::new(404, json!({"message": "no such resource"})),
    }
}

fn sign_in(apis: &mut SourceApis, body: &Value) -> Answer {
    let given = |member: &str| body[member].as_str().filter(|text| !text.is_empty());
    match (given("username"), given("password")) {
        (Some(_), Some(password)) if password != WRONG => {
            Answer::new(200, apis.tokens.hand_out("cmf").into())
        }
        // The real one answers with a bare text.
        _ => Answer::new(400, json!("Incorrect username or password")),
    }
}

fn change(record: &mut Value, changes: &Value) -> Answer {
    let (Some(record), Some(changes)) = (record.as_object_mut(), changes.as_object()) else {
        return refused(&json!("malformed json input"));
    };
    if let Some(status) = changes.get("wave_status").and_then(Value::as_str)
        && !WAVE_STATUSES
            .iter()
            .any(|it| it.eq_ignore_ascii_case(status))
    {
        let allowed = WAVE_STATUSES.join(",");
        let text = format!(
            "Attribute wave_status's value does not match any of the allowed values '{allowed}' defined in the schema"
        );
        return refused(&json!([text]));
    }
    record.extend(changes.clone());
    record.retain(|_, value| value != "");
    Answer::new(200, json!({"ResponseMetadata": {"HTTPStatusCode": 200}}))
}

fn refused(what: &Value) -> Answer {
    Answer::new(400, json!({ "errors": [what] }))
}

fn id(record: &Value, schema: &str) -> String {
    match &record[format!("{schema}_id")] {
        Value::String(id) => id.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apis() -> SourceApis {
        SourceApis {
            cmf: vec![
                json!({"wave_id": "3", "wave_name": "wave-3"}),
                json!({"app_id": "5", "app_name": "billing", "wave_id": "3"}),
                json!({"server_id": 7, "server_name": "web-01", "app_id": "5", "migration_status": "Ready"}),
            ],
            ..SourceApis::default()
        }
    }

    fn ask(apis: &mut SourceApis, method: &str, path: &str, body: &Value) -> Answer {
        let request = Request {
            method,
            path,
            authorization: None,
            body,
        };
        answer(apis, &request, false)
    }

    #[test]
    fn each_schema_has_its_records() {
        let mut apis = apis();
        for (schema, name) in [("wave", "wave-3"), ("app", "billing"), ("server", "web-01")] {
            let list = ask(&mut apis, "GET", &format!("user/{schema}"), &Value::Null).body;
            assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
            assert_eq!(list[0][format!("{schema}_name")], name);
        }
        assert_eq!(
            ask(&mut apis, "GET", "user/database", &Value::Null).body,
            json!([])
        );
        assert_eq!(
            ask(&mut apis, "GET", "admin/schema", &Value::Null).status,
            404
        );
    }

    #[test]
    fn a_record_is_changed_by_its_id_and_what_is_not_there_is_a_400() {
        let mut apis = apis();
        let done = json!({"migration_status": "done"});
        assert_eq!(ask(&mut apis, "PUT", "user/server/7", &done).status, 200);
        let record = ask(&mut apis, "GET", "user/server/7", &Value::Null).body;
        assert_eq!(record["migration_status"], "done");
        let empty = json!({"migration_status": ""});
        ask(&mut apis, "PUT", "user/server/7", &empty);
        let record = ask(&mut apis, "GET", "user/server/7", &Value::Null).body;
        assert_eq!(record.get("migration_status"), None);
        let missing = ask(&mut apis, "PUT", "user/server/8", &done);
        assert_eq!(missing.status, 400);
        assert_eq!(missing.body["errors"][0], "server Id: 8 does not exist");
    }

    #[test]
    fn a_wave_takes_only_the_statuses_of_its_schema() {
        let mut apis = apis();
        let set = |apis: &mut SourceApis, status: &str| {
            ask(apis, "PUT", "user/wave/3", &json!({"wave_status": status})).status
        };
        assert_eq!(set(&mut apis, "In progress"), 200);
        assert_eq!(set(&mut apis, "Landfall: preparing"), 400);
        assert_eq!(apis.cmf[0]["wave_status"], "In progress");
    }

    #[test]
    fn a_token_comes_from_signing_in() {
        let mut apis = apis();
        let sign_in = |apis: &mut SourceApis, password: &str| {
            let body = json!({"username": "landfall", "password": password});
            ask(apis, "POST", "login", &body)
        };
        assert_eq!(sign_in(&mut apis, "wrong").status, 400);
        let token = sign_in(&mut apis, "right").body;
        let asks = |apis: &mut SourceApis, authorization: Option<&str>| {
            let request = Request {
                method: "GET",
                path: "user/wave",
                authorization,
                body: &Value::Null,
            };
            answer(apis, &request, true).status
        };
        assert_eq!(asks(&mut apis, token.as_str()), 200);
        let bearer = format!("Bearer {}", token.as_str().unwrap());
        for bad in [None, Some("x"), Some(bearer.as_str())] {
            assert_eq!(asks(&mut apis, bad), 401, "{bad:?}");
        }
    }
}
