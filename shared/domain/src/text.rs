//! Text of others: names, reasons, raw errors.

/// Whether a character moves, hides or turns round what is around it on a reader's screen: controls, and Unicode's marks
/// without a width and for direction (UAX #9, UTR #36).
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}
