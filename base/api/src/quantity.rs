//! Quantities: amounts of cpu, memory and the like (`500m`, `1.5Gi`, `1e3`), with the rules of a stock server.
//!
//! Source: the Kubernetes page "Quantity". A quantity is a decimal number in steps of one nano; what is finer is rounded away from
//! zero. It remembers the family of suffixes that it was written with and prints its canonical form: no fraction, the largest suffix
//! that keeps it exact. Limits: 37 significant digits, exponents up to ±10,000.
use std::{cmp::Ordering, fmt, str::FromStr};

/// The family of suffixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `m`, none, `k`, `M`, …
    DecimalSi,
    /// `Ki`, `Mi`, …
    BinarySi,
    /// `e3`
    DecimalExponent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Form,
    #[error("unable to parse numeric part of quantity")]
    Number,
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// `mantissa × 10^scale`, kept without trailing zeros in the mantissa, `scale` at least -9.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    mantissa: i128,
    scale: i32,
    format: Format,
}

const NANO: i32 = -9;
const DIGITS_MAX: usize = 37;
/// With these the product with 2^60 stays exact.
const BINARY_DIGITS_MAX: usize = 19;
const EXPONENT_MAX: i32 = 10_000;

impl Quantity {
    pub const ZERO: Quantity = Quantity { mantissa: 0, scale: 0, format: Format::DecimalSi };

    pub fn new(value: i64, format: Format) -> Quantity {
        Quantity::normal(i128::from(value), 0, format)
    }

    /// Thousandths: millicores.
    pub fn from_milli(value: i64, format: Format) -> Quantity {
        Quantity::normal(i128::from(value), -3, format)
    }

    fn normal(mut mantissa: i128, mut scale: i32, format: Format) -> Quantity {
        if mantissa == 0 {
            return Quantity { mantissa: 0, scale: 0, format };
        }
        if scale < NANO {
            let (sign, finer) = (mantissa.signum(), (NANO - scale) as u32);
            mantissa = match 10i128.checked_pow(finer) {
                Some(step) => mantissa / step + if mantissa % step == 0 { 0 } else { sign },
                None => sign,
            };
            scale = NANO;
        }
        while mantissa % 10 == 0 {
            mantissa /= 10;
            scale += 1;
        }
        Quantity { mantissa, scale, format }
    }

    pub fn format(&self) -> Format {
        self.format
    }

    pub fn is_zero(&self) -> bool {
        self.mantissa == 0
    }

    /// -1, 0 or 1.
    pub fn sign(&self) -> i32 {
        self.mantissa.signum() as i32
    }

    /// Whole units, rounded away from zero, held within 64 bits.
    pub fn value(&self) -> i64 {
        self.scaled(0)
    }

    /// Thousandths, rounded away from zero, held within 64 bits.
    pub fn milli_value(&self) -> i64 {
        self.scaled(-3)
    }

    fn scaled(&self, to: i32) -> i64 {
        let limit = if self.mantissa < 0 { i64::MIN } else { i64::MAX };
        let shift = self.scale - to;
        let value = if shift >= 0 {
            10i128.checked_pow(shift as u32).and_then(|factor| self.mantissa.checked_mul(factor))
        } else {
            let step = 10i128.pow(shift.unsigned_abs());
            Some(self.mantissa / step + if self.mantissa % step == 0 { 0 } else { self.mantissa.signum() })
        };
        value.and_then(|value| i64::try_from(value).ok()).unwrap_or(limit)
    }

    /// The same in whole thousandths, rounded away from zero.
    #[must_use]
    pub fn in_milli(&self) -> Quantity {
        if self.scale >= -3 {
            return *self;
        }
        let step = 10i128.pow(self.scale.abs_diff(-3));
        let rest = if self.mantissa % step == 0 { 0 } else { self.mantissa.signum() };
        Quantity::normal(self.mantissa / step + rest, -3, self.format)
    }

    /// Whether it is a whole number of units.
    pub fn is_whole(&self) -> bool {
        self.scale >= 0
    }

    /// The sum in the format of `self` (of `other` if `self` is zero); `None` beyond 37 digits.
    pub fn checked_add(&self, other: &Quantity) -> Option<Quantity> {
        let format = if self.is_zero() { other.format } else { self.format };
        if self.is_zero() || other.is_zero() {
            let some = if self.is_zero() { other } else { self };
            return Some(Quantity { format, ..*some });
        }
        let scale = self.scale.min(other.scale);
        let at = |of: &Quantity| of.mantissa.checked_mul(10i128.checked_pow((of.scale - scale) as u32)?);
        Some(Quantity::normal(at(self)?.checked_add(at(other)?)?, scale, format))
    }

