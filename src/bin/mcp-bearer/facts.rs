//! The replies of a deployment, before they are judged.

use mcp_bearer::issuer::{AuthorizationServerMetadata, InvalidMetadata};
use mcp_bearer::verify::Explanation;
use serde_json::{Map, Value};
use url::Url;

use crate::deployment::Deployment;
use crate::reply::{Problem, Reply};
use crate::sender::{AdvertisedSenders, TokenBinding};

/// All replies of one run.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) deployment: Deployment,
    pub(crate) issuer: IssuerFacts,
    pub(crate) mcp: McpFacts,
    pub(crate) resource: ResourceFacts,
    /// If the operator has given a token.
    pub(crate) token: Option<TokenFacts>,
}

/// The given access token. The token itself is not kept.
#[derive(Debug)]
pub(crate) struct TokenFacts {
    pub(crate) explanation: Explanation,
    pub(crate) binding: TokenBinding,
}

#[derive(Debug)]
pub(crate) struct IssuerFacts {
    /// One reply for each URL of the metadata, in their order. After an unreachable one there are no more.
    pub(crate) documents: Vec<Reply>,
    /// The key set, if the metadata of the issuer has its URL.
    pub(crate) key_set: Option<Reply>,
}

/// Replies of the MCP endpoint. Without a response to the first request, no others are sent.
#[derive(Debug)]
pub(crate) struct McpFacts {
    pub(crate) without_token: Reply,
    pub(crate) with_invalid_token: Option<Reply>,
    /// The reply to a made-up opaque token, if the given token is opaque.
    pub(crate) with_opaque_token: Option<Reply>,
    pub(crate) unknown_path: Option<Reply>,
    pub(crate) from_page: Option<Reply>,
    pub(crate) preflight: Option<Reply>,
}

/// Replies to requests for the protected resource metadata.
#[derive(Debug)]
pub(crate) struct ResourceFacts {
    pub(crate) at_path: Reply,
    pub(crate) at_root: Option<Reply>,
    /// The document at the URL in the challenge, if it is another URL of the same origin.
    pub(crate) at_link: Option<Reply>,
    /// The document at a URL where no client looks for it.
    pub(crate) elsewhere: Option<Reply>,
    pub(crate) from_page: Option<Reply>,
    pub(crate) preflight: Option<Reply>,
}

/// A metadata document of an authorization server.
#[derive(Debug, Clone)]
pub(crate) struct IssuerDocument<'f> {
    pub(crate) reply: &'f Reply,
    /// The member `issuer`.
    pub(crate) issuer: String,
    pub(crate) members: Map<String, Value>,
}

impl Facts {
    /// The metadata document of the issuer that the resource server uses, or the first one of another issuer.
    pub(crate) fn issuer_document(&self) -> Option<IssuerDocument<'_>> {
        self.issuer.document_of(&self.deployment.issuer)
    }

    /// The sender-constrained tokens that the resource accepts. `None` if its metadata is unknown.
    pub(crate) fn senders(&self) -> Option<AdvertisedSenders> {
        Some(AdvertisedSenders::from_metadata(&self.resource.used()?.1))
    }

    /// Whether clients send DPoP proofs to the resource.
    pub(crate) fn accepts_dpop(&self) -> bool {
        self.senders().is_some_and(|senders| senders.dpop.is_some())
    }
}

impl ResourceFacts {
    /// The protected resource metadata that a client uses, and the reply that it is from.
    pub(crate) fn used(&self) -> Option<(&Reply, Map<String, Value>)> {
        let places = [self.at_link.as_ref(), Some(&self.at_path), self.at_root.as_ref()].into_iter().flatten();
        places.filter_map(|reply| Some((reply, reply.document().ok()?))).next()
    }

    /// The resource that the metadata at a URL names where no client looks for it.
    pub(crate) fn resource_elsewhere(&self) -> Option<String> {
        Some(self.elsewhere.as_ref()?.document().ok()?.get("resource")?.as_str()?.to_owned())
    }
}

impl IssuerFacts {
    pub(crate) fn document_of(&self, issuer: &str) -> Option<IssuerDocument<'_>> {
        let mut documents = self.documents.iter().filter_map(|reply| read(reply).ok());
        let first = documents.next()?;
        match first.issuer == issuer {
            true => Some(first),
            false => Some(documents.find(|document| document.issuer == issuer).unwrap_or(first)),
        }
    }

    /// A member of the metadata, from the first document of the issuer that has it.
    pub(crate) fn member(&self, issuer: &str, member: &str) -> Option<(&Reply, Value)> {
        let documents = self.documents.iter().filter_map(|reply| read(reply).ok());
        let mut documents = documents.filter(|document| document.issuer == issuer);
        documents.find_map(|document| Some((document.reply, document.members.get(member)?.clone())))
    }

    /// A member that is a URL, from the first document of the issuer that has it.
    pub(crate) fn endpoint(&self, issuer: &str, member: &str) -> Option<(&Reply, String)> {
        let (reply, value) = self.member(issuer, member)?;
        Some((reply, value.as_str()?.to_owned()))
    }
}

/// Reads a metadata document as strictly as the resource server does.
pub(crate) fn read(reply: &Reply) -> Result<IssuerDocument<'_>, Problem> {
    let members = reply.document()?;
    if let Err(InvalidMetadata::Malformed) = AuthorizationServerMetadata::from_json(reply.body()?) {
        return Err(Problem::NotJson("a name appears twice in one JSON object".to_owned()));
    }
    let issuer = members.get("issuer").and_then(Value::as_str);
    let missing = || Problem::NotJson("the member \"issuer\" is missing or is not a string".to_owned());
    let issuer = issuer.ok_or_else(missing)?.to_owned();
    Ok(IssuerDocument { reply, issuer, members })
}

/// Whether two URLs have the same scheme, host and port.
pub(crate) fn have_same_origin(one: &str, other: &str) -> bool {
    matches!((Url::parse(one), Url::parse(other)), (Ok(one), Ok(other)) if one.origin() == other.origin())
}
