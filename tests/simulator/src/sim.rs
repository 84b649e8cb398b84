//! The world under its lock, and the one task that does in `MiniStack` what the world asks for.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::ec2_proxy::Proxy;
use crate::faults::Kind;
use crate::ministack::{Launch, Ministack};
use crate::world::effect::{Effect, EventRecord};
use crate::world::job::Answer;
use crate::world::place::Place;
use crate::world::{World, ids};

const TICK: Duration = Duration::from_millis(50);
/// Attempts to make a launch template while `MiniStack` is coming up.
const TEMPLATE_ATTEMPTS: u32 = 100;
const KEPT_KEYS: usize = 10_000;
/// What the world's time follows.
pub(crate) enum Wall {
    /// The machine's clock.
    Real,
    /// Whoever calls [`Sim::move_on`].
    Manual(Mutex<Timestamp>),
}

impl Wall {
    fn now(&self) -> Timestamp {
        match self {
            Self::Real => Timestamp::now(),
            Self::Manual(at) => *at.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

/// The simulator's shared state.
pub(crate) struct Sim {
    world: Mutex<World>,
    wall: Wall,
    /// Counts the releases of held answers.
    pub(crate) releases: watch::Sender<u64>,
    /// `MiniStack`, if there is one.
    pub(crate) ministack: Option<Ministack>,
    /// The way to it for what is not answered here.
    pub(crate) proxy: Option<Proxy>,
    /// The secret that callbacks are signed with.
    pub(crate) callback_secret: Option<String>,
    /// The accounts of access keys, as far as they have been asked for.
    keys: Mutex<BTreeMap<String, String>>,
    /// One at a time does effects: they must be done in the order of asking.
    doing: tokio::sync::Mutex<()>,
}

impl Sim {
    /// A simulator of this world.
    pub(crate) fn new(
        world: World,
        wall: Wall,
        ministack: Option<Ministack>,
        proxy: Option<Proxy>,
        callback_secret: Option<String>,
    ) -> Self {
        Self {
            world: Mutex::new(world),
            wall,
            releases: watch::Sender::new(0),
            ministack,
            proxy,
            callback_secret,
            keys: Mutex::new(BTreeMap::new()),
            doing: tokio::sync::Mutex::new(()),
        }
    }

    /// The world as it is now, at home. Never held over an await.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.advance(self.wall.now());
        world
    }

    /// The world as it is now, in another place.
    pub(crate) fn world_at(&self, place: &Place) -> MutexGuard<'_, World> {
        let mut world = self.world();
        world.enter(place);
        world
    }

    /// The accounts of the access keys that were seen.
    pub(crate) fn keys(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        // Every session has a key of its own, and a simulator may run for days.
        if keys.len() >= KEPT_KEYS {
            keys.clear();
        }
        keys
    }

    /// The time that the world follows.
    pub(crate) fn now(&self) -> Timestamp {
        self.wall.now()
    }

    /// Moves a manual clock on, from one instant at which something happens to the next, and does what is asked for on
    /// the way.
    pub(crate) async fn move_on(&self, by: SignedDuration) {
        let Wall::Manual(wall) = &self.wall else {
            return;
        };
        let until = self.now() + by;
        loop {
            self.settle().await;
            while !self.world().effects.is_empty() {
                self.settle().await;
            }
            let next = self.world().next_change();
            let mut at = wall.lock().unwrap_or_else(PoisonError::into_inner);
            if *at >= until {
                return;
            }
            *at = next.map_or(until, |next| next.min(until));
        }
    }

    /// Lets time pass, for ever.
    pub(crate) async fn run(&self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.settle().await;
        }
    }

    /// Does what the world has asked for so far.
    pub(crate) async fn settle(&self) {
        let _doing = self.doing.lock().await;
        let effects: Vec<_> = self.world().effects.drain(..).collect();
        let mut events = Vec::new();
        let mut tasks = JoinSet::new();
        for (place, effect) in effects {
            if let Effect::Event(event) = effect {
                events.push((place, event));
            } else {
                let ministack = self.ministack.as_ref().map(|it| it.at(&place));
                tasks.spawn(async move { (place, execute(ministack, effect).await) });
            }
        }
        while let Some(done) = tasks.join_next().await {
            match done {
                Ok((place, outcome)) => self.record(&place, outcome),
                Err(error) => tracing::error!(%error, "an effect did not end"),
            }
        }
        let sent = self.meet_events(events);
        if !sent.is_empty() {
            self.emit(sent).await;
        }
    }

