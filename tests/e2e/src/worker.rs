//! The processes of the functions, and their sudden death. Linux only: it reads `/proc`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::Stack;

/// The pause between two looks at all processes: short against an invocation.
const INTERVAL: Duration = Duration::from_millis(2);

/// Kills workers while they work.
#[derive(Debug)]
pub struct Killer {
    stop: Arc<AtomicBool>,
    deaths: Deaths,
    thread: JoinHandle<()>,
}

/// How many workers of each function were killed.
type Deaths = Arc<Mutex<BTreeMap<String, usize>>>;

impl Killer {
    /// Kills, for each function of a stack, the given number of workers, each some milliseconds after it was seen to
    /// begin with something: the nth of a function after the nth of `delays`.
    pub fn start(stack: &Stack, delays: Vec<Duration>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, endpoint) = (Arc::clone(&stop), stack.info.ministack_url.clone());
        let deaths = Deaths::default();
        let killed = Arc::clone(&deaths);
        // Those that wait for work now, from earlier tests.
        let idle = workers(&endpoint).into_iter();
        let mut seen: BTreeMap<u32, u64> = idle.map(|it| (it.pid, it.switches)).collect();
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                for worker in workers(&endpoint) {
                    let before = seen.insert(worker.pid, worker.switches);
                    let times = of(&killed, &worker.function);
                    let Some(delay) = delays.get(times) else {
                        continue;
                    };
                    // A new process was started for an invocation; an old one that runs again has got another.
                    if before == Some(worker.switches) {
                        continue;
                    }
                    thread::sleep(*delay);
                    let now = switches(worker.pid);
                    if now.is_some_and(|now| now != worker.switches || delay.is_zero()) {
                        let kill = std::process::Command::new("kill")
                            .args(["-9", &worker.pid.to_string()])
                            .status();
                        if kill.is_ok_and(|status| status.success()) {
                            let mut killed = killed.lock().unwrap_or_else(PoisonError::into_inner);
                            killed.insert(worker.function.clone(), times + 1);
                        }
                    }
                }
                thread::sleep(INTERVAL);
            }
        });
        Self {
            stop,
            deaths,
            thread,
        }
    }

    /// How many workers of a function have been killed by now.
    pub fn deaths(&self, function: &str) -> usize {
        of(&self.deaths, function)
    }

    /// Ends it; how many workers of each function were killed.
    ///
    /// # Panics
    /// When the killer did.
    pub fn stop(self) -> BTreeMap<String, usize> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the killer lives to the end");
        let deaths = self.deaths.lock().unwrap_or_else(PoisonError::into_inner);
        deaths.clone()
    }
}

fn of(deaths: &Deaths, function: &str) -> usize {
    let deaths = deaths.lock().unwrap_or_else(PoisonError::into_inner);
    deaths.get(function).copied().unwrap_or_default()
}

struct Worker {
    pid: u32,
    function: String,
    switches: u64,
}

/// The functions' processes of the stack at an endpoint.
fn workers(endpoint: &str) -> Vec<Worker> {
    environments(endpoint)
        .filter_map(|(pid, environment)| {
            Some(Worker {
                pid,
                function: value(&environment, "AWS_LAMBDA_FUNCTION_NAME")?,
                switches: switches(pid)?,
            })
        })
        .collect()
}

/// The keys and tokens of the functions' roles, as the processes have them.
pub fn credentials(endpoint: &str) -> BTreeSet<String> {
    environments(endpoint)
        .flat_map(|(_, environment)| {
            ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"].map(|name| value(&environment, name))
        })
        .flatten()
        .collect()
}

/// The processes of functions of the stack at an endpoint, each with its environment as `/proc` has it.
fn environments(endpoint: &str) -> impl Iterator<Item = (u32, Vec<u8>)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(move |entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let environment = std::fs::read(entry.path().join("environ")).ok()?;
        let ours = value(&environment, "AWS_ENDPOINT_URL")? == endpoint;
        value(&environment, "AWS_LAMBDA_RUNTIME_API").filter(|_| ours)?;
        Some((pid, environment))
    })
}

fn value(environment: &[u8], name: &str) -> Option<String> {
    let mut variables = environment.split(|byte| *byte == 0);
    variables.find_map(|variable| {
        let variable = std::str::from_utf8(variable).ok()?;
        Some(variable.strip_prefix(name)?.strip_prefix('=')?.to_owned())
    })
}

/// How often a process went to sleep by itself: it grows while one works, and stands while one waits for work.
fn switches(pid: u32) -> Option<u64> {
    let path = Path::new("/proc").join(pid.to_string()).join("status");
    let status = std::fs::read_to_string(path).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}
