/// Which addresses a request may connect to.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressPolicy {
    /// Any address: the operator wrote this URL.
    Any,
    /// Only public addresses, unless this host, which the operator did write, has a private one itself: the URL came
    /// out of a document that somebody else wrote. The host is a name, or an address as it stands in a URL.
    NoMorePrivateThan(Box<str>),
}
