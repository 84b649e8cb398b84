# --- Where -----------------------------------------------------------------------------------------------

variable "environment" {
  description = "Deployment environment; the tag Environment of every resource."
  type        = string

  validation {
    condition     = contains(["local", "dev", "prod"], var.environment)
    error_message = "environment must be one of local, dev, prod."
  }
}

variable "region" {
  description = "AWS Region that holds Landfall itself (not necessarily the migration targets)."
  type        = string
  default     = "us-east-1"
}

variable "local" {
  description = "True for the local stack: skips the provider's checks that only AWS can answer and uses S3 path style."
  type        = bool
  default     = false
}

variable "name_prefix" {
  description = "Prefix of every resource name; two deployments in one account need two prefixes."
  type        = string
  default     = "landfall"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name_prefix))
    error_message = "name_prefix must be 3 to 32 lower-case letters, digits and hyphens, begin with a letter and not end with a hyphen."
  }
}

variable "tags" {
  description = "Further tags for every resource."
  type        = map(string)
  default     = {}
}

# --- Functions -------------------------------------------------------------------------------------------

variable "artifacts_dir" {
  description = "Directory that holds one <function>.zip per function, each with a `bootstrap` at its root."
  type        = string
}

variable "architecture" {
  description = "Instruction set of the zipped binaries: arm64 in AWS, the machine's own on the local stack."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture must be arm64 or x86_64."
  }
}

variable "reserve_concurrency" {
  description = "Whether the functions' reserved concurrency applies. Needs an account limit with at least 100 unreserved executions left over."
  type        = bool
  default     = false
}

variable "extra_environment" {
  description = "Environment variables merged into every function; the local stack points single services at its simulator with it."
  type        = map(string)
  default     = {}
}

variable "log_level" {
  description = "Log filter of every function (LANDFALL_LOG), for example info or landfall_common=debug,info."
  type        = string
  default     = "info"
}

variable "log_retention_days" {
  description = "Days that CloudWatch keeps the functions' and the workflow's logs."
  type        = number
  default     = 90
}

# --- Queues and events -----------------------------------------------------------------------------------

variable "visibility_factor" {
  description = "Visibility timeout of a consumed queue as a multiple of its function's timeout; AWS advises at least 6."
  type        = number
  default     = 6

  validation {
    condition     = var.visibility_factor >= 1
    error_message = "visibility_factor must be at least 1: AWS refuses an event source mapping whose queue times out before its function."
  }
}

variable "mgn_event_sources" {
  description = "Event sources on the default bus that wake the sweep. The local simulator cannot use aws.mgn, which PutEvents refuses."
  type        = list(string)
  default     = ["aws.mgn"]
}

variable "ssm_event_sources" {
  description = "Event sources on the default bus that tell of the end of an SSM command; as for mgn_event_sources."
  type        = list(string)
  default     = ["aws.ssm"]
}

variable "sweep_schedule" {
  description = "How often the sweep runs even if no event wakes it, as an EventBridge Scheduler expression."
  type        = string
  default     = "rate(1 minute)"
}

# --- The outside world -----------------------------------------------------------------------------------

variable "callback_allow" {
  description = "Origins (scheme://host:port) that callbacks may reach although they are not public https."
  type        = list(string)
  default     = []
}

variable "notice_events" {
  description = "Event types of which stakeholders hear; an empty list tells them nothing. See schemas/events."
  type        = list(string)
  default = [
    "ApprovalDenied", "ApprovalEscalated", "ApprovalRequested", "EmergencyOrdered", "MigrationCancelled", "MigrationFailed",
    "MigrationFrozen", "MigrationRejected", "MigrationSucceeded", "ReplicationStalled", "RollbackCompleted", "RollbackFailed",
    "RollbackRefused", "RollbackStarted", "SourceDecommissioned", "SwitchHeld",
  ]

  validation {
    condition     = length(setsubtract(var.notice_events, [for schema in fileset("${path.module}/../schemas/events", "*.schema.json") : trimsuffix(schema, ".schema.json")])) == 0
    error_message = "notice_events names an event that Landfall does not publish; see schemas/events."
  }
}

variable "notice_emails" {
  description = "Mail addresses that subscribe to the notices; each confirms by a link in its first mail."
  type        = list(string)
  default     = []
}

variable "notice_hosts" {
  description = "Hosts of the webhooks that notices may go to, by https; *. before a name means all below it."
  type        = list(string)
  default     = ["hooks.slack.com", "*.webhook.office.com", "*.logic.azure.com", "*.api.powerplatform.com"]
}

variable "notice_allow" {
  description = "Origins (scheme://host:port) that notices may go to although they are not public https."
  type        = list(string)
  default     = []
}

