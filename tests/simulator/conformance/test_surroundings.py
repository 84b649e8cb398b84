"""What stands round MGN: Run Command, quotas, the source's systems, the callback sink, the control plane."""

import base64
import hashlib
import hmac
import json
import time

import pytest
from botocore.exceptions import ClientError
from conftest import SECRET, eventually, machine

AGENT = {"linux": "AWS-RunShellScript", "windows": "AWS-RunPowerShellScript"}


def install(ssm, node, name, system):
    program = "./aws-replication-installer-init" if system == "linux" else "& .\\AwsReplicationWindowsInstaller.exe"
    command = f"{program} --region us-east-1 --no-prompt --user-provided-id '{name}'"
    sent = ssm.send_command(InstanceIds=[node], DocumentName=AGENT[system], Parameters={"commands": [command]})["Command"]

    def look():
        seen = ssm.get_command_invocation(CommandId=sent["CommandId"], InstanceId=node)
        return seen if seen["Status"] not in ("Pending", "InProgress") else None

    return eventually(look)


@pytest.mark.parametrize("system", ["linux", "windows"])
def test_installing_the_agent_makes_the_server_appear_once(simulator, mgn, system):
    one = machine("vm-1", os=system, replicated=False)
    simulator.sim("POST", "seed", {"initializeMgn": True, "servers": [one]})
    assert mgn.describe_source_servers()["items"] == []
    ssm = simulator.client("ssm")
    found = ssm.describe_instance_information(Filters=[{"Key": "tag:landfall:sourceVmId", "Values": ["vm-1"]}])
    node = found["InstanceInformationList"][0]
    assert (node["PingStatus"], node["PlatformType"].lower()) == ("Online", system)
    done = install(ssm, node["InstanceId"], "vm-1", system)
    assert done["Status"] == "Success"
    server = mgn.describe_source_servers()["items"][0]
    assert server["sourceServerID"] in done["StandardOutputContent"]
    assert server["userProvidedID"] == "vm-1"
    assert server["lifeCycle"]["state"] in ("NOT_READY", "READY_FOR_TEST")
    install(ssm, node["InstanceId"], "vm-1", system)
    assert len(mgn.describe_source_servers()["items"]) == 1


def test_a_failing_agent_fails_its_command(simulator, mgn):
    one = machine("vm-1", replicated=False, agentFailure="no space left on /")
    simulator.sim("POST", "seed", {"initializeMgn": True, "servers": [one]})
    done = install(simulator.client("ssm"), one["ssmInstanceId"], "vm-1", "linux")
    assert done["Status"] == "Failed"
    assert "Error details: no space left on /" in done["StandardOutputContent"]
    assert mgn.describe_source_servers()["items"] == []


def test_run_command_refuses_what_it_cannot_run(simulator):
    one = machine("vm-1", replicated=False, ssmOnline=False)
    two = machine("vm-2", replicated=False)
    simulator.sim("POST", "seed", {"initializeMgn": True, "servers": [one, two]})
    ssm = simulator.client("ssm")
    for node, document, code in [
        (one["ssmInstanceId"], AGENT["linux"], "InvalidInstanceId"),
        ("mi-00000000000000000", AGENT["linux"], "InvalidInstanceId"),
        (two["ssmInstanceId"], AGENT["windows"], "UnsupportedPlatformType"),
        (two["ssmInstanceId"], "No-Such-Document", "InvalidDocument"),
    ]:
        with pytest.raises(ClientError, match=code):
            ssm.send_command(InstanceIds=[node], DocumentName=document, Parameters={"commands": ["true"]})


def test_quotas_have_the_services_codes(simulator):
    quotas = simulator.client("service-quotas")
    assert quotas.get_service_quota(ServiceCode="mgn", QuotaCode="L-FE2EBE17")["Quota"]["Value"] == 20
    assert len(quotas.list_service_quotas(ServiceCode="mgn")["Quotas"]) == 15
    with pytest.raises(ClientError, match="NoSuchResource"):
        quotas.get_service_quota(ServiceCode="mgn", QuotaCode="L-00000000")


