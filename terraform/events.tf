resource "aws_cloudwatch_event_bus" "landfall" {
  name = var.name_prefix
}

# What EventBridge and Scheduler could not deliver after their retries; without it a migration would vanish unseen.
module "undelivered" {
  source = "./modules/queue"

  name = local.undelivered_name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Rules"
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = "${local.sqs_arn}:${local.undelivered_name}"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

# --- A request starts its workflow -----------------------------------------------------------------------

resource "aws_cloudwatch_event_rule" "requested" {
  name           = "${var.name_prefix}-requested"
  description    = "An accepted request, or an order to undo an attempt that has ended, starts its workflow"
  event_bus_name = aws_cloudwatch_event_bus.landfall.name
  event_pattern  = jsonencode({ source = ["landfall"], detail-type = ["MigrationRequested", "RollbackRequested"] })
}

resource "aws_cloudwatch_event_target" "workflow" {
  rule           = aws_cloudwatch_event_rule.requested.name
  event_bus_name = aws_cloudwatch_event_bus.landfall.name
  target_id      = "workflow"
  arn            = module.workflow.arn
  role_arn       = aws_iam_role.caller["events"].arn

  dead_letter_config {
    arn = module.undelivered.arn
  }
}

# --- News from MGN and from agent installations wakes the sweep --------------------------------------------

locals {
  # MGN emits nothing when an agent registers; the end of the SSM command that installed it is the next best news.
  # https://docs.aws.amazon.com/mgn/latest/ug/monitoring-event-bridge.html
  # https://docs.aws.amazon.com/systems-manager/latest/userguide/monitoring-systems-manager-event-examples.html
  wakers = {
    mgn = { source = var.mgn_event_sources }
    ssm = { source = var.ssm_event_sources, detail-type = ["EC2 Command Invocation Status-change Notification"] }
  }
}

# Rules on the default bus, where AWS services put their events.
resource "aws_cloudwatch_event_rule" "wake" {
  for_each = local.wakers

  name          = "${var.name_prefix}-${each.key}"
  description   = "News from ${upper(each.key)} wakes the sweep"
  event_pattern = jsonencode(each.value)
}

resource "aws_cloudwatch_event_target" "wake" {
  for_each = local.wakers

  rule      = aws_cloudwatch_event_rule.wake[each.key].name
  target_id = "watch-migrations"
  arn       = module.function["watch-migrations"].alias_arn

  dead_letter_config {
    arn = module.undelivered.arn
  }
}

resource "aws_lambda_permission" "wake" {
  for_each = local.wakers

  statement_id  = "${each.key}-events"
  action        = "lambda:InvokeFunction"
  principal     = "events.amazonaws.com"
  function_name = module.function["watch-migrations"].function_name
  qualifier     = module.function["watch-migrations"].alias_name
  source_arn    = aws_cloudwatch_event_rule.wake[each.key].arn
}

# --- and a schedule, should an event be lost --------------------------------------------------------------

resource "aws_scheduler_schedule" "sweep" {
  name                = "${var.name_prefix}-sweep"
  description         = "Runs the sweep when no event does"
  schedule_expression = var.sweep_schedule

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = module.function["watch-migrations"].alias_arn
    role_arn = aws_iam_role.caller["scheduler"].arn
    input    = jsonencode({ action = "sweep" })

    # The next minute brings the next sweep; an old one is worth nothing.
    retry_policy {
      maximum_event_age_in_seconds = 60
      maximum_retry_attempts       = 0
    }
  }
}

# --- Who may call what -----------------------------------------------------------------------------------

locals {
  # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-iam-roles.html
  # https://docs.aws.amazon.com/scheduler/latest/UserGuide/setting-up.html#setting-up-execution-role
  callers = {
    events    = { action = "states:StartExecution", resource = local.workflow_arn }
    scheduler = { action = "lambda:InvokeFunction", resource = module.function["watch-migrations"].alias_arn }
  }
}

resource "aws_iam_role" "caller" {
  for_each = local.callers

  name = "${var.name_prefix}-${each.key}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "${each.key}.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_iam_role_policy" "caller" {
  for_each = local.callers

  name = "${var.name_prefix}-${each.key}"
  role = aws_iam_role.caller[each.key].id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = [each.value.action], Resource = [each.value.resource] }]
  })
}
