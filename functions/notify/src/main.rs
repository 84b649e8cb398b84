//! The `notify` Lambda function; see the crate's library for what it does.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    landfall_common::lambda_main("notify", notify::Deps::load, notify::handle).await
}
