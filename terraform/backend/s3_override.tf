# State for AWS deployments, which need Terraform 1.10 for its lock file. Copy it into the root module before
# `terraform init`; the local stack keeps its state in .landfall/ instead:
#   cp backend/s3_override.tf . && terraform init -backend-config=bucket=… -backend-config=key=landfall/prod.tfstate
terraform {
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}
