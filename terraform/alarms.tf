locals {
  # Queues in which no message should ever lie: each one is a migration, a launch, a wait, a callback or a notice that nobody
  # handles.
  watched_queues = {
    requests-dlq     = module.requests.dlq_name
    launches-dlq     = module.launches.dlq_name
    waits-dlq        = module.waits.dlq_name
    callbacks-failed = module.callbacks_failed.name
    notices-dlq      = module.notices.dlq_name
    undelivered      = module.undelivered.name
  }
}

resource "aws_cloudwatch_metric_alarm" "queue" {
  for_each = local.watched_queues

  alarm_name          = "${var.name_prefix}-${each.key}"
  alarm_description   = "Messages wait in ${each.value}; see docs/RUNBOOK.md"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = each.value }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
}

# An ordinary rollback ends its execution as failed, so ExecutionsFailed says nothing here. An execution that is stopped or
# meets its own time limit ends wherever it was, and leaves its migration there.
resource "aws_cloudwatch_metric_alarm" "workflow" {
  for_each = toset(["ExecutionsTimedOut", "ExecutionsAborted"])

  alarm_name          = "${var.name_prefix}-workflow-${each.key}"
  alarm_description   = "A migration workflow ended without rollback or callback; see docs/RUNBOOK.md"
  namespace           = "AWS/States"
  metric_name         = each.key
  dimensions          = { StateMachineArn = module.workflow.arn }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
}

# Emitted by rollback as embedded metric format, like every metric of this namespace with the function as its dimension.
resource "aws_cloudwatch_metric_alarm" "frozen" {
  alarm_name          = "${var.name_prefix}-frozen"
  alarm_description   = "A migration is FROZEN: its rollback was refused or has failed, and a person must look; see docs/RUNBOOK.md"
  namespace           = "Landfall"
  metric_name         = "FrozenMigrations"
  dimensions          = { Function = "rollback" }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
}
