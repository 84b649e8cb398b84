//! A refusal in AWS's terms, before it is written in one of AWS's protocols.

use serde_json::{Map, Value, json};

/// An exception: name, status, message and the members beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    /// The exception's name.
    pub name: String,
    /// The HTTP status.
    pub status: u16,
    /// The text for people.
    pub message: String,
    /// Further members of the body.
    pub extra: Map<String, Value>,
}

/// What an operation gives.
pub type ApiResult<T = Value> = Result<T, ApiError>;

impl ApiError {
    /// An exception by name.
    pub fn new(name: &str, status: u16, message: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            status,
            message: message.into(),
            extra: Map::new(),
        }
    }

    /// The account or Region has not been initialised.
    pub fn uninitialized() -> Self {
        Self::new(
            "UninitializedAccountException",
            400,
            "The account is not initialized for AWS Application Migration Service in this Region: call InitializeService and create a replication configuration template.",
        )
    }

    /// A resource that does not exist.
    pub fn not_found(kind: &str, id: &str) -> Self {
        Self::new(
            "ResourceNotFoundException",
            404,
            format!("{kind} {id} was not found."),
        )
        .about(kind, id)
    }

    /// A request that does not fit the state of things.
    pub fn conflict(kind: &str, id: &str, message: impl Into<String>) -> Self {
        Self::new("ConflictException", 409, message).about(kind, id)
    }

    /// A request that is wrong in itself.
    pub fn validation(
        reason: &str,
        message: impl Into<String>,
        fields: &[(String, String)],
    ) -> Self {
        let mut error = Self::new("ValidationException", 400, message);
        error.extra.insert("reason".into(), reason.into());
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, message)| json!({"name": name, "message": message}))
            .collect();
        if !fields.is_empty() {
            error.extra.insert("fieldList".into(), fields.into());
        }
        error
    }

    /// One wrong field.
    pub fn field(name: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::validation(
            "fieldValidationFailed",
            format!("{name}: {message}"),
            &[(name.to_owned(), message)],
        )
    }

    /// Adds a member to the body.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.extra.insert(name.to_owned(), value);
        self
    }

    fn about(self, kind: &str, id: &str) -> Self {
        self.with("resourceId", id.into())
            .with("resourceType", kind.into())
    }
}
