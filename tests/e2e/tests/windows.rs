//! Windows and freezes in the middle of a switch: what is held, what it says of it, and that it goes on.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use landfall_domain::finalize::{self, State, Step};
use landfall_domain::gate::Gate;
use landfall_domain::{EventType, MigrationRecord, Status};
use landfall_e2e::people::Person;
use landfall_e2e::source::{Source, seed};
use landfall_e2e::zone::Zone;
use landfall_e2e::{Migration, Stack, account, poll, raw, unique};
use serde_json::{Value, json};
use tokio::sync::RwLock;

/// A freeze holds whoever is there: its test has the stack for itself, by writing.
static STACK: RwLock<()> = RwLock::const_new(());

/// How long a migration may take here: its launches, and what it waits for.
const LONG: Duration = Duration::from_mins(6);

/// The parameter of the local stack.
const PARAMETER: &str = "/landfall/freeze-calendar";

async fn submitted(stack: &Stack, source: &Source) -> Migration {
    // Whoever runs the night on the same stack makes the workflow's waits pass in no time: a target needs time to start.
    let mut checks = source.request["healthChecks"].clone();
    checks[0]["attempts"] = 20.into();
    checks[0]["intervalSeconds"] = 1.into();
    let source = &source.clone().request("healthChecks", checks);
    stack.seed(&seed([source])).await;
    stack.submit(&[source.message()]).await;
    Migration::new(stack, source.id())
}

/// Waits until a record is as it should be.
async fn record(
    migration: &Migration,
    what: &str,
    fits: impl Fn(&MigrationRecord) -> bool,
) -> MigrationRecord {
    poll::poll_for(LONG, what, async || match migration.record().await {
        Some(record) if fits(&record) => Ok(record),
        Some(record) => Err(format!("{} held by {:?}", record.status, record.held)),
        None => Err("no record".to_owned()),
    })
    .await
}

async fn held(migration: &Migration, code: &str, at: Status) -> MigrationRecord {
    let is_held = |record: &MigrationRecord| {
        let held = record.held.as_ref();
        record.status == Status::AwaitingWindow && held.is_some_and(|it| it.code == code)
    };
    let record = record(migration, code, is_held).await;
    assert_eq!(record.stage(), at);
    let history = migration.history().await;
    let told = history
        .iter()
        .rfind(|it| it.event_type == EventType::SwitchHeld);
    let told = &told.expect("SwitchHeld").detail;
    assert_eq!(told.reason_code.as_deref(), Some(code), "{told:?}");
    record
}

/// From an instant on, for a time, once.
fn window(from: Timestamp, length: SignedDuration) -> Value {
    let local = |at: Timestamp| {
        let at = at.to_zoned(TimeZone::UTC);
        at.strftime("%Y-%m-%dT%H:%M:%S").to_string()
    };
    let end = from.checked_add(length).expect("a time");
    json!({"start": local(from), "end": local(end), "timeZone": "UTC"})
}

fn after(seconds: i64) -> Timestamp {
    let time = Timestamp::now().checked_add(SignedDuration::from_secs(seconds));
    time.expect("a time")
}

#[tokio::test]
async fn a_cutover_waits_until_the_request_s_window_opens() {
    let (stack, run, _shared) = (Stack::load().await, unique(), STACK.read().await);
    let opens = after(120);
    let window = window(opens, SignedDuration::from_hours(2));
    let source = Source::new(&stack, &run, "opens").request("policy", json!({"window": window}));
    let migration = submitted(&stack, &source).await;
    let waiting = held(&migration, "OUTSIDE_WINDOW", Status::ReadyForCutover).await;
    let why = waiting.held.expect("why").message;
    assert!(
        why.contains("the request's window is shut; it opens at"),
        "{why}"
    );
    assert!(waiting.done.cutover.is_none());
    let waking = account::wake(&stack);
    let record = migration.ended_within(LONG).await;
    waking.abort();
    assert_eq!((record.status, record.failure), (Status::Succeeded, None));
    let started: Timestamp = record
        .done
        .cutover
        .expect("a cutover")
        .started_at
        .parse()
        .expect("a time");
    assert!(
        started.as_second() >= opens.as_second(),
        "started at {started}, it opened at {opens}"
    );
    let events = migration.events().await;
    assert!(events.contains(&EventType::SwitchContinued), "{events:?}");
}

