use super::*;
use crate::stack::Pids;

fn stack() -> StackInfo {
    StackInfo {
        ministack_url: "http://127.0.0.1:4566".to_owned(),
        simulator_url: "http://127.0.0.1:4570".to_owned(),
        region: "us-east-1".to_owned(),
        account_id: "000000000000".to_owned(),
        table_name: "local-table".to_owned(),
        request_queue_url: "http://127.0.0.1:4566/000000000000/requests".to_owned(),
        request_dlq_url: String::new(),
        launch_queue_url: String::new(),
        callback_failed_queue_url: String::new(),
        event_bus_name: String::new(),
        state_machine_arn: String::new(),
        function_names: [(VALIDATOR.to_owned(), "local-validate-input".to_owned())].into(),
        operator_api_url: "http://127.0.0.1:4566/_aws/execute-api/a1b2c3d4/$default".to_owned(),
        notice_topic_arn: String::new(),
        notice_secret_arn: String::new(),
        callback_secret: String::new(),
        pids: Pids {
            ministack: 1,
            simulator: 2,
        },
    }
}

#[test]
fn a_flag_wins_and_means_aws() {
    let args = TargetArgs {
        table: Some("mine".to_owned()),
        ..TargetArgs::default()
    };
    let place = find(
        Resource::Table,
        &args,
        Path::new("/"),
        Surroundings::default(),
    )
    .unwrap();
    assert_eq!((place.value.as_str(), place.endpoint), ("mine", None));
    let aws = "https://sqs.eu-central-1.amazonaws.com/123456789012/requests";
    let place = given(Resource::RequestQueue, aws, None, Some(aws), Some(&stack()));
    assert_eq!(
        (place.region, place.endpoint, place.otherwise),
        (None, None, None)
    );
}

#[test]
fn a_named_resource_of_a_local_stack_needs_neither_endpoint_nor_region() {
    let here = "http://127.0.0.1:4566";
    let queue = |url: &str| TargetArgs {
        queue_url: Some(url.to_owned()),
        ..TargetArgs::default()
    };
    let table = |region: Option<&str>| TargetArgs {
        table: Some("any-migrations".to_owned()),
        region: region.map(str::to_owned),
        ..TargetArgs::default()
    };
    let find = |resource, args, endpoint| {
        let around = Surroundings {
            endpoint,
            stack: None,
        };
        find(resource, &args, Path::new("/"), around).unwrap()
    };
    let found = [
        find(
            Resource::RequestQueue,
            queue(&format!("{here}/0/a-requests")),
            None,
        ),
        find(
            Resource::RequestQueue,
            queue("http://[::1]:1/a-requests"),
            Some(here),
        ),
        find(
            Resource::Validator,
            queue(&format!("{here}/0/a-requests")),
            None,
        ),
        find(Resource::Table, table(None), Some("http://localhost:4566/")),
        find(Resource::Validator, table(Some("eu-west-1")), Some(here)),
        find(
            Resource::Table,
            table(None),
            Some("https://vpce.example.com"),
        ),
    ];
    let found = found.map(|place| (place.endpoint, place.region));
    let local = |endpoint: &str, region: &str| (Some(endpoint.to_owned()), Some(region.to_owned()));
    assert_eq!(
        found,
        [
            local(here, "us-east-1"),
            local("http://[::1]:1", "us-east-1"),
            local(here, "us-east-1"),
            local("http://localhost:4566", "us-east-1"),
            local(here, "eu-west-1"),
            (None, None),
        ]
    );
}

#[test]
fn a_name_that_the_local_stack_has_too_is_its_own_where_no_region_is_known() {
    let place = given(Resource::Table, "local-table", None, None, Some(&stack()));
    assert_eq!((place.region, place.endpoint), (None, None));
    let local = of_stack(Resource::Table, &stack(), None).unwrap();
    assert_eq!(place.otherwise.as_deref(), Some(&local));
    let place = given(Resource::Table, "another", None, None, Some(&stack()));
    assert_eq!(place.otherwise, None);
}

#[test]
fn a_local_stack_brings_its_endpoint_and_region() {
    let place = of_stack(Resource::Table, &stack(), None).unwrap();
    assert_eq!(place.value, "local-table");
    assert_eq!(place.region.as_deref(), Some("us-east-1"));
    assert_eq!(place.endpoint.as_deref(), Some("http://127.0.0.1:4566"));
}

