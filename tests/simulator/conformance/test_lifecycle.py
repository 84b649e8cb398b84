"""boto3's view of the state machines: replication, launches, waves, tags, pages."""

import re

import pytest
from conftest import eventually, machine


def only(mgn, server):
    return mgn.describe_source_servers(filters={"sourceServerIDs": [server]})["items"][0]


def completed(mgn, job):
    def look():
        seen = mgn.describe_jobs(filters={"jobIDs": [job["jobID"]]})["items"][0]
        return seen if seen["status"] == "COMPLETED" else None

    return eventually(look)


def log(mgn, job):
    return mgn.describe_job_log_items(jobID=job["jobID"])["items"]


@pytest.mark.parametrize("flags", [(), ("--switch", "timestampFormat=z")])
def test_replication_from_the_first_step_to_ready(start, flags):
    simulator = start("--scale", "0.001", *flags)
    mgn = simulator.client("mgn")
    server = simulator.seed("vm-1", replicated=False, agentInstalled=True)["vm-1"]

    first = only(mgn, server)
    info = first["dataReplicationInfo"]
    assert (first["lifeCycle"]["state"], info["dataReplicationState"]) == ("NOT_READY", "INITIATING")
    assert first["lifeCycle"]["lastTest"] == {"initiated": {}, "reverted": {}, "finalized": {}}
    steps = info["dataReplicationInitiation"]["steps"]
    assert (len(steps), steps[0]["name"], steps[-1]["name"]) == (11, "WAIT", "START_DATA_TRANSFER")
    assert "lagDuration" not in info
    ending = "Z" if flags else r"\+00:00"
    assert re.search(ending + "$", first["lifeCycle"]["addedToServiceDateTime"])

    # Each stretch of time ends in the middle of a state.
    for seconds, state, percent in [(525, "INITIAL_SYNC", 50), (420, "BACKLOG", 100), (45, "CREATING_SNAPSHOT", 100)]:
        simulator.sim("POST", "clock", {"skipSeconds": seconds})
        info = only(mgn, server)["dataReplicationInfo"]
        disk = info["replicatedDisks"][0]
        copied = 100 * disk["replicatedStorageBytes"] / disk["totalStorageBytes"]
        assert (info["dataReplicationState"], round(copied)) == (state, pytest.approx(percent, abs=2))
        assert info["etaDateTime"]
        assert (disk["backloggedStorageBytes"] > 0) == (state == "BACKLOG")

    simulator.sim("POST", "clock", {"skipSeconds": 60})
    ready = only(mgn, server)
    assert ready["lifeCycle"]["state"] == "READY_FOR_TEST"
    assert ready["dataReplicationInfo"]["dataReplicationState"] == "CONTINUOUS"
    assert ready["dataReplicationInfo"]["lagDuration"] == "P0D"
    announced = eventually(lambda: simulator.sim("GET", "events"))
    assert [e["detail"] for e in announced] == [{"state": "READY_FOR_TEST"}]


def test_another_key_copies_everything_again(start):
    simulator = start("--scale", "1")
    mgn = simulator.client("mgn")
    server = simulator.seed("vm-1")["vm-1"]
    key = {"ebsEncryption": "CUSTOM", "ebsEncryptionKeyArn": "arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab"}

    def state():
        return only(mgn, server)["dataReplicationInfo"]["dataReplicationState"]

    first = mgn.get_replication_configuration(sourceServerID=server)
    assert (first["ebsEncryption"], "ebsEncryptionKeyArn" in first, state()) == ("DEFAULT", False, "CONTINUOUS")
    changed = mgn.update_replication_configuration(sourceServerID=server, **key)
    assert {member: changed[member] for member in key} == key
    shown = only(mgn, server)
    info = shown["dataReplicationInfo"]
    assert (info["dataReplicationState"], shown["lifeCycle"]["state"]) == ("INITIATING", "READY_FOR_TEST")
    assert "lagDuration" not in info and "lastSnapshotDateTime" not in info
    assert info["replicatedDisks"][0]["replicatedStorageBytes"] == 0

    simulator.sim("POST", "clock", {"skipSeconds": 120 + 900})
    assert state() == "CONTINUOUS"
    # The same key, an ARN that is not in use, and any other member leave it alone.
    mgn.update_replication_configuration(sourceServerID=server, **key)
    mgn.update_replication_configuration(sourceServerID=server, bandwidthThrottling=10)
    assert state() == "CONTINUOUS"
    mgn.update_replication_configuration(sourceServerID=server, ebsEncryption="DEFAULT")
    assert state() == "INITIATING"
    simulator.sim("POST", "clock", {"skipSeconds": 120 + 900})
    mgn.update_replication_configuration(sourceServerID=server, ebsEncryptionKeyArn=key["ebsEncryptionKeyArn"] + "0")
    assert state() == "CONTINUOUS"


