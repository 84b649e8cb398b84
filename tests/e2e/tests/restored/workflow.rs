//! The stack's own workflow with a way to fail before and after each state, for migrations whose ID asks for it.

use std::collections::BTreeMap;

use landfall_e2e::Stack;
use serde_json::{Value, json};

/// What comes after the rollback has begun, or after the end: a failure there undoes nothing more.
const BEHIND: [&str; 17] = [
    "Duplicate",
    "Rollback",
    "RolledBack",
    "RollbackGate",
    "Freeze",
    "Callback",
    "CallbackOver",
    "CallbackPause",
    "Outcome",
    "Retention",
    "DecommissionWanted",
    "DecommissionGate",
    "Archive",
    "Finalized",
    "Succeeded",
    "Failed",
    "CompleteWithoutSwitch",
];
/// After it the point of no return is passed; what fails in it, and just before its last call, has a test of its own.
const POINT_OF_NO_RETURN: &str = "FinalizeCutover";

/// A place where a migration fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The state.
    pub(crate) state: String,
    /// Whether the state has done its work.
    pub(crate) after: bool,
}

impl Place {
    /// The end of the migration's ID.
    pub(crate) fn name(&self) -> String {
        format!(
            "{}{}",
            if self.after { "after" } else { "before" },
            self.state
        )
    }
}

/// Every state that a migration passes on its way to the end, and with each that does something, what follows it.
pub(crate) fn places(definition: &Value) -> Vec<Place> {
    let states = definition["States"].as_object().expect("states");
    let ahead = states
        .iter()
        .filter(|(name, _)| !BEHIND.contains(&name.as_str()));
    ahead
        .flat_map(|(name, state)| {
            let works = state["Type"] == "Task" && name != POINT_OF_NO_RETURN;
            let place = |after| Place {
                state: name.clone(),
                after,
            };
            std::iter::once(place(false)).chain(works.then(|| place(true)))
        })
        .collect()
}

/// The definition in which the migrations of these places fail there.
pub(crate) fn failing(definition: &Value, places: &[Place]) -> Value {
    let mut changed = definition.clone();
    let states = changed["States"].as_object_mut().expect("states");
    let mut entries = BTreeMap::new();
    for place in places.iter().filter(|place| !place.after) {
        entries.insert(place.state.clone(), format!("Before {}", place.state));
    }
    // Every road into a state leads past the choice before it.
    for state in states.values_mut() {
        redirect(state, &entries);
    }
    for place in places {
        let id = place.name();
        let (choice, failure) = (
            format!(
                "{} {}",
                if place.after { "After" } else { "Before" },
                place.state
            ),
            format!("Fail {id}"),
        );
        let onward = if place.after {
            let state = states[&place.state].as_object_mut().expect("a state");
            let next = state.insert("Next".to_owned(), choice.clone().into());
            next.expect("a task leads somewhere")
        } else {
            place.state.clone().into()
        };
        states.insert(failure.clone(), failing_state(&states[&place.state], place));
        // Before it is claimed, only the event says whose execution it is.
        let whose = if place.state == "ClaimMigration" && !place.after {
            "$states.input.detail.migrationId"
        } else {
            "$stage.migrationId"
        };
        let condition =
            format!("{{% $substringAfter($substringAfter({whose}, 'e2e-'), '-') = '{id}' %}}");
        states.insert(
            choice,
            json!({
                "Type": "Choice", "Choices": [{"Condition": condition, "Next": failure}], "Default": onward,
            }),
        );
    }
    let start = changed["StartAt"].as_str().expect("a start");
    if let Some(entry) = entries.get(start) {
        changed["StartAt"] = entry.clone().into();
    }
    changed
}

fn redirect(state: &mut Value, entries: &BTreeMap<String, String>) {
    let swap = |next: &mut Value| {
        if let Some(entry) = next.as_str().and_then(|name| entries.get(name)) {
            *next = entry.clone().into();
        }
    };
    for member in ["Next", "Default"] {
        if let Some(next) = state.get_mut(member) {
            swap(next);
        }
    }
    for rules in ["Choices", "Catch"] {
        let rules = state.get_mut(rules).and_then(Value::as_array_mut);
        for rule in rules.into_iter().flatten() {
            swap(&mut rule["Next"]);
        }
    }
}

/// What a state does when it fails: it remembers the failure, and whatever else its own catch of everything remembers while
/// nothing else has.
fn failing_state(state: &Value, place: &Place) -> Value {
    let catch = state["Catch"]
        .as_array()
        .and_then(|all| all.last().cloned());
    let mut assign = match catch {
        Some(catch) if !place.after => catch["Assign"].clone(),
        _ => json!({}),
    };
    assign["failure"] = json!({
        "error": "MigrationExecutionError", "cause": "a test makes it fail here", "state": place.state,
    });
    json!({"Type": "Pass", "Assign": assign, "Output": "{% {} %}", "Next": "Rollback"})
}

/// The definition that the stack runs.
pub(crate) async fn read(stack: &Stack) -> Value {
    let answer = stack
        .sfn
        .describe_state_machine()
        .state_machine_arn(&stack.info.state_machine_arn)
        .send()
        .await;
    let answer = answer.expect("DescribeStateMachine");
    serde_json::from_str(answer.definition()).expect("a definition in JSON")
}

/// Gives the stack a definition, for executions that start from now on.
pub(crate) async fn write(stack: &Stack, definition: &Value) {
    let update = stack
        .sfn
        .update_state_machine()
        .state_machine_arn(&stack.info.state_machine_arn)
        .definition(definition.to_string());
    update.send().await.expect("UpdateStateMachine");
}
