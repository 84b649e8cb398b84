"""The reference's list of commands (section 8.1), each through the AWS CLI, in its order."""

from conftest import eventually, machine

TEMPLATE = """--associate-default-security-group --bandwidth-throttling 0 --no-create-public-ip
 --data-plane-routing PRIVATE_IP --default-large-staging-disk-type GP3 --ebs-encryption DEFAULT
 --replication-server-instance-type m5.large --replication-servers-security-groups-ids []
 --staging-area-subnet-id subnet-0123456789abcdef0 --staging-area-tags Name=mgn
 --no-use-dedicated-replication-server""".split()


def finished(aws, job):
    """The job once it has been completed."""
    assert job["status"] == "PENDING"
    assert {s["launchStatus"] for s in job["participatingServers"]} == {"PENDING"}
    assert "endDateTime" not in job

    def look():
        seen = aws("describe-jobs", "--filters", f"jobIDs={job['jobID']}")["items"][0]
        return seen if seen["status"] == "COMPLETED" else None

    return eventually(look)


def events(aws, job):
    return [item["event"] for item in aws("describe-job-log-items", "--job-id", job["jobID"])["items"]]


def test_one_server_from_the_first_command_to_the_archive(simulator, aws):
    aws("describe-source-servers", refused="UninitializedAccountException")
    aws("initialize-service")
    aws("describe-source-servers", refused="UninitializedAccountException")
    assert aws("create-replication-configuration-template", *TEMPLATE)["bandwidthThrottling"] == 0
    servers = [machine(f"vm-{i}") for i in range(7)]
    server = simulator.sim("POST", "seed", {"servers": servers})["servers"]["vm-0"]
    one = ("--source-server-id", server)
    many = ("--source-server-ids", server)

    filters = f"sourceServerIDs={server},isArchived=false,lifeCycleStates=READY_FOR_TEST"
    found = aws("describe-source-servers", "--filters", filters, "--page-size", "2", "--max-items", "5")
    assert [s["sourceServerID"] for s in found["items"]] == [server]
    assert len(aws("describe-source-servers", "--page-size", "2", "--max-items", "5")["items"]) == 5

    assert aws("get-launch-configuration", *one)["ec2LaunchTemplateID"].startswith("lt-")
    changes = ("--target-instance-type-right-sizing-method", "NONE", "--no-copy-private-ip", "--licensing", "osByol=true")
    assert aws("update-launch-configuration", *one, *changes)["targetInstanceTypeRightSizingMethod"] == "NONE"
    assert aws("get-replication-configuration", *one)["replicationServerInstanceType"] == "m5.large"

    simulator.slow()
    test = aws("start-test", *many, "--tags", "wave=1")["job"]
    assert (test["initiatedBy"], test["tags"]) == ("START_TEST", {"wave": "1"})
    aws("start-test", *many, refused="ConflictException")
    simulator.fast()
    launched = finished(aws, test)["participatingServers"][0]
    assert launched["launchStatus"] == "LAUNCHED"
    log = events(aws, test)
    assert (log[0], log[-1]) == ("JOB_START", "JOB_END")
    assert "CLEANUP_START" not in log

    aws("terminate-target-instances", *many, refused="ConflictException")
    aws("mark-as-archived", *one, refused="ConflictException")
    aws("change-server-life-cycle-state", *one, "--life-cycle", "state=READY_FOR_CUTOVER")
    terminated = finished(aws, aws("terminate-target-instances", *many)["job"])
    assert (terminated["type"], terminated["participatingServers"][0]["launchStatus"]) == ("TERMINATE", "TERMINATED")

    cutover = finished(aws, aws("start-cutover", *many)["job"])
    assert cutover["initiatedBy"] == "START_CUTOVER"
    final = aws("finalize-cutover", *one)
    assert final["lifeCycle"]["state"] == "CUTOVER"
    assert final["dataReplicationInfo"]["dataReplicationState"] == "DISCONNECTED"
    assert "lagDuration" not in final["dataReplicationInfo"]
    aws("finalize-cutover", *one, refused="ConflictException")
    assert aws("mark-as-archived", *one)["isArchived"] is True


def test_replication_can_be_stopped_started_paused_and_ended(simulator, aws):
    server = simulator.seed("vm-r")["vm-r"]
    one = ("--source-server-id", server)

    def state(operation):
        return aws(operation, *one)["dataReplicationInfo"]["dataReplicationState"]

    assert state("pause-replication") == "PAUSED"
    aws("pause-replication", *one, refused="ConflictException")
    assert state("resume-replication") == "CONTINUOUS"
    aws("retry-data-replication", *one, refused="ValidationException")
    assert state("stop-replication") == "STOPPED"
    assert state("start-replication") == "INITIATING"
    aws("delete-source-server", *one, refused="ConflictException")
    assert state("disconnect-from-service") == "DISCONNECTED"
    assert aws("delete-source-server", *one) is None
    assert aws("describe-source-servers", "--filters", f"sourceServerIDs={server}")["items"] == []


def test_the_rest_of_the_list(simulator, aws):
    server = simulator.seed("vm-w")["vm-w"]
    wave = aws("create-wave", "--name", "w1")["waveID"]
    application = aws("create-application", "--name", "a1")["applicationID"]
    assert aws("list-waves", "--filters", "isArchived=false")["items"][0]["waveID"] == wave
    aws("associate-source-servers", "--application-id", application, "--source-server-ids", server)
    aws("associate-applications", "--wave-id", wave, "--application-ids", application)
    listed = aws("list-applications", "--filters", f"waveIDs={wave}")["items"][0]
    assert listed["applicationAggregatedStatus"]["totalSourceServers"] == 1

    action = ("--action-id", "a1", "--action-name", "n", "--document-identifier", "AWS-RunShellScript", "--order", "1001", "--active")
    aws("put-source-server-action", "--source-server-id", server, *action)
    imported = aws("start-import", "--s3-bucket-source", "s3Bucket=b,s3Key=k.csv")["importTask"]
    assert imported["status"] == "SUCCEEDED"
    assert aws("list-managed-accounts")["items"] == [{"accountId": "000000000000"}]

    arn = aws("describe-source-servers")["items"][0]["arn"]
    aws("tag-resource", "--resource-arn", arn, "--tags", "a=b")
    assert aws("list-tags-for-resource", "--resource-arn", arn)["tags"]["a"] == "b"
    aws("untag-resource", "--resource-arn", arn, "--tag-keys", "a")
    assert "a" not in aws("list-tags-for-resource", "--resource-arn", arn)["tags"]