def test_a_stall_is_shown_announced_and_cured(start):
    simulator = start("--scale", "1")
    mgn = simulator.client("mgn")
    server = simulator.seed("vm-1")["vm-1"]
    stall = {"error": "NOT_CONVERGING", "rawError": "too many writes"}
    simulator.sim("POST", "servers/vm-1", {"replication": {"stall": stall}})
    info = only(mgn, server)["dataReplicationInfo"]
    assert info["dataReplicationState"] == "STALLED"
    assert info["dataReplicationError"] == {"error": "NOT_CONVERGING", "rawError": "too many writes"}
    mgn.retry_data_replication(sourceServerID=server)
    info = only(mgn, server)["dataReplicationInfo"]
    assert info["dataReplicationState"] == "CONTINUOUS"
    assert "dataReplicationError" not in info
    states = eventually(lambda: (lambda e: e if len(e) == 2 else None)(simulator.sim("GET", "events")))
    assert [e["detail"]["state"] for e in states] == ["STALLED", "NOT_STALLED"]


def test_lag_and_backlog_can_be_held(simulator, mgn):
    server = simulator.seed("vm-1")["vm-1"]
    simulator.sim("POST", "servers/vm-1", {"replication": {"lagSeconds": 93600, "backlogBytes": 4096}})
    info = only(mgn, server)["dataReplicationInfo"]
    assert info["lagDuration"] == "P1DT2H"
    assert info["replicatedDisks"][0]["backloggedStorageBytes"] == 4096


def test_a_cutover_replaces_the_test_instance(simulator, mgn):
    server = simulator.seed("vm-1")["vm-1"]
    test = completed(mgn, mgn.start_test(sourceServerIDs=[server])["job"])
    first = test["participatingServers"][0]["launchedEc2InstanceID"]
    assert only(mgn, server)["lifeCycle"]["state"] == "TESTING"
    eventually(lambda: simulator.call("GET", f"/targets/{first}/health")[0] == 200)
    shown = eventually(lambda: only(mgn, server).get("launchedInstance"))
    assert (shown["ec2InstanceID"], shown["jobID"]) == (first, test["jobID"])

    mgn.change_server_life_cycle_state(sourceServerID=server, lifeCycle={"state": "READY_FOR_CUTOVER"})
    cutover = completed(mgn, mgn.start_cutover(sourceServerIDs=[server])["job"])
    second = cutover["participatingServers"][0]["launchedEc2InstanceID"]
    assert second != first
    assert [i["event"] for i in log(mgn, cutover)] == [
        "JOB_START", "CLEANUP_START", "CLEANUP_END", "SNAPSHOT_START", "SNAPSHOT_END",
        "CONVERSION_START", "CONVERSION_END", "LAUNCH_START", "JOB_END",
    ]  # fmt: skip
    assert simulator.call("GET", f"/targets/{first}/health")[0] == 404
    eventually(lambda: only(mgn, server)["launchedInstance"]["jobID"] == cutover["jobID"])

    # An event comes a moment after the job's end.
    def results():
        told = [e["detail"]["state"] for e in simulator.sim("GET", "events") if "job-id" in e["detail"]]
        return told if len(told) > 1 else None

    assert eventually(results) == ["TEST_LAUNCH_SUCCEEDED", "CUTOVER_LAUNCH_SUCCEEDED"]