#[tokio::test]
async fn a_wave_s_window_that_shuts_between_two_steps_holds_the_next() {
    let (stack, run, _shared) = (Stack::load().await, unique(), STACK.read().await);
    let ann = Person::new(&stack, &run, "ann").await;
    let rules = json!([{"gate": "finalize", "approvers": [&ann.arn]}]);
    let source = Source::new(&stack, &run, "shuts").request("policy", json!({"approvals": rules}));
    let wave = source.request["wave"].clone();
    let order = async |more: Value| {
        let mut order = json!({"order": "window", "wave": wave, "reason": "as the test says"});
        for (name, value) in more.as_object().expect("an object") {
            order[name] = value.clone();
        }
        ann.send(&stack, "orders", &order).await
    };
    let open = window(after(-3600), SignedDuration::from_hours(5));
    let (status, said) = order(json!({"window": open})).await;
    assert_eq!(
        (status, &said["order"]["by"]),
        (200, &json!(ann.arn)),
        "{said}"
    );
    for (more, pointer) in [
        (
            json!({"window": {"start": "x", "end": "y", "timeZone": "UTC"}}),
            "/window/start",
        ),
        (json!({}), "/window"),
        (json!({"clear": true, "window": open}), "/window"),
    ] {
        let (status, said) = order(more).await;
        assert_eq!(
            (status, &said["finding"]["pointer"]),
            (400, &json!(pointer)),
            "{said}"
        );
    }

    let migration = submitted(&stack, &source).await;
    let id = migration.key.migration_id.as_str();
    let cut_over = record(&migration, "the finalize gate", |record| {
        record.gate(Gate::Finalize).is_some()
    })
    .await;
    assert!(cut_over.done.cutover.is_some(), "the window was open");
    let (status, said) =
        order(json!({"window": window(after(86_400), SignedDuration::from_hours(1))})).await;
    assert_eq!(status, 200, "{said}");
    let (status, said) = ann.answer(&stack, id, "finalize", "approve").await;
    assert_eq!(status, 200, "{said}");
    let waiting = held(&migration, "OUTSIDE_WINDOW", Status::CutoverVerified).await;
    let why = waiting.held.expect("why").message;
    assert!(why.contains("the window of wave"), "{why}");
    assert!(waiting.done.finalized_at.is_none());

    let (status, said) = order(json!({"clear": true})).await;
    assert_eq!((status, &said["window"]), (200, &Value::Null), "{said}");
    let record = migration.ended_within(LONG).await;
    assert_eq!((record.status, record.failure), (Status::Succeeded, None));
    let events = migration.events().await;
    assert!(events.contains(&EventType::SwitchContinued), "{events:?}");
}

/// For how many seconds resolvers keep the old address: ample for what is done before it is over.
const OLD_TTL: i64 = 90;
const OLD_ADDRESS: &str = "192.0.2.10";

/// Sets the window of a wave, or clears it.
async fn wave_window(stack: &Stack, person: &Person, wave: &Value, window: Option<Value>) {
    let mut order = json!({"order": "window", "wave": wave, "reason": "as the test says"});
    match window {
        Some(window) => order["window"] = window,
        None => order["clear"] = true.into(),
    }
    let (status, said) = person.send(stack, "orders", &order).await;
    assert_eq!(status, 200, "{said}");
}

/// The sub-steps of the finalize that are over, and no other one has begun.
fn over(record: &MigrationRecord) -> Vec<Step> {
    let notes = record.done.finalize.iter();
    let steps = notes.map(|note| {
        assert_ne!(note.state, State::Begun, "{note:?}");
        note.step
    });
    steps.filter(|step| *step != Step::Cmf).collect()
}

/// How often something was called that changes what a server is about, and took effect.
async fn calls(stack: &Stack, service: &str, operation: &str, about: &str) -> usize {
    let calls = stack.simulator(&format!("calls?service={service}")).await;
    let named = |call: &&Value| {
        let name = call["operation"].as_str().unwrap_or_default();
        call["ok"] == true && name.contains(operation) && call.to_string().contains(about)
    };
    let calls = calls.as_array().expect("a list of calls");
    calls.iter().filter(named).count()
}

