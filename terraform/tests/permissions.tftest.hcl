# Least privilege: actions spelt out, the calls that change the world only where they belong.
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

run "actions" {
  command = plan

  assert {
    condition = alltrue(flatten([
      for statements in local.function_statements : [
        for statement in statements : [for action in statement.actions : !strcontains(action, "*")]
      ]
    ]))
    error_message = "An action with a wildcard grants what nobody asked for."
  }
  assert {
    condition = alltrue(flatten([
      for name, statement in local.statements : [
        for action in statement.actions :
        !contains(statement.resources, "*") || try(statement.condition, null) != null ||
        can(regex("^ec2:Describe", action)) || contains([
          "ec2:GetEbsDefaultKmsKeyId", "ec2:GetEbsEncryptionByDefault",
          "mgn:DescribeJobs", "mgn:DescribeReplicationConfigurationTemplates", "mgn:DescribeSourceServers",
          "route53:TestDNSAnswer", "servicequotas:ListServiceQuotas", "ssm:DescribeInstanceInformation", "ssm:GetCommandInvocation",
          "ssm:ListCommandInvocations", "sts:DecodeAuthorizationMessage",
        ], action)
      ]
    ]))
    error_message = "Only calls that read and have no resource-level permissions may name every resource."
  }
  assert {
    condition = alltrue([
      for name, function in local.functions : alltrue([for key in function.access : contains(keys(local.statements), key)])
    ])
    error_message = "A function asks for a statement that does not exist."
  }
  assert {
    condition = toset(keys(local.statements)) == toset(concat(
      local.base_access, flatten([for function in values(local.functions) : function.access]),
    ))
    error_message = "A statement that no function asks for."
  }
}

run "who_may" {
  command = plan

  assert {
    condition = {
      for action in [
        "mgn:StartTest", "mgn:StartCutover", "mgn:FinalizeCutover", "mgn:MarkAsArchived", "mgn:TerminateTargetInstances",
        "mgn:UpdateReplicationConfiguration", "route53:ChangeResourceRecordSets", "states:SendTaskSuccess",
        "ssm:SendCommand",
      ] :
      action => join(" ", [
        for name, statements in local.function_statements : name
        if contains(flatten(statements[*].actions), action)
      ])
      } == {
      "mgn:StartTest"                      = "trigger-migration"
      "mgn:StartCutover"                   = "trigger-migration"
      "mgn:FinalizeCutover"                = "finalize-cutover"
      "mgn:MarkAsArchived"                 = "finalize-cutover"
      "mgn:TerminateTargetInstances"       = "rollback"
      "mgn:UpdateReplicationConfiguration" = "prepare-source"
      "route53:ChangeResourceRecordSets"   = "finalize-cutover rollback"
      "states:SendTaskSuccess"             = "approvals control trigger-migration watch-migrations"
      "ssm:SendCommand"                    = "prepare-source verify-migration"
    }
    error_message = "A call that changes the world is allowed to another function than the one whose work it is."
  }
}

