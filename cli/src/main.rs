//! `landfall`: the command line of Landfall.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use landfall_cli::commands::control::{self, Order};
use landfall_cli::commands::{callbacks, demo, rollback, status, submit, validate, watch, window};
use landfall_cli::output::print;
use landfall_cli::{CliError, Exit, stack};

const EXAMPLES: &str = "\
Examples:
  landfall demo                                    a small wave on this machine, start to end
  landfall up                                      the local stack, to try things on
  landfall validate server.json                    what would be said to it, without submitting it
  landfall submit server.json                      request a migration
  landfall watch --wave wave-3 --until-done        follow a wave to its end
  landfall status mig-12345                        what happened to one server
  landfall callbacks list                          reports that no receiver took
  landfall rollback mig-12345 --plan               what a rollback of it would do

Which deployment: the flags --queue-url, --table, --validate-function and --region; else LANDFALL_REQUEST_QUEUE_URL,
LANDFALL_TABLE and LANDFALL_VALIDATE_FUNCTION; else the local stack of this folder or one above it (.landfall/stack.json;
with LANDFALL_STACK=NAME .landfall-NAME/stack.json and nothing else); else `terraform output` of ./terraform.
A queue URL on this machine is a local stack's; a table or a function is where AWS_ENDPOINT_URL says.

Exit codes:
  0  what was asked for happened
  1  it did not: a migration ended otherwise, something blocks one, a call was refused, or the local stack does not stand
  2  the command line or a request is wrong, nothing was sent; or `validate` could not ask the deployment
  3  there is no such migration";