#[tokio::test]
async fn a_window_that_shuts_between_two_sub_steps_of_the_finalize_holds_the_next() {
    let (stack, run, _shared) = (Stack::load().await, unique(), STACK.read().await);
    let ann = Person::new(&stack, &run, "ann").await;
    let zone = Zone::new(&stack, &run).await;
    zone.put("app", OLD_TTL, OLD_ADDRESS).await;
    let name = zone.name("app");
    let dns = json!([{"hostedZoneId": zone.id, "name": name, "type": "A", "ttl": 30}]);
    let source = Source::new(&stack, &run, "between").in_azure(&stack).await;
    let source = source
        .request("dns", dns)
        .request("cmdb", json!({"table": "cmdb_ci_server", "sysId": run}));
    let item = json!({"table": "cmdb_ci_server", "sys_id": run, "ip_address": OLD_ADDRESS});
    stack.seed(&json!({"cmdb": [item]})).await;
    let wave = source.request["wave"].clone();
    let tomorrow = || Some(window(after(86_400), SignedDuration::from_hours(1)));
    let item = async || {
        let state = stack.simulator("state").await;
        state["cmdb"]["cmdb_ci_server"][&run]["ip_address"].clone()
    };
    let running = async || {
        let state = stack.simulator("state").await;
        state["machines"][source.vm()]["running"].clone()
    };
    // It shuts while the names are being changed: their change is let end, and the CMDB is not told.
    let hold = json!({
        "service": "route53", "operation": "ChangeResourceRecordSets", "kind": "hold", "server": name,
        // The SDK asks again when an answer takes long, and the same again is no change.
        "count": 1_000,
    });
    stack.post("faults", &hold).await;
    let migration = submitted(&stack, &source).await;
    record(&migration, "the change of the names", |record| {
        finalize::note(&record.done, Step::Dns).is_some_and(|it| it.state == State::Begun)
    })
    .await;
    poll("a held answer of Route 53", async || {
        let held = stack.simulator("held").await;
        let is_ours = held[0]["service"] == "route53";
        is_ours.then_some(()).ok_or_else(|| held.to_string())
    })
    .await;
    wave_window(&stack, &ann, &wave, tomorrow()).await;
    stack.delete(&format!("faults?server={name}")).await;
    stack.post("release", &json!({})).await;
    let waiting = held(&migration, "OUTSIDE_WINDOW", Status::Finalizing).await;
    assert_eq!(over(&waiting), [Step::Dns]);
    let why = waiting.held.as_ref().expect("why").message.clone();
    assert!(why.contains("the window of wave"), "{why}");
    let history = migration.history().await;
    let mut told = history.iter().rev();
    let told = told.find(|it| it.event_type == EventType::SwitchHeld);
    let told = told.expect("SwitchHeld").detail.evidence.as_ref();
    assert_eq!(told.expect("evidence")["before"], "CMDB");
    assert_ne!(zone.held("app").await.1, OLD_ADDRESS);
    assert_eq!(item().await, OLD_ADDRESS);

    // Open again, it goes on to the time in which resolvers still keep the old address …
    let open = window(after(-3600), SignedDuration::from_hours(5));
    wave_window(&stack, &ann, &wave, Some(open)).await;
    let waiting = held(&migration, "DNS_TTL", Status::Finalizing).await;
    assert_eq!(over(&waiting), [Step::Dns, Step::Cmdb, Step::TargetSealed]);
    assert_ne!(item().await, OLD_ADDRESS);
    // … and is shut when that is over: the source stays on.
    wave_window(&stack, &ann, &wave, tomorrow()).await;
    let waking = account::wake(&stack);
    let waiting = held(&migration, "OUTSIDE_WINDOW", Status::Finalizing).await;
    assert_eq!(over(&waiting), [Step::Dns, Step::Cmdb, Step::TargetSealed]);
    let note = finalize::note(&waiting.done, Step::Dns).expect("the names");
    let changed: Timestamp = note.at.parse().expect("a time");
    assert!(Timestamp::now().duration_since(changed).as_secs() >= OLD_TTL);
    assert_eq!(running().await, true);

    wave_window(&stack, &ann, &wave, None).await;
    let record = migration.ended_within(LONG).await;
    waking.abort();
    assert_eq!(
        (record.status, record.failure.clone()),
        (Status::Succeeded, None)
    );
    let all = [
        Step::Dns,
        Step::Cmdb,
        Step::TargetSealed,
        Step::SourcePowerOff,
        Step::MgnFinalize,
    ];
    assert_eq!(over(&record), all);
    assert_eq!(running().await, false);
    let again = finalize::note(&record.done, Step::Dns).expect("the names");
    assert_eq!(again.at, note.at, "they are changed once");
    assert_taken_once(&migration, &record, &source).await;
}

