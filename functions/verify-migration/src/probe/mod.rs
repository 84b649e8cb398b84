//! One try of one health check: over the network, or as a script on the target.

pub(crate) mod command;

pub(crate) use landfall_probes::{client, died, get, probe};
