//! Requests to addresses that somebody else chose: callbacks, chat webhooks. A guard stands before each of them.
//!
//! Such a URL must not lead inside: not to the loopback, a private network or a metadata service, by whatever name or
//! notation. The URL is judged by [`landfall_domain::webhook`]; then its name is resolved once, every address that it has
//! is judged, and the connection goes to exactly these: a name that resolves to something else a moment later gains
//! nothing. No redirect is followed, and no proxy of the environment is used.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use landfall_domain::webhook::{self, Forbidden};
use reqwest::Url;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// How long one request may take, from the connection to the last byte of the answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The addresses of a name, when they are known.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Resolves a name and a port.
pub type Resolver = Arc<dyn Fn(String, u16) -> Resolving + Send + Sync>;

/// Decides where requests may go.
#[derive(Clone)]
pub struct Guard {
    listed: Vec<String>,
    hosts: Option<Vec<String>>,
    resolver: Resolver,
    timeout: Duration,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("listed", &self.listed)
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

/// Why a request was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It may not go there, now or later.
    Forbidden(Forbidden),
    /// The name has no address now; why, in words.
    Unresolved(String),
}

/// A URL that a request may go to, and the addresses that it may go to there.
#[derive(Clone, Debug)]
pub struct Admitted {
    url: Url,
    host: String,
    addresses: Vec<SocketAddr>,
    timeout: Duration,
}

/// What a receiver answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The HTTP status.
    pub status: u16,
    /// The header `Retry-After`, as it came.
    pub retry_after: Option<String>,
}

impl Guard {
    /// Lets through https to the public Internet, and the origins (`scheme://host[:port]`) that are listed, wherever these
    /// are.
    pub fn new(listed: Vec<String>) -> Self {
        Self {
            listed,
            hosts: None,
            resolver: Arc::new(|host, port| Box::pin(system(host, port))),
            timeout: TIMEOUT,
        }
    }

    /// Narrows what is let through beside the listed origins to some hosts: a name, or `*.` and the name that it ends
    /// with.
    #[must_use]
    pub fn only(mut self, hosts: Vec<String>) -> Self {
        self.hosts = Some(hosts);
        self
    }

    /// With another way to resolve names.
    #[must_use]
    pub fn resolving_by(mut self, resolver: Resolver) -> Self {
        self.resolver = resolver;
        self
    }

    /// With another limit for one request.
    #[must_use]
    pub const fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Judges a URL and every address that its name has now.
    ///
    /// # Errors
    /// [`Stopped`]; nothing was sent.
    pub async fn admit(&self, url: &str) -> Result<Admitted, Stopped> {
        let origin = webhook::forbidden(url, &self.listed).map_err(Stopped::Forbidden)?;
        let forbidden = |problem: String| {
            let origin = Some(origin.text());
            Stopped::Forbidden(Forbidden { problem, origin })
        };
        let listed = webhook::is_listed(&origin.text(), self.listed.iter().map(String::as_str));
        if let Some(hosts) = &self.hosts
            && !listed
            && !hosts.iter().any(|host| fits(host, &origin.host))
        {
            return Err(forbidden(
                "its host is none that the deployment lists".to_owned(),
            ));
        }
        let parsed = Url::parse(url).map_err(|error| forbidden(format!("{error}")))?;
        let host = parsed.host_str().unwrap_or_default().to_owned();
        let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        // The one who judges and the one who connects must read the same in it.
        let same = match address {
            Some(address) => origin.address() == Ok(Some(address)),
            None => host == origin.host,
        };
        if !same || parsed.scheme() != origin.scheme {
            return Err(forbidden("it can be read in two ways".to_owned()));
        }
        let port = parsed
            .port_or_known_default()
            .ok_or_else(|| forbidden("its scheme has no port".to_owned()))?;
        let addresses = match address {
            Some(address) => vec![SocketAddr::new(address, port)],
            None => self.resolve(&host, port).await?,
        };
        if !listed && let Some(inside) = addresses.iter().find(|it| !webhook::is_public(it.ip())) {
            return Err(forbidden(format!(
                "{host} is at {}, which is not on the public Internet",
                inside.ip()
            )));
        }
        Ok(Admitted {
            url: parsed,
            host,
            addresses,
            timeout: self.timeout,
        })
    }

    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Stopped> {
        let resolved = tokio::time::timeout(self.timeout, (self.resolver)(host.to_owned(), port));
        let why = match resolved.await {
            Ok(Ok(addresses)) if !addresses.is_empty() => {
                // The port is the URL's, whatever a resolver says.
                let ips = addresses.iter().map(SocketAddr::ip);
                return Ok(ips.map(|ip| SocketAddr::new(ip, port)).collect());
            }
            Ok(Ok(_)) => "it has no address".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        Err(Stopped::Unresolved(format!(
            "{host} does not resolve: {why}"
        )))
    }
}

async fn system(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host((host.as_str(), port))
        .await?
        .collect())
}

/// Whether a host is the one, or one of those, that an entry means.
fn fits(entry: &str, host: &str) -> bool {
    let entry = entry.trim().to_ascii_lowercase();
    match entry.strip_prefix("*.") {
        Some(parent) => host
            .strip_suffix(parent)
            .is_some_and(|before| before.len() > 1 && before.ends_with('.')),
        None => entry == host,
    }
}

impl Admitted {
    /// The URL's host: as much of it as may be told.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Where the connection may go.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// POSTs JSON there, once.
    ///
    /// # Errors
    /// Why there was no answer, in words that show nothing of the URL but its host.
    pub async fn post(&self, headers: HeaderMap, body: String) -> Result<Answered, String> {
        // A client of its own for each request, because the judged addresses are part of it.
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(self.timeout)
            .user_agent(concat!("landfall/", env!("CARGO_PKG_VERSION")))
            .resolve_to_addrs(&self.host, &self.addresses)
            .build()
            .map_err(|error| error.without_url().to_string())?;
        let sent = client
            .post(self.url.clone())
            .header("content-type", "application/json")
            .headers(headers)
            .body(body)
            .send()
            .await;
        match sent {
            Ok(answer) => Ok(Answered {
                status: answer.status().as_u16(),
                retry_after: answer
                    .headers()
                    .get(RETRY_AFTER)
                    .and_then(|value| value.to_str().ok())
                    .map(str::to_owned),
            }),
            Err(error) if error.is_timeout() => Err("no answer in time".to_owned()),
            Err(error) => Err(error.without_url().to_string()),
        }
    }
}
