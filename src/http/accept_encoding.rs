//! `Accept-Encoding` (RFC 9110, section 12.5.3): which content codings a client
//! takes, and how much it likes them.

/// How much a client likes the codings that can be sent, in thousandths; 0 for
/// one that is not to be sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Accepted {
    /// `br`.
    pub brotli: u16,
    /// `gzip`, also as `x-gzip`.
    pub gzip: u16,
}

impl Accepted {
    /// What a field's value says; several fields count as one, their values
    /// joined by commas. Without the field nothing is accepted.
    ///
    /// A coding that a client likes less than the bytes as they are
    /// (`identity`, or `*` in its place) is not sent, and a bare `*` means
    /// codings for HTTP/1.1 (`modern`) only.
    pub fn parse(value: &str, modern: bool) -> Accepted {
        let (mut brotli, mut gzip, mut identity, mut any) = (None, None, None, None);
        for member in value.split(',') {
            let mut words = member.split(';').map(|word| word.trim_matches([' ', '\t']));
            let coding = words.next().unwrap_or_default();
            let Some(quality) = quality(words) else { continue };
            let place = match coding {
                "*" => &mut any,
                _ if coding.eq_ignore_ascii_case("br") => &mut brotli,
                _ if coding.eq_ignore_ascii_case("gzip") => &mut gzip,
                _ if coding.eq_ignore_ascii_case("x-gzip") => &mut gzip,
                _ if coding.eq_ignore_ascii_case("identity") => &mut identity,
                _ => continue,
            };
            // Named twice, the better word counts.
            *place = Some(place.unwrap_or(0).max(quality));
        }
        let unnamed = if modern { any.unwrap_or(0) } else { 0 };
        let plain = identity.or(any).unwrap_or(0);
        let settle = |named: Option<u16>| match named {
            Some(quality) if quality >= plain => quality,
            Some(_) => 0,
            None if unnamed >= plain => unnamed,
            None => 0,
        };
        Accepted { brotli: settle(brotli), gzip: settle(gzip) }
    }
}

/// The weight among a member's parameters: 1,000 when there is none, `None`
/// when it is malformed.
fn quality<'a>(parameters: impl Iterator<Item = &'a str>) -> Option<u16> {
    for parameter in parameters {
        let Some((name, value)) = parameter.split_once('=') else { continue };
        if name.trim_end_matches([' ', '\t']).eq_ignore_ascii_case("q") {
            return thousandths(value.trim_start_matches([' ', '\t']));
        }
    }
    Some(1000)
}

/// `qvalue` of section 12.4.2: `0` to `1` with three decimals at most.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let decimals: u16 = format!("{decimals:0<3}").parse().ok()?;
    match (whole, decimals) {
        ("0", _) => Some(decimals),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codings_and_weights() {
        for (value, brotli, gzip) in [
            ("", 0, 0),
            ("gzip", 0, 1000),
            ("br", 1000, 0),
            ("gzip, deflate, br, zstd", 1000, 1000),
            ("GZIP;Q=0.5, Br ; q = 0.25", 250, 500),
            ("x-gzip", 0, 1000),
            ("xgzip, gzipped, brr, b", 0, 0),
            ("gzip;q=0", 0, 0),
            ("gzip;q=0.000", 0, 0),
            ("gzip;q=0.001", 0, 1),
            ("gzip;q=1.000", 0, 1000),
            ("gzip;q=1.001", 0, 0),
            ("gzip;q=2", 0, 0),
            ("gzip;q=0.1234", 0, 0),
            ("gzip;q=", 0, 0),
            ("gzip;q=-1", 0, 0),
            ("gzip;q=x, br", 1000, 0),
            ("gzip;level=9", 0, 1000),
            ("gzip;level=9;q=0.5", 0, 500),
            ("gzip;q=0, x-gzip", 0, 1000),
            ("identity", 0, 0),
            ("gzip;q=0.5, identity", 0, 0),
            ("gzip;q=0.5, identity;q=0.5", 0, 500),
            ("gzip;q=0.5, br;q=0.4, identity;q=0.45", 0, 500),
            ("identity;q=0, gzip;q=0.1", 0, 100),
            ("gzip;q=0.5, *;q=0.8", 800, 0),
            ("gzip;q=0.5, *;q=0", 0, 500),
            ("br;q=0, *", 0, 1000),
            ("*", 1000, 1000),
            ("*;q=0", 0, 0),
            ("identity, *;q=0.5", 0, 0),
        ] {
            assert_eq!(Accepted::parse(value, true), Accepted { brotli, gzip }, "{value}");
        }
    }

    #[test]
    fn an_old_client_has_to_name_what_it_takes() {
        assert_eq!(Accepted::parse("*", false), Accepted::default());
        assert_eq!(Accepted::parse("gzip", false), Accepted { brotli: 0, gzip: 1000 });
    }
}
