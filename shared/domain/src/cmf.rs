//! Cloud Migration Factory's records of a server, its application and its wave: which are meant by a request, what is
//! wrong with them, and what may be changed.
//!
//! Source: the default schemas of Cloud Migration Factory on AWS 4.5 (`wave`, `app`, `server`). Names are unique within a
//! schema; it compares host names without their case, and so does this.

use crate::finding::Finding;
use crate::request::MigrationRequest;

/// The status of a wave one of whose servers migrates; one of the schema's list of values.
pub const WAVE_STARTED: &str = "In progress";

/// Statuses that a wave has before its first server starts. Any other is left: somebody set it for a reason.
const BEFORE_START: [&str; 3] = ["", "Not started", "Planning"];

/// The codes of what can be wrong here.
const CODES: &str = "CMF_";

/// A wave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wave {
    /// `wave_id`.
    pub id: String,
    /// `wave_name`.
    pub name: String,
    /// `wave_status`; empty where it was never set.
    pub status: String,
}

/// An application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct App {
    /// `app_id`.
    pub id: String,
    /// `app_name`.
    pub name: String,
    /// `wave_id`, once it is planned.
    pub wave_id: Option<String>,
}

/// A server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// `server_id`.
    pub id: String,
    /// `server_name`.
    pub name: String,
    /// `server_fqdn`; empty where it has none.
    pub fqdn: String,
    /// `app_id`.
    pub app_id: Option<String>,
    /// `migration_status`; empty where it was never set.
    pub status: String,
}

/// What Cloud Migration Factory has: it offers no search, so all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// Every wave.
    pub waves: Vec<Wave>,
    /// Every application.
    pub apps: Vec<App>,
    /// Every server.
    pub servers: Vec<Server>,
}

/// Whether what is wrong here stops a migration: the deployment says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// It is told, and the migration goes on.
    Told,
    /// It stops the migration.
    Required,
}

impl Weight {
    fn finding(self, code: &str, pointer: &str, message: String) -> Finding {
        match self {
            Self::Told => Finding::warning(code, pointer, message),
            Self::Required => Finding::blocking(code, pointer, message),
        }
    }
}

/// The name by which a server is looked for, and the request's field that tells it: the host's, else that of its machine,
/// else the source's ID.
fn server_name(request: &MigrationRequest) -> (&str, &'static str) {
    let machine = request
        .source_control
        .as_ref()
        .and_then(|control| control.vm_name.as_deref());
    match (request.source_host.as_deref(), machine) {
        (Some(host), _) => (host, "/sourceHost"),
        (None, Some(machine)) => (machine, "/sourceControl/vmName"),
        (None, None) => (&request.source_vm_id, "/sourceVmId"),
    }
}

impl Records {
    fn wave(&self, request: &MigrationRequest) -> Option<&Wave> {
        self.waves
            .iter()
            .find(|wave| same(&wave.name, &request.wave))
    }

    fn app(&self, request: &MigrationRequest) -> Option<&App> {
        self.apps
            .iter()
            .find(|app| same(&app.name, &request.app_name))
    }

    fn named(&self, request: &MigrationRequest) -> Vec<&Server> {
        let (name, _) = server_name(request);
        let named = self
            .servers
            .iter()
            .filter(|server| same(&server.name, name) || same(&server.fqdn, name));
        named.collect()
    }

    /// The record of the request's server: the one of that name in the request's application, else the only one of that
    /// name. `None` where there is none, or where nobody can tell which is meant.
    pub fn server(&self, request: &MigrationRequest) -> Option<&Server> {
        let named = self.named(request);
        let app = self.app(request);
        let mut own = named
            .iter()
            .copied()
            .filter(|server| app.is_some_and(|app| server.app_id.as_deref() == Some(&*app.id)));
        match (own.next(), own.next(), named.as_slice()) {
            (Some(server), None, _) => Some(server),
            (None, None, [server]) => Some(*server),
            _ => None,
        }
    }

    /// The wave that starts with this server: the request's, where the server's application is in it and it has not
    /// started. Of a server that is planned elsewhere nobody can tell which wave begins.
    pub fn wave_to_start(&self, request: &MigrationRequest) -> Option<&Wave> {
        let wave = self.wave(request)?;
        let app = self.app(request)?;
        let server = self.server(request)?;
        let planned =
            server.app_id.as_deref() == Some(&*app.id) && app.wave_id.as_deref() == Some(&*wave.id);
        let starts = BEFORE_START.iter().any(|status| same(&wave.status, status));
        (planned && starts).then_some(wave)
    }

