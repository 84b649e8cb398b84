# What stakeholders hear: events that notify go through a queue to the function that words them, and from there to a topic
# and to the webhooks of chats. The queue keeps what a chat did not take for about an hour of retries.

resource "aws_sns_topic" "notices" {
  name = local.notices_name
}

# Who subscribes by mail confirms it by a link in the first one.
resource "aws_sns_topic_subscription" "notices" {
  for_each = toset(var.notice_emails)

  topic_arn = aws_sns_topic.notices.arn
  protocol  = "email"
  endpoint  = each.value
}

# Filled by the operator, so that no state file holds a webhook's URL.
resource "aws_secretsmanager_secret" "notice_webhooks" {
  name                    = "${var.name_prefix}/notice-webhooks"
  description             = "Incoming webhooks that notices go to: {\"slack\": [URLs], \"teams\": [URLs]}"
  recovery_window_in_days = var.local ? 0 : 30
}

module "notices" {
  source = "./modules/queue"

  name               = local.notices_name
  visibility_timeout = local.functions["notify"].timeout * var.visibility_factor
  max_receives       = 12
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Rule"
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = "${local.sqs_arn}:${local.notices_name}"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_cloudwatch_event_rule" "notices" {
  count = length(var.notice_events) == 0 ? 0 : 1

  name           = local.notices_name
  description    = "Events that stakeholders hear of"
  event_bus_name = aws_cloudwatch_event_bus.landfall.name
  event_pattern  = jsonencode({ source = ["landfall"], detail-type = var.notice_events })
}

resource "aws_cloudwatch_event_target" "notices" {
  count = length(var.notice_events) == 0 ? 0 : 1

  rule           = aws_cloudwatch_event_rule.notices[0].name
  event_bus_name = aws_cloudwatch_event_bus.landfall.name
  target_id      = "notices"
  arn            = module.notices.arn

  dead_letter_config {
    arn = module.undelivered.arn
  }
}

resource "aws_lambda_event_source_mapping" "notices" {
  event_source_arn        = module.notices.arn
  function_name           = module.function["notify"].alias_arn
  batch_size              = 10
  function_response_types = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = 2
  }
}
