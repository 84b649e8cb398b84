//! `*` and `?` in IAM's policies.

/// Whether a text fits a pattern in which `*` stands for any characters and `?` for one.
pub(super) fn wildcard(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where the last `*` stands, and how far it has been stretched.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, stretched)) = star else {
                    return false;
                };
                star = Some((at, stretched + 1));
                p = at + 1;
                t = stretched + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// The same for ARNs, of which each of the six parts is compared with its own: a `*` does not reach into the next,
/// except at the end.
pub(super) fn arn_like(pattern: &str, text: &str) -> bool {
    if !pattern.starts_with("arn:") {
        return wildcard(pattern, text);
    }
    let mut patterns: Vec<&str> = pattern.splitn(6, ':').collect();
    if patterns.last() == Some(&"*") {
        patterns.resize(6, "*");
    }
    let texts: Vec<&str> = text.splitn(6, ':').collect();
    patterns.len() == texts.len() && patterns.iter().zip(texts).all(|(p, t)| wildcard(p, t))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stretch_as_far_as_they_must() {
        let table = [
            ("*", "", true),
            ("*", "anything", true),
            ("a*c", "abbbc", true),
            ("a*c", "abbb", false),
            ("*b*b", "abcb", true),
            ("*b*b", "abc", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("abc", "abcd", false),
            ("abc*", "abc", true),
            ("", "a", false),
        ];
        for (pattern, text, fits) in table {
            assert_eq!(wildcard(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn an_arn_is_compared_part_by_part() {
        let table = [
            ("*", "arn:aws:ec2:us-east-1:1:instance/i-1", true),
            (
                "arn:aws:ec2:*:1:instance/*",
                "arn:aws:ec2:us-east-1:1:instance/i-1",
                true,
            ),
            (
                "arn:aws:ec2:*",
                "arn:aws:ec2:us-east-1:1:instance/i-1",
                true,
            ),
            // `*` must not swallow the account.
            (
                "arn:aws:ec2:*:instance/*",
                "arn:aws:ec2:us-east-1:1:instance/i-1",
                false,
            ),
            (
                "arn:aws:ssm:*::document/AWS-RunShellScript",
                "arn:aws:ssm:eu-west-1::document/AWS-RunShellScript",
                true,
            ),
            (
                "arn:aws:ssm:*::document/AWS-RunShellScript",
                "arn:aws:ssm:eu-west-1:1:document/AWS-RunShellScript",
                false,
            ),
            ("arn:aws:iam::1:role/*", "arn:aws:iam::1:role/a/b", true),
            ("arn:aws:iam::1:role/*", "*", false),
        ];
        for (pattern, text, fits) in table {
            assert_eq!(arn_like(pattern, text), fits, "{pattern} {text}");
        }
    }
}
