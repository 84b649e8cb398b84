variable "deployment_account_id" {
  description = "Account that Landfall runs in, whose functions may assume the role."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.deployment_account_id))
    error_message = "deployment_account_id must be a 12-digit account ID."
  }
}

variable "deployment_name_prefix" {
  description = "name_prefix of that deployment: the functions' roles are named after it."
  type        = string
  default     = "landfall"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.deployment_name_prefix))
    error_message = "deployment_name_prefix must be the deployment's name_prefix: 3 to 32 lower-case letters, digits and hyphens."
  }
}

variable "external_id" {
  description = "What a request must name in account.externalId. Choose one per account that nobody can guess: whoever may submit requests and knows it may migrate into this account."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_+=,.@:/-]+$", var.external_id)) && length(var.external_id) >= 2 && length(var.external_id) <= 1224
    error_message = "external_id must be 2 to 1224 letters, digits and _+=,.@:/- (the AssumeRole API's own rule)."
  }
}

variable "role_name" {
  description = "Name of the role."
  type        = string
  default     = "landfall-target"

  validation {
    condition     = can(regex("^[A-Za-z0-9_+=,.@-]{1,64}$", var.role_name))
    error_message = "role_name must be 1 to 64 letters, digits and _+=,.@-."
  }
}

variable "tags" {
  description = "Further tags of the role."
  type        = map(string)
  default     = {}
}
