//! `landfall status` against a table that has nothing.

use serde_json::{Value, json};

use crate::support::{self, Aws, Folder};

#[tokio::test]
async fn an_unknown_migration_is_json_for_a_script_and_an_exit_code() {
    let aws = Aws::new(async |seen| {
        let nothing = if seen.operation.ends_with(".Query") {
            json!({"Items": [], "Count": 0})
        } else {
            json!({})
        };
        support::json(
            200,
            &[("content-type", "application/x-amz-json-1.0")],
            &nothing,
        )
    })
    .await;
    let here = [("AWS_ENDPOINT_URL", aws.url.as_str())];
    let folder = Folder::new();
    let ended = folder
        .landfall(&["status", "mig-9", "--json", "--table", "t"], &here)
        .await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let story: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(story["record"], Value::Null);
    assert_eq!(
        (&story["history"], &story["rejections"]),
        (&json!([]), &json!([]))
    );
    assert!(ended.stderr.contains("no migration mig-9"), "{ended:?}");

    let ended = folder
        .landfall(&["status", "mig-9", "--table", "t"], &here)
        .await;
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(3), ""),
        "{ended:?}"
    );

    let seen = aws.seen();
    assert!(seen.iter().any(|it| it.operation.ends_with(".GetItem")));
    for request in seen {
        assert_eq!(request.path, "/");
        assert_eq!(request.body["TableName"], "t", "{request:?}");
    }
}
