# The local stack. `landfall up` adds what depends on the machine: artifacts_dir, architecture, the simulator's URLs
# and a callback signing secret of its own.
environment        = "local"
local              = true
mgn_event_sources  = ["simulator.mgn"]
ssm_event_sources  = ["simulator.ssm"]
visibility_factor  = 1 # a crashed worker's message comes back in seconds rather than minutes
log_retention_days = 1

# Another account of the emulator; the end-to-end tests make the role there.
target_role_arns = ["arn:aws:iam::222222222222:role/landfall-target"]

# Empty at first: `aws ssm put-parameter --overwrite` begins a freeze.
freeze_calendar_parameter = "/landfall/freeze-calendar"
