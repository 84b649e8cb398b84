//! A lease with an owner and an expiry: at most one invocation starts launches in an account and Region.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use landfall_domain::StageError;

use super::StateStore;
use super::item::text;
use super::wait::applied;

/// A lease that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    name: String,
    owner: String,
}

impl StateStore {
    /// Takes a lease for a number of seconds; `None` while somebody else holds it.
    pub async fn take_lease(
        &self,
        name: &str,
        owner: &str,
        seconds: i64,
        now: Timestamp,
    ) -> Result<Option<Lease>, StageError> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("pk", text(&format!("LEASE#{name}")))
            .item("sk", text("LEASE"))
            .item("owner", text(owner))
            .item(
                "until",
                AttributeValue::N((now.as_second() + seconds).to_string()),
            )
            // `owner` and `until` by placeholder: DynamoDB reserves words freely.
            .condition_expression("attribute_not_exists(pk) OR #until < :now OR #owner = :owner")
            .expression_attribute_names("#until", "until")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":now", AttributeValue::N(now.as_second().to_string()))
            .expression_attribute_values(":owner", text(owner))
            .send()
            .await;
        Ok(applied(put.err(), "PutItem")?.then(|| Lease {
            name: name.to_owned(),
            owner: owner.to_owned(),
        }))
    }

    /// Gives a lease back, unless it expired and somebody else took it.
    pub async fn release_lease(&self, lease: &Lease) -> Result<(), StageError> {
        let delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key("pk", text(&format!("LEASE#{}", lease.name)))
            .key("sk", text("LEASE"))
            .condition_expression("#owner = :owner")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", text(&lease.owner))
            .send()
            .await;
        applied(delete.err(), "DeleteItem").map(|_| ())
    }
}