    /// Everything in which the records and a request differ.
    pub fn findings(&self, request: &MigrationRequest, weight: Weight) -> Vec<Finding> {
        let (wave, app) = (self.wave(request), self.app(request));
        let mut findings = Vec::new();
        if wave.is_none() {
            findings.push(
                weight
                    .finding(
                        "CMF_WAVE_NOT_FOUND",
                        "/wave",
                        format!("Cloud Migration Factory has no wave {}.", request.wave),
                    )
                    .evidence(request.wave.as_str(), "a wave_name")
                    .remedy("Create the wave there, or correct the field."),
            );
        }
        if app.is_none() {
            findings.push(
                weight
                    .finding(
                        "CMF_APP_NOT_FOUND",
                        "/appName",
                        format!(
                            "Cloud Migration Factory has no application {}.",
                            request.app_name
                        ),
                    )
                    .evidence(request.app_name.as_str(), "an app_name")
                    .remedy("Create the application there, or correct the field."),
            );
        }
        findings.extend(self.about_server(request, wave, weight));
        findings
    }

    fn about_server(
        &self,
        request: &MigrationRequest,
        wave: Option<&Wave>,
        weight: Weight,
    ) -> Option<Finding> {
        let (name, pointer) = server_name(request);
        let named = self.named(request);
        if named.is_empty() {
            return Some(
                weight
                    .finding(
                        "CMF_SERVER_NOT_FOUND",
                        pointer,
                        format!("Cloud Migration Factory has no server {name}."),
                    )
                    .evidence(name, "a server_name")
                    .remedy("Add the server to its application there, or give its name there as sourceHost."),
            );
        }
        let Some(server) = self.server(request) else {
            let ids: Vec<&str> = named.iter().map(|server| server.id.as_str()).collect();
            return Some(
                weight
                    .finding(
                        "CMF_SERVER_AMBIGUOUS",
                        pointer,
                        format!(
                            "Cloud Migration Factory has several servers {name}: {}.",
                            ids.join(", ")
                        ),
                    )
                    .evidence(ids, "one server")
                    .remedy("Give each server its own name there."),
            );
        };
        let planned = self
            .apps
            .iter()
            .find(|app| server.app_id.as_deref() == Some(&*app.id));
        let elsewhere = match (planned, wave) {
            (None, _) => true,
            (Some(app), _) if !same(&app.name, &request.app_name) => true,
            (Some(app), Some(wave)) => app.wave_id.as_deref() != Some(&*wave.id),
            // That there is no such wave is told already.
            (Some(_), None) => false,
        };
        elsewhere.then(|| {
            let found = self.place(planned);
            weight
                .finding(
                    "CMF_SERVER_ELSEWHERE",
                    pointer,
                    format!(
                        "Cloud Migration Factory has {name} in {found}, and the request in the application {} of the wave {}.",
                        request.app_name, request.wave
                    ),
                )
                .evidence(found, format!("the application {} of the wave {}", request.app_name, request.wave))
                .remedy("Correct the plan there, or appName and wave in the request.")
        })
    }

    /// Where an application stands, in words.
    fn place(&self, app: Option<&App>) -> String {
        let Some(app) = app else {
            return String::from("no application");
        };
        let wave = self
            .waves
            .iter()
            .find(|wave| app.wave_id.as_deref() == Some(&*wave.id));
        wave.map_or_else(
            || format!("the application {} of no wave", app.name),
            |wave| format!("the application {} of the wave {}", app.name, wave.name),
        )
    }
}

/// That Cloud Migration Factory could not be asked.
pub fn unreachable(message: &str, weight: Weight) -> Finding {
    weight
        .finding(
            "CMF_UNREACHABLE",
            "",
            format!("Cloud Migration Factory cannot be asked: {message}."),
        )
        .remedy("Check cmf_url, cmf_login_url and cmf_secret_id of the deployment, and that its functions reach these addresses; meanwhile keep the records there by hand.")
}

/// That a record was not changed.
pub fn not_updated(what: &str, status: &str, message: &str) -> Finding {
    Finding::warning(
        "CMF_NOT_UPDATED",
        "",
        format!("the status of {what} in Cloud Migration Factory was not set: {message}."),
    )
    .evidence(message, status)
    .remedy("Set it there by hand.")
}

/// Whether a finding is one of these.
pub fn is_about(finding: &Finding) -> bool {
    finding.code.starts_with(CODES)
}

fn same(one: &str, other: &str) -> bool {
    one.trim().eq_ignore_ascii_case(other.trim())
}

#[cfg(test)]
mod tests;
