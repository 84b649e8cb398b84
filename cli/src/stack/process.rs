//! Background processes: starting them so that they outlive us, recognizing them again, stopping them.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process};
use serde::{Deserialize, Serialize};

use super::StackError;
use super::command::{spawn_error, tail};
use super::layout::{Layout, create_dir};

/// How often a condition is looked at that nothing announces.
const POLL: Duration = Duration::from_millis(50);
/// How long a process may take to end when asked.
const GRACE: Duration = Duration::from_secs(10);
/// How long a process may take to answer.
const READY: Duration = Duration::from_mins(1);

/// A process that was started earlier, perhaps by another `landfall`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    /// Also its process group's ID.
    pub(super) pid: u32,
    /// Where it listens on 127.0.0.1.
    pub(super) port: u16,
    /// A word of its command line, which tells it from a stranger that was given the same PID later.
    pub(super) mark: String,
}

impl Process {
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Whether the PID still belongs to the process that we started.
    pub(super) fn is_alive(&self) -> bool {
        let Some(pid) = self.group() else {
            return false;
        };
        test_kill_process(pid).is_ok()
            && command_line(self.pid).is_some_and(|line| line.contains(&self.mark))
    }

    /// Ends the process and its children: asks first, insists after [`GRACE`].
    pub(super) fn stop(&self) {
        let Some(group) = self.group().filter(|_| self.is_alive()) else {
            return;
        };
        // The only failure is that it has just ended by itself.
        let _ = kill_process_group(group, Signal::TERM);
        let deadline = Instant::now() + GRACE;
        while self.is_alive() && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        let _ = kill_process_group(group, Signal::KILL);
    }

    fn group(&self) -> Option<Pid> {
        i32::try_from(self.pid).ok().and_then(Pid::from_raw)
    }
}

/// A process that this `landfall` has just started.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) process: Process,
    child: std::process::Child,
}

/// Starts a service in a process group of its own, so that neither our end nor a Ctrl-C in the terminal is its end.
pub(super) fn start(
    layout: &Layout,
    service: &'static str,
    command: &mut Command,
    port: u16,
    mark: &str,
) -> Result<Started, StackError> {
    use std::os::unix::process::CommandExt;

    let log = layout.log(service);
    create_dir(log.parent().unwrap_or(&log))?;
    let file = File::create(&log).map_err(StackError::file("create", &log))?;
    let errors = file.try_clone().map_err(StackError::file("open", &log))?;
    let child = command
        .current_dir(layout.state())
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(errors)
        .process_group(0)
        .spawn()
        .map_err(spawn_error(command))?;
    Ok(Started {
        process: Process {
            pid: child.id(),
            port,
            mark: mark.to_owned(),
        },
        child,
    })
}

/// Waits until a fresh process answers at a path, and lets go of it.
pub(super) async fn wait_ready(
    layout: &Layout,
    service: &'static str,
    mut started: Started,
    health: &str,
) -> Result<Process, StackError> {
    let log = layout.log(service);
    let not_ready = |problem: String| StackError::NotReady {
        service,
        problem,
        tail: tail(&log),
        log: log.clone(),
    };
    let deadline = Instant::now() + READY;
    let mut ticks = tokio::time::interval(POLL);
    while !answers(&started.process, health).await {
        if let Ok(Some(status)) = started.child.try_wait() {
            return Err(not_ready(format!("ended while starting ({status})")));
        }
        if Instant::now() >= deadline {
            started.process.stop();
            return Err(not_ready(format!(
                "gave no answer within {} s",
                READY.as_secs()
            )));
        }
        ticks.tick().await;
    }
    // Should it end before us, someone has to take note of it, or its PID would stay in use.
    let mut child = started.child;
    std::thread::spawn(move || child.wait());
    Ok(started.process)
}

/// Whether a process serves a path.
pub(super) async fn answers(process: &Process, path: &str) -> bool {
    let request = async {
        let response = client()
            .ok()?
            .get(format!("{}{path}", process.url()))
            .send()
            .await
            .ok()?;
        Some(response.status().is_success())
    };
    request.await.unwrap_or(false)
}

/// A client for services of this machine, which no proxy may come between.
pub(super) fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(5))
        .build()
}

/// The port to use: the one asked for, if nobody has it; for 0 the one from before, if it is free, or any.
pub(super) fn choose_port(
    service: &'static str,
    port: u16,
    before: Option<u16>,
    variable: &'static str,
) -> Result<u16, StackError> {
    let listen =
        |port| TcpListener::bind(("127.0.0.1", port)).and_then(|listener| listener.local_addr());
    if port != 0 {
        return match listen(port) {
            Ok(address) => Ok(address.port()),
            Err(_) => Err(StackError::PortTaken {
                service,
                port,
                variable,
            }),
        };
    }
    before
        .and_then(|port| listen(port).ok())
        .map_or_else(|| listen(0), Ok)
        .map(|address| address.port())
        .map_err(StackError::NoPort)
}

/// A process's command line, from `/proc` or, where there is none, from `ps`. A zombie has none.
fn command_line(pid: u32) -> Option<String> {
    if Path::new("/proc/self").exists() {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        return Some(String::from_utf8_lossy(&line).replace('\0', " "));
    }
    let output = Command::new("ps")
        .args(["-o", "command=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process that has begun to run, and that ends when its standard input does: with this test at the latest. Some shells
    /// become their last command, and lose the mark: here that is `:`.
    fn begun() -> (Process, std::process::Child) {
        use std::io::{BufRead, BufReader};
        use std::os::unix::process::CommandExt;

        let mut child = Command::new("sh")
            .args(["-c", "echo begun; cat; :", "landfall-mark"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let process = Process {
            pid: child.id(),
            port: 0,
            mark: "landfall-mark".to_owned(),
        };
        (process, child)
    }

    #[test]
    fn a_process_is_recognized_and_stopped() {
        let (process, mut child) = begun();
        assert!(process.is_alive());
        process.stop();
        assert!(!child.wait().unwrap().success());
        assert!(!process.is_alive());
    }

    #[test]
    fn a_stranger_with_a_remembered_pid_is_left_alone() {
        let stranger = Process {
            pid: std::process::id(),
            port: 0,
            mark: "a command line that this test does not have".to_owned(),
        };
        assert!(!stranger.is_alive());
        stranger.stop();
    }

    #[test]
    fn a_port_in_use_is_refused_and_zero_finds_another() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = listener.local_addr().unwrap().port();
        let variable = "LANDFALL_MINISTACK_PORT";
        let error = choose_port("MiniStack", taken, None, variable).unwrap_err();
        assert!(error.to_string().contains(variable), "{error}");
        assert_ne!(
            choose_port("MiniStack", 0, Some(taken), variable).unwrap(),
            taken
        );
        drop(listener);
        // A port that was just given back may be anybody's the next moment: one of several tries must keep its own.
        let kept = (0..20).any(|_| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let free = listener.local_addr().unwrap().port();
            drop(listener);
            choose_port("MiniStack", 0, Some(free), variable).unwrap() == free
        });
        assert!(kept);
    }
}
