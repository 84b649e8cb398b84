//! The guard before requests to addresses that somebody else chose, with resolvers that lie and a receiver that listens.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests"
)]

#[path = "../../common/tests/support/receiver.rs"]
mod receiver;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use landfall_external::outbound::{Guard, Resolver, Stopped};
use receiver::Receiver;
use reqwest::header::HeaderMap;

const PUBLIC: &str = "93.184.216.34";
const METADATA: &str = "169.254.169.254";

/// Answers with these addresses in turn, the last ones from then on; and how often it was asked.
fn resolver(answers: &[&[&str]]) -> (Resolver, Arc<AtomicUsize>) {
    let answers: Vec<Vec<IpAddr>> = answers
        .iter()
        .map(|answer| answer.iter().map(|ip| ip.parse().unwrap()).collect())
        .collect();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let resolver: Resolver = Arc::new(move |_host, port| {
        let nth = count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
        let answer: Vec<_> = answers[nth]
            .iter()
            .map(|ip| SocketAddr::new(*ip, port))
            .collect();
        Box::pin(async move { Ok(answer) })
    });
    (resolver, asked)
}

fn refused(answer: &[&str]) -> Guard {
    Guard::new(vec![]).resolving_by(resolver(&[answer]).0)
}

async fn problem(guard: &Guard, url: &str) -> String {
    match guard.admit(url).await {
        Err(Stopped::Forbidden(forbidden)) => forbidden.problem,
        other => panic!("{url}: {other:?}"),
    }
}

#[tokio::test]
async fn a_name_is_judged_by_every_address_that_it_has() {
    let url = "https://hooks.example.com/secret";
    for inside in [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        METADATA,
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "fd00:ec2::254",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::1",
        "ff02::1",
    ] {
        for answer in [vec![inside], vec![PUBLIC, inside], vec![inside, PUBLIC]] {
            let told = problem(&refused(&answer), url).await;
            assert!(
                told.contains("is not on the public Internet"),
                "{inside}: {told}"
            );
            assert!(!told.contains("secret"), "{told}");
        }
    }
    let admitted = refused(&[PUBLIC, "2606:4700:4700::1111"])
        .admit(url)
        .await
        .unwrap();
    let expected = ["93.184.216.34:443", "[2606:4700:4700::1111]:443"];
    assert_eq!(admitted.addresses(), expected.map(|it| it.parse().unwrap()));
}

