//! Typed configuration from the environment that reports everything missing at once.

use serde::de::DeserializeOwned;

type Lookup<'a> = Box<dyn Fn(&str) -> Option<String> + 'a>;

/// Reads variables and remembers what was wrong; [`Env::finish`] tells all of it.
pub struct Env<'a> {
    lookup: Lookup<'a>,
    faults: Vec<String>,
}

/// The configuration cannot be used; names every variable at fault.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError(Vec<String>);

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the environment is not usable: {}", self.0.join("; "))
    }
}

impl std::error::Error for ConfigError {}

impl<'a> Env<'a> {
    /// Reads from any lookup; tests pass a table.
    pub fn new(lookup: impl Fn(&str) -> Option<String> + 'a) -> Self {
        Self {
            lookup: Box::new(lookup),
            faults: Vec::new(),
        }
    }

    /// Reads from the process environment.
    pub fn from_process() -> Self {
        Env::new(|name| std::env::var(name).ok())
    }

    /// A variable that must be set. When it is not, the fault is remembered and an empty text returned, so
    /// that reading goes on to the next one.
    pub fn required(&mut self, name: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.faults.push(format!("{name} is not set"));
            String::new()
        })
    }

    /// A variable that may be absent; an empty one counts as absent.
    pub fn optional(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.trim().is_empty())
    }

    /// A list separated by commas; absent means empty.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.optional(name)
            .map(|text| {
                text.split(',')
                    .map(str::trim)
                    .filter(|part| !part.is_empty())
                    .map(str::to_owned)
                    .collect()
            })
            .unwrap_or_default()
    }

    /// A switch: `true` or `false`; absent means false. Anything else is a fault, so that nobody relies on a switch that
    /// was mistyped.
    pub fn switch(&mut self, name: &str) -> bool {
        match self.optional(name).as_deref().map(str::trim) {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => {
                self.faults
                    .push(format!("{name} is {other:?}, and neither true nor false"));
                false
            }
        }
    }

    /// A variable that holds JSON; `None` when it is absent. One that cannot be read is a fault that says where.
    pub fn json<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let text = self.optional(name)?;
        match serde_json::from_str(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.faults
                    .push(format!("{name} is not the JSON that is wanted: {error}"));
                None
            }
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`ConfigError`] with every fault met so far.
    pub fn finish(self) -> Result<(), ConfigError> {
        if self.faults.is_empty() {
            Ok(())
        } else {
            Err(ConfigError(self.faults))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_missing_is_told_at_once() {
        let mut env = Env::new(|name| match name {
            "SET" => Some("value".into()),
            "BLANK" => Some("  ".into()),
            "LIST" => Some(" a, b,,".into()),
            "ON" => Some("true".into()),
            "OFF" => Some("false".into()),
            "ODD" => Some("yes".into()),
            "JSON" => Some("[1, 2]".into()),
            "TORN" => Some("[1,".into()),
            _ => None,
        });
        assert_eq!(env.required("SET"), "value");
        assert_eq!(env.optional("BLANK"), None);
        assert_eq!(env.list("LIST"), ["a", "b"]);
        assert!(env.switch("ON") && !env.switch("OFF") && !env.switch("BLANK"));
        assert!(!env.switch("ODD"));
        assert_eq!(env.json::<Vec<u8>>("JSON"), Some(vec![1, 2]));
        assert_eq!(env.json::<Vec<u8>>("ABSENT"), None);
        assert_eq!(env.json::<Vec<u8>>("TORN"), None);
        env.required("ONE");
        env.required("BLANK");
        assert_eq!(
            env.finish().unwrap_err().to_string(),
            "the environment is not usable: ODD is \"yes\", and neither true nor false; TORN is not the JSON that is wanted: \
             EOF while parsing a value at line 1 column 3; ONE is not set; BLANK is not set"
        );
    }
}
