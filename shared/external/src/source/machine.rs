//! What every platform can do with a machine, and the machine of any of them.

use landfall_domain::StageError;

use super::Trouble;
use super::azure::Azure;
use super::ec2::Ec2;
use super::vsphere::Vsphere;

/// Whether a machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// It runs.
    Running,
    /// It is on its way up.
    Starting,
    /// It is on its way down.
    Stopping,
    /// It does not run.
    Off,
    /// The platform does not say, or what it says can mean either way: ask again.
    Unknown,
}

/// How the removal of a machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The machine is not there any more.
    Gone,
    /// The platform was asked to remove it, and works on it: ask again.
    UnderWay,
    /// It is not off, and nothing was asked for.
    NotOff,
}

/// The power of a machine, snapshots of it, and its end.
///
/// Every method may be called again at any time, also when nobody knows whether the call before took effect. What
/// changes a machine is only asked for, and the platform works on after the answer. Each may fail with the refusal that
/// the machine was connected with, or with a transient name.
pub trait SourceMachine: Sized {
    /// Makes sure that the machine is there, and changes nothing.
    fn look(&self) -> impl Future<Output = Result<(), Trouble>> + Send;

    /// How the machine stands.
    fn power(&self) -> impl Future<Output = Result<Power, StageError>> + Send;

    /// Asks for the machine to be shut down, by its operating system where the platform can reach that. One that is
    /// off, or on its way, stays so. Without force it may never come down: see [`SourceMachine::force_off`].
    fn power_off(&self) -> impl Future<Output = Result<(), StageError>> + Send;

    /// Asks for the machine to be powered off whether or not its operating system has come to an end: for one that was
    /// asked long enough ago.
    fn force_off(&self) -> impl Future<Output = Result<(), StageError>> + Send;

    /// Asks for a machine that is off to be started. One that runs stays so.
    fn start(&self) -> impl Future<Output = Result<(), StageError>> + Send;

    /// Takes a snapshot of all of the machine's disks under a name, once: the same name again finds what is there.
    /// What is known as this name is [`super::snapshot_name`] of it. Returns the platform's own ID of the snapshot.
    ///
    /// # Errors
    /// `DependencyUnavailable` while the platform still takes it, which may be for minutes: ask again.
    fn snapshot(&self, name: &str) -> impl Future<Output = Result<String, StageError>> + Send;

    /// Removes a machine that is off from its platform for good. One that is not off stays.
    ///
    /// # Errors
    /// A refusal, also where the platform's machines are none that may be removed: see
    /// [`landfall_domain::decommission`].
    fn remove(&self) -> impl Future<Output = Result<Removal, StageError>> + Send;

    /// Gives back what signing in took, as far as that works: nothing rests on it.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// The machine of a request, whatever it runs on.
#[derive(Debug)]
pub struct Machine(On);

#[derive(Debug)]
enum On {
    Azure(Azure),
    Vsphere(Vsphere),
    Ec2(Ec2),
}

impl Machine {
    pub(super) const fn azure(machine: Azure) -> Self {
        Self(On::Azure(machine))
    }

    pub(super) const fn vsphere(machine: Vsphere) -> Self {
        Self(On::Vsphere(machine))
    }

    pub(super) const fn ec2(machine: Ec2) -> Self {
        Self(On::Ec2(machine))
    }
}

/// Hands a call on to the platform. Boxed: futures of SDK calls are large, and each level would copy them.
macro_rules! hand_on {
    ($on:expr, $machine:ident => $call:expr) => {
        match $on {
            On::Azure($machine) => Box::pin($call).await,
            On::Vsphere($machine) => Box::pin($call).await,
            On::Ec2($machine) => Box::pin($call).await,
        }
    };
}

impl SourceMachine for Machine {
    async fn look(&self) -> Result<(), Trouble> {
        hand_on!(&self.0, machine => machine.look())
    }

    async fn power(&self) -> Result<Power, StageError> {
        hand_on!(&self.0, machine => machine.power())
    }

    async fn power_off(&self) -> Result<(), StageError> {
        hand_on!(&self.0, machine => machine.power_off())
    }

    async fn force_off(&self) -> Result<(), StageError> {
        hand_on!(&self.0, machine => machine.force_off())
    }

    async fn start(&self) -> Result<(), StageError> {
        hand_on!(&self.0, machine => machine.start())
    }

    async fn snapshot(&self, name: &str) -> Result<String, StageError> {
        hand_on!(&self.0, machine => machine.snapshot(name))
    }

    async fn remove(&self) -> Result<Removal, StageError> {
        hand_on!(&self.0, machine => machine.remove())
    }

    async fn close(self) {
        hand_on!(self.0, machine => machine.close());
    }
}
