# The functions' environment: the keys that each function's configuration reads, no more and no fewer.
mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
}

variables {
  environment   = "dev"
  artifacts_dir = "tests/packages"
}

run "only_what_is_set" {
  command = plan

  assert {
    condition = {
      for name, environment in local.function_environment : name => join(" ", sort(setsubtract(keys(environment), [
        "LANDFALL_TABLE", "LANDFALL_BUS", "LANDFALL_LOG",
      ])))
      } == {
      ingress           = "LANDFALL_REQUEST_DLQ_URL"
      validate-input    = "LANDFALL_ROLE_ARN_PREFIX"
      prepare-source    = ""
      trigger-migration = "LANDFALL_LAUNCH_QUEUE_URL"
      watch-migrations  = ""
      approvals         = ""
      control           = ""
      verify-migration  = ""
      finalize-cutover  = ""
      callback          = "LANDFALL_CALLBACK_FAILED_QUEUE_URL LANDFALL_CALLBACK_SECRET_ARN"
      rollback          = ""
      notify            = "LANDFALL_NOTICE_HOSTS LANDFALL_NOTICE_SECRET_ARN LANDFALL_NOTICE_TOPIC_ARN"
    }
    error_message = "A variable that is not set must be absent, not empty."
  }
}

run "everything_set" {
  command = plan

  variables {
    callback_allow     = ["http://127.0.0.1:4570"]
    notice_allow       = ["http://127.0.0.1:4570"]
    source_api_allow   = ["http://127.0.0.1:4570", "https://azure.corp"]
    cmf_url            = "https://cmf.example.com"
    cmf_login_url      = "https://login.example.com"
    cmf_secret_id      = "MFServiceAccount-pool"
    cmf_required       = true
    cmdb_url           = "https://cmdb.example.com"
    cmdb_secret_id     = "corp/servicenow"
    agent_role_arn     = "arn:aws:iam::123456789012:role/agent"
    agent_proxy_url    = "https://10.0.0.1:8088/"
    agent_no_proxy     = ".corp"
    agent_mgn_endpoint = "vpce-1.mgn.us-east-1.vpce.amazonaws.com"
    agent_s3_endpoint  = "bucket.vpce-2.s3.us-east-1.vpce.amazonaws.com"
    approvals = {
      prod = [{ gate = "cutover", approvers = ["arn:aws:iam::123456789012:role/Managers"], count = 2 }]
    }
    freeze_calendar_parameter = "/landfall/freeze-calendar"
    extra_environment         = { AWS_ENDPOINT_URL_MGN = "http://127.0.0.1:4570" }

    decommission_instance_arns = ["arn:aws:ec2:eu-west-1:123456789012:instance/i-0123456789abcdef0"]
  }

  assert {
    condition = {
      for name, environment in local.function_environment : name => join(" ", sort(setsubtract(keys(environment), [
        "LANDFALL_TABLE", "LANDFALL_BUS", "LANDFALL_LOG", "AWS_ENDPOINT_URL_MGN",
      ])))
      } == {
      ingress = "LANDFALL_REQUEST_DLQ_URL"
      validate-input = join(" ", [
        "LANDFALL_APPROVALS", "LANDFALL_CALLBACK_ALLOW", "LANDFALL_CMF_LOGIN_URL", "LANDFALL_CMF_REQUIRED", "LANDFALL_CMF_SECRET_ID",
        "LANDFALL_CMF_URL", "LANDFALL_DECOMMISSION_INSTANCES", "LANDFALL_ROLE_ARN_PREFIX", "LANDFALL_SOURCE_API_ALLOW",
      ])
      prepare-source = join(" ", [
        "LANDFALL_AGENT_MGN_ENDPOINT", "LANDFALL_AGENT_NO_PROXY", "LANDFALL_AGENT_PROXY_URL", "LANDFALL_AGENT_ROLE_ARN",
        "LANDFALL_AGENT_S3_ENDPOINT", "LANDFALL_CMF_LOGIN_URL", "LANDFALL_CMF_REQUIRED", "LANDFALL_CMF_SECRET_ID",
        "LANDFALL_CMF_URL", "LANDFALL_SOURCE_API_ALLOW",
      ])
      trigger-migration = "LANDFALL_FREEZE_PARAMETER LANDFALL_LAUNCH_QUEUE_URL"
      watch-migrations  = "LANDFALL_APPROVALS LANDFALL_FREEZE_PARAMETER"
      approvals         = "LANDFALL_APPROVALS LANDFALL_FREEZE_PARAMETER"
      control           = "LANDFALL_APPROVALS LANDFALL_FREEZE_PARAMETER"
      verify-migration  = ""
      finalize-cutover = join(" ", [
        "LANDFALL_CMDB_SECRET_ID", "LANDFALL_CMDB_URL", "LANDFALL_CMF_LOGIN_URL", "LANDFALL_CMF_REQUIRED", "LANDFALL_CMF_SECRET_ID",
        "LANDFALL_CMF_URL", "LANDFALL_DECOMMISSION_INSTANCES", "LANDFALL_FREEZE_PARAMETER", "LANDFALL_SOURCE_API_ALLOW",
      ])
      callback = "LANDFALL_CALLBACK_ALLOW LANDFALL_CALLBACK_FAILED_QUEUE_URL LANDFALL_CALLBACK_SECRET_ARN"
      notify   = "LANDFALL_NOTICE_ALLOW LANDFALL_NOTICE_HOSTS LANDFALL_NOTICE_SECRET_ARN LANDFALL_NOTICE_TOPIC_ARN"
      rollback = join(" ", [
        "LANDFALL_CMDB_SECRET_ID", "LANDFALL_CMDB_URL", "LANDFALL_CMF_LOGIN_URL", "LANDFALL_CMF_REQUIRED", "LANDFALL_CMF_SECRET_ID",
        "LANDFALL_CMF_URL", "LANDFALL_SOURCE_API_ALLOW",
      ])
    }
    error_message = "A set variable reaches the functions that use it and no other."
  }
  assert {
    condition = jsondecode(local.function_environment["approvals"].LANDFALL_APPROVALS) == {
      prod = [{ gate = "cutover", approvers = ["arn:aws:iam::123456789012:role/Managers"], count = 2 }]
    }
    error_message = "What a rule does not say is left out: the functions refuse null."
  }
  assert {
    condition     = local.function_environment["prepare-source"].LANDFALL_SOURCE_API_ALLOW == "http://127.0.0.1:4570,https://azure.corp"
    error_message = "A list is separated by commas, as the functions read it."
  }
  assert {
    condition = alltrue([
      for name in keys(local.functions) :
      startswith("arn:aws:iam::123456789012:role/${output.function_names[name]}", local.function_environment["validate-input"].LANDFALL_ROLE_ARN_PREFIX)
    ])
    error_message = "A function's role has the function's Lambda name, which the prefix and the function's own name make up."
  }
  assert {
    condition     = local.function_environment["prepare-source"].LANDFALL_CMF_REQUIRED == "true"
    error_message = "A switch is true, or absent."
  }
  assert {
    condition     = alltrue([for environment in local.function_environment : environment["AWS_ENDPOINT_URL_MGN"] == "http://127.0.0.1:4570"])
    error_message = "extra_environment is for every function."
  }
}

