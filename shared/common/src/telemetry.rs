//! Logs and metrics: one JSON object a line on standard output, which Lambda ships to CloudWatch.
//!
//! Every line has `timestamp` (RFC 3339), `level`, `message`, and what the invocation is about: `function`,
//! `requestId`, `correlationId`, `migrationId`, `tenantId`, `wave`. Metrics are CloudWatch embedded metric
//! format. Never a payload, a task token or a secret.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use landfall_domain::MigrationRecord;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Span, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// The CloudWatch namespace of Landfall's metrics.
pub const NAMESPACE: &str = "Landfall";

/// Installs the subscriber, once; `level` as in `LANDFALL_LOG`, for example `info` or `landfall_mgn=debug,info`.
/// The Lambda runtime logs every error once more by itself, in its debug form; ours at the boundary is enough.
pub fn init(level: &str) {
    let level = &format!("{level},lambda_runtime=off");
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    // A second call (tests in one process) finds a subscriber already there, which is as good.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .fmt_fields(JsonFields::new())
        .event_format(FlatJson)
        .try_init();
}

/// The span of one piece of work; [`identify`] fills in the rest once the record is known.
pub fn work_span(function: &str, request_id: &str, correlation_id: &str) -> Span {
    tracing::info_span!(
        "work",
        function,
        requestId = request_id,
        correlationId = correlation_id,
        migrationId = tracing::field::Empty,
        tenantId = tracing::field::Empty,
        wave = tracing::field::Empty,
    )
}

/// Tells the current span which migration the work is about.
pub fn identify(record: &MigrationRecord) {
    let span = Span::current();
    span.record("correlationId", record.correlation_id.as_str());
    span.record("migrationId", record.migration_id.as_str());
    span.record("tenantId", record.tenant_id.as_str());
    span.record("wave", record.request.wave.as_str());
}

/// The unit of a metric, as CloudWatch names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Unit {
    Count,
    Seconds,
    Milliseconds,
}

/// Emits one metric with one dimension, `Function`.
pub fn metric(function: &str, name: &str, value: f64, unit: Unit) {
    let line = emf(
        function,
        name,
        value,
        unit,
        jiff::Timestamp::now().as_millisecond(),
    );
    // Standard output that is gone leaves nobody to tell.
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn emf(function: &str, name: &str, value: f64, unit: Unit, at_ms: i64) -> Value {
    json!({
        "_aws": {
            "Timestamp": at_ms,
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [["Function"]],
                "Metrics": [{"Name": name, "Unit": format!("{unit:?}")}],
            }],
        },
        "Function": function,
        name: value,
    })
}

/// One flat JSON object per event: the spans' fields (outer first), then the event's own.
struct FlatJson;

impl<S, N> FormatEvent<S, N> for FlatJson
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> tracing_subscriber::fmt::FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Map::new();
        line.insert(
            "timestamp".into(),
            jiff::Timestamp::now().to_string().into(),
        );
        line.insert("level".into(), event.metadata().level().as_str().into());
        line.insert("message".into(), Value::String(String::new()));
        for span in ctx
            .event_scope()
            .into_iter()
            .flat_map(tracing_subscriber::registry::Scope::from_root)
        {
            let extensions = span.extensions();
            if let Some(fields) = extensions.get::<FormattedFields<N>>()
                && let Ok(Value::Object(fields)) = serde_json::from_str(&fields.fields)
            {
                line.extend(fields);
            }
        }
        event.record(&mut Fields(&mut line));
        writeln!(writer, "{}", Value::Object(line))
    }
}

struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn set(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        if write!(text, "{value:?}").is_ok() {
            self.set(field, text.into());
        }
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_one_flat_object_with_the_span_s_fields() {
        let buffer = Buffer::default();
        let sink = buffer.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || sink.clone())
            .fmt_fields(JsonFields::new())
            .event_format(FlatJson)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let span = work_span("ingress", "r-1", "c-1");
            let _guard = span.enter();
            Span::current().record("migrationId", "m-1");
            tracing::info!(duration_ms = 3, "done with \"it\"");
        });
        let bytes = buffer.0.lock().unwrap().clone();
        let line: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(line["message"], "done with \"it\"");
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["function"], "ingress");
        assert_eq!(line["requestId"], "r-1");
        assert_eq!(line["correlationId"], "c-1");
        assert_eq!(line["migrationId"], "m-1");
        assert_eq!(line["duration_ms"], 3);
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn a_metric_is_embedded_metric_format() {
        let line = emf("ingress", "Rejected", 1.0, Unit::Count, 5);
        assert_eq!(
            line["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Unit"],
            "Count"
        );
        assert_eq!(line["Rejected"], 1.0);
        assert_eq!(line["_aws"]["Timestamp"], 5);
    }
}
