//! `DynamoDB` and `EventBridge`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::operation::{
    delete_item as delete, get_item as get, put_item as put, query,
    transact_write_items as transact, update_item as update,
};
use aws_sdk_dynamodb::types::error::TransactionCanceledException;
use aws_sdk_dynamodb::types::{AttributeValue, CancellationReason, Put};
use aws_sdk_eventbridge::operation::put_events;
use aws_smithy_mocks::{RuleMode, mock_client};
use serde_json::Value;

use super::expression::Terms;
use super::{Calls, answer, refusal};

pub(crate) type Item = HashMap<String, AttributeValue>;
pub(crate) type Items = BTreeMap<(String, String), Item>;

const CONDITION: &str = "ConditionalCheckFailedException";

fn key_of(item: &Item) -> (String, String) {
    let text = |name: &str| item[name].as_s().unwrap().clone();
    (text("pk"), text("sk"))
}

fn may_put(items: &Items, put: &Put) -> bool {
    let terms = Terms {
        names: put.expression_attribute_names(),
        values: put.expression_attribute_values(),
    };
    put.condition_expression()
        .is_none_or(|condition| terms.hold(condition, items.get(&key_of(put.item()))))
}

fn cancelled() -> transact::TransactWriteItemsError {
    let reason = CancellationReason::builder()
        .code("ConditionalCheckFailed")
        .build();
    let cancelled = TransactionCanceledException::builder()
        .cancellation_reasons(reason)
        .build();
    transact::TransactWriteItemsError::TransactionCanceledException(cancelled)
}

/// Shortens the rules below: the placeholders of a request.
macro_rules! terms {
    ($input:expr) => {
        Terms {
            names: $input.expression_attribute_names(),
            values: $input.expression_attribute_values(),
        }
    };
}

#[allow(clippy::too_many_lines, reason = "one rule per operation")]
pub(crate) fn dynamodb(items: &Arc<Mutex<Items>>, calls: &Calls) -> aws_sdk_dynamodb::Client {
    use aws_sdk_dynamodb::Client;
    let get = answer!(
        calls,
        items = items,
        Client::get_item,
        get::GetItemError,
        "GetItem",
        |input| {
            let item = items.get(&key_of(input.key().unwrap())).cloned();
            Ok(get::GetItemOutput::builder().set_item(item).build())
        }
    );
    let put = answer!(
        calls,
        items = items,
        Client::put_item,
        put::PutItemError,
        "PutItem",
        |input| {
            let item = input.item().unwrap();
            let fits = |condition| terms!(input).hold(condition, items.get(&key_of(item)));
            if !input.condition_expression().is_none_or(fits) {
                return Err(refusal!(put::PutItemError, CONDITION));
            }
            items.insert(key_of(item), item.clone());
            Ok(put::PutItemOutput::builder().build())
        }
    );
    let update = answer!(
        calls,
        items = items,
        Client::update_item,
        update::UpdateItemError,
        "UpdateItem",
        |input| {
            let key = input.key().unwrap();
            let fits = |condition| terms!(input).hold(condition, items.get(&key_of(key)));
            if !input.condition_expression().is_none_or(fits) {
                return Err(refusal!(update::UpdateItemError, CONDITION));
            }
            let item = items.entry(key_of(key)).or_insert_with(|| key.clone());
            terms!(input).update(input.update_expression().unwrap(), item);
            Ok(update::UpdateItemOutput::builder().build())
        }
    );
    let delete = answer!(
        calls,
        items = items,
        Client::delete_item,
        delete::DeleteItemError,
        "DeleteItem",
        |input| {
            let key = key_of(input.key().unwrap());
            let fits = |condition| terms!(input).hold(condition, items.get(&key));
            if !input.condition_expression().is_none_or(fits) {
                return Err(refusal!(delete::DeleteItemError, CONDITION));
            }
            items.remove(&key);
            Ok(delete::DeleteItemOutput::builder().build())
        }
    );
    let query = answer!(
        calls,
        items = items,
        Client::query,
        query::QueryError,
        "Query",
        |input| {
            let condition = input.key_condition_expression().unwrap();
            let mut found: Vec<Item> = items
                .values()
                .filter(|item| terms!(input).hold(condition, Some(item)))
                .cloned()
                .collect();
            if input.index_name() == Some("waits") {
                found.sort_by_key(|item| item["dueAt"].as_s().unwrap().clone());
            }
            if input.scan_index_forward() == Some(false) {
                found.reverse();
            }
            if let Some(limit) = input.limit() {
                found.truncate(limit.try_into().unwrap());
            }
            Ok(query::QueryOutput::builder().set_items(Some(found)).build())
        }
    );
    let transact = answer!(
        calls,
        items = items,
        Client::transact_write_items,
        transact::TransactWriteItemsError,
        "TransactWriteItems",
        |input| {
            let puts = || {
                input
                    .transact_items()
                    .iter()
                    .map(|item| item.put().unwrap())
            };
            if !puts().all(|put| may_put(items, put)) {
                return Err(cancelled());
            }
            for put in puts() {
                items.insert(key_of(put.item()), put.item().clone());
            }
            Ok(transact::TransactWriteItemsOutput::builder().build())
        }
    );
    mock_client!(
        aws_sdk_dynamodb,
        RuleMode::MatchAny,
        [&get, &put, &update, &delete, &query, &transact]
    )
}

pub(crate) fn eventbridge(
    events: &Arc<Mutex<Vec<(String, Value)>>>,
    calls: &Calls,
) -> aws_sdk_eventbridge::Client {
    use aws_sdk_eventbridge::Client;
    let publish = answer!(
        calls,
        events = events,
        Client::put_events,
        put_events::PutEventsError,
        "PutEvents",
        |input| {
            for entry in input.entries() {
                let detail = serde_json::from_str(entry.detail().unwrap()).unwrap();
                events.push((entry.detail_type().unwrap().to_owned(), detail));
            }
            Ok(put_events::PutEventsOutput::builder().build())
        }
    );
    mock_client!(aws_sdk_eventbridge, RuleMode::MatchAny, [&publish])
}
