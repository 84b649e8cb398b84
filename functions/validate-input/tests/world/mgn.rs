//! MGN.

use std::sync::{Arc, Mutex};

use aws_sdk_mgn::operation::describe_jobs as jobs;
use aws_sdk_mgn::operation::describe_replication_configuration_templates as templates;
use aws_sdk_mgn::operation::describe_source_servers as servers;
use aws_sdk_mgn::operation::get_launch_configuration as launch;
use aws_sdk_mgn::operation::get_replication_configuration as replication;
use aws_sdk_mgn::types::{
    ReplicationConfigurationReplicatedDisk, ReplicationConfigurationTemplate,
};
use aws_smithy_mocks::{MockResponse, RuleMode, mock, mock_client};

use super::World;

pub(crate) fn mgn(world: &Arc<Mutex<World>>) -> aws_sdk_mgn::Client {
    use aws_sdk_mgn::Client;
    mock_client!(
        aws_sdk_mgn,
        RuleMode::MatchAny,
        [
            &rule!(
                world,
                Client::describe_replication_configuration_templates,
                templates::DescribeReplicationConfigurationTemplatesError,
                "DescribeReplicationConfigurationTemplates",
                |w, _i| {
                    let there = w.initialized.then(|| {
                        ReplicationConfigurationTemplate::builder()
                            .replication_configuration_template_id("rct-1")
                            .build()
                            .unwrap()
                    });
                    templates::DescribeReplicationConfigurationTemplatesOutput::builder()
                        .set_items(Some(there.into_iter().collect()))
                        .build()
                }
            ),
            &rule!(
                world,
                Client::describe_source_servers,
                servers::DescribeSourceServersError,
                "DescribeSourceServers",
                |w, _i| {
                    servers::DescribeSourceServersOutput::builder()
                        .set_items(Some(w.servers.clone()))
                        .build()
                }
            ),
            &rule!(
                world,
                Client::describe_jobs,
                jobs::DescribeJobsError,
                "DescribeJobs",
                |w, _i| {
                    jobs::DescribeJobsOutput::builder()
                        .set_items(Some(w.jobs.clone()))
                        .build()
                }
            ),
            &rule!(
                world,
                Client::get_launch_configuration,
                launch::GetLaunchConfigurationError,
                "GetLaunchConfiguration",
                |_w, _i| {
                    launch::GetLaunchConfigurationOutput::builder()
                        .ec2_launch_template_id("lt-1")
                        .build()
                }
            ),
            &rule!(
                world,
                Client::get_replication_configuration,
                replication::GetReplicationConfigurationError,
                "GetReplicationConfiguration",
                |_w, _i| {
                    let disk = ReplicationConfigurationReplicatedDisk::builder()
                        .device_name("/dev/xvda")
                        .is_boot_disk(true);
                    replication::GetReplicationConfigurationOutput::builder()
                        .replicated_disks(disk.build())
                        .build()
                }
            ),
        ]
    )
}
