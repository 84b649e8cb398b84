//! The `watch-migrations` Lambda function; see the crate's library for what it does.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    landfall_common::lambda_main(
        "watch-migrations",
        watch_migrations::Deps::load,
        watch_migrations::handle,
    )
    .await
}
