variable "name" {
  description = "Name of the Lambda function."
  type        = string
}

variable "description" {
  description = "What the function is for, as the console shows it."
  type        = string
}

variable "package" {
  description = "Path of the zip that holds the function's bootstrap."
  type        = string
}

variable "bucket" {
  description = "Bucket to which the package is uploaded."
  type        = string
}

variable "architecture" {
  description = "Instruction set of the bootstrap."
  type        = string
}

variable "timeout" {
  description = "Seconds until an invocation is cut off."
  type        = number
}

variable "memory" {
  description = "Memory in MB."
  type        = number
}

variable "reserved_concurrency" {
  description = "Concurrent executions set aside for, and at most used by, the function; -1 for none."
  type        = number
}

variable "environment" {
  description = "Environment variables."
  type        = map(string)
}

variable "statements" {
  description = "What the function may do beyond writing its logs and traces."
  type = list(object({
    sid       = string
    actions   = list(string)
    resources = list(string)
    condition = map(map(string))
  }))
}

variable "log_retention_days" {
  description = "Days that CloudWatch keeps the function's logs."
  type        = number
}
