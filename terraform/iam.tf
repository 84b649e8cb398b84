# What a function may do, as data: each statement once, with the page that documents its actions.
# locals.tf says which function has which. Actions are always spelt out; a resource of "*" stands only where
# the service offers no resource-level permission (the Describe* calls) or the ID does not exist yet.
locals {
  any_region_mgn = "arn:${local.partition}:mgn:*:${local.account}"
  any_region_ec2 = "arn:${local.partition}:ec2:*:${local.account}"
  hosted_zones   = length(var.hosted_zone_ids) == 0 ? ["*"] : var.hosted_zone_ids

  # Every function records its progress and says so on the bus.
  base_access = ["state", "publish"]

  statements = {
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html
    # TransactWriteItems has no action of its own; it needs those of its parts.
    state = {
      actions = [
        "dynamodb:ConditionCheckItem", "dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem",
        "dynamodb:Query", "dynamodb:UpdateItem",
      ]
      resources = [local.table_arn, "${local.table_arn}/index/*"]
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
    callback-failed = {
      actions   = ["sqs:SendMessage"]
      resources = ["${local.sqs_arn}:${var.name_prefix}-callbacks-failed"]
    }

    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsstepfunctions.html
    task-tokens = {
      actions   = ["states:SendTaskFailure", "states:SendTaskHeartbeat", "states:SendTaskSuccess"]
      resources = var.local ? ["*"] : [local.workflow_arn] # MiniStack cannot tell a token's state machine
    }

    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsapplicationmigrationservice.html
    mgn-read = {
      actions = [
        "mgn:DescribeJobLogItems", "mgn:DescribeJobs", "mgn:DescribeLaunchConfigurationTemplates",
        "mgn:DescribeReplicationConfigurationTemplates", "mgn:DescribeSourceServers", "mgn:GetLaunchConfiguration",
        "mgn:GetReplicationConfiguration", "mgn:ListTagsForResource",
      ]
      resources = ["*"]
    }
    mgn-configure = {
      actions = [
        "mgn:RetryDataReplication", "mgn:StartReplication", "mgn:TagResource", "mgn:UpdateLaunchConfiguration",
        "mgn:UpdateReplicationConfiguration", "mgn:UpdateSourceServer",
      ]
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
    mgn-reverse = {
      actions   = ["mgn:DisconnectFromService", "mgn:TagResource", "mgn:TerminateTargetInstances", "mgn:UpdateLaunchConfiguration"]
      resources = ["${local.any_region_mgn}:source-server/*", "${local.any_region_mgn}:job/*"]
    }
    # MGN launches and terminates with its caller's permissions, hence the condition: the function itself cannot use these.
    # https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSApplicationMigrationEC2Access.html
    mgn-acts-on-ec2 = {
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
        "ec2:RunInstances", "ec2:StartInstances", "ec2:StopInstances", "ec2:TerminateInstances", "iam:PassRole",
      ]
      resources = ["*"]
      condition = { Bool = { "aws:ViaAWSService" = "true" } }
    }

    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
    ec2-read = {
      actions = [
        "ec2:DescribeAvailabilityZones", "ec2:DescribeInstanceTypeOfferings", "ec2:DescribeInstanceTypes",
        "ec2:DescribeInstances", "ec2:DescribeLaunchTemplateVersions", "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets",
      ]
      resources = ["*"]
    }
    instance-health = {
      actions   = ["ec2:DescribeInstanceStatus", "ec2:DescribeInstances", "ec2:DescribeVolumes"]
      resources = ["*"]
    }
    launch-template = {
      actions   = ["ec2:CreateLaunchTemplateVersion", "ec2:ModifyLaunchTemplate"]
      resources = ["${local.any_region_ec2}:launch-template/*"]
    }
    instance-seal = {
      actions   = ["ec2:CreateTags", "ec2:ModifyInstanceAttribute"]
      resources = ["${local.any_region_ec2}:instance/*", "${local.any_region_ec2}:volume/*"]
    }

    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_servicequotas.html
    quotas-read = {
      actions   = ["servicequotas:GetServiceQuota", "servicequotas:ListServiceQuotas"]
      resources = ["*"]
    }
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssystemsmanager.html
    source-commands = {
      actions   = ["ssm:DescribeInstanceInformation", "ssm:GetCommandInvocation", "ssm:ListCommandInvocations", "ssm:SendCommand"]
      resources = ["*"]
    }
    source-command-results = {
      actions   = ["ssm:GetCommandInvocation"]
      resources = ["*"]
    }
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonroute53.html
    dns = {
      actions = ["route53:ChangeResourceRecordSets", "route53:GetChange", "route53:ListResourceRecordSets"]
      resources = concat(
        [for zone in local.hosted_zones : "arn:${local.partition}:route53:::hostedzone/${zone}"],
        ["arn:${local.partition}:route53:::change/*"],
      )
    }

    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecretsmanager.html
    callback-secret = {
      actions   = ["secretsmanager:GetSecretValue"]
      resources = ["${local.secrets_arn}/callback-signing-??????"] # Secrets Manager appends six characters
    }
    # Credentials of source hypervisors and CMDBs, filed by the operator under this prefix.
    source-secrets = {
      actions   = ["secretsmanager:GetSecretValue"]
      resources = ["${local.secrets_arn}/source/*"]
    }

    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecuritytokenservice.html
    agent-role = {
      actions   = ["sts:AssumeRole"]
      resources = compact([var.agent_role_arn])
    }
    target-accounts = {
      actions   = ["sts:AssumeRole"]
      resources = var.target_role_arns
    }
  }

  # Statements without a resource (an unset role, no other account) fall away.
  function_statements = {
    for name, function in local.functions : name => [
      for key in concat(local.base_access, function.access) : {
        sid       = replace(title(replace(key, "-", " ")), " ", "")
        actions   = local.statements[key].actions
        resources = local.statements[key].resources
        condition = try(local.statements[key].condition, null)
      } if length(local.statements[key].resources) > 0
    ]
  }
}
