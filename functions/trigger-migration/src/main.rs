//! The `trigger-migration` Lambda function; see the crate's library for what it does.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    landfall_common::lambda_main(
        "trigger-migration",
        trigger_migration::Deps::load,
        trigger_migration::handle,
    )
    .await
}
