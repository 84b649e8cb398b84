variable "name" {
  description = "Name of the state machine."
  type        = string
}

variable "definition" {
  description = "The state machine in Amazon States Language, tokens filled in."
  type        = string
}

variable "function_arns" {
  description = "Lambda alias ARNs that the workflow may invoke."
  type        = list(string)
}

variable "queue_arns" {
  description = "Queues to which the workflow may send task tokens."
  type        = list(string)
}

variable "table_arn" {
  description = "Table in which the workflow claims its migration."
  type        = string
}

variable "log_retention_days" {
  description = "Days that CloudWatch keeps the workflow's logs."
  type        = number
}
