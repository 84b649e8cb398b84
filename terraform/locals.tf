data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  tags = merge({ Application = "landfall", Environment = var.environment }, var.tags)

  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition

  # Names that two resources need of each other are computed here, which is what breaks the circle
  # workflow -> function -> workflow.
  workflow_name = "${var.name_prefix}-migration"
  workflow_arn  = "arn:${local.partition}:states:${var.region}:${local.account}:stateMachine:${local.workflow_name}"

  # So are the ARNs in permissions, which are then whole in a plan for whoever reviews it, and make no function wait for
  # what it may use: the provider takes 25 seconds for a queue.
  sqs_arn          = "arn:${local.partition}:sqs:${var.region}:${local.account}"
  table_name       = "${var.name_prefix}-migrations"
  table_arn        = "arn:${local.partition}:dynamodb:${var.region}:${local.account}:table/${local.table_name}"
  bus_arn          = "arn:${local.partition}:events:${var.region}:${local.account}:event-bus/${var.name_prefix}"
  secrets_arn      = "arn:${local.partition}:secretsmanager:${var.region}:${local.account}:secret:${var.name_prefix}"
  undelivered_name = "${var.name_prefix}-undelivered"
  notices_name     = "${var.name_prefix}-notices"

  # What the ARN of every function's role begins with; the function's name completes it.
  role_arn_prefix = "arn:${local.partition}:iam::${local.account}:role/${var.name_prefix}-"

  callback_allow   = length(var.callback_allow) == 0 ? null : join(",", var.callback_allow)
  source_api_allow = length(var.source_api_allow) == 0 ? null : join(",", var.source_api_allow)
  decommission     = length(var.decommission_instance_arns) == 0 ? null : join(",", var.decommission_instance_arns)

  # What is not said is left out: the functions have the defaults.
  approvals = length(var.approvals) == 0 ? null : jsonencode({
    for environment, rules in var.approvals : environment => [
      for rule in rules : { for name, value in rule : name => value if value != null }
    ]
  })

  # For every function that asks Cloud Migration Factory, or tells it something.
  cmf_environment = {
    LANDFALL_CMF_LOGIN_URL = var.cmf_login_url
    LANDFALL_CMF_REQUIRED  = var.cmf_required ? "true" : null
    LANDFALL_CMF_SECRET_ID = var.cmf_secret_id
    LANDFALL_CMF_URL       = var.cmf_url
  }
  # By its name, a secret's ARN ends in six characters that Secrets Manager appends.
  cmf_secret_arns = var.cmf_secret_id == null ? [] : [
    startswith(var.cmf_secret_id, "arn:") ? var.cmf_secret_id :
    "arn:${local.partition}:secretsmanager:${var.region}:${local.account}:secret:${var.cmf_secret_id}-??????",
  ]

  # For every function that works with the configuration item.
  cmdb_environment = {
    LANDFALL_CMDB_SECRET_ID = var.cmdb_secret_id
    LANDFALL_CMDB_URL       = var.cmdb_url
  }
  cmdb_secret_arns = var.cmdb_secret_id == null ? [] : [
    startswith(var.cmdb_secret_id, "arn:") ? var.cmdb_secret_id :
    "arn:${local.partition}:secretsmanager:${var.region}:${local.account}:secret:${var.cmdb_secret_id}-??????",
  ]

  # For every function that is about to take a step of the switch.
  freeze_environment = { LANDFALL_FREEZE_PARAMETER = var.freeze_calendar_parameter }
  freeze_parameter_arns = var.freeze_calendar_parameter == null ? [] : [
    "arn:${local.partition}:ssm:${var.region}:${local.account}:parameter/${trimprefix(var.freeze_calendar_parameter, "/")}",
  ]

  # Here because the launch queue's visibility time-out follows from it, and the function knows the queue.
  launch_timeout = 60

  common_environment = {
    LANDFALL_TABLE = aws_dynamodb_table.migrations.name
    LANDFALL_BUS   = aws_cloudwatch_event_bus.landfall.name
    LANDFALL_LOG   = var.log_level
  }

  # The one list of functions. A key is the function's folder, crate, binary, Lambda name suffix and ASL token.
  # `access` names entries of local.statements (iam.tf), and `base_access` those instead of local.base_access;
  # `optional` holds variables that are absent while unset.
  functions = {
    ingress = {
      timeout              = 30
      memory               = 256
      reserved_concurrency = null
      environment          = { LANDFALL_REQUEST_DLQ_URL = module.requests.dlq_url }
      optional             = {}
      access               = ["consume-requests", "reject-requests"]
    }
    validate-input = {
      timeout              = 60
      memory               = 256
      reserved_concurrency = null
      environment          = { LANDFALL_ROLE_ARN_PREFIX = local.role_arn_prefix }
      optional = merge(local.cmf_environment, {
        LANDFALL_APPROVALS              = local.approvals
        LANDFALL_CALLBACK_ALLOW         = local.callback_allow
        LANDFALL_DECOMMISSION_INSTANCES = local.decommission
        LANDFALL_SOURCE_API_ALLOW       = local.source_api_allow
      })
      access = [
        "mgn-initialized", "mgn-servers", "mgn-jobs", "mgn-launch-settings-read", "mgn-replication-settings-read",
        "network-read", "launch-template-read", "encryption-defaults", "instance-profiles", "own-permissions", "keys-read",
        "quotas-read", "instances-read", "source-secrets", "source-accounts", "cmf-secret", "target-accounts",
      ]
    }
    prepare-source = {
      timeout              = 300
      memory               = 256
      reserved_concurrency = null
      environment          = {}
      optional = merge(local.cmf_environment, {
        LANDFALL_AGENT_MGN_ENDPOINT = var.agent_mgn_endpoint
        LANDFALL_AGENT_NO_PROXY     = var.agent_no_proxy
        LANDFALL_AGENT_PROXY_URL    = var.agent_proxy_url
        LANDFALL_AGENT_ROLE_ARN     = var.agent_role_arn
        LANDFALL_AGENT_S3_ENDPOINT  = var.agent_s3_endpoint
        LANDFALL_SOURCE_API_ALLOW   = local.source_api_allow
      })
      access = [
        "mgn-servers", "mgn-launch-settings-read", "mgn-launch-settings", "mgn-replication-settings-read",
        "mgn-replication-settings", "launch-template-read", "launch-template-version", "launch-template-default",
        "keys-read", "source-nodes", "source-commands", "source-secrets", "source-accounts", "source-snapshots", "source-snapshot-tags",
        "source-snapshots-read", "cmf-secret", "target-accounts", "explain-refusals",
      ]
    }
    trigger-migration = {
      timeout              = local.launch_timeout
      memory               = 256
      reserved_concurrency = 5
      environment          = { LANDFALL_LAUNCH_QUEUE_URL = module.launches.url }
      optional             = local.freeze_environment
      access = [
        "consume-launches", "state-waits", "mgn-servers", "mgn-jobs", "mgn-launch", "mgn-lifecycle", "mgn-launches-on-ec2",
        "mgn-passes-roles", "mgn-encrypts-volumes", "quotas-read", "task-success", "task-failure", "task-heartbeat",
        "executions-read", "freeze-calendar", "target-accounts", "explain-refusals",
      ]
    }
    watch-migrations = {
      timeout              = 60
      memory               = 256
      reserved_concurrency = 10
      environment          = {}
      optional             = merge(local.freeze_environment, { LANDFALL_APPROVALS = local.approvals })
      access = [
        "consume-waits", "state-waits", "task-success", "task-failure", "task-heartbeat", "executions-read", "mgn-servers",
        "mgn-jobs", "mgn-job-log", "mgn-retry", "source-command-results", "freeze-calendar", "target-accounts", "explain-refusals",
      ]
    }
    verify-migration = {
      timeout              = 300
      memory               = 256
      reserved_concurrency = null
      environment          = {}
      optional             = {}
      access = [
        "mgn-servers", "mgn-lifecycle", "mgn-launch-settings-read", "mgn-replication-settings-read", "launch-template-read",
        "instances-read", "instance-status", "source-nodes", "target-commands", "source-command-results",
        "target-accounts",
      ]
    }
    finalize-cutover = {
      timeout              = 300
      memory               = 256
      reserved_concurrency = null
      environment          = {}
      optional = merge(local.cmf_environment, local.cmdb_environment, local.freeze_environment, {
        LANDFALL_DECOMMISSION_INSTANCES = local.decommission
        LANDFALL_SOURCE_API_ALLOW       = local.source_api_allow
      })
      access = [
        "state-claims", "mgn-servers", "mgn-finalize", "dns", "dns-changes", "instances-read", "instance-protection", "instance-tags",
        "source-secrets", "source-accounts", "source-stop", "source-terminate", "cmf-secret", "cmdb-secret", "freeze-calendar", "target-accounts",
        "explain-refusals",
      ]
    }
    approvals = {
      timeout              = 29 # API Gateway gives up then
      memory               = 256
      reserved_concurrency = null
      environment          = {}
      optional             = merge(local.freeze_environment, { LANDFALL_APPROVALS = local.approvals })
      access               = ["state-waits", "task-success", "task-failure", "executions-read", "freeze-calendar"]
    }
    control = {
      timeout              = 29
      memory               = 256
      reserved_concurrency = null
      environment          = {}
      optional             = merge(local.freeze_environment, { LANDFALL_APPROVALS = local.approvals })
      access               = ["state-waits", "task-success", "task-failure", "executions-read", "freeze-calendar"]
    }
    callback = {
      timeout              = 60
      memory               = 256
      reserved_concurrency = null
      environment = {
        LANDFALL_CALLBACK_SECRET_ARN       = aws_secretsmanager_secret.callback_signing.arn
        LANDFALL_CALLBACK_FAILED_QUEUE_URL = module.callbacks_failed.url
      }
      optional = { LANDFALL_CALLBACK_ALLOW = local.callback_allow }
      access   = ["callback-secret", "callback-failed"]
    }
    notify = {
      timeout              = 60
      memory               = 256
      reserved_concurrency = 2 # chats take about one message a second
      environment = {
        LANDFALL_NOTICE_TOPIC_ARN  = aws_sns_topic.notices.arn
        LANDFALL_NOTICE_SECRET_ARN = aws_secretsmanager_secret.notice_webhooks.arn
      }
      optional = {
        LANDFALL_NOTICE_HOSTS = length(var.notice_hosts) == 0 ? null : join(",", var.notice_hosts)
        LANDFALL_NOTICE_ALLOW = length(var.notice_allow) == 0 ? null : join(",", var.notice_allow)
      }
      access      = ["consume-notices", "notice-topic", "notice-secret"]
      base_access = [] # it knows of migrations what the events say
    }
    rollback = {
      timeout              = 300
      memory               = 256
      reserved_concurrency = null
      environment          = {}
      optional = merge(local.cmf_environment, local.cmdb_environment, {
        LANDFALL_SOURCE_API_ALLOW = local.source_api_allow
      })
      access = [
        "state-waits", "mgn-servers", "mgn-jobs", "mgn-job-log", "mgn-lifecycle", "mgn-terminate", "mgn-terminates-on-ec2",
        "mgn-disconnect", "mgn-launch-settings-read", "mgn-launch-settings", "launch-template-default", "dns", "dns-changes", "dns-answers",
        "instances-read", "instance-protection", "source-secrets", "source-accounts", "source-start", "source-keys", "cmf-secret", "cmdb-secret", "target-accounts", "explain-refusals",
      ]
    }
  }
}
