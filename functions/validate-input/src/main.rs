//! The `validate-input` Lambda function.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    landfall_common::lambda_main(
        "validate-input",
        validate_input::Deps::load,
        validate_input::handle,
    )
    .await
}