def test_ec2_tells_of_types_and_targets_itself_and_needs_ministack_for_the_rest(simulator):
    ec2 = simulator.client("ec2")
    wanted = [{"Name": "instance-type", "Values": ["t3.large", "t9.mega"]}]
    offered = ec2.describe_instance_type_offerings(LocationType="availability-zone", Filters=wanted)["InstanceTypeOfferings"]
    assert {(o["InstanceType"], o["Location"]) for o in offered} == {("t3.large", f"us-east-1{zone}") for zone in "abc"}
    assert ec2.describe_instances()["Reservations"] == []
    with pytest.raises(ClientError, match="Unavailable"):
        ec2.describe_volumes()


def signed(body, secret=SECRET, message="msg_1"):
    stamp = str(int(time.time()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{message}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "Content-Type": "application/json",
        "webhook-id": message,
        "webhook-timestamp": stamp,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }


def test_callbacks_are_verified_kept_and_answered(simulator):
    body = json.dumps({"status": "SUCCEEDED"}).encode()
    assert simulator.call("POST", "/sink/runbook", headers=signed(body), raw=body)[0] == 204
    forged = signed(body, secret="whsec_" + base64.b64encode(b"other").decode())
    assert simulator.call("POST", "/sink/runbook", headers=forged, raw=body)[0] == 401
    simulator.sim("POST", "sink", {"name": "flaky", "status": [500]})
    answers = [simulator.call("POST", "/sink/flaky", headers=signed(body), raw=body)[0] for _ in range(2)]
    assert answers == [500, 204]
    kept = simulator.sim("GET", "callbacks")
    assert [(c["name"], c["verified"]) for c in kept] == [("runbook", True), ("runbook", False), ("flaky", True), ("flaky", True)]
    assert kept[0]["body"] == {"status": "SUCCEEDED"}
    assert kept[0]["headers"]["webhook-id"] == "msg_1"


def test_the_sources_systems(simulator):
    simulator.sim("POST", "seed", {
        "servers": [machine("vm-az", power="azure", replicated=False)],
        "cmf": [
            {"wave_id": "3", "wave_name": "wave-3"},
            {"app_id": "5", "app_name": "billing", "wave_id": "3"},
            {"server_id": "7", "server_name": "web-01", "app_id": "5"},
        ],
        "cmdb": [{"table": "cmdb_ci_server", "sys_id": "abc", "install_status": "1"}],
    })  # fmt: skip
    for schema, name in (("wave", "wave-3"), ("app", "billing"), ("server", "web-01")):
        (record,) = json.loads(simulator.call("GET", f"/cmf/user/{schema}")[2])
        assert record[f"{schema}_name"] == name
    assert simulator.call("PUT", "/cmf/user/server/7", {"migration_status": "done"})[0] == 200
    assert json.loads(simulator.call("GET", "/cmf/user/server/7")[2])["migration_status"] == "done"
    assert simulator.call("PUT", "/cmf/user/wave/3", {"wave_status": "In progress"})[0] == 200
    assert simulator.call("PUT", "/cmf/user/wave/3", {"wave_status": "Landfall: preparing"})[0] == 400
    status, _, text = simulator.call("GET", "/cmf/user/server/8")
    assert (status, json.loads(text)["errors"]) == (400, ["server Id: 8 does not exist"])
    record = "/cmdb/api/now/table/cmdb_ci_server/abc"
    own = {**basic("simulated-cmdb-password", "landfall@cmdb.local"), "Content-Type": "application/json"}
    assert simulator.call("PATCH", record, {"install_status": "7"}, own)[0] == 200
    assert json.loads(simulator.call("GET", record, headers=own)[2])["result"]["install_status"] == "7"

    token = json.loads(simulator.call("POST", "/azure/tenant/oauth2/v2.0/token", raw=b"grant_type=client_credentials")[2])
    bearer = {"Authorization": f"Bearer {token['access_token']}", "Content-Type": "application/json"}
    compute = "/azure/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute"
    assert simulator.call("GET", f"{compute}/virtualMachines/vm-az/instanceView")[0] == 401

    def power():
        view = json.loads(simulator.call("GET", f"{compute}/virtualMachines/vm-az/instanceView?api-version=2024-07-01", headers=bearer)[2])
        return view["statuses"][1]["code"]

    assert power() == "PowerState/running"
    assert simulator.call("POST", f"{compute}/virtualMachines/vm-az/deallocate", headers=bearer)[0] == 202
    assert power() == "PowerState/deallocated"
    snapshot = f"{compute}/snapshots/before"
    for method, status, state in (("PUT", 202, "Creating"), ("PUT", 200, "Succeeded"), ("GET", 200, "Succeeded")):
        answer = simulator.call(method, snapshot, {"location": "westeurope"} if method == "PUT" else None, bearer)
        assert (answer[0], json.loads(answer[2])["properties"]["provisioningState"]) == (status, state)
    assert simulator.call("DELETE", snapshot, headers=bearer)[0] == 202
    assert simulator.call("GET", snapshot, headers=bearer)[0] == 404


def basic(password="simulated-vcenter-password", username="landfall@vsphere.local"):
    return {"Authorization": "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()}


def vcenter(simulator):
    """A vCenter as its Automation API shows it: (status, body) of what is asked."""
    status, _, token = simulator.call("POST", "/vsphere/api/session", headers=basic())
    assert status == 201
    session = {"vmware-api-session-id": json.loads(token)}

    def ask(method, path):
        status, _, text = simulator.call(method, f"/vsphere/api/{path}", headers=session)
        return status, json.loads(text) if text else None

    return ask


def test_vcenter_shows_its_machines_to_whoever_signs_in(simulator):
    names = {"vm-a": "web-01", "vm-b": "twin-01", "vm-c": "twin-01"}
    machines = [machine(vm, hostname=name, power="vsphere", replicated=False) for vm, name in names.items()]
    simulator.sim("POST", "seed", {"servers": [*machines, machine("vm-az", power="azure", replicated=False)]})
    for headers in ({}, basic("wrong"), {"vmware-api-session-id": "none"}):
        for method, path in (("POST", "session"), ("GET", "vcenter/vm")):
            status, _, text = simulator.call(method, f"/vsphere/api/{path}", headers=headers)
            assert (status, json.loads(text)["error_type"]) == (401, "UNAUTHENTICATED")
    ask = vcenter(simulator)
    found = ask("GET", "vcenter/vm")[1]
    assert sorted(vm["name"] for vm in found) == ["twin-01", "twin-01", "web-01"]
    assert len({vm["vm"] for vm in found}) == 3
    twins = ask("GET", "vcenter/vm?names=twin-01")[1]
    assert ask("GET", f"vcenter/vm?names=twin-01&vms={twins[1]['vm']}")[1] == [twins[1]]
    assert ask("GET", f"vcenter/vm?names=web-01&vms={twins[1]['vm']}")[1] == []
    assert ask("GET", "vcenter/vm/vm-9/power")[0] == 404
    assert ask("DELETE", "session")[0] == 204
    assert ask("GET", "vcenter/vm")[0] == 401


def test_a_guest_in_vcenter_takes_its_time_to_shut_down(simulator):
    seed = [machine("vm-a", power="vsphere", replicated=False), machine("vm-b", power="vsphere", replicated=False, vmwareTools=False)]
    simulator.sim("POST", "clock", {"scale": 0.001})
    simulator.sim("POST", "seed", {"servers": seed})
    ask = vcenter(simulator)
    with_tools, without = (f"vcenter/vm/{vm['vm']}" for vm in sorted(ask("GET", "vcenter/vm")[1], key=lambda vm: vm["name"]))

    def states(vm):
        return ask("GET", f"{vm}/power")[1]["state"], ask("GET", f"{vm}/guest/power")[1]["state"]

    assert states(with_tools) == ("POWERED_ON", "RUNNING")
    assert ask("GET", f"{with_tools}/tools")[1]["run_state"] == "RUNNING"
    assert ask("POST", f"{with_tools}/guest/power?action=shutdown")[0] == 204
    assert states(with_tools) == ("POWERED_ON", "SHUTTING_DOWN")
    simulator.sim("POST", "clock", {"skipSeconds": 21})
    assert states(with_tools) == ("POWERED_OFF", "NOT_RUNNING")
    assert simulator.sim("GET", "state")["machines"]["vm-a"]["running"] is False
    assert ask("POST", f"{with_tools}/power?action=stop")[1]["error_type"] == "ALREADY_IN_DESIRED_STATE"
    assert ask("POST", f"{with_tools}/power?action=start")[0] == 204
    assert states(with_tools) == ("POWERED_ON", "RUNNING")

    assert ask("GET", f"{without}/tools")[1]["version_status"] == "NOT_INSTALLED"
    assert ask("POST", f"{without}/guest/power?action=shutdown")[1]["error_type"] == "SERVICE_UNAVAILABLE"
    assert ask("POST", f"{without}/power?action=stop")[0] == 204
    assert states(without) == ("POWERED_OFF", "NOT_RUNNING")


def test_vcenter_takes_a_snapshot_as_a_task(simulator):
    simulator.sim("POST", "clock", {"scale": 0.001})
    simulator.sim("POST", "seed", {"servers": [machine("vm-a", power="vsphere", replicated=False)]})
    vm = vcenter(simulator)("GET", "vcenter/vm")[1][0]["vm"]
    root = "/vsphere/sdk/vim25/8.0.1.0"
    login = f"{root}/SessionManager/SessionManager/Login"
    wrong = simulator.call("POST", login, {"userName": "landfall@vsphere.local", "password": "wrong"})
    assert (wrong[0], json.loads(wrong[2])["_typeName"]) == (500, "InvalidLogin")
    status, headers, _ = simulator.call("POST", login, {"userName": "landfall@vsphere.local", "password": "simulated-vcenter-password"})
    assert status == 200
    session = {"vmware-api-session-id": headers["vmware-api-session-id"], "Content-Type": "application/json"}

    def ask(method, path, body=None):
        status, _, text = simulator.call(method, f"{root}/{path}", body, session)
        return status, json.loads(text) if text else None

    assert simulator.call("GET", f"/vsphere/sdk/vim25/7.0.0.0/VirtualMachine/{vm}/snapshot", headers=session)[0] == 404
    assert json.loads(simulator.call("GET", f"{root}/VirtualMachine/{vm}/snapshot")[2])["_typeName"] == "NotAuthenticated"
    # A property that is not set has no body.
    assert ask("GET", f"VirtualMachine/{vm}/snapshot") == (200, None)
    for name in ("first", "second"):
        spec = {"name": name, "description": "a test", "memory": False}
        status, task = ask("POST", f"VirtualMachine/{vm}/CreateSnapshotEx_Task", spec)
        assert (status, task["type"]) == (200, "Task")
        assert ask("GET", f"Task/{task['value']}/info")[1]["state"] == "running"
        assert ask("POST", f"VirtualMachine/{vm}/CreateSnapshotEx_Task", spec)[1]["_typeName"] == "TaskInProgress"
        assert task in ask("GET", f"VirtualMachine/{vm}/recentTask")[1]
        simulator.sim("POST", "clock", {"skipSeconds": 31})
        info = ask("GET", f"Task/{task['value']}/info")[1]
        assert (info["state"], info["result"]["type"]) == ("success", "VirtualMachineSnapshot")
    tree = ask("GET", f"VirtualMachine/{vm}/snapshot")[1]
    first = tree["rootSnapshotList"][0]
    assert (first["name"], first["childSnapshotList"][0]["name"]) == ("first", "second")
    assert tree["currentSnapshot"] == info["result"] == first["childSnapshotList"][0]["snapshot"]
    simulator.sim("POST", "clock", {"skipSeconds": 700})
    assert ask("GET", f"VirtualMachine/{vm}/recentTask") == (200, [])
    assert simulator.sim("GET", "state")["vsphereSnapshots"] == {"vm-a": ["first", "second"]}
    assert ask("POST", "SessionManager/SessionManager/Logout")[0] == 204
    assert ask("GET", f"VirtualMachine/{vm}/snapshot")[1]["_typeName"] == "NotAuthenticated"


def test_cloud_migration_factory_wants_a_token_when_told_to(simulator):
    simulator.sim("POST", "seed", {"cmf": [{"wave_id": "3", "wave_name": "wave-3"}]})
    simulator.sim("POST", "switches", {"cmfToken": "on"})
    assert simulator.call("GET", "/cmf/user/wave")[0] == 401
    assert simulator.call("POST", "/cmf/login", {"username": "landfall", "password": "wrong"})[0] == 400
    status, _, text = simulator.call("POST", "/cmf/login", {"username": "landfall", "password": "right"})
    assert status == 200
    own = {"Authorization": json.loads(text), "Content-Type": "application/json"}
    assert simulator.call("GET", "/cmf/user/wave", headers=own)[0] == 200


def test_the_cmdb_lets_in_its_account_and_its_token(simulator):
    simulator.sim("POST", "seed", {"cmdb": [{"table": "cmdb_ci_server", "sys_id": "abc"}]})
    record = "/cmdb/api/now/table/cmdb_ci_server/abc"
    for headers in ({}, basic("wrong", "landfall@cmdb.local"), {"Authorization": "Bearer wrong"}):
        for method in ("GET", "PATCH"):
            status, _, text = simulator.call(method, record, headers=headers)
            assert (status, json.loads(text)["error"]["message"]) == (401, "User Not Authenticated")
    for headers in (basic("simulated-cmdb-password", "landfall@cmdb.local"), {"Authorization": "Bearer simulated-cmdb-token"}):
        assert simulator.call("GET", record, headers=headers)[0] == 200
        assert simulator.call("GET", record[:-3] + "no", headers=headers)[0] == 404
    simulator.sim("POST", "switches", {"cmdbAccount": "off"})
    assert simulator.call("GET", record)[0] == 200


def test_the_control_plane_tells_what_was_called(simulator, mgn):
    server = simulator.seed("vm-1")["vm-1"]
    simulator.slow()
    mgn.start_test(sourceServerIDs=[server])
    with pytest.raises(ClientError):
        mgn.start_test(sourceServerIDs=[server])
    calls = simulator.sim("GET", "calls?service=mgn&operation=StartTest")
    assert [(c["ok"], c["sourceServerIDs"]) for c in calls] == [(True, [server]), (False, [server])]
    simulator.sim("DELETE", "calls")
    assert simulator.sim("GET", "calls") == []
    assert server in simulator.sim("GET", "state")["servers"]


def test_seeding_twice_adds_nothing(simulator, mgn):
    first = simulator.seed("vm-1")
    assert simulator.seed("vm-1") == first
    assert len(mgn.describe_source_servers()["items"]) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("seed", {"servers": [{"sourceVmId": "x", "hostname": "x", "colour": "blue"}]}),
        ("clock", {"scale": 0}),
        ("switches", {"timestampFormat": "epoch"}),
        ("faults", {"kind": "earthquake"}),
        ("servers/vm-none", {"healthy": False}),
    ],
)
def test_a_wrong_order_is_refused_with_a_reason(simulator, path, body):
    status, _, text = simulator.call("POST", f"/_sim/{path}", body)
    assert status in (400, 404)
    assert json.loads(text)["error"]


def test_events_can_be_lost_and_doubled(simulator, mgn):
    servers = simulator.seed("vm-1", "vm-2")
    simulator.sim("POST", "faults", {"service": "events", "kind": "lose-event", "count": 1})
    simulator.sim("POST", "faults", {"service": "events", "kind": "double-event", "count": 1})
    job = mgn.start_test(sourceServerIDs=list(servers.values()))["job"]["jobID"]
    eventually(lambda: mgn.describe_jobs(filters={"jobIDs": [job]})["items"][0]["status"] == "COMPLETED")
    assert len(eventually(lambda: simulator.sim("GET", "events"))) == 2
