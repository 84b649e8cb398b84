# The target account is the one whose credentials this is applied with. IAM has no Region: any one will do.
provider "aws" {
  default_tags {
    tags = merge({ Application = "landfall" }, var.tags)
  }
}
