//! The systems on the source's side that Landfall talks to: power and snapshots in Azure and vSphere, Cloud Migration
//! Factory, a `ServiceNow` CMDB.

pub mod azure;
pub mod cmdb;
pub mod cmf;
pub mod tokens;
pub mod vsphere;

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
    /// The vCenter Server.
    pub vsphere: vsphere::Vsphere,
    /// What whoever signed in was given.
    pub tokens: tokens::Tokens,
}

/// An answer of one of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body; none when null.
    pub body: Value,
    /// A header beside the usual ones.
    pub header: Option<(&'static str, String)>,
}

impl Answer {
    pub(crate) fn new(status: u16, body: Value) -> Self {
        Self {
            status,
            body,
            header: None,
        }
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: String) -> Self {
        self.header = Some((name, value));
        self
    }
}