# What each function's code calls, and no more: whoever adds a call to the code adds it here.
run "exactly" {
  command = plan

  assert {
    condition = {
      for name, statements in local.function_statements : name => join(" ", sort(flatten([
        for statement in statements : statement.actions if statement.condition == null
      ])))
      } == {
      for name, actions in {
        ingress = [
          "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "events:PutEvents", "sqs:ChangeMessageVisibility",
          "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:SendMessage",
        ]
        validate-input = [
          "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "ec2:DescribeInstanceTypeOfferings",
          "ec2:DescribeInstances", "ec2:DescribeLaunchTemplateVersions", "ec2:DescribeNetworkInterfaces",
          "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:GetEbsDefaultKmsKeyId",
          "ec2:GetEbsEncryptionByDefault", "events:PutEvents", "iam:GetInstanceProfile", "iam:SimulatePrincipalPolicy",
          "kms:DescribeKey", "mgn:DescribeJobs", "mgn:DescribeReplicationConfigurationTemplates",
          "mgn:DescribeSourceServers", "mgn:GetLaunchConfiguration", "mgn:GetReplicationConfiguration",
          "secretsmanager:GetSecretValue", "servicequotas:ListServiceQuotas",
        ]
        prepare-source = [
          "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "ec2:CreateLaunchTemplateVersion",
          "ec2:DescribeLaunchTemplateVersions", "ec2:ModifyLaunchTemplate", "events:PutEvents", "kms:DescribeKey",
          "mgn:DescribeSourceServers", "mgn:GetLaunchConfiguration", "mgn:GetReplicationConfiguration",
          "mgn:UpdateLaunchConfiguration", "mgn:UpdateReplicationConfiguration", "secretsmanager:GetSecretValue",
          "ssm:DescribeInstanceInformation", "ssm:ListCommandInvocations", "ssm:SendCommand",
          "sts:DecodeAuthorizationMessage",
        ]
        trigger-migration = [
          "dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem",
          "events:PutEvents", "mgn:ChangeServerLifeCycleState", "mgn:DescribeJobs", "mgn:DescribeSourceServers",
          "mgn:StartCutover", "mgn:StartTest", "mgn:TagResource", "servicequotas:ListServiceQuotas",
          "sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage",
          "states:DescribeExecution", "states:SendTaskFailure", "states:SendTaskHeartbeat", "states:SendTaskSuccess",
          "sts:DecodeAuthorizationMessage",
        ]
        approvals = [
          "dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem",
          "events:PutEvents", "states:DescribeExecution", "states:SendTaskFailure", "states:SendTaskSuccess",
        ]
        control = [
          "dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem",
          "events:PutEvents", "states:DescribeExecution", "states:SendTaskFailure", "states:SendTaskSuccess",
        ]
        watch-migrations = [
          "dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem",
          "events:PutEvents", "mgn:DescribeJobLogItems", "mgn:DescribeJobs", "mgn:DescribeSourceServers",
          "mgn:RetryDataReplication", "sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes",
          "sqs:ReceiveMessage", "ssm:GetCommandInvocation", "states:DescribeExecution", "states:SendTaskFailure",
          "states:SendTaskHeartbeat", "states:SendTaskSuccess", "sts:DecodeAuthorizationMessage",
        ]
        verify-migration = [
          "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "ec2:DescribeInstanceStatus", "ec2:DescribeInstances",
          "ec2:DescribeLaunchTemplateVersions", "events:PutEvents", "mgn:ChangeServerLifeCycleState",
          "mgn:DescribeSourceServers", "mgn:GetLaunchConfiguration", "mgn:GetReplicationConfiguration",
          "ssm:DescribeInstanceInformation", "ssm:GetCommandInvocation", "ssm:ListCommandInvocations", "ssm:SendCommand",
        ]
        finalize-cutover = [
          "dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "ec2:CreateTags",
          "ec2:DescribeInstances", "ec2:ModifyInstanceAttribute", "events:PutEvents", "mgn:DescribeSourceServers",
          "mgn:FinalizeCutover", "mgn:MarkAsArchived", "route53:ChangeResourceRecordSets", "route53:GetChange",
          "route53:ListResourceRecordSets", "secretsmanager:GetSecretValue", "sts:DecodeAuthorizationMessage",
        ]
        callback = [
          "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "events:PutEvents", "secretsmanager:GetSecretValue",
          "sqs:SendMessage",
        ]
        notify = [
          "secretsmanager:GetSecretValue", "sns:Publish", "sqs:ChangeMessageVisibility", "sqs:DeleteMessage",
          "sqs:GetQueueAttributes", "sqs:ReceiveMessage",
        ]
        rollback = [
          "dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem",
          "ec2:DescribeInstances", "ec2:ModifyInstanceAttribute", "ec2:ModifyLaunchTemplate", "events:PutEvents",
          "mgn:ChangeServerLifeCycleState", "mgn:DescribeJobLogItems", "mgn:DescribeJobs", "mgn:DescribeSourceServers",
          "mgn:DisconnectFromService", "mgn:GetLaunchConfiguration", "mgn:TagResource", "mgn:TerminateTargetInstances",
          "mgn:UpdateLaunchConfiguration", "route53:ChangeResourceRecordSets", "route53:GetChange",
          "route53:ListResourceRecordSets", "route53:TestDNSAnswer", "secretsmanager:GetSecretValue",
          "sts:DecodeAuthorizationMessage",
        ]
      } : name => join(" ", actions)
    }
    error_message = "A function may do something else than what its code calls."
  }
  assert {
    condition = {
      for name, statements in local.function_statements : name => join(" ", sort(distinct(flatten([
        for statement in statements : statement.actions if statement.condition != null
      ])))) if length([for statement in statements : 1 if statement.condition != null]) > 0
      } == {
      rollback = "ec2:DeleteVolume ec2:DescribeInstances ec2:DescribeVolumes ec2:TerminateInstances"
      trigger-migration = join(" ", sort(concat(
        local.statements["mgn-launches-on-ec2"].actions, local.statements["mgn-passes-roles"].actions,
      )))
    }
    error_message = "Only what launches and what terminates lends MGN its permissions on EC2."
  }
  assert {
    condition = alltrue(flatten([
      for statements in values(local.function_statements) : [
        for statement in statements : statement.condition == { Bool = { "aws:ViaAWSService" = "true" } } if statement.condition != null
      ]
    ]))
    error_message = "A permission that is MGN's to use must not be the function's own."
  }
  assert {
    condition = one([
      for statement in local.function_statements["prepare-source"] : statement.resources if contains(statement.actions, "ssm:SendCommand")
      ]) == [
      "arn:aws:ssm:*::document/AWS-RunShellScript", "arn:aws:ssm:*::document/AWS-RunPowerShellScript",
      "arn:aws:ssm:*:123456789012:managed-instance/*", "arn:aws:ec2:*:123456789012:instance/*",
    ]
    error_message = "Commands go to nodes of this account, as one of the two documents that run scripts."
  }
}