def test_a_partial_launch_is_a_completed_job(simulator, mgn):
    good = simulator.seed("vm-good")["vm-good"]
    bad = simulator.seed("vm-bad", launchFailure="VPCIdNotSpecified: no default VPC")["vm-bad"]
    job = completed(mgn, mgn.start_test(sourceServerIDs=[good, bad])["job"])
    outcome = {p["sourceServerID"]: p["launchStatus"] for p in job["participatingServers"]}
    assert outcome == {good: "LAUNCHED", bad: "FAILED"}
    failed = [i for i in log(mgn, job) if i["event"] == "LAUNCH_FAILED"]
    assert [(i["eventData"]["sourceServerID"], i["eventData"]["rawError"]) for i in failed] == [(bad, "VPCIdNotSpecified: no default VPC")]
    # The life cycle says nothing about success.
    assert only(mgn, bad)["lifeCycle"]["state"] == "TESTING"
    assert "launchedInstance" not in only(mgn, bad)


def test_an_unhealthy_target_boots_and_fails_its_check(simulator, mgn):
    server = simulator.seed("vm-1", healthy=False)["vm-1"]
    job = completed(mgn, mgn.start_test(sourceServerIDs=[server])["job"])
    instance = job["participatingServers"][0]["launchedEc2InstanceID"]
    eventually(lambda: b"unhealthy" in simulator.call("GET", f"/targets/{instance}/health")[2])
    assert simulator.call("GET", "/targets/i-00000000000000000/health")[0] == 404


def test_pages_hold_every_server_once(simulator, mgn):
    seeded = simulator.seed(*[f"vm-{i}" for i in range(7)])
    pages = mgn.get_paginator("describe_source_servers").paginate(PaginationConfig={"PageSize": 2})
    sizes, seen = [], []
    for page in pages:
        sizes.append(len(page["items"]))
        seen += [s["sourceServerID"] for s in page["items"]]
    assert (sizes, sorted(seen)) == ([2, 2, 2, 1], sorted(seeded.values()))


def test_jobs_come_newest_first_and_by_date(simulator, mgn):
    servers = list(simulator.seed("vm-1", "vm-2").values())
    jobs = [mgn.start_test(sourceServerIDs=[s], tags={"landfall:intent": s})["job"] for s in servers]
    listed = mgn.describe_jobs(filters={})["items"]
    assert [j["jobID"] for j in listed] == [jobs[1]["jobID"], jobs[0]["jobID"]]
    assert listed[0]["tags"] == {"landfall:intent": servers[1]}
    assert mgn.describe_jobs(filters={"fromDate": "2999-01-01T00:00:00Z"})["items"] == []
    assert len(mgn.describe_jobs(filters={"fromDate": "2020-01-01T00:00:00Z", "toDate": "2999-01-01T00:00:00Z"})["items"]) == 2


def test_waves_and_applications(simulator, mgn):
    server = simulator.seed("vm-1")["vm-1"]
    wave = mgn.create_wave(name="w", description="first", tags={"a": "b"})["waveID"]
    application = mgn.create_application(name="a")["applicationID"]
    with pytest.raises(mgn.exceptions.ConflictException):
        mgn.create_wave(name="w")
    mgn.associate_source_servers(applicationID=application, sourceServerIDs=[server])
    with pytest.raises(mgn.exceptions.ClientError, match="AccessDenied"):
        mgn.associate_source_servers(applicationID=application, sourceServerIDs=[server])
    mgn.associate_applications(waveID=wave, applicationIDs=[application])
    assert only(mgn, server)["applicationID"] == application
    status = mgn.list_waves(filters={"waveIDs": [wave]})["items"][0]["waveAggregatedStatus"]
    assert (status["totalApplications"], status["healthStatus"], status["progressStatus"]) == (1, "HEALTHY", "IN_PROGRESS")
    for refused, arguments in [(mgn.delete_wave, {"waveID": wave}), (mgn.archive_wave, {"waveID": wave}), (mgn.delete_application, {"applicationID": application})]:
        with pytest.raises(mgn.exceptions.ConflictException):
            refused(**arguments)
    mgn.disassociate_applications(waveID=wave, applicationIDs=[application])
    mgn.disassociate_source_servers(applicationID=application, sourceServerIDs=[server])
    assert mgn.archive_wave(waveID=wave)["isArchived"] is True
    assert mgn.unarchive_wave(waveID=wave)["isArchived"] is False
    assert mgn.update_wave(waveID=wave, description="second")["description"] == "second"
    mgn.delete_application(applicationID=application)
    mgn.delete_wave(waveID=wave)
    assert mgn.list_applications()["items"] == mgn.list_waves()["items"] == []


