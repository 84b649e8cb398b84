//! HTTP requests.

use std::net::SocketAddr;
use std::time::Instant;

use landfall_domain::health::{Answer, Seen, shown};
use landfall_domain::request::HttpCheck;
use reqwest::{Client, ClientBuilder, Url};

/// How much of a body is read for a text that must be in it.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// A client for checks that ask nothing special of it.
pub fn client() -> Client {
    builder().build().unwrap_or_default()
}

/// Follows no redirects: an expected status is the status of the address named. Asks the target itself and no proxy, and
/// connects anew each time: a connection that is kept would make the second answer look faster than the first.
fn builder() -> ClientBuilder {
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .pool_max_idle_per_host(0)
        .user_agent(concat!("landfall/", env!("CARGO_PKG_VERSION")))
}

/// GETs an address as a check wants it. It has no limit of its own.
pub async fn get(plain: &Client, check: &HttpCheck, url: &str) -> Seen {
    let answer = async {
        let (client, url) = prepare(plain, check, url).await?;
        let text = |error: reqwest::Error| super::reason(&error);
        let started = Instant::now();
        let mut answer = client.get(url).send().await.map_err(text)?;
        let status = answer.status().as_u16();
        let headers = answer.headers().iter();
        let headers = headers
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), value)
            })
            .collect();
        let mut body = Vec::new();
        while body.len() < MAX_BODY_BYTES
            && let Some(chunk) = answer.chunk().await.map_err(text)?
        {
            body.extend_from_slice(&chunk);
        }
        body.truncate(MAX_BODY_BYTES);
        Ok::<_, String>(Seen::Http(Answer {
            status,
            headers,
            body: String::from_utf8_lossy(&body).into_owned(),
            took: started.elapsed(),
        }))
    };
    answer.await.unwrap_or_else(Seen::Nothing)
}

/// The client and the address for a check. With another host to ask for, the address has that host's name, which then is
/// what the `Host` header and the certificate are about, and the client connects to where the check's own address is.
async fn prepare(plain: &Client, check: &HttpCheck, url: &str) -> Result<(Client, Url), String> {
    let mut url: Url = url
        .parse()
        .map_err(|error| format!("{} is no address ({error})", shown(url)))?;
    if check.tls_verify && check.host_header.is_none() {
        return Ok((plain.clone(), url));
    }
    let mut builder = builder();
    if !check.tls_verify {
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    if let Some(name) = &check.host_header {
        let there = addresses(&url).await?;
        url.set_host(Some(name))
            .map_err(|error| format!("hostHeader {name:?} is no name ({error})"))?;
        // An address would be connected to, in the place of the target.
        let name = url
            .domain()
            .ok_or_else(|| format!("hostHeader {name:?} is no name"))?;
        builder = builder.resolve_to_addrs(name, &there);
    }
    let client = builder.build().map_err(|error| super::reason(&error))?;
    Ok((client, url))
}

async fn addresses(url: &Url) -> Result<Vec<SocketAddr>, String> {
    let host = url.host_str().unwrap_or_default();
    // In an address, IPv6 stands in brackets.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = url.port_or_known_default().unwrap_or_default();
    let found = tokio::net::lookup_host((host, port)).await;
    let found = found.map_err(|error| format!("{host} does not resolve ({error})"))?;
    Ok(found.collect())
}
