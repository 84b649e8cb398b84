//! Claims: what one migration has and no other may take at the same time.
//!
//! A claim is an item of its own, written in the transaction that lets the migration pass its pre-flight and removed in
//! the one that ends it, so that two migrations that look at the same moment cannot both go on. One that ends FROZEN
//! leaves its claims where they are: whoever takes one over is told, for a person must have finished what it began.

use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem};
use landfall_domain::{ErrorName, MigrationRecord, StageError, Status};
use serde::{Deserialize, Serialize};

use super::StateStore;
use super::item::{Key, internal, text};
use crate::aws_error::AwsResultExt;

const SK: &str = "CLAIM";

/// What can be had once. Its text is the item's partition key, and what the record remembers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim(String);

impl Claim {
    /// The source server in a target account and Region, whoever's tenant moves it.
    pub fn server(account: &str, region: &str, source_vm_id: &str) -> Self {
        Self(format!("CLAIM#{account}#{region}#SERVER#{source_vm_id}"))
    }

    /// A private address in a subnet.
    pub fn address(subnet_id: &str, address: &str) -> Self {
        Self(format!("CLAIM#{subnet_id}#ADDRESS#{address}"))
    }

    /// A network interface that is there already and that a target is to be launched with.
    pub fn interface(interface_id: &str) -> Self {
        Self(format!("CLAIM#INTERFACE#{interface_id}"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Who has a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// Whose migration.
    #[serde(flatten)]
    pub key: Key,
    /// Which submission of it.
    pub attempt: u32,
}

/// A claim to take, and whom it is taken from: a migration that is over or forgotten without having given it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taking {
    /// What.
    pub claim: Claim,
    /// Who has it according to the item that was read.
    pub from: Option<Holder>,
    /// Whether that is another migration that ended FROZEN.
    pub frozen: bool,
}

/// Who stands in the way of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rival {
    /// Whose it is.
    pub holder: Holder,
}

impl StateStore {
    /// Reads a claim for a migration: how it may be taken, or who has it. One read where it is free or the
    /// migration's own, two where another has it.
    pub async fn look_at_claim(
        &self,
        claim: Claim,
        own: &Key,
    ) -> Result<Result<Taking, Rival>, StageError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .consistent_read(true)
            .key("pk", text(claim.as_str()))
            .key("sk", text(SK))
            .send()
            .await
            .or_stage(ErrorName::InternalError, "GetItem")?;
        let holder: Option<Holder> = answer
            .item
            .map(serde_dynamo::from_item)
            .transpose()
            .map_err(internal)?;
        let Some(holder) = holder else {
            return Ok(Ok(Taking {
                claim,
                from: None,
                frozen: false,
            }));
        };
        let status = if holder.key == *own {
            None
        } else {
            self.get(&holder.key).await?.map(|record| record.status)
        };
        if status.is_some_and(|status| !status.is_end()) {
            return Ok(Err(Rival { holder }));
        }
        Ok(Ok(Taking {
            claim,
            from: Some(holder),
            frozen: status == Some(Status::Frozen),
        }))
    }

    /// The writes that take claims for a record, each conditional on what was read.
    pub(super) fn take(
        &self,
        record: &MigrationRecord,
        takings: &[Taking],
    ) -> Result<Vec<TransactWriteItem>, StageError> {
        let own = Holder {
            key: Key::of(record),
            attempt: record.attempt,
        };
        takings
            .iter()
            .map(|taking| {
                let put = Put::builder()
                    .table_name(&self.table)
                    .set_item(Some(serde_dynamo::to_item(&own).map_err(internal)?))
                    .item("pk", text(taking.claim.as_str()))
                    .item("sk", text(SK));
                let put = match &taking.from {
                    None => put.condition_expression("attribute_not_exists(pk)"),
                    Some(from) => put
                        .condition_expression(HELD)
                        .set_expression_attribute_values(Some(values(from))),
                };
                let put = put.build().map_err(internal)?;
                Ok(TransactWriteItem::builder().put(put).build())
            })
            .collect()
    }

    /// The writes that give back what a record has.
    pub(super) fn give_back(
        &self,
        record: &MigrationRecord,
    ) -> Result<Vec<TransactWriteItem>, StageError> {
        record
            .claims
            .iter()
            .map(|claim| {
                let delete = Delete::builder()
                    .table_name(&self.table)
                    .key("pk", text(claim))
                    .key("sk", text(SK))
                    .build()
                    .map_err(internal)?;
                Ok(TransactWriteItem::builder().delete(delete).build())
            })
            .collect()
    }
}

const HELD: &str = "tenantId = :tenant AND migrationId = :migration AND attempt = :attempt";

fn values(holder: &Holder) -> std::collections::HashMap<String, AttributeValue> {
    std::collections::HashMap::from([
        (":tenant".to_owned(), text(&holder.key.tenant_id)),
        (":migration".to_owned(), text(&holder.key.migration_id)),
        (
            ":attempt".to_owned(),
            AttributeValue::N(holder.attempt.to_string()),
        ),
    ])
}