run "approvals_that_nobody_can_give" {
  command = plan

  variables {
    approvals = {
      prod = [{ gate = "cutover", approvers = ["arn:aws:iam::123456789012:user/ann"], count = 2 }]
    }
  }

  expect_failures = [var.approvals]
}

run "others_who_would_be_asked_too_late" {
  command = plan

  variables {
    approvals = {
      prod = [{
        gate                 = "cutover", approvers = ["arn:aws:iam::123456789012:user/ann"], deadlineSeconds = 600,
        escalateAfterSeconds = 600, escalateTo = ["arn:aws:iam::123456789012:role/OnCall"]
      }]
    }
  }

  expect_failures = [var.approvals]
}

run "a_proxy_with_credentials" {
  command = plan

  variables {
    agent_proxy_url = "https://user:secret@10.0.0.1:8088/"
  }

  expect_failures = [var.agent_proxy_url]
}

run "cloud_migration_factory_without_its_address" {
  command = plan

  variables {
    cmf_secret_id = "MFServiceAccount-pool"
    cmf_required  = true
  }

  expect_failures = [var.cmf_secret_id, var.cmf_required]
}

run "the_secret_of_a_cmdb_without_its_address" {
  command = plan

  variables {
    cmdb_secret_id = "corp/servicenow"
  }

  expect_failures = [var.cmdb_secret_id]
}
