//! The table and the bus.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::operation::{
    delete_item as delete, get_item as get, put_item as put, query,
    transact_write_items as transact, update_item as update,
};
use aws_sdk_dynamodb::types::error::TransactionCanceledException;
use aws_sdk_dynamodb::types::{AttributeValue, CancellationReason};
use aws_sdk_eventbridge::operation::put_events;
use aws_smithy_mocks::{MockResponse, RuleMode, mock, mock_client};

use super::World;

pub(crate) type Item = HashMap<String, AttributeValue>;
pub(crate) type Items = BTreeMap<(String, String), Item>;

/// A place for an answer to return early from.
pub(crate) fn run<T, E>(answer: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    answer()
}

/// Answers an operation from the world, or fails as the world says.
macro_rules! rule {
    ($world:expr, $operation:path, $error:ty, $name:literal, |$state:ident, $input:ident| $answer:expr) => {{
        let world = std::sync::Arc::clone($world);
        mock!($operation).then_compute_response(move |$input| {
            let failed = |code: &str| {
                let error = aws_smithy_types::error::ErrorMetadata::builder()
                    .code(code)
                    .message("as the test says")
                    .build();
                MockResponse::Error(<$error>::generic(error))
            };
            let mut guard = world.lock().unwrap();
            let $state = &mut *guard;
            let fault = $state.called($name);
            match fault {
                Some($crate::world::Fault::Refused) => return failed("AccessDeniedException"),
                Some($crate::world::Fault::Unavailable) => return failed("ServiceUnavailable"),
                _ => {}
            }
            let answer: Result<_, $error> = $crate::world::table::run(|| $answer);
            match (answer, fault) {
                (Ok(_), Some(_)) => failed("ServiceUnavailable"),
                (Ok(output), None) => MockResponse::Output(output),
                (Err(error), _) => MockResponse::Error(error),
            }
        })
    }};
}
pub(super) use rule;

/// An error of a service by its code.
macro_rules! code {
    ($error:ty, $code:expr) => {
        <$error>::generic(
            aws_smithy_types::error::ErrorMetadata::builder()
                .code($code)
                .message("as the service says")
                .build(),
        )
    };
}
pub(super) use code;

const CONDITION: &str = "ConditionalCheckFailedException";

fn text(value: &AttributeValue) -> String {
    value.as_s().unwrap().clone()
}

fn key_of(item: &Item) -> (String, String) {
    (text(&item["pk"]), text(&item["sk"]))
}

/// Whether a put may go ahead; the conditions are those of the state store.
fn allowed(items: &Items, item: &Item, condition: Option<&str>, values: Option<&Item>) -> bool {
    let there = items.get(&key_of(item));
    match (condition, there) {
        (None, _) => true,
        (Some(condition), None) => condition.starts_with("attribute_not_exists(pk)"),
        (Some("attribute_not_exists(pk)"), Some(_)) => false,
        (Some(condition), Some(there)) if condition.contains("#until") => {
            let number = |value: &AttributeValue| value.as_n().unwrap().parse::<i64>().unwrap();
            let values = values.unwrap();
            number(&there["until"]) < number(&values[":now"]) || there["owner"] == values[":owner"]
        }
        (Some("#version = :version AND #status = :status"), Some(there)) => {
            let values = values.unwrap();
            there["version"] == values[":version"] && there["status"] == values[":status"]
        }
        (Some(other), _) => panic!("unknown condition {other}"),
    }
}