#[tokio::test]
async fn an_address_in_the_url_is_judged_without_asking_anybody() {
    let (resolver, asked) = resolver(&[&[PUBLIC]]);
    let guard = Guard::new(vec![]).resolving_by(resolver);
    for url in [
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:a9fe:a9fe]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[fd00:ec2::254]/",
        "https://2130706433/",
        "https://134744072/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://localhost/",
        "https://user:password@hooks.example.com/",
        "http://hooks.example.com/",
        "ftp://hooks.example.com/",
        "https://１２７.0.0.1/",
        "https://hooks.example.com\\@10.0.0.1/",
        "not a url",
    ] {
        problem(&guard, url).await;
    }
    let admitted = guard
        .admit("https://[2606:4700:4700:0::1111]:8443/x")
        .await
        .unwrap();
    assert_eq!(
        admitted.addresses(),
        ["[2606:4700:4700::1111]:8443".parse().unwrap()]
    );
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_that_moves_inside_after_it_was_judged_gains_nothing() {
    // Public when it is judged, this machine whenever it is asked again: who resolves a second time connects here.
    let receiver = Receiver::start(&[200]);
    let (resolver, asked) = resolver(&[&[PUBLIC], &["127.0.0.1"]]);
    let guard = Guard::new(vec![])
        .resolving_by(resolver)
        .within(Duration::from_millis(300));
    let url = format!("https://rebinding.example.com:{}/secret", receiver.port);
    let admitted = guard.admit(&url).await.unwrap();
    let address: SocketAddr = format!("{PUBLIC}:{}", receiver.port).parse().unwrap();
    assert_eq!(admitted.addresses(), [address]);
    let error = admitted
        .post(HeaderMap::new(), "{}".to_owned())
        .await
        .unwrap_err();
    assert!(!error.contains("secret"), "{error}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert!(receiver.requests().is_empty());
    // Asked again, it is judged again.
    let told = problem(&guard, &url).await;
    assert!(told.contains("127.0.0.1"), "{told}");
}

#[tokio::test]
async fn the_connection_goes_to_the_judged_address_and_to_no_other() {
    // The name exists nowhere but here, and here only once: a second question would find a closed address.
    let receiver = Receiver::start(&[204]);
    let origin = format!("http://hooks.invalid:{}", receiver.port);
    let (resolver, asked) = resolver(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let guard = Guard::new(vec![origin.clone()]).resolving_by(resolver);
    let admitted = guard.admit(&format!("{origin}/x")).await.unwrap();
    let answered = admitted
        .post(HeaderMap::new(), "{}".to_owned())
        .await
        .unwrap();
    assert_eq!(answered.status, 204);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let requests = receiver.requests();
    assert_eq!(requests[0].line, "POST /x HTTP/1.1");
    assert_eq!(
        requests[0].headers["host"],
        format!("hooks.invalid:{}", receiver.port)
    );
}

#[tokio::test]
async fn no_redirect_is_followed() {
    for status in [301, 302, 303, 307, 308] {
        let receiver = Receiver::start(&[status]);
        let guard = Guard::new(vec![receiver.url.clone()]);
        let admitted = guard.admit(&receiver.url).await.unwrap();
        let answered = admitted
            .post(HeaderMap::new(), "{}".to_owned())
            .await
            .unwrap();
        assert_eq!(answered.status, status);
        assert_eq!(receiver.requests().len(), 1);
    }
}

#[tokio::test]
async fn only_some_hosts_may_be_let_through() {
    let hosts = ["hooks.slack.com", "*.webhook.office.com"].map(str::to_owned);
    let guard = Guard::new(vec!["http://127.0.0.1:4570".to_owned()])
        .only(hosts.to_vec())
        .resolving_by(resolver(&[&[PUBLIC]]).0);
    for url in [
        "https://hooks.slack.com/services/x",
        "https://Hooks.Slack.com/",
        "https://contoso.webhook.office.com/x",
        "https://a.b.webhook.office.com/x",
        "http://127.0.0.1:4570/sink/x",
    ] {
        assert!(guard.admit(url).await.is_ok(), "{url}");
    }
    for url in [
        "https://hooks.slack.com.example.com/",
        "https://xhooks.slack.com/",
        "https://a.hooks.slack.com/",
        "https://webhook.office.com/",
        "https://evilwebhook.office.com/",
        "https://.webhook.office.com/",
        "https://example.com/",
        "http://hooks.slack.com/",
        "http://127.0.0.1:4571/",
    ] {
        problem(&guard, url).await;
    }
    // A listed host that leads inside is refused all the same.
    let guard = Guard::new(vec![]).only(vec!["hooks.slack.com".to_owned()]);
    let guard = guard.resolving_by(resolver(&[&[METADATA]]).0);
    let told = problem(&guard, "https://hooks.slack.com/services/x").await;
    assert!(told.contains(METADATA), "{told}");
}

#[tokio::test]
async fn a_name_without_an_address_may_have_one_later() {
    for guard in [
        Guard::new(vec![]).resolving_by(resolver(&[&[]]).0),
        Guard::new(vec![]).resolving_by(Arc::new(|_, _| {
            Box::pin(async { Err(std::io::Error::other("no such host")) })
        })),
        Guard::new(vec![])
            .resolving_by(Arc::new(|_, _| Box::pin(std::future::pending())))
            .within(Duration::from_millis(10)),
    ] {
        let Err(Stopped::Unresolved(why)) = guard.admit("https://a.example.com/secret").await
        else {
            panic!("it does not resolve")
        };
        assert!(why.starts_with("a.example.com does not resolve: "), "{why}");
    }
}
