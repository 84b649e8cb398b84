//! Whatever state of the workflow fails, the world is as it was before: the source on and answering, no target instance, DNS,
//! lifecycle, launch settings, CMDB and Cloud Migration Factory as before, and nothing held. The same after a failure in each
//! step of finalize, and where each call that a rollback changes something with fails once. Where the rollback itself dies, a
//! person's order restores the world; where the migration has succeeded, what fails then takes nothing back.
//!
//! The stack's own workflow is changed for as long as this runs: it fails where a migration's ID says so.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

#[path = "restored/calls.rs"]
mod calls;
#[path = "restored/cases.rs"]
mod cases;
#[path = "restored/ends.rs"]
mod ends;
#[path = "restored/workflow.rs"]
mod failing;
#[path = "restored/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use calls::{Call, Fault, Kind, Log};
use cases::{Case, End, Extra};
use ends::Scene;
use landfall_domain::{EventType, MigrationRecord, Status};
use landfall_e2e::people::Person;
use landfall_e2e::poll::poll_for;
use landfall_e2e::source::{self, Source};
use landfall_e2e::{Migration, Stack, raw, unique};
use serde_json::{Value, json};
use world::{Known, Whole, Zone};

/// How long the migrations may take that are under way at once.
const DEADLINE: Duration = Duration::from_mins(4);

/// So many migrations are under way at once: with many more a small machine answers some calls too late.
const AT_ONCE: usize = 20;

#[tokio::test]
async fn whatever_state_fails_the_world_is_as_it_was() {
    let stack = Stack::load().await;
    stack.delete("faults").await;
    let definition = failing::read(&stack).await;
    let all = cases::cases(&definition);
    assert!(all.len() > 60, "{all:?}");
    let changed = failing::failing(&definition, &cases::places(&all));
    failing::write(&stack, &changed).await;
    // In a task of its own, so that the definition is put back whatever comes of it.
    let local = tokio::task::LocalSet::new();
    let rounds = local.spawn_local({
        let stack = stack.clone();
        async move {
            let made = round(&stack, &all, &Calls::new()).await;
            let undone: Vec<_> = all
                .into_iter()
                .filter(|case| made.contains_key(&case.name))
                .collect();
            round(&stack, &undone, &made).await;
        }
    });
    let outcome = local.run_until(rounds).await;
    failing::write(&stack, &definition).await;
    stack.delete("faults").await;
    if let Err(failed) = outcome {
        std::panic::resume_unwind(failed.into_panic());
    }
}

/// With what calls the rollback of a case changed something.
type Calls = BTreeMap<String, Vec<Call>>;

/// A case that is played.
struct Played<'a> {
    case: &'a Case,
    known: Known,
    migration: Migration,
    before: Whole,
}

/// Plays every case; each of these calls of its rollback fails once. The calls of those that were rolled back.
async fn round(stack: &Stack, cases: &[Case], failing: &Calls) -> Calls {
    let run = unique();
    let scene = Scene {
        stack: stack.clone(),
        zone: Zone::new(stack, &run).await,
        run,
    };
    let approver = Person::new(stack, &scene.run, "ann").await;
    let operator = Person::new(stack, &scene.run, "op").await;
    let played = set_up(&scene, cases, &approver.arn).await;
    // What a fault is to meet is counted from here.
    stack.delete("calls").await;
    let mut faults = Vec::new();
    for it in &played {
        let [_, app] = scene.zone.names(&it.case.name);
        faults.extend(it.case.faults(&it.known, &app));
    }
    let refused = faults.len();
    faults.extend(faults_of(&played, failing, &scene.zone));
    for rule in &faults {
        stack.post("faults", rule).await;
    }
    let mut records = Vec::new();
    for group in played.chunks(AT_ONCE) {
        let messages: Vec<_> = group.iter().map(|it| it.known.source.message()).collect();
        for batch in messages.chunks(10) {
            stack.submit(batch).await;
        }
        for it in group {
            agree(&scene, it, &approver).await;
        }
        for it in group {
            stopped(&scene, it, &operator).await;
        }
        for it in group {
            records.push(restored(&scene, it).await);
        }
    }
    scene.assert_nothing_claimed().await;
    let left = stack.simulator("faults").await;
    assert_eq!(
        left,
        json!([]),
        "of {} faults some met no call",
        faults.len()
    );
    let log = Log::read(stack).await;
    let mut made = Calls::new();
    for (it, record) in played.iter().zip(&records) {
        let calls = log.of(it.case, &it.known, &record.done);
        if it.is_undone() && !calls.is_empty() {
            made.insert(it.case.name.clone(), calls);
        }
    }
    let names: Vec<_> = cases.iter().map(|case| case.name.clone()).collect();
    scene.zone.drop(&names).await;
    let failed = faults.len() - refused;
    println!(
        "{} migrations, {refused} refusals of finalize, {failed} failed calls of rollbacks",
        played.len()
    );
    made
}

