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
        can(regex("^(mgn|ec2|servicequotas|ssm):(Describe|Get|List)|^ssm:SendCommand$", action))
      ]
    ]))
    error_message = "Only calls that read, and commands to servers whose IDs are not known yet, may name every resource."
  }
  assert {
    condition = alltrue([
      for name, function in local.functions : alltrue([for key in function.access : contains(keys(local.statements), key)])
    ])
    error_message = "A function asks for a statement that does not exist."
  }
}

run "who_may" {
  command = plan

  assert {
    condition = {
      for action in [
        "mgn:StartTest", "mgn:StartCutover", "mgn:FinalizeCutover", "mgn:TerminateTargetInstances",
        "route53:ChangeResourceRecordSets", "states:SendTaskSuccess", "ssm:SendCommand",
      ] :
      action => join(" ", [
        for name, statements in local.function_statements : name
        if contains(flatten(statements[*].actions), action)
      ])
      } == {
      "mgn:StartTest"                    = "trigger-migration"
      "mgn:StartCutover"                 = "trigger-migration"
      "mgn:FinalizeCutover"              = "finalize-cutover"
      "mgn:TerminateTargetInstances"     = "rollback"
      "route53:ChangeResourceRecordSets" = "finalize-cutover rollback"
      "states:SendTaskSuccess"           = "trigger-migration watch-migrations"
      "ssm:SendCommand"                  = "prepare-source"
    }
    error_message = "A call that changes the world is allowed to another function than the one whose work it is."
  }
}

run "other_accounts_only_when_named" {
  command = plan

  assert {
    condition     = !contains(flatten([for statements in values(local.function_statements) : statements[*].actions]), "sts:AssumeRole")
    error_message = "Without target roles nobody assumes one."
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
