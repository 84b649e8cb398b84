//! Accounts and Regions: what one of them holds, and how the world changes from one to another.
//!
//! MGN, Run Command and quotas are regional, and an account sees its own resources only. So the world always acts in
//! one place ([`World::place`]) and has that place's holdings at hand ([`World::here`]); no operation can touch what
//! belongs to another one.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::World;
use super::job::Job;
use super::server::Server;
use crate::ssm::Commands;

/// An account and a Region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Place {
    /// The 12-digit account.
    pub account: String,
    /// The Region.
    pub region: String,
}

impl Place {
    /// A place by its two names.
    pub fn new(account: &str, region: &str) -> Self {
        Self {
            account: account.to_owned(),
            region: region.to_owned(),
        }
    }

    /// This place, with what is given of another one.
    #[must_use]
    pub fn with(&self, account: Option<&str>, region: Option<&str>) -> Self {
        Self::new(
            account.unwrap_or(&self.account),
            region.unwrap_or(&self.region),
        )
    }
}

/// What one account holds in one Region.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Local {
    /// Whether `InitializeService` has been called.
    pub initialized: bool,
    /// Replication templates by identifier.
    pub replication_templates: BTreeMap<String, Value>,
    /// Launch templates by identifier, each with its actions.
    pub launch_templates: BTreeMap<String, Value>,
    /// Actions of the launch templates.
    #[serde(skip)]
    pub template_actions: BTreeMap<String, BTreeMap<String, Value>>,
    /// Source servers by identifier.
    pub servers: BTreeMap<String, Server>,
    /// Jobs, oldest first.
    pub jobs: Vec<Job>,
    /// Applications by identifier.
    pub applications: BTreeMap<String, Value>,
    /// Waves by identifier.
    pub waves: BTreeMap<String, Value>,
    /// Connectors by identifier.
    #[serde(skip)]
    pub connectors: BTreeMap<String, Value>,
    /// Import tasks by identifier.
    #[serde(skip)]
    pub imports: BTreeMap<String, Value>,
    /// Export tasks by identifier.
    #[serde(skip)]
    pub exports: BTreeMap<String, Value>,
    /// Run Command.
    pub commands: Commands,
    /// Quotas that differ from their defaults, by code.
    pub quotas: BTreeMap<String, u32>,
    /// How EC2 encrypts new volumes.
    pub ebs: Ebs,
}

/// EC2's account settings for the encryption of new volumes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ebs {
    /// Whether a volume is encrypted that does not say so.
    pub encrypted_by_default: bool,
    /// The key that is used where none is named; AWS's own when absent.
    pub kms_key_id: Option<String>,
}

impl World {
    /// Goes to another place. What is there comes to hand; what was at hand stays behind.
    pub fn enter(&mut self, place: &Place) {
        if self.place == *place {
            return;
        }
        let there = self.elsewhere.remove(place).unwrap_or_default();
        let left = std::mem::replace(&mut self.here, there);
        let from = std::mem::replace(&mut self.place, place.clone());
        self.elsewhere.insert(from, left);
    }

    /// Every place in which there may be something.
    pub fn places(&self) -> Vec<Place> {
        let elsewhere = self.elsewhere.keys().cloned();
        std::iter::once(self.place.clone())
            .chain(elsewhere)
            .collect()
    }

    /// What all places hold, that at hand first.
    pub fn everywhere(&self) -> impl Iterator<Item = (&Place, &Local)> {
        std::iter::once((&self.place, &self.here)).chain(&self.elsewhere)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::switches::Switches;

    #[test]
    fn what_is_left_behind_is_found_again() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let home = Place::new("000000000000", "us-east-1");
        let other = home.with(Some("222222222222"), None);
        let mut world = World::new(home.clone(), Clock::new(now, 1.0), Switches::default(), now);
        world.here.initialized = true;

        world.enter(&other);
        assert!(!world.here.initialized, "nothing follows to another place");
        world.here.quotas.insert("L-1".into(), 1);
        world.enter(&home.with(None, Some("eu-west-1")));
        assert!(world.here.quotas.is_empty(), "a Region is another place");

        world.enter(&home);
        assert!(world.here.initialized);
        world.enter(&home);
        assert!(world.here.initialized);
        world.enter(&other);
        assert_eq!(world.here.quotas.get("L-1"), Some(&1));
        assert_eq!(world.places().len(), 3);
    }
}
