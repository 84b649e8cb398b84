//! A small HTTP server on 127.0.0.1 that answers in turn and remembers what it was asked.
#![allow(dead_code, reason = "each test takes the part it needs")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The request line.
    pub(crate) line: String,
    /// By lower-case name.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// The server; its thread lives as long as the test's process.
pub(crate) struct Receiver {
    pub(crate) url: String,
    pub(crate) port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Receiver {
    /// Answers with these statuses in turn, the last one from then on; the body is always `all is ok`.
    pub(crate) fn start(statuses: &[u16]) -> Self {
        let statuses = statuses.to_vec();
        Self::answering(move |nth, _| (statuses[nth.min(statuses.len() - 1)], "all is ok".into()))
    }

    /// Answers with this status, and asks to be left alone.
    pub(crate) fn asking(status: u16, retry_after: &str) -> Self {
        let retry_after = retry_after.to_owned();
        Self::answering_with(move |_, _| {
            (
                status,
                format!("retry-after: {retry_after}\r\n"),
                String::new(),
            )
        })
    }

    /// Answers with status and body by the number of the request and the request.
    pub(crate) fn answering(
        answer: impl Fn(usize, &Request) -> (u16, String) + Send + 'static,
    ) -> Self {
        Self::answering_with(move |nth, request| {
            let (status, body) = answer(nth, request);
            (status, String::new(), body)
        })
    }

    /// The same with further header lines between the two.
    fn answering_with(
        answer: impl Fn(usize, &Request) -> (u16, String, String) + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that only connects sends nothing to read.
                let Some(request) = read(&stream) else {
                    continue;
                };
                let nth = {
                    let mut seen = seen.lock().unwrap();
                    seen.push(request.clone());
                    seen.len() - 1
                };
                let (status, headers, body) = answer(nth, &request);
                write(stream, status, &headers, &body);
            }
        });
        Self {
            url: format!("http://127.0.0.1:{port}"),
            port,
            requests,
        }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

pub(crate) fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(0, |n: &String| n.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        line: line.trim_end().to_owned(),
        headers,
        body: String::from_utf8(body).unwrap(),
    })
}

fn write(mut stream: TcpStream, status: u16, headers: &str, body: &str) {
    // 204 has no body; a redirect points somewhere that nobody may go.
    let body = if status == 204 { "" } else { body };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status} Status\r\nlocation: /elsewhere\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    // A client that is gone leaves nobody to answer.
    let _ = stream.write_all(answer.as_bytes());
}
