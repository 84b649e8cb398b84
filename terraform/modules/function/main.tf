locals {
  # https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
  runtime_statements = [
    {
      Sid      = "Logs"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = ["${aws_cloudwatch_log_group.this.arn}:*"]
    },
    {
      Sid      = "Traces"
      Effect   = "Allow"
      Action   = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"]
      Resource = ["*"]
    },
  ]

  own_statements = [
    for statement in var.statements : merge(
      { Sid = statement.sid, Effect = "Allow", Action = statement.actions, Resource = statement.resources },
      statement.condition == null ? {} : { Condition = statement.condition },
    )
  ]
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
}

resource "aws_iam_role" "this" {
  name = var.name
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  name   = var.name
  role   = aws_iam_role.this.id
  policy = jsonencode({ Version = "2012-10-17", Statement = concat(local.runtime_statements, local.own_statements) })
}

# The key holds the content's hash, so new content is a new object.
resource "aws_s3_object" "package" {
  bucket = var.bucket
  key    = "${var.name}/${filesha256(var.package)}.zip"
  source = var.package
}

resource "aws_lambda_function" "this" {
  function_name                  = var.name
  description                    = var.description
  role                           = aws_iam_role.this.arn
  runtime                        = "provided.al2023"
  handler                        = "bootstrap"
  architectures                  = [var.architecture]
  s3_bucket                      = aws_s3_object.package.bucket
  s3_key                         = aws_s3_object.package.key
  source_code_hash               = filebase64sha256(var.package)
  timeout                        = var.timeout
  memory_size                    = var.memory
  reserved_concurrent_executions = var.reserved_concurrency
  publish                        = true

  environment {
    variables = var.environment
  }

  logging_config {
    log_format = "Text" # the functions write JSON lines of their own
    log_group  = aws_cloudwatch_log_group.this.name
  }

  tracing_config {
    mode = "Active"
  }

  # A first invocation before the policy stands would fail and be retried for nothing.
  depends_on = [aws_iam_role_policy.this]
}

# Every caller goes through the alias: a deployment is the alias moving to the new version, a way back is moving it again.
resource "aws_lambda_alias" "live" {
  name             = "live"
  description      = "The version that queues, rules and the workflow call"
  function_name    = aws_lambda_function.this.function_name
  function_version = aws_lambda_function.this.version
}
