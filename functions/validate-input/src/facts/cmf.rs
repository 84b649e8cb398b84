//! What Cloud Migration Factory has planned.

use landfall_domain::ErrorName;
use landfall_domain::cmf::{Records, Weight};
use landfall_external::cmf::Access;

/// What it says, where the deployment has one.
#[derive(Clone, Debug, PartialEq)]
pub struct CmfFacts {
    /// Whether what is wrong there stops a migration.
    pub weight: Weight,
    /// Its records, or why they cannot be read.
    pub records: Result<Records, String>,
}

/// Reads the records. That they cannot be read is a fact too, however it comes: whether it matters is for the
/// deployment to say.
pub(super) async fn read(access: Option<&Access>) -> Option<CmfFacts> {
    let access = access?;
    let records = async {
        let cmf = access.connect(ErrorName::PrerequisiteError).await?;
        cmf.records().await
    };
    Some(CmfFacts {
        weight: access.weight,
        records: records.await.map_err(|error| {
            tracing::warn!(context = error.context, "{error}");
            error.message
        }),
    })
}
