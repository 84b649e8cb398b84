//! The logs of jobs, each read once in a sweep however many of its servers want to know.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use landfall_domain::StageError;
use landfall_mgn::{JobLogLine, Mgn};
use tokio::sync::OnceCell;

type Lines = Arc<OnceCell<Vec<JobLogLine>>>;

/// What the logs say, as far as anybody asked.
#[derive(Default)]
pub(crate) struct JobLogs {
    read: Mutex<BTreeMap<String, Lines>>,
}

impl JobLogs {
    /// The lines of a job's log that are about a server or about none, oldest first.
    pub(crate) async fn of(
        &self,
        mgn: &Mgn,
        job_id: &str,
        server_id: &str,
    ) -> Result<Vec<JobLogLine>, StageError> {
        let lines = {
            let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(read.entry(job_id.to_owned()).or_default())
        };
        let lines = lines.get_or_try_init(|| mgn.job_log(job_id)).await?;
        let about = |line: &&JobLogLine| {
            line.server_id.is_none() || line.server_id.as_deref() == Some(server_id)
        };
        Ok(lines.iter().filter(about).cloned().collect())
    }
}
