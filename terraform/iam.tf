# What a function may do, as data: each statement once, with the page that documents its actions.
# locals.tf says which function has which. Actions are always spelt out, and no more than the function's code calls;
# tests/permissions.tftest.hcl holds the exact set of each. A resource of "*" stands only where the service offers no
# resource-level permission, or where a condition leaves the call to an AWS service that acts for us.
locals {
  any_region_mgn = "arn:${local.partition}:mgn:*:${local.account}"
  any_region_ec2 = "arn:${local.partition}:ec2:*:${local.account}"
  any_region_ssm = "arn:${local.partition}:ssm:*"

  any_region_snapshot = "arn:${local.partition}:ec2:*::snapshot/*"
  hosted_zones        = length(var.hosted_zone_ids) == 0 ? ["*"] : var.hosted_zone_ids

  # Every function records its progress and says so on the bus.
  base_access = ["state", "publish"]

  statements = {
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html
    # TransactWriteItems has no action of its own; it needs those of its parts, which are all puts.
    state = {
      actions   = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"]
      resources = [local.table_arn, "${local.table_arn}/index/*"]
    }
    # Only waits, leases and claims are ever updated or deleted; a record is replaced, its history only added to.
    state-waits = {
      actions   = ["dynamodb:DeleteItem", "dynamodb:UpdateItem"]
      resources = [local.table_arn]
    }
    # The write that ends a migration gives back what it had for itself.
    state-claims = {
      actions   = ["dynamodb:DeleteItem"]
      resources = [local.table_arn]
    }
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoneventbridge.html
    publish = {
      actions   = ["events:PutEvents"]
      resources = [local.bus_arn]
    }

    # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
    consume-requests = {
      actions   = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]
      resources = ["${local.sqs_arn}:${var.name_prefix}-requests"]
    }
    reject-requests = {
      actions   = ["sqs:SendMessage"]
      resources = ["${local.sqs_arn}:${var.name_prefix}-requests-dlq"]
    }
    consume-launches = {
      actions   = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]
      resources = ["${local.sqs_arn}:${var.name_prefix}-launches"]
    }
    consume-waits = {
      actions   = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]
      resources = ["${local.sqs_arn}:${var.name_prefix}-waits"]
    }
    consume-notices = {
      actions   = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]
      resources = ["${local.sqs_arn}:${local.notices_name}"]
    }
    callback-failed = {
      actions   = ["sqs:SendMessage"]
      resources = ["${local.sqs_arn}:${var.name_prefix}-callbacks-failed"]
    }

    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsstepfunctions.html
    # MiniStack cannot tell a token's state machine.
    task-success = {
      actions   = ["states:SendTaskSuccess"]
      resources = var.local ? ["*"] : [local.workflow_arn]
    }
    task-heartbeat = {
      actions   = ["states:SendTaskHeartbeat"]
      resources = var.local ? ["*"] : [local.workflow_arn]
    }
    # How an execution ended whose task tokens are dead.
    executions-read = {
      actions   = ["states:DescribeExecution"]
      resources = ["${replace(local.workflow_arn, ":stateMachine:", ":execution:")}:*"]
    }
    task-failure = {
      actions   = ["states:SendTaskFailure"]
      resources = var.local ? ["*"] : [local.workflow_arn]
    }

    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsapplicationmigrationservice.html
    # The calls that list have no resource-level permissions.
    mgn-initialized = {
      actions   = ["mgn:DescribeReplicationConfigurationTemplates"]
      resources = ["*"]
    }
    mgn-servers = {
      actions   = ["mgn:DescribeSourceServers"]
      resources = ["*"]
    }
    mgn-jobs = {
      actions   = ["mgn:DescribeJobs"]
      resources = ["*"]
    }
    mgn-retry = {
      actions   = ["mgn:RetryDataReplication"]
      resources = ["${local.any_region_mgn}:source-server/*"]
    }
    mgn-job-log = {
      actions   = ["mgn:DescribeJobLogItems"]
      resources = ["${local.any_region_mgn}:job/*"]
    }
    mgn-launch-settings-read = {
      actions   = ["mgn:GetLaunchConfiguration"]
      resources = ["${local.any_region_mgn}:source-server/*"]
    }
    mgn-launch-settings = {
      actions   = ["mgn:UpdateLaunchConfiguration"]
      resources = ["${local.any_region_mgn}:source-server/*"]
    }
    mgn-replication-settings-read = {
      actions   = ["mgn:GetReplicationConfiguration"]
      resources = ["${local.any_region_mgn}:source-server/*"]
    }
    mgn-replication-settings = {
      actions   = ["mgn:UpdateReplicationConfiguration"]
      resources = ["${local.any_region_mgn}:source-server/*"]
    }
    mgn-launch = {
      actions   = ["mgn:StartCutover", "mgn:StartTest", "mgn:TagResource"]
      resources = ["${local.any_region_mgn}:source-server/*", "${local.any_region_mgn}:job/*"]
    }
    mgn-lifecycle = {
      actions   = ["mgn:ChangeServerLifeCycleState"]
      resources = ["${local.any_region_mgn}:source-server/*"]
    }
    mgn-finalize = {
      actions   = ["mgn:FinalizeCutover", "mgn:MarkAsArchived"]
      resources = ["${local.any_region_mgn}:source-server/*"]
    }
    # Where a request has a rollback end the replication.
    mgn-disconnect = {
      actions   = ["mgn:DisconnectFromService"]
      resources = ["${local.any_region_mgn}:source-server/*"]
    }
    # TagResource for the tags that the job is given.
    mgn-terminate = {
      actions   = ["mgn:TagResource", "mgn:TerminateTargetInstances"]
      resources = ["${local.any_region_mgn}:source-server/*", "${local.any_region_mgn}:job/*"]
    }
    # MGN launches and terminates with its caller's permissions, hence the condition: the function itself cannot use these.
    # https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSApplicationMigrationEC2Access.html
    mgn-launches-on-ec2 = {
      actions = [
        "ec2:AttachVolume", "ec2:AuthorizeSecurityGroupEgress", "ec2:AuthorizeSecurityGroupIngress",
        "ec2:CreateLaunchTemplate", "ec2:CreateLaunchTemplateVersion", "ec2:CreateSecurityGroup", "ec2:CreateSnapshot",
        "ec2:CreateTags", "ec2:CreateVolume", "ec2:DeleteLaunchTemplateVersions", "ec2:DeleteSnapshot",
        "ec2:DeleteVolume", "ec2:DescribeAccountAttributes", "ec2:DescribeAvailabilityZones", "ec2:DescribeImages",
        "ec2:DescribeInstanceAttribute", "ec2:DescribeInstanceStatus", "ec2:DescribeInstanceTypes",
        "ec2:DescribeInstances", "ec2:DescribeLaunchTemplateVersions", "ec2:DescribeLaunchTemplates",
        "ec2:DescribeSecurityGroups", "ec2:DescribeSnapshots", "ec2:DescribeSubnets", "ec2:DescribeVolumes",
        "ec2:DetachVolume", "ec2:GetEbsDefaultKmsKeyId", "ec2:GetEbsEncryptionByDefault",
        "ec2:ModifyInstanceAttribute", "ec2:ModifyLaunchTemplate", "ec2:ModifyVolume", "ec2:RevokeSecurityGroupEgress",
        "ec2:RunInstances", "ec2:StartInstances", "ec2:StopInstances", "ec2:TerminateInstances",
      ]
      resources = ["*"]
      condition = { Bool = { "aws:ViaAWSService" = "true" } }
    }
    mgn-passes-roles = {
      actions   = ["iam:PassRole"]
      resources = ["arn:${local.partition}:iam::${local.account}:role/*"]
      condition = { Bool = { "aws:ViaAWSService" = "true" } }
    }
    # EBS uses the caller's permissions on the key of what it launches from:
    # https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html
    mgn-encrypts-volumes = {
      actions = [
        "kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
      ]
      resources = var.volume_key_arns
      condition = { Bool = { "aws:ViaAWSService" = "true" } }
    }
    mgn-terminates-on-ec2 = {
      actions   = ["ec2:DeleteVolume", "ec2:DescribeInstances", "ec2:DescribeVolumes", "ec2:TerminateInstances"]
      resources = ["*"]
      condition = { Bool = { "aws:ViaAWSService" = "true" } }
    }

    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
    # No Describe* call has resource-level permissions.
    network-read = {
      actions = [
        "ec2:DescribeInstanceTypeOfferings", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
      ]
      resources = ["*"]
    }
    encryption-defaults = {
      actions   = ["ec2:GetEbsDefaultKmsKeyId", "ec2:GetEbsEncryptionByDefault"] # no resource-level permissions
      resources = ["*"]
    }
    instances-read = {
      actions   = ["ec2:DescribeInstances"]
      resources = ["*"]
    }
    instance-status = {
      actions   = ["ec2:DescribeInstanceStatus"]
      resources = ["*"]
    }
    launch-template-read = {
      actions   = ["ec2:DescribeLaunchTemplateVersions"]
      resources = ["*"]
    }
    launch-template-version = {
      actions   = ["ec2:CreateLaunchTemplateVersion"]
      resources = ["${local.any_region_ec2}:launch-template/*"]
    }
    launch-template-default = {
      actions   = ["ec2:ModifyLaunchTemplate"]
      resources = ["${local.any_region_ec2}:launch-template/*"]
    }
    instance-protection = {
      actions   = ["ec2:ModifyInstanceAttribute"]
      resources = ["${local.any_region_ec2}:instance/*"]
    }
    instance-tags = {
      actions   = ["ec2:CreateTags"]
      resources = ["${local.any_region_ec2}:instance/*"]
    }

    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awskeymanagementservice.html
    # Only what a key is; a key of another account lets whom its own policy names look. MiniStack asks for the alias
    # where AWS asks for its key.
    keys-read = {
      actions   = ["kms:DescribeKey"]
      resources = [for kind in var.local ? ["alias", "key"] : ["key"] : "arn:${local.partition}:kms:*:*:${kind}/*"]
    }

    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssystemsmanager.html
    source-nodes = {
      actions   = ["ssm:DescribeInstanceInformation", "ssm:ListCommandInvocations"] # no resource-level permissions
      resources = ["*"]
    }
    # A command needs the permission for its document and for its node. AWS's own documents have no account.
    source-commands = {
      actions = ["ssm:SendCommand"]
      resources = [
        "${local.any_region_ssm}::document/AWS-RunShellScript", "${local.any_region_ssm}::document/AWS-RunPowerShellScript",
        "${local.any_region_ssm}:${local.account}:managed-instance/*", "${local.any_region_ec2}:instance/*",
      ]
    }
    # The same, for an instance that was launched: no machine from elsewhere.
    target-commands = {
      actions = ["ssm:SendCommand"]
      resources = [
        "${local.any_region_ssm}::document/AWS-RunShellScript", "${local.any_region_ssm}::document/AWS-RunPowerShellScript",
        "${local.any_region_ec2}:instance/*",
      ]
    }
    source-command-results = {
      actions   = ["ssm:GetCommandInvocation"] # no resource-level permissions
      resources = ["*"]
    }

    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
    instance-profiles = {
      actions   = ["iam:GetInstanceProfile"]
      resources = ["arn:${local.partition}:iam::${local.account}:instance-profile/*"]
    }
    # What the stages may do is simulated for each stage's own role.
    own-permissions = {
      actions   = ["iam:SimulatePrincipalPolicy"]
      resources = ["${local.role_arn_prefix}*"]
    }
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_servicequotas.html
    quotas-read = {
      actions   = ["servicequotas:ListServiceQuotas"] # no resource-level permissions
      resources = ["*"]
    }

    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonroute53.html
    dns = {
      actions   = ["route53:ChangeResourceRecordSets", "route53:ListResourceRecordSets"]
      resources = [for zone in local.hosted_zones : "arn:${local.partition}:route53:::hostedzone/${zone}"]
    }
    # MiniStack asks for GetChange on everything.
    dns-changes = {
      actions   = ["route53:GetChange"]
      resources = var.local ? ["*"] : ["arn:${local.partition}:route53:::change/*"]
    }
    dns-answers = {
      actions   = ["route53:TestDNSAnswer"] # no resource-level permissions
      resources = ["*"]
    }

    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsns.html
    notice-topic = {
      actions   = ["sns:Publish"]
      resources = ["arn:${local.partition}:sns:${var.region}:${local.account}:${local.notices_name}"]
    }

    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecretsmanager.html
    callback-secret = {
      actions   = ["secretsmanager:GetSecretValue"]
      resources = ["${local.secrets_arn}/callback-signing-??????"] # Secrets Manager appends six characters
    }
    notice-secret = {
      actions   = ["secretsmanager:GetSecretValue"]
      resources = ["${local.secrets_arn}/notice-webhooks-??????"]
    }
    # Credentials of source hypervisors, filed by the operator under this prefix.
    source-secrets = {
      actions   = ["secretsmanager:GetSecretValue"]
      resources = ["${local.secrets_arn}/source/*"]
    }
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssystemsmanager.html
    freeze-calendar = {
      actions   = ["ssm:GetParameter"]
      resources = local.freeze_parameter_arns
    }
    # The service account of Cloud Migration Factory, where one is named.
    cmf-secret = {
      actions   = ["secretsmanager:GetSecretValue"]
      resources = local.cmf_secret_arns
    }
    # The account of the CMDB, where one is named.
    cmdb-secret = {
      actions   = ["secretsmanager:GetSecretValue"]
      resources = local.cmdb_secret_arns
    }

    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecuritytokenservice.html
    target-accounts = {
      actions   = ["sts:AssumeRole"]
      resources = var.target_role_arns
    }
    # Why AWS refused something, in words.
    explain-refusals = {
      actions   = ["sts:DecodeAuthorizationMessage"] # no resource-level permissions
      resources = ["*"]
    }
    source-accounts = {
      actions   = ["sts:AssumeRole"]
      resources = var.source_role_arns
    }

    # Sources on EC2 in this account. Which is for the operator to say: a message names any instance it likes.
    # CreateSnapshots needs the permission for the instance, its volumes and the snapshots, which belong to no account.
    source-snapshots = {
      actions = ["ec2:CreateSnapshots"]
      resources = length(var.source_instance_arns) == 0 ? [] : concat(
        var.source_instance_arns, ["${local.any_region_ec2}:volume/*", local.any_region_snapshot],
      )
    }
    source-snapshot-tags = {
      actions   = ["ec2:CreateTags"]
      resources = length(var.source_instance_arns) == 0 ? [] : [local.any_region_snapshot]
      condition = { StringEquals = { "ec2:CreateAction" = "CreateSnapshots" } }
    }
    source-snapshots-read = {
      actions   = ["ec2:DescribeSnapshots"]
      resources = length(var.source_instance_arns) == 0 ? [] : ["*"]
    }
    source-stop = {
      actions   = ["ec2:StopInstances"]
      resources = var.source_instance_arns
    }
    source-terminate = {
      actions   = ["ec2:TerminateInstances"]
      resources = var.decommission_instance_arns
    }
    source-start = {
      actions   = ["ec2:StartInstances"]
      resources = var.source_instance_arns
    }
    # EC2 opens encrypted volumes with its caller's permissions.
    # https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html
    source-keys = {
      actions   = ["kms:CreateGrant"]
      resources = length(var.source_instance_arns) == 0 ? [] : ["arn:${local.partition}:kms:*:${local.account}:key/*"]
      condition = { Bool = { "kms:GrantIsForAWSResource" = "true" } }
    }
  }

  # Statements without a resource (no other account, no secret, no key for volumes) fall away.
  function_statements = {
    for name, function in local.functions : name => [
      for key in concat(try(function.base_access, local.base_access), function.access) : {
        sid       = replace(title(replace(key, "-", " ")), " ", "")
        actions   = local.statements[key].actions
        resources = local.statements[key].resources
        condition = try(local.statements[key].condition, null)
      } if length(local.statements[key].resources) > 0
    ]
  }
}