    fn record(&self, place: &Place, outcome: Outcome) {
        let mut world = self.world_at(place);
        let now = world.now;
        match outcome {
            Outcome::Template {
                server_id,
                result: Ok(id),
                ..
            } => {
                if let Some(server) = world
                    .here
                    .servers
                    .get_mut(&server_id)
                    .filter(|s| s.connected())
                {
                    server.template_id = Some(id);
                }
            }
            Outcome::Template {
                server_id,
                attempts,
                result: Err(error),
            } => {
                tracing::warn!(
                    server_id,
                    attempts,
                    error,
                    "the launch template was not made"
                );
                let disks = world.here.servers.get(&server_id).map(|s| s.disks.clone());
                if let Some(disks) = disks.filter(|_| attempts < TEMPLATE_ATTEMPTS) {
                    world.ask_for(Effect::CreateTemplate {
                        server_id,
                        disks,
                        attempts: attempts + 1,
                    });
                }
            }
            Outcome::Answer {
                job_id,
                server_id,
                answer,
            } => {
                if let Some(job) = world.here.jobs.iter_mut().find(|job| job.id == job_id) {
                    job.answer(&server_id, now, answer);
                }
            }
        }
    }

    /// Loses, doubles and delays events as the faults say; gives those that are to go out now.
    fn meet_events(&self, events: Vec<(Place, EventRecord)>) -> Vec<(Place, EventRecord)> {
        let mut world = self.world();
        let now = world.now;
        let (due, late) = std::mem::take(&mut world.late)
            .into_iter()
            .partition::<Vec<_>, _>(|(at, ..)| *at <= now);
        world.late = late;
        let mut sent: Vec<_> = due.into_iter().map(|(_, place, it)| (place, it)).collect();
        for (place, event) in events {
            let about = event.resource.rsplit('/').next().unwrap_or_default();
            world.enter(&place);
            let rule = world.meet("events", event.detail_type, &json!(about));
            match rule.as_ref().map(|rule| (rule.kind, rule.lateness())) {
                Some((Kind::LoseEvent, _)) => {}
                Some((Kind::DoubleEvent, _)) => {
                    sent.push((place.clone(), event.clone()));
                    sent.push((place, event));
                }
                Some((Kind::LateEvent, by)) => world.late.push((now + by, place, event)),
                _ => sent.push((place, event)),
            }
        }
        sent
    }

    async fn emit(&self, sent: Vec<(Place, EventRecord)>) {
        let events = sent.iter().map(|(_, event)| event.clone());
        self.world().events.extend(events);
        let Some(ministack) = &self.ministack else {
            return;
        };
        // Each goes to the default bus of the account it is about.
        for some in sent.chunk_by(|(one, _), (next, _)| one == next) {
            let events: Vec<_> = some.iter().map(|(_, event)| event.clone()).collect();
            let place = &some[0].0;
            if let Err(error) = ministack.at(place).put_events(&events).await {
                // MGN's own delivery is best effort, too; clients must not depend on it.
                tracing::warn!(error, "events were not put");
            }
        }
    }
}

enum Outcome {
    Template {
        server_id: String,
        attempts: u32,
        result: Result<String, String>,
    },
    Answer {
        job_id: String,
        server_id: String,
        answer: Answer,
    },
}

async fn execute(ministack: Option<Ministack>, effect: Effect) -> Outcome {
    match effect {
        Effect::CreateTemplate {
            server_id,
            disks,
            attempts,
        } => {
            let result = match &ministack {
                Some(ministack) => {
                    ministack
                        .create_template(&server_id, &disks, Timestamp::now().as_millisecond())
                        .await
                }
                None => Ok(ids::mint("lt")),
            };
            Outcome::Template {
                server_id,
                attempts,
                result,
            }
        }
        Effect::Launch {
            job_id,
            server_id,
            template_id,
            instance_type,
            tags,
            stopped,
        } => {
            let result = match &ministack {
                Some(ministack) => {
                    ministack
                        .launch(&Launch {
                            template_id,
                            instance_type,
                            tags,
                            stopped,
                        })
                        .await
                }
                None => Ok(ids::mint("i")),
            };
            Outcome::Answer {
                job_id,
                server_id,
                answer: result.map_or_else(Answer::Refused, Answer::Instance),
            }
        }
        Effect::Terminate {
            job_id,
            server_id,
            instance_id,
        } => {
            let result = match &ministack {
                Some(ministack) => ministack.terminate(&instance_id).await,
                None => Ok(()),
            };
            Outcome::Answer {
                job_id,
                server_id,
                answer: result.map_or_else(Answer::Refused, |()| Answer::Instance(instance_id)),
            }
        }
        // Events are put together, after the rest.
        Effect::Event(event) => Outcome::Template {
            server_id: event.resource,
            attempts: TEMPLATE_ATTEMPTS,
            result: Err("not an effect of EC2".into()),
        },
    }
}
