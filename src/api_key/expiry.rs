//! The expiry of an API key as text: a date, or a date with a time in UTC (RFC 3339).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Reads `2027-01-31`, which is the start of that day in UTC, or `2027-01-31T18:00:00Z`. `None` for any other text.
pub(super) fn parse(text: &str) -> Option<SystemTime> {
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, time.strip_suffix('Z')?),
        None => (text, "00:00:00"),
    };
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?)?;
    // An HTTP date has the day of the week too, and only the right one is accepted.
    let parse = |weekday: &&str| httpdate::parse_http_date(&format!("{weekday}, {day} {month} {year} {time} GMT")).ok();
    let parsed = WEEKDAYS.iter().find_map(parse)?;
    // The text of a date that does not exist, such as the 31st of February, would be another one.
    let written = format(parsed)?;
    let is_same = written == text || written.split_once('T').is_none() && text == [&written, "T00:00:00Z"].concat();
    is_same.then_some(parsed)
}

/// The text of a time in whole seconds, without a time of day at the start of a day. `None` before 1970 and after 9999.
pub(super) fn format(time: SystemTime) -> Option<String> {
    let since_epoch = time.duration_since(UNIX_EPOCH).ok().filter(|since| *since < END)?;
    let text = httpdate::fmt_http_date(UNIX_EPOCH.checked_add(since_epoch)?);
    // `Sun, 31 Jan 2027 18:00:00 GMT`
    let mut parts = text.split(' ').skip(1);
    let (day, month, year, time) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|known| *known == month)?.checked_add(1)?;
    let date = format!("{year}-{month:02}-{day}");
    Some(if time == "00:00:00" { date } else { format!("{date}T{time}Z") })
}

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// The start of the year 10000, which the format cannot write.
const END: Duration = Duration::from_secs(253_402_300_800);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_in_utc_are_read_and_written() {
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("2000-02-29", 951_782_400),
            ("2027-01-31", 1_801_353_600),
            ("2027-01-31T18:30:05Z", 1_801_420_205),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(parse(text), Some(UNIX_EPOCH + Duration::from_secs(seconds)), "{text}");
            assert_eq!(parse(text).and_then(format).as_deref(), Some(text));
        }
        assert_eq!(parse("2027-01-31T00:00:00Z"), parse("2027-01-31"));
        assert_eq!(format(UNIX_EPOCH - Duration::from_secs(1)), None);
        assert_eq!(format(UNIX_EPOCH + END), None);
    }

    #[test]
    fn other_texts_are_not_read() {
        for text in [
            "",
            "2027",
            "2027-01",
            "2027-1-31",
            "2027-02-29",
            "2027-02-31",
            "2027-00-01",
            "2027-13-01",
            "2027-01-00",
            "2027-01-32",
            "27-01-31",
            "12027-01-31",
            "1969-12-31",
            "31.01.2027",
            "2027-01-31T18:30:05",
            "2027-01-31T24:00:00Z",
            "2027-01-31T18:30:05+01:00",
            "2027-01-31 18:30:05",
            "2027-01-31T18:30Z",
            "2027-01-31-01",
            "+2027-01-31",
            "2027-é-31",
            "tomorrow",
            "1801353600",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
