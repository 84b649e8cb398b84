//! The systems on the source's side that Landfall talks to: Azure's power and snapshots, Cloud Migration Factory,
//! a `ServiceNow` CMDB.

pub mod azure;
pub mod cmdb;
pub mod cmf;

use std::collections::BTreeMap;

use serde_json::Value;

/// What these systems have stored.
#[derive(Debug, Default)]
pub struct SourceApis {
    /// Records of Cloud Migration Factory.
    pub cmf: Vec<Value>,
    /// Records of the CMDB by table and `sys_id`.
    pub cmdb: BTreeMap<String, BTreeMap<String, Value>>,
    /// Azure snapshots by path.
    pub snapshots: BTreeMap<String, Value>,
}

/// An answer of one of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body; none when null.
    pub body: Value,
}

impl Answer {
    pub(crate) fn new(status: u16, body: Value) -> Self {
        Self { status, body }
    }
}