pub(crate) fn dynamodb(world: &Arc<Mutex<World>>) -> aws_sdk_dynamodb::Client {
    use aws_sdk_dynamodb::Client;
    mock_client!(
        aws_sdk_dynamodb,
        RuleMode::MatchAny,
        [
            &rule!(
                world,
                Client::get_item,
                get::GetItemError,
                "GetItem",
                |w, input| {
                    let item = w.items.get(&key_of(input.key().unwrap())).cloned();
                    Ok(get::GetItemOutput::builder().set_item(item).build())
                }
            ),
            &rule!(
                world,
                Client::put_item,
                put::PutItemError,
                "PutItem",
                |w, input| {
                    let item = input.item().unwrap();
                    let values = input.expression_attribute_values();
                    if !allowed(&w.items, item, input.condition_expression(), values) {
                        return Err(code!(put::PutItemError, CONDITION));
                    }
                    w.items.insert(key_of(item), item.clone());
                    Ok(put::PutItemOutput::builder().build())
                }
            ),
            &rule!(
                world,
                Client::update_item,
                update::UpdateItemError,
                "UpdateItem",
                |w, input| {
                    if let Some(sums) = input.update_expression().unwrap().strip_prefix("ADD ") {
                        let names = input.expression_attribute_names().unwrap();
                        let values = input.expression_attribute_values().unwrap();
                        let item = w.items.entry(key_of(input.key().unwrap())).or_default();
                        for (name, value) in sums.split(", ").map(|it| it.split_once(' ').unwrap())
                        {
                            let number = |value: &AttributeValue| {
                                value.as_n().unwrap().parse::<u64>().unwrap()
                            };
                            let before = item.get(&names[name]).map_or(0, number);
                            let sum = (before + number(&values[value])).to_string();
                            item.insert(names[name].clone(), AttributeValue::N(sum));
                        }
                        return Ok(update::UpdateItemOutput::builder().build());
                    }
                    assert_eq!(
                        input.update_expression(),
                        Some(
                            "REMOVE waitKey SET closed = :yes, expiresAt = :expires, barred = :yes"
                        )
                    );
                    let Some(item) = w.items.get_mut(&key_of(input.key().unwrap())) else {
                        return Err(code!(update::UpdateItemError, CONDITION));
                    };
                    item.remove("waitKey");
                    item.insert("closed".into(), AttributeValue::Bool(true));
                    item.insert("barred".into(), AttributeValue::Bool(true));
                    Ok(update::UpdateItemOutput::builder().build())
                }
            ),
            &rule!(
                world,
                Client::delete_item,
                delete::DeleteItemError,
                "DeleteItem",
                |w, input| {
                    w.items.remove(&key_of(input.key().unwrap()));
                    Ok(delete::DeleteItemOutput::builder().build())
                }
            ),
            &rule!(
                world,
                Client::query,
                query::QueryError,
                "Query",
                |w, input| {
                    let values = input.expression_attribute_values().unwrap();
                    let (pk, prefix) = (text(&values[":pk"]), text(&values[":prefix"]));
                    let found = w
                        .items
                        .iter()
                        .filter(|((p, s), _)| *p == pk && s.starts_with(&prefix));
                    let items = found.map(|(_, item)| item.clone()).collect();
                    Ok(query::QueryOutput::builder().set_items(Some(items)).build())
                }
            ),
            &rule!(
                world,
                Client::transact_write_items,
                transact::TransactWriteItemsError,
                "TransactWriteItems",
                |w, input| {
                    let puts = || {
                        input
                            .transact_items()
                            .iter()
                            .map(|item| item.put().unwrap())
                    };
                    for put in puts() {
                        let values = put.expression_attribute_values();
                        if !allowed(&w.items, put.item(), put.condition_expression(), values) {
                            let reason = CancellationReason::builder()
                                .code("ConditionalCheckFailed")
                                .build();
                            let cancelled = TransactionCanceledException::builder()
                                .cancellation_reasons(reason)
                                .build();
                            return Err(
                                transact::TransactWriteItemsError::TransactionCanceledException(
                                    cancelled,
                                ),
                            );
                        }
                    }
                    for put in puts() {
                        w.items.insert(key_of(put.item()), put.item().clone());
                    }
                    Ok(transact::TransactWriteItemsOutput::builder().build())
                }
            ),
        ]
    )
}

pub(crate) fn eventbridge(world: &Arc<Mutex<World>>) -> aws_sdk_eventbridge::Client {
    use aws_sdk_eventbridge::Client;
    mock_client!(
        aws_sdk_eventbridge,
        RuleMode::MatchAny,
        [&rule!(
            world,
            Client::put_events,
            put_events::PutEventsError,
            "PutEvents",
            |w, input| {
                for entry in input.entries() {
                    let detail = serde_json::from_str(entry.detail().unwrap()).unwrap();
                    w.events
                        .push((entry.detail_type().unwrap().to_owned(), detail));
                }
                Ok(put_events::PutEventsOutput::builder().build())
            }
        )]
    )
}
