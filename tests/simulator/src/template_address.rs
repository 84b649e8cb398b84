//! The private address of a launch template's network interface, which `MiniStack` 1.5 forgets.
//!
//! It keeps descriptions: on the way there the address is written into the interface's, on the way back it is taken
//! out again.

use std::sync::LazyLock;

use regex::Regex;

/// What stands before the address in a description.
const MARK: &str = "private-ip=";

static MARKED: LazyLock<Regex> = LazyLock::new(|| {
    #[allow(clippy::expect_used, reason = "a constant that a test compiles")]
    Regex::new("<description>(?:([^<]*?) )?private-ip=([0-9.]+)</description>")
        .expect("a constant pattern")
});

/// The form of a request, with the addresses of a launch template's interfaces in their descriptions.
pub(crate) fn there(form: &str) -> String {
    let mut pairs: Vec<(String, String)> = form_urlencoded::parse(form.as_bytes())
        .into_owned()
        .collect();
    let addresses: Vec<(String, String)> = pairs
        .iter()
        .filter_map(|(name, value)| {
            let interface = name.strip_suffix(".PrivateIpAddress")?;
            interface
                .starts_with("LaunchTemplateData.NetworkInterface.")
                .then(|| (format!("{interface}.Description"), value.clone()))
        })
        .collect();
    if addresses.is_empty() {
        return form.to_owned();
    }
    for (name, address) in addresses {
        let marked = format!("{MARK}{address}");
        match pairs.iter_mut().find(|(other, _)| *other == name) {
            Some((_, description)) => *description = format!("{description} {marked}"),
            None => pairs.push((name, marked)),
        }
    }
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

/// An answer, with the addresses where EC2 has them.
pub(crate) fn back(text: &str) -> String {
    let apart = |found: &regex::Captures<'_>| {
        let address = format!("<privateIpAddress>{}</privateIpAddress>", &found[2]);
        match found.get(1) {
            Some(own) => format!("<description>{}</description>{address}", own.as_str()),
            None => address,
        }
    };
    MARKED.replace_all(text, apart).into_owned()
}

/// The address in a description.
pub(crate) fn of(description: &str) -> Option<&str> {
    description
        .rsplit(' ')
        .next()
        .and_then(|last| last.strip_prefix(MARK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_goes_there_and_comes_back() {
        let given = "Action=CreateLaunchTemplateVersion\
            &LaunchTemplateData.NetworkInterface.1.PrivateIpAddress=10.0.0.5\
            &LaunchTemplateData.NetworkInterface.2.Description=second+one\
            &LaunchTemplateData.NetworkInterface.2.PrivateIpAddress=10.0.0.6";
        let sent = there(given);
        let of_first = "LaunchTemplateData.NetworkInterface.1.Description=private-ip%3D10.0.0.5";
        assert!(sent.contains(of_first), "{sent}");
        assert!(sent.contains("second+one+private-ip%3D10.0.0.6"), "{sent}");
        let answer = "<item><description>private-ip=10.0.0.5</description></item>\
            <item><description>second one private-ip=10.0.0.6</description></item>\
            <item><description>a third</description></item>";
        let shown = "<item><privateIpAddress>10.0.0.5</privateIpAddress></item>\
            <item><description>second one</description><privateIpAddress>10.0.0.6</privateIpAddress></item>\
            <item><description>a third</description></item>";
        assert_eq!(back(answer), shown);
        assert_eq!(of("second one private-ip=10.0.0.6"), Some("10.0.0.6"));
        assert_eq!(of("a third"), None);
    }

    #[test]
    fn any_other_form_is_passed_on_as_it_is() {
        let given = "Action=RunInstances&PrivateIpAddress=10.0.0.5&X=%2F";
        assert_eq!(there(given), given);
    }
}
