//! The stack's own workflow with a way to fail before and after each state, for migrations whose ID asks for it.

use std::collections::BTreeMap;

use landfall_e2e::Stack;
use serde_json::{Value, json};

/// Of what every place says that it fails.
pub(crate) const CAUSE: &str = "a test makes it fail here";

/// A place where a migration fails.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The state.
    pub(crate) state: String,
    /// Whether the state has done its work, and only its answer is lost.
    pub(crate) after: bool,
}

impl Place {
    pub(crate) fn before(state: &str) -> Self {
        Self {
            state: state.to_owned(),
            after: false,
        }
    }

    pub(crate) fn after(state: &str) -> Self {
        Self {
            state: state.to_owned(),
            after: true,
        }
    }

    /// The end of the ID of the migration that fails there.
    pub(crate) fn name(&self) -> String {
        let when = if self.after { "after" } else { "before" };
        format!("{when}{}", self.state)
    }

    /// The choice that leads the migrations that fail here away from all others.
    fn choice(&self) -> String {
        let when = if self.after { "After" } else { "Before" };
        format!("{when} {}", self.state)
    }
}

/// The definition in which, at each of these places, the migrations whose IDs end so fail in their first attempt: as Step
/// Functions fails a state, so what catches everything there catches this, and where nothing does, the execution ends.
pub(crate) fn failing(definition: &Value, places: &BTreeMap<Place, Vec<String>>) -> Value {
    let mut changed = definition.clone();
    // Nobody waits for days here.
    changed["States"]["Retention"]["Seconds"] = json!(1);
    let states = changed["States"].as_object_mut().expect("states");
    let entries: BTreeMap<String, String> = places
        .keys()
        .filter(|place| !place.after)
        .map(|place| (place.state.clone(), place.choice()))
        .collect();
    // Every road into a state leads past the choice before it.
    for state in states.values_mut() {
        redirect(state, &entries);
    }
    for (place, names) in places {
        let (choice, failure) = (place.choice(), format!("Fail {}", place.name()));
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
            "$states.input.detail"
        } else {
            "$stage"
        };
        let names = json!(names).to_string().replace('"', "'");
        // A finalize that is held back half-way comes again, and so does a rollback that must be agreed to: it is the end
        // of each that is meant.
        let over = match (place.state.as_str(), place.after) {
            ("FinalizeCutover", true) | ("Finalized", false) => " and $not($held)",
            ("Rollback", true) => " and $not($approvalWanted)",
            _ => "",
        };
        let condition = format!(
            "{{% ($substringAfter($substringAfter({whose}.migrationId, 'e2e-'), '-') in {names}) and {whose}.attempt = 1{over} %}}"
        );
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

/// What a state does when it fails: what its own catch of everything does, which it has at the end; without one it ends the
/// execution.
fn failing_state(state: &Value, place: &Place) -> Value {
    let catches = state["Catch"].as_array();
    let Some(catch) = catches.and_then(|all| all.last()) else {
        return json!({"Type": "Fail", "Error": "States.Runtime", "Cause": CAUSE});
    };
    assert_eq!(catch["ErrorEquals"], json!(["States.ALL"]), "{place:?}");
    let mut fails = json!({"Type": "Pass", "Output": "{% {} %}", "Next": catch["Next"]});
    let assigned = catch["Assign"].as_object().into_iter().flatten();
    for (name, value) in assigned {
        let text = value.as_str().unwrap_or_default();
        if text.contains("$states.errorOutput") {
            // Only what catches an error can read it.
            fails["Assign"][name] = json!({
                "error": "MigrationExecutionError", "cause": CAUSE, "state": place.state,
            });
        } else if !(place.after && text.contains("$states.input")) {
            // What it reads from its input it has assigned itself once it has done its work.
            fails["Assign"][name] = value.clone();
        }
    }
    fails
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
