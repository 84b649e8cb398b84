//! Everything the simulator knows, and how it changes while time passes. No I/O: what must be done in
//! `MiniStack` is queued as [`Effect`]s, and the ticker brings back the answers.

pub mod effect;
pub mod ids;
pub mod job;
pub mod launch;
pub mod machine;
pub mod place;
pub mod quota;
pub mod replication;
pub mod server;

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::change::Step;
use crate::clock::Clock;
use crate::error::{ApiError, ApiResult};
use crate::faults::Faults;
use crate::sink::Sink;
use crate::source_apis::SourceApis;
use crate::switches::{Switch, Switches};
use effect::{Effect, EventRecord};
use job::Ask;
use machine::{Machine, Os};
use place::{Local, Place};
use replication::{Happened, Replication};
use server::{LifeCycle, Marks, Server};

/// What MGN recommends for every source, and launches when right-sizing is on.
pub const RECOMMENDED_TYPE: &str = "c5.large";
/// How long the target's operating system takes to come up.
pub const BOOT: SignedDuration = SignedDuration::from_secs(120);
/// How much later than the job the server shows its instance.
const SHOWN_AFTER: SignedDuration = SignedDuration::from_secs(20);

/// The whole simulated world.
pub struct World {
    /// Where the simulator is when nobody says otherwise.
    pub home: Place,
    /// Where it acts at present.
    pub place: Place,
    /// What that place holds.
    pub here: Local,
    /// What the other places hold.
    pub elsewhere: BTreeMap<Place, Local>,
    /// Time.
    pub clock: Clock,
    /// Simulated now: set by [`World::advance`].
    pub now: Timestamp,
    /// Chosen behaviours.
    pub switches: Switches,
    /// Source machines by `sourceVmId`.
    pub machines: BTreeMap<String, Machine>,
    /// Hypervisors, CMF, CMDB.
    pub sources: SourceApis,
    /// Received callbacks.
    pub sink: Sink,
    /// Injected faults.
    pub faults: Faults,
    /// EC2 identifiers that stand for others.
    pub aliases: BTreeMap<String, String>,
    /// Work for `MiniStack`, each with the place it is to be done in.
    pub effects: VecDeque<(Place, Effect)>,
    /// Events that are made to come late, each with when and where.
    pub late: Vec<(Timestamp, Place, EventRecord)>,
    /// Calls whose answers are held, by number.
    pub held: BTreeMap<u64, Value>,
    /// What changes by itself, and when.
    pub timeline: Vec<Step>,
    /// Emitted events.
    pub events: Vec<EventRecord>,
    /// The API calls that were answered.
    pub calls: Vec<Value>,
}

impl World {
    /// An empty world.
    pub fn new(home: Place, clock: Clock, switches: Switches, now: Timestamp) -> Self {
        Self {
            place: home.clone(),
            home,
            here: Local::default(),
            elsewhere: BTreeMap::new(),
            clock,
            now,
            switches,
            machines: BTreeMap::new(),
            sources: SourceApis::default(),
            sink: Sink::default(),
            faults: Faults::default(),
            aliases: BTreeMap::new(),
            effects: VecDeque::new(),
            late: Vec::new(),
            held: BTreeMap::new(),
            timeline: Vec::new(),
            events: Vec::new(),
            calls: Vec::new(),
        }
    }

    /// Lets time pass up to a wall-clock instant, in every place. Afterwards it acts at home.
    pub fn advance(&mut self, wall: Timestamp) {
        let now = self.clock.simulated(wall).max(self.now);
        while let Some(step) = self.next_step(now) {
            self.pass(step.at.max(self.now));
            step.apply(self);
        }
        self.pass(now);
    }

    fn pass(&mut self, now: Timestamp) {
        self.now = now;
        for place in self.places() {
            self.enter(&place);
            self.advance_here(now);
        }
        let home = self.home.clone();
        self.enter(&home);
    }

    /// The next instant at which something happens by itself, if nobody does anything.
    pub fn next_change(&self) -> Option<Timestamp> {
        let places = || self.everywhere().map(|(_, local)| local);
        let servers = || places().flat_map(|local| local.servers.values());
        let replications = servers().filter_map(|server| server.replication.deadline());
        let launches = servers().filter_map(|server| server.launched.as_ref());
        let boots = launches.flat_map(|it| [it.at + SHOWN_AFTER, it.at + BOOT]);
        let jobs =
            places().flat_map(|local| local.jobs.iter().filter_map(|it| it.deadline(self.now)));
        let commands = places().filter_map(|local| local.commands.deadline());
        let late = self.late.iter().map(|(at, ..)| *at);
        let steps = self.timeline.iter().map(|step| step.at);
        let all = replications.chain(boots).chain(jobs).chain(commands);
        let all = all.chain(late).chain(steps);
        all.filter(|at| *at > self.now).min()
    }

