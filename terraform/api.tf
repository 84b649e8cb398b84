# --- The operators' API ------------------------------------------------------------------------------------

# Orders and answers of people. API Gateway verifies the caller's signature and permission and tells the function who it
# was: an approval counts by that, and by nothing that the caller says. Who may order and who may answer is told apart by
# the routes: grant execute-api:Invoke on <operator_api_arn>/$default/POST/orders, or …/POST/approvals.
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-access-control-iam.html
locals {
  operator_routes = {
    approvals = "POST /approvals"
    control   = "POST /orders"
  }
}

resource "aws_apigatewayv2_api" "operators" {
  name          = "${var.name_prefix}-operators"
  description   = "Orders of operators and answers of approvers"
  protocol_type = "HTTP"
}

resource "aws_apigatewayv2_stage" "operators" {
  api_id      = aws_apigatewayv2_api.operators.id
  name        = "$default"
  auto_deploy = true

  default_route_settings {
    throttling_burst_limit = 50
    throttling_rate_limit  = 20
  }
}

resource "aws_apigatewayv2_integration" "operators" {
  for_each = local.operator_routes

  api_id                 = aws_apigatewayv2_api.operators.id
  integration_type       = "AWS_PROXY"
  integration_uri        = module.function[each.key].alias_arn
  payload_format_version = "2.0"
}

resource "aws_apigatewayv2_route" "operators" {
  for_each = local.operator_routes

  api_id             = aws_apigatewayv2_api.operators.id
  route_key          = each.value
  authorization_type = "AWS_IAM"
  target             = "integrations/${aws_apigatewayv2_integration.operators[each.key].id}"
}

resource "aws_lambda_permission" "operators" {
  for_each = local.operator_routes

  statement_id  = "OperatorsApi"
  action        = "lambda:InvokeFunction"
  function_name = module.function[each.key].function_name
  qualifier     = "live"
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.operators.execution_arn}/*/${replace(each.value, " ", "")}"
}
