"""IAM in front of MiniStack: a role's policies decide a simulation, and the rest is MiniStack's."""

import json
import uuid

import pytest
from botocore.exceptions import ClientError
from conftest import aws_client

HOME, OTHER = "000000000000", "222222222222"
TRUST = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}},
]})  # fmt: skip
SERVERS = f"arn:aws:mgn:*:{HOME}:source-server/*"


def server(name):
    return f"arn:aws:mgn:us-east-1:{HOME}:source-server/{name}"


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Resource": "*", **s} for s in statements]})


@pytest.fixture
def role(ministack):
    """Makes a role with policies within it; its ARN."""
    iam = aws_client("iam", ministack)

    def make(**policies):
        name = f"role-{uuid.uuid4().hex[:8]}"
        made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)["Role"]
        for policy, text in policies.items():
            iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=text)
        return made["Arn"]

    return make


@pytest.fixture
def simulate(stacked):
    """Simulates; the results."""
    iam = stacked.client("iam")

    def run(principal, *actions, **arguments):
        answer = iam.simulate_principal_policy(PolicySourceArn=principal, ActionNames=list(actions), **arguments)
        return answer["EvaluationResults"]

    return run


def decisions(results):
    return {result["EvalActionName"]: result["EvalDecision"] for result in results}


def bool_context(name, value):
    return [{"ContextKeyName": name, "ContextKeyType": "boolean", "ContextKeyValues": [value]}]


def test_actions_are_allowed_denied_or_not_mentioned(role, simulate):
    own = document(
        {"Effect": "Allow", "Action": ["mgn:Describe*", "mgn:StartTest"]},
        {"Effect": "Deny", "Action": "mgn:StartTest"},
    )
    results = simulate(role(own=own), "mgn:DescribeJobs", "mgn:StartTest", "mgn:StartCutover")
    assert decisions(results) == {"mgn:DescribeJobs": "allowed", "mgn:StartTest": "explicitDeny", "mgn:StartCutover": "implicitDeny"}
    assert [s["SourcePolicyId"] for s in results[0]["MatchedStatements"]] == ["own"]
    assert results[0]["MatchedStatements"][0]["SourcePolicyType"] == "role"
    assert results[2]["MatchedStatements"] == []
    assert all("ResourceSpecificResults" not in result for result in results)


def test_each_resource_has_a_decision_and_the_strictest_is_the_actions(role, simulate):
    own = document({"Effect": "Allow", "Action": "mgn:StartTest", "Resource": SERVERS})
    other = server("s-1").replace(HOME, OTHER)
    [result] = simulate(role(own=own), "mgn:StartTest", ResourceArns=[server("s-1"), other])
    assert (result["EvalResourceName"], result["EvalDecision"]) == ("*", "implicitDeny")
    each = {one["EvalResourceName"]: one["EvalResourceDecision"] for one in result["ResourceSpecificResults"]}
    assert each == {server("s-1"): "allowed", other: "implicitDeny"}


def test_formerly_each_resource_had_a_result(stacked, role, simulate):
    stacked.sim("POST", "switches", {"simulationResults": "resource"})
    arn = role(own=document({"Effect": "Allow", "Action": "mgn:StartTest", "Resource": SERVERS}))
    results = simulate(arn, "mgn:StartTest", ResourceArns=[server("s-1"), "*"])
    assert [(r["EvalResourceName"], r["EvalDecision"]) for r in results] == [(server("s-1"), "allowed"), ("*", "implicitDeny")]


def test_conditions_see_the_context_and_tell_what_is_missing(role, simulate):
    through_mgn = {"Bool": {"aws:ViaAWSService": "true"}}
    arn = role(own=document({"Effect": "Allow", "Action": "ec2:RunInstances", "Condition": through_mgn}))
    [missing] = simulate(arn, "ec2:RunInstances")
    assert (missing["EvalDecision"], missing["MissingContextValues"]) == ("implicitDeny", ["aws:ViaAWSService"])
    for value, decision in [("true", "allowed"), ("false", "implicitDeny")]:
        [result] = simulate(arn, "ec2:RunInstances", ContextEntries=bool_context("aws:viaAWSservice", value))
        assert (result["EvalDecision"], result["MissingContextValues"]) == (decision, [])