/// Makes the sources of a round, and looks at each.
async fn set_up<'a>(scene: &Scene, cases: &'a [Case], approver: &str) -> Vec<Played<'a>> {
    let Scene { stack, run, zone } = scene;
    let secret = format!("landfall/source/e2e-{run}");
    let content = json!({"tenantId": "t", "clientId": "c", "clientSecret": "e2e-client-secret"});
    let create = stack.secrets.create_secret().name(&secret);
    let create = create.secret_string(content.to_string());
    create.send().await.expect("CreateSecret");
    let address = source::address(stack, run).await;
    let mut sources = Vec::new();
    for case in cases {
        let mut source = world::source(stack, run, &case.name, &secret, zone).await;
        for (name, value) in case.request(approver, &address) {
            source = source.request(name, value);
        }
        sources.push(source);
    }
    let mut seed = landfall_e2e::source::seed(&sources);
    let known = sources.iter().map(world::known);
    let (cmf, cmdb): (Vec<Value>, Vec<Value>) = known.unzip();
    seed["cmf"] = json!(cmf);
    seed["cmdb"] = json!(cmdb);
    let servers = stack.seed(&seed).await["servers"].clone();
    let mut played = Vec::new();
    for (case, source) in cases.iter().zip(&sources) {
        let known = Known::of(stack, source, &servers).await;
        if case.extra == Some(Extra::CopiedAddress) {
            let copies = json!({"sourceServerID": known.server, "copyPrivateIp": true});
            raw::mgn(stack, stack.home(), "UpdateLaunchConfiguration", &copies).await;
        }
        played.push(Played {
            case,
            before: known.look_at_all(stack, run, zone).await,
            migration: Migration::new(stack, Source::id(source)),
            known,
        });
    }
    played
}