run "the_secret_of_cloud_migration_factory" {
  command = plan

  variables {
    cmf_url       = "https://cmf.example.com"
    cmf_secret_id = "MFServiceAccount-pool"
  }

  assert {
    condition = {
      for name, statements in local.function_statements : name => flatten([
        for statement in statements : statement.resources if statement.sid == "CmfSecret"
      ]) if contains(statements[*].sid, "CmfSecret")
      } == {
      for name in ["validate-input", "prepare-source", "finalize-cutover", "rollback"] :
      name => ["arn:aws:secretsmanager:us-east-1:123456789012:secret:MFServiceAccount-pool-??????"]
    }
    error_message = "The secret is for those who ask Cloud Migration Factory, and no other secret comes with it."
  }
}

run "the_secret_of_the_cmdb" {
  command = plan

  variables {
    cmdb_url       = "https://cmdb.example.com"
    cmdb_secret_id = "corp/servicenow"
  }

  assert {
    condition = {
      for name, statements in local.function_statements : name => flatten([
        for statement in statements : [statement.actions, statement.resources] if statement.sid == "CmdbSecret"
      ]) if contains(statements[*].sid, "CmdbSecret")
      } == {
      for name in ["finalize-cutover", "rollback"] :
      name => ["secretsmanager:GetSecretValue", "arn:aws:secretsmanager:us-east-1:123456789012:secret:corp/servicenow-??????"]
    }
    error_message = "The secret is for those who work with the configuration item, and no other secret comes with it."
  }
}

run "the_freeze_calendar" {
  command = plan

  variables {
    freeze_calendar_parameter = "/landfall/freeze-calendar"
  }

  assert {
    condition = {
      for name, statements in local.function_statements : name => flatten([
        for statement in statements : [statement.actions, statement.resources] if statement.sid == "FreezeCalendar"
      ]) if contains(statements[*].sid, "FreezeCalendar")
      } == {
      for name in ["trigger-migration", "watch-migrations", "finalize-cutover", "approvals", "control"] :
      name => ["ssm:GetParameter", "arn:aws:ssm:us-east-1:123456789012:parameter/landfall/freeze-calendar"]
    }
    error_message = "The freeze calendar is for those who take a step of the switch, and no other parameter comes with it."
  }
}