def test_attached_policies_count_in_their_default_version(ministack, role, simulate):
    iam = aws_client("iam", ministack)
    arn = role()
    name = arn.rsplit("/", 1)[-1]
    allow, deny = (document({"Effect": effect, "Action": "mgn:StartTest"}) for effect in ("Allow", "Deny"))
    policy = iam.create_policy(PolicyName=name, PolicyDocument=allow)["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=name, PolicyArn=policy)
    [result] = simulate(arn, "mgn:StartTest")
    assert (result["EvalDecision"], result["MatchedStatements"][0]["SourcePolicyType"]) == ("allowed", "user-managed")
    iam.create_policy_version(PolicyArn=policy, PolicyDocument=deny, SetAsDefault=True)
    assert decisions(simulate(arn, "mgn:StartTest")) == {"mgn:StartTest": "explicitDeny"}
    given = document({"Effect": "Allow", "Action": "mgn:StartCutover"})
    assert decisions(simulate(arn, "mgn:StartCutover", PolicyInputList=[given])) == {"mgn:StartCutover": "allowed"}


def test_results_come_in_pages(stacked, role):
    arn = role(own=document({"Effect": "Allow", "Action": "mgn:*"}))
    pages = stacked.client("iam").get_paginator("simulate_principal_policy")
    actions = [f"mgn:Action{number}" for number in range(5)]
    found = [
        [result["EvalActionName"] for result in page["EvaluationResults"]]
        for page in pages.paginate(PolicySourceArn=arn, ActionNames=actions, PaginationConfig={"PageSize": 2})
    ]
    assert found == [actions[:2], actions[2:4], actions[4:]]


def test_what_cannot_be_simulated_is_refused(stacked, role, simulate):
    from_inside = {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}
    arn = role(own=document({"Effect": "Allow", "Action": "s3:*", "Condition": from_inside}))
    account = "arn:aws:iam::{}:role/{}".format
    for code, principal, arguments in [
        ("PolicyEvaluation", arn, {}),
        ("NoSuchEntity", account(HOME, "nobody"), {}),
        ("NoSuchEntity", account(OTHER, arn.rsplit("/", 1)[-1]), {}),
        ("InvalidInput", f"arn:aws:iam::{HOME}:user/bob", {}),
        ("InvalidInput", arn, {"ResourcePolicy": "{}"}),
    ]:
        with pytest.raises(ClientError) as caught:
            simulate(principal, "s3:GetObject", **arguments)
        assert caught.value.response["Error"]["Code"] == code
    stacked.sim("POST", "faults", {"service": "iam", "operation": "SimulatePrincipalPolicy", "kind": "throttle"})
    with pytest.raises(ClientError, match="Throttling"):
        simulate(arn, "s3:GetObject")


def test_the_rest_of_iam_is_ministacks_in_the_callers_account(stacked, ministack, role):
    arn = role()
    name = arn.rsplit("/", 1)[-1]
    assert stacked.client("iam").get_role(RoleName=name)["Role"]["Arn"] == arn
    with pytest.raises(ClientError, match="NoSuchEntity"):
        stacked.client("iam", OTHER).get_role(RoleName=name)
    with pytest.raises(ClientError, match="NoSuchEntity"):
        stacked.client("iam").get_instance_profile(InstanceProfileName=name)
    aws_client("iam", ministack).create_instance_profile(InstanceProfileName=name)
    found = stacked.client("iam").get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    assert found["InstanceProfileName"] == name
    operations = [call["operation"] for call in stacked.sim("GET", "calls?service=iam")]
    assert operations == ["GetRole", "GetRole", "GetInstanceProfile", "GetInstanceProfile"]


def test_iam_needs_ministack(simulator):
    iam = simulator.client("iam")
    with pytest.raises(ClientError, match="ServiceFailure"):
        iam.simulate_principal_policy(PolicySourceArn=f"arn:aws:iam::{HOME}:role/x", ActionNames=["mgn:StartTest"])
    with pytest.raises(ClientError, match="Unavailable"):
        iam.get_role(RoleName="x")
