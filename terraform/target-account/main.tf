# The role that Landfall assumes in an account it migrates into. To be applied once in each such account, whatever the
# number of Regions; its ARN goes into target_role_arns of the deployment and into account.roleArn of each request.
data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition

  # The functions that work in the target account; ingress and callback have nothing to do there.
  stages = [
    "finalize-cutover", "prepare-source", "rollback", "trigger-migration", "validate-input", "verify-migration",
    "watch-migrations",
  ]
  stage_roles = [
    for stage in local.stages :
    "arn:${local.partition}:iam::${var.deployment_account_id}:role/${var.deployment_name_prefix}-${stage}"
  ]

  # What all stages call there; each session is limited further to its own stage's actions. A test of shared/accounts
  # holds this file and those actions together.
  permissions = templatefile("${path.module}/permissions.json.tftpl", {
    partition = local.partition
    account   = local.account
    role      = var.role_name
  })
}

resource "aws_iam_role" "this" {
  name        = var.role_name
  description = "Landfall of account ${var.deployment_account_id} migrates servers into this account"

  # The account with a condition, not the roles: a role that is made anew, when the deployment is, stays trusted.
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { AWS = "arn:${local.partition}:iam::${var.deployment_account_id}:root" }
      Condition = {
        ArnEquals    = { "aws:PrincipalArn" = local.stage_roles }
        StringEquals = { "sts:ExternalId" = var.external_id }
      }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  name   = var.role_name
  role   = aws_iam_role.this.id
  policy = local.permissions
}
