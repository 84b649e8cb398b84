//! The CMDB.

use landfall_domain::ErrorName;
use landfall_domain::request::CmdbItem;
use landfall_external::cmdb::Cmdb;
use landfall_external::http_client;
use serde_json::json;

use crate::server::{REFUSAL, Server};

#[tokio::test]
async fn nobody_at_home_is_transient() {
    let http = http_client().unwrap();
    // Port 1 is reserved and nothing listens there.
    let cmdb = Cmdb::new(&http, "http://127.0.0.1:1/cmdb", REFUSAL).unwrap();
    let item = CmdbItem {
        table: "cmdb_ci_server".into(),
        sys_id: "abc".into(),
    };
    let error = cmdb.get(&item).await.unwrap_err();
    assert_eq!(error.name, ErrorName::DependencyUnavailable);
    assert_eq!(error.message, "CMDB: reading an item could not be reached");
}

#[tokio::test]
async fn an_item_of_the_cmdb_is_read_and_changed() {
    let item = CmdbItem {
        table: "cmdb_ci_server".into(),
        sys_id: "abc".into(),
    };
    let missing =
        json!({"error": {"message": "No Record found", "detail": "x"}, "status": "failure"});
    let server = Server::with([
        (200, json!({"result": {"sys_id": "abc"}})),
        (
            200,
            json!({"result": {"sys_id": "abc", "ip_address": "10.0.0.1"}}),
        ),
        (404, missing),
        (200, json!([])),
    ])
    .await;
    let http = http_client().unwrap();
    let cmdb = Cmdb::new(&http, &format!("{}/cmdb", server.url), REFUSAL).unwrap();
    assert_eq!(cmdb.get(&item).await.unwrap()["sys_id"], "abc");
    let changed = cmdb
        .patch(&item, &json!({"ip_address": "10.0.0.1"}))
        .await
        .unwrap();
    assert_eq!(changed["ip_address"], "10.0.0.1");
    assert_eq!(cmdb.get(&item).await.unwrap_err().name, REFUSAL);
    assert_eq!(cmdb.get(&item).await.unwrap_err().name, REFUSAL);
    let lines = server.lines();
    assert_eq!(lines[1], "PATCH /cmdb/api/now/table/cmdb_ci_server/abc");
}
