output "role_arn" {
  description = "For target_role_arns of the deployment and account.roleArn of requests."
  value       = aws_iam_role.this.arn
}

output "account_id" {
  description = "For account.id of requests."
  value       = local.account
}