#[test]
fn the_function_s_name_follows_from_those_of_its_deployment() {
    let find = |function: &str, table: &str, queue: &str| {
        let args = TargetArgs {
            validate_function: Some(function.to_owned()),
            operator_api: None,
            table: Some(table.to_owned()),
            queue_url: Some(queue.to_owned()),
            region: None,
        };
        find(
            Resource::Validator,
            &args,
            Path::new("/"),
            Surroundings::default(),
        )
        .map(|place| place.value)
    };
    let queue = "https://sqs.eu-central-1.amazonaws.com/123456789012/b-requests";
    assert_eq!(find("mine", "a-migrations", queue).unwrap(), "mine");
    assert_eq!(find("", "a-migrations", queue).unwrap(), "a-validate-input");
    assert_eq!(find("", "", queue).unwrap(), "b-validate-input");
    let error = find("", "a-table", queue).unwrap_err();
    assert!(error.remedy.contains("--validate-function"), "{error}");
}

#[test]
fn terraform_names_things_as_is_assumed_here() {
    let named = [
        (
            include_str!("../../../../terraform/locals.tf"),
            "\"${var.name_prefix}-migrations\"",
        ),
        (
            include_str!("../../../../terraform/main.tf"),
            "\"${var.name_prefix}-requests\"",
        ),
        (
            include_str!("../../../../terraform/main.tf"),
            "\"${var.name_prefix}-${each.key}\"",
        ),
        (
            include_str!("../../../../terraform/locals.tf"),
            "\n    validate-input = {\n",
        ),
    ];
    for (code, name) in named {
        assert!(code.contains(name), "{name}");
    }
}

#[test]
fn a_stack_of_an_earlier_version_is_brought_up_to_date() {
    let mut earlier = stack();
    earlier.function_names.clear();
    let error = of_stack(Resource::Validator, &earlier, None).unwrap_err();
    assert!(error.remedy.contains("landfall up"), "{error}");
    let place = of_stack(Resource::Validator, &stack(), None).unwrap();
    assert_eq!(place.value, "local-validate-input");
}

#[test]
fn terraform_s_outputs_bring_their_region() {
    let outputs = serde_json::json!({
        "table_name": {"value": "t"}, "region": {"value": "eu-central-1"},
        "function_names": {"value": {"ingress": "l-ingress", "validate-input": "l-validate-input"}},
    });
    let validator = of_terraform(Resource::Validator, &outputs, None).unwrap();
    assert_eq!(validator.value, "l-validate-input");
    let place = of_terraform(Resource::Table, &outputs, None).unwrap();
    assert_eq!(
        (place.value.as_str(), place.region.as_deref()),
        ("t", Some("eu-central-1"))
    );
    assert_eq!(of_terraform(Resource::RequestQueue, &outputs, None), None);
}

#[test]
fn nothing_known_names_every_way_to_make_it_known() {
    let folder = std::env::temp_dir().join(format!("landfall-target-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&folder).unwrap();
    let error = find(
        Resource::RequestQueue,
        &TargetArgs::default(),
        &folder,
        Surroundings::default(),
    )
    .unwrap_err();
    for way in [
        "--queue-url",
        "LANDFALL_REQUEST_QUEUE_URL",
        "landfall up",
        "./terraform",
    ] {
        assert!(error.remedy.contains(way), "{way} is missing in: {error}");
    }
    std::fs::remove_dir(&folder).unwrap();
}

#[test]
fn the_stack_is_found_upwards() {
    let base = std::env::temp_dir().join(format!("landfall-target-{}", uuid::Uuid::new_v4()));
    let below = base.join("a/b");
    std::fs::create_dir_all(&below).unwrap();
    for folder in [".landfall", ".landfall-b"] {
        std::fs::create_dir_all(base.join(folder)).unwrap();
        assert_eq!(stack_root(folder, &below), None);
        std::fs::write(base.join(folder).join("stack.json"), "{}").unwrap();
        let found = Some(base.canonicalize().unwrap());
        assert_eq!(stack_root(folder, &below), found);
    }
    std::fs::remove_dir_all(&base).unwrap();
}

#[test]
fn a_named_stack_that_does_not_stand_leads_nowhere_else() {
    let base = std::env::temp_dir().join(format!("landfall-target-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir_all(base.join(".landfall")).unwrap();
    std::fs::write(base.join(".landfall/stack.json"), "{}").unwrap();
    let named = |stack| Surroundings {
        endpoint: None,
        stack: Some(stack),
    };
    let args = TargetArgs::default();
    let error = find(Resource::Table, &args, &base, named("b")).unwrap_err();
    assert!(error.to_string().contains("no local stack b"), "{error}");
    assert!(
        error.remedy.contains("LANDFALL_STACK=b landfall up"),
        "{error}"
    );
    let error = find(Resource::Table, &args, &base, named("..")).unwrap_err();
    assert!(error.to_string().contains("LANDFALL_STACK"), "{error}");
    // What was named by a flag needs no stack.
    let args = TargetArgs {
        table: Some("mine".to_owned()),
        ..args
    };
    for name in ["b", ".."] {
        let place = find(Resource::Table, &args, &base, named(name)).unwrap();
        assert_eq!((place.value.as_str(), place.endpoint), ("mine", None));
    }
    std::fs::remove_dir_all(&base).unwrap();
}
