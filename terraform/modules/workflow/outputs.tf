output "arn" {
  description = "ARN of the state machine."
  value       = aws_sfn_state_machine.this.arn
}

output "policy" {
  description = "The workflow's permissions as JSON."
  value       = aws_iam_role_policy.this.policy
}
