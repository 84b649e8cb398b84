//! What was taken by whom, as long as this process lives.

use std::collections::{BTreeSet, VecDeque};

/// So many are remembered; a message that comes back does so within minutes.
const MOST: usize = 5000;

/// The last deliveries.
#[derive(Debug, Default)]
pub struct Memory {
    order: VecDeque<(String, String)>,
    all: BTreeSet<(String, String)>,
}

impl Memory {
    /// Whether an address took an event.
    pub(crate) fn knows(&self, event: &str, address: &str) -> bool {
        self.all.contains(&(event.to_owned(), address.to_owned()))
    }

    /// Remembers it, and forgets the oldest.
    pub(crate) fn keep(&mut self, event: &str, address: &str) {
        let delivery = (event.to_owned(), address.to_owned());
        if self.all.insert(delivery.clone()) {
            self.order.push_back(delivery);
        }
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.all.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten() {
        let mut memory = Memory::default();
        for event in 0..=MOST {
            memory.keep(&event.to_string(), "a");
            memory.keep(&event.to_string(), "a");
        }
        assert!(!memory.knows("0", "a") && memory.knows("1", "a"));
        assert!(memory.knows(&MOST.to_string(), "a") && !memory.knows("1", "b"));
        assert_eq!((memory.order.len(), memory.all.len()), (MOST, MOST));
    }
}
