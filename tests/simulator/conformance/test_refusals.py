"""What the service must refuse, and how: the exception's name, its status, its members."""

import http.client
import json

import pytest
from botocore.exceptions import ClientError
from conftest import eventually

UNKNOWN = "s-00000000000000000"


def refusal(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response


def name(response):
    return response["Error"]["Code"]


@pytest.mark.parametrize(
    ("operation", "arguments", "field"),
    [
        ("start_test", {"sourceServerIDs": [UNKNOWN] * 201}, "sourceServerIDs"),
        ("start_cutover", {"sourceServerIDs": [UNKNOWN] * 201}, "sourceServerIDs"),
        ("terminate_target_instances", {"sourceServerIDs": ["s-tooshort"]}, "sourceServerIDs[0]"),
        ("start_test", {"sourceServerIDs": ["x-00000000000000000"]}, "sourceServerIDs[0]"),
        ("change_server_life_cycle_state", {"sourceServerID": UNKNOWN, "lifeCycle": {"state": "TESTING"}}, "lifeCycle.state"),
        ("describe_source_servers", {"maxResults": 1001}, "maxResults"),
        ("describe_source_servers", {"filters": {"lifeCycleStates": ["BROKEN"]}}, "filters.lifeCycleStates[0]"),
        ("describe_source_servers", {"nextToken": "nonsense"}, "nextToken"),
        ("describe_jobs", {"filters": {"fromDate": "yesterday, not today"}}, "filters.fromDate"),
        ("describe_job_log_items", {"jobID": "mgnjob-00000000000000000"}, "jobID"),
        ("create_wave", {"name": " padded "}, "name"),
        ("update_replication_configuration", {"sourceServerID": UNKNOWN, "bandwidthThrottling": 10001}, "bandwidthThrottling"),
    ],
)
def test_wrong_fields_are_named(simulator, mgn, operation, arguments, field):
    simulator.seed("vm-1")
    response = refusal(getattr(mgn, operation), **arguments)
    assert name(response) == "ValidationException"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert response["reason"] == "fieldValidationFailed"
    assert field in [f["name"] for f in response["fieldList"]]


def test_missing_members_are_refused_although_no_rust_client_checks_them(simulator):
    simulator.seed("vm-1")
    headers = {"Authorization": "AWS4-HMAC-SHA256 Credential=test", "Content-Type": "application/json"}
    status, sent, body = simulator.call("POST", "/StartTest", {}, headers)
    assert (status, sent["x-amzn-errortype"]) == (400, "ValidationException")
    assert json.loads(body)["fieldList"][0]["name"] == "sourceServerIDs"
    status, _, body = simulator.call("POST", "/StartTest", headers=headers, raw=b"not json")
    assert (status, json.loads(body)["reason"]) == (400, "cannotParse")


def test_unsigned_and_unknown_requests(simulator):
    status, headers, _ = simulator.call("POST", "/DescribeSourceServers", {})
    assert (status, headers["x-amzn-errortype"]) == (403, "MissingAuthenticationTokenException")
    assert simulator.call("POST", "/NoSuchOperation", {}, {"Authorization": "x"})[0] == 404
    assert simulator.call("GET", "/StartTest", headers={"Authorization": "x"})[0] == 404


def test_nothing_but_initialising_works_before_it(simulator, mgn):
    for operation in ("describe_source_servers", "describe_jobs", "list_waves", "list_connectors"):
        assert name(refusal(getattr(mgn, operation))) == "UninitializedAccountException"
    mgn.initialize_service()
    assert name(refusal(mgn.describe_source_servers)) == "UninitializedAccountException"


def test_a_switch_lets_the_call_alone_initialise(start):
    mgn = start("--switch", "initializedBy=call").client("mgn")
    mgn.initialize_service()
    assert mgn.describe_source_servers()["items"] == []


def test_unknown_servers(simulator, mgn):
    simulator.seed("vm-1")
    response = refusal(mgn.get_launch_configuration, sourceServerID=UNKNOWN)
    assert (name(response), response["resourceId"]) == ("ResourceNotFoundException", UNKNOWN)
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 404
    # Not found is not modelled on the batch calls.
    response = refusal(mgn.start_test, sourceServerIDs=[UNKNOWN])
    assert name(response) == "ConflictException"
    assert response["errors"][0]["resourceId"] == UNKNOWN
    assert mgn.describe_source_servers(filters={"sourceServerIDs": [UNKNOWN]})["items"] == []


def test_one_busy_server_refuses_the_whole_batch(simulator, mgn):
    servers = simulator.seed("vm-1", "vm-2")
    simulator.slow()
    mgn.start_test(sourceServerIDs=[servers["vm-1"]])
    response = refusal(mgn.start_test, sourceServerIDs=list(servers.values()))
    assert name(response) == "ConflictException"
    assert [e["resourceId"] for e in response["errors"]] == [servers["vm-1"]]
    assert len(mgn.describe_jobs(filters={})["items"]) == 1


@pytest.mark.parametrize(("switch", "expected", "status"), [("conflict", "ConflictException", 409), ("quota", "ServiceQuotaExceededException", 402)])
def test_twenty_jobs_are_the_most(start, switch, expected, status):
    simulator = start("--switch", f"jobQuotas={switch}", "--scale", "1")
    mgn = simulator.client("mgn")
    servers = list(simulator.seed(*[f"vm-{i}" for i in range(21)]).values())
    for server in servers[:20]:
        mgn.start_test(sourceServerIDs=[server])
    response = refusal(mgn.start_test, sourceServerIDs=servers[20:])
    assert (name(response), response["ResponseMetadata"]["HTTPStatusCode"]) == (expected, status)


def test_two_hundred_servers_in_all_jobs_are_the_most(start):
    simulator = start("--scale", "1")
    mgn = simulator.client("mgn")
    servers = list(simulator.seed(*[f"vm-{i}" for i in range(201)]).values())
    assert len(mgn.start_test(sourceServerIDs=servers[:150])["job"]["participatingServers"]) == 150
    assert name(refusal(mgn.start_test, sourceServerIDs=servers[150:])) == "ConflictException"
    mgn.start_test(sourceServerIDs=servers[150:200])


def test_archiving_and_terminating_want_the_right_state(simulator, mgn):
    server = simulator.seed("vm-1")["vm-1"]
    assert name(refusal(mgn.mark_as_archived, sourceServerID=server)) == "ConflictException"
    assert name(refusal(mgn.finalize_cutover, sourceServerID=server)) == "ConflictException"
    simulator.slow()
    job = mgn.start_test(sourceServerIDs=[server])["job"]["jobID"]
    assert name(refusal(mgn.delete_job, jobID=job)) == "ConflictException"
    simulator.fast()
    eventually(lambda: mgn.describe_jobs(filters={"jobIDs": [job]})["items"][0]["status"] == "COMPLETED")
    assert name(refusal(mgn.terminate_target_instances, sourceServerIDs=[server])) == "ConflictException"
    mgn.delete_job(jobID=job)


def test_a_server_that_is_not_launchable_goes_nowhere(start):
    simulator = start("--scale", "1")
    mgn = simulator.client("mgn")
    server = simulator.seed("vm-1", replicated=False, agentInstalled=True)["vm-1"]
    ready = {"sourceServerID": server, "lifeCycle": {"state": "READY_FOR_CUTOVER"}}
    assert name(refusal(mgn.change_server_life_cycle_state, **ready)) == "ConflictException"
    assert name(refusal(mgn.start_test, sourceServerIDs=[server])) == "ConflictException"
    # Cloud Migration Factory disconnects first and marks afterwards.
    mgn.disconnect_from_service(sourceServerID=server)
    mgn.change_server_life_cycle_state(sourceServerID=server, lifeCycle={"state": "CUTOVER"})


def test_a_lost_response_has_taken_effect(simulator, mgn):
    server = simulator.seed("vm-1")["vm-1"]
    simulator.sim("POST", "faults", {"service": "mgn", "operation": "StartTest", "kind": "drop-response"})
    with pytest.raises(Exception) as caught:
        mgn.start_test(sourceServerIDs=[server])
    assert not isinstance(caught.value, ClientError)
    assert len(mgn.describe_jobs(filters={})["items"]) == 1


def test_injected_refusals_come_as_often_as_they_were_ordered(simulator, mgn):
    simulator.seed("vm-1")
    simulator.sim("POST", "faults", {"service": "mgn", "operation": "DescribeJobs", "kind": "throttle", "count": 2, "retryAfter": 3})
    for _ in range(2):
        response = refusal(mgn.describe_jobs)
        assert name(response) == "ThrottlingException"
        assert response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "3"
    assert mgn.describe_jobs()["items"] == []


def test_a_broken_request_leaves_the_listener_alive(simulator):
    host, port = simulator.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.putrequest("POST", "/StartTest")
    connection.putheader("Content-Length", "100")
    connection.endheaders()
    connection.send(b"{")
    connection.close()
    assert simulator.sim("GET", "health")["status"] == "ok"
