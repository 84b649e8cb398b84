# The role as it would be made, against a provider that needs no cloud.
mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "222222222222" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
}

variables {
  deployment_account_id = "123456789012"
  external_id           = "an-id-of-this-account"
}

run "trust" {
  command = plan

  assert {
    condition = jsondecode(aws_iam_role.this.assume_role_policy).Statement == [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { AWS = "arn:aws:iam::123456789012:root" }
      Condition = {
        ArnEquals    = { "aws:PrincipalArn" = local.stage_roles }
        StringEquals = { "sts:ExternalId" = "an-id-of-this-account" }
      }
    }]
    error_message = "Only the deployment's stages may assume the role, and only with the external ID."
  }
  assert {
    condition     = contains(local.stage_roles, "arn:aws:iam::123456789012:role/landfall-validate-input")
    error_message = "A stage's role is named <prefix>-<function>."
  }
  assert {
    condition     = aws_iam_role.this.name == "landfall-target"
    error_message = "The role has another name than the documents use."
  }
}

run "permissions" {
  command = plan

  assert {
    condition = alltrue(flatten([
      for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : [
        for action in statement.Action : !strcontains(action, "*")
      ]
    ]))
    error_message = "An action with a wildcard grants what nobody asked for."
  }
  assert {
    condition = alltrue(flatten([
      for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : [
        for resource in statement.Resource :
        resource == "*" || can(regex("^arn:aws:[a-z0-9]+:\\*?:(222222222222|)?:", resource)) || startswith(resource, "arn:aws:kms:*:*:")
      ]
    ]))
    error_message = "A permission reaches beyond this account. Only keys may be another one's."
  }
  assert {
    condition = one([
      for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Resource
      if contains(statement.Action, "iam:SimulatePrincipalPolicy")
    ]) == ["arn:aws:iam::222222222222:role/landfall-target"]
    error_message = "The role may ask what it itself may do."
  }
  # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: 10,240 characters, white space not counted.
  assert {
    condition     = length(replace(aws_iam_role_policy.this.policy, "/\\s/", "")) <= 10240
    error_message = "The policy is longer than IAM takes within a role."
  }
}

run "another_deployment" {
  command = plan

  variables {
    deployment_name_prefix = "blue"
    role_name              = "blue-target"
  }

  assert {
    condition     = alltrue([for role in local.stage_roles : startswith(role, "arn:aws:iam::123456789012:role/blue-")])
    error_message = "Another deployment's functions have other roles."
  }
}

run "what_is_wrong_is_refused" {
  command = plan

  variables {
    deployment_account_id  = "1234"
    deployment_name_prefix = "Landfall_"
    external_id            = "two words"
    role_name              = "landfall/target"
  }

  expect_failures = [
    var.deployment_account_id, var.deployment_name_prefix, var.external_id, var.role_name,
  ]
}
