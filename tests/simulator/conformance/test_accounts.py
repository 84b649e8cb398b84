"""Several accounts and Regions: the access key and the signature's Region say whose things a caller sees."""

import json
import uuid

import pytest
from botocore.exceptions import ClientError
from conftest import aws_client, eventually, machine

OTHER, THERE = "222222222222", "eu-west-1"
PLACE = {"account": OTHER, "region": THERE}


def seed(simulator):
    """A server at home and one elsewhere; their IDs."""
    machines = [machine("vm-home"), machine("vm-there", **PLACE)]
    return simulator.sim("POST", "seed", {"initializeMgn": True, "servers": machines})["servers"]


def seen(client):
    return [server["userProvidedID"] for server in client.describe_source_servers()["items"]]


def session(ministack, *, external_id="e2e"):
    """The keys of a role in the other account that home may assume."""
    name = f"role-{uuid.uuid4().hex[:8]}"
    trust = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "arn:aws:iam::000000000000:root"},
        "Condition": {"StringEquals": {"sts:ExternalId": "e2e"}},
    }]}  # fmt: skip
    iam = aws_client("iam", ministack, OTHER)
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    sts = aws_client("sts", ministack)
    role = f"arn:aws:iam::{OTHER}:role/{name}"
    return sts.assume_role(RoleArn=role, RoleSessionName="test", ExternalId=external_id)["Credentials"]


def test_a_caller_sees_and_touches_only_its_own(simulator):
    ids = seed(simulator)
    home, there = simulator.client("mgn"), simulator.client("mgn", OTHER, THERE)
    assert (seen(home), seen(there)) == (["vm-home"], ["vm-there"])
    with pytest.raises(ClientError, match="UninitializedAccount"):
        seen(simulator.client("mgn", OTHER))
    for client, foreign in [(home, ids["vm-there"]), (there, ids["vm-home"])]:
        with pytest.raises(ClientError, match="ResourceNotFound"):
            client.mark_as_archived(sourceServerID=foreign)
        with pytest.raises(ClientError, match="Conflict"):
            client.start_test(sourceServerIDs=[foreign])
        assert client.describe_source_servers(filters={"sourceServerIDs": [foreign]})["items"] == []
    calls = simulator.sim("GET", f"calls?account={OTHER}&region={THERE}&operation=StartTest")
    assert [call["resources"] for call in calls] == [[ids["vm-home"]]]


def test_an_account_is_initialised_by_itself(simulator):
    seed(simulator)
    mgn = simulator.client("mgn", "333333333333", THERE)
    mgn.initialize_service()
    template = mgn.create_replication_configuration_template(
        stagingAreaSubnetId="subnet-0a1b2c3d", associateDefaultSecurityGroup=True, replicationServersSecurityGroupsIDs=[],
        replicationServerInstanceType="t3.small", useDedicatedReplicationServer=False, defaultLargeStagingDiskType="GP3",
        ebsEncryption="DEFAULT", bandwidthThrottling=0, dataPlaneRouting="PRIVATE_IP", createPublicIP=False, stagingAreaTags={},
    )  # fmt: skip
    assert f":{THERE}:333333333333:" in template["arn"]
    assert seen(mgn) == []


def test_a_node_and_its_agent_belong_to_one_account(simulator):
    one = machine("vm-new", replicated=False, **PLACE)
    simulator.sim("POST", "seed", {"initializeMgn": True, "servers": [one]})
    command = {
        "InstanceIds": [one["ssmInstanceId"]], "DocumentName": "AWS-RunShellScript",
        "Parameters": {"commands": ["./aws-replication-installer-init --user-provided-id vm-new"]},
    }  # fmt: skip
    assert simulator.client("ssm").describe_instance_information()["InstanceInformationList"] == []
    with pytest.raises(ClientError, match="InvalidInstanceId"):
        simulator.client("ssm").send_command(**command)
    ssm = simulator.client("ssm", OTHER, THERE)
    ssm.send_command(**command)
    eventually(lambda: seen(simulator.client("mgn", OTHER, THERE)) == ["vm-new"])
    assert seen(simulator.client("mgn")) == []
    sent = next(held for held in simulator.sim("GET", "state")["elsewhere"] if held["account"] == OTHER)
    assert sent["commands"]["invocations"][0]["parameters"] == command["Parameters"]


