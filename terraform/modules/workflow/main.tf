resource "aws_cloudwatch_log_group" "this" {
  # This prefix keeps the log delivery's resource policy below its size limit:
  # https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
  name              = "/aws/vendedlogs/states/${var.name}"
  retention_in_days = var.log_retention_days
}

resource "aws_iam_role" "this" {
  name = var.name
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "states.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  name = var.name
  role = aws_iam_role.this.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      # https://docs.aws.amazon.com/step-functions/latest/dg/connect-lambda.html
      { Sid = "Stages", Effect = "Allow", Action = ["lambda:InvokeFunction"], Resource = var.function_arns },
      # https://docs.aws.amazon.com/step-functions/latest/dg/connect-sqs.html
      { Sid = "Launches", Effect = "Allow", Action = ["sqs:SendMessage"], Resource = var.queue_arns },
      # https://docs.aws.amazon.com/step-functions/latest/dg/connect-ddb.html
      { Sid = "Claim", Effect = "Allow", Action = ["dynamodb:UpdateItem"], Resource = [var.table_arn] },
      # https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html (no resource-level permissions)
      {
        Sid    = "LogDelivery"
        Effect = "Allow"
        Action = [
          "logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeLogGroups", "logs:DescribeResourcePolicies",
          "logs:GetLogDelivery", "logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:UpdateLogDelivery",
        ]
        Resource = ["*"]
      },
      # https://docs.aws.amazon.com/step-functions/latest/dg/concepts-xray-tracing.html (no resource-level permissions)
      {
        Sid      = "Traces"
        Effect   = "Allow"
        Action   = ["xray:GetSamplingRules", "xray:GetSamplingTargets", "xray:PutTelemetryRecords", "xray:PutTraceSegments"]
        Resource = ["*"]
      },
    ]
  })
}

resource "aws_sfn_state_machine" "this" {
  name       = var.name
  type       = "STANDARD"
  role_arn   = aws_iam_role.this.arn
  definition = var.definition

  # Failures only, and without the data: an execution's input and output may name servers and their owners.
  logging_configuration {
    level                  = "ERROR"
    include_execution_data = false
    log_destination        = "${aws_cloudwatch_log_group.this.arn}:*"
  }

  tracing_configuration {
    enabled = true
  }

  depends_on = [aws_iam_role_policy.this]
}
