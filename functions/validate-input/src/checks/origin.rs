//! The part of a URL that says who is talked to.

/// Scheme, host and port of a URL.
pub(super) struct Origin {
    /// In lower case.
    pub(super) scheme: String,
    /// In lower case.
    pub(super) host: String,
    port: Option<u16>,
}

impl Origin {
    /// Reads scheme, host and port. Stricter than URL libraries, which read `\` as `/` and skip some
    /// characters: what two readers could read in two ways is refused.
    pub(super) fn of(url: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = url.split_once("://").ok_or("it has no scheme")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let authority = &rest[..end];
        if authority.contains('@') {
            return Err("it holds credentials");
        }
        if !authority
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ".-_:[]".contains(c))
        {
            return Err("its host holds characters that no host name has");
        }
        let (host, port) = if authority.starts_with('[') {
            let close = authority
                .find(']')
                .ok_or("its IPv6 address is not closed")?;
            let (host, port) = authority.split_at(close + 1);
            match port {
                "" => (host, None),
                _ => (
                    host,
                    Some(port.strip_prefix(':').ok_or("its port is no number")?),
                ),
            }
        } else {
            match authority.split_once(':') {
                None => (authority, None),
                Some((host, port)) => (host, Some(port)),
            }
        };
        if host.is_empty() {
            return Err("it has no host");
        }
        let port = port
            .map(|port| port.parse().map_err(|_| "its port is no number"))
            .transpose()?;
        let scheme = scheme.to_ascii_lowercase();
        let default = match scheme.as_str() {
            "https" => Some(443),
            "http" => Some(80),
            _ => None,
        };
        Ok(Self {
            scheme,
            host: host.to_ascii_lowercase(),
            port: port.filter(|port| Some(*port) != default),
        })
    }

    /// `scheme://host[:port]`, without the scheme's own port.
    pub(super) fn text(&self) -> String {
        match self.port {
            None => format!("{}://{}", self.scheme, self.host),
            Some(port) => format!("{}://{}:{port}", self.scheme, self.host),
        }
    }
}
