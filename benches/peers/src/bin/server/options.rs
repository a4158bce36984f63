use mcp_bearer::jose::Algorithm;

/// The command line options.
pub(crate) struct Options {
    pub(crate) variant: String,
    pub(crate) algorithm: Algorithm,
    /// The threads of the server. The authorization server has one more.
    pub(crate) threads: usize,
    /// The lifetime of the key set in its headers, in seconds. By default, the headers do not contain it.
    pub(crate) max_age: Option<u32>,
}

impl Options {
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { variant: String::new(), algorithm: Algorithm::RS256, threads: 1, max_age: None };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            let no_number = |error| format!("{argument}: {error}");
            match argument.as_str() {
                "--algorithm" => options.algorithm = algorithm(&value()?)?,
                "--threads" => options.threads = value()?.parse().map_err(no_number)?,
                "--max-age" => options.max_age = Some(value()?.parse().map_err(no_number)?),
                option if option.starts_with('-') => return Err(format!("the option {option} does not exist")),
                _ => options.variant = argument,
            }
        }
        if options.variant.is_empty() { Err("which variant?".to_owned()) } else { Ok(options) }
    }
}

fn algorithm(name: &str) -> Result<Algorithm, String> {
    let known = [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA];
    known.into_iter().find(|algorithm| algorithm.name() == name).ok_or_else(|| format!("{name} is not supported"))
}
