/// What a list has members of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mcp) enum ListKind {
    Tools,
    Prompts,
    Resources,
    ResourceTemplates,
    Skills,
}

impl ListKind {
    pub(in crate::mcp) const ALL: [Self; 5] =
        [Self::Tools, Self::Prompts, Self::Resources, Self::ResourceTemplates, Self::Skills];

    /// What `method` lists, if it lists anything.
    pub(in crate::mcp) fn of_method(method: &str) -> Option<Self> {
        match method {
            "tools/list" => Some(Self::Tools),
            "prompts/list" => Some(Self::Prompts),
            "resources/list" | "resources/directory/read" => Some(Self::Resources),
            "resources/templates/list" => Some(Self::ResourceTemplates),
            "skills/list" => Some(Self::Skills),
            _ => None,
        }
    }

    /// The member of a result that is the list.
    pub(in crate::mcp) const fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::ResourceTemplates => "resourceTemplates",
            Self::Skills => "skills",
        }
    }

    /// The member of an entry that rules know it by.
    pub(in crate::mcp) const fn key(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources | Self::Skills => "uri",
            Self::ResourceTemplates => "uriTemplate",
        }
    }
}
