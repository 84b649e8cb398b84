//! MGN, EC2 and Secrets Manager.

use std::sync::{Arc, Mutex};

use aws_sdk_ec2::operation::{
    create_tags, describe_instances, modify_instance_attribute as modify,
    modify_launch_template as template, start_instances, stop_instances, terminate_instances,
};
use aws_sdk_mgn::operation::{
    change_server_life_cycle_state as change, describe_job_log_items as log, describe_jobs,
    describe_source_servers as servers, disconnect_from_service as disconnect, finalize_cutover,
    get_launch_configuration as get_launch, mark_as_archived,
    terminate_target_instances as terminate, update_launch_configuration as update_launch,
};
use aws_sdk_mgn::types as mgn;
use aws_sdk_secretsmanager::operation::get_secret_value;
use aws_smithy_mocks::{MockResponse, RuleMode, mock, mock_client};

use super::table::{code, rule};
use super::{CMDB_SECRET, Job, SERVER, SOURCE, World};

fn sdk_job(job: &Job) -> mgn::Job {
    mgn::Job::builder()
        .job_id(&job.id)
        .status(
            if job.completed {
                "COMPLETED"
            } else {
                "STARTED"
            }
            .into(),
        )
        .tags("landfall:intent", &job.intent)
        .participating_servers(
            mgn::ParticipatingServer::builder()
                .source_server_id(SERVER)
                .launch_status(job.status.as_str().into())
                .set_launched_ec2_instance_id(job.instance.clone())
                .build()
                .unwrap(),
        )
        .build()
        .unwrap()
}

/// Ends what is under way; a protected instance is not terminated.
fn advance(world: &mut World) {
    for job in &mut world.jobs {
        if !job.terminates || job.completed {
            continue;
        }
        job.completed = true;
        if world.failing_terminations > 0 {
            world.failing_terminations -= 1;
            job.status = "FAILED".into();
            continue;
        }
        let instance = job
            .instance
            .as_ref()
            .and_then(|id| world.instances.get_mut(id));
        match instance {
            Some(instance) if instance.protected => job.status = "FAILED".into(),
            Some(instance) => {
                instance.state = "terminated".into();
                job.status = "TERMINATED".into();
                world.launched = None;
            }
            None => job.status = "TERMINATED".into(),
        }
    }
}

