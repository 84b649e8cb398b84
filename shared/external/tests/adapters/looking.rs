//! What a look at a source tells without touching it.

use aws_sdk_ec2::operation::describe_instances::{DescribeInstancesError, DescribeInstancesOutput};
use aws_sdk_ec2::types::{Instance, InstanceState, Reservation};
use aws_sdk_secretsmanager::Client as Secrets;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use aws_smithy_mocks::{RuleMode, mock, mock_client};
use aws_smithy_types::error::ErrorMetadata;
use landfall_external::LazyHttp;
use landfall_external::source::{self, Access, Ec2Sources, Trouble};
use serde_json::{Value, json};

use crate::server::{REFUSAL, Server, no_ec2, no_secrets, request, secrets};

const GOOD: &str = r#"{"tenantId": "tenant", "clientId": "client", "clientSecret": "s3cr&t"}"#;

fn azure(url: &str) -> Value {
    json!({
        "kind": "azure", "endpoint": url, "credentialsSecretId": "landfall/source/azure", "subscriptionId": "sub-1",
        "resourceGroup": "rg-1", "vmName": "web-01",
    })
}

async fn look(
    control: &Value,
    secrets: Secrets,
    ec2: Ec2Sources,
    url: &str,
) -> Result<(), Trouble> {
    let access = Access {
        http: LazyHttp::default(),
        secrets,
        ec2,
        allowed: vec![url.to_owned()],
        removable: vec![],
    };
    source::look(&access, &request(control), REFUSAL).await
}

#[tokio::test]
async fn a_machine_in_azure_is_found_by_reading_it() {
    let token = || (200, json!({"access_token": "t0ken"}));
    let server = Server::with([token(), (200, json!({})), token(), (404, Value::Null)]).await;
    let looked = look(&azure(&server.url), secrets(GOOD), no_ec2(), &server.url).await;
    assert_eq!(looked, Ok(()));
    let looked = look(&azure(&server.url), secrets(GOOD), no_ec2(), &server.url).await;
    let Err(Trouble::Machine(error)) = looked else {
        panic!("{looked:?}");
    };
    assert!(
        error.message.contains("no virtual machine web-01"),
        "{error}"
    );
    let lines = server.lines();
    assert!(
        lines[1].starts_with("GET /subscriptions/sub-1/"),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 4);
}

#[tokio::test]
async fn nobody_at_home_and_a_refusal_are_no_trouble_with_the_machine() {
    for (answers, transient) in [
        (vec![(503, Value::Null)], true),
        (vec![(401, json!({"error": "invalid_client"}))], false),
        (
            vec![(200, json!({"access_token": "t"})), (403, Value::Null)],
            false,
        ),
        (
            vec![(200, json!({"access_token": "t"})), (500, Value::Null)],
            true,
        ),
    ] {
        let server = Server::with(answers).await;
        let looked = look(&azure(&server.url), secrets(GOOD), no_ec2(), &server.url).await;
        let Err(Trouble::Other(error)) = looked else {
            panic!("{looked:?}");
        };
        assert_eq!(error.name.is_transient(), transient, "{error}");
    }
}

#[tokio::test]
async fn a_secret_is_told_by_its_name_and_by_what_it_lacks_never_by_its_content() {
    let nobody = "http://127.0.0.1:1";
    for (content, text) in [
        ("s3cr&t", "is no JSON object"),
        (
            r#"{"tenantId": "t", "clientId": "c"}"#,
            "lacks clientSecret",
        ),
        (
            r#"{"tenantId": "", "clientId": 7, "clientSecret": "s3cr&t"}"#,
            "lacks tenantId and clientId",
        ),
    ] {
        let looked = look(&azure(nobody), secrets(content), no_ec2(), nobody).await;
        let Err(Trouble::Secret(error)) = looked else {
            panic!("{looked:?}");
        };
        for part in [
            text,
            "\"landfall/source/azure\"",
            "/sourceControl/credentialsSecretId",
        ] {
            assert!(error.message.contains(part), "{error}");
        }
        assert!(!format!("{error:?}").contains("s3cr&t"));
    }
    let missing = mock!(Secrets::get_secret_value).then_error(|| {
        let error = ErrorMetadata::builder().code("ResourceNotFoundException");
        GetSecretValueError::generic(error.message("not there").build())
    });
    let missing = mock_client!(aws_sdk_secretsmanager, RuleMode::MatchAny, [&missing]);
    let looked = look(&azure(nobody), missing, no_ec2(), nobody).await;
    let Err(Trouble::Secret(error)) = looked else {
        panic!("{looked:?}");
    };
    assert_eq!(
        error.message,
        "the secret \"landfall/source/azure\" in /sourceControl/credentialsSecretId cannot be read: \
         secretsmanager:GetSecretValue refused: ResourceNotFoundException: not there"
    );
}

#[tokio::test]
async fn an_instance_that_is_gone_is_not_there() {
    let control = json!({"kind": "ec2", "instanceId": "i-1", "region": "eu-west-1"});
    for (state, found) in [
        (Some("running"), true),
        (Some("stopped"), true),
        (Some("shutting-down"), false),
        (Some("terminated"), false),
        (None, false),
    ] {
        let rule = mock!(aws_sdk_ec2::Client::describe_instances).then_output(move || {
            let instance = state.map(|state| {
                let state = InstanceState::builder().name(state.into()).build();
                Instance::builder().instance_id("i-1").state(state).build()
            });
            let instances = Some(instance.into_iter().collect());
            let reservation = Reservation::builder().set_instances(instances).build();
            DescribeInstancesOutput::builder()
                .reservations(reservation)
                .build()
        });
        let ec2 = mock_client!(aws_sdk_ec2, RuleMode::MatchAny, [&rule]);
        let looked = look(&control, no_secrets(), Ec2Sources::with_client(ec2), "").await;
        assert_eq!(looked.is_ok(), found, "{state:?}: {looked:?}");
        assert!(found || matches!(looked, Err(Trouble::Machine(_))));
    }
    for (code, machine) in [
        ("InvalidInstanceID.NotFound", true),
        ("UnauthorizedOperation", false),
    ] {
        let rule = mock!(aws_sdk_ec2::Client::describe_instances).then_error(move || {
            DescribeInstancesError::generic(ErrorMetadata::builder().code(code).build())
        });
        let ec2 = mock_client!(aws_sdk_ec2, RuleMode::MatchAny, [&rule]);
        let looked = look(&control, no_secrets(), Ec2Sources::with_client(ec2), "").await;
        assert_eq!(
            matches!(looked, Err(Trouble::Machine(_))),
            machine,
            "{looked:?}"
        );
    }
}
