//! Stretches of time, and what is common to two sets of them.

use jiff::Timestamp;

/// A stretch of time: `from` belongs to it, `to` no longer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Its first instant.
    pub from: Timestamp,
    /// The first instant after it.
    pub to: Timestamp,
}

impl Span {
    /// Whether an instant belongs to it.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }

    /// What it has in common with another.
    fn common(self, other: Self) -> Option<Self> {
        let (from, to) = (self.from.max(other.from), self.to.min(other.to));
        (from < to).then_some(Self { from, to })
    }
}

/// Stretches of time in order, of which no two overlap or touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans(Vec<Span>);

impl Spans {
    /// Those that cover what any of the given ones covers.
    pub fn of(mut spans: Vec<Span>) -> Self {
        spans.retain(|span| span.from < span.to);
        spans.sort_unstable();
        let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
        for span in spans {
            match merged.last_mut() {
                Some(last) if span.from <= last.to => last.to = last.to.max(span.to),
                _ => merged.push(span),
            }
        }
        Self(merged)
    }

    /// One by one, in order.
    pub fn iter(&self) -> impl Iterator<Item = Span> + '_ {
        self.0.iter().copied()
    }

    /// What both cover.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let (mut mine, mut theirs) = (self.0.as_slice(), other.0.as_slice());
        let mut common = Vec::new();
        while let ([one, my_rest @ ..], [another, their_rest @ ..]) = (mine, theirs) {
            common.extend(one.common(*another));
            if one.to <= another.to {
                mine = my_rest;
            } else {
                theirs = their_rest;
            }
        }
        Self(common)
    }

    /// What these cover and the others do not.
    #[must_use]
    pub fn without(&self, others: &Self) -> Self {
        self.and(&others.gaps())
    }

    /// Everything that is not covered.
    fn gaps(&self) -> Self {
        let mut gaps = Vec::with_capacity(self.0.len() + 1);
        let mut from = Timestamp::MIN;
        for span in &self.0 {
            gaps.push(Span {
                from,
                to: span.from,
            });
            from = span.to;
        }
        gaps.push(Span {
            from,
            to: Timestamp::MAX,
        });
        gaps.retain(|gap| gap.from < gap.to);
        Self(gaps)
    }

    /// The one that an instant belongs to.
    pub fn at(&self, at: Timestamp) -> Option<Span> {
        self.0.iter().copied().find(|span| span.contains(at))
    }

    /// The first that begins after an instant.
    pub fn after(&self, at: Timestamp) -> Option<Span> {
        self.0.iter().copied().find(|span| span.from > at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_spans() -> impl Strategy<Value = Vec<(i64, i64)>> {
        proptest::collection::vec((0_i64..60, 0_i64..20), 0..8)
            .prop_map(|pairs| pairs.into_iter().map(|(at, len)| (at, at + len)).collect())
    }

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn spans(pairs: &[(i64, i64)]) -> Spans {
        let span = |(from, to): &(i64, i64)| Span {
            from: second(*from),
            to: second(*to),
        };
        Spans::of(pairs.iter().map(span).collect())
    }

    fn covers(pairs: &[(i64, i64)], at: i64) -> bool {
        pairs.iter().any(|(from, to)| (*from..*to).contains(&at))
    }

    proptest! {
        #[test]
        fn sets_of_spans_are_sets_of_instants(one in any_spans(), other in any_spans()) {
            let (mine, theirs) = (spans(&one), spans(&other));
            let (both, rest) = (mine.and(&theirs), mine.without(&theirs));
            for at in -1..85 {
                let (here, there) = (covers(&one, at), covers(&other, at));
                prop_assert_eq!(mine.at(second(at)).is_some(), here);
                prop_assert_eq!(both.at(second(at)).is_some(), here && there);
                prop_assert_eq!(rest.at(second(at)).is_some(), here && !there);
            }
            for set in [&mine, &both, &rest] {
                for pair in set.0.windows(2) {
                    prop_assert!(pair[0].to < pair[1].from, "{set:?}");
                }
            }
        }

        #[test]
        fn the_next_opening_is_the_first_instant_that_is_covered(one in any_spans(), at in 0_i64..70) {
            let mine = spans(&one);
            let expected = (at + 1..85).find(|next| covers(&one, *next) && !covers(&one, next - 1));
            prop_assert_eq!(mine.after(second(at)).map(|span| span.from.as_second()), expected);
        }
    }
}