def test_a_quota_can_differ_from_its_default_in_one_place(simulator):
    servers = seed(simulator)
    simulator.sim("POST", "quotas", {"quotaCode": "L-FE2EBE17", "value": 0, **PLACE})

    def values(*caller):
        quotas = simulator.client("service-quotas", *caller)
        listed = quotas.list_service_quotas(ServiceCode="mgn")["Quotas"]
        default = quotas.get_aws_default_service_quota(ServiceCode="mgn", QuotaCode="L-FE2EBE17")["Quota"]
        return next(q["Value"] for q in listed if q["QuotaCode"] == "L-FE2EBE17"), default["Value"]

    assert (values(), values(OTHER, THERE)) == ((20, 20), (0, 20))
    mgn = simulator.client("mgn", OTHER, THERE)
    with pytest.raises(ClientError, match="Concurrent jobs"):
        mgn.start_test(sourceServerIDs=[servers["vm-there"]])
    simulator.sim("POST", "quotas", {"quotaCode": "L-FE2EBE17", "value": None, **PLACE})
    assert values(OTHER, THERE) == (20, 20)
    status, _, text = simulator.call("POST", "/_sim/quotas", {"quotaCode": "L-00000000", "value": 1})
    assert status == 400 and b"L-00000000" in text


def test_encryption_by_default_is_an_accounts_own(simulator):
    key = f"arn:aws:kms:{THERE}:{OTHER}:key/0a1b"
    simulator.sim("POST", "ebs", {"encryptedByDefault": True, "kmsKeyId": key, **PLACE})

    def told(*caller):
        ec2 = simulator.client("ec2", *caller)
        return ec2.get_ebs_encryption_by_default()["EbsEncryptionByDefault"], ec2.get_ebs_default_kms_key_id()["KmsKeyId"]

    assert told() == (False, "alias/aws/ebs")
    assert told(OTHER, THERE) == (True, key)


def test_the_keys_of_an_assumed_role_belong_to_its_account(stacked, ministack):
    seed(stacked)
    keys = session(ministack)
    assert seen(stacked.client("mgn", keys["AccessKeyId"], THERE)) == ["vm-there"]
    with pytest.raises(ClientError, match="AccessDenied"):
        session(ministack, external_id="wrong")


def test_a_target_is_launched_where_its_server_is(stacked, ministack):
    servers = seed(stacked)
    alias = {"subnet-0b2c3d4e": {"cidrBlock": "172.31.210.0/24", **PLACE}}
    subnet = stacked.sim("POST", "seed", {"ec2Aliases": alias})["ec2Aliases"]["subnet-0b2c3d4e"]
    mgn = stacked.client("mgn", OTHER, THERE)
    job = mgn.start_test(sourceServerIDs=[servers["vm-there"]])["job"]["jobID"]

    def ended():
        [seen] = mgn.describe_jobs(filters={"jobIDs": [job]})["items"]
        return seen if seen["status"] == "COMPLETED" else None

    done = eventually(ended)
    instance = done["participatingServers"][0]["launchedEc2InstanceID"]
    template = mgn.get_launch_configuration(sourceServerID=servers["vm-there"])["ec2LaunchTemplateID"]

    own = aws_client("ec2", ministack, OTHER, THERE)
    assert own.describe_instances(InstanceIds=[instance])["Reservations"]
    assert own.describe_launch_templates(LaunchTemplateIds=[template])["LaunchTemplates"]
    assert own.describe_subnets(SubnetIds=[subnet])["Subnets"]
    for place in [(), (OTHER,), ("test", THERE)]:
        with pytest.raises(ClientError, match="NotFound"):
            aws_client("ec2", ministack, *place).describe_instances(InstanceIds=[instance])
    # The same through the simulator, by the alias and with the role's keys.
    keys = session(ministack)
    there = stacked.client("ec2", keys["AccessKeyId"], THERE)
    assert there.describe_subnets(SubnetIds=["subnet-0b2c3d4e"])["Subnets"][0]["SubnetId"] == "subnet-0b2c3d4e"
    with pytest.raises(ClientError, match="NotFound"):
        stacked.client("ec2").describe_subnets(SubnetIds=["subnet-0b2c3d4e"])
