//! A `ServiceNow` CMDB: the Table API for one record.

use serde_json::{Value, json};

use super::{Answer, SourceApis};

/// Answers `GET` and `PATCH /api/now/table/{table}/{sys_id}`.
pub fn answer(apis: &mut SourceApis, method: &str, path: &str, body: &Value) -> Answer {
    let parts = path
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
    if matches!(method, "PATCH" | "PUT")
        && let (Some(record), Some(changes)) = (record.as_object_mut(), body.as_object())
    {
        record.extend(changes.clone());
    }
    Answer::new(200, json!({"result": record}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_and_changed() {
        let mut apis = SourceApis::default();
        apis.cmdb
            .entry("cmdb_ci_server".into())
            .or_default()
            .insert("abc".into(), json!({"sys_id": "abc"}));
        let path = "api/now/table/cmdb_ci_server/abc";
        answer(&mut apis, "PATCH", path, &json!({"install_status": "7"}));
        assert_eq!(
            answer(&mut apis, "GET", path, &Value::Null).body["result"]["install_status"],
            "7"
        );
        assert_eq!(
            answer(
                &mut apis,
                "GET",
                "api/now/table/cmdb_ci_server/no",
                &Value::Null
            )
            .status,
            404
        );
    }
}
