terraform {
  required_version = ">= 1.9"

  # The local stack's state; a deployment to AWS puts backend/s3_override.tf in its place.
  backend "local" {}

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7.0"
    }
  }
}
