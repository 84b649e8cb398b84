//! Route 53: one simple record set at a time, read, replaced or removed, and the wait for its name servers.

use std::time::Duration;

use aws_sdk_route53::Client;
use aws_sdk_route53::types::{
    Change, ChangeAction, ChangeBatch, ChangeStatus, ResourceRecord, ResourceRecordSet, RrType,
};
use landfall_common::AwsResultExt as _;
use landfall_common::aws_error::{code, stage_error};
use landfall_domain::record::DnsValue;
use landfall_domain::{ErrorName, StageError};

/// Which record set is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordName<'a> {
    /// The hosted zone.
    pub zone: &'a str,
    /// The name, with or without its final dot.
    pub name: &'a str,
    /// `A` or `CNAME`.
    pub record_type: &'a str,
}

impl std::fmt::Display for RecordName<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} in {}", self.record_type, self.name, self.zone)
    }
}

/// The gateway to Route 53.
#[derive(Clone, Debug)]
pub struct Dns {
    client: Client,
    refusal: ErrorName,
    within: Duration,
    every: Duration,
}

impl Dns {
    /// On a client; a refusal gets the error name given.
    pub fn new(client: Client, refusal: ErrorName) -> Self {
        Self {
            client,
            refusal,
            // Route 53 brings a change to its servers within 60 seconds, and allows five requests a second.
            within: Duration::from_secs(90),
            every: Duration::from_secs(3),
        }
    }

    /// Sets how long, and how often, [`Dns::settle`] asks.
    #[must_use]
    pub fn patience(mut self, within: Duration, every: Duration) -> Self {
        self.within = within;
        self.every = every;
        self
    }

    /// What the record set holds; `None` where there is none.
    ///
    /// # Errors
    /// A refusal, also for a record set that this type cannot put back: an alias, or one of a routing policy.
    pub async fn read(&self, record: RecordName<'_>) -> Result<Option<DnsValue>, StageError> {
        let answer = self
            .client
            .list_resource_record_sets()
            .hosted_zone_id(record.zone)
            .start_record_name(record.name)
            .start_record_type(RrType::from(record.record_type))
            .max_items(10)
            .send()
            .await
            .or_stage(self.refusal, "route53:ListResourceRecordSets")?;
        let wanted = plain_name(record.name);
        let Some(set) = answer.resource_record_sets().iter().find(|set| {
            set.r#type().as_str() == record.record_type && plain_name(set.name()) == wanted
        }) else {
            return Ok(None);
        };
        let (Some(ttl), None, None) = (set.ttl(), set.alias_target(), set.set_identifier()) else {
            return Err(StageError::new(
                self.refusal,
                format!(
                    "the record {record} is an alias or belongs to a routing policy, and would not come back in a \
                     rollback; change it yourself and leave it out of /dns"
                ),
            ));
        };
        Ok(Some(DnsValue {
            ttl,
            values: set
                .resource_records()
                .iter()
                .map(|record| record.value().to_owned())
                .collect(),
        }))
    }

    /// What Route 53's name servers answer now; `None` where there is nothing of this name and type. Only what is public
    /// can be asked for: of a private hosted zone it is what the zone holds.
    ///
    /// # Errors
    /// A refusal, or a transient failure.
    pub async fn answer(&self, record: RecordName<'_>) -> Result<Option<Vec<String>>, StageError> {
        let asked = self
            .client
            .test_dns_answer()
            .hosted_zone_id(record.zone)
            .record_name(record.name)
            .record_type(RrType::from(record.record_type))
            .send()
            .await;
        match asked {
            Ok(answer) => {
                let values = answer.record_data().to_vec();
                Ok((answer.response_code() == "NOERROR" && !values.is_empty()).then_some(values))
            }
            // The answer for a private zone. One that is not there is refused again.
            Err(error) if matches!(code(&error), Some("InvalidInput" | "NoSuchHostedZone")) => {
                let held = self.read(record).await?;
                Ok(held.map(|value| value.values))
            }
            Err(error) => Err(stage_error(&error, self.refusal, "route53:TestDNSAnswer")),
        }
    }

    /// Makes the record set hold a value; gives the change to [`Dns::settle`].
    ///
    /// # Errors
    /// A refusal, or a transient failure.
    pub async fn put(
        &self,
        record: RecordName<'_>,
        value: &DnsValue,
    ) -> Result<String, StageError> {
        self.change(ChangeAction::Upsert, record, value).await
    }