/// The faults of rollbacks: over the cases each call is refused as often as its answer is lost.
fn faults_of(played: &[Played<'_>], failing: &Calls, zone: &Zone) -> Vec<Value> {
    let mut rules = Vec::new();
    let mut turns: BTreeMap<(Kind, Fault), usize> = BTreeMap::new();
    for it in played {
        for call in failing.get(&it.case.name).into_iter().flatten() {
            let mut count = |fault| *turns.entry((call.kind, fault)).or_default();
            let fault = if count(Fault::Refused) > count(Fault::Lost) {
                Fault::Lost
            } else {
                Fault::Refused
            };
            *turns.entry((call.kind, fault)).or_default() += 1;
            rules.push(call.rule(&it.known, zone, it.case, fault));
        }
    }
    assert!(turns.values().all(|count| *count > 0), "{turns:?}");
    assert!(failing.is_empty() || turns.len() > 20, "{turns:?}");
    println!("calls that fail: {turns:?}");
    rules
}

/// Says yes at the gate that a case has to pass in its first attempt.
async fn agree(scene: &Scene, played: &Played<'_>, approver: &Person) {
    let Some(gate) = played.case.passes() else {
        return;
    };
    let id = played.known.source.id();
    poll_for(DEADLINE, &format!("the gate {gate} of {id}"), async || {
        let record = played.migration.record().await.ok_or("no record")?;
        let failed = record.status.is_end() && record.status != Status::Succeeded;
        assert!(!failed, "{id} {}: {:?}", record.status, record.failure);
        let mut gates = record.gates.iter();
        let asked = gates.any(|it| it.gate.as_str() == gate);
        asked.then_some(()).ok_or(format!("{}", record.status))
    })
    .await;
    let (status, said) = approver.answer(&scene.stack, id, gate, "approve").await;
    assert_eq!((status, &said["granted"]), (200, &json!(true)), "{said}");
}

/// Waits until nothing goes on in the first attempt, and orders what a person must order then.
async fn stopped(scene: &Scene, played: &Played<'_>, operator: &Person) {
    let (case, migration) = (played.case, &played.migration);
    let id = played.known.source.id();
    let order = async |emergency: bool| {
        let order = json!({
            "migrationId": id, "order": "rollback", "reason": "as the test says", "emergency": emergency,
        });
        let (status, said) = operator.send(&scene.stack, "orders", &order).await;
        assert_eq!(status, 200, "{id}: {said}");
        said
    };
    let record = if case.end == End::Gone {
        let cause = over(scene, migration).await;
        let died = cause.as_deref() == Some(failing::CAUSE);
        assert!(died || case.refused.is_some(), "{id}: {cause:?}");
        migration.record().await.expect("a record")
    } else {
        migration.ended_within(DEADLINE).await
    };
    if let (End::Undone, Some(place), None) = (case.end, case.fails.first(), case.refused) {
        let failure = record.failure.as_ref().expect("a failure");
        let wanted = (failing::CAUSE, place.state.as_str());
        assert_eq!((&*failure.message, &*failure.state), wanted, "{id}");
    }
    if let Some(refused) = case.refused {
        ends::assert_stopped(&record, refused, case.end);
    }
    match case.end {
        End::Undone | End::Tested | End::Moved | End::Archived => return,
        End::Frozen => {
            assert_eq!(record.status, Status::Frozen, "{id}");
            scene.assert_handed_over(&played.known, &record).await;
        }
        End::Gone => {
            if case.refused.is_some() {
                scene.assert_untouched(&played.known).await;
            }
            let first = if record.status.is_end() {
                None
            } else {
                Some(order(case.asks()).await)
            };
            let history = migration.history().await;
            let mut frozen = history.iter().rev();
            let frozen = frozen.find(|it| it.event_type == EventType::MigrationFrozen);
            let why = frozen.and_then(|it| it.detail.reason_code.as_deref());
            assert_eq!(why, Some("EXECUTION_GONE"), "{id}: {first:?}");
            // From the history: the rollback of the next attempt, which may have begun, has a hand-over of its own.
            let told = frozen.and_then(|it| it.detail.evidence.as_ref());
            let told = told.expect("evidence");
            let text = told["handOver"].as_str().expect("a hand-over");
            assert!(text.contains("the execution ended"), "{id}: {text}");
            if case.refused.is_some() {
                let left = told["notDone"].to_string();
                assert!(left.contains("POWER_ON_SOURCE"), "{id}: {text}");
                assert!(text.contains("By hand, in this order:"), "{id}: {text}");
            }
            // The sweep, which finds a wait that is left over, may have been before the first order.
            if let Some(said) = first.filter(|said| said["status"] != "FROZEN") {
                assert_eq!(said["attempt"], 2, "{id}: {said}");
                return;
            }
        }
    }
    // Who would be asked is asked in `undone`.
    assert_eq!(order(case.asks()).await["attempt"], 2, "{id}");
}

/// Waits for the end of what is played, and looks at the world.
async fn restored(scene: &Scene, played: &Played<'_>) -> MigrationRecord {
    let (case, migration) = (played.case, &played.migration);
    let id = played.known.source.id();
    let ordered = matches!(case.end, End::Frozen | End::Gone);
    let attempt = if ordered { 2 } else { 1 };
    let record = poll_for(
        DEADLINE,
        &format!("the end of {id}"),
        async || match migration.record().await {
            Some(record) if record.attempt == attempt && record.status.is_end() => Ok(record),
            other => Err(format!("{:?}", other.map(|it| (it.attempt, it.status)))),
        },
    )
    .await;
    if played.is_undone() {
        let status = record.status;
        assert!(!ordered || status == Status::RolledBack, "{id}: {status}");
        let known = &played.known;
        let before = (&played.before, case.extra);
        scene.assert_restored(known, &record, before).await;
        return record;
    }
    over(scene, migration).await;
    let record = migration.record().await.expect("a record");
    let kept = (&played.before, case.end);
    scene.assert_kept(&played.known, &record, kept).await;
    record
}

/// Waits until the execution of a migration has ended; gives the cause where it has failed.
async fn over(scene: &Scene, migration: &Migration) -> Option<String> {
    let what = format!("the end of the execution of {}", migration.key);
    poll_for(DEADLINE, &what, async || {
        let record = migration.record().await.ok_or("no record")?;
        let arn = record.execution_arn.ok_or("no execution")?;
        let describe = scene.stack.sfn.describe_execution().execution_arn(arn);
        let answer = describe.send().await.expect("DescribeExecution");
        match answer.status().as_str() {
            "RUNNING" => Err(format!("{} is {}", migration.key, record.status)),
            _ => Ok(answer.cause),
        }
    })
    .await
}

impl Played<'_> {
    /// Whether its world is as before.
    fn is_undone(&self) -> bool {
        matches!(self.case.end, End::Undone | End::Frozen | End::Gone)
    }
}
