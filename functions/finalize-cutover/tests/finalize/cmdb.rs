//! The configuration item, and the account that changes it.

use landfall_domain::ErrorName;

use crate::Stage;

#[tokio::test]
async fn a_cmdb_that_lets_nobody_in_is_told_and_a_mended_secret_goes_on() {
    let mut stage = Stage::new().await;
    stage.parts.world().cmdb_password = "old-password";
    let error = stage.finish().await.unwrap_err();
    assert_eq!(error.name, ErrorName::CutoverError);
    for part in ["answered 401", "the secret landfall/cmdb"] {
        assert!(error.message.contains(part), "{error}");
    }
    assert!(!format!("{error:?}").contains("old-password"), "{error:?}");
    assert_eq!(stage.parts.world().finalized, 0);

    // Without any account the one who can mend it is named.
    let access = stage.deps.cmdb.as_mut().unwrap();
    let secret = access.secret_id.take();
    let error = stage.finish().await.unwrap_err();
    assert!(error.message.contains("cmdb_secret_id"), "{error}");

    // The secret is read again by the next run.
    stage.deps.cmdb.as_mut().unwrap().secret_id = secret;
    stage.parts.world().cmdb_password = "p";
    stage.finish().await.unwrap();
    stage.assert_moved("with the new password");
}
