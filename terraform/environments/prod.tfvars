environment         = "prod"
reserve_concurrency = true
log_retention_days  = 365
