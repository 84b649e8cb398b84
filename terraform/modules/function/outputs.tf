output "function_name" {
  description = "Name of the function."
  value       = aws_lambda_function.this.function_name
}

output "alias_arn" {
  description = "ARN of the alias that callers use."
  value       = aws_lambda_alias.live.arn
}

output "alias_name" {
  description = "Name of the alias, as the qualifier of permissions."
  value       = aws_lambda_alias.live.name
}

output "policy" {
  description = "The function's permissions as JSON."
  value       = aws_iam_role_policy.this.policy
}
