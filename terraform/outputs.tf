output "region" {
  description = "Region of the deployment."
  value       = var.region
}

output "account_id" {
  description = "Account of the deployment."
  value       = local.account
}

output "request_queue_url" {
  description = "Where migration requests go."
  value       = module.requests.url
}

output "request_dlq_url" {
  description = "Where rejected and undeliverable requests end."
  value       = module.requests.dlq_url
}

output "wait_queue_url" {
  description = "Where the workflow asks to be woken."
  value       = module.waits.url
}

output "launch_queue_url" {
  description = "Where the workflow leaves its launch intents."
  value       = module.launches.url
}

output "callback_failed_queue_url" {
  description = "Callbacks that the caller did not accept."
  value       = module.callbacks_failed.url
}

output "operator_api_url" {
  description = "Where operators order and approvers answer; `landfall` signs what it sends there."
  value       = aws_apigatewayv2_api.operators.api_endpoint
}

output "operator_api_arn" {
  description = "For policies: execute-api:Invoke on <this>/$default/POST/approvals lets somebody answer, on …/POST/orders order."
  value       = aws_apigatewayv2_api.operators.execution_arn
}

output "notice_topic_arn" {
  description = "The topic on which stakeholders hear of migrations."
  value       = aws_sns_topic.notices.arn
}

output "notice_secret_arn" {
  description = "The secret that names the webhooks of chats."
  value       = aws_secretsmanager_secret.notice_webhooks.arn
}

output "event_bus_name" {
  description = "The bus on which Landfall reports."
  value       = aws_cloudwatch_event_bus.landfall.name
}

output "state_machine_arn" {
  description = "The migration workflow."
  value       = module.workflow.arn
}

output "table_name" {
  description = "The table of migration records."
  value       = aws_dynamodb_table.migrations.name
}

output "callback_secret_arn" {
  description = "The secret that signs callbacks."
  value       = aws_secretsmanager_secret.callback_signing.arn
}

output "function_names" {
  description = "Lambda name of every function, by its key."
  value       = { for name, function in module.function : name => function.function_name }
}

output "function_environments" {
  description = "Environment of every function, by its key; what `cargo lambda watch` needs to stand in for one."
  value       = local.function_environment
}
