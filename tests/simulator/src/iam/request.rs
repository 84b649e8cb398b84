//! The form of a `SimulatePrincipalPolicy`.

use std::collections::BTreeMap;

use super::condition::Context;
use crate::error::{ApiError, ApiResult};

/// The members of a form.
pub(super) type Form = BTreeMap<String, String>;

/// Members that would change the decision in a way that is not simulated.
const NOT_SIMULATED: [&str; 6] = [
    "CallerArn",
    "PermissionsBoundaryPolicyInputList",
    "PolicyExclusionList",
    "ResourceHandlingOption",
    "ResourceOwner",
    "ResourcePolicy",
];

/// What is to be simulated.
#[derive(Debug)]
pub(super) struct Request {
    /// The role's ARN.
    pub(super) principal: String,
    /// Each is decided on each resource.
    pub(super) actions: Vec<String>,
    /// ARNs, or `*`.
    pub(super) resources: Vec<String>,
    /// Documents beside the role's own.
    pub(super) policies: Vec<String>,
    /// What the conditions see.
    pub(super) context: Context,
    /// The first result that is given.
    pub(super) from: usize,
    /// How many are given.
    pub(super) size: usize,
}

impl Request {
    /// Reads a form.
    pub(super) fn read(form: &Form) -> ApiResult<Self> {
        let invalid = |message: String| ApiError::new("InvalidInput", 400, message);
        for name in NOT_SIMULATED {
            if form.keys().any(|key| key.split('.').next() == Some(name)) {
                return Err(invalid(format!("{name} is not simulated.")));
            }
        }
        let Some(principal) = form.get("PolicySourceArn").cloned() else {
            return Err(invalid("PolicySourceArn is missing.".into()));
        };
        let actions = members(form, "ActionNames");
        if actions.is_empty() {
            return Err(invalid("ActionNames is missing.".into()));
        }
        if let Some(action) = actions.iter().find(|action| !action.contains(':')) {
            return Err(invalid(format!(
                "The action {action} does not name its service, as in mgn:StartTest."
            )));
        }
        let resources = Some(members(form, "ResourceArns")).filter(|list| !list.is_empty());
        let number = |name: &str, otherwise: usize| match form.get(name) {
            None => Ok(otherwise),
            Some(text) => text
                .parse()
                .map_err(|_| invalid(format!("{name} `{text}` is not a number."))),
        };
        Ok(Self {
            principal,
            actions,
            resources: resources.unwrap_or_else(|| vec!["*".into()]),
            policies: members(form, "PolicyInputList"),
            context: context(form),
            from: number("Marker", 0)?,
            size: number("MaxItems", 100)?.clamp(1, 1_000),
        })
    }
}

fn context(form: &Form) -> Context {
    let entries: Vec<_> = (1..)
        .map_while(|n| {
            let entry = format!("ContextEntries.member.{n}");
            let key = form.get(&format!("{entry}.ContextKeyName"))?;
            let values = members(form, &format!("{entry}.ContextKeyValues"));
            Some((key.as_str(), values))
        })
        .collect();
    Context::new(entries)
}

/// `Name.member.1`, `Name.member.2`, …
fn members(form: &Form, name: &str) -> Vec<String> {
    (1..)
        .map_while(|n| form.get(&format!("{name}.member.{n}")).cloned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(members: &[(&str, &str)]) -> Form {
        let members = members.iter();
        members
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn lists_and_defaults_are_read() {
        let read = Request::read(&form(&[
            ("PolicySourceArn", "arn:aws:iam::1:role/a"),
            ("ActionNames.member.1", "mgn:StartTest"),
            ("ActionNames.member.2", "mgn:StartCutover"),
            ("MaxItems", "5000"),
            ("Marker", "7"),
        ]));
        let read = read.unwrap();
        assert_eq!(read.actions, ["mgn:StartTest", "mgn:StartCutover"]);
        assert_eq!(read.resources, ["*"]);
        assert_eq!((read.from, read.size), (7, 1_000));
    }

    #[test]
    fn what_is_missing_wrong_or_not_simulated_is_named() {
        let good = [
            ("PolicySourceArn", "arn:aws:iam::1:role/a"),
            ("ActionNames.member.1", "mgn:StartTest"),
        ];
        let with = |extra: (&str, &str)| form(&[good[0], good[1], extra]);
        let table = [
            (form(&good[1..]), "PolicySourceArn"),
            (form(&good[..1]), "ActionNames"),
            (with(("ActionNames.member.2", "StartTest")), "StartTest"),
            (with(("Marker", "x")), "Marker"),
            (with(("ResourcePolicy", "{}")), "ResourcePolicy"),
            (
                with(("PermissionsBoundaryPolicyInputList.member.1", "{}")),
                "PermissionsBoundary",
            ),
        ];
        for (form, text) in table {
            let refused = Request::read(&form).unwrap_err();
            assert_eq!(refused.name, "InvalidInput");
            assert!(refused.message.contains(text), "{refused:?}");
        }
    }
}
