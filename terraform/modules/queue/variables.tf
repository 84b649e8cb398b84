variable "name" {
  description = "Name of the queue; its dead-letter queue, if any, adds -dlq."
  type        = string
}

variable "visibility_timeout" {
  description = "Seconds for which a received message is hidden from other consumers."
  type        = number
  default     = 30
}

variable "retention_days" {
  description = "Days that the queue keeps a message; the dead-letter queue always keeps it for 14."
  type        = number
  default     = 14
}

variable "max_receives" {
  description = "Receives after which a message moves to the dead-letter queue; null for a queue without one."
  type        = number
  default     = null
}

variable "policy" {
  description = "Resource policy as JSON; null for none."
  type        = string
  default     = null
}
