//! The page of findings tells of every finding, and of nothing else; and each is shown by a test of the deployed function.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Names in the checks that are no findings of the pre-flight: states of MGN's, mostly.
const STATES: [&str; 9] = [
    "CUTTING_OVER",
    "INITIAL_SYNC",
    "NOT_READY",
    "PENDING_INSTALLATION",
    "READY_FOR_CUTOVER",
    "READY_FOR_TEST",
    // Told by the stages, once the pre-flight is over.
    "CMF_NOT_UPDATED",
    "SYMMETRIC_DEFAULT",
    "A_NEW_STATE",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every text in quotes that looks like a code.
fn codes(text: &str, quote: char) -> BTreeSet<String> {
    let is_code = |word: &&str| {
        word.contains('_')
            && !word.ends_with('_')
            && word.starts_with(|c: char| c.is_ascii_uppercase())
            && word
                .chars()
                .all(|c| c == '_' || c.is_ascii_uppercase() || c.is_ascii_digit())
    };
    let words = text
        .lines()
        .flat_map(|line| line.split(quote).skip(1).step_by(2));
    words.filter(is_code).map(str::to_owned).collect()
}

#[test]
fn the_page_lists_the_codes_that_the_checks_give() {
    let mut given = BTreeSet::new();
    let checks = root().join("functions/validate-input/src/checks");
    let files = std::fs::read_dir(checks)
        .unwrap()
        .map(|file| file.unwrap().path());
    let shared = [
        "shared/accounts/src/refusal.rs",
        "shared/domain/src/cmf.rs",
        "shared/domain/src/decommission.rs",
        "shared/domain/src/launch/disks.rs",
        "shared/domain/src/launch/gates.rs",
        "shared/launch/src/key.rs",
    ];
    for file in files.chain(shared.map(|file| root().join(file))) {
        given.extend(codes(&std::fs::read_to_string(file).unwrap(), '"'));
    }
    given.retain(|code| !STATES.contains(&code.as_str()));
    assert_eq!(listed(), given);
}

/// The codes of the page's table.
fn listed() -> BTreeSet<String> {
    let page = std::fs::read_to_string(root().join("docs/PREFLIGHT.md")).unwrap();
    let rows: String = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .fold(String::new(), |rows, line| {
            rows + line.split('|').nth(1).unwrap() + "\n"
        });
    codes(&rows, '`')
}

#[test]
fn every_code_is_asked_for_on_the_local_stack() {
    let files = std::fs::read_dir(root().join("tests/e2e/tests/checks")).unwrap();
    let asked: BTreeSet<String> = files
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .flat_map(|text| codes(&text, '"'))
        .collect();
    let unasked: Vec<_> = listed().difference(&asked).cloned().collect();
    assert!(
        unasked.is_empty(),
        "no test in tests/e2e/tests/checks makes the deployed function tell these: {unasked:?}"
    );
}
