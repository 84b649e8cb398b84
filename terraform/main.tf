# --- State -----------------------------------------------------------------------------------------------

resource "aws_dynamodb_table" "migrations" {
  name         = local.table_name
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "pk"
  range_key    = "sk"

  dynamic "attribute" {
    for_each = toset(concat(["pk", "sk"], flatten([for index in local.indexes : [index.hash, index.range]])))
    content {
      name = attribute.value
      type = "S"
    }
  }

  dynamic "global_secondary_index" {
    for_each = local.indexes
    content {
      name            = global_secondary_index.key
      hash_key        = global_secondary_index.value.hash
      range_key       = global_secondary_index.value.range
      projection_type = "ALL"
    }
  }

  ttl {
    attribute_name = "expiresAt"
    enabled        = true
  }

  point_in_time_recovery {
    enabled = true
  }

  deletion_protection_enabled = !var.local
}

locals {
  indexes = {
    wave-status      = { hash = "waveKey", range = "statusKey" }
    app-status       = { hash = "appKey", range = "statusKey" }
    status-updatedAt = { hash = "statusPk", range = "updatedAt" }
    waits            = { hash = "waitKey", range = "dueAt" }
  }
}

# --- Queues ----------------------------------------------------------------------------------------------

module "requests" {
  source = "./modules/queue"

  name               = "${var.name_prefix}-requests"
  visibility_timeout = local.functions["ingress"].timeout * var.visibility_factor
  max_receives       = 5
}

module "launches" {
  source = "./modules/queue"

  name               = "${var.name_prefix}-launches"
  visibility_timeout = local.launch_timeout * var.visibility_factor
  # A launch message stays in the queue until its launch has started, over MGN's quotas and busy servers.
  max_receives = 1000
}

module "waits" {
  source = "./modules/queue"

  name               = "${var.name_prefix}-waits"
  visibility_timeout = local.functions["watch-migrations"].timeout * var.visibility_factor
  # A message that is lost leaves its migration asleep until the state's time-out, which for replication is days away.
  max_receives = 20
}

module "callbacks_failed" {
  source = "./modules/queue"

  name = "${var.name_prefix}-callbacks-failed"
}

# --- Freeze calendar -------------------------------------------------------------------------------------

# Elsewhere the parameter belongs to whoever keeps the calendar: without it nothing is switched. The local stack begins
# with an empty one.
resource "aws_ssm_parameter" "freeze_calendar" {
  count = var.local && var.freeze_calendar_parameter != null ? 1 : 0

  name  = var.freeze_calendar_parameter
  type  = "String"
  value = "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//Landfall//local stack//EN\nEND:VCALENDAR\n"

  lifecycle {
    ignore_changes = [value]
  }
}

# --- Callback signing ------------------------------------------------------------------------------------

resource "aws_secretsmanager_secret" "callback_signing" {
  name                    = "${var.name_prefix}/callback-signing"
  description             = "Signs callbacks (Standard Webhooks): whsec_<base64 of 24 to 64 random bytes>"
  recovery_window_in_days = var.local ? 0 : 30
}

resource "aws_secretsmanager_secret_version" "callback_signing" {
  count = nonsensitive(var.callback_signing_secret != null) ? 1 : 0

  secret_id     = aws_secretsmanager_secret.callback_signing.id
  secret_string = var.callback_signing_secret
}

# --- Functions -------------------------------------------------------------------------------------------

# The packages go through S3: the provider uploads files to Lambda strictly one after the other, objects in parallel.
resource "aws_s3_bucket" "artifacts" {
  bucket        = "${var.name_prefix}-artifacts-${local.account}-${var.region}"
  force_destroy = true # every package can be built again
}

resource "aws_s3_bucket_public_access_block" "artifacts" {
  bucket                  = aws_s3_bucket.artifacts.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

module "function" {
  source   = "./modules/function"
  for_each = local.functions

  name                 = "${var.name_prefix}-${each.key}"
  description          = "Landfall stage ${each.key}"
  package              = "${var.artifacts_dir}/${each.key}.zip"
  bucket               = aws_s3_bucket.artifacts.id
  architecture         = var.architecture
  timeout              = each.value.timeout
  memory               = each.value.memory
  reserved_concurrency = var.reserve_concurrency ? coalesce(each.value.reserved_concurrency, -1) : -1
  environment          = local.function_environment[each.key]
  statements           = local.function_statements[each.key]
  log_retention_days   = var.log_retention_days
}

locals {
  # Optional settings are absent when unset, never empty: a function tells the two apart.
  function_environment = {
    for name, function in local.functions : name => merge(
      local.common_environment,
      function.environment,
      { for key, value in function.optional : key => value if value != null },
      var.extra_environment,
    )
  }
}

resource "aws_lambda_event_source_mapping" "requests" {
  event_source_arn        = module.requests.arn
  function_name           = module.function["ingress"].alias_arn
  batch_size              = 10
  function_response_types = ["ReportBatchItemFailures"]
}

# A full batch saves invocations; the number of MGN jobs does not depend on it, for the function starts whatever
# intents are pending.
resource "aws_lambda_event_source_mapping" "launches" {
  event_source_arn                   = module.launches.arn
  function_name                      = module.function["trigger-migration"].alias_arn
  batch_size                         = 200
  maximum_batching_window_in_seconds = 5
  function_response_types            = ["ReportBatchItemFailures"]
}

resource "aws_lambda_event_source_mapping" "waits" {
  event_source_arn                   = module.waits.arn
  function_name                      = module.function["watch-migrations"].alias_arn
  batch_size                         = 100
  maximum_batching_window_in_seconds = 1 # one look at MGN for a wave that arrives together
  function_response_types            = ["ReportBatchItemFailures"]
}

# --- Workflow --------------------------------------------------------------------------------------------

module "workflow" {
  source = "./modules/workflow"

  name               = local.workflow_name
  function_arns      = [for function in module.function : function.alias_arn]
  queue_arns         = [module.launches.arn, module.waits.arn]
  table_arn          = local.table_arn
  log_retention_days = var.log_retention_days

  definition = templatefile("${path.module}/workflow/migration.asl.json", merge(
    { for name, function in module.function : name => function.alias_arn },
    {
      launch-queue-url = module.launches.url
      wait-queue-url   = module.waits.url
      table            = aws_dynamodb_table.migrations.name
    },
  ))
}
