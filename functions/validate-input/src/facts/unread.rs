//! Facts that could not be read.

use std::collections::BTreeMap;

use landfall_domain::StageError;

/// Something that the checks would know of the target account and Region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fact {
    /// The request's subnet.
    Subnet,
    /// Its security groups.
    Groups,
    /// Where its instance type is offered.
    Zones,
    /// Who has its private address.
    AddressHolders,
    /// Its key.
    Key,
    /// What EBS encrypts with by default.
    EbsDefault,
    /// Its instance profile.
    Profile,
    /// Whether MGN is initialized.
    Initialized,
    /// The servers that MGN has, archived ones among them.
    Servers,
    /// MGN's unfinished jobs.
    Jobs,
    /// What the server would be launched with now.
    Launch,
}

/// The facts whose reading was refused, each with the refusal in AWS's words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unread(BTreeMap<Fact, String>);

impl Unread {
    /// Whether it is unknown.
    pub fn has(&self, fact: Fact) -> bool {
        self.0.contains_key(&fact)
    }

    /// All of them, and why.
    pub fn iter(&self) -> impl Iterator<Item = (Fact, &str)> {
        self.0.iter().map(|(fact, why)| (*fact, why.as_str()))
    }

    /// Notes a fact.
    pub fn note(&mut self, fact: Fact, why: impl Into<String>) {
        self.0.insert(fact, why.into());
    }

    /// What was read; of a fact that AWS refuses to tell, nothing and a note: it must not hide the others.
    ///
    /// # Errors
    /// Transient ones, after which the whole is worth another try.
    pub(super) fn or_note<T: Default>(
        &mut self,
        fact: Fact,
        read: Result<T, StageError>,
    ) -> Result<T, StageError> {
        match read {
            Ok(value) => Ok(value),
            Err(error) if error.name.is_transient() => Err(error),
            Err(error) => {
                tracing::warn!(
                    context = error.context,
                    "the pre-flight may not know: {error}"
                );
                self.note(fact, error.message);
                Ok(T::default())
            }
        }
    }
}
