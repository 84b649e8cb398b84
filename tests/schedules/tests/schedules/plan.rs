//! A schedule: what a seed says will be there, and what will go wrong.

use fastrand::Rng;
use serde_json::{Value, json};

use crate::gate::Rates;

/// What becomes of a migration.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum End {
    /// It is cut over and verified.
    Succeeds,
    /// It fails, and the record says why in these words.
    Fails(&'static str),
    /// Either; it depends on the time.
    Open,
    /// Its execution is stopped from outside at this minute.
    Aborted(i64),
    /// Its server is disconnected from MGN at this minute.
    Disconnected(i64),
}

/// One server and its migration.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// As the simulator's seed has it.
    pub(crate) machine: Value,
    /// The minute at which the workflow comes to the wait for replication.
    pub(crate) begins: i64,
    pub(crate) end: End,
}

/// A schedule.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) servers: Vec<Server>,
    /// Faults of the simulator.
    pub(crate) rules: Vec<Value>,
    pub(crate) rates: Rates,
    /// The share of queue messages that are delivered twice.
    pub(crate) doubled: f64,
    /// Whether everything that goes wrong passes: then each migration ends as its server says.
    pub(crate) gentle: bool,
}

const RAW: &str = "InsufficientInstanceCapacity: no capacity, says EC2";

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let mut dice = Rng::with_seed(seed);
        let gentle = dice.u8(0..10) < 7;
        // Most are small, for what can go wrong goes wrong among a few.
        let most = one_of(&mut dice, &[2, 3, 3, 4, 5, 12]);
        let count = dice.usize(1..=most);
        let mut plan = Self {
            seed,
            servers: (0..count).map(|number| server(&mut dice, number)).collect(),
            rules: Vec::new(),
            rates: Rates {
                transient: one_of(&mut dice, &[0.0, 0.01, 0.03, 0.06]),
                refused: 0.0,
                deaths: one_of(&mut dice, &[0.0, 0.05, 0.15]),
            },
            doubled: one_of(&mut dice, &[0.0, 0.1, 0.4]),
            gentle,
        };
        if !gentle {
            plan.rates.refused = one_of(&mut dice, &[0.0, 0.003, 0.01]);
            let server = format!("vm-mig-{}", dice.usize(0..count));
            let operation = one_of(&mut dice, &["StartTest", "StartCutover"]);
            let kind = one_of(&mut dice, &["conflict", "error"]);
            let mut rule =
                json!({"service": "mgn", "operation": operation, "kind": kind, "server": server});
            if kind == "error" {
                rule["error"] = json!("AccessDeniedException");
            }
            plan.rules.push(rule);
        }
        for _ in 0..dice.usize(0..8) {
            plan.rules.push(passing(&mut dice));
        }
        for kind in ["lose-event", "double-event", "late-event"] {
            if dice.bool() {
                let share = one_of(&mut dice, &[0.1, 0.5, 1.0]);
                plan.rules.push(
                    json!({"service": "events", "kind": kind, "probability": share, "count": 1000}),
                );
            }
        }
        plan
    }
}

fn one_of<T: Copy>(dice: &mut Rng, choices: &[T]) -> T {
    choices[dice.usize(0..choices.len())]
}

/// A fault of MGN or EC2 after which all may go well.
fn passing(dice: &mut Rng) -> Value {
    let (service, operation) = one_of(
        dice,
        &[
            ("mgn", "DescribeSourceServers"),
            ("mgn", "DescribeJobs"),
            ("mgn", "DescribeJobLogItems"),
            ("mgn", "StartTest"),
            ("mgn", "StartTest"),
            ("mgn", "StartCutover"),
            ("mgn", "StartCutover"),
            ("mgn", "ChangeServerLifeCycleState"),
            ("ec2", "DescribeInstances"),
            ("ec2", "DescribeInstanceStatus"),
        ],
    );
    let kind = one_of(dice, &["throttle", "error", "drop-response"]);
    let mut rule = json!({
        "service": service, "operation": operation, "kind": kind, "count": dice.u8(1..5), "after": dice.u8(0..4),
    });
    if kind == "error" {
        rule["error"] = json!("InternalServerException");
    }
    if dice.bool() {
        rule["probability"] = json!(0.3);
    }
    rule
}

fn server(dice: &mut Rng, number: usize) -> Server {
    let mut machine = json!({
        "sourceVmId": format!("vm-mig-{number}"), "hostname": format!("host-{number}"), "agentInstalled": true,
        "replicationSeconds": dice.u32(60..600),
    });
    let on = |dice: &mut Rng| json!(one_of(dice, &[None, Some("test"), Some("cutover")]));
    let minute = i64::from(dice.u8(1..60));
    let end = match dice.u8(0..100) {
        0..8 => {
            machine["launchFailure"] = json!(RAW);
            machine["launchFailureStage"] = json!(one_of(dice, &["conversion", "launch"]));
            machine["launchFailureOn"] = on(dice);
            End::Fails(RAW)
        }
        8..11 => {
            machine["launchFailure"] = json!(RAW);
            machine["launchFailureStage"] = json!("snapshot");
            // A test may be of an earlier snapshot, a cutover may not.
            if dice.bool() {
                machine["launchFailureOn"] = json!("test");
                End::Succeeds
            } else {
                machine["launchFailureOn"] = json!("cutover");
                End::Fails("earlier snapshot")
            }
        }
        11..15 => {
            machine["healthy"] = json!(false);
            End::Fails("did not pass")
        }
        15..18 => {
            machine["neverPassesStatus"] = json!(true);
            End::Fails("did not pass")
        }
        18..25 => {
            machine["stall"] = json!({
                "error": "UNSTABLE_NETWORK", "afterSeconds": dice.u32(0..700), "forSeconds": dice.u32(30..3_000),
            });
            End::Succeeds
        }
        25..27 => {
            machine["stall"] = json!({"error": "NOT_CONVERGING", "afterSeconds": 125});
            End::Fails("")
        }
        // It may pass its gate before, and never again.
        27..30 => {
            machine["stall"] =
                json!({"error": "NOT_CONVERGING", "afterSeconds": dice.u32(100..3_000)});
            End::Open
        }
        30..33 => {
            machine["launchHangs"] = json!(true);
            End::Fails("NOT_FINISHED_IN_TIME")
        }
        33..38 => End::Aborted(minute),
        38..41 => End::Disconnected(minute),
        _ => End::Succeeds,
    };
    Server {
        machine,
        begins: i64::from(dice.u8(0..6)),
        end,
    }
}
