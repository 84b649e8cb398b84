//! The deployed functions' environments as files, for running a function by hand: `cargo lambda watch --env-file`.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use super::layout::{Layout, create_dir, replace};
use super::terraform::Outputs;
use super::{REGION, StackError};

/// Writes `.landfall/env/<function>.env` for every function of the deployment.
pub(super) fn store(layout: &Layout, endpoint: &str, outputs: &Outputs) -> Result<(), StackError> {
    let environments: BTreeMap<String, BTreeMap<String, String>> = outputs
        .get("function_environments")
        .and_then(|value: &Value| serde_json::from_value(value.clone()).ok())
        .unwrap_or_default();
    create_dir(&layout.environments())?;
    for (function, variables) in &environments {
        let path = layout.environments().join(format!("{function}.env"));
        replace(&path, file(endpoint, variables).as_bytes())?;
    }
    Ok(())
}

/// What Lambda would set, and what MiniStack adds for its own functions.
fn file(endpoint: &str, variables: &BTreeMap<String, String>) -> String {
    let mut all = BTreeMap::from([
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", REGION),
        ("AWS_ENDPOINT_URL", endpoint),
    ]);
    all.extend(
        variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );
    all.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "{name}={value}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_the_function_s_variables_and_the_way_to_the_stack() {
        let variables = BTreeMap::from([(
            "LANDFALL_TABLE".to_owned(),
            "landfall-migrations".to_owned(),
        )]);
        assert_eq!(
            file("http://127.0.0.1:4566", &variables),
            "AWS_ACCESS_KEY_ID=test\nAWS_ENDPOINT_URL=http://127.0.0.1:4566\nAWS_REGION=us-east-1\n\
             AWS_SECRET_ACCESS_KEY=test\nLANDFALL_TABLE=landfall-migrations\n"
        );
    }
}
