//! The topic: whoever subscribes to it hears by mail, by a queue or by whatever else SNS delivers to.

use aws_sdk_sns::types::MessageAttributeValue;
use landfall_common::AwsResultExt as _;
use landfall_domain::event::Detail;
use landfall_domain::notice::{Notice, mail};
use landfall_domain::{ErrorName, EventType, StageError};

use crate::Deps;

/// Publishes a notice. Its attributes are for filter policies: a subscription may want one wave, or one kind of event.
pub(crate) async fn publish(
    deps: &Deps,
    event: EventType,
    detail: &Detail,
    notice: &Notice,
) -> Result<(), StageError> {
    let mail = mail(notice);
    let mut order = deps
        .sns
        .publish()
        .topic_arn(&deps.topic_arn)
        .subject(mail.subject)
        .message(mail.body);
    for (name, value) in [
        ("event", event.as_str()),
        ("tenantId", &detail.tenant_id),
        ("wave", &detail.wave),
        ("appName", &detail.app_name),
        ("migrationId", &detail.migration_id),
    ] {
        // SNS takes no attribute without a value.
        if !value.is_empty() {
            let attribute = MessageAttributeValue::builder()
                .data_type("String")
                .string_value(value)
                .build()
                .map_err(|error| StageError::new(ErrorName::InternalError, error.to_string()))?;
            order = order.message_attributes(name, attribute);
        }
    }
    order
        .send()
        .await
        .or_stage(ErrorName::DependencyUnavailable, "sns:Publish")?;
    Ok(())
}
