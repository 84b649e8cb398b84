# What a deployment consists of, planned against a provider that needs no cloud.
mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
}

variables {
  environment   = "dev"
  artifacts_dir = "tests/packages"
}

run "names" {
  command = plan

  assert {
    condition     = toset(keys(local.functions)) == toset([for crate in fileset("../functions", "*/Cargo.toml") : dirname(crate)])
    error_message = "local.functions and the folders of functions/ differ: one name serves everywhere."
  }
  assert {
    condition     = alltrue([for key, name in output.function_names : name == "landfall-${key}"])
    error_message = "A function is not named <prefix>-<key>."
  }
  assert {
    condition = [
      module.requests.name, module.requests.dlq_name, module.launches.name, module.launches.dlq_name,
      module.waits.name, module.waits.dlq_name,
      module.callbacks_failed.name, module.undelivered.name, module.notices.name, module.notices.dlq_name,
      ] == [
      "landfall-requests", "landfall-requests-dlq", "landfall-launches", "landfall-launches-dlq",
      "landfall-waits", "landfall-waits-dlq",
      "landfall-callbacks-failed", "landfall-undelivered", "landfall-notices", "landfall-notices-dlq",
    ]
    error_message = "A queue has another name than docs and clients use."
  }
  assert {
    condition     = output.table_name == "landfall-migrations" && output.event_bus_name == "landfall"
    error_message = "Table or bus has another name than docs and clients use."
  }
  assert {
    condition     = local.workflow_arn == "arn:aws:states:us-east-1:123456789012:stateMachine:landfall-migration"
    error_message = "The workflow's computed ARN must be that of its resource: permissions are granted on it."
  }
}

run "another_prefix" {
  command = plan

  variables {
    name_prefix = "blue"
  }

  assert {
    condition     = output.table_name == "blue-migrations" && output.function_names["ingress"] == "blue-ingress"
    error_message = "Two deployments in one account would meet."
  }
}

run "a_prefix_that_aws_would_refuse" {
  command = plan

  variables {
    name_prefix = "Landfall_"
  }

  expect_failures = [var.name_prefix]
}

run "table" {
  command = plan

  assert {
    condition = {
      for index in aws_dynamodb_table.migrations.global_secondary_index :
      index.name => "${index.hash_key},${index.range_key},${index.projection_type}"
      } == {
      wave-status      = "waveKey,statusKey,ALL"
      app-status       = "appKey,statusKey,ALL"
      status-updatedAt = "statusPk,updatedAt,ALL"
      waits            = "waitKey,dueAt,ALL"
    }
    error_message = "The state manager queries other indexes."
  }
  assert {
    condition     = one(aws_dynamodb_table.migrations.ttl).attribute_name == "expiresAt" && one(aws_dynamodb_table.migrations.point_in_time_recovery).enabled
    error_message = "Finished records must expire, and the history must be recoverable."
  }
  assert {
    condition     = aws_dynamodb_table.migrations.deletion_protection_enabled
    error_message = "Outside the local stack nobody destroys the history in passing."
  }
}

run "queues" {
  command = plan

  assert {
    condition = alltrue([
      for mapping in [
        aws_lambda_event_source_mapping.requests, aws_lambda_event_source_mapping.launches, aws_lambda_event_source_mapping.waits,
        aws_lambda_event_source_mapping.notices,
      ] :
      contains(mapping.function_response_types, "ReportBatchItemFailures")
    ])
    error_message = "Without ReportBatchItemFailures one bad message brings its whole batch back."
  }
  assert {
    condition     = toset(keys(aws_cloudwatch_metric_alarm.queue)) == toset(["requests-dlq", "launches-dlq", "waits-dlq", "callbacks-failed", "notices-dlq", "undelivered"])
    error_message = "Every queue in which messages strand has an alarm."
  }
}

run "alarms" {
  command = plan

  assert {
    condition     = toset(keys(aws_cloudwatch_metric_alarm.workflow)) == toset(["ExecutionsTimedOut", "ExecutionsAborted"])
    error_message = "Every ordinary rollback ends its execution as failed: an alarm on that cries wolf."
  }
  assert {
    condition = [
      aws_cloudwatch_metric_alarm.frozen.namespace, aws_cloudwatch_metric_alarm.frozen.metric_name,
      aws_cloudwatch_metric_alarm.frozen.dimensions["Function"],
    ] == ["Landfall", "FrozenMigrations", "rollback"]
    error_message = "The alarm for frozen migrations watches another metric than the rollback emits."
  }
}

run "events" {
  command = plan

  assert {
    condition     = aws_cloudwatch_event_rule.requested.event_pattern == jsonencode({ source = ["landfall"], detail-type = ["MigrationRequested", "RollbackRequested"] })
    error_message = "An accepted request, and nothing else, starts the workflow."
  }
  assert {
    condition     = aws_cloudwatch_event_target.workflow.input_path == null && aws_cloudwatch_event_target.workflow.input == null
    error_message = "The workflow reads the whole event, its detail among the rest."
  }
  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.wake["mgn"].event_pattern).source == ["aws.mgn"]
    error_message = "In AWS the sweep listens to MGN."
  }
  assert {
    condition     = jsondecode(aws_scheduler_schedule.sweep.target[0].input).action == "sweep"
    error_message = "The schedule asks for a sweep."
  }
}

run "notices" {
  command = plan

  variables {
    notice_emails = ["ops@example.com"]
    notice_events = ["MigrationFrozen"]
  }

  assert {
    condition     = aws_cloudwatch_event_rule.notices[0].event_pattern == jsonencode({ source = ["landfall"], detail-type = ["MigrationFrozen"] })
    error_message = "The events that notify, and no others, go to the queue of notices."
  }
  assert {
    condition     = [for subscription in aws_sns_topic_subscription.notices : "${subscription.protocol}:${subscription.endpoint}"] == ["email:ops@example.com"]
    error_message = "Who is listed subscribes by mail."
  }
}

run "no_notices" {
  command = plan

  variables {
    notice_events = []
  }

  assert {
    condition     = length(aws_cloudwatch_event_rule.notices) == 0 && length(aws_cloudwatch_event_target.notices) == 0
    error_message = "EventBridge takes no rule for nothing."
  }
}

run "an_event_that_nobody_publishes" {
  command = plan

  variables {
    notice_events = ["MigrationFinished"]
  }

  expect_failures = [var.notice_events]
}