const SUBMIT_EXAMPLES: &str = "\
Examples:
  landfall submit server.json
  landfall submit wave-3/*.json                    many files
  jq -c '.[]' wave-3.json | landfall submit -      one request per line; a JSON array does as well
  landfall submit --json server.json | jq -r '.submitted[].correlationId'

Every request is checked against the schema and the others in the files first; with one that is not valid, nothing is
sent. `landfall validate` also asks the deployment.
A request that is sent a second time changes nothing; with other content it starts a new attempt
after the first one has ended, and is refused before.

Exit codes: 0 all are in the queue; 1 some could not be sent; 2 some are not valid, nothing was sent.";

const VALIDATE_EXAMPLES: &str = "\
Examples:
  landfall validate server.json
  landfall validate wave-3/*.json                  a wave, before it is submitted
  landfall validate --diff server.json             and what of its settings in MGN would change
  landfall validate --json wave-3.json | jq -c '.[] | select(.verdict != \"ready\")'

Nothing is submitted, and nothing is changed in MGN or elsewhere: each request is checked against the schema and the
others in the files; then the deployment's own pre-flight tells what it would say to it now.

The JSON is an array with an object for each request: file, index (from 1), line, migrationId, verdict (ready, blocked or
unknown), findings, plan, sourceServerId, settingsDigest, error, and with --diff differences (null where MGN does not know
the server yet). What is not known is null.

Your credentials need lambda:InvokeFunction on the deployment's function <prefix>-validate-input.

Exit codes: 0 nothing blocks any of them; 1 something does; 2 the command line is wrong, a file cannot be read, or the
deployment could not be asked about all of them.";

const WATCH_EXAMPLES: &str = "\
Examples:
  landfall watch                                   everything on its way
  landfall watch --wave wave-3 --until-done        until the wave is over
  landfall watch --app billing-app --until-done --timeout 3600
  landfall watch --wave wave-3 | tee wave-3.log    one line for each change

On a terminal the table is drawn in place (NO_COLOR takes its colours); elsewhere there is one line for each change.

Exit codes: 0 all ended SUCCEEDED; 1 some ended otherwise, or the time was up.";

const STATUS_EXAMPLES: &str = "\
Examples:
  landfall status mig-12345
  landfall status mig-12345 --json | jq .record.done
  landfall status --wave wave-3                    where each server stands, and how long its users were without it
  landfall status --wave wave-3 --json | jq .times.outageSeconds

The timeline is checked: each entry holds the hash of the one before it. An outage counts from the cutover launch: what is
written on the source after it does not arrive.

Exit codes: 0 found; 1 the table cannot be read, or the history was changed; 3 there is no such migration.";

const APPROVE_EXAMPLES: &str = "\
Examples:
  landfall approve mig-12345 --gate cutover --reason 'the change board has agreed' --change-reference CHG0012345
  landfall approve --wave wave-3 --gate cutover --reason 'all tests are good' --except mig-12350
  landfall deny mig-12345 --gate finalize --reason 'the month-end run is late'

Whose word counts is said by the request (policy.approvals) and the deployment; who you are is said by your AWS
credentials, and whoever asked for a migration cannot approve it. `landfall status` shows who is asked and who answered.
Your credentials need execute-api:Invoke on POST /approvals of the operators' API (output operator_api_arn).
On a local stack LANDFALL_LOCAL_ACCESS_KEY_ID and LANDFALL_LOCAL_SECRET_ACCESS_KEY are the key of the IAM user you answer as.

Exit codes: 0 all answers were taken; 1 some were refused; 2 the command line or the reason is wrong; 3 there is no such migration.";

const ORDER_EXAMPLES: &str = "\
Examples:
  landfall pause --wave wave-3 --reason 'the network team is called'
  landfall resume --wave wave-3 --reason 'the link is up again'
  landfall resume mig-12345 --past-window --reason 'the owner has agreed to go on'
  landfall cancel mig-12345 --reason 'the owner has withdrawn it'
  landfall retry mig-12345 --reason 'the firewall is open now'
  landfall release mig-12345 --reason 'target terminated by hand, see INC0042'

pause lets a launch that is under way end, and what is prepared or verified come to its next wait; resume goes on from there.
cancel rolls back what was done: past the cutover's finalize it is refused.
retry keeps a test that was passed and still covers the launch settings; it begins with the pre-flight.
release leaves everything as it is and says that a person answers for it.
An order that stands already changes nothing and is not noted again. Each other stands in the history with your AWS identity and your reason.
Your credentials need execute-api:Invoke on POST /orders of the operators' API (output operator_api_arn).

Exit codes: 0 all orders were taken; 1 some were refused; 2 the command line or the reason is wrong; 3 there is no such migration.";
const WINDOW_EXAMPLES: &str = "\
Examples:
  landfall window set --wave wave-3 --start 2026-11-28T22:00 --end 2026-11-29T04:00 --time-zone Europe/Berlin \\
    --recurrence 'FREQ=WEEKLY;BYDAY=SA' --reason 'as the change board said'
  landfall window show --wave wave-3
  landfall window clear --wave wave-3 --reason 'the incident is over'

A wave's window counts together with that of each request (policy.window): a step of the switch begins only while both are
open. A window that shuts while a step is under way lets it end and holds the next. docs/WINDOWS.md says more.
Your credentials need execute-api:Invoke on POST /orders of the operators' API (output operator_api_arn); show reads the table.

Exit codes: 0 set, shown or cleared; 1 it could not be; 2 the command line or the window is wrong.";
const CALLBACKS_EXAMPLES: &str = "\
Examples:
  landfall callbacks list                          what could not be delivered, and why
  landfall callbacks redeliver mig-12345           once its receiver is mended
  landfall callbacks redeliver --all

A callback that nobody took for about six hours, or that its receiver refused for good, lies in the deployment's queue
<prefix>-callbacks-failed for 14 days. It is delivered as it was, with its webhook-id and a signature of today's keys; what is
delivered leaves the queue, all else stays. A receiver drops doubles by the webhook-id.

Your credentials need sqs:GetQueueUrl, ReceiveMessage, ChangeMessageVisibility and DeleteMessage on that queue, and
lambda:InvokeFunction on the function <prefix>-callback.

Exit codes: 0 all that were meant are delivered; 1 some are not; 3 none of that ID lies there.";
const ROLLBACK_EXAMPLES: &str = "\
Examples:
  landfall rollback mig-12345 --plan               what would be undone, in which order, with risks and estimates
  landfall rollback mig-12345 --plan --json | jq '.plan.compensations[] | {id, after, risk}'
  landfall rollback mig-12345 --reason 'the month-end run fails on the target'
  landfall rollback mig-12345 --emergency --reason 'INC0042: customers cannot pay'

With --plan nothing is changed: the plan is read from the record. Of a rollback that runs, each step says how it stands, and
of one that could not go on, what is left to do by hand.
Without it, a migration that is under way is cancelled; for one that is SUCCEEDED, FROZEN or released an attempt begins that
undoes what can be undone. A risky rollback asks the approvers of the gate rollback, where there are any; --emergency asks nobody, and
that stands in the history with your name.

Your credentials need lambda:InvokeFunction on the deployment's function <prefix>-rollback for --plan, else
execute-api:Invoke on POST /orders of the operators' API (output operator_api_arn).

Exit codes: 0 shown, or begun; 1 refused, or the deployment could not be asked; 2 the command line or the reason is wrong;
3 there is no such migration.";

const UP_EXAMPLES: &str = "\
Examples:
  landfall up
  landfall up --scale 600                          ten simulated minutes a second
  LANDFALL_MINISTACK_PORT=0 landfall up            on a free port
  LANDFALL_STACK=b landfall up --ministack-port 0 --simulator-port 0
                                                   a second stack; with LANDFALL_STACK=b every command means that one

Needs Rust, Python 3.10 or newer and Terraform 1.9 or newer. `landfall down` stops it.";

const DEMO_EXAMPLES: &str = "\
Examples:
  landfall demo
  landfall demo --keep                             and look at it: landfall status demo-api-03

It moves five servers; one of them never becomes healthy and must be rolled back.

Exit codes: 0 each migration ended as it should and each callback arrived with a good signature; 1 otherwise.";

/// Moves servers to AWS with Application Migration Service: request, follow and look into migrations.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
struct Cli {
    /// The checkout that holds the local stack and ./terraform.
    #[arg(long, global = true, default_value = ".", value_name = "FOLDER")]
    root: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the local stack, or bring a running one up to date.
    #[command(after_help = UP_EXAMPLES)]
    Up {
        /// Port of MiniStack; 0 picks a free one.
        #[arg(long, env = "LANDFALL_MINISTACK_PORT", default_value_t = 4566)]
        ministack_port: u16,
        /// Port of the simulator; 0 picks a free one.
        #[arg(long, env = "LANDFALL_SIMULATOR_PORT", default_value_t = 4570)]
        simulator_port: u16,
        /// Simulated seconds per real second.
        #[arg(long, default_value_t = 60.0)]
        scale: f64,
        /// File of source servers with which the simulator begins [default: tests/simulator/seed.example.json].
        #[arg(long, value_name = "FILE")]
        seed: Option<PathBuf>,
        /// Say nothing but errors.
        #[arg(long)]
        quiet: bool,
    },
    /// Stop the local stack and remove its state.
    Down,
    /// Check migration requests as the deployment will, without submitting them.
    #[command(after_help = VALIDATE_EXAMPLES)]
    Validate(validate::ValidateArgs),
    /// Send migration requests to the queue.
    #[command(after_help = SUBMIT_EXAMPLES)]
    Submit(submit::SubmitArgs),
    /// Follow migrations live.
    #[command(after_help = WATCH_EXAMPLES)]
    Watch(watch::WatchArgs),
    /// Show the record and the timeline of one migration, or how a wave stands.
    #[command(after_help = STATUS_EXAMPLES)]
    Status(status::StatusArgs),
    /// Agree at a gate that asks you.
    #[command(after_help = APPROVE_EXAMPLES)]
    Approve(control::AnswerArgs),
    /// Refuse at a gate that asks you. Before the switch that rolls back, before a rollback it leaves all as it is.
    #[command(after_help = APPROVE_EXAMPLES)]
    Deny(control::AnswerArgs),
    /// Hold migrations before the next thing that they would begin.
    #[command(after_help = ORDER_EXAMPLES)]
    Pause(control::OrderArgs),
    /// Let paused migrations go on.
    #[command(after_help = ORDER_EXAMPLES)]
    Resume(control::ResumeArgs),
    /// End migrations that are under way, and undo what they did.
    #[command(after_help = ORDER_EXAMPLES)]
    Cancel(control::CancelArgs),
    /// Begin failed migrations again, from their last good phase.
    #[command(after_help = ORDER_EXAMPLES)]
    Retry(control::OrderArgs),
    /// Let frozen migrations be submitted again, after a person has put things right.
    #[command(after_help = ORDER_EXAMPLES)]
    Release(control::OrderArgs),
    /// Set, show or clear the cutover window of a wave.
    #[command(after_help = WINDOW_EXAMPLES)]
    Window(window::WindowArgs),
    /// Look at callbacks that could not be delivered, and deliver them again.
    #[command(after_help = CALLBACKS_EXAMPLES)]
    Callbacks(callbacks::CallbacksArgs),
    /// Undo what a migration did; with --plan only show what that would be, or how far it is.
    #[command(after_help = ROLLBACK_EXAMPLES)]
    Rollback(rollback::RollbackArgs),
    /// Migrate a small mixed wave on the local stack, from nothing to the closing table.
    #[command(after_help = DEMO_EXAMPLES)]
    Demo(demo::DemoArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    match Box::pin(run(Cli::parse())).await {
        Ok(exit) => exit.into(),
        Err(error) => {
            if !error.silent {
                eprintln!("{error}");
            }
            error.exit.into()
        }
    }
}

async fn run(cli: Cli) -> Result<Exit, CliError> {
    match cli.command {
        Command::Up {
            ministack_port,
            simulator_port,
            scale,
            seed,
            quiet,
        } => {
            let options = stack::UpOptions {
                ministack_port,
                simulator_port,
                scale,
                // Something to migrate from the first minute, the canonical message's server among it.
                seed: seed.or_else(|| Some(cli.root.join("tests/simulator/seed.example.json"))),
                project_root: cli.root,
                quiet,
            };
            stack::up(options).await?;
            Ok(Exit::Ok)
        }
        Command::Down => {
            print(&if stack::down(&cli.root).await? {
                let folder = stack::folder(stack::name().as_deref())?;
                format!("The local stack is down, and its state ({folder}) is gone.\n")
            } else {
                "There was no local stack here.\n".to_owned()
            })?;
            Ok(Exit::Ok)
        }
        Command::Validate(args) => Box::pin(validate::run(&args, &cli.root)).await,
        Command::Submit(args) => submit::run(&args, &cli.root).await,
        Command::Watch(args) => watch::run(&args, &cli.root).await,
        Command::Status(args) => status::run(&args, &cli.root).await,
        Command::Approve(args) => control::answer(&args, true, &cli.root).await,
        Command::Deny(args) => control::answer(&args, false, &cli.root).await,
        Command::Pause(args) => control::order(&args, Order::Pause, &cli.root).await,
        Command::Resume(args) => control::resume(&args, &cli.root).await,
        Command::Cancel(args) => control::cancel(&args, &cli.root).await,
        Command::Retry(args) => control::order(&args, Order::Retry, &cli.root).await,
        Command::Release(args) => control::order(&args, Order::Release, &cli.root).await,
        Command::Window(args) => Box::pin(window::run(&args, &cli.root)).await,
        Command::Callbacks(args) => Box::pin(callbacks::run(&args, &cli.root)).await,
        Command::Rollback(args) => rollback::run(&args, &cli.root).await,
        Command::Demo(args) => Box::pin(demo::run(&args, &cli.root)).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_names_every_exit_code() {
        let help = Cli::command().render_long_help().to_string();
        for code in [Exit::Ok, Exit::Failed, Exit::Invalid, Exit::Unknown] {
            assert!(help.contains(&format!("\n  {}  ", code as u8)), "{help}");
        }
    }
}