    /// The present instant of the wall's clock, from the simulated one.
    pub fn wall(&self) -> Timestamp {
        self.clock.wall(self.now)
    }

    fn advance_here(&mut self, now: Timestamp) {
        self.advance_commands(now);
        let mut events = Vec::new();
        for server in self.here.servers.values_mut() {
            for (at, happened) in server.replication.advance(now) {
                settle(server, at, happened, &mut events);
            }
        }
        for (server_id, detail_type, state) in events {
            self.emit(&server_id, detail_type, json!({"state": state}));
        }
        self.advance_jobs(now);
    }

    /// Announces a stall or recovery that was injected rather than reached.
    pub fn announce_stall(&mut self, server_id: &str, stalled: bool) {
        let state = if stalled { "STALLED" } else { "NOT_STALLED" };
        self.emit(server_id, STALLED_CHANGE, json!({"state": state}));
    }

    fn advance_jobs(&mut self, now: Timestamp) {
        let asks: Vec<_> = self
            .here
            .jobs
            .iter_mut()
            .filter(|job| job.unfinished())
            .flat_map(|job| {
                let (id, purpose) = (job.id.clone(), job.purpose);
                job.advance(now)
                    .into_iter()
                    .map(move |ask| (id.clone(), purpose, ask))
            })
            .collect();
        for (job_id, purpose, ask) in asks {
            self.take(&job_id, purpose, ask);
        }
    }

    fn take(&mut self, job_id: &str, purpose: job::Purpose, ask: Ask) {
        match ask {
            Ask::Launch { server_id } => self.queue_launch(job_id, &server_id),
            Ask::Terminate {
                server_id,
                instance_id,
            } => {
                self.ask_for(Effect::Terminate {
                    job_id: job_id.to_owned(),
                    server_id,
                    instance_id,
                });
            }
            Ask::Gone { server_id } => {
                if let Some(server) = self.here.servers.get_mut(&server_id) {
                    let gone = server.launched.take();
                    // Until a relaunch has its instance, the server goes on showing the one before.
                    server.shown_before = gone.filter(|_| purpose != job::Purpose::Terminate);
                }
            }
            Ask::Launched {
                server_id,
                instance_id,
                at,
            } => {
                self.launched(job_id, &server_id, instance_id, at);
                self.emit_launch(job_id, purpose, &server_id, true);
            }
            Ask::Failed { server_id, at: _ } => {
                self.emit_launch(job_id, purpose, &server_id, false);
            }
        }
    }

    fn emit_launch(&mut self, job_id: &str, purpose: job::Purpose, server_id: &str, ok: bool) {
        let kind = if purpose == job::Purpose::Test {
            "TEST"
        } else {
            "CUTOVER"
        };
        let outcome = if ok { "SUCCEEDED" } else { "FAILED" };
        let detail = json!({"state": format!("{kind}_LAUNCH_{outcome}"), "job-id": job_id});
        self.emit(server_id, "MGN Source Server Launch Result", detail);
    }

    fn emit(&mut self, server_id: &str, detail_type: &'static str, detail: Value) {
        let resource = self.arn("source-server", server_id);
        self.ask_for(Effect::Event(EventRecord {
            source: "simulator.mgn",
            detail_type,
            resource,
            detail,
            at: self.wall(),
        }));
    }

    /// Queues work for `MiniStack`, to be done in the present place.
    pub fn ask_for(&mut self, effect: Effect) {
        self.effects.push_back((self.place.clone(), effect));
    }

    /// The ARN of a resource.
    pub fn arn(&self, kind: &str, id: &str) -> String {
        let Place { account, region } = &self.place;
        format!("arn:aws:mgn:{region}:{account}:{kind}/{id}")
    }

    /// A simulated instant as the API writes it.
    pub fn stamp(&self, at: Timestamp) -> String {
        let at = if self.switches.is(Switch::Timestamps, "wall") {
            self.clock.wall(at)
        } else {
            at
        };
        let form = if at.subsec_microsecond() == 0 {
            "%Y-%m-%dT%H:%M:%S"
        } else {
            "%Y-%m-%dT%H:%M:%S.%6f"
        };
        let zone = if self.switches.is(Switch::TimestampFormat, "z") {
            "Z"
        } else {
            "+00:00"
        };
        format!("{}{zone}", at.strftime(form))
    }

    /// Whether MGN may be used.
    pub fn usable(&self) -> bool {
        self.here.initialized
            && (self.switches.is(Switch::InitializedBy, "call")
                || !self.here.replication_templates.is_empty())
    }

    /// A server of the present place by identifier.
    pub fn server(&mut self, id: &str) -> ApiResult<&mut Server> {
        self.here
            .servers
            .get_mut(id)
            .ok_or_else(|| ApiError::not_found("SourceServer", id))
    }

