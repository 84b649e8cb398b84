//! A notice as mail, for Slack and for Microsoft Teams.
//!
//! Sources: SNS `Publish` (Subject: ASCII, fewer than 100 characters, no line breaks); Slack, "Formatting text for app
//! surfaces" (`&`, `<` and `>` are escaped) and incoming webhooks; Teams, webhooks of Workflows (an Adaptive Card as an
//! attachment of a message) and "Text features" of cards (a subset of Markdown).

use serde_json::{Value, json};

use super::{Level, Notice};

/// A mail by SNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// ASCII, fewer than 100 characters.
    pub subject: String,
    /// Plain text.
    pub body: String,
}

/// The notice as a mail.
pub fn mail(notice: &Notice) -> Mail {
    let mark = match notice.level {
        Level::Wanted => "[action] ",
        Level::Bad => "[problem] ",
        Level::Good | Level::Note => "",
    };
    let subject: String = format!("Landfall: {mark}{}", notice.title)
        .chars()
        .map(|c| {
            if c == ' ' || c.is_ascii_graphic() {
                c
            } else {
                '?'
            }
        })
        .take(99)
        .collect();
    let facts = notice.facts.iter();
    let facts: Vec<String> = facts
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let commands = notice.commands.iter();
    let commands: Vec<String> = commands
        .map(|(what, line)| format!("{what}:\n  {line}"))
        .collect();
    let parts = [
        notice.title.clone(),
        notice.paragraphs.join("\n\n"),
        commands.join("\n"),
        facts.join("\n"),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    Mail {
        subject: subject.trim_end().to_owned(),
        body: parts.join("\n\n") + "\n",
    }
}

/// The notice as the body for an incoming webhook of Slack.
pub fn slack(notice: &Notice) -> Value {
    let safe = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            // Marks of Slack's own: nobody else's text becomes bold or code.
            .replace(['*', '`', '~'], "'")
    };
    let sign = match notice.level {
        Level::Wanted => ":raising_hand:",
        Level::Bad => ":red_circle:",
        Level::Good => ":large_green_circle:",
        Level::Note => ":information_source:",
    };
    let mut lines = vec![format!("{sign} *{}*", safe(&notice.title))];
    lines.extend(notice.paragraphs.iter().map(|text| safe(text)));
    for (what, line) in &notice.commands {
        lines.push(format!("{}: `{}`", safe(what), safe(line)));
    }
    let facts = notice.facts.iter();
    let facts: Vec<String> = facts
        .map(|(name, value)| format!("{name}: {}", safe(value)))
        .collect();
    lines.push(facts.join(" | "));
    // Nothing in it is to be unfurled, and no name is to be rung.
    json!({ "text": lines.join("\n"), "unfurl_links": false, "unfurl_media": false })
}

/// The notice as the body for a webhook of Teams.
pub fn teams(notice: &Notice) -> Value {
    let safe = |text: &str| {
        let mut safe = String::with_capacity(text.len());
        for c in text.chars() {
            if r"\`*_[]()#<>".contains(c) {
                safe.push('\\');
            }
            safe.push(c);
        }
        safe
    };
    let color = match notice.level {
        Level::Wanted => "Accent",
        Level::Bad => "Attention",
        Level::Good => "Good",
        Level::Note => "Default",
    };
    let mut body = vec![json!({
        "type": "TextBlock", "text": safe(&notice.title), "weight": "Bolder", "size": "Medium", "color": color, "wrap": true,
    })];
    for text in &notice.paragraphs {
        body.push(json!({ "type": "TextBlock", "text": safe(text), "wrap": true }));
    }
    for (what, line) in &notice.commands {
        body.push(json!({ "type": "TextBlock", "text": format!("{}:", safe(what)), "wrap": true }));
        // A run of text is shown as it is, without Markdown: a line to be copied.
        body.push(json!({
            "type": "RichTextBlock",
            "inlines": [{ "type": "TextRun", "text": line, "fontType": "Monospace" }],
        }));
    }
    let facts: Vec<Value> = notice
        .facts
        .iter()
        .map(|(name, value)| json!({ "title": name, "value": safe(value) }))
        .collect();
    body.push(json!({ "type": "FactSet", "facts": facts }));
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
                "body": body,
            },
        }],
    })
}
