//! Plays the workflow, the queues and the schedule of the sweep, in virtual time.

mod run;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use landfall_common::StateStore;
use landfall_domain::Status;
use landfall_simulator::{Config, Simulator};
use serde_json::{Value, json};

use crate::clients::{ACCOUNT, REGION};
use crate::lambda::Functions;
use crate::plan::Plan;
use crate::support;

/// Retries of a state, as the workflow counts them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Retries {
    /// All.
    count: u32,
    /// After an invocation that died.
    deaths: u32,
    /// After an error that passes.
    transient: u32,
}

/// A message of a queue.
#[derive(Clone, Debug)]
struct Message {
    launches: bool,
    body: String,
    number: u64,
    receives: u32,
    /// Of these, the last ones in a row that nothing disturbed.
    calm: u32,
}

#[derive(Debug)]
enum Action {
    Sweep,
    Begin(usize),
    Abort(usize),
    Disconnect(usize),
    Receive(Message),
    Verify(usize, Retries),
}

/// Where a migration is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum At {
    NotBegun,
    /// A state waits with a token.
    Waits(State, String),
    /// Verifies a test, or a cutover.
    Verifies {
        cutover: bool,
    },
    Ended(Ending),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum State {
    Replication,
    Test,
    Cutover,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ending {
    Succeeded,
    Failed(String),
    Aborted,
}

pub(crate) struct Migration {
    pub(crate) id: String,
    pub(crate) server_id: String,
    pub(crate) at: At,
    /// Something that passes did not pass often enough: its end is open.
    pub(crate) excused: bool,
}

/// One schedule as it runs.
pub(crate) struct Run {
    pub(crate) plan: Plan,
    dice: Rng,
    pub(crate) simulator: Arc<Simulator>,
    functions: Functions,
    /// Beside every gate.
    pub(crate) store: StateStore,
    now: Timestamp,
    actions: BTreeMap<(Timestamp, u64), Action>,
    /// Numbers actions, messages and invocations.
    numbers: u64,
    pub(crate) migrations: Vec<Migration>,
    /// Waits that were past their deadlines at the last look.
    late: BTreeSet<String>,
    events: usize,
    /// Whether anything has happened since the last sweep.
    stirred: bool,
    steps: usize,
    summary: Summary,
    trace: Vec<String>,
    pub(crate) faults: Vec<String>,
}

/// What a schedule came to.
pub(crate) struct Outcome {
    pub(crate) trace: Vec<String>,
    pub(crate) faults: Vec<String>,
    summary: Summary,
}

impl Outcome {
    pub(crate) fn summary(&self) -> Summary {
        Summary {
            faults: self.faults.len(),
            ..self.summary.clone()
        }
    }
}

/// Numbers of schedules.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) faults: usize,
    migrations: usize,
    succeeded: usize,
    failed: usize,
    aborted: usize,
    invocations: usize,
    deaths: usize,
    calls: usize,
    wrong: usize,
    virtual_hours: i64,
}

impl Summary {
    pub(crate) fn add(&mut self, other: &Self) {
        self.faults += other.faults;
        self.migrations += other.migrations;
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.aborted += other.aborted;
        self.invocations += other.invocations;
        self.deaths += other.deaths;
        self.calls += other.calls;
        self.wrong += other.wrong;
        self.virtual_hours += other.virtual_hours;
    }
}

/// Two runs of one seed in a process must not share what the SDK keeps for the process.
static RUNS: AtomicU64 = AtomicU64::new(0);

impl Run {
    pub(crate) async fn new(plan: Plan) -> Self {
        landfall_simulator::world::ids::repeat(plan.seed);
        let machines: Vec<&Value> = plan.servers.iter().map(|it| &it.machine).collect();
        let config = Config {
            account: ACCOUNT.into(),
            region: REGION.into(),
            scenario: Some(json!({
                "randomSeed": plan.seed, "seed": {"initializeMgn": true, "servers": machines}, "faults": plan.rules,
            })),
            ..Config::default()
        };
        let now = support::now();
        let simulator = Simulator::manual(config, now).await.unwrap();
        let simulator = Arc::new(simulator);
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        let functions = Functions::new(&simulator, &format!("{}-{number}", plan.seed));
        let mut run = Self {
            dice: Rng::with_seed(plan.seed ^ 0x5ced),
            simulator,
            store: functions.aws.store(),
            functions,
            now,
            actions: BTreeMap::new(),
            numbers: 0,
            migrations: Vec::new(),
            late: BTreeSet::new(),
            events: 0,
            stirred: true,
            steps: 0,
            summary: Summary::default(),
            trace: Vec::new(),
            faults: Vec::new(),
            plan,
        };
        run.tell(format!("{:?}", run.plan));
        run.set_up().await;
        run
    }

    async fn set_up(&mut self) {
        let servers = crate::judge::state(&self.simulator).await["servers"].clone();
        let servers = servers.as_object().unwrap();
        for (number, server) in self.plan.servers.clone().into_iter().enumerate() {
            let id = format!("mig-{number}");
            let mut record = support::record(&id, Status::Replicating);
            let mine =
                |it: &(&String, &Value)| it.1["user_provided_id"] == server.machine["sourceVmId"];
            let server_id = servers.iter().find(mine).unwrap().0.clone();
            record.source_server_id = Some(server_id.clone());
            let url = format!("{}/targets/{{instanceId}}/health", self.simulator.url());
            let checks =
                json!([{ "kind": "http", "url": url, "expectedBody": "ok", "attempts": 3 }]);
            record.request.health_checks = serde_json::from_value(checks).unwrap();
            self.functions.aws.put(record).await;
            self.migrations.push(Migration {
                id,
                server_id,
                at: At::NotBegun,
                excused: false,
            });
            self.plan_at(minutes(server.begins), Action::Begin(number));
            match server.end {
                crate::plan::End::Aborted(minute) => {
                    self.plan_at(minutes(minute), Action::Abort(number));
                }
                crate::plan::End::Disconnected(minute) => {
                    self.plan_at(minutes(minute), Action::Disconnect(number));
                }
                _ => {}
            }
        }
        self.plan_at(minutes(1), Action::Sweep);
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn plan_at(&mut self, later: SignedDuration, action: Action) {
        let number = self.number();
        self.actions.insert((self.now + later, number), action);
    }

    pub(crate) fn tell(&mut self, text: String) {
        let passed = self.now.duration_since(support::now()).as_secs();
        let (hours, minutes, seconds) = (passed / 3600, passed / 60 % 60, passed % 60);
        self.trace
            .push(format!("{hours:3}:{minutes:02}:{seconds:02} {text}"));
    }

    pub(crate) fn fault(&mut self, text: String) {
        self.tell(format!("FAULT {text}"));
        self.faults.push(text);
    }
}

fn minutes(count: i64) -> SignedDuration {
    SignedDuration::from_mins(count)
}

fn seconds(count: i64) -> SignedDuration {
    SignedDuration::from_secs(count)
}