    /// The machines whose nodes the present place knows.
    pub fn machines_here(&self) -> impl Iterator<Item = &Machine> {
        let here = |machine: &&Machine| machine.place(&self.home) == self.place;
        self.machines.values().filter(here)
    }

    /// The machine behind a server.
    pub fn machine_of(&self, server: &Server) -> Option<&Machine> {
        self.machines.get(server.user_provided_id.as_ref()?)
    }

    /// Whether the launch is shown on the server already.
    pub fn shown(&self, at: Timestamp) -> bool {
        self.switches.is(Switch::LaunchedInstanceLag, "off") || self.now >= at + SHOWN_AFTER
    }

    /// The agent of a machine registers: its server joins the record of the same identifier or appears anew.
    pub fn register(&mut self, source_vm_id: &str, replicate: bool) -> Option<String> {
        let machine = self.machines.get(source_vm_id)?.clone();
        let known = self.here.servers.values().find(|s| {
            s.user_provided_id.as_deref() == Some(source_vm_id)
                && !s.archived
                && (s.connected() || s.life_cycle == LifeCycle::PendingInstallation)
        });
        let known = known.map(|s| (s.id.clone(), s.life_cycle));
        if let Some((id, life_cycle)) = &known
            && *life_cycle != LifeCycle::PendingInstallation
        {
            return Some(id.clone());
        }
        let now = self.now;
        let (replication, life_cycle) = match (machine.replicated, replicate) {
            (true, _) => (
                Replication::settled(now, machine.replication_seconds),
                LifeCycle::ReadyForTest,
            ),
            (false, true) => (
                Replication::begin(now, machine.replication_seconds),
                LifeCycle::NotReady,
            ),
            (false, false) => (
                Replication::stopped(now, machine.replication_seconds),
                LifeCycle::Stopped,
            ),
        };
        let id = known.map_or_else(|| ids::mint("s"), |(id, _)| id);
        let imported = self.here.servers.remove(&id);
        let mut tags = machine.tags.clone();
        tags.insert("Name".into(), machine.hostname.clone());
        let server = Server {
            id: id.clone(),
            user_provided_id: Some(source_vm_id.to_owned()),
            fqdn_for_action_framework: imported
                .as_ref()
                .and_then(|s| s.fqdn_for_action_framework.clone()),
            hostname: machine.hostname.clone(),
            fqdn: machine.fqdn(),
            ips: machine.ips.clone(),
            os: machine.os.name().into(),
            disks: machine.disks.clone(),
            archived: false,
            replication_type: "AGENT_BASED".into(),
            life_cycle,
            replication,
            added: now,
            ended: None,
            last_test: Marks::default(),
            last_cutover: Marks::default(),
            launched: None,
            shown_before: None,
            application_id: imported.and_then(|s| s.application_id),
            connector_action: None,
            tags,
            template_id: None,
            launch_configuration: launch::default_configuration(
                &id,
                self.here.launch_templates.values().next(),
            ),
            replication_configuration: launch::default_replication(
                &id,
                &machine.disks,
                self.here.replication_templates.values().next(),
            ),
            actions: self.inherited_actions(machine.os),
            announced: machine.replicated,
        };
        self.here.servers.insert(id.clone(), server);
        self.plan_stall(&machine);
        self.ask_for(Effect::CreateTemplate {
            server_id: id.clone(),
            disks: machine.disks.clone(),
            attempts: 0,
        });
        Some(id)
    }

    /// The template's actions for this operating system.
    fn inherited_actions(&self, os: Os) -> BTreeMap<String, Value> {
        let first = self
            .here
            .launch_templates
            .keys()
            .next()
            .and_then(|id| self.here.template_actions.get(id));
        let mut actions = first.cloned().unwrap_or_default();
        actions.retain(|_, action| {
            let own = action
                .as_object_mut()
                .and_then(|action| action.remove("operatingSystem"));
            own.is_none_or(|own| own == os.name())
        });
        actions
    }
}

const STALLED_CHANGE: &str = "MGN Source Server Data Replication Stalled Change";

/// What a passed deadline of the replication means for the server.
fn settle(
    server: &mut Server,
    _at: Timestamp,
    happened: Happened,
    events: &mut Vec<(String, &'static str, &'static str)>,
) {
    match happened {
        Happened::Launchable => {
            if server.life_cycle == LifeCycle::NotReady {
                server.life_cycle = LifeCycle::ReadyForTest;
            }
            if !server.announced {
                server.announced = true;
                events.push((
                    server.id.clone(),
                    "MGN Source Server Lifecycle State Change",
                    "READY_FOR_TEST",
                ));
            }
        }
        Happened::Stalled => events.push((server.id.clone(), STALLED_CHANGE, "STALLED")),
        Happened::Recovered => events.push((server.id.clone(), STALLED_CHANGE, "NOT_STALLED")),
    }
}
