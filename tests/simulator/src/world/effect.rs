//! Work for `MiniStack` that the world asks for and the ticker does.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::server::Disk;

/// An event as it is emitted.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventRecord {
    /// `simulator.mgn` or `simulator.ssm`: sources that begin with `aws.` are refused, by AWS as by `MiniStack`.
    pub source: &'static str,
    /// `detail-type`.
    pub detail_type: &'static str,
    /// `resources[0]`.
    pub resource: String,
    /// `detail`.
    pub detail: Value,
    /// Wall-clock time.
    pub at: Timestamp,
}

/// One piece of work.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Make the EC2 launch template of a new server.
    CreateTemplate {
        /// The server.
        server_id: String,
        /// Its disks.
        disks: Vec<Disk>,
        /// Failed attempts so far.
        attempts: u32,
    },
    /// Launch an instance from the default version of a template.
    Launch {
        /// The job that wants it.
        job_id: String,
        /// The server it is for.
        server_id: String,
        /// The template.
        template_id: Option<String>,
        /// The type that right-sizing sets in place of the template's.
        instance_type: Option<String>,
        /// Tags of the instance.
        tags: Vec<(String, String)>,
        /// Whether it is left stopped.
        stopped: bool,
    },
    /// Terminate an instance.
    Terminate {
        /// The job that wants it.
        job_id: String,
        /// The server it was for.
        server_id: String,
        /// The instance.
        instance_id: String,
    },
    /// Put an event.
    Event(EventRecord),
}