pub(crate) fn mgn(world: &Arc<Mutex<World>>) -> aws_sdk_mgn::Client {
    use aws_sdk_mgn::Client;
    mock_client!(
        aws_sdk_mgn,
        RuleMode::MatchAny,
        [
            &rule!(
                world,
                Client::describe_source_servers,
                servers::DescribeSourceServersError,
                "DescribeSourceServers",
                |w, _i| {
                    if w.archived > 0 {
                        return Ok(servers::DescribeSourceServersOutput::builder().build());
                    }
                    let launched = w.launched.as_ref().map(|(instance, job)| {
                        mgn::LaunchedInstance::builder()
                            .ec2_instance_id(instance)
                            .job_id(job)
                            .build()
                    });
                    let server = mgn::SourceServer::builder()
                        .source_server_id(SERVER)
                        .life_cycle(
                            mgn::LifeCycle::builder()
                                .state(w.lifecycle.as_str().into())
                                .build(),
                        )
                        .data_replication_info(
                            mgn::DataReplicationInfo::builder()
                                .data_replication_state(
                                    if w.replicates {
                                        "CONTINUOUS"
                                    } else {
                                        "DISCONNECTED"
                                    }
                                    .into(),
                                )
                                .set_lag_duration(w.lag.map(str::to_owned))
                                .build(),
                        )
                        .set_launched_instance(launched)
                        .build();
                    Ok(servers::DescribeSourceServersOutput::builder()
                        .items(server)
                        .build())
                }
            ),
            &rule!(
                world,
                Client::describe_jobs,
                describe_jobs::DescribeJobsError,
                "DescribeJobs",
                |w, input| {
                    advance(w);
                    let ids = input
                        .filters()
                        .map(|f| f.job_ids().to_vec())
                        .unwrap_or_default();
                    let jobs = w
                        .jobs
                        .iter()
                        .filter(|job| ids.is_empty() || ids.contains(&job.id));
                    let jobs = jobs.map(sdk_job).collect();
                    Ok(describe_jobs::DescribeJobsOutput::builder()
                        .set_items(Some(jobs))
                        .build())
                }
            ),
            &rule!(
                world,
                Client::describe_job_log_items,
                log::DescribeJobLogItemsError,
                "DescribeJobLogItems",
                |_w, _i| {
                    let data = mgn::JobLogEventData::builder()
                        .source_server_id(SERVER)
                        .raw_error("OperationNotPermitted")
                        .build();
                    let line = mgn::JobLog::builder()
                        .event("CLEANUP_FAIL".into())
                        .event_data(data)
                        .build();
                    Ok(log::DescribeJobLogItemsOutput::builder()
                        .items(line)
                        .build())
                }
            ),
            &rule!(
                world,
                Client::change_server_life_cycle_state,
                change::ChangeServerLifeCycleStateError,
                "ChangeServerLifeCycleState",
                |w, input| {
                    w.lifecycle = input.life_cycle().unwrap().state().to_string();
                    Ok(change::ChangeServerLifeCycleStateOutput::builder().build())
                }
            ),
            &rule!(
                world,
                Client::get_launch_configuration,
                get_launch::GetLaunchConfigurationError,
                "GetLaunchConfiguration",
                |w, _i| {
                    Ok(get_launch::GetLaunchConfigurationOutput::builder()
                        .target_instance_type_right_sizing_method(w.right_sizing.as_str().into())
                        .copy_private_ip(w.copy_private_ip)
                        .build())
                }
            ),
            &rule!(
                world,
                Client::update_launch_configuration,
                update_launch::UpdateLaunchConfigurationError,
                "UpdateLaunchConfiguration",
                |w, input| {
                    if let Some(method) = input.target_instance_type_right_sizing_method() {
                        method.as_str().clone_into(&mut w.right_sizing);
                    }
                    w.copy_private_ip = input.copy_private_ip().unwrap_or(w.copy_private_ip);
                    // MGN writes a version of its own, and makes it the default.
                    w.template_default += 1;
                    Ok(update_launch::UpdateLaunchConfigurationOutput::builder().build())
                }
            ),
            &rule!(
                world,
                Client::disconnect_from_service,
                disconnect::DisconnectFromServiceError,
                "DisconnectFromService",
                |w, _i| {
                    w.replicates = false;
                    Ok(disconnect::DisconnectFromServiceOutput::builder().build())
                }
            ),
            &rule!(
                world,
                Client::finalize_cutover,
                finalize_cutover::FinalizeCutoverError,
                "FinalizeCutover",
                |w, _i| {
                    if w.lifecycle != "CUTTING_OVER" {
                        return Err(code!(
                            finalize_cutover::FinalizeCutoverError,
                            "ConflictException"
                        ));
                    }
                    w.lifecycle = "CUTOVER".into();
                    w.finalized += 1;
                    Ok(finalize_cutover::FinalizeCutoverOutput::builder().build())
                }
            ),
            &rule!(
                world,
                Client::mark_as_archived,
                mark_as_archived::MarkAsArchivedError,
                "MarkAsArchived",
                |w, _i| {
                    if w.lifecycle != "CUTOVER" {
                        return Err(code!(
                            mark_as_archived::MarkAsArchivedError,
                            "ConflictException"
                        ));
                    }
                    w.archived += 1;
                    Ok(mark_as_archived::MarkAsArchivedOutput::builder().build())
                }
            ),
            &rule!(
                world,
                Client::terminate_target_instances,
                terminate::TerminateTargetInstancesError,
                "TerminateTargetInstances",
                |w, input| {
                    if ["TESTING", "CUTTING_OVER", "CUTOVER"].contains(&w.lifecycle.as_str()) {
                        return Err(code!(
                            terminate::TerminateTargetInstancesError,
                            "ConflictException"
                        ));
                    }
                    w.terminations += 1;
                    let job = Job {
                        id: format!("mgnjob-terminate-{}", w.terminations),
                        completed: false,
                        status: "PENDING".into(),
                        instance: w.launched.as_ref().map(|(instance, _)| instance.clone()),
                        intent: input.tags().unwrap()["landfall:intent"].clone(),
                        terminates: true,
                    };
                    w.jobs.push(job.clone());
                    Ok(terminate::TerminateTargetInstancesOutput::builder()
                        .job(sdk_job(&job))
                        .build())
                }
            ),
        ]
    )
}

