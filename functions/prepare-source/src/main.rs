//! The `prepare-source` Lambda function.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    landfall_common::lambda_main(
        "prepare-source",
        prepare_source::Deps::load,
        prepare_source::handle,
    )
    .await
}