run "its_secret_by_arn" {
  command = plan

  variables {
    cmf_url       = "https://cmf.example.com"
    cmf_secret_id = "arn:aws:secretsmanager:us-east-1:123456789012:secret:factory-AbCdEf"
  }

  assert {
    condition     = one(local.cmf_secret_arns) == "arn:aws:secretsmanager:us-east-1:123456789012:secret:factory-AbCdEf"
    error_message = "An ARN is taken as it is."
  }
}

run "the_cmdb_s_secret_by_arn" {
  command = plan

  variables {
    cmdb_url       = "https://cmdb.example.com"
    cmdb_secret_id = "arn:aws:secretsmanager:us-east-1:123456789012:secret:servicenow-AbCdEf"
  }

  assert {
    condition     = one(local.cmdb_secret_arns) == "arn:aws:secretsmanager:us-east-1:123456789012:secret:servicenow-AbCdEf"
    error_message = "An ARN is taken as it is."
  }
}

run "other_accounts_only_when_named" {
  command = plan

  assert {
    condition     = !contains(flatten([for statements in values(local.function_statements) : statements[*].actions]), "sts:AssumeRole")
    error_message = "Without target and source roles nobody assumes one."
  }
}

# The same stages work in other accounts: what they may do there is what they may do here.
run "the_same_in_another_account" {
  command = plan

  variables {
    volume_key_arns = ["arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"]
  }

  assert {
    condition = {
      for conditional in [false, true] : tostring(conditional) => join(" ", sort(distinct(flatten([
        for name, function in local.functions : [
          for statement in local.function_statements[name] : [
            for action in statement.actions : action if contains(
              ["ec2", "iam", "kms", "mgn", "servicequotas", "ssm"], split(":", action)[0],
            ) || action == "sts:DecodeAuthorizationMessage"
          ] if(statement.condition != null) == conditional
        ] if contains(function.access, "target-accounts")
      ]))))
      } == {
      for conditional in [false, true] : tostring(conditional) => join(" ", sort(distinct(flatten([
        for statement in jsondecode(templatefile("target-account/permissions.json.tftpl", {
          partition = "aws", account = "222222222222", role = "landfall-target"
        })).Statement : statement.Action if can(statement.Condition) == conditional
      ]))))
    }
    error_message = "terraform/target-account/permissions.json.tftpl and iam.tf allow different actions."
  }
}

run "target_roles" {
  command = plan

  variables {
    target_role_arns = ["arn:aws:iam::210987654321:role/landfall-target"]
  }

  assert {
    condition = flatten([
      for statement in local.function_statements["trigger-migration"] : statement.resources
      if contains(statement.actions, "sts:AssumeRole")
    ]) == ["arn:aws:iam::210987654321:role/landfall-target"]
    error_message = "Only the named roles may be assumed."
  }
}

run "sources_only_when_named" {
  command = plan

  assert {
    condition = length(setintersection(
      flatten([
        for statements in values(local.function_statements) : [
          for statement in statements : statement.actions if try(statement.condition.Bool["aws:ViaAWSService"], null) == null
        ]
      ]),
      ["ec2:CreateSnapshots", "ec2:DescribeSnapshots", "ec2:StartInstances", "ec2:StopInstances", "kms:CreateGrant"],
    )) == 0
    error_message = "Without source instances nobody may stop one."
  }
}