pub(crate) fn ec2(world: &Arc<Mutex<World>>) -> aws_sdk_ec2::Client {
    use aws_sdk_ec2::Client;
    use aws_sdk_ec2::types as ec2;
    mock_client!(
        aws_sdk_ec2,
        RuleMode::MatchAny,
        [
            &rule!(
                world,
                Client::describe_instances,
                describe_instances::DescribeInstancesError,
                "DescribeInstances",
                |w, input| {
                    let id = &input.instance_ids()[0];
                    let Some(instance) = w.instances.get(id) else {
                        return Err(code!(
                            describe_instances::DescribeInstancesError,
                            "InvalidInstanceID.NotFound"
                        ));
                    };
                    let state = ec2::InstanceState::builder()
                        .name(instance.state.as_str().into())
                        .build();
                    let instance = ec2::Instance::builder()
                        .instance_id(id)
                        .state(state)
                        .private_ip_address("10.1.0.11")
                        .build();
                    let reservation = ec2::Reservation::builder().instances(instance).build();
                    Ok(describe_instances::DescribeInstancesOutput::builder()
                        .reservations(reservation)
                        .build())
                }
            ),
            &rule!(
                world,
                Client::modify_instance_attribute,
                modify::ModifyInstanceAttributeError,
                "ModifyInstanceAttribute",
                |w, input| {
                    let instance = w.instances.get_mut(input.instance_id().unwrap()).unwrap();
                    instance.protected = input.disable_api_termination().unwrap().value().unwrap();
                    Ok(modify::ModifyInstanceAttributeOutput::builder().build())
                }
            ),
            &rule!(
                world,
                Client::create_tags,
                create_tags::CreateTagsError,
                "CreateTags",
                |w, input| {
                    let instance = w.instances.get_mut(&input.resources()[0]).unwrap();
                    for tag in input.tags() {
                        instance
                            .tags
                            .insert(tag.key().unwrap().into(), tag.value().unwrap().into());
                    }
                    Ok(create_tags::CreateTagsOutput::builder().build())
                }
            ),
            &rule!(
                world,
                Client::modify_launch_template,
                template::ModifyLaunchTemplateError,
                "ModifyLaunchTemplate",
                |w, input| {
                    w.template_default = input.default_version().unwrap().parse().unwrap();
                    let template = ec2::LaunchTemplate::builder()
                        .default_version_number(w.template_default)
                        .build();
                    Ok(template::ModifyLaunchTemplateOutput::builder()
                        .launch_template(template)
                        .build())
                }
            ),
        ]
    )
}

/// EC2 in the source's Region.
pub(crate) fn source_ec2(world: &Arc<Mutex<World>>) -> aws_sdk_ec2::Client {
    use aws_sdk_ec2::Client;
    use aws_sdk_ec2::types as ec2;
    mock_client!(
        aws_sdk_ec2,
        RuleMode::MatchAny,
        [
            &rule!(
                world,
                Client::describe_instances,
                describe_instances::DescribeInstancesError,
                "source:DescribeInstances",
                |w, input| {
                    assert_eq!(input.instance_ids(), [SOURCE]);
                    let state = match w.look_at_power().as_str() {
                        "deallocating" => "stopping",
                        "deallocated" => "stopped",
                        "deleting" => "shutting-down",
                        "deleted" => "terminated",
                        "starting" => "pending",
                        _ => "running",
                    };
                    let state = ec2::InstanceState::builder().name(state.into()).build();
                    let instance = ec2::Instance::builder().instance_id(SOURCE).state(state);
                    let reservation = ec2::Reservation::builder().instances(instance.build());
                    Ok(describe_instances::DescribeInstancesOutput::builder()
                        .reservations(reservation.build())
                        .build())
                }
            ),
            &rule!(
                world,
                Client::stop_instances,
                stop_instances::StopInstancesError,
                "source:StopInstances",
                |w, input| {
                    assert_eq!(input.instance_ids(), [SOURCE]);
                    w.power = "deallocating".into();
                    Ok(stop_instances::StopInstancesOutput::builder().build())
                }
            ),
            &rule!(
                world,
                Client::terminate_instances,
                terminate_instances::TerminateInstancesError,
                "source:TerminateInstances",
                |w, input| {
                    assert_eq!(input.instance_ids(), [SOURCE]);
                    assert_eq!(w.power, "deallocated", "one that runs is terminated");
                    w.power = "deleting".into();
                    Ok(terminate_instances::TerminateInstancesOutput::builder().build())
                }
            ),
            &rule!(
                world,
                Client::start_instances,
                start_instances::StartInstancesError,
                "source:StartInstances",
                |w, input| {
                    assert_eq!(input.instance_ids(), [SOURCE]);
                    w.power = "starting".into();
                    Ok(start_instances::StartInstancesOutput::builder().build())
                }
            ),
        ]
    )
}

pub(crate) fn secrets(world: &Arc<Mutex<World>>) -> aws_sdk_secretsmanager::Client {
    use aws_sdk_secretsmanager::Client;
    mock_client!(
        aws_sdk_secretsmanager,
        RuleMode::MatchAny,
        [&rule!(
            world,
            Client::get_secret_value,
            get_secret_value::GetSecretValueError,
            "GetSecretValue",
            |w, input| {
                let cmdb = format!(r#"{{"username": "u", "password": "{}"}}"#, w.cmdb_password);
                let text = match input.secret_id() {
                    Some(CMDB_SECRET) => cmdb.as_str(),
                    Some("landfall/cmf") => r#"{"username": "u", "password": "p"}"#,
                    _ => {
                        r#"{"tenantId": "t", "clientId": "c", "clientSecret": "s", "username": "u", "password": "p"}"#
                    }
                };
                Ok(get_secret_value::GetSecretValueOutput::builder()
                    .secret_string(text)
                    .build())
            }
        )]
    )
}
