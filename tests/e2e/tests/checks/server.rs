//! The server as MGN knows it, and its disks.

use landfall_e2e::{Stack, raw, unique};
use serde_json::{Value, json};

use crate::{STACK, assert_told, codes, here, installed, source};
use landfall_e2e::source::Source;

#[tokio::test]
async fn what_mgn_says_of_the_server_is_judged() {
    let (stack, run, _shared) = (Stack::load().await, unique(), STACK.read().await);
    let names = ["twin-a", "twin-b", "gone", "archived", "over", "busy"];
    let sources: Vec<Source> = names
        .iter()
        .map(|name| source(&stack, &run, name))
        .collect();
    let ids = installed(&stack, &sources.iter().collect::<Vec<_>>()).await;
    let mgn = async |operation: &str, body: Value| {
        raw::mgn(&stack, here(&stack), operation, &body).await;
    };
    let launch = |at: usize| {
        let source = sources[at].clone();
        source.request("steps", json!(["validate"])).request
    };
    assert_told(&stack, &launch(5), &[]).await;
    let unknown = sources[0]
        .clone()
        .request("sourceVmId", "vm-nobody-has")
        .request("steps", json!(["validate"]));
    assert_told(&stack, &unknown.request, &["SERVER_NOT_FOUND"]).await;

    let name = &sources[0].machine["sourceVmId"];
    let rename = json!({"sourceServerID": ids[1], "userProvidedID": name});
    mgn("UpdateSourceServer", rename).await;
    assert_told(&stack, &launch(0), &["SERVER_AMBIGUOUS"]).await;
    mgn("DisconnectFromService", json!({"sourceServerID": ids[2]})).await;
    assert_told(&stack, &launch(2), &["SERVER_DISCONNECTED"]).await;
    mgn("DisconnectFromService", json!({"sourceServerID": ids[3]})).await;
    mgn("MarkAsArchived", json!({"sourceServerID": ids[3]})).await;
    assert_told(&stack, &launch(3), &["SERVER_ARCHIVED"]).await;
    let over = json!({"sourceServerID": ids[4], "lifeCycle": {"state": "CUTOVER"}});
    mgn("ChangeServerLifeCycleState", over).await;
    assert_told(&stack, &launch(4), &["LIFECYCLE_NOT_ALLOWED"]).await;
    mgn("StartTest", json!({"sourceServerIDs": [ids[5]]})).await;
    let busy = codes(&stack, &launch(5), false).await;
    assert!(busy.contains(&"ACTIVE_JOB_EXISTS".to_owned()), "{busy:?}");
}

#[tokio::test]
async fn disks_become_what_their_size_and_place_allow() {
    let (stack, run, _shared) = (Stack::load().await, unique(), STACK.read().await);
    let gib = |size: u64| size << 30;
    let known = source(&stack, &run, "disks").machine(
        "disks",
        json!([
            {"deviceName": "/dev/xvda", "bytes": gib(200)},
            {"deviceName": "/dev/xvdb", "bytes": gib(8)},
        ]),
    );
    installed(&stack, &[&known]).await;
    let disk = |name: &str, more: Value| {
        let mut disk = json!({"deviceName": name});
        let members = more.as_object().expect("members").clone();
        disk.as_object_mut().expect("an object").extend(members);
        disk
    };
    let gp3 = json!({"volumeType": "gp3"});
    let (boot, data) = ("/dev/xvda", "/dev/xvdb");
    let table: [(Value, &[&str]); 7] = [
        (
            json!([disk(boot, gp3.clone()), disk(data, gp3.clone())]),
            &[],
        ),
        (json!([disk("/dev/xvdz", gp3.clone())]), &["DISK_NOT_FOUND"]),
        (
            json!([disk(boot, json!({"volumeType": "st1"}))]),
            &["DISK_NOT_BOOTABLE"],
        ),
        (
            json!([disk(data, json!({"volumeType": "st1"}))]),
            &["DISK_SIZE_NOT_ALLOWED"],
        ),
        (
            json!([disk(data, json!({"volumeType": "io1", "iops": 401}))]),
            &["DISK_IOPS_TOO_HIGH"],
        ),
        (
            json!([disk(data, json!({"volumeType": "gp3", "throughput": 751}))]),
            &["DISK_THROUGHPUT_TOO_HIGH"],
        ),
        (
            json!([disk(data, gp3.clone()), disk(data, gp3.clone())]),
            &["DISK_NAMED_TWICE"],
        ),
    ];
    for (disks, expected) in table {
        let request = known.clone().request("disks", disks).request;
        assert_told(&stack, &request, expected).await;
    }
    // One that MGN does not have yet is judged as far as that goes.
    let new = source(&stack, &run, "new").request(
        "disks",
        json!([
            disk(data, gp3.clone()),
            disk(data, gp3),
            disk(boot, json!({"volumeType": "gp3", "throughput": 751}))
        ]),
    );
    let expected = ["DISK_NAMED_TWICE", "DISK_THROUGHPUT_TOO_HIGH"];
    assert_told(&stack, &new.request, &expected).await;
}