# What the stages' code calls for a source on EC2, beside what they may do anyway.
run "sources_on_ec2" {
  command = plan

  variables {
    source_instance_arns = ["arn:aws:ec2:eu-west-1:123456789012:instance/*"]
    source_role_arns     = ["arn:aws:iam::210987654321:role/landfall-source"]

    decommission_instance_arns = ["arn:aws:ec2:eu-west-1:123456789012:instance/i-0123456789abcdef0"]
  }

  assert {
    condition = {
      for name, statements in local.function_statements : name => join(" ", sort([
        for statement in statements : "${join(" ", statement.actions)} ${join(" ", statement.resources)}"
        if startswith(statement.sid, "Source") && !contains(["SourceNodes", "SourceCommands", "SourceCommandResults", "SourceSecrets"], statement.sid)
      ])) if contains(["validate-input", "prepare-source", "finalize-cutover", "rollback"], name)
      } == {
      validate-input = "sts:AssumeRole arn:aws:iam::210987654321:role/landfall-source"
      prepare-source = join(" ", [
        "ec2:CreateSnapshots arn:aws:ec2:eu-west-1:123456789012:instance/* arn:aws:ec2:*:123456789012:volume/* arn:aws:ec2:*::snapshot/*",
        "ec2:CreateTags arn:aws:ec2:*::snapshot/*", "ec2:DescribeSnapshots *",
        "sts:AssumeRole arn:aws:iam::210987654321:role/landfall-source",
      ])
      finalize-cutover = join(" ", [
        "ec2:StopInstances arn:aws:ec2:eu-west-1:123456789012:instance/*",
        "ec2:TerminateInstances arn:aws:ec2:eu-west-1:123456789012:instance/i-0123456789abcdef0",
        "sts:AssumeRole arn:aws:iam::210987654321:role/landfall-source",
      ])
      rollback = join(" ", [
        "ec2:StartInstances arn:aws:ec2:eu-west-1:123456789012:instance/*", "kms:CreateGrant arn:aws:kms:*:123456789012:key/*",
        "sts:AssumeRole arn:aws:iam::210987654321:role/landfall-source",
      ])
    }
    error_message = "A stage may do something else with a source than what its code calls, or with another source."
  }
  assert {
    condition = alltrue([
      for name, statements in local.function_statements : alltrue([
        for statement in statements : !contains(statement.resources, "arn:aws:iam::210987654321:role/landfall-source")
      ]) if !contains(["validate-input", "prepare-source", "finalize-cutover", "rollback"], name)
    ])
    error_message = "A role of a source is for the stages that look at the source or touch it."
  }
  assert {
    condition = {
      for statement in flatten(values(local.function_statements)) : statement.sid => statement.condition
      if contains(["SourceSnapshotTags", "SourceKeys"], statement.sid)
      } == {
      SourceSnapshotTags = { StringEquals = { "ec2:CreateAction" = "CreateSnapshots" } }
      SourceKeys         = { Bool = { "kms:GrantIsForAWSResource" = "true" } }
    }
    error_message = "Only new snapshots are tagged, and only EC2 gets a grant."
  }
}

run "a_source_is_an_instance" {
  command = plan

  variables {
    source_instance_arns = ["*"]
  }

  expect_failures = [var.source_instance_arns]
}

run "a_source_is_terminated_by_its_whole_name" {
  command = plan

  variables {
    decommission_instance_arns = ["arn:aws:ec2:eu-west-1:123456789012:instance/*"]
  }

  expect_failures = [var.decommission_instance_arns]
}

run "keys_only_when_named" {
  command = plan

  assert {
    condition     = !contains(flatten([for statements in values(local.function_statements) : flatten(statements[*].actions)]), "kms:CreateGrant")
    error_message = "Without keys for volumes nobody uses one."
  }
}

run "volume_keys" {
  command = plan

  variables {
    volume_key_arns = ["arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"]
  }

  assert {
    condition = flatten([
      for name, statements in local.function_statements : [
        for statement in statements : concat([name], statement.resources, [jsonencode(statement.condition)])
        if contains(statement.actions, "kms:CreateGrant")
      ]
      ]) == [
      "trigger-migration", "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
      jsonencode({ Bool = { "aws:ViaAWSService" = "true" } }),
    ]
    error_message = "Only the named keys may be used, by MGN for a launch."
  }
}

run "an_alias_is_no_key" {
  command = plan

  variables {
    volume_key_arns = ["arn:aws:kms:eu-central-1:123456789012:alias/volumes"]
  }

  expect_failures = [var.volume_key_arns]
}
