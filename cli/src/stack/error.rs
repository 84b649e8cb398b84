//! What can keep the local stack from standing, each with what to do about it.

use std::path::PathBuf;

/// A failure of `landfall up` or `landfall down`.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// An option has a value that cannot be used.
    #[error("{name} {problem}")]
    Option {
        /// The option, as on the command line.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The directory is not a checkout of Landfall.
    #[error("{} is not a Landfall checkout: {missing} is missing. Run this in the checkout, or name it with --root", root.display())]
    NotACheckout {
        /// The directory.
        root: PathBuf,
        /// What a checkout would have.
        missing: &'static str,
    },
    /// Something that must be installed by hand is not there, or too old.
    #[error("{tool} {problem}. {remedy}")]
    Tool {
        /// What is needed, with its version.
        tool: &'static str,
        /// What was found instead.
        problem: String,
        /// Where to get it.
        remedy: &'static str,
    },
    /// A program ended badly.
    #[error("{what} failed ({status}){}", detail_suffix(detail))]
    Command {
        /// What was being done.
        what: String,
        /// How the program ended.
        status: String,
        /// The end of its output, or where to read it.
        detail: String,
    },
    /// A program could not be started.
    #[error("cannot start {program}")]
    Spawn {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A file has not the form it should have.
    #[error("{} is not what Landfall writes there; `landfall down` and `landfall up` write it anew", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Where it differs.
        #[source]
        source: serde_json::Error,
    },
    /// Another program listens on a port.
    #[error(
        "port {port} for {service} is taken by another program. Stop that program, or choose a port with {variable} (0 picks a free one)"
    )]
    PortTaken {
        /// Which service wanted it.
        service: &'static str,
        /// The port.
        port: u16,
        /// The variable that chooses another.
        variable: &'static str,
    },
    /// No port could be had at all.
    #[error("cannot find a free port on 127.0.0.1")]
    NoPort(#[source] std::io::Error),
    /// A service did not come up.
    #[error("{service} {problem}; {} ends with:\n{tail}", log.display())]
    NotReady {
        /// Which one.
        service: &'static str,
        /// Whether it ended or merely stayed silent.
        problem: String,
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// A running service refused an order.
    #[error("{service} at {url} did not accept {what}")]
    Refused {
        /// Which one.
        service: &'static str,
        /// The request's address.
        url: String,
        /// What it was asked.
        what: &'static str,
        /// Its answer.
        #[source]
        source: reqwest::Error,
    },
    /// Secrets Manager of the local stack did not keep a secret.
    #[error("MiniStack at {url} did not keep the secret {name}: {problem}")]
    Secret {
        /// Where it was asked.
        url: String,
        /// The secret.
        name: &'static str,
        /// What it said.
        problem: String,
    },
    /// Two of us at once.
    #[error("another `landfall up` or `landfall down` is at work in {}; wait for it to end", root.display())]
    Busy {
        /// The checkout.
        root: PathBuf,
    },
    /// Something that no `up` has made stands where a stack's folder would be.
    #[error(
        "{} is not the folder of a local stack: `landfall up` has not made it. Move it away, or name another stack in LANDFALL_STACK",
        path.display()
    )]
    Foreign {
        /// What stands there.
        path: PathBuf,
    },
    /// Nothing runs.
    #[error("no local stack in {}; start one with `landfall up`", root.display())]
    NotUp {
        /// The checkout.
        root: PathBuf,
    },
}

impl StackError {
    /// For `map_err` on file operations.
    pub(super) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}

fn detail_suffix(detail: &str) -> String {
    if detail.is_empty() {
        String::new()
    } else {
        format!(":\n{detail}")
    }
}
