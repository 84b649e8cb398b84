//! Why nobody can work on a source.

use landfall_domain::StageError;

/// An error of signing in or of looking, by what it is about. Any of them may be transient.
#[derive(Clone, Debug, PartialEq)]
pub enum Trouble {
    /// The secret cannot be read, or does not hold what its kind needs.
    Secret(StageError),
    /// The machine is not there, or not the only one that is meant.
    Machine(StageError),
    /// Anything else: a field, the endpoint, a sign-in or a look that is refused, nobody at home.
    Other(StageError),
}

impl Trouble {
    /// The error.
    pub const fn error(&self) -> &StageError {
        let (Self::Secret(error) | Self::Machine(error) | Self::Other(error)) = self;
        error
    }

    /// The error, for a stage to fail with.
    pub fn into_error(self) -> StageError {
        let (Self::Secret(error) | Self::Machine(error) | Self::Other(error)) = self;
        error
    }
}

impl From<StageError> for Trouble {
    fn from(error: StageError) -> Self {
        Self::Other(error)
    }
}
