//! The settings of a pool, and their defaults.

use super::time;
use crate::base::config;
use crate::base::time_value::TimeValue;
use std::ffi::CString;

/// What `ns_proxy configure` sets.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The program of the workers; empty for our own.
    pub exec: String,
    /// Evaluated by a new worker, in its internal encoding; empty for none.
    pub init: Vec<u8>,
    /// Evaluated when a handle is released; empty for none.
    pub reinit: Vec<u8>,
    /// The whole environment of new workers; `None` for that of this process.
    pub env: Option<Vec<(String, String)>>,
    /// Number of handles.
    pub maxworkers: i32,
    /// Scripts that one process evaluates; 0 for any number.
    pub maxruns: i32,
    /// How long `get` waits.
    pub gettimeout: TimeValue,
    /// How long an evaluation may take; 0 for any time.
    pub evaltimeout: TimeValue,
    /// How long sending a script may take.
    pub sendtimeout: TimeValue,
    /// How long receiving a result may take, from its first byte on.
    pub recvtimeout: TimeValue,
    /// How long each step of ending a worker waits.
    pub waittimeout: TimeValue,
    /// How long a worker lives that nobody has.
    pub idletimeout: TimeValue,
    /// Evaluations that take as long are logged; 0 for none.
    pub logminduration: TimeValue,
    /// How long a new worker may take until it answers.
    pub starttimeout: TimeValue,
}

/// The least that `idletimeout` can be.
pub const MIN_IDLE: TimeValue = TimeValue::from_secs(5);

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            exec: String::new(),
            init: Vec::new(),
            reinit: Vec::new(),
            env: None,
            maxworkers: 8,
            maxruns: 0,
            gettimeout: TimeValue::from_secs(5),
            evaltimeout: TimeValue::ZERO,
            sendtimeout: TimeValue::from_secs(5),
            recvtimeout: TimeValue::from_secs(5),
            waittimeout: TimeValue::from_secs(1),
            idletimeout: TimeValue::from_secs(300),
            logminduration: TimeValue::ZERO,
            starttimeout: TimeValue::from_secs(10),
        }
    }
}

impl Settings {
    /// The settings of a new pool: the defaults, and what the configuration
    /// says in the section `ns/server/NAME/module/nsproxy`.
    pub fn configured() -> Settings {
        let section = format!("ns/server/{}/module/nsproxy", config::server_name());
        let mut settings = Settings::default();
        let Some(pairs) = config::pairs(&section) else { return settings };
        // The first of several values counts, as everywhere.
        for (key, value) in pairs.iter().rev() {
            let time = |place: &mut TimeValue| {
                if let Ok(time) = time::parse(value).map(|t| t.max(TimeValue::ZERO)) {
                    *place = time;
                }
            };
            match key.to_ascii_lowercase().as_str() {
                "exec" => settings.exec = value.clone(),
                "gettimeout" => time(&mut settings.gettimeout),
                "evaltimeout" => time(&mut settings.evaltimeout),
                "sendtimeout" => time(&mut settings.sendtimeout),
                "recvtimeout" => time(&mut settings.recvtimeout),
                "waittimeout" => time(&mut settings.waittimeout),
                "idletimeout" => time(&mut settings.idletimeout),
                "logminduration" => time(&mut settings.logminduration),
                "starttimeout" => time(&mut settings.starttimeout),
                "maxworker" | "maxworkers" | "maxslaves" => {
                    settings.maxworkers =
                        value.trim().parse().ok().filter(|n| *n >= 0).unwrap_or(settings.maxworkers);
                }
                _ => {}
            }
        }
        settings.idletimeout = settings.idletimeout.max(MIN_IDLE);
        settings
    }

    /// The environment as a program is given it.
    pub fn environment(&self) -> Option<Vec<CString>> {
        let pairs = self.env.as_ref()?;
        Some(pairs.iter().filter_map(|(key, value)| CString::new(format!("{key}={value}")).ok()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_read() {
        let section = format!("ns/server/{}/module/nsproxy", config::server_name());
        config::add(&section, "maxslaves", "3");
        config::add(&section, "evaltimeout", "250");
        config::add(&section, "idletimeout", "1s");
        config::add(&section, "sendtimeout", "soon");
        let settings = Settings::configured();
        assert_eq!(settings.maxworkers, 3);
        assert_eq!(settings.evaltimeout, TimeValue::from_millis(250));
        assert_eq!(settings.idletimeout, MIN_IDLE);
        assert_eq!(settings.sendtimeout, TimeValue::from_secs(5));
    }

    #[test]
    fn an_environment_keeps_order_and_duplicates() {
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        let env = Some(vec![pair("FOO", "bar"), pair("FOO", "baz"), pair("A", "\0")]);
        let settings = Settings { env, ..Settings::default() };
        assert_eq!(settings.environment().unwrap(), [c"FOO=bar".to_owned(), c"FOO=baz".to_owned()]);
    }
}
