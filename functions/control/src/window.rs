//! The window of a wave: set and cleared by an operator, read by whoever is about to take a step of a switch.

use futures_util::stream::{self, StreamExt as _};
use landfall_common::Invocation;
use landfall_common::caller::{self, Refusal};
use landfall_common::state::Key;
use landfall_common::state::wave::WaveWindow;
use landfall_domain::Status;
use landfall_domain::calendar::window::{self, Opening};
use landfall_domain::control::Order;
use landfall_domain::gate::Caller;
use landfall_domain::request::{DEFAULT_TENANT, Window, is_id};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Deps, TRIES};

/// How many migrations look again at once: API Gateway answers within 30 s.
const AT_ONCE: usize = 16;

/// The order, `{wave, window | clear: true, reason}`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body {
    #[serde(rename = "order")]
    _order: Name,
    tenant_id: Option<String>,
    wave: String,
    window: Option<Window>,
    #[serde(default)]
    clear: bool,
    reason: String,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Name {
    Window,
}

/// Whether an order is about a wave's window.
pub(crate) fn is_meant(body: &Value) -> bool {
    body["order"] == "window"
}

/// Sets or clears a wave's window. Migrations that wait for it look again at once, or within five minutes.
pub(crate) async fn carry_out(
    deps: &Deps,
    caller: &Caller,
    body: Value,
    invocation: &Invocation,
) -> Result<Value, Refusal> {
    let invalid = |pointer: &str, text: String| Refusal::new(400, "ORDER_INVALID", pointer, text);
    let body: Body = caller::order(body)?;
    let tenant = body.tenant_id.as_deref().unwrap_or(DEFAULT_TENANT);
    for (what, pointer, name) in [
        ("wave", "/wave", &*body.wave),
        ("tenant", "/tenantId", tenant),
    ] {
        if !is_id(name) {
            let start: String = name.chars().take(128).collect();
            let text = format!(
                "no migration can have the {what} {start:?}: it is 1 to 128 letters, digits, dots, hyphens and underscores, and begins \
                 with a letter or a digit"
            );
            return Err(invalid(pointer, text));
        }
    }
    if body.clear == body.window.is_some() {
        let text = "either a window is set or it is cleared: window, or clear".to_owned();
        return Err(invalid("/window", text));
    }
    let faults = body.window.as_ref().map(|it| window::faults(it, "/window"));
    if let Some(fault) = faults.and_then(|faults| faults.into_iter().next()) {
        return Err(invalid(&fault.pointer, fault.message).remedy(fault.remedy));
    }
    if let Some(window) = &body.window
        && Opening::of(window).is_ok_and(|opening| !opening.opens(invocation.now))
    {
        let text = "the window is over, and does not open again within a year".to_owned();
        let refusal = Refusal::new(400, "WINDOW_NEVER_OPENS", "/window", text);
        return Err(refusal.remedy("Set one that is to come, or clear the wave's window."));
    }
    let order = Order {
        by: caller.arn.clone(),
        reason: caller::words("/reason", &body.reason)?,
        at: invocation.now.to_string(),
    };
    let store = &deps.journal.store;
    for _ in 0..TRIES {
        let there = store.wave_window(tenant, &body.wave).await?;
        if let Some(there) = there.as_ref().filter(|it| it.window == body.window) {
            return Ok(told(there));
        }
        let next = WaveWindow {
            tenant_id: tenant.to_owned(),
            wave: body.wave.clone(),
            window: body.window.clone(),
            order: order.clone(),
            version: there.map_or(0, |it| it.version) + 1,
        };
        if store.set_wave_window(&next).await? {
            tracing::info!(
                by = next.order.by,
                reason = next.order.reason,
                wave = next.wave,
                "the window of a wave is set"
            );
            look_again(deps, tenant, &body.wave, invocation).await;
            return Ok(told(&next));
        }
    }
    let text = "others set the window of this wave at the same time";
    Err(Refusal::new(409, "CONFLICT", "/wave", text)
        .remedy("See what it is now, and send the order again."))
}

/// Lets those of the wave that are held look at their gates again. Whoever is missed is looked at by a sweep.
async fn look_again(deps: &Deps, tenant: &str, wave: &str, invocation: &Invocation) {
    let store = &deps.journal.store;
    let held = store
        .by_wave(tenant, wave, Some(Status::AwaitingWindow))
        .await;
    let work = held
        .unwrap_or_default()
        .into_iter()
        .map(|record| async move {
            let waits = store.waits_of(&Key::of(&record)).await.unwrap_or_default();
            for wait in waits.iter().filter(|wait| wait.kind.gate().is_some()) {
                if let Err(error) = deps.look_again(wait, invocation.now).await {
                    tracing::info!("a gate is left to a sweep: {error}");
                }
            }
        });
    stream::iter(work)
        .buffer_unordered(AT_ONCE)
        .collect::<()>()
        .await;
}

fn told(wave: &WaveWindow) -> Value {
    json!({ "wave": wave.wave, "window": wave.window, "order": wave.order })
}