    /// Removes the record set that holds exactly this value; as [`Dns::put`].
    ///
    /// # Errors
    /// See [`Dns::put`].
    pub async fn remove(
        &self,
        record: RecordName<'_>,
        value: &DnsValue,
    ) -> Result<String, StageError> {
        self.change(ChangeAction::Delete, record, value).await
    }

    async fn change(
        &self,
        action: ChangeAction,
        record: RecordName<'_>,
        value: &DnsValue,
    ) -> Result<String, StageError> {
        let internal = |error: &dyn std::fmt::Display| {
            StageError::new(ErrorName::InternalError, error.to_string())
        };
        let records = value
            .values
            .iter()
            .map(|value| ResourceRecord::builder().value(value).build())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| internal(&error))?;
        let set = ResourceRecordSet::builder()
            .name(record.name)
            .r#type(RrType::from(record.record_type))
            .ttl(value.ttl)
            .set_resource_records(Some(records))
            .build()
            .map_err(|error| internal(&error))?;
        let change = Change::builder()
            .action(action)
            .resource_record_set(set)
            .build()
            .map_err(|error| internal(&error))?;
        let batch = ChangeBatch::builder()
            .comment("Landfall")
            .changes(change)
            .build()
            .map_err(|error| internal(&error))?;
        let answer = self
            .client
            .change_resource_record_sets()
            .hosted_zone_id(record.zone)
            .change_batch(batch)
            .send()
            .await
            .or_stage(self.refusal, "route53:ChangeResourceRecordSets")?;
        answer
            .change_info
            .map(|change| change.id)
            .ok_or_else(|| StageError::new(self.refusal, "Route 53 answered without a change"))
    }

    /// Waits until every name server has the changes. Waiting here and not in the workflow: a later run knows
    /// nothing of these changes any more, and would have to make them anew.
    ///
    /// # Errors
    /// `DependencyUnavailable` when they take too long.
    pub async fn settle(&self, changes: &[String]) -> Result<(), StageError> {
        let all = async {
            for change in changes {
                self.settle_one(change).await?;
            }
            Ok(())
        };
        tokio::time::timeout(self.within, all)
            .await
            .unwrap_or_else(|_| {
                Err(StageError::new(
                    ErrorName::DependencyUnavailable,
                    "Route 53 has not brought the changes to all its name servers yet",
                ))
            })
    }

    async fn settle_one(&self, change: &str) -> Result<(), StageError> {
        let mut tick = tokio::time::interval(self.every);
        loop {
            tick.tick().await;
            let answer = self
                .client
                .get_change()
                // `/change/…`, as the answer to a change names it; the SDK cuts the prefix off.
                .id(change)
                .send()
                .await
                .or_stage(self.refusal, "route53:GetChange")?;
            if answer
                .change_info
                .is_some_and(|change| change.status == ChangeStatus::Insync)
            {
                return Ok(());
            }
        }
    }
}

/// Whether two values mean the same to a resolver.
pub fn same(one: &DnsValue, other: &DnsValue) -> bool {
    let values = |value: &DnsValue| {
        let mut values: Vec<String> = value.values.iter().map(|text| plain_name(text)).collect();
        values.sort_unstable();
        values
    };
    one.ttl == other.ttl && values(one) == values(other)
}

/// A name in one spelling: lower case, no final dot, and Route 53's octal escapes (`\052` for `*`) undone.
fn plain_name(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    let mut rest = name.strip_suffix('.').unwrap_or(name);
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let code = rest
            .get(at + 1..at + 4)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(code) = code {
            plain.push(char::from(code));
            rest = &rest[at + 4..];
        } else {
            plain.push('\\');
            rest = &rest[at + 1..];
        }
    }
    plain.push_str(rest);
    plain.make_ascii_lowercase();
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_every_spelling() {
        for (one, other) in [
            ("App.example.com", "app.example.com."),
            ("*.example.com", "\\052.example.com."),
        ] {
            assert_eq!(plain_name(one), plain_name(other));
        }
        assert_eq!(plain_name("a\\zz.b"), "a\\zz.b");
        assert_eq!(plain_name("a\\"), "a\\");
    }

    #[test]
    fn the_order_of_values_does_not_count_but_the_ttl_does() {
        let value = |ttl, values: &[&str]| DnsValue {
            ttl,
            values: values.iter().map(|&v| v.to_owned()).collect(),
        };
        assert!(same(
            &value(60, &["10.0.0.1", "10.0.0.2"]),
            &value(60, &["10.0.0.2", "10.0.0.1"])
        ));
        assert!(!same(&value(60, &["10.0.0.1"]), &value(300, &["10.0.0.1"])));
    }
}