    pub fn checked_sub(&self, other: &Quantity) -> Option<Quantity> {
        self.checked_add(&Quantity { mantissa: -other.mantissa, ..*other })
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// By amount; the format does not count.
impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> Ordering {
        let signs = self.sign().cmp(&other.sign());
        if signs != Ordering::Equal || self.is_zero() {
            return signs;
        }
        let shift = self.scale.abs_diff(other.scale);
        let raised = |of: i128| 10i128.checked_pow(shift).and_then(|factor| of.checked_mul(factor));
        // What does not fit after raising is further from zero than anything that fits.
        let further = if self.mantissa > 0 { Ordering::Greater } else { Ordering::Less };
        if self.scale >= other.scale {
            raised(self.mantissa).map_or(further, |raised| raised.cmp(&other.mantissa))
        } else {
            raised(other.mantissa).map_or(further.reverse(), |raised| self.mantissa.cmp(&raised))
        }
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Quantity, QuantityError> {
        if text.is_empty() {
            return Err(QuantityError::Form);
        }
        let (negative, rest) = match text.as_bytes()[0] {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let (whole, rest) = rest.split_at(digits(rest));
        let (fraction, suffix) = match rest.strip_prefix('.') {
            Some(rest) => rest.split_at(digits(rest)),
            None => ("", rest),
        };
        let letters = suffix.bytes().take_while(|c| b"eEinumkKMGTP".contains(c)).count();
        let exponent = &suffix[letters..];
        if !exponent.strip_prefix(['-', '+']).unwrap_or(exponent).bytes().all(|c| c.is_ascii_digit()) {
            return Err(QuantityError::Form);
        }
        let (power, format) = suffix_of(suffix).ok_or(QuantityError::Suffix)?;
        let sign = if negative { -1 } else { 1 };
        let digits_max = if format == Format::BinarySi { BINARY_DIGITS_MAX } else { DIGITS_MAX };
        let (mantissa, scale) = match number(whole, fraction, digits_max) {
            Some(number) => number,
            None if format == Format::BinarySi => (i128::from(i64::MAX), 0),
            None => return Err(QuantityError::Number),
        };
        if format != Format::BinarySi {
            return Ok(Quantity::normal(sign * mantissa, scale + power, format));
        }
        let amount = Quantity::normal(mantissa << power, scale, format);
        let cap = Quantity::new(i64::MAX, format);
        let amount = if amount > cap { cap } else { amount };
        let below_one = !amount.is_zero() && amount < Quantity::new(1, format);
        let format = if below_one { Format::DecimalSi } else { format };
        Ok(Quantity { mantissa: sign * amount.mantissa, scale: amount.scale, format })
    }
}

/// Digits to mantissa and scale; a fraction too long is cut with a last digit that makes later rounding go up.
fn number(whole: &str, fraction: &str, digits_max: usize) -> Option<(i128, i32)> {
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    let (whole, zeros) = if fraction.is_empty() {
        let kept = whole.trim_end_matches('0');
        (kept, whole.len() - kept.len())
    } else {
        (whole, 0)
    };
    let zeros = i32::try_from(zeros).ok().filter(|zeros| *zeros <= EXPONENT_MAX)?;
    if whole.len() > digits_max {
        return None;
    }
    let leading = if whole.is_empty() { fraction.len() - fraction.trim_start_matches('0').len() } else { 0 };
    let kept = fraction.len().min(leading + digits_max - whole.len());
    let mut mantissa: i128 = 0;
    for digit in whole.bytes().chain(fraction[..kept].bytes()) {
        mantissa = mantissa * 10 + i128::from(digit - b'0');
    }
    let mut scale = zeros - i32::try_from(kept).ok()?;
    if kept < fraction.len() {
        mantissa = mantissa * 10 + 1;
        scale -= 1;
    }
    Some((mantissa, scale))
}

/// The power (of ten, or of two for binary suffixes) and the family.
fn suffix_of(suffix: &str) -> Option<(i32, Format)> {
    let decimal = |power| Some((power, Format::DecimalSi));
    let binary = |power| Some((power, Format::BinarySi));
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let power: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            (-EXPONENT_MAX..=EXPONENT_MAX).contains(&power).then_some((power, Format::DecimalExponent))
        }
    }
}

/// The canonical form.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0");
        }
        if self.format == Format::BinarySi && self.is_whole() {
            let whole = 10i128.checked_pow(self.scale as u32).and_then(|factor| self.mantissa.checked_mul(factor));
            if let Some(mut whole) = whole.filter(|whole| whole.abs() >= 1024) {
                let mut suffix = 0;
                while whole % 1024 == 0 && suffix < 6 {
                    whole /= 1024;
                    suffix += 1;
                }
                return write!(f, "{whole}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][suffix]);
            }
        }
        let exponent = self.scale - self.scale.rem_euclid(3);
        let exponent = if self.format == Format::DecimalExponent { exponent } else { exponent.min(18) };
        let raised = 10i128.checked_pow((self.scale - exponent) as u32).and_then(|factor| self.mantissa.checked_mul(factor));
        let Some(mantissa) = raised else { return write!(f, "{}e{}", self.mantissa, self.scale) };
        let suffix = match (self.format, exponent) {
            (_, 0) => "",
            (Format::DecimalExponent, exponent) => return write!(f, "{mantissa}e{exponent}"),
            (_, -9) => "n",
            (_, -6) => "u",
            (_, -3) => "m",
            (_, 3) => "k",
            (_, 6) => "M",
            (_, 9) => "G",
            (_, 12) => "T",
            (_, 15) => "P",
            _ => "E",
        };
        write!(f, "{mantissa}{suffix}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str) -> String {
        text.parse::<Quantity>().map_or_else(|error| error.to_string(), |quantity| quantity.to_string())
    }

    #[test]
    fn thousandths_are_rounded_away_from_zero() {
        for (given, wanted) in
            [("100u", "1m"), ("-1n", "-1m"), ("1001u", "2m"), ("1e-4", "1e-3"), ("1500m", "1500m"), ("1Gi", "1Gi")]
        {
            assert_eq!(given.parse::<Quantity>().unwrap().in_milli().to_string(), wanted);
        }
    }

    #[test]
    fn canonical_forms_are_those_of_a_stock_server() {
        for (given, wanted) in [
            ("0", "0"),
            ("-0", "0"),
            ("0Gi", "0"),
            ("1", "1"),
            ("1000", "1k"),
            ("1024", "1024"),
            ("1500", "1500"),
            ("100m", "100m"),
            ("1000m", "1"),
            ("0.1", "100m"),
            (".5", "500m"),
            ("1.", "1"),
            ("1.5", "1500m"),
            ("0.0000000001", "1n"),
            ("-0.0000000001", "-1n"),
            ("1.0000000001", "1000000001n"),
            ("1024Mi", "1Gi"),
            ("1000Mi", "1000Mi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Gi", "512Mi"),
            ("0.1Ki", "102400m"),
            ("0.0001Ki", "102400u"),
            ("1023Ki", "1023Ki"),
            ("1Ki", "1Ki"),
            ("-1Ki", "-1Ki"),
            ("0.5Ki", "512"),
            ("1e3", "1e3"),
            ("1E3", "1e3"),
            ("12e2", "1200"),
            ("1e-3", "1e-3"),
            ("1.5e3", "1500"),
            ("123456e1", "1234560"),
            ("1E", "1E"),
            ("1000E", "1000E"),
            ("9223372036854775807", "9223372036854775807"),
            ("100000Ei", "9223372036854775807"),
            ("99999999999999999999Ki", "9223372036854775807"),
            ("+1", "1"),
            ("007", "7"),
            ("1e1000000", "unable to parse quantity's suffix"),
            ("1K", "unable to parse quantity's suffix"),
            ("1ee3", "unable to parse quantity's suffix"),
            ("1mi", "unable to parse quantity's suffix"),
            ("", "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
            ("abc", "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
            ("1.2.3", "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
            ("1 ", "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
            ("12345678901234567890123456789012345678901", "unable to parse numeric part of quantity"),
        ] {
            assert_eq!(canonical(given), wanted, "{given}");
        }
    }

    #[test]
    fn amounts_compare_and_add_across_formats() {
        let parse = |text: &str| text.parse::<Quantity>().unwrap();
        assert_eq!(parse("1Gi"), parse("1073741824"));
        assert!(parse("1G") < parse("1Gi"));
        assert!(parse("-1e9000") < parse("-1"));
        assert!(parse("1e9000") > parse("1n"));
        assert!(parse("1n") < parse("1e9000"));
        assert_eq!(parse("1Gi").checked_add(&parse("512Mi")).unwrap().to_string(), "1536Mi");
        assert_eq!(parse("0").checked_add(&parse("512Mi")).unwrap().to_string(), "512Mi");
        assert_eq!(parse("500m").checked_add(&parse("500m")).unwrap().to_string(), "1");
        assert_eq!(parse("1").checked_sub(&parse("1Gi")).unwrap().to_string(), "-1073741823");
        assert!(parse("1e9000").checked_add(&parse("1")).is_none());
        assert_eq!((parse("1500m").value(), parse("-1500m").value(), parse("0.5m").milli_value()), (2, -2, 1));
        assert_eq!((parse("1e9000").value(), parse("-1e9000").milli_value()), (i64::MAX, i64::MIN));
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_stable_and_keeps_the_amount(
            mantissa in -1_000_000_000_000i64..1_000_000_000_000, fraction in 0u32..1000,
            suffix in prop::sample::select(vec!["n", "u", "m", "", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "e3", "E-2", "e+7"]),
        ) {
            let parsed: Quantity = format!("{mantissa}.{fraction:03}{suffix}").parse().unwrap();
            let again: Quantity = parsed.to_string().parse().unwrap();
            prop_assert_eq!(parsed, again);
            prop_assert_eq!(parsed.to_string(), again.to_string());
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[-+0-9.eEinumkKMGTP ]{0,60}") {
            if let Ok(parsed) = text.parse::<Quantity>() {
                prop_assert_eq!(parsed.to_string().parse::<Quantity>().unwrap(), parsed);
                parsed.value();
                parsed.milli_value();
                let _ = parsed.checked_add(&parsed);
            }
        }

        #[test]
        fn addition_and_subtraction_undo_each_other(a in any::<i64>(), b in any::<i64>()) {
            let (a, b) = (Quantity::from_milli(a, Format::DecimalSi), Quantity::new(b, Format::BinarySi));
            prop_assert_eq!(a.checked_add(&b).unwrap().checked_sub(&b).unwrap(), a);
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        }
    }
}
