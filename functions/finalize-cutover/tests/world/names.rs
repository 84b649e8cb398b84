//! Route 53.

use std::sync::{Arc, Mutex};

use aws_sdk_route53::operation::{
    change_resource_record_sets as change, get_change, list_resource_record_sets as list,
    test_dns_answer,
};
use aws_sdk_route53::primitives::DateTime;
use aws_sdk_route53::types::{
    AliasTarget, ChangeAction, ChangeInfo, ChangeStatus, ResourceRecord, ResourceRecordSet,
};
use aws_smithy_mocks::{MockResponse, RuleMode, mock, mock_client};
use landfall_domain::record::DnsValue;

use super::World;
use super::table::{code, rule};

fn info(id: &str, status: ChangeStatus) -> ChangeInfo {
    ChangeInfo::builder()
        .id(id)
        .status(status)
        .submitted_at(DateTime::from_secs(0))
        .build()
        .unwrap()
}

fn set(name: &str, kind: &str, value: &DnsValue, alias: bool) -> ResourceRecordSet {
    let set = ResourceRecordSet::builder()
        .name(format!("{name}."))
        .r#type(kind.into());
    let set = if alias {
        let target = AliasTarget::builder()
            .hosted_zone_id("Z2")
            .dns_name("lb.example.com")
            .evaluate_target_health(false)
            .build()
            .unwrap();
        set.alias_target(target)
    } else {
        let records = value
            .values
            .iter()
            .map(|value| ResourceRecord::builder().value(value).build().unwrap())
            .collect();
        set.ttl(value.ttl).set_resource_records(Some(records))
    };
    set.build().unwrap()
}

/// Carries a change out; a DELETE must say what is there, as in Route 53.
fn apply(world: &mut World, zone: &str, change: &aws_sdk_route53::types::Change) -> bool {
    let set = change.resource_record_set().unwrap();
    let key = (
        zone.to_owned(),
        set.name().to_owned(),
        set.r#type().as_str().to_owned(),
    );
    let value = DnsValue {
        ttl: set.ttl().unwrap(),
        values: set
            .resource_records()
            .iter()
            .map(|record| record.value().to_owned())
            .collect(),
    };
    match change.action() {
        ChangeAction::Upsert => {
            world.names.insert(key, value);
            true
        }
        ChangeAction::Delete => {
            world.names.get(&key) == Some(&value) && world.names.remove(&key).is_some()
        }
        other => panic!("unexpected {other:?}"),
    }
}

pub(crate) fn route53(world: &Arc<Mutex<World>>) -> aws_sdk_route53::Client {
    use aws_sdk_route53::Client;
    mock_client!(
        aws_sdk_route53,
        RuleMode::MatchAny,
        [
            &rule!(
                world,
                Client::list_resource_record_sets,
                list::ListResourceRecordSetsError,
                "ListResourceRecordSets",
                |w, input| {
                    let start = (
                        input.hosted_zone_id().unwrap().to_owned(),
                        input.start_record_name().unwrap().to_owned(),
                        input.start_record_type().unwrap().as_str().to_owned(),
                    );
                    // From that name on, as Route 53 answers: what follows must not be taken for it.
                    let sets = w.names.range(start..).map(|((_, name, kind), value)| {
                        set(name, kind, value, w.aliases.contains(name))
                    });
                    Ok(list::ListResourceRecordSetsOutput::builder()
                        .set_resource_record_sets(Some(sets.collect()))
                        .is_truncated(false)
                        .max_items(10)
                        .build()
                        .unwrap())
                }
            ),
            &rule!(
                world,
                Client::change_resource_record_sets,
                change::ChangeResourceRecordSetsError,
                "ChangeResourceRecordSets",
                |w, input| {
                    let zone = input.hosted_zone_id().unwrap();
                    for change in input.change_batch().unwrap().changes() {
                        if !apply(w, zone, change) {
                            return Err(code!(
                                change::ChangeResourceRecordSetsError,
                                "InvalidChangeBatch"
                            ));
                        }
                    }
                    let id = format!("/change/C{}", w.calls.len());
                    w.unsettled.push(id.clone());
                    let info = info(&id, ChangeStatus::Pending);
                    Ok(change::ChangeResourceRecordSetsOutput::builder()
                        .change_info(info)
                        .build())
                }
            ),
            &rule!(
                world,
                Client::test_dns_answer,
                test_dns_answer::TestDNSAnswerError,
                "TestDNSAnswer",
                |w, input| {
                    let (name, kind) = (input.record_name().unwrap(), input.record_type().unwrap());
                    let zone = input.hosted_zone_id().unwrap();
                    if w.private_zones {
                        return Err(code!(test_dns_answer::TestDNSAnswerError, "InvalidInput"));
                    }
                    let key = (zone.to_owned(), name.to_owned(), kind.as_str().to_owned());
                    let found = w.names.get(&key);
                    let code = if found.is_some() {
                        "NOERROR"
                    } else {
                        "NXDOMAIN"
                    };
                    let data = found.map(|value| value.values.clone());
                    Ok(test_dns_answer::TestDnsAnswerOutput::builder()
                        .nameserver("ns-1.example.com")
                        .record_name(name)
                        .record_type(kind.clone())
                        .set_record_data(Some(data.unwrap_or_default()))
                        .response_code(code)
                        .protocol("UDP")
                        .build()
                        .unwrap())
                }
            ),
            &rule!(
                world,
                Client::get_change,
                get_change::GetChangeError,
                "GetChange",
                |w, input| {
                    // Pending when asked the first time.
                    let id = input.id().unwrap();
                    let before = w.unsettled.len();
                    w.unsettled.retain(|pending| !pending.ends_with(id));
                    let settled = w.unsettled.len() == before && !w.deaf;
                    let status = if settled {
                        ChangeStatus::Insync
                    } else {
                        ChangeStatus::Pending
                    };
                    Ok(get_change::GetChangeOutput::builder()
                        .change_info(info(id, status))
                        .build())
                }
            ),
        ]
    )
}
