//! The demo's servers: what is asked for each, how each must end, and the closing table.

use landfall_domain::{MigrationRecord, Status};
use serde_json::Value;

use crate::commands::submit::Sent;
use crate::output::table::{self, Cell};
use crate::output::text::{Palette, between};
use crate::requests::{self, Document};

/// The world of the demo: its source servers and what surrounds them.
pub(super) const SEED: &str = include_str!("../../../demo/seed.json");
/// The wave that the requests name.
pub(super) const WAVE: &str = "demo";
/// The callback sink that the requests name.
pub(super) const SINK: &str = "demo";

/// The requests by file, and how each must end.
const REQUESTS: [(&str, &str, Status); 5] = [
    (
        "demo/web-01.json",
        include_str!("../../../demo/web-01.json"),
        Status::Succeeded,
    ),
    (
        "demo/app-02.json",
        include_str!("../../../demo/app-02.json"),
        Status::Succeeded,
    ),
    // Its target never becomes healthy, so that everything done to it must be undone.
    (
        "demo/api-03.json",
        include_str!("../../../demo/api-03.json"),
        Status::RolledBack,
    ),
    (
        "demo/files-04.json",
        include_str!("../../../demo/files-04.json"),
        Status::Succeeded,
    ),
    (
        "demo/db-05.json",
        include_str!("../../../demo/db-05.json"),
        Status::Succeeded,
    ),
];

/// The messages to send, with the simulator's address filled in.
pub(super) fn documents(simulator_url: &str) -> Vec<Document> {
    REQUESTS
        .iter()
        .flat_map(|(file, template, _)| {
            requests::split(file, &template.replace("{simulatorUrl}", simulator_url))
        })
        .collect()
}

/// How a migration must end.
pub(super) fn expected(migration_id: &str) -> Option<Status> {
    REQUESTS
        .iter()
        .find(|(_, template, _)| template.contains(&format!("\"{migration_id}\"")))
        .map(|(_, _, status)| *status)
}

/// Whether a migration ended as it must.
pub(super) fn as_expected(record: &MigrationRecord) -> bool {
    expected(&record.migration_id) == Some(record.status)
}

/// The closing table.
pub(super) fn closing_table(records: &[MigrationRecord], palette: Palette) -> String {
    let seed: Value = serde_json::from_str(SEED).unwrap_or_default();
    let os = |vm: &str| {
        seed["servers"]
            .as_array()
            .and_then(|servers| servers.iter().find(|server| server["sourceVmId"] == vm))
            .and_then(|server| server["os"].as_str())
            .unwrap_or("?")
            .to_owned()
    };
    let rows = records
        .iter()
        .map(|record| {
            let status = record.status.as_str();
            let wanted = expected(&record.migration_id).map_or("?", Status::as_str);
            let verdict = if as_expected(record) {
                Cell::painted(wanted, palette.good(wanted))
            } else {
                Cell::painted(wanted, palette.bad(wanted))
            };
            let ended = record.ended_at.as_deref().unwrap_or_default();
            [
                record.migration_id.as_str().into(),
                record.request.source_vm_id.as_str().into(),
                os(&record.request.source_vm_id).into(),
                Cell::painted(status, palette.status(record.status, status)),
                verdict,
                between(&record.created_at, ended).into(),
                instance(record).into(),
            ]
        })
        .collect();
    table::text(
        [
            "MIGRATION",
            "SERVER",
            "OS",
            "ENDED",
            "EXPECTED",
            "DURATION",
            "INSTANCE",
        ],
        rows,
    )
}

/// The instance that runs now: none is left of a migration that was rolled back.
fn instance(record: &MigrationRecord) -> String {
    record
        .done
        .cutover
        .as_ref()
        .filter(|_| record.status == Status::Succeeded)
        .and_then(|launch| launch.instance_id.clone())
        .unwrap_or_else(|| "-".to_owned())
}

/// The correlation IDs that the callbacks must carry, by migration.
pub(super) fn correlations(sent: &[Sent]) -> Vec<(String, String)> {
    sent.iter()
        .filter_map(|sent| Some((sent.migration_id.clone()?, sent.correlation_id.clone())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::rows::tests::record;
    use serde_json::json;

    #[test]
    fn every_request_of_the_demo_is_valid_and_for_a_seeded_server() {
        let documents = documents("http://127.0.0.1:4570");
        assert_eq!(documents.len(), REQUESTS.len());
        assert_eq!(requests::check(&documents), []);
        let seed: Value = serde_json::from_str(SEED).unwrap();
        for document in &documents {
            let value = document.value.as_ref().unwrap();
            assert_eq!(value["wave"], WAVE);
            assert_eq!(
                value["callbackUrl"],
                format!("http://127.0.0.1:4570/sink/{SINK}")
            );
            let servers = seed["servers"].as_array().unwrap();
            let server = servers
                .iter()
                .find(|server| server["sourceVmId"] == value["sourceVmId"]);
            let healthy = server.unwrap()["healthy"] != json!(false);
            let status = expected(document.migration_id().unwrap()).unwrap();
            assert_eq!(healthy, status == Status::Succeeded);
        }
    }

    #[test]
    fn the_closing_table_reads_as_printed_here() {
        let launch =
            json!({"jobId": "j", "settingsDigest": "", "startedAt": "", "instanceId": "i-0abc"});
        let base = |id: &str, vm: &str, status: &str| {
            let mut record = record(&json!({
                "migrationId": id, "status": status, "endedAt": "2026-01-01T00:01:30Z", "done": {"cutover": launch}
            }));
            record.request.source_vm_id = vm.to_owned();
            record
        };
        let records = [
            base("demo-web-01", "vm-2001", "SUCCEEDED"),
            base("demo-api-03", "vm-2003", "ROLLED_BACK"),
            base("demo-files-04", "vm-2004", "FROZEN"),
        ];
        assert_eq!(
            closing_table(&records, Palette::OFF),
            "MIGRATION      SERVER   OS       ENDED        EXPECTED     DURATION  INSTANCE\n\
             demo-web-01    vm-2001  linux    SUCCEEDED    SUCCEEDED    1m 30s    i-0abc\n\
             demo-api-03    vm-2003  linux    ROLLED_BACK  ROLLED_BACK  1m 30s    -\n\
             demo-files-04  vm-2004  windows  FROZEN       SUCCEEDED    1m 30s    -\n"
        );
        let verdicts: Vec<bool> = records.iter().map(as_expected).collect();
        assert_eq!(verdicts, [true, true, false]);
    }
}
