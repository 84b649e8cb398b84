# The endpoint is not here: the provider takes it from AWS_ENDPOINT_URL, so that the same code deploys to AWS
# and to the local stack. What is here is what an emulator cannot answer.
provider "aws" {
  region                      = var.region
  skip_credentials_validation = var.local
  skip_metadata_api_check     = var.local
  skip_region_validation      = var.local
  s3_use_path_style           = var.local

  default_tags {
    tags = local.tags
  }
}
