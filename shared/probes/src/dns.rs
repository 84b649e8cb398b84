//! Names, by the system's resolver: the one that applications in the function's network have, too.

use landfall_domain::health::Seen;

pub(super) async fn resolve(name: &str) -> Seen {
    // A port belongs to what is asked for, and to nothing here.
    match tokio::net::lookup_host((name, 0)).await {
        Ok(found) => Seen::Addresses(found.map(|address| address.ip()).collect()),
        Err(error) => Seen::Nothing(error.to_string()),
    }
}
