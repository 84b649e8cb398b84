environment        = "dev"
log_level          = "landfall_common=debug,info"
log_retention_days = 14
