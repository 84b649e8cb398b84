//! A hosted zone of a test's own.

use reqwest::Method;

use crate::{Stack, raw};

/// What every document of Route 53 is of.
const NAMESPACE: &str = "https://route53.amazonaws.com/doc/2013-04-01/";

/// A zone below `example.com`.
#[derive(Clone, Debug)]
pub struct Zone {
    stack: Stack,
    /// Its ID.
    pub id: String,
    domain: String,
}

impl Zone {
    /// A new zone of a run.
    pub async fn new(stack: &Stack, run: &str) -> Self {
        let domain = format!("{run}.example.com");
        let order = format!(
            "<CreateHostedZoneRequest xmlns=\"{NAMESPACE}\"><Name>{domain}</Name>\
             <CallerReference>{run}</CallerReference></CreateHostedZoneRequest>"
        );
        let text = raw::route53(stack, Method::POST, "hostedzone", &order).await;
        let (_, id) = text.split_once("<Id>/hostedzone/").expect("a zone");
        Self {
            stack: stack.clone(),
            id: id.split_once("</Id>").expect("its ID").0.to_owned(),
            domain,
        }
    }

    /// A name in it.
    pub fn name(&self, host: &str) -> String {
        format!("{host}.{}", self.domain)
    }

    /// A host's first record: an address, which resolvers keep for so many seconds.
    pub async fn put(&self, host: &str, ttl: i64, address: &str) {
        let name = self.name(host);
        let set = format!(
            "<ChangeResourceRecordSetsRequest xmlns=\"{NAMESPACE}\"><ChangeBatch><Changes>\
             <Change><Action>CREATE</Action><ResourceRecordSet><Name>{name}</Name><Type>A</Type><TTL>{ttl}</TTL>\
             <ResourceRecords><ResourceRecord><Value>{address}</Value></ResourceRecord></ResourceRecords>\
             </ResourceRecordSet></Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
        );
        let path = format!("hostedzone/{}/rrset/", self.id);
        raw::route53(&self.stack, Method::POST, &path, &set).await;
    }

    /// What a host's record holds now: the seconds and the address.
    ///
    /// # Panics
    /// When there is none.
    pub async fn held(&self, host: &str) -> (i64, String) {
        let path = format!("hostedzone/{}/rrset", self.id);
        let text = raw::route53(&self.stack, Method::GET, &path, "").await;
        let name = format!("<Name>{}.", self.name(host));
        let (_, set) = text.split_once(&name).expect("the name");
        let of = |element: &str| {
            let (_, value) = set
                .split_once(&format!("<{element}>"))
                .expect("the element");
            value.split_once("</").expect("its end").0.to_owned()
        };
        (of("TTL").parse().expect("a number"), of("Value"))
    }
}
