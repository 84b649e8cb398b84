//! Pages. A token names the last item given, so that items which come or go in between neither repeat nor hide others.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::error::{ApiError, ApiResult};

/// The service's own page size is not documented.
const USUAL: usize = 50;

/// One page of items, each with its key.
pub(super) fn page(items: Vec<(String, Value)>, input: &Value, operation: &str) -> ApiResult {
    let size = input["maxResults"]
        .as_u64()
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(USUAL);
    let from = match input["nextToken"].as_str().filter(|t| !t.is_empty()) {
        None => 0,
        Some(token) => {
            let last = decode(token, operation);
            let at = last.and_then(|last| items.iter().position(|(key, _)| *key == last));
            at.ok_or_else(|| ApiError::field("nextToken", "is not a token of this operation"))? + 1
        }
    };
    let more = items.len() > from + size;
    let taken: Vec<_> = items.into_iter().skip(from).take(size).collect();
    let last = taken.last().map(|(key, _)| key.clone());
    let mut out = json!({"items": taken.into_iter().map(|(_, item)| item).collect::<Vec<_>>()});
    if let Some(last) = last.filter(|_| more) {
        out["nextToken"] = URL_SAFE_NO_PAD.encode(format!("{operation} {last}")).into();
    }
    Ok(out)
}

fn decode(token: &str, operation: &str) -> Option<String> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    Some(text.strip_prefix(operation)?.strip_prefix(' ')?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(keys: &[&str]) -> Vec<(String, Value)> {
        keys.iter().map(|k| ((*k).to_owned(), json!(k))).collect()
    }

    #[test]
    fn pages_hold_although_items_come_in_front() {
        let first = page(items(&["c", "b", "a"]), &json!({"maxResults": 2}), "X").unwrap();
        assert_eq!(first["items"], json!(["c", "b"]));
        let token = &first["nextToken"];
        let second = page(
            items(&["d", "c", "b", "a"]),
            &json!({"maxResults": 2, "nextToken": token}),
            "X",
        )
        .unwrap();
        assert_eq!(second, json!({"items": ["a"]}));
        assert!(page(items(&["c", "b", "a"]), &json!({"nextToken": token}), "Y").is_err());
        assert!(page(items(&["c"]), &json!({"nextToken": "???"}), "X").is_err());
    }
}
