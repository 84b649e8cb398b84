//! Where a message may go, as far as its URL alone tells. Whoever sends looks again, at the address that the name
//! resolves to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::is_public;

/// Scheme, host and port of a URL: the part that says who is talked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// In lower case.
    pub scheme: String,
    /// In lower case; an IPv6 address stands in brackets.
    pub host: String,
    /// Where it is not the scheme's own.
    pub port: Option<u16>,
}

/// Why a message may not go somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forbidden {
    /// In words that follow "it may not go there:". It repeats nothing but the host: what follows that may be a
    /// secret, and so may what stands before it.
    pub problem: String,
    /// `scheme://host[:port]`, where the URL could be read.
    pub origin: Option<String>,
}

/// What speaks against a URL before anybody resolves its name: it must be https and name a host that is not plainly
/// inside, or be of an origin that the deployment lists.
///
/// # Errors
/// [`Forbidden`], for whoever wrote the URL.
pub fn forbidden(url: &str, listed: &[String]) -> Result<Origin, Forbidden> {
    let origin = Origin::of(url).map_err(|problem| Forbidden {
        problem: problem.to_owned(),
        origin: None,
    })?;
    let text = origin.text();
    if is_listed(&text, listed.iter().map(String::as_str)) {
        return Ok(origin);
    }
    match origin.problem() {
        None => Ok(origin),
        Some(problem) => Err(Forbidden {
            problem,
            origin: Some(text),
        }),
    }
}

/// Whether a URL's origin (`scheme://host[:port]`) is one that the deployment lists.
pub fn is_listed<'a>(origin: &str, mut allowed: impl Iterator<Item = &'a str>) -> bool {
    allowed.any(|entry| entry.trim().trim_end_matches('/') == origin)
}

impl Origin {
    /// Reads scheme, host and port. Stricter than URL libraries, which read `\` as `/` and skip some
    /// characters: what two readers could read in two ways is refused.
    ///
    /// # Errors
    /// What is wrong, in words that repeat nothing of the URL.
    pub fn of(url: &str) -> Result<Self, &'static str> {
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
    pub fn text(&self) -> String {
        match self.port {
            None => format!("{}://{}", self.scheme, self.host),
            Some(port) => format!("{}://{}:{port}", self.scheme, self.host),
        }
    }

    /// The address that the host spells out, if it is one. A host whose last label is a number is an IPv4 address
    /// to URL libraries, in forms such as `0x7f.1` and `2130706433`; all but the plain form are refused.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn address(&self) -> Result<Option<IpAddr>, &'static str> {
        let host = self.host.trim_end_matches('.');
        if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            let address: Ipv6Addr = inner
                .parse()
                .map_err(|_| "its IPv6 address is no address")?;
            return Ok(Some(IpAddr::V6(address)));
        }
        if let Ok(address) = host.parse::<Ipv4Addr>() {
            return Ok(Some(IpAddr::V4(address)));
        }
        let last = host.rsplit('.').next().unwrap_or_default();
        let numeric = last.chars().all(|c| c.is_ascii_digit())
            || last
                .strip_prefix("0x")
                .is_some_and(|hex| hex.chars().all(|c| c.is_ascii_hexdigit()));
        if numeric {
            return Err("its host is an address in an unusual form");
        }
        Ok(None)
    }

    /// Why the origin is not for everybody.
    fn problem(&self) -> Option<String> {
        if self.scheme != "https" {
            return Some(format!("its scheme is {} and not https", self.scheme));
        }
        let host = self.host.trim_end_matches('.');
        if host == "localhost" || host.ends_with(".localhost") {
            return Some("its host is the local machine".to_owned());
        }
        match self.address() {
            Ok(Some(address)) if !is_public(address) => Some(format!(
                "its address {address} is not on the public Internet"
            )),
            Ok(_) => None,
            Err(problem) => Some(problem.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_go_to_the_public_internet_or_to_listed_origins() {
        let listed = [
            "http://127.0.0.1:4570/".to_owned(),
            " https://hooks.corp".to_owned(),
        ];
        for url in [
            "https://runbook.example.com/status",
            "https://runbook.example.com:8443/status?x=1#y",
            "HTTPS://Runbook.Example.com",
            "https://8.8.8.8/x",
            "https://[2606:4700:4700::1111]/x",
            "http://127.0.0.1:4570/sink/a",
            "https://hooks.corp:443/x",
            "https://hooks.corp:444/x",
        ] {
            assert!(forbidden(url, &listed).is_ok(), "{url}");
        }
    }

    #[test]
    fn whatever_is_inside_or_odd_is_refused_and_no_secret_repeated() {
        let listed = [
            "http://127.0.0.1:4570".to_owned(),
            "https://10.1.1.1:8443".to_owned(),
        ];
        for url in [
            // Not https, or not the listed origin.
            "http://runbook.example.com/secret",
            "ftp://runbook.example.com/secret",
            "http://127.0.0.1:4571/sink/a",
            "http://127.0.0.1:45700/sink/a",
            "https://127.0.0.1:4570/sink/a",
            "https://10.1.1.1/",
            // Loopback, private, metadata.
            "https://127.0.0.1/",
            "https://127.0.0.1./",
            "https://10.0.0.1/",
            "https://169.254.169.254/latest/meta-data",
            "https://[::1]/",
            "https://[::]/",
            "https://[fe80::1]/",
            "https://[fd00:ec2::254]/latest/meta-data",
            "https://[::ffff:169.254.169.254]/",
            "https://[::ffff:a9fe:a9fe]/",
            "https://[64:ff9b::a9fe:a9fe]/",
            "https://[2002:a9fe:a9fe::1]/",
            "https://localhost/",
            "https://localhost./",
            "https://LocalHost/",
            "https://a.localhost:8443/",
            // Decimal, hexadecimal, octal and short forms, of public addresses too.
            "https://2130706433/",
            "https://134744072/",
            "https://0x7f000001/",
            "https://0x7f.1/",
            "https://0X7F.1/",
            "https://0177.0.0.1/",
            "https://127.1/",
            "https://127.0.1/",
            "https://0/",
            "https://example.0x7f/",
            "https://1.2.3.4.5/",
            // What readers read in different ways.
            "https://user:secret@example.com/",
            "http://127.0.0.1:4570@evil.example.com/",
            r"https://example.com\@10.0.0.1/",
            "https://example.com%2f@10.0.0.1/",
            "https://exa\tmple.com/",
            "https://１２７.0.0.1/",
            "https://127。0。0。1/",
            "https://ⓛocalhost/",
            "https://example.com:port/",
            "https://example.com:99999/",
            "https://[::1/",
            "https://[fe80::1%25eth0]/",
            "https://[v1.x]/",
            "https:///x",
            "https:/example.com",
            "//example.com/secret",
            "secret",
            "",
        ] {
            let problem = forbidden(url, &listed);
            assert!(problem.is_err(), "{url}: {problem:?}");
            assert!(!format!("{problem:?}").contains("secret"), "{problem:?}");
        }
    }

    #[test]
    fn of_an_origin_without_its_own_port_the_text_is_short() {
        for (url, text) in [
            ("https://A.example.com:443/x", "https://a.example.com"),
            ("https://a.example.com:8443?x", "https://a.example.com:8443"),
            ("http://[::1]:80/", "http://[::1]"),
        ] {
            assert_eq!(Origin::of(url).unwrap().text(), text);
        }
    }
}