variable "source_api_allow" {
  description = "Origins (scheme://host:port) that a request's sourceControl.endpoint may name: the source's credentials are sent there. Empty allows public Azure only."
  type        = list(string)
  default     = []
}

variable "callback_signing_secret" {
  description = "Signing secret for callbacks (whsec_<base64>). Null leaves the secret empty for the operator to fill, which keeps it out of the state file."
  type        = string
  default     = null
  sensitive   = true
}

variable "cmf_url" {
  description = "Base URL of Cloud Migration Factory's user API, with its stage (https://….execute-api.….amazonaws.com/prod); null when it is not used."
  type        = string
  default     = null
}

variable "cmf_login_url" {
  description = "Base URL of its login API, with its stage; null when it is that of the user API. Needed with cmf_secret_id alone."
  type        = string
  default     = null
}

variable "cmf_secret_id" {
  description = "Name or ARN of the secret {\"username\", \"password\"} of its service account, in this account and Region (its own is MFServiceAccount-<user pool ID>). Null when it asks nobody to sign in."
  type        = string
  default     = null

  validation {
    condition     = var.cmf_secret_id == null || var.cmf_url != null
    error_message = "cmf_secret_id is of no use without cmf_url."
  }
}

variable "cmf_required" {
  description = "Whether a migration stops when Cloud Migration Factory does not answer, or lacks the record of its wave, application or server. If not, that is told with the migration's events and kept in its record."
  type        = bool
  default     = false

  validation {
    condition     = !var.cmf_required || var.cmf_url != null
    error_message = "cmf_required asks for cmf_url."
  }
}

variable "cmdb_url" {
  description = "Base URL of the CMDB (ServiceNow Table API); null when it is not used."
  type        = string
  default     = null
}

variable "cmdb_secret_id" {
  description = "Name or ARN of the secret of the CMDB's account, in this account and Region: {\"username\", \"password\"} for HTTP Basic, as ServiceNow takes it, or {\"token\"} for a bearer token. Null only where a gateway before the CMDB lets the functions in by other means."
  type        = string
  default     = null

  validation {
    condition     = var.cmdb_secret_id == null || var.cmdb_url != null
    error_message = "cmdb_secret_id is of no use without cmdb_url."
  }
}

variable "freeze_calendar_parameter" {
  description = "Name of the SSM parameter (a String in this Region) that holds the freeze calendar, an iCalendar file; null when there is none. docs/WINDOWS.md"
  type        = string
  default     = null

  validation {
    condition     = var.freeze_calendar_parameter == null || can(regex("^(/[A-Za-z0-9_.-]+)+$|^[A-Za-z0-9_.-]+$", var.freeze_calendar_parameter))
    error_message = "freeze_calendar_parameter is the name of a parameter, such as /landfall/freeze-calendar."
  }
}

variable "agent_role_arn" {
  description = "Role that a source assumes, with its managed node's own role and the AWS CLI, to install the replication agent. A request to another account means the role of the same name there. Null when the node's own role is to be used as it is."
  type        = string
  default     = null
}

variable "agent_proxy_url" {
  description = "Proxy through which sources install and run the replication agent (https_proxy), where a request's agent.proxyUrl does not say. Without credentials: Systems Manager keeps and shows the commands it runs."
  type        = string
  default     = null

  validation {
    condition     = var.agent_proxy_url == null || can(regex("^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?/?$", var.agent_proxy_url))
    error_message = "agent_proxy_url must look like https://10.0.0.1:8088/, without credentials."
  }
}

variable "agent_no_proxy" {
  description = "Hosts that sources reach without that proxy, separated by commas."
  type        = string
  default     = null
}

variable "agent_mgn_endpoint" {
  description = "Host name of MGN's interface endpoint as the sources reach it (the installer's --endpoint); null for the public one."
  type        = string
  default     = null
}

variable "agent_s3_endpoint" {
  description = "Host name of S3's interface endpoint as the sources reach it (the installer's --s3-endpoint); null for the public one."
  type        = string
  default     = null
}

variable "target_role_arns" {
  description = "Roles in other accounts that a request's account.roleArn may name."
  type        = list(string)
  default     = []
}

variable "volume_key_arns" {
  description = "KMS keys, by their ARNs, that requests may name as kmsKeyId. Each key's own policy must also admit MGN's service-linked role, which replicates with it."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.volume_key_arns : can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", arn))])
    error_message = "volume_key_arns takes ARNs of keys: permissions do not follow an alias."
  }
}

