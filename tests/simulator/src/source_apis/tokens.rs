//! The tokens that are handed out for a sign-in. Each is new, and kept for a test that searches for it where it must not be.

use serde::Serialize;
use uuid::Uuid;

/// Old ones are forgotten: a simulator may run for days.
const KEPT: usize = 10_000;

/// A token, and the system that gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Token {
    /// `azure`, `cmf`, `vsphere` or `vim`.
    pub of: &'static str,
    /// Its text, which stands nowhere else.
    pub token: String,
}

/// All that were handed out, oldest first.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Tokens(Vec<Token>);

impl Tokens {
    /// Hands one out.
    pub fn hand_out(&mut self, of: &'static str) -> String {
        if self.0.len() >= KEPT {
            self.0.drain(..KEPT / 10);
        }
        let token = Uuid::new_v4().simple().to_string();
        self.0.push(Token {
            of,
            token: token.clone(),
        });
        token
    }

    /// Whether a system gave this one.
    pub fn knows(&self, of: &str, token: &str) -> bool {
        let mut all = self.0.iter().rev();
        all.any(|known| known.of == of && known.token == token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_where_it_was_given() {
        let mut tokens = Tokens::default();
        let (one, two) = (tokens.hand_out("azure"), tokens.hand_out("cmf"));
        assert_ne!(one, two);
        assert!(tokens.knows("azure", &one) && tokens.knows("cmf", &two));
        assert!(!tokens.knows("cmf", &one));
        for _ in 0..KEPT {
            tokens.hand_out("vim");
        }
        assert!(!tokens.knows("azure", &one) && tokens.0.len() <= KEPT);
    }
}
