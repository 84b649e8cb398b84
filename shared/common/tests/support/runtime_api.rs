//! As much of the Lambda runtime API as one invocation needs.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde_json::Value;

use crate::receiver::read;

/// How long a function may take; far above three attempts at a closed port.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a function answered.
#[derive(Debug)]
pub(crate) enum Answer {
    Response(Value),
    Error(Value),
}

/// Serves one invocation.
pub(crate) struct RuntimeApi {
    /// For `AWS_LAMBDA_RUNTIME_API`.
    pub(crate) address: String,
    answers: Receiver<Answer>,
}

impl RuntimeApi {
    pub(crate) fn start(event: &Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, answers) = channel();
        let event = event.to_string();
        std::thread::spawn(move || serve(&listener, event, &sender));
        Self { address, answers }
    }

    /// Runs a function until it has answered its one invocation, then ends it.
    pub(crate) fn run(&self, mut command: Command) -> Answer {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut child = child.unwrap();
        let answer = self.answers.recv_timeout(PATIENCE);
        child.kill().unwrap();
        child.wait().unwrap();
        answer.unwrap_or_else(|_| panic!("{command:?} gave no answer"))
    }
}

fn serve(listener: &TcpListener, event: String, answers: &Sender<Answer>) {
    let mut event = Some(event);
    // A function that asks for a second event waits here, on a connection that stays open, as in Lambda.
    let mut idle: Vec<TcpStream> = Vec::new();
    for stream in listener.incoming().flatten() {
        let Some(request) = read(&stream) else {
            continue;
        };
        let path = request.line.split(' ').nth(1).unwrap_or_default();
        if path.ends_with("/invocation/next") {
            match event.take() {
                Some(event) => reply(stream, 200, &event),
                None => idle.push(stream),
            }
            continue;
        }
        let body =
            serde_json::from_str(&request.body).unwrap_or(Value::String(request.body.clone()));
        let answer = if path.ends_with("/response") {
            Answer::Response(body)
        } else {
            Answer::Error(body)
        };
        reply(stream, 202, "");
        if answers.send(answer).is_err() {
            return;
        }
    }
}

fn reply(mut stream: TcpStream, status: u16, body: &str) {
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status} Status\r\n\
         lambda-runtime-aws-request-id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n\
         lambda-runtime-deadline-ms: 4102444800000\r\n\
         lambda-runtime-invoked-function-arn: arn:aws:lambda:us-east-1:000000000000:function:test\r\n\
         lambda-runtime-trace-id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    // A function that is gone leaves nobody to answer.
    let _ = stream.write_all(answer.as_bytes());
}