/// Each sub-step was taken once, and each hold told of once.
async fn assert_taken_once(migration: &Migration, record: &MigrationRecord, source: &Source) {
    let stack = &migration.stack;
    let item = source.request["cmdb"]["sysId"].as_str().expect("an ID");
    let host = source.machine["hostname"].as_str().expect("a name");
    let server = record.source_server_id.as_deref().expect("a server");
    for (service, operation, about) in [
        ("cmdb", "PATCH", item),
        ("azure", "/deallocate", host),
        ("mgn", "FinalizeCutover", server),
    ] {
        let made = calls(stack, service, operation, about).await;
        assert_eq!(made, 1, "{operation}");
    }
    let events = migration.events().await;
    let count = |wanted| events.iter().filter(|it| **it == wanted).count();
    assert_eq!(count(EventType::FinalizeStarted), 1);
    assert_eq!(count(EventType::SwitchHeld), 3, "{events:?}");
    assert_eq!(count(EventType::SwitchContinued), 2, "{events:?}");
}

async fn put_calendar(stack: &Stack, events: &str) {
    let text =
        format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//e2e//EN\r\n{events}END:VCALENDAR\r\n");
    let put = json!({"Name": PARAMETER, "Type": "String", "Overwrite": true, "Value": text});
    raw::json(stack, "ssm", "AmazonSSM.PutParameter", &put).await;
}

#[tokio::test]
async fn a_freeze_that_begins_after_the_cutover_holds_the_finalize() {
    let (stack, run, _alone) = (Stack::load().await, unique(), STACK.write().await);
    let ann = Person::new(&stack, &run, "ann").await;
    let rules = json!([{"gate": "finalize", "approvers": [&ann.arn]}]);
    let source = Source::new(&stack, &run, "frozen").request("policy", json!({"approvals": rules}));
    // Further ahead than what any function still remembers of the calendar before.
    let (begins, ends) = (after(120), after(210));
    let ical = |at: Timestamp| at.strftime("%Y%m%dT%H%M%SZ").to_string();
    let event = format!(
        "BEGIN:VEVENT\r\nUID:{run}\r\nSUMMARY:Audit {run}\r\nDTSTART:{}\r\nDTEND:{}\r\nEND:VEVENT\r\n",
        ical(begins),
        ical(ends)
    );
    put_calendar(&stack, &event).await;
    let migration = submitted(&stack, &source).await;
    let id = migration.key.migration_id.as_str();
    record(&migration, "the finalize gate, in the freeze", |record| {
        record.gate(Gate::Finalize).is_some() && Timestamp::now() > begins
    })
    .await;
    let (status, said) = ann.answer(&stack, id, "finalize", "approve").await;
    assert_eq!(status, 200, "{said}");
    let waiting = held(&migration, "FREEZE_ACTIVE", Status::CutoverVerified).await;
    let why = waiting.held.expect("why").message;
    assert!(why.contains(&format!("Audit {run}")), "{why}");
    let waking = account::wake(&stack);
    let record = migration.ended_within(LONG).await;
    waking.abort();
    put_calendar(&stack, "").await;
    assert_eq!((record.status, record.failure), (Status::Succeeded, None));
    let finalized: Timestamp = record
        .done
        .finalized_at
        .expect("finalized")
        .parse()
        .expect("a time");
    assert!(
        finalized.as_second() >= ends.as_second(),
        "finalized at {finalized}, frozen until {ends}"
    );
}