def test_templates_actions_connectors_and_tasks(simulator, mgn):
    server = simulator.seed("vm-0")["vm-0"]
    template = mgn.create_launch_configuration_template(copyTags=True, launchDisposition="STOPPED")
    key = {"launchConfigurationTemplateID": template["launchConfigurationTemplateID"]}
    action = {"actionID": "a1", "actionName": "n", "documentIdentifier": "AWS-RunShellScript", "order": 1001}
    mgn.put_template_action(**key, **action, operatingSystem="linux")
    assert mgn.list_template_actions(**key)["items"][0]["actionID"] == "a1"
    # A new server takes over what the template says.
    late = simulator.sim("POST", "seed", {"servers": [machine("vm-late")]})["servers"]["vm-late"]
    assert mgn.get_launch_configuration(sourceServerID=late)["launchDisposition"] == "STOPPED"
    assert mgn.list_source_server_actions(sourceServerID=late)["items"][0]["actionID"] == "a1"
    assert mgn.list_source_server_actions(sourceServerID=server)["items"] == []
    mgn.remove_template_action(**key, actionID="a1")
    mgn.update_launch_configuration_template(**key, copyTags=False)
    mgn.delete_launch_configuration_template(**key)
    assert mgn.describe_launch_configuration_templates()["items"] == []

    replication = mgn.describe_replication_configuration_templates()["items"][0]["replicationConfigurationTemplateID"]
    changed = mgn.update_replication_configuration_template(replicationConfigurationTemplateID=replication, bandwidthThrottling=10)
    assert changed["bandwidthThrottling"] == 10

    connector = mgn.create_connector(name="c1", ssmInstanceID="mi-0123456789abcdef0")["connectorID"]
    assert mgn.update_connector(connectorID=connector, name="c2")["name"] == "c2"
    assert mgn.list_connectors()["items"][0]["connectorID"] == connector
    mgn.delete_connector(connectorID=connector)

    task = mgn.start_import(s3BucketSource={"s3Bucket": "b", "s3Key": "k.csv"})["importTask"]
    assert mgn.list_imports(filters={"importIDs": [task["importID"]]})["items"][0]["status"] == "SUCCEEDED"
    assert mgn.list_import_errors(importID=task["importID"])["items"] == []
    task = mgn.start_export(s3Bucket="bucket", s3Key="k.csv")["exportTask"]
    assert mgn.list_exports()["items"][0]["exportID"] == task["exportID"]
    assert mgn.list_export_errors(exportID=task["exportID"])["items"] == []
    assert mgn.describe_vcenter_clients(maxResults=10)["items"] == []


def test_tags_of_every_kind_of_resource(simulator, mgn):
    simulator.seed("vm-1")
    arns = [
        mgn.describe_source_servers()["items"][0]["arn"],
        mgn.create_wave(name="w")["arn"],
        mgn.describe_replication_configuration_templates()["items"][0]["arn"],
    ]
    for arn in arns:
        mgn.tag_resource(resourceArn=arn, tags={"a": "1", "b": "2"})
        mgn.untag_resource(resourceArn=arn, tagKeys=["a"])
        tags = mgn.list_tags_for_resource(resourceArn=arn)["tags"]
        assert tags["b"] == "2" and "a" not in tags
    with pytest.raises(mgn.exceptions.ResourceNotFoundException):
        mgn.list_tags_for_resource(resourceArn=arns[0][:-17] + "0" * 17)
