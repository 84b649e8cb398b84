//! Cloud Migration Factory and the CMDB.

use landfall_domain::ErrorName;
use landfall_domain::request::CmdbItem;
use landfall_external::cmdb::Cmdb;
use landfall_external::cmf::{Cmf, CmfServer};
use landfall_external::http_client;
use serde_json::{Value, json};

use crate::server::{REFUSAL, Server};

#[tokio::test]
async fn nobody_at_home_is_transient() {
    let http = http_client().unwrap();
    // Port 1 is reserved and nothing listens there.
    let cmf = Cmf::new(&http, "http://127.0.0.1:1/cmf", REFUSAL).unwrap();
    let error = cmf.server("web-01").await.unwrap_err();
    assert_eq!(error.name, ErrorName::DependencyUnavailable);
    assert_eq!(
        error.message,
        "CMF: the search for a server could not be reached"
    );
}

#[tokio::test]
async fn cmf_finds_one_server_by_its_name() {
    let record = |id: Value, name: &str| json!({"server_id": id, "server_name": name, "migration_status": "Ready"});
    let server = Server::with([
        (
            200,
            json!([record(json!(7), "web-01"), record(json!("8"), "web-02")]),
        ),
        (200, json!([])),
        (
            200,
            json!([record(json!("1"), "web-01"), record(json!("2"), "web-01")]),
        ),
        (200, json!({})),
        (404, json!({"errors": ["no"]})),
        (200, record(json!("7"), "web-01")),
        (404, Value::Null),
    ])
    .await;
    let http = http_client().unwrap();
    let cmf = Cmf::new(&http, &format!("{}/cmf", server.url), REFUSAL).unwrap();
    let ready = CmfServer {
        id: "7".into(),
        status: "Ready".into(),
    };
    assert_eq!(cmf.server("web-01").await.unwrap(), Some(ready.clone()));
    assert_eq!(cmf.server("web-01").await.unwrap(), None);
    assert_eq!(cmf.server("web-01").await.unwrap_err().name, REFUSAL);
    cmf.set_status("7", "Done").await.unwrap();
    assert_eq!(cmf.set_status("8", "Done").await.unwrap_err().name, REFUSAL);
    assert_eq!(cmf.server_by_id("7").await.unwrap(), Some(ready));
    assert_eq!(cmf.server_by_id("8").await.unwrap(), None);
    let lines = server.lines();
    assert_eq!(lines[0], "GET /cmf/user/server?server_name=web-01");
    assert_eq!(lines[3], "PUT /cmf/user/server/7");
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