variable "source_role_arns" {
  description = "Roles in other accounts that a request's sourceControl.roleArn may name: EC2 instances there may be snapshotted, stopped and started. Apart from target_role_arns: an account that takes servers need not be one whose servers may be stopped."
  type        = list(string)
  default     = []
}

variable "source_instance_arns" {
  description = "EC2 instances of this account, in any Region, that a request's sourceControl may name; patterns such as arn:aws:ec2:eu-west-1:123456789012:instance/* are fine."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.source_instance_arns : can(regex("^arn:aws[a-z-]*:ec2:[a-z0-9*-]+:[0-9]{12}:instance/.+$", arn))])
    error_message = "source_instance_arns must be ARNs of EC2 instances, such as arn:aws:ec2:eu-west-1:123456789012:instance/i-0123456789abcdef0."
  }
}

variable "decommission_instance_arns" {
  description = "EC2 instances that Landfall may terminate after they have moved, where a request asks for it (policy.retention.decommissionSource) and somebody approves. Whole ARNs, of this account or of a role's in source_role_arns."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.decommission_instance_arns : can(regex("^arn:aws[a-z-]*:ec2:[a-z0-9-]+:[0-9]{12}:instance/i-[0-9a-f]{8,17}$", arn))])
    error_message = "decommission_instance_arns takes whole ARNs of EC2 instances, without patterns: a request must not choose what is terminated."
  }
}

variable "hosted_zone_ids" {
  description = "Route 53 hosted zones whose records a cutover may switch. Empty allows every zone of the account."
  type        = list(string)
  default     = []
}

# --- Watching --------------------------------------------------------------------------------------------

variable "alarm_topic_arns" {
  description = "SNS topics that alarms notify."
  type        = list(string)
  default     = []
}

# --- People ----------------------------------------------------------------------------------------------

variable "approvals" {
  description = "Who must agree, by the environment of a request (dev, test, staging, prod): rules for the gates cutover, finalize, rollback and decommission, in the form of policy.approvals. A request adds its own to them and takes none away."
  type = map(list(object({
    gate                   = string
    approvers              = list(string)
    count                  = optional(number)
    deadlineSeconds        = optional(number)
    escalateAfterSeconds   = optional(number)
    escalateTo             = optional(list(string))
    requireChangeReference = optional(bool)
  })))
  default = {}

  validation {
    condition     = alltrue([for name in keys(var.approvals) : contains(["dev", "test", "staging", "prod"], name)])
    error_message = "approvals has rules for an environment that no request can have; they are dev, test, staging and prod."
  }

  validation {
    condition = alltrue([
      for rule in flatten(values(var.approvals)) :
      contains(["cutover", "finalize", "rollback", "decommission"], rule.gate)
    ])
    error_message = "The gates of approvals are cutover, finalize, rollback and decommission."
  }

  validation {
    condition = alltrue([
      for rule in flatten(values(var.approvals)) :
      length(rule.approvers) > 0 && coalesce(rule.count, 1) >= 1 && alltrue([
        for name in concat(rule.approvers, coalesce(rule.escalateTo, [])) :
        can(regex("^arn:aws[a-z-]*:(iam::[0-9]{12}:(root|(user|role)/.+)|sts::[0-9]{12}:assumed-role/.+/.+)$", name))
      ])
    ])
    error_message = "Each rule of approvals needs approvers: ARNs of IAM users, roles or single role sessions, and a count of at least 1."
  }

  validation {
    condition = alltrue([
      for rule in flatten(values(var.approvals)) :
      coalesce(rule.count, 1) <= length(distinct(concat(rule.approvers, coalesce(rule.escalateTo, [])))) ||
      anytrue([for name in concat(rule.approvers, coalesce(rule.escalateTo, [])) : can(regex(":role/", name))])
    ])
    error_message = "A rule of approvals wants more agreements than the people it names can give."
  }

  validation {
    condition = alltrue([
      for rule in flatten(values(var.approvals)) :
      coalesce(rule.deadlineSeconds, 86400) >= 1 && coalesce(rule.deadlineSeconds, 86400) <= 1209600
    ])
    error_message = "deadlineSeconds of approvals is between 1 second and 14 days."
  }

  validation {
    condition = alltrue([
      for rule in flatten(values(var.approvals)) :
      (rule.escalateAfterSeconds != null) == (length(coalesce(rule.escalateTo, [])) > 0) &&
      coalesce(rule.escalateAfterSeconds, 1) >= 1 && coalesce(rule.escalateAfterSeconds, 1) < coalesce(rule.deadlineSeconds, 86400)
    ])
    error_message = "A rule of approvals that names escalateTo needs escalateAfterSeconds, less than its deadlineSeconds (86400 where it has none), and the other way round."
  }
}
