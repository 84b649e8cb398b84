//! Connections.

use landfall_domain::health::Seen;
use tokio::net::TcpStream;

pub(super) async fn connect(host: &str, port: u16) -> Seen {
    match TcpStream::connect((host, port)).await {
        Ok(_) => Seen::Connected,
        Err(error) => Seen::Nothing(error.to_string()),
    }
}
